// `bench sync`: what channels, locks, timers and tasks cost.

#include "case_main.hpp"
#include "sync_bench.hpp"

#include <array>

namespace {

using bench::case_kind;
using bench::column;
using bench::no_limit;
using bench::sync_case;

constexpr case_kind row(sync_case which, std::string_view key, std::string_view title, std::uint64_t operations) {
  return {.which = static_cast<unsigned>(which),
          .key = key,
          .title = title,
          .operations = operations,
          .smoke_operations = operations / 20};
}
constexpr case_kind with_goals(case_kind kind, double confined, double one = no_limit, double two = no_limit) {
  kind.most_confined = confined;
  kind.most_one = one;
  kind.most_two = two;
  return kind;
}
/// For which the raw floor has no counterpart.
constexpr case_kind without_floor(case_kind kind) {
  kind.columns = kind.columns.without({column::raw});
  return kind;
}
constexpr case_kind without_peers(case_kind kind) {
  kind.columns = kind.columns.without({column::go_one, column::go_two, column::tokio_one, column::tokio_two});
  return without_floor(kind);
}

constexpr std::array kinds{
    with_goals(row(sync_case::spsc, "spsc", "channel(128), 1 to 1", 400'000), 12, 25, 80),
    with_goals(row(sync_case::mpmc, "mpmc", "channel(128), 4 to 4", 400'000), 14, 28, 80),
    with_goals(row(sync_case::rendezvous, "rendezvous", "rendezvous, there and back", 100'000), 40, 70, 400),
    row(sync_case::select, "select", "select over two channels", 200'000),
    with_goals(row(sync_case::pool, "pool", "job through 8 workers", 200'000), 35, no_limit, 120),
    with_goals(row(sync_case::mutex, "mutex", "mutex, nobody else", 400'000), 18),
    row(sync_case::event, "event", "events, there and back", 100'000),
    with_goals(row(sync_case::yield, "yield", "yield, two tasks", 400'000), 6),
    with_goals(row(sync_case::armed_timeout, "armed_timeout", "timeout around a yield", 200'000), 25),
    row(sync_case::idle_timeout, "idle_timeout", "timeout around a set event", 400'000),
    with_goals(row(sync_case::spawn, "spawn", "spawn and join", 200'000), 35),
    without_floor(row(sync_case::contended, "contended", "mutex, held over a yield, 4 tasks", 200'000)),
    without_floor(row(sync_case::select_eight, "select8", "select over eight channels", 200'000)),
    without_floor(row(sync_case::oneshot, "oneshot", "question and oneshot answer", 100'000)),
    without_floor(row(sync_case::broadcast, "broadcast", "broadcast, each of 1,000", 1'000'000)),
    without_peers(row(sync_case::limiter, "limiter", "rate limiter, enough tokens", 400'000)),
    without_peers(row(sync_case::keyed, "keyed", "keyed limiter, a million keys", 400'000)),
};

bench::case_sample run(const case_kind& kind, std::uint64_t operations, column c, bool) {
  const auto which = static_cast<sync_case>(kind.which);
  return c == column::raw ? bench::run_raw(which, operations) : bench::run_weir(which, operations, c);
}

/// Nothing here allocates once it is warm. But with two workers the tasks of a case may start where the warm-up has
/// left no recycled frames: so many allocations, however many operations follow. And a spawned task may end on the
/// other worker, whose cache then has its frame.
double most_allocations(const case_kind& kind, column c) {
  constexpr double few_tasks = 64;
  constexpr double thousand_tasks = 2048;
  if (!with_two_threads(c)) return 0;
  const auto which = static_cast<sync_case>(kind.which);
  if (which == sync_case::spawn) return no_limit;
  return which == sync_case::broadcast ? thousand_tasks : few_tasks;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::case_main({.name = "sync", .kinds = kinds, .run = run, .most_allocations = most_allocations}, argc,
                          argv);
}
