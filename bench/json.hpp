#pragma once
// The little of JSON that the reports need.

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <string_view>

namespace bench {

inline std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

template <class Texts>
std::string json_strings(const Texts& texts) {
  std::string out = "[";
  for (const auto& text : texts) out += (out.size() == 1 ? "" : ", ") + json_string(text);
  return out + "]";
}
/// `object`, the text of one, with one more member at its end.
inline std::string with_member(std::string object, std::string_view name, std::string_view value) {
  return object.insert(object.rfind('}'), fmt::format(",\n{}: {}", json_string(name), value));
}
/// A figure that could not be taken (NaN) is null.
inline std::string json_number(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : "null"; }

}  // namespace bench
