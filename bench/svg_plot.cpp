#include "svg_plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>

namespace bench {
namespace {

// Okabe and Ito's colours, which those who cannot see some colours can tell apart.
constexpr std::array<std::string_view, 8> colours{"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                                  "#56b4e9", "#d55e00", "#000000", "#b5a800"};
constexpr std::string_view grey = "#999999";

constexpr double panel_width = 380;
constexpr double panel_height = 240;
constexpr double left = 70;  // of a panel, for the labels of its y axis
constexpr double above = 30;
constexpr double below = 45;
constexpr double gap = 20;
constexpr double head = 40;    // of the whole, for its title
constexpr double legend = 22;  // of a line of the legend at its foot

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string short_number(double value) {
  if (value >= 1e6) return fmt::format("{:g}M", value / 1e6);
  if (value >= 1e3) return fmt::format("{:g}k", value / 1e3);
  return fmt::format("{:g}", value);
}

std::string bytes_text(double value) {
  if (value >= 1 << 20) return fmt::format("{:g}Mi", value / (1 << 20));
  return value >= 1 << 10 ? fmt::format("{:g}Ki", value / (1 << 10)) : fmt::format("{:g}", value);
}

std::string opening(double width, double height) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n<rect width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "fill=\"white\"/>\n",
      width, height);
}

/// Where the values of all panels lie.
struct axes {
  std::set<double> x_ticks;
  double least = 0;  // powers of ten
  double most = 0;
  bool x_in_bytes = false;
};

axes axes_of(const plot& drawn) {
  axes found;
  found.x_in_bytes = drawn.x_in_bytes;
  double least = 0;
  double most = 0;
  for (const plot_panel& panel : drawn.panels) {
    for (const plot_series& series : panel.series) {
      for (const auto& [x, y] : series.points) {
        found.x_ticks.insert(x);
        least = least == 0 ? y : std::min(least, y);
        most = std::max(most, y);
      }
    }
  }
  if (found.x_ticks.empty()) {  // nothing to draw, but still a picture
    found.x_ticks = {1, 2};
    least = most = 1;
  }
  found.least = std::floor(std::log10(least));
  found.most = std::max(std::ceil(std::log10(most)), found.least + 1);
  return found;
}

/// One panel's place in the picture.
class canvas {
 public:
  canvas(const axes& values, double x, double y) : values_(values), x_(x), y_(y) {}

  [[nodiscard]] double x_of(double value) const {
    const double first = std::log2(*values_.x_ticks.begin());
    const double width = std::max(std::log2(*values_.x_ticks.rbegin()) - first, 1.0);
    constexpr double margin = 15;
    return x_ + margin + (std::log2(value) - first) / width * (panel_width - 2 * margin);
  }
  [[nodiscard]] double y_of(double value) const {
    return y_ + panel_height - (std::log10(value) - values_.least) / (values_.most - values_.least) * panel_height;
  }

  [[nodiscard]] std::string frame() const {
    std::string out =
        fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#333333\"/>\n",
                    x_, y_, panel_width, panel_height);
    for (const double tick : values_.x_ticks) {
      out += fmt::format("<line x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\" stroke=\"#333333\"/>\n",
                         x_of(tick), y_ + panel_height, y_ + panel_height + 4);
      out += text(x_of(tick), y_ + panel_height + 17, "middle",
                  values_.x_in_bytes ? bytes_text(tick) : short_number(tick));
    }
    for (double power = values_.least; power <= values_.most; ++power) {
      const double tick = std::pow(10, power);
      for (const int part : {1, 2, 5}) {
        const double y = y_of(part * tick);
        if (y < y_ - 0.5) break;
        out += fmt::format("<line x1=\"{0:.1f}\" y1=\"{2:.1f}\" x2=\"{1:.1f}\" y2=\"{2:.1f}\" stroke=\"{3}\"/>\n", x_,
                           x_ + panel_width, y, part == 1 ? "#cccccc" : "#eeeeee");
        if (part == 1) out += text(x_ - 6, y + 4, "end", short_number(tick));
      }
    }
    return out;
  }

  [[nodiscard]] std::string line(const plot_series& series, std::string_view colour) const {
    std::string points;
    std::string marks;
    for (const auto& [x, y] : series.points) {
      points += fmt::format("{}{:.1f},{:.1f}", points.empty() ? "" : " ", x_of(x), y_of(y));
      if (!series.dashed)
        marks += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", x_of(x), y_of(y), colour);
    }
    return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"{}/>\n{}", points,
                       colour, series.dashed ? " stroke-dasharray=\"5 4\"" : "", marks);
  }

  static std::string text(double x, double y, std::string_view anchor, std::string_view words,
                          std::string_view more = {}) {
    return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, more,
                       escaped(words));
  }

 private:
  const axes& values_;
  double x_;
  double y_;
};

