#pragma once
// Reads JSON: what the benches write, and what fio says.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

/// A value of any kind. Asking for what is not there gives a null, asking a null for anything gives nothing.
class json_value {
 public:
  /// Throws std::runtime_error, with the place, for what is no JSON.
  static json_value parse(std::string_view text);

  [[nodiscard]] bool is_null() const noexcept { return kind_ == kind::null; }
  [[nodiscard]] bool is_true() const noexcept { return kind_ == kind::boolean && number_ != 0; }
  /// NaN for what is no number.
  [[nodiscard]] double number() const noexcept;
  /// Empty for what is no string.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  /// Of an array or of an object, in the order in which they stand.
  [[nodiscard]] const std::vector<json_value>& items() const noexcept { return items_; }
  /// Of an object: as many as items().
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
  const json_value& operator[](std::string_view name) const noexcept;

 private:
  friend class json_reader;
  enum class kind : unsigned char { null, boolean, number, string, array, object };

  kind kind_ = kind::null;
  double number_ = 0;
  std::string text_;
  std::vector<json_value> items_;
  std::vector<std::string> names_;
};

}  // namespace bench
