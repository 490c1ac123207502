#pragma once

#include "../../runtime/detail/worker.hpp"
#include "descriptor.hpp"

namespace weir::detail {

/// Keeps a descriptor for as long as its number is used beside an operation on it: see descriptor::hold(). On a worker.
class held_end {
 public:
  held_end(descriptor& target, io_use use) noexcept
      : target_(target), use_(use), refused_(target_.hold(use, current_worker()->core())) {}
  held_end(const held_end&) = delete;
  held_end& operator=(const held_end&) = delete;
  ~held_end() {
    if (refused_ == 0) target_.let_go(use_);
  }
  explicit operator bool() const noexcept { return refused_ == 0; }
  /// Why not: as descriptor::hold().
  [[nodiscard]] int error() const noexcept { return refused_; }

 private:
  descriptor& target_;
  io_use use_;
  int refused_;
};

}  // namespace weir::detail
