#pragma once
// Lines over logarithmic axes, as SVG: a few panels side by side that share their axes. And bars.

#include <string>
#include <utility>
#include <vector>

namespace bench {

struct plot_series {
  std::string label;
  std::vector<std::pair<double, double>> points;  // by x; both are positive
  bool dashed = false;                            // not measured: no marks, grey
};

struct plot_panel {
  std::string title;
  std::vector<plot_series> series;  // of the same label in every panel: the same colour
};

struct plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<plot_panel> panels;
  std::size_t panels_in_row = 2;
  bool x_in_bytes = false;  // its ticks are named 4Ki, not 4.096k
};

/// x by powers of two, y by powers of ten; each panel has the ticks of all of them.
std::string to_svg(const plot& drawn);

struct bar_chart {
  std::string title;
  std::vector<std::pair<std::string, double>> bars;  // not negative
};

/// Bars to the right, from zero, each with its label and its value.
std::string to_svg(const bar_chart& drawn);

}  // namespace bench
