#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "../clock.hpp"
#include "../prometheus.hpp"

namespace weir::detail {

/// As it stands in the text format: in a help text, or, with `quotes`, between quotation marks.
[[nodiscard]] std::string prometheus_escaped(std::string_view text, bool quotes);
/// `name="value",...`, without braces.
[[nodiscard]] std::string prometheus_labels(std::initializer_list<prometheus_label> labels);

/// Metrics being written in Prometheus' text format.
class prometheus_page {
 public:
  enum class kind : std::uint8_t { counter, gauge };

  /// `labels` are for every sample.
  prometheus_page(std::initializer_list<prometheus_label> labels);

  void announce(const char* name, kind type, const char* help);
  /// `worker` may be empty.
  void sample(const char* name, std::string_view worker, std::string_view value);
  /// A metric with one sample.
  void single(const char* name, kind type, const char* help, std::string_view value);
  void single(const char* name, kind type, const char* help, std::uint64_t value) {
    single(name, type, help, std::to_string(value));
  }
  [[nodiscard]] std::string take() noexcept { return std::move(text_); }

  /// A length as a value.
  [[nodiscard]] static std::string seconds(duration length);

 private:
  std::string labels_;
  std::string text_;
};

}  // namespace weir::detail
