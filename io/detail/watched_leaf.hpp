#pragma once

#include "io_operation.hpp"

namespace weir::detail {

/// An operation that takes what somebody has sent, by a system call of its own. The ring only says when there is
/// something: its operations that wait and then take cost more CPU than a poll and a call.
///
/// Of several that wait for the same descriptor one is woken. So that one takes what it was woken for, also when it is
/// stopped meanwhile, and the ring then tells nothing but that: nobody else would.
class watched_leaf : public io_leaf {
 protected:
  explicit watched_leaf(descriptor* source) noexcept : io_leaf(source) { intercept_completions(); }
  watched_leaf(const watched_leaf&) = default;
  ~watched_leaf() = default;

  /// It has waited, in a ring.
  [[nodiscard]] bool was_watched() const noexcept { return watched_; }

 private:
  void prepare(ring_entry& entry) noexcept final;
  bool intercept(int& result, bool ending) noexcept final;
  [[nodiscard]] readiness needs() const noexcept final { return readiness::input; }

  bool watched_ = false;
};

}  // namespace weir::detail
