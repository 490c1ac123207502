#include "benchmark_page.hpp"

#include "measured.hpp"
#include "svg_plot.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <utility>

namespace bench {
namespace {

using figures = std::vector<const measured*>;

/// A line of the short table: where a figure stands, and whose they are.
struct glance {
  const char* label;
  const char* group;
  const char* row;
  const char* what;
  std::array<const char*, 5> who;  // weir, by hand, Go, Tokio, Asio
};

constexpr std::array one_worker{"weir 1 worker", "raw", "Go 1", "Tokio 1", ""};
constexpr std::array two_workers{"weir 2 workers", "", "Go 2", "Tokio 2", ""};
constexpr std::array echo_servers{"weir on io_uring", "raw io_uring, own buffers", "Go", "", "Asio"};
constexpr auto echo = "Echo over TCP, by the number of connections (64 B)";
constexpr auto tasks = "Tasks, turns, timers, locks";
constexpr auto channels = "Channels, events, limiters";
constexpr auto patterns = "Pipelines and pools";
constexpr auto ns = "ns for each operation";
constexpr auto cpu = "CPU per request, us";

constexpr std::array<glance, 14> glances{{
    {"an echo server, 64 connections: us of CPU for a request", echo, "64 connections", cpu, echo_servers},
    {"the same, 512 connections", echo, "512 connections", cpu, echo_servers},
    {"the same: system calls for a request", echo, "512 connections", "system calls per request", echo_servers},
    {"an idle connection: bytes",
     "Memory for an idle connection",
     "10000 idle connections",
     "resident bytes of each",
     {"weir on io_uring, leases", "raw io_uring, own buffers", "Go", "", "Asio"}},
    {"a leaf of a tree of a million tasks: ns", tasks, "skynet: a leaf of 1M", ns, one_worker},
    {"to spawn a task and join it: ns", tasks, "spawn, join, one by one", ns, one_worker},
    {"a task that sleeps: bytes", tasks, "1M sleep: bytes of each", "as the row says", one_worker},
    {"a timeout, armed and cancelled: ns", tasks, "timer: arm, yield, cancel", ns, one_worker},
    {"an item through a channel: ns", channels, "channel(128), 1 to 1", ns, one_worker},
    {"the same, four senders and receivers, two threads", channels, "channel(128), 4 to 4", ns, two_workers},
    {"a rendezvous, there and back: ns", channels, "rendezvous, there and back", ns, one_worker},
    {"a select over eight channels: ns", channels, "select over eight channels", ns, one_worker},
    {"a record through a pipeline of five stages: ns", patterns, "five stages, in one task", ns, one_worker},
    {"a job of a pool, two threads: ns", patterns, "pool of 8, trivial job", ns, two_workers},
}};

/// Of each the value of `key`, each once, in the order in which they come.
template <class Key>
std::vector<std::string> distinct(const figures& all, Key key) {
  std::vector<std::string> found;
  for (const measured* one : all) {
    if (std::find(found.begin(), found.end(), one->*key) == found.end()) found.push_back(one->*key);
  }
  return found;
}

template <class Wanted>
figures those(const figures& all, Wanted wanted) {
  figures found;
  std::copy_if(all.begin(), all.end(), std::back_inserter(found), [&](const measured* m) { return wanted(*m); });
  return found;
}

/// Three digits, or the whole number.
std::string short_figure(double value) {
  if (!std::isfinite(value)) return "n/a";
  if (value == 0) return "0";
  const int digits = 2 - static_cast<int>(std::floor(std::log10(std::abs(value))));
  return fmt::format("{:.{}f}", value, std::clamp(digits, 0, 4));
}

std::string in_cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, 1, '\\');
  return text;
}

/// Rows by whom: one figure of one group.
std::string table_of(const figures& all) {
  const std::vector<std::string> columns = distinct(all, &measured::who);
  std::string out = fmt::format("\n| {} |", all.front()->what);
  std::string line = "|---|";
  for (const std::string& who : columns) {
    out += fmt::format(" {} |", in_cell(who));
    line += "--:|";
  }
  out += "\n" + line + "\n";
  for (const std::string& row : distinct(all, &measured::row)) {
    out += fmt::format("| {} |", in_cell(row));
    for (const std::string& who : columns) {
      const auto found =
          std::find_if(all.begin(), all.end(), [&](const measured* m) { return m->row == row && m->who == who; });
      out += fmt::format(" {} |", found == all.end() ? "" : short_figure((*found)->median()));
    }
    out += "\n";
  }
  return out;
}

