#include "pipeline_demo.hpp"

#include "log_file.hpp"
#include "median.hpp"
#include "server_process.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <unistd.h>
#include <cinttypes>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bench {
namespace {

constexpr std::uint64_t line_count = 1'000'000;
constexpr unsigned rounds = 3;

struct pipeline_run {
  log_totals totals;
  double seconds = 0;
  double cpu_seconds = 0;
  std::uint64_t growth = 0;  // of resident memory, at most, in bytes
};

/// Runs one of the programs: its result is one line of numbers.
pipeline_run run_program(const std::string& program, const log_file& log) {
  const std::string command = fmt::format("exec '{}' '{}' {}", program, log.path(), log.totals().lines);
  std::FILE* output = popen(command.c_str(), "r");
  if (output == nullptr) throw std::runtime_error(fmt::format("cannot start {}", program));
  pipeline_run r;
  log_totals& t = r.totals;
  const int read = std::fscanf(
      output, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %lf %lf %" SCNu64,
      &t.lines, &t.info, &t.warn, &t.error, &t.message_bytes, &t.users, &t.user_digest, &r.seconds, &r.cpu_seconds,
      &r.growth);
  if (pclose(output) != 0 || read != 10) throw std::runtime_error(fmt::format("{} failed", program));
  return r;
}

struct contender {
  std::string title;
  std::string program;
  std::vector<pipeline_run> runs;

  template <class Figure>
  [[nodiscard]] double median(Figure figure) const {
    std::vector<double> values;
    values.reserve(runs.size());
    for (const pipeline_run& r : runs) values.push_back(figure(r));
    return median_of(std::move(values));
  }
};

constexpr double megabyte = 1'000'000;

std::string describe(const contender& c) {
  const pipeline_run& r = c.runs.back();
  return fmt::format("{}: {} lines in {:.2f} s, {:.2f} s of CPU, memory grew by {:.1f} MB", c.title, r.totals.lines,
                     r.seconds, r.cpu_seconds, static_cast<double>(r.growth) / megabyte);
}

std::string results(const std::vector<contender>& contenders) {
  std::vector<std::vector<std::string>> cells{{"pipeline", "lines/s", "CPU us per line", "memory grew by MB"}};
  for (const contender& c : contenders) {
    const auto lines = static_cast<double>(line_count);
    cells.push_back(
        {c.title, figure(c.median([&](const pipeline_run& r) { return lines / r.seconds; }), 0),
         figure(c.median([&](const pipeline_run& r) { return 1e6 * r.cpu_seconds / lines; }), 2),
         figure(c.median([](const pipeline_run& r) { return static_cast<double>(r.growth) / megabyte; }), 1)});
  }
  return format_table(cells);
}

}  // namespace

bool run_pipeline_demo() {
  fmt::print("A pipeline: one task reads the lines of a log, four parse them, one filters, batches and counts.\n");
  std::fflush(stdout);
  const log_file log(line_count);
  fmt::print("The log has {} lines, {:.1f} MB. The programs take turns.\n\n", log.totals().lines,
             static_cast<double>(log.bytes()) / megabyte);
  std::fflush(stdout);

  std::vector<contender> contenders{{"weir", sibling("weir_pipeline"), {}}};
  const std::string in_go = sibling("peer_pipeline");
  const bool has_go = access(in_go.c_str(), X_OK) == 0;
  if (has_go) contenders.push_back({"Go's channels", in_go, {}});

  bool right = true;
  for (unsigned round = 0; round < rounds; ++round) {
    for (contender& c : contenders) {
      c.runs.push_back(run_program(c.program, log));
      fmt::print("[{}/{}] {}\n", round + 1, rounds, describe(c));
      std::fflush(stdout);
      if (c.runs.back().totals == log.totals()) continue;
      right = false;
      fmt::print(stderr, "FAILED: {}: the totals differ from those counted while the log was made\n", c.title);
    }
  }
  fmt::print("\n{}\n", results(contenders));
  if (!has_go) fmt::print("Go is not installed here: the same in Go is left out.\n");

  // What is on the way is bounded by the stages' buffers, whatever the length of the log.
  const double growth = contenders.front().median([](const pipeline_run& r) { return static_cast<double>(r.growth); });
  const double most = static_cast<double>(log.bytes()) / 4;
  if (growth > most) {
    right = false;
    fmt::print(stderr, "FAILED: weir's memory grew by {:.1f} MB, which is more than {:.1f}\n", growth / megabyte,
               most / megabyte);
  }
  const log_totals& t = log.totals();
  if (right) {
    fmt::print(
        "All totals are those counted while the log was made: {} INFO, {} WARN, {} ERROR by {} users, {} bytes of "
        "messages.\n",
        t.info, t.warn, t.error, t.users, t.message_bytes);
  }
  return right;
}

}  // namespace bench
