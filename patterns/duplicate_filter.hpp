#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <unordered_map>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"

namespace weir {

struct duplicate_filter_options {
  /// How long a key is remembered.
  duration keep = std::chrono::hours(24);
  /// Keys that are remembered at most; then the oldest gives way.
  std::size_t most_keys = 100'000;
};
static_assert(detail::trivially_destructible<duplicate_filter_options>);

struct duplicate_filter_counters {
  std::uint64_t fresh = 0;       ///< keys that were new
  std::uint64_t duplicates = 0;  ///< that were not
  std::uint64_t evicted = 0;     ///< that gave way before their time
  std::size_t keys = 0;          ///< remembered now
};

/// Which messages have been seen already: for work that is delivered at least once and is to be done once.
///
///     weir::duplicate_filter<std::string> seen({.keep = 1h});
///     if (!seen.admit(message.id)) co_return;       // somebody has it, or had it
///     try { co_await handle(message); }
///     catch (...) { seen.forget(message.id); throw; }  // let it come again
///
/// Of two that come at once one is admitted. It remembers in memory, for this process; and for `keep` from the first
/// time, which a duplicate does not prolong. Any thread; one short lock. O(1) amortised.
template <class Key, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class duplicate_filter {
 public:
  /// Throws std::invalid_argument when it could remember nothing.
  explicit duplicate_filter(const duplicate_filter_options& options = {}) : options_(options) {
    if (options.most_keys == 0 || options.keep <= duration::zero()) {
      throw std::invalid_argument("weir::duplicate_filter: it needs room for a key, and time to keep it");
    }
  }

  /// True for a key that is not remembered, which it is from now on.
  [[nodiscard]] bool admit(const Key& key) {
    const time_point current = now();
    const std::lock_guard guard(lock_);
    expire(current);
    const auto [place, fresh] = seen_.try_emplace(key, next_);
    if (!fresh) {
      ++counters_.duplicates;
      return false;
    }
    try {
      order_.push_back({detail::add_saturated(current, options_.keep), next_, &place->first});
    } catch (...) {
      seen_.erase(place);
      throw;
    }
    ++next_;
    ++counters_.fresh;
    if (seen_.size() > options_.most_keys) evict();
    return true;
  }
  /// It may come again. False when it is not remembered.
  bool forget(const Key& key) {
    const std::lock_guard guard(lock_);
    const auto found = seen_.find(key);
    if (found == seen_.end()) return false;
    order_[static_cast<std::size_t>(found->second - first_)].key = nullptr;
    seen_.erase(found);
    return true;
  }

  [[nodiscard]] duplicate_filter_counters counters() const {
    const std::lock_guard guard(lock_);
    duplicate_filter_counters result = counters_;
    result.keys = seen_.size();
    return result;
  }

 private:
  struct entry {
    time_point until;
    std::uint64_t number;
    const Key* key;  // in seen_; null once it was forgotten
  };

  void drop_oldest() {
    if (const Key* const key = order_.front().key) seen_.erase(seen_.find(*key));
    first_ = order_.front().number + 1;
    order_.pop_front();
  }
  void expire(time_point current) {
    while (!order_.empty() && (!order_.front().key || order_.front().until <= current)) drop_oldest();
  }
  void evict() {
    while (!order_.front().key) drop_oldest();
    drop_oldest();
    ++counters_.evicted;
  }

  const duplicate_filter_options options_;
  mutable std::mutex lock_;
  std::unordered_map<Key, std::uint64_t, Hash, Equal> seen_;  // with their numbers
  std::deque<entry> order_;                                   // numbers without gaps, the first of them first_
  std::uint64_t first_ = 0;
  std::uint64_t next_ = 0;
  duplicate_filter_counters counters_;
};

}  // namespace weir