plot_panel panel_of(const figures& all, std::string title) {
  plot_panel panel{std::move(title), {}};
  for (const std::string& who : distinct(all, &measured::who)) {
    plot_series series{who, {}};
    for (const measured* m : all) {
      if (m->who == who && m->x > 0 && m->median() > 0) series.points.emplace_back(m->x, m->median());
    }
    if (!series.points.empty()) panel.series.push_back(std::move(series));
  }
  return panel;
}

class page_writer {
 public:
  explicit page_writer(const json_value& run) : run_(run), measured_(read_measured(run)) {
    for (const measured& one : measured_) all_.push_back(&one);
  }

  benchmark_page write() {
    write_head();
    write_glance();
    write_targets();
    write_behind();
    for (const std::string& group : distinct(all_, &measured::group)) write_group(group);
    return std::move(page_);
  }

 private:
  void write_head() {
    page_.text = fmt::format(
        "# Benchmarks\n\nMeasured on {} by `./dev bench`, which wrote this page, in {:.0f} s. Medians over rounds in "
        "which all that are compared took turns;\nevery answer was checked. Figures of CPU travel better than times, "
        "and ratios within one table better than figures. What each row is:\n[Performance](performance.md#measuring). "
        "Rows in which weir is behind stay, and are listed below.\n",
        run_["date"].text(), run_["seconds"].number());
    if (run_["smoke"].is_true())
      page_.text += "\n**A smoke run: it shows that everything runs. Its figures mean nothing.**\n";
    page_.text += "\n| machine | |\n|---|---|\n";
    const json_value& machine = run_["machine"];
    for (std::size_t i = 0; i < machine.names().size(); ++i)
      page_.text += fmt::format("| {} | {} |\n", machine.names()[i], in_cell(machine.items()[i].text()));
    const double busy = std::strtod(machine["busy before"].text().c_str(), nullptr);
    if (busy > 5) page_.text += "\n**The machine was busy with something else: repeat when it is quiet.**\n";
    std::string missing;
    for (const json_value& part : run_["parts"].items()) {
      for (const json_value& reason : part["result"]["left_out"].items())
        missing += fmt::format("- {}\n", reason.text());
      for (const json_value& failure : part["result"]["failures"].items())
        missing += fmt::format("- FAILED: {}: {}\n", part["arguments"].text(), failure.text());
      if (part["status"].number() != 0)
        missing +=
            fmt::format("- `bench {}` ended with status {:.0f}.\n", part["arguments"].text(), part["status"].number());
    }
    if (!missing.empty()) page_.text += "\n" + missing;
  }

