// `bench runtime`: what tasks, turns, timers and uncontended locks cost.

#include "case_main.hpp"
#include "runtime_bench.hpp"

#include <fmt/format.h>

#include <array>

namespace {

using bench::case_kind;
using bench::column;
using bench::no_limit;
using bench::runtime_case;

constexpr case_kind row(runtime_case which, std::string_view key, std::string_view title, std::uint64_t operations,
                        std::uint64_t smoke_operations) {
  return {.which = static_cast<unsigned>(which),
          .key = key,
          .title = title,
          .operations = operations,
          .smoke_operations = smoke_operations};
}
/// A goal of confined mode is one for any single worker too, with a third more if nothing else is said.
constexpr case_kind with_goals(case_kind kind, double confined, double one = 0) {
  constexpr double slack = 1.3;
  kind.most_confined = confined;
  kind.most_one = one != 0 ? one : confined * slack;
  return kind;
}
constexpr case_kind filling_memory(case_kind kind) {
  kind.fills_memory = true;
  return kind;
}
/// In a process of its own.
constexpr case_kind alone(case_kind kind, std::string_view unit, double most) {
  kind.how = bench::taken::alone;
  kind.unit = unit;
  kind.digits = 0;
  kind.most_rounds = 3;
  return with_goals(kind, most, most);
}
constexpr case_kind without(case_kind kind, std::initializer_list<column> columns) {
  kind.columns = kind.columns.without(columns);
  return kind;
}
/// How many times as long as it should a sleep may take.
constexpr case_kind with_stretch(case_kind kind, double most) {
  kind.most_seconds = most;
  return kind;
}

constexpr std::chrono::nanoseconds sleep_length = std::chrono::seconds(1);
constexpr std::chrono::nanoseconds smoke_sleep_length = std::chrono::milliseconds(50);

constexpr std::array kinds{
    with_goals(row(runtime_case::skynet, "skynet", "skynet: a leaf of 1M", 1'000'000, 10'000), 70),
    with_goals(row(runtime_case::spawn_one, "spawn_one", "spawn, join, one by one", 1'000'000, 10'000), 35),
    filling_memory(
        with_goals(row(runtime_case::spawn_batch, "spawn_batch", "spawn 1M, join all", 1'000'000, 10'000), 90)),
    with_goals(row(runtime_case::yield_two, "yield_two", "yield, two tasks", 1'000'000, 20'000), 6),
    with_goals(row(runtime_case::yield_many, "yield_many", "yield, 1000 tasks", 1'000'000, 20'000), 6),
    row(runtime_case::ping_pong, "ping_pong", "ping-pong, two events", 200'000, 10'000),
    with_goals(row(runtime_case::timer, "timer", "timer: arm, yield, cancel", 1'000'000, 10'000), 25),
    with_goals(row(runtime_case::lock, "lock", "lock, nobody else", 1'000'000, 20'000), 5, 20),
    // In Go that is a plain call.
    without(row(runtime_case::await_child, "await_child", "await a child task", 1'000'000, 20'000),
            {column::go_one, column::go_two}),
    // The raw floor's timers never fire.
    without(with_stretch(
                alone(row(runtime_case::sleeps, "sleeps", "100k sleep 1 s: CPU ms", 100'000, 1'000), "ms of CPU", 150),
                1.02),
            {column::raw}),
    // The others are the same as with one worker.
    without(alone(row(runtime_case::parked, "parked", "1M sleep: bytes of each", 1'000'000, 20'000), "bytes", 300),
            {column::confined, column::two_workers, column::go_two, column::tokio_two}),
};

std::chrono::nanoseconds length_of_sleep(bool smoke) { return smoke ? smoke_sleep_length : sleep_length; }

bench::case_sample run(const case_kind& kind, std::uint64_t operations, column c, bool smoke) {
  const auto which = static_cast<runtime_case>(kind.which);
  if (which == runtime_case::sleeps) return bench::run_weir_sleeps(operations, length_of_sleep(smoke), c);
  if (which == runtime_case::parked)
    return c == column::raw ? bench::run_raw_parked(operations) : bench::run_weir_parked(operations, c);
  return c == column::raw ? bench::run_raw(which, operations) : bench::run_weir(which, operations, c);
}

/// Nothing allocates on one worker once it is warm, but where there are more frames at once than a worker keeps.
double most_allocations(const case_kind& kind, column c) {
  const auto which = static_cast<runtime_case>(kind.which);
  const bool many_frames =
      which == runtime_case::skynet || which == runtime_case::spawn_batch || which == runtime_case::yield_many;
  return with_two_threads(c) || many_frames ? no_limit : 0;
}

std::string sleep_ms(bool smoke) { return fmt::format("{}", length_of_sleep(smoke) / std::chrono::milliseconds(1)); }

/// The tree of `skynet` has ten branches everywhere.
std::uint64_t operations_of(const case_kind& kind, std::uint64_t wanted) {
  if (static_cast<runtime_case>(kind.which) != runtime_case::skynet) return wanted;
  std::uint64_t leaves = 1;
  while (leaves * 10 <= wanted) leaves *= 10;
  return leaves;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::case_main({.name = "runtime",
                           .kinds = kinds,
                           .run = run,
                           .most_allocations = most_allocations,
                           .peer_arguments = sleep_ms,
                           .operations_of = operations_of},
                          argc, argv);
}
