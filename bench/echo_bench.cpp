#include "echo_bench.hpp"

#include "loopback.hpp"
#include "median.hpp"
#include "server_process.hpp"
#include "syscall_counter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>

namespace bench {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr echo_sample no_sample{nan, nan, nan, nan, nan, nan, nan, nan, nan};

// For how long this thread was ready to run while its core ran others.
double seconds_this_thread_waited() {
  std::ifstream file("/proc/thread-self/schedstat");
  std::uint64_t running_ns = 0;
  std::uint64_t waiting_ns = 0;
  return file >> running_ns >> waiting_ns ? 1e-9 * static_cast<double>(waiting_ns) : nan;
}

// Reads the server's counters as the client's phases change, on the client's thread: the
// requests and the CPU time are of the same stretch of time.
class server_meter {
 public:
  explicit server_meter(const server_process& server) : server_(server) {}

  void enter(load_phase phase) {
    if (phase_ == load_phase::measured) {
      cpu_ = server_.cpu_seconds() - cpu_at_begin_;
      waited_ = seconds_this_thread_waited() - waited_at_begin_;
    }
    if (phase_ == load_phase::counted) {
      syscalls_ = counter_->count() - calls_at_begin_;
      counter_.reset();
    }
    phase_ = phase;
    if (phase == load_phase::attaching) {
      counter_ = std::make_unique<syscall_counter>(server_.pid());
      why_not_ = counter_->why_not();
    }
    if (phase == load_phase::counted) calls_at_begin_ = counter_->count();
    if (phase == load_phase::measured) {
      waited_at_begin_ = seconds_this_thread_waited();
      cpu_at_begin_ = server_.cpu_seconds();
    }
  }

  double cpu() const noexcept { return cpu_; }
  double waited() const noexcept { return waited_; }
  double syscalls() const noexcept { return syscalls_; }
  const std::string& why_not() const noexcept { return why_not_; }

 private:
  const server_process& server_;
  load_phase phase_ = load_phase::warm_up;
  double cpu_at_begin_ = 0;
  double cpu_ = nan;
  double waited_at_begin_ = 0;
  double waited_ = nan;
  std::unique_ptr<syscall_counter> counter_;
  double calls_at_begin_ = nan;
  double syscalls_ = nan;
  std::string why_not_;
};

struct run_outcome {
  echo_sample sample = no_sample;
  std::string failure;
  std::string why_no_syscalls;
  std::string engine;
};

void add(std::string& sentences, const std::string& another) {
  if (!sentences.empty() && !another.empty()) sentences += "; ";
  sentences += another;
}

run_outcome run_once(const echo_options& options, const known_server& which, unsigned connections) {
  run_outcome outcome;
  std::optional<server_process> server;
  try {
    const auto cores = choose_cores();
    server.emplace(which.command, cores ? std::optional(cores->server) : std::nullopt);
    server_meter meter(*server);
    const load_result r = run_load({.port = server->port(),
                                    .connections = connections,
                                    .size = options.size,
                                    .depth = options.depth,
                                    .warm_up = options.warm_up,
                                    .measured = options.measured,
                                    .counted = options.counted,
                                    .engine = options.engine,
                                    .on_phase = [&meter](load_phase phase) { meter.enter(phase); }});
    outcome.engine = r.engine;
    outcome.why_no_syscalls = meter.why_not();
    if (!r.correct()) {
      outcome.failure = r.errors == 0 ? "no request was answered"
                                      : fmt::format("{} of {} connections failed, the first: {}", r.errors, connections,
                                                    r.first_error);
    } else if (r.requests > 0) {
      const auto requests = static_cast<double>(r.requests);
      outcome.sample = {.requests_per_second = r.requests_per_second(),
                        .cpu_us = 1e6 * meter.cpu() / requests,
                        .syscalls = meter.syscalls() /
                                    static_cast<double>(r.counted_requests),  // never finite when nothing was counted
                        .p50_us = static_cast<double>(r.p50_ns) / 1e3,
                        .p99_us = static_cast<double>(r.p99_ns) / 1e3,
                        .p999_us = static_cast<double>(r.p999_ns) / 1e3,
                        .server_busy = meter.cpu() / r.seconds,
                        .client_busy = r.client_busy(),
                        .disturbed = meter.waited() / r.seconds};
    }
  } catch (const std::exception& e) {
    outcome.failure = e.what();
  }
  if (server) add(outcome.failure, server->stop());
  return outcome;
}

// The median over the rounds of what `row` needed for each unit that the cheapest of the servers
// whose name begins with `baseline` needed in the same round.
double ratio(const echo_report& report, const echo_row& row, std::string_view baseline, echo_figure figure) {
  std::vector<double> quotients;
  for (std::size_t round = 0; round < row.rounds.size(); ++round) {
    double least = nan;
    for (const echo_row& other : report.rows) {
      if (other.connections != row.connections || !other.server->name.starts_with(baseline)) continue;
      least = std::fmin(least, other.rounds[round].*figure);  // which ignores NaN
    }
    quotients.push_back(row.rounds[round].*figure / least);
  }
  return median_of(std::move(quotients));
}

}  // namespace

