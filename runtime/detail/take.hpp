#pragma once

namespace weir::detail {

// std::exchange and std::swap for what is moved by plain code. Theirs say of themselves by the traits of each type
// whether they can throw, which every file that includes weir would wait for.

/// What is there, leaving nothing: null, false, 0.
template <class T>
constexpr T take(T& from) noexcept {
  T taken(static_cast<T&&>(from));
  from = T();
  return taken;
}

template <class T>
constexpr void trade(T& one, T& other) noexcept {
  T kept(static_cast<T&&>(one));
  one = static_cast<T&&>(other);
  other = static_cast<T&&>(kept);
}

}  // namespace weir::detail
