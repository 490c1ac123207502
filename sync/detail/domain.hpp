#pragma once

#include "../../runtime/detail/scheduler.hpp"

namespace weir::detail {

/// The confined worker on which an object of sync/ was made, if it was on one: then nobody else may use it, and it
/// needs no atomic instructions.
class domain {
 public:
  domain() noexcept : made_on_(confined_domain()) {}
  domain(const domain&) = delete;
  domain& operator=(const domain&) = delete;

  [[nodiscard]] bool is_confined() const noexcept { return made_on_ != nullptr; }

  /// Of a confined object: ends the program with a sentence when the calling thread is not its worker.
  void check() const noexcept { check(confined_domain()); }
  /// The same for who knows where it is: a task, whose environment has the address of its runtime.
  void check(const void* here) const noexcept {
    if (here != made_on_) used_elsewhere();
  }

 private:
  [[noreturn]] static void used_elsewhere() noexcept;

  const void* const made_on_;
};

}  // namespace weir::detail
