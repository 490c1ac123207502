#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "promise_base.hpp"

namespace weir::detail {

/// A value of one task_local, as tasks see it from some scope on: a list with the innermost value in front. It does not
/// change, so tasks on several workers share it; who holds one holds all outer ones.
class local_value {
 public:
  explicit local_value(const void* key) noexcept : key_(key) {}
  local_value(const local_value&) = delete;
  local_value& operator=(const local_value&) = delete;

  static void* operator new(std::size_t size) { return allocate_record(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { release_record(memory, size); }

  /// Before anybody sees it.
  void set_outer(const local_value* outer) noexcept { outer_ = retain(outer); }

  /// Null when there is none. O(the values in sight).
  static const local_value* find(const local_value* innermost, const void* key) noexcept {
    while (innermost && innermost->key_ != key) innermost = innermost->outer_;
    return innermost;
  }
  static const local_value* retain(const local_value* value) noexcept {
    if (value) value->references_.fetch_add(1, std::memory_order_relaxed);
    return value;
  }
  static void release(const local_value* value) noexcept {
    while (value && value->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      const local_value* const outer = value->outer_;
      delete value;
      value = outer;
    }
  }

 protected:
  virtual ~local_value() = default;

 private:
  const void* const key_;
  const local_value* outer_ = nullptr;
  mutable std::atomic<std::uint32_t> references_{1};
};

}  // namespace weir::detail
