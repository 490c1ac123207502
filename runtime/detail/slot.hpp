#pragma once

#include <new>

namespace weir::detail {

/// A place for a value that may not be there yet, or not any more: what is needed of std::optional inside. That one
/// asks of each type what it converts from and how trivial it is, which every file that includes weir would wait for.
template <class T>
class slot {
 public:
  slot() noexcept {}  // NOLINT(modernize-use-equals-default): the union has no initialiser
  slot(slot&& other) noexcept(__is_nothrow_constructible(T, T&&))
    requires(__is_constructible(T, T &&))
  {
    if (other.there_) emplace(static_cast<T&&>(other.value_));
  }
  slot(const slot& other)
    requires(__is_constructible(T, const T&))
  {
    if (other.there_) emplace(other.value_);
  }
  slot& operator=(slot&& other) noexcept(__is_nothrow_constructible(T, T&&))
    requires(__is_constructible(T, T &&))
  {
    if (this == &other) return *this;
    reset();
    if (other.there_) emplace(static_cast<T&&>(other.value_));
    return *this;
  }
  slot& operator=(const slot& other)
    requires(__is_constructible(T, const T&))
  {
    if (this == &other) return *this;
    reset();
    if (other.there_) emplace(other.value_);
    return *this;
  }
  ~slot() { reset(); }

  template <class... Args>
  T& emplace(Args&&... args) {
    reset();
    void* const place = const_cast<void*>(static_cast<const volatile void*>(__builtin_addressof(value_)));
    ::new (place) T(static_cast<Args&&>(args)...);
    there_ = true;
    return value_;
  }
  void reset() noexcept {
    if (!there_) return;
    there_ = false;
    value_.~T();
  }

  explicit operator bool() const noexcept { return there_; }
  [[nodiscard]] bool has_value() const noexcept { return there_; }
  T& operator*() noexcept { return value_; }
  const T& operator*() const noexcept { return value_; }
  T* operator->() noexcept { return __builtin_addressof(value_); }
  const T* operator->() const noexcept { return __builtin_addressof(value_); }

 private:
  union {
    T value_;
  };
  bool there_ = false;
};

}  // namespace weir::detail
