#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "buffered_read.hpp"

namespace weir::detail {

/// A line, or whatever else ends with a delimiter, is longer than the reader's bound.
failure beyond_bound(const char* verb, const char* what, const reader_core& reader);

/// Looks for a delimiter in what comes in, each byte once.
class delimiter_search {
 public:
  explicit delimiter_search(char one) noexcept : one_(one) {}
  explicit delimiter_search(std::string_view several) noexcept : several_(several) {
    WEIR_DETAIL_ASSERT(!several.empty(), "a delimiter has at least one character");
  }

  /// True when it was found, or when so much precedes it that this is an error.
  bool satisfied(const read_buffer& buffer, std::size_t bound) noexcept {
    if (found_ || too_long_) return true;
    const std::string_view text = buffer.text();
    const std::size_t at = several_.empty() ? text.find(one_, scanned_) : text.find(several_, scanned_);
    found_ = at != std::string_view::npos;
    // The last bytes may be the beginning of a delimiter.
    length_ = found_ ? at : text.size() < size() ? 0 : text.size() - (size() - 1);
    scanned_ = length_;
    if (length_ > bound) {
      too_long_ = true;
      found_ = false;
    }
    return found_ || too_long_;
  }
  /// The bytes that were looked at have been consumed.
  void restart() noexcept { scanned_ = 0; }

  [[nodiscard]] bool found() const noexcept { return found_; }
  [[nodiscard]] bool too_long() const noexcept { return too_long_; }
  /// Once it was found: the bytes before it, and with it.
  [[nodiscard]] std::size_t length() const noexcept { return length_; }
  [[nodiscard]] std::size_t length_with() const noexcept { return length_ + size(); }
  [[nodiscard]] std::size_t size() const noexcept { return several_.empty() ? 1 : several_.size(); }

 private:
  std::string_view several_;
  char one_ = '\0';
  bool found_ = false;
  bool too_long_ = false;
  std::size_t scanned_ = 0;
  std::size_t length_ = 0;
};

/// What the reads up to a delimiter have in common.
template <class Derived, class T>
class delimited_read : public buffered_read<Derived, T> {
 public:
  bool satisfied() noexcept final { return search_.satisfied(this->buffer(), this->reader().bound); }
  std::span<std::byte> room() final {
    const std::size_t most = this->reader().bound + search_.size();
    return this->buffer().room(this->buffer().size() + 1, most < search_.size() ? SIZE_MAX : most);
  }
  [[nodiscard]] failure wrong() const {
    if (search_.too_long()) return beyond_bound(Derived::verb, Derived::what, this->reader());
    return {};
  }

 protected:
  delimited_read(reader_core& reader, delimiter_search search) noexcept
      : buffered_read<Derived, T>(reader), search_(search) {}
  delimited_read(delimited_read&&) noexcept = default;
  ~delimited_read() = default;

  [[nodiscard]] const delimiter_search& search() const noexcept { return search_; }

 private:
  delimiter_search search_;
};

/// One line without its end; T is std::string or std::string_view.
template <class T>
class [[nodiscard]] read_line_operation final : public delimited_read<read_line_operation<T>, std::optional<T>> {
 public:
  static constexpr const char* verb = "read_line";
  static constexpr const char* what = "a line";
  explicit read_line_operation(reader_core& reader) noexcept
      : delimited_read<read_line_operation, std::optional<T>>(reader, delimiter_search('\n')) {}
  read_line_operation(read_line_operation&&) noexcept = default;
  ~read_line_operation() = default;

  std::optional<T> value() {
    std::string_view line = this->buffer().text();
    std::size_t used = line.size();
    if (this->search().found()) {
      line = line.substr(0, this->search().length());
      used = this->search().length_with();
      if (!this->reader().keep_carriage_return && line.ends_with('\r')) line.remove_suffix(1);
    } else if (line.empty()) {
      return std::nullopt;
    }
    std::optional<T> made(std::in_place, line);
    this->buffer().consume(used);
    return made;
  }
};

/// Everything up to a delimiter, and that.
class [[nodiscard]] read_until_operation final : public delimited_read<read_until_operation, std::string> {
 public:
  static constexpr const char* verb = "read_until";
  static constexpr const char* what = "what comes before the delimiter";
  read_until_operation(reader_core& reader, delimiter_search search) noexcept : delimited_read(reader, search) {}
  read_until_operation(read_until_operation&&) noexcept = default;
  ~read_until_operation() = default;

  std::string value() {
    const std::size_t used = search().found() ? search().length_with() : buffer().size();
    std::string made(buffer().text().substr(0, used));
    buffer().consume(used);
    return made;
  }
};

/// Drops a line, however long.
class [[nodiscard]] skip_line_operation final : public buffered_read<skip_line_operation, std::size_t> {
 public:
  static constexpr const char* verb = "skip_line";
  explicit skip_line_operation(reader_core& reader) noexcept : buffered_read(reader) {}
  skip_line_operation(skip_line_operation&&) noexcept = default;
  ~skip_line_operation() = default;

  bool satisfied() noexcept override { return search_.satisfied(buffer(), SIZE_MAX); }
  std::span<std::byte> room() override {
    drop(buffer().size());
    search_.restart();
    return buffered_read::room();
  }
  std::size_t value() noexcept {
    drop(search_.found() ? search_.length_with() : buffer().size());
    return dropped_;
  }

 private:
  void drop(std::size_t n) noexcept {
    dropped_ += n;
    buffer().consume(n);
  }

  delimiter_search search_{'\n'};
  std::size_t dropped_ = 0;
};

}  // namespace weir::detail
