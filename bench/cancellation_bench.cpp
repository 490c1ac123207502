// `bench cancellation`: what it costs to stop a task that waits, some frames deep, beside throwing an exception through
// the same frames and beside letting them return.
//
// Every task awaits a chain of tasks whose innermost waits for an event; each frame has a local with a destructor. Then
// the token of all of them is cancelled, or the event is set and the innermost throws or returns. What is measured is
// the worker's CPU from there until every task has ended. Rounds are interleaved, figures are medians.

#include "build_kind.hpp"
#include "command_line.hpp"
#include "json.hpp"
#include "median.hpp"
#include "stopwatch.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <weir/weir.hpp>

namespace {

enum class ending : std::uint8_t { stopped, thrown, returned };
constexpr std::array endings = {ending::stopped, ending::thrown, ending::returned};

struct counts {
  long begun = 0;
  long guards = 0;
  long values = 0;
  long failures = 0;
  long cancelled = 0;
};

class guard {
 public:
  explicit guard(counts& in) noexcept : in_(in) {}
  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;
  ~guard() { ++in_.guards; }

 private:
  counts& in_;
};

weir::task<> chain(counts& seen, weir::event& gate, unsigned depth, bool throws) {
  const guard here(seen);
  if (depth > 1) {
    co_await chain(seen, gate, depth - 1, throws);
  } else {
    ++seen.begun;
    co_await gate.wait();
    if (throws) throw std::runtime_error("the innermost frame fails");
  }
}

weir::task<> one(counts& seen, weir::event& gate, weir::cancellation_token token, unsigned depth, bool throws) {
  auto r = co_await weir::as_result(weir::with_cancellation(token, chain(seen, gate, depth, throws)));
  ++(r.has_value() ? seen.values : r.is_cancelled() ? seen.cancelled : seen.failures);
}

/// Nanoseconds of CPU for each task.
weir::task<double> measure(ending how, unsigned depth, unsigned tasks) {
  counts seen;
  weir::event gate;
  weir::cancellation_source source;
  double spent = 0;
  const auto body = [&](weir::task_group& group) -> weir::task<> {
    for (unsigned i = 0; i < tasks; ++i) {
      group.spawn(one(seen, gate, source.token(), depth, how == ending::thrown));
    }
    while (seen.begun != static_cast<long>(tasks)) co_await weir::yield();
    const bench::stopwatch watch;
    if (how == ending::stopped) {
      source.request_cancellation();
    } else {
      gate.set();
    }
    co_await group.join();
    spent = watch.cpu_ns();
  };
  co_await weir::with_task_group(body);
  const long wanted = how == ending::stopped ? seen.cancelled : how == ending::thrown ? seen.failures : seen.values;
  if (wanted != static_cast<long>(tasks) || seen.guards != static_cast<long>(tasks) * depth) {
    throw std::runtime_error("a task ended in another way than it should have");
  }
  co_return spent / tasks;
}

struct arguments {
  std::vector<unsigned> depths = {1, 3, 10, 30};
  unsigned tasks = 20'000;
  unsigned repeats = 9;
  std::string json;
};

arguments parse(int argc, char** argv) {
  arguments parsed;
  for (bench::option_reader options(argc, argv); options.next();) {
    const std::string_view option = options.name();
    if (option == "--depths") {
      parsed.depths.clear();
      for (const std::string& text : bench::split(options.value()))
        parsed.depths.push_back(bench::parse_number<unsigned>(option, text, 1, 10'000));
    } else if (option == "--tasks") {
      parsed.tasks = bench::parse_number<unsigned>(option, options.value(), 1, 1'000'000);
    } else if (option == "--repeats") {
      parsed.repeats = bench::parse_number<unsigned>(option, options.value(), 1, 1000);
    } else if (option == "--json") {
      parsed.json = options.value();
    } else if (option == "--smoke") {
      parsed.tasks = 1000;
      parsed.repeats = 1;
    } else {
      options.refuse();
    }
  }
  return parsed;
}

int run(const arguments& a) {
  if (!bench::built_for_speed) fmt::print("This build is not made for speed: its figures mean little.\n");
  std::vector<std::vector<std::string>> table = {
      {"frames", "stopped ns", "exception ns", "returned ns", "stopped:exception", "stopped:returned"}};
  std::string json;
  for (const unsigned depth : a.depths) {
    std::array<std::vector<double>, 3> figures;
    std::vector<double> to_exception;
    std::vector<double> to_return;
    for (unsigned round = 0; round <= a.repeats; ++round) {
      std::array<double, 3> now{};
      for (const ending how : endings) {
        now[static_cast<std::size_t>(how)] = weir::run(measure(how, depth, a.tasks), {.workers = 1});
      }
      if (round == 0) continue;  // warms caches and pages
      for (std::size_t i = 0; i < now.size(); ++i) figures[i].push_back(now[i]);
      to_exception.push_back(now[0] / now[1]);
      to_return.push_back(now[0] / now[2]);
    }
    const std::array<double, 3> medians = {bench::median_of(figures[0]), bench::median_of(figures[1]),
                                           bench::median_of(figures[2])};
    const double of_exception = bench::median_of(to_exception);
    const double of_return = bench::median_of(to_return);
    table.push_back({fmt::format("{}", depth), bench::figure(medians[0], 0), bench::figure(medians[1], 0),
                     bench::figure(medians[2], 0), bench::figure(of_exception, 2), bench::figure(of_return, 2)});
    json +=
        fmt::format(R"({}{{"frames":{},"stopped_ns":{},"exception_ns":{},"returned_ns":{},"stopped_to_exception":{}}})",
                    json.empty() ? "" : ",", depth, bench::json_number(medians[0]), bench::json_number(medians[1]),
                    bench::json_number(medians[2]), bench::json_number(of_exception));
  }
  fmt::print("\n{}\n", bench::format_table(table));
  fmt::print(
      "CPU of the worker for each of {} tasks, from the cancellation, or from what they wait for, until all have\n"
      "ended: medians over {} round(s), ratios taken within each round.\n",
      a.tasks, a.repeats);
  bench::write_file(a.json, fmt::format("{{\"bench\": \"cancellation\", \"rows\": [{}]}}\n", json));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::report_errors([&] { return run(parse(argc, argv)); });
}
