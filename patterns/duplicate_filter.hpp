#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/hash_table.hpp"
#include "../runtime/detail/intrusive_list.hpp"
#include "../runtime/detail/owned.hpp"

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
    const std::uint64_t hash = seen_.hash_of(key);
    if (seen_.find(key, hash)) {
      ++counters_.duplicates;
      return false;
    }
    const time_point until = detail::add_saturated(current, options_.keep);
    order_.push_back(seen_.insert(detail::owned<message>(new message(key, until)), hash));
    ++counters_.fresh;
    if (seen_.size() > options_.most_keys) {
      drop(order_.front());
      ++counters_.evicted;
    }
    return true;
  }
  /// It may come again. False when it is not remembered.
  bool forget(const Key& key) {
    const std::lock_guard guard(lock_);
    message* const found = seen_.find(key);
    if (!found) return false;
    drop(*found);
    return true;
  }

  [[nodiscard]] duplicate_filter_counters counters() const {
    const std::lock_guard guard(lock_);
    duplicate_filter_counters result = counters_;
    result.keys = seen_.size();
    return result;
  }

 private:
  struct message : detail::hash_link, detail::list_hook {
    message(const Key& of, time_point to) : key(of), until(to) {}
    const Key key;
    const time_point until;
  };

  void drop(message& one) noexcept {
    one.unlink();
    seen_.erase(one);
  }
  void expire(time_point current) noexcept {
    while (!order_.empty() && order_.front().until <= current) drop(order_.front());
  }

  const duplicate_filter_options options_;
  mutable std::mutex lock_;
  detail::hash_table<message, Hash, Equal> seen_;
  detail::intrusive_list<message> order_;  // the oldest first
  duplicate_filter_counters counters_;
};

}  // namespace weir
