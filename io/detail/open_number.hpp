#pragma once

#include <utility>

#include "system_calls.hpp"

namespace weir::detail {

/// Keeps a number open that nobody has adopted yet. Any thread.
class open_number {
 public:
  open_number() = default;
  explicit open_number(int number) noexcept : number_(number) {}
  open_number(open_number&& other) noexcept : number_(other.release()) {}
  open_number& operator=(open_number&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = other.release();
    }
    return *this;
  }
  ~open_number() { reset(); }

  [[nodiscard]] int get() const noexcept { return number_; }
  int release() noexcept { return std::exchange(number_, -1); }
  void reset() noexcept {
    if (number_ >= 0) system_calls::close(std::exchange(number_, -1));
  }
  explicit operator bool() const noexcept { return number_ >= 0; }

 private:
  int number_ = -1;
};

}  // namespace weir::detail
