#pragma once

#include "../../runtime/detail/spin_lock.hpp"
#include "domain.hpp"

namespace weir::detail {

/// The lock of an object of sync/, for sections of a few instructions. Made on a confined worker it is no lock at all:
/// it only sees to it that nobody else comes, and ends the program with a sentence if somebody does. Satisfies Lockable
/// but for try_lock. After unlock() the object is not touched any more.
class domain_lock {
 public:
  void lock() noexcept {
    if (domain_.is_confined()) {
      domain_.check();
    } else {
      lock_.lock();
    }
  }
  /// `here` as for domain::check().
  void lock(const void* here) noexcept {
    if (domain_.is_confined()) {
      domain_.check(here);
    } else {
      lock_.lock();
    }
  }
  void unlock() noexcept {
    if (!domain_.is_confined()) lock_.unlock();
  }

 private:
  domain domain_;
  spin_lock lock_;
};

}  // namespace weir::detail