  /// `dev` puts this section into the README, too.
  void write_glance() {
    std::string lines;
    for (const glance& g : glances) {
      std::array<std::string, 5> cells;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        for (const measured& m : measured_) {
          if (m.group == g.group && m.row == g.row && m.what == g.what && m.who == g.who[i])
            cells[i] = short_figure(m.median());
        }
      }
      if (!cells.front().empty()) lines += fmt::format("| {} | {} |\n", g.label, fmt::join(cells, " | "));
    }
    if (lines.empty()) return;
    page_.text +=
        "\n## At a glance\n\n| one thread, if nothing else is said | weir | by hand | Go | Tokio | Asio |\n"
        "|---|--:|--:|--:|--:|--:|\n" +
        lines;
  }

  void write_targets() {
    std::string met;
    std::string missed;
    for (const json_value& part : run_["parts"].items()) {
      for (const json_value& target : part["result"]["targets"].items()) {
        const std::string line = fmt::format("- {}: {}\n", part["group"].text(), target.text());
        (target.text().find("missed)") == std::string::npos ? met : missed) += line;
      }
    }
    if (!met.empty() || !missed.empty()) page_.text += "\n## Goals\n\nMissed:\n\n";
    if (!met.empty() || !missed.empty()) page_.text += (missed.empty() ? "- none\n" : missed) + "\nMet:\n\n" + met;
  }

  /// Every figure in which somebody else has done better than the best of weir's. The raw floor of the small programs
  /// is a limit, not a rival.
  void write_behind() {
    std::string lines;
    for (const std::string& group : distinct(all_, &measured::group)) {
      const figures of_group = those(all_, [&](const measured& m) { return m.group == group; });
      for (const std::string& row : distinct(of_group, &measured::row)) {
        for (const std::string& what : distinct(of_group, &measured::what)) {
          const figures subject =
              those(of_group, [&](const measured& m) { return m.row == row && m.what == what && m.who != "raw"; });
          lines += behind(subject);
        }
      }
    }
    if (lines.empty()) return;
    page_.text +=
        "\n## Where weir is behind\n\nFigures in which another one is ahead of the best of weir's by more than 2 %, "
        "with "
        "how many times as much weir needs,\nor how many times as much the other does.\n\n| | figure | weir's best | "
        "ahead of it |\n|---|---|--:|---|\n" +
        lines;
  }

  static std::string behind(const figures& subject) {
    constexpr double least = 1.02;
    const measured* best = nullptr;
    const auto lead = [](const measured& one, const measured& other) {
      return one.more_is_better ? one.median() / other.median() : other.median() / one.median();
    };
    for (const measured* m : subject) {
      if (m->is_weir() && (best == nullptr || lead(*m, *best) > 1)) best = m;
    }
    if (best == nullptr) return {};
    std::vector<std::string> ahead;
    for (const measured* m : subject) {
      if (!m->is_weir() && lead(*m, *best) > least)
        ahead.push_back(fmt::format("{} {} ({:.2f} x)", in_cell(m->who), short_figure(m->median()), lead(*m, *best)));
    }
    if (ahead.empty()) return {};
    return fmt::format("| {}: {} | {} | {} | {} |\n", in_cell(best->group), in_cell(best->row), best->what,
                       short_figure(best->median()), fmt::join(ahead, ", "));
  }

  void write_group(const std::string& group) {
    const figures of_group = those(all_, [&](const measured& m) { return m.group == group; });
    page_.text += fmt::format("\n## {}\n", group);
    const std::vector<std::string> whats = distinct(of_group, &measured::what);
    for (const std::string& what : whats) {
      const figures same = those(of_group, [&](const measured& m) { return m.what == what; });
      page_.text += table_of(same);
      draw_bars(same);
    }
    draw_lines(group, of_group, whats);
  }

  /// Memory: of what has no x.
  void draw_bars(const figures& all) {
    for (const std::string& row : distinct(all, &measured::row)) {
      if (row.find("bytes of each") == std::string::npos &&
          all.front()->what.find("bytes of each") == std::string::npos)
        continue;
      bar_chart chart{"Resident bytes: " + row, {}};
      for (const measured* m : all) {
        if (m->row == row) chart.bars.emplace_back(m->who, std::max(0.0, m->median()));
      }
      picture(row, to_svg(chart));
    }
  }

  void draw_lines(const std::string& group, const figures& of_group, const std::vector<std::string>& whats) {
    const bool in_bytes = std::any_of(of_group.begin(), of_group.end(),
                                      [](const measured* m) { return m->x > 0 && m->row.ends_with(" B"); });
    plot latencies{.title = group, .x_label = "connections", .y_label = "us", .panels = {}, .panels_in_row = 3};
    latencies.x_in_bytes = in_bytes;
    for (const std::string& what : whats) {
      const figures same = those(of_group, [&](const measured& m) { return m.what == what; });
      plot_panel panel = panel_of(same, what);
      const bool is_line = std::any_of(panel.series.begin(), panel.series.end(),
                                       [](const plot_series& s) { return s.points.size() > 1; });
      if (!is_line) continue;
      if (what.starts_with("p")) {
        latencies.panels.push_back(std::move(panel));
        continue;
      }
      if (what.starts_with("system calls")) continue;
      const std::string x_label = in_bytes ? "bytes" : same.front()->row.ends_with("frames") ? "frames" : "connections";
      picture(fmt::format("{} {}", group, what), to_svg(plot{.title = group,
                                                             .x_label = x_label,
                                                             .y_label = what,
                                                             .panels = {std::move(panel)},
                                                             .panels_in_row = 1,
                                                             .x_in_bytes = in_bytes}));
    }
    if (in_bytes) latencies.x_label = "bytes";
    if (!latencies.panels.empty()) picture(group + " latency", to_svg(latencies));
  }

  void picture(const std::string& title, std::string svg) {
    std::string name = "benchmarks/";
    for (const char c : title) {
      const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
      if (is_plain || (c >= 'A' && c <= 'Z')) {
        name += static_cast<char>(is_plain ? c : c - 'A' + 'a');
      } else if (!name.ends_with('-') && !name.ends_with('/')) {
        name += '-';
      }
    }
    if (name.ends_with('-')) name.pop_back();
    name += ".svg";
    page_.text += fmt::format("\n![{}]({})\n", title, name);
    page_.pictures.emplace_back(std::move(name), std::move(svg));
  }

  const json_value& run_;
  std::vector<measured> measured_;
  figures all_;
  benchmark_page page_;
};

}  // namespace

benchmark_page page_of(const json_value& run) { return page_writer(run).write(); }

}  // namespace bench
