// Counts what is in a log, as a pipeline on weir:  weir_pipeline FILE LINES
// LINES is for the progress, which goes to stderr. The result is one line of numbers: see pipeline_demo.cpp.
// peers/pipeline.go is the same with Go's channels.

#include "log_file.hpp"
#include "memory_growth.hpp"
#include "stopwatch.hpp"

#include <weir/io/buffered_reader.hpp>
#include <weir/weir.hpp>

#include <fmt/format.h>

#include <unistd.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

enum class level : std::uint8_t { debug, info, warn, error };

struct entry {
  level severity;
  std::string user;
  std::size_t message_bytes;
};

entry parse(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t second = line.find(' ', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos)
    throw std::runtime_error(fmt::format("not a log line: {}", line));
  const std::string_view name = line.substr(0, first);
  const level severity = name == "DEBUG"  ? level::debug
                         : name == "INFO" ? level::info
                         : name == "WARN" ? level::warn
                                          : level::error;
  return {severity, std::string(line.substr(first + 1, second - first - 1)), line.size() - second - 1};
}

class aggregate {
 public:
  void add(const std::vector<entry>& batch) {
    for (const entry& e : batch) {
      ++(e.severity == level::info ? totals_.info : e.severity == level::warn ? totals_.warn : totals_.error);
      totals_.message_bytes += e.message_bytes;
      ++lines_of_[e.user];
    }
  }
  [[nodiscard]] bench::log_totals totals(std::uint64_t lines) const {
    bench::log_totals result = totals_;
    result.lines = lines;
    result.users = lines_of_.size();
    for (const auto& [user, count] : lines_of_) result.user_digest += bench::user_hash(user) * count;
    return result;
  }

 private:
  bench::log_totals totals_;
  std::unordered_map<std::string, std::uint64_t> lines_of_;
};

weir::async_generator<std::string> lines_of(weir::file& log) {
  weir::buffered_reader reader{log};
  while (auto line = co_await reader.read_line()) co_yield std::move(*line);
}

/// A terminal gets one line that changes, anything else a line each second. Runs until it is stopped.
weir::task<> show_progress(const weir::stage_counters& parsed, std::uint64_t lines) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const weir::time_point start = weir::now();
  const std::chrono::milliseconds period(terminal ? 100 : 1000);
  for (;;) {
    co_await weir::sleep_for(period);
    const std::chrono::duration<double> passed = weir::now() - start;
    const auto done = static_cast<double>(parsed.in());
    fmt::print(stderr, "{}  {:3.0f} %, {:.0f} lines/s, {} lines wait to be parsed{}", terminal ? "\r\033[K" : "",
               100 * done / static_cast<double>(lines), done / passed.count(), parsed.queued(), terminal ? "" : "\n");
  }
}

weir::task<bench::log_totals> count(std::string path, std::uint64_t lines) {
  weir::file log = co_await weir::file::open(path);
  weir::stage_counters parsed("parse");
  aggregate found;
  const auto wanted = [](const entry& e) { return e.severity != level::debug; };
  const auto add = [&found](const std::vector<entry>& batch) { found.add(batch); };
  const weir::transform_options four{.workers = 4, .counters = &parsed};

  weir::task<> pipeline = weir::from(lines_of(log))       // one task reads,
                          | weir::transform(parse, four)  // four parse,
                          | weir::filter(wanted)          // and one does the rest
                          | weir::batch(256) | weir::for_each(add);
  // The progress never ends by itself: the pipeline's end stops it, and its failure, too.
  co_await weir::when_any(std::move(pipeline), show_progress(parsed, lines));
  if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\033[K");
  co_return found.totals(parsed.out());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: weir_pipeline FILE LINES\n");
    return 2;
  }
  try {
    const bench::memory_growth memory;
    const bench::stopwatch watch;
    const bench::log_totals t = weir::run(count(argv[1], std::strtoull(argv[2], nullptr, 10)));
    fmt::print("{} {} {} {} {} {} {} {:.6f} {:.6f} {}\n", t.lines, t.info, t.warn, t.error, t.message_bytes, t.users,
               t.user_digest, watch.wall_ns() / 1e9, watch.process_cpu_ns() / 1e9, memory.bytes());
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "weir_pipeline: {}\n", e.what());
    return 1;
  }
}
