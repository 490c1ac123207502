#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "sockets.hpp"

// Streams without a kernel, as a user might write them: for what has to be tried in every way.

namespace test {

inline std::string_view text_in(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Gives a text in pieces: the first of `first` bytes, the others of `step`. A piece comes `pause` after it was first
/// asked for, whether somebody still waits for it or not.
class chopped_text {
 public:
  explicit chopped_text(std::string text, std::size_t first = 1000, std::size_t step = 1000,
                        weir::duration pause = weir::duration::zero())
      : text_(std::move(text)), next_(first), step_(step), pause_(pause) {}

  weir::task<std::size_t> read_some(std::span<std::byte> into) {
    ++reads;
    if (pause_ != weir::duration::zero()) {
      if (due_ == weir::time_point()) due_ = weir::now() + pause_;
      co_await weir::sleep_until(due_);
      due_ = weir::time_point();
    }
    if (at_ == fails_at) throw std::runtime_error("it broke");
    std::size_t n = std::min({next_, into.size(), text_.size() - at_});
    if (at_ < fails_at) n = std::min(n, fails_at - at_);
    if (n == next_) {
      next_ = step_;
    } else {
      next_ -= n;  // the rest of the piece
    }
    std::memcpy(into.data(), text_.data() + at_, n);
    at_ += n;
    co_return n;
  }
  [[nodiscard]] std::string name() const { return "text"; }
  void add(std::string_view more) { text_ += more; }

  std::size_t fails_at = std::string::npos;
  int reads = 0;

 private:
  std::string text_;
  std::size_t at_ = 0;
  std::size_t next_;
  std::size_t step_;
  weir::duration pause_;
  weir::time_point due_;  // of the next piece, once it was asked for
};

/// Takes at most `step` bytes at a time and keeps them; is ready for them `pause` after it was first asked, whether
/// somebody still waits or not.
class slow_sink {
 public:
  explicit slow_sink(std::size_t step = 1000, weir::duration pause = weir::duration::zero())
      : step_(step), pause_(pause) {}

  weir::task<std::size_t> write_some(std::span<const std::byte> from) {
    ++writes;
    largest = std::max(largest, from.size());
    if (pause_ != weir::duration::zero()) {
      if (due_ == weir::time_point()) due_ = weir::now() + pause_;
      co_await weir::sleep_until(due_);
      due_ = weir::time_point();
    }
    if (text.size() >= fails_at) throw std::runtime_error("it is full");
    const std::size_t n = std::min(step_, from.size());
    text += text_in(from.first(n));
    co_return n;
  }
  [[nodiscard]] std::string name() const { return "sink"; }

  std::string text;
  std::size_t fails_at = std::string::npos;
  std::size_t largest = 0;  // that was asked for at once
  int writes = 0;

 private:
  std::size_t step_;
  weir::duration pause_;
  weir::time_point due_;
};

}  // namespace test
