#include "prometheus_page.hpp"

#include <fmt/format.h>

#include <iterator>

namespace weir::detail {

std::string prometheus_escaped(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || (c == '"' && quotes)) out += '\\';
    out += c;
  }
  return out;
}

std::string prometheus_labels(std::initializer_list<prometheus_label> labels) {
  std::string out;
  for (const prometheus_label& label : labels) {
    out += fmt::format("{}{}=\"{}\"", out.empty() ? "" : ",", label.name, prometheus_escaped(label.value, true));
  }
  return out;
}

prometheus_page::prometheus_page(std::initializer_list<prometheus_label> labels) : labels_(prometheus_labels(labels)) {}

void prometheus_page::announce(const char* name, kind type, const char* help) {
  fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name,
                 type == kind::counter ? "counter" : "gauge");
}

void prometheus_page::sample(const char* name, std::string_view worker, std::string_view value) {
  std::string labels = worker.empty() ? std::string() : fmt::format("worker=\"{}\"", worker);
  if (!labels.empty() && !labels_.empty()) labels += ',';
  labels += labels_;
  const char* const open = labels.empty() ? "" : "{";
  const char* const close = labels.empty() ? "" : "}";
  fmt::format_to(std::back_inserter(text_), "{}{}{}{} {}\n", name, open, labels, close, value);
}

void prometheus_page::single(const char* name, kind type, const char* help, std::string_view value) {
  announce(name, type, help);
  sample(name, "", value);
}

std::string prometheus_page::seconds(duration length) {
  return fmt::format("{}.{:09}", length.count() / 1'000'000'000, length.count() % 1'000'000'000);
}

}  // namespace weir::detail
