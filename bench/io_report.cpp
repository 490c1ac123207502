#include "io_bench.hpp"
#include "json.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace bench {
namespace {

std::string size_text(std::size_t size) {
  if (size >= 1 << 20) return fmt::format("{} MiB", size >> 20);
  return size >= 1 << 12 ? fmt::format("{} KiB", size >> 10) : fmt::format("{} B", size);
}

/// What the project wants of a row.
struct io_goal {
  io_operation operation;
  std::size_t size;
  std::string_view who;
  io_figure figure;
  std::string_view against;  // empty: the figure itself
  double limit;
};

constexpr io_figure cpu = &io_sample::cpu_us;
constexpr io_figure speed = &io_sample::per_second;

constexpr std::array goals{
    io_goal{io_operation::udp, 64, "weir-uring", cpu, "raw-epoll", 1.0},
    io_goal{io_operation::udp, 64, "weir-uring", cpu, "raw-uring", 1.1},
    io_goal{io_operation::udp, 64, "weir-epoll", cpu, "raw-epoll", 1.15},
    io_goal{io_operation::accept, 0, "weir-uring", cpu, "raw-epoll", 1.0},
    io_goal{io_operation::accept, 0, "weir-uring", cpu, "raw-uring", 1.1},
    io_goal{io_operation::accept, 0, "weir-epoll", cpu, "raw-epoll", 1.15},
    io_goal{io_operation::tls, 64, "weir-uring", cpu, "raw-epoll", 1.0},
    io_goal{io_operation::tls, 64, "weir-epoll", cpu, "raw-epoll", 1.15},
    io_goal{io_operation::read_direct, 4096, "weir-uring", speed, "fio", 1.0},
    io_goal{io_operation::read_direct, 4096, "weir-uring", cpu, "", 4.0},
    io_goal{io_operation::read_cached, 4096, "weir-uring", speed, "fio", 1.0},
    io_goal{io_operation::read_cached, 4096, "weir-uring", cpu, "", 1.5},
    // Two interleaved runs of the same program differ by as much.
    io_goal{io_operation::copy, 64 << 20, "weir-uring", speed, "copy_file_range", 0.97},
};

}  // namespace

std::string title_of(const io_row& row) {
  return row.size == 0 ? std::string(row.kind->title) : fmt::format("{}, {}", row.kind->title, size_text(row.size));
}

std::string io_table(const io_row& row) {
  const std::string_view first = row.kind->baseline;
  const std::string_view second = row.kind->baseline2;
  std::vector<std::string> head{title_of(row), "in a second", "CPU us", fmt::format("speed:{}", first),
                                fmt::format("CPU:{}", first)};
  if (!second.empty()) head.push_back(fmt::format("CPU:{}", second));
  std::vector<std::vector<std::string>> lines{std::move(head)};
  for (const io_entry& entry : row.entries) {
    lines.push_back({std::string(entry.who->title), figure(entry.median(speed), entry.median(speed) < 100 ? 1 : 0),
                     figure(entry.median(cpu), 2), figure(row.ratio(entry, first, speed), 2),
                     figure(row.ratio(entry, first, cpu), 2)});
    if (!second.empty()) lines.back().push_back(figure(row.ratio(entry, second, cpu), 2));
  }
  return format_table(lines);
}

std::vector<target> check_targets(const io_report& report) {
  std::vector<target> checks;
  for (const io_goal& goal : goals) {
    for (const io_row& row : report.rows) {
      const io_entry* const entry = row.find(goal.who);
      if (row.kind->operation != goal.operation || row.size != goal.size || entry == nullptr) continue;
      const double value =
          goal.against.empty() ? entry->median(goal.figure) : row.ratio(*entry, goal.against, goal.figure);
      if (!std::isfinite(value)) continue;
      const bool wants_more = goal.figure == speed;
      const bool met = wants_more ? value >= goal.limit : value <= goal.limit;
      const std::string what = goal.against.empty()
                                   ? std::string("us of CPU each")
                                   : fmt::format("x the {} of {}", wants_more ? "speed" : "CPU", goal.against);
      checks.push_back({fmt::format("{}: {}: {:.2f} {} (at {} {:.2f}: {})", title_of(row), entry->who->title, value,
                                    what, wants_more ? "least" : "most", goal.limit, met ? "met" : "missed"),
                        met});
    }
  }
  return checks;
}

std::string to_json(const io_report& report) {
  std::string out = fmt::format(R"({{"bench": "io", "repeats": {}, "pinned": {}, "left_out": {}, "rows": [)",
                                report.options.repeats, report.pinned, json_strings(report.left_out));
  for (const io_row& row : report.rows) {
    out += fmt::format(R"({}{{"row": {}, "title": {}, "size": {}, "baseline": {}, "columns": [)",
                       &row == &report.rows.front() ? "\n" : ",\n", json_string(row.kind->key),
                       json_string(row.kind->title), row.size, json_string(row.kind->baseline));
    for (const io_entry& entry : row.entries) {
      out +=
          fmt::format(R"({}{{"column": {}, "title": {}, "per_second": {}, "cpu_us": {}, "rounds": [)",
                      &entry == &row.entries.front() ? "" : ", ", json_string(entry.who->name),
                      json_string(entry.who->title), json_number(entry.median(speed)), json_number(entry.median(cpu)));
      for (const io_sample& sample : entry.rounds) {
        out += fmt::format(R"({}{{"per_second": {}, "cpu_us": {}}})", &sample == &entry.rounds.front() ? "" : ", ",
                           json_number(sample.per_second), json_number(sample.cpu_us));
      }
      out += "]}";
    }
    out += "]}";
  }
  return out + "],\n\"failures\": " + json_strings(report.failures) + "}\n";
}

}  // namespace bench
