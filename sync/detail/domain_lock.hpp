#pragma once

#include "../../runtime/detail/config.hpp"
#include "../../runtime/detail/scheduler.hpp"
#include "../../runtime/detail/spin_lock.hpp"

namespace weir::detail {

/// The lock of an object of sync/, for sections of a few instructions. Made on a confined worker it is no lock at all:
/// it only sees to it that nobody else comes, and ends the program with a sentence if somebody does. Satisfies Lockable
/// but for try_lock. After unlock() the object is not touched any more.
class domain_lock {
 public:
  domain_lock() noexcept : domain_(confined_domain()) {}
  domain_lock(const domain_lock&) = delete;
  domain_lock& operator=(const domain_lock&) = delete;

  void lock() noexcept {
    if (!domain_) {
      lock_.lock();
    } else if (confined_domain() != domain_) {
      fatal(
          "weir: a channel or lock that was made on a confined worker is used outside of that worker: make it "
          "elsewhere, "
          "or do not set runtime_options::confined");
    }
  }
  void unlock() noexcept {
    if (!domain_) lock_.unlock();
  }

 private:
  const void* const domain_;
  spin_lock lock_;
};

}  // namespace weir::detail