double echo_row::median(echo_figure figure) const {
  std::vector<double> values;
  values.reserve(rounds.size());
  for (const echo_sample& sample : rounds) values.push_back(sample.*figure);
  return median_of(std::move(values));
}

double echo_report::cpu_vs_epoll(const echo_row& row) const {
  return ratio(*this, row, "raw-epoll", &echo_sample::cpu_us);
}

double echo_report::requests_vs_epoll(const echo_row& row) const {
  return ratio(*this, row, "raw-epoll", &echo_sample::requests_per_second);
}

double echo_report::cpu_vs_uring(const echo_row& row) const {
  return ratio(*this, row, "raw-uring", &echo_sample::cpu_us);
}

echo_report run_echo(const echo_options& options, const std::function<void(const std::string&)>& progress) {
  raise_open_files_limit();
  echo_report report;
  report.options = options;
  const std::vector<const known_server*> servers = runnable_servers(options.servers);
  if (const auto cores = choose_cores()) {
    pin_this_thread(cores->client);
    report.pinned = true;
  }
  for (const unsigned connections : options.connections) {
    for (const known_server* server : servers) report.rows.push_back({server, connections, {}});
  }
  const std::size_t total = report.rows.size() * options.repeats;
  const std::chrono::duration<double> each = 1.5 * options.warm_up + options.measured + options.counted;
  progress(fmt::format("{} runs, about {:.0f} s", total, static_cast<double>(total) * (each.count() + 0.15)));
  std::size_t done = 0;
  for (unsigned round = 0; round < options.repeats; ++round) {
    for (std::size_t group = 0; group < options.connections.size(); ++group) {
      for (std::size_t turn = 0; turn < servers.size(); ++turn) {
        // Each round begins with another server, so that none is always the first.
        echo_row& row = report.rows[group * servers.size() + (turn + round) % servers.size()];
        const run_outcome outcome = run_once(options, *row.server, row.connections);
        row.rounds.push_back(outcome.sample);
        if (!outcome.engine.empty()) report.client_engine = outcome.engine;
        if (report.why_no_syscalls.empty()) report.why_no_syscalls = outcome.why_no_syscalls;
        const std::string where = fmt::format("{}, {} connections", row.server->title, row.connections);
        if (!outcome.failure.empty())
          report.failures.push_back(fmt::format("{}, round {}: {}", where, round + 1, outcome.failure));
        std::string said = outcome.failure;
        if (said.empty() && std::isfinite(outcome.sample.requests_per_second)) {
          said = fmt::format("{:.0f} k requests/s, {:.2f} us of CPU each", outcome.sample.requests_per_second / 1e3,
                             outcome.sample.cpu_us);
        } else if (said.empty()) {
          said = "left out: other programs had the machine for all of the time that is measured";
        }
        progress(fmt::format("[{:>{}}/{}] {}: {}", ++done, fmt::formatted_size("{}", total), total, where, said));
      }
    }
  }
  return report;
}

}  // namespace bench
