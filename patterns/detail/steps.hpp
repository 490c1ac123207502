#pragma once

#include <optional>
#include <utility>

#include "../../sync/channel.hpp"

// What an opened pipeline reads with, and what it does to each item in the same task.

namespace weir::detail {

// ---- pullers

/// Reads a channel that somebody else keeps. Its next() is selectable, and several may read one channel.
template <class T>
class channel_puller {
 public:
  using value_type = T;
  explicit channel_puller(channel<T>& items) noexcept : from_(&items) {}
  [[nodiscard]] auto next() noexcept { return from_->receive(); }
  [[nodiscard]] channel<T>& source() const noexcept { return *from_; }

 private:
  channel<T>* from_;
};

template <class>
inline constexpr bool pulls_channel = false;
template <class T>
inline constexpr bool pulls_channel<channel_puller<T>> = true;

/// What next() has completed with, ready to be moved on; of a generator of references, what it refers to, which is not
/// the pipeline's, and so to be copied.
template <class T>
T&& item_of(std::optional<T>& next) noexcept {
  return std::move(*next);
}
template <class T>
const T& item_of(T*& next) noexcept {
  return *next;
}

// ---- fused steps: functions from an item to an optional one

/// No step at all.
template <class T>
class no_steps {
 public:
  using output = T;
  template <class U>
  std::optional<T> operator()(U&& item) {
    return std::optional<T>(std::in_place, std::forward<U>(item));
  }
};

template <class>
inline constexpr bool is_no_steps = false;
template <class T>
inline constexpr bool is_no_steps<no_steps<T>> = true;

template <class First, class Second>
class two_steps {
 public:
  using output = typename Second::output;
  two_steps(First first, Second second) : first_(std::move(first)), second_(std::move(second)) {}
  template <class U>
  std::optional<output> operator()(U&& item) {
    auto between = first_(std::forward<U>(item));
    if (!between) return std::nullopt;
    return second_(std::move(*between));
  }

 private:
  First first_;
  Second second_;
};

/// An opened flow.
template <class Puller, class Steps>
struct segment {
  using value_type = typename Steps::output;
  Puller source;
  Steps steps;
};

}  // namespace weir::detail
