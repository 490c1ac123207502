#pragma once

#include <cstddef>

#include "take.hpp"

namespace weir::detail {

/// What is needed of std::unique_ptr inside. That one keeps its pointer in a tuple with a deleter, which every file
/// that includes weir would wait for, for each type anew.
template <class T>
class owned {
 public:
  constexpr owned() noexcept = default;
  constexpr owned(std::nullptr_t) noexcept {}  // NOLINT(google-explicit-constructor)
  explicit owned(T* mine) noexcept : mine_(mine) {}
  owned(owned&& other) noexcept : mine_(take(other.mine_)) {}
  owned& operator=(owned&& other) noexcept {
    reset(take(other.mine_));
    return *this;
  }
  ~owned() { reset(); }

  void reset(T* next = nullptr) noexcept {
    static_assert(requires { sizeof(T); }, "it is deleted, and so has to be complete");
    T* const before = mine_;
    mine_ = next;
    delete before;
  }
  T* release() noexcept { return take(mine_); }

  explicit operator bool() const noexcept { return mine_ != nullptr; }
  [[nodiscard]] T* get() const noexcept { return mine_; }
  T& operator*() const noexcept { return *mine_; }
  T* operator->() const noexcept { return mine_; }

 private:
  T* mine_ = nullptr;
};

/// The same for an array.
template <class T>
class owned_array {
 public:
  constexpr owned_array() noexcept = default;
  explicit owned_array(T* mine) noexcept : items_(mine) {}
  owned_array(owned_array&& other) noexcept : items_(take(other.items_)) {}
  owned_array& operator=(owned_array&& other) noexcept {
    reset(take(other.items_));
    return *this;
  }
  ~owned_array() { reset(); }

  void reset(T* next = nullptr) noexcept {
    T* const before = items_;
    items_ = next;
    delete[] before;
  }

  explicit operator bool() const noexcept { return items_ != nullptr; }
  [[nodiscard]] T* get() const noexcept { return items_; }
  T& operator[](std::size_t i) const noexcept { return items_[i]; }

 private:
  T* items_ = nullptr;
};

}  // namespace weir::detail
