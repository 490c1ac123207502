#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <list>
#include <mutex>
#include <stdexcept>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "../runtime/clock.hpp"

namespace weir {

struct duplicate_filter_options {
  duration keep = std::chrono::minutes(10);  ///< how long a key is remembered
  std::size_t most = 100'000;                ///< keys that are remembered; the oldest give way
};
static_assert(std::is_trivially_destructible_v<duplicate_filter_options>);

/// Tells which messages have come before, by a key of theirs: for who must not do a thing twice, behind a queue that
/// may deliver twice.
///
///     weir::duplicate_filter<std::string> seen({.keep = 1h});
///     if (!seen.first(message.id)) continue;
///
/// A message whose processing fails and that is to come again needs a forget(). Any task of any runtime and any thread
/// may use it. Nothing runs in the background. O(1) on average; allocates for each new key.
template <class Key, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class duplicate_filter {
 public:
  /// Throws std::invalid_argument when it could remember nothing.
  explicit duplicate_filter(const duplicate_filter_options& options = {}) : options_(options) {
    if (options.most == 0 || options.keep <= duration::zero()) {
      throw std::invalid_argument("weir: duplicate_filter: it must be allowed to remember a key for a while");
    }
  }
  duplicate_filter(const duplicate_filter&) = delete;
  duplicate_filter& operator=(const duplicate_filter&) = delete;

  /// True, and the key is remembered from now on; false when it is remembered already. One of several that come at once
  /// gets true.
  [[nodiscard]] bool first(const Key& key) {
    const time_point now = clock::now();
    const std::lock_guard guard(lock_);
    while (!order_.empty() && now - order_.front().since >= options_.keep) drop_oldest();
    const auto [place, fresh] = seen_.try_emplace(key);
    if (!fresh) {
      ++suppressed_;
      return false;
    }
    try {
      order_.push_back({&place->first, now});
    } catch (...) {
      seen_.erase(place);
      throw;
    }
    place->second = std::prev(order_.end());
    if (order_.size() > options_.most) drop_oldest();
    return true;
  }

  /// The next message with this key is a first one.
  void forget(const Key& key) {
    const std::lock_guard guard(lock_);
    const auto found = seen_.find(key);
    if (found == seen_.end()) return;
    order_.erase(found->second);
    seen_.erase(found);
  }

  /// Keys that are remembered; those that have expired are among them until somebody comes.
  [[nodiscard]] std::size_t size() noexcept {
    const std::lock_guard guard(lock_);
    return order_.size();
  }
  /// How often first() was false.
  [[nodiscard]] std::uint64_t suppressed() noexcept {
    const std::lock_guard guard(lock_);
    return suppressed_;
  }

 private:
  struct sighting {
    const Key* key;  // in seen_
    time_point since;
  };

  void drop_oldest() {
    const auto found = seen_.find(*order_.front().key);
    order_.pop_front();
    seen_.erase(found);
  }

  const duplicate_filter_options options_;
  std::mutex lock_;
  // Guarded by lock_.
  std::unordered_map<Key, typename std::list<sighting>::iterator, Hash, Equal> seen_;
  std::list<sighting> order_;  // the oldest first
  std::uint64_t suppressed_ = 0;
};

}  // namespace weir
