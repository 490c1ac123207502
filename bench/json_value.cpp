#include "json_value.hpp"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <stdexcept>

namespace bench {

/// By recursive descent.
class json_reader {
 public:
  explicit json_reader(std::string_view text) : text_(text) {}

  json_value read_all() {
    json_value value = read(0);
    skip_space();
    if (at_ != text_.size()) fail("more than one value");
    return value;
  }

 private:
  using kind = json_value::kind;

  [[noreturn]] void fail(std::string_view what) const {
    throw std::runtime_error(fmt::format("not JSON, at byte {}: {}", at_, what));
  }
  void skip_space() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }
  char peek() {
    skip_space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!take(wanted)) fail(fmt::format("no {}", wanted));
  }

  json_value read(unsigned depth) {
    constexpr unsigned deepest = 64;
    if (depth > deepest) fail("too many levels");
    json_value value;
    switch (peek()) {
      case '{':
        value.kind_ = kind::object;
        read_list('}', [&] {
          value.names_.push_back(read_string());
          expect(':');
          value.items_.push_back(read(depth + 1));
        });
        break;
      case '[':
        value.kind_ = kind::array;
        read_list(']', [&] { value.items_.push_back(read(depth + 1)); });
        break;
      case '"':
        value.kind_ = kind::string;
        value.text_ = read_string();
        break;
      default:
        read_word(value);
    }
    return value;
  }

  template <class Element>
  void read_list(char end, Element element) {
    ++at_;
    if (take(end)) return;
    do element();
    while (take(','));
    expect(end);
  }

  std::string read_string() {
    expect('"');
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      char c = text_[at_++];
      if (c == '\\' && at_ < text_.size()) {
        c = text_[at_++];
        if (c == 'n') c = '\n';
        if (c == 't') c = '\t';
        if (c == 'u') {  // control characters are all that json_string() writes so
          unsigned code = 0;
          std::from_chars(text_.data() + at_, text_.data() + std::min(at_ + 4, text_.size()), code, 16);
          at_ = std::min(at_ + 4, text_.size());
          c = code < 0x80 ? static_cast<char>(code) : '?';
        }
      }
      out += c;
    }
    expect('"');
    return out;
  }

  void read_word(json_value& value) {
    const auto is = [&](std::string_view word) {
      if (!text_.substr(at_).starts_with(word)) return false;
      at_ += word.size();
      return true;
    };
    if (is("null")) return;
    value.number_ = is("true") ? 1 : 0;
    if (value.number_ != 0 || is("false")) {
      value.kind_ = kind::boolean;
      return;
    }
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value.number_);
    if (error != std::errc{}) fail("no value");
    value.kind_ = kind::number;
    at_ = static_cast<std::size_t>(end - text_.data());
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

json_value json_value::parse(std::string_view text) { return json_reader(text).read_all(); }

double json_value::number() const noexcept {
  return kind_ == kind::number ? number_ : std::numeric_limits<double>::quiet_NaN();
}

const json_value& json_value::operator[](std::string_view name) const noexcept {
  static const json_value none;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (names_[i] == name) return items_[i];
  }
  return none;
}

}  // namespace bench
