#pragma once

#include "../sync/support.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace test {

/// A number that can only be moved; `counted` tells how many live. Moved from it is `item::moved`.
class item {
 public:
  static constexpr int moved = -1;

  explicit item(int number) noexcept : value(number) {}
  item(item&& other) noexcept : value(std::exchange(other.value, moved)) {}
  item& operator=(item&& other) noexcept {
    value = std::exchange(other.value, moved);
    return *this;
  }
  item(const item&) = delete;
  item& operator=(const item&) = delete;
  ~item() = default;

  int value;

 private:
  counted life_;
};

inline std::vector<int> values_of(const std::vector<item>& items) {
  std::vector<int> values;
  values.reserve(items.size());
  for (const item& i : items) values.push_back(i.value);
  return values;
}

/// 0, 1, ..., n - 1.
inline std::vector<int> up_to(int n) {
  std::vector<int> all;
  for (int i = 0; i < n; ++i) all.push_back(i);
  return all;
}

inline std::vector<int> sorted(std::vector<int> values) {
  std::sort(values.begin(), values.end());
  return values;
}

// ---- sources

inline weir::async_generator<int> numbers(int n) {
  for (int i = 0; i < n; ++i) co_yield i;
}
inline weir::async_generator<item> items(int n) {
  for (int i = 0; i < n; ++i) co_yield item(i);
}
/// The first one at once.
inline weir::async_generator<int> numbers_every(weir::duration pause, int n) {
  for (int i = 0; i < n; ++i) {
    if (i > 0) co_await weir::sleep_for(pause);
    co_yield i;
  }
}
/// Tells how many it has made so far, which is one more than were taken from it when it is asked for the next.
inline weir::async_generator<item> counted_items(int& made, int n) {
  for (int i = 0; i < n; ++i) {
    ++made;
    co_yield item(i);
  }
}
inline weir::async_generator<item> items_then_failure(int n, const char* what) {
  for (int i = 0; i < n; ++i) co_yield item(i);
  throw std::runtime_error(what);
}

// ---- ends

/// Does not come back.
inline weir::task<> never() { co_await weir::sleep_until(weir::time_point::max()); }

/// What `work` ends with: "" for a value, what() of its exception otherwise.
inline weir::task<std::string> how_it_ends(weir::task<> work) {
  auto ended = co_await weir::as_result(std::move(work));
  if (ended) co_return std::string();
  if (!ended.exception()) co_return ended.error().message();
  co_return unobserved::what(ended.exception());
}

}  // namespace test