/// The labels of all series, each once, and their colours.
std::vector<std::pair<std::string, std::string_view>> colours_of(const plot& drawn) {
  std::vector<std::pair<std::string, std::string_view>> found;
  std::size_t next = 0;
  for (const plot_panel& panel : drawn.panels) {
    for (const plot_series& series : panel.series) {
      const bool known =
          std::any_of(found.begin(), found.end(), [&](const auto& f) { return f.first == series.label; });
      if (!known) found.emplace_back(series.label, series.dashed ? grey : colours[next++ % colours.size()]);
    }
  }
  return found;
}

}  // namespace

std::string to_svg(const plot& drawn) {
  constexpr double cell_width = left + panel_width + gap;
  constexpr double cell_height = above + panel_height + below;
  const std::size_t in_row = std::max<std::size_t>(1, std::min(drawn.panels_in_row, drawn.panels.size()));
  const std::size_t rows = (drawn.panels.size() + in_row - 1) / in_row;
  const double width = static_cast<double>(in_row) * cell_width + gap;
  const auto palette = colours_of(drawn);
  // The legend: labels in lines that are as long as the picture is wide.
  const auto width_of = [](const std::string& label) { return 50 + 7.5 * static_cast<double>(label.size()); };
  std::size_t lines = 1;
  double used = gap;
  for (const auto& [label, colour] : palette) {
    if (used + width_of(label) > width && used > gap) {
      ++lines;
      used = gap;
    }
    used += width_of(label);
  }
  const double plots_end = head + static_cast<double>(rows) * cell_height;
  std::string out = opening(width, plots_end + static_cast<double>(lines) * legend + 10);
  out += canvas::text(width / 2, 26, "middle", drawn.title, " font-size=\"16\"");

  const axes values = axes_of(drawn);
  for (std::size_t i = 0; i < drawn.panels.size(); ++i) {
    const plot_panel& panel = drawn.panels[i];
    const double x = gap + static_cast<double>(i % in_row) * cell_width + left;
    const std::size_t row = i / in_row;
    const double y = head + static_cast<double>(row) * cell_height + above;
    const canvas place(values, x, y);
    out += canvas::text(x + panel_width / 2, y - 9, "middle", panel.title, " font-size=\"13\"");
    out += place.frame();
    out += canvas::text(x + panel_width / 2, y + panel_height + 36, "middle", drawn.x_label);
    const double middle = y + panel_height / 2;
    out += canvas::text(x - 52, middle, "middle", drawn.y_label,
                        fmt::format(" transform=\"rotate(-90 {:.1f} {:.1f})\"", x - 52, middle));
    for (const plot_series& series : panel.series) {
      const auto found =
          std::find_if(palette.begin(), palette.end(), [&](const auto& p) { return p.first == series.label; });
      out += place.line(series, found->second);
    }
  }

  double x = gap;
  double y = plots_end + legend / 2;
  for (const auto& [label, colour] : palette) {
    if (x + width_of(label) > width && x > gap) {
      x = gap;
      y += legend;
    }
    out += fmt::format(
        "<line x1=\"{0:.1f}\" y1=\"{3:.1f}\" x2=\"{1:.1f}\" y2=\"{3:.1f}\" stroke=\"{2}\" stroke-width=\"3\"{4}/>\n", x,
        x + 22, colour, y, colour == grey ? " stroke-dasharray=\"5 4\"" : "");
    out += canvas::text(x + 28, y + 4, "start", label);
    x += width_of(label);
  }
  return out + "</svg>\n";
}

std::string to_svg(const bar_chart& drawn) {
  constexpr double label_width = 260;
  constexpr double bar_width = 400;
  constexpr double bar_height = 22;
  constexpr double value_width = 100;
  double most = 0;
  for (const auto& [label, value] : drawn.bars) most = std::max(most, value);
  const double width = label_width + bar_width + value_width;
  std::string out = opening(width, head + static_cast<double>(drawn.bars.size()) * bar_height + gap);
  out += canvas::text(width / 2, 26, "middle", drawn.title, " font-size=\"16\"");
  double y = head;
  for (const auto& [label, value] : drawn.bars) {
    const double length = most > 0 ? value / most * bar_width : 0;
    out += canvas::text(label_width - 8, y + 15, "end", label);
    out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
                       label_width, y + 3, length, bar_height - 6, label.starts_with("weir") ? colours[0] : grey);
    out += canvas::text(label_width + length + 6, y + 15, "start", fmt::format("{:.0f}", value));
    y += bar_height;
  }
  return out + "</svg>\n";
}

}  // namespace bench
