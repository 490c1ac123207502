// `./dev demo`: an echo server under load, weir beside servers written by hand, and a pipeline over a log, beside Go.
// Answers and totals are checked.

#include "echo_bench.hpp"
#include "echo_report.hpp"
#include "pipeline_demo.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

constexpr unsigned connections = 64;

const bench::echo_row* find(const bench::echo_report& report, std::string_view name) {
  for (const bench::echo_row& row : report.rows) {
    if (row.server->name == name) return &row;
  }
  return nullptr;
}

std::string small_table(const bench::echo_report& report) {
  std::vector<std::vector<std::string>> cells{{"server", "requests/s", "CPU us per request", "p99 us"}};
  for (const bench::echo_row& row : report.rows) {
    cells.push_back({std::string(row.server->title),
                     bench::figure(row.median(&bench::echo_sample::requests_per_second), 0),
                     bench::figure(row.median(&bench::echo_sample::cpu_us), 2),
                     bench::figure(row.median(&bench::echo_sample::p99_us), 0)});
  }
  return bench::format_table(cells);
}

// Less than 2 % cannot be told apart in so short a run.
std::string compared(double ratio, std::string_view with) {
  const double percent = 100 * std::abs(ratio - 1);
  if (percent < 2) return fmt::format("about as much CPU as {}", with);
  return fmt::format("{:.0f} % {} CPU than {}", percent, ratio < 1 ? "less" : "more", with);
}

// Says what the figures say, also when weir loses.
std::string verdict(const bench::echo_report& report) {
  const bench::echo_row* weir = find(report, "weir-uring");
  if (weir == nullptr) weir = find(report, "weir-epoll");
  if (weir == nullptr) return {};
  const double epoll = report.cpu_vs_epoll(*weir);
  const double uring = report.cpu_vs_uring(*weir);
  if (!std::isfinite(epoll)) return {};
  std::string sentence =
      fmt::format("For each request {} needed {}", weir->server->title, compared(epoll, "epoll by hand"));
  if (std::isfinite(uring)) sentence += " and " + compared(uring, "io_uring by hand");
  return sentence + ".";
}

bool run_echo_demo() {
  bench::echo_options options;
  options.servers = {"weir-uring", "weir-epoll", "raw-epoll", "raw-uring"};
  options.connections = {connections};
  options.warm_up = std::chrono::milliseconds(80);
  options.measured = std::chrono::milliseconds(250);
  options.counted = {};

  fmt::print(
      "A TCP echo server under load: {} connections, {}-byte messages, one server thread, one load client.\n"
      "Every answer is compared with what was sent. The servers take turns.\n\n",
      connections, options.size);
  std::fflush(stdout);
  const bench::echo_report report = bench::run_echo(options, [](const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
  });

  fmt::print("\n{}\n", small_table(report));
  for (const std::string& note : bench::echo_notes(report)) fmt::print("{}\n", note);
  for (const std::string& failure : report.failures) fmt::print(stderr, "FAILED: {}\n", failure);
  if (!report.failures.empty()) return false;
  fmt::print("All answers were right. {}\n", verdict(report));
  return true;
}

}  // namespace

int main() {
  try {
    const bool echoed = run_echo_demo();
    fmt::print("\n");
    return bench::run_pipeline_demo() && echoed ? 0 : 1;
  } catch (const std::exception& e) {
    fmt::print(stderr, "demo: {}\n", e.what());
    return 1;
  }
}
