#include "echo_report.hpp"

#include "build_kind.hpp"
#include "json.hpp"
#include "ring_access.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <sys/utsname.h>
#include <algorithm>
#include <array>
#include <cmath>

namespace bench {
namespace {

using std::chrono::duration;

struct named_figure {
  const char* name;
  echo_figure figure;
};

constexpr std::array figures{
    named_figure{"requests_per_second", &echo_sample::requests_per_second},
    named_figure{"cpu_us_per_request", &echo_sample::cpu_us},
    named_figure{"syscalls_per_request", &echo_sample::syscalls},
    named_figure{"p50_us", &echo_sample::p50_us},
    named_figure{"p99_us", &echo_sample::p99_us},
    named_figure{"p999_us", &echo_sample::p999_us},
    named_figure{"server_busy", &echo_sample::server_busy},
    named_figure{"client_busy", &echo_sample::client_busy},
    named_figure{"disturbed", &echo_sample::disturbed},
};

std::string json_row(const echo_report& report, const echo_row& row) {
  std::string out = fmt::format(R"({{"server": {}, "title": {}, "connections": {})", json_string(row.server->name),
                                json_string(row.server->title), row.connections);
  for (const auto& [name, figure] : figures) out += fmt::format(R"(, "{}": {})", name, json_number(row.median(figure)));
  out += fmt::format(R"(, "requests_vs_raw_epoll": {}, "cpu_vs_raw_epoll": {}, "cpu_vs_raw_uring": {}, "rounds": [)",
                     json_number(report.requests_vs_epoll(row)), json_number(report.cpu_vs_epoll(row)),
                     json_number(report.cpu_vs_uring(row)));
  for (std::size_t i = 0; i < row.rounds.size(); ++i) {
    out += i == 0 ? "{" : ", {";
    for (std::size_t f = 0; f < figures.size(); ++f) {
      out += fmt::format(R"({}"{}": {})", f == 0 ? "" : ", ", figures[f].name,
                         json_number(row.rounds[i].*figures[f].figure));
    }
    out += "}";
  }
  return out + "]}";
}

}  // namespace

std::string echo_table(const echo_report& report, unsigned connections) {
  std::vector<std::vector<std::string>> cells{{fmt::format("{} connections, {} B", connections, report.options.size),
                                               "k req/s", "CPU us/req", "calls/req", "p50 us", "p99 us", "p99.9 us",
                                               "req/s:epoll", "CPU:epoll", "CPU:uring", "client"}};
  for (const echo_row& row : report.rows) {
    if (row.connections != connections) continue;
    cells.push_back({std::string(row.server->title), figure(row.median(&echo_sample::requests_per_second) / 1e3, 1),
                     figure(row.median(&echo_sample::cpu_us), 2), figure(row.median(&echo_sample::syscalls), 3),
                     figure(row.median(&echo_sample::p50_us), 0), figure(row.median(&echo_sample::p99_us), 0),
                     figure(row.median(&echo_sample::p999_us), 0), figure(report.requests_vs_epoll(row), 2),
                     figure(report.cpu_vs_epoll(row), 2), figure(report.cpu_vs_uring(row), 2),
                     figure(row.median(&echo_sample::client_busy), 2)});
  }
  return format_table(cells);
}

std::vector<std::string> echo_notes(const echo_report& report) {
  std::vector<std::string> notes;
  if (!built_for_speed)
    notes.emplace_back("Built without optimisation or with a sanitizer: not a measurement of speed.");
  if (!report.pinned) notes.emplace_back("Server and client share one core: the figures are of both together.");
  if (report.client_engine == "epoll") notes.emplace_back("The load client runs on epoll here, which costs it more.");
  if (!report.why_no_syscalls.empty())
    notes.push_back(fmt::format("System calls were not counted: {}.", report.why_no_syscalls));
  if (!report.pinned) return notes;
  const auto disturbed_runs = [](const echo_row& row) {
    return std::count_if(row.rounds.begin(), row.rounds.end(), [](const echo_sample& s) { return s.disturbed > 0.1; });
  };
  std::size_t disturbed = 0;
  std::size_t rounds = 0;
  for (const echo_row& row : report.rows) {
    disturbed += static_cast<std::size_t>(disturbed_runs(row));
    rounds += row.rounds.size();
  }
  if (disturbed > 0) {
    notes.push_back(
        fmt::format("In {} of {} runs other programs took more than a tenth of the client's core: "
                    "repeat on a quiet machine.",
                    disturbed, rounds));
  }
  return notes;
}

std::vector<target> check_targets(const echo_report& report) {
  std::vector<target> checks;
  if (report.options.size != 64 || report.options.depth != 1) return checks;
  for (const echo_row& row : report.rows) {
    if (row.server->name != "weir-uring" || (row.connections != 64 && row.connections != 512)) continue;
    const auto check = [&](double value, double limit, std::string_view what) {
      if (!std::isfinite(value)) return;
      const bool met = value <= limit;
      checks.push_back({fmt::format("weir on io_uring, {} connections: {:.3f} {} (at most {:.2f}: {})", row.connections,
                                    value, what, limit, met ? "met" : "missed"),
                        met});
    };
    check(report.cpu_vs_uring(row), 1.05, "x the CPU of raw io_uring");
    check(report.cpu_vs_epoll(row), 0.93, "x the CPU of raw epoll");
    check(row.median(&echo_sample::syscalls), 0.10, "system calls per request");
  }
  return checks;
}

std::string to_json(const echo_report& report) {
  utsname system{};
  uname(&system);
  const echo_options& o = report.options;
  std::string out = fmt::format(
      R"({{"bench": "echo", "kernel": {}, "io_uring": {}, "why_not_uring": {}, "client": {}, "pinned": {}, )"
      R"("size": {}, "depth": {}, "seconds": {}, "repeats": {}, "rows": [)",
      json_string(system.release), probe_ring().allowed, json_string(probe_ring().why_not),
      json_string(report.client_engine), report.pinned, o.size, o.depth, duration<double>(o.measured).count(),
      o.repeats);
  for (std::size_t i = 0; i < report.rows.size(); ++i)
    out += (i == 0 ? "\n" : ",\n") + json_row(report, report.rows[i]);
  return out + "],\n\"failures\": " + json_strings(report.failures) + "}\n";
}

}  // namespace bench
