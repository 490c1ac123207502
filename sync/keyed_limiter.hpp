#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/hash_table.hpp"
#include "../runtime/detail/owned.hpp"
#include "../runtime/detail/take.hpp"
#include "../runtime/detail/wrapped_operation.hpp"
#include "detail/domain_lock.hpp"
#include "limiter.hpp"

namespace weir {

struct keyed_limiter_options {
  /// Keys that are kept at most, about; 0: as many as are in use. Beyond it the key that was not used for longest gives
  /// way, even if its limiter is not at rest: should it come again, it begins anew.
  std::size_t most_keys = 0;
};

/// A limiter for each key: each user, each tenant, each address.
///
///     weir::keyed_limiter<std::string, weir::rate_limiter> per_user{[] { return weir::rate_limiter(10, 1s, 5); }};
///     co_await per_user.acquire("alice");
///
/// A key's limiter is made when the key is first used, by a callable that may look at the key: so each plan has its own
/// rate. It is forgotten when it is at rest, that is when a new one would do the same, and nobody waits for it: memory
/// is bounded by the keys that were in use lately, and forgetting changes nothing for anybody. Each new key looks at a
/// few others for that; nothing runs in the background.
///
/// Any task of any runtime and any plain thread may use it, unless it was made on a confined worker. Its 16 parts have
/// a lock each. It must outlive all who wait, and the handles.
template <class Key, class Limiter, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class keyed_limiter {
  static_assert(std::derived_from<Limiter, limiter>, "keyed_limiter takes the limiters of weir");

 public:
  class handle;
  class acquire_operation;

  /// `make()` or `make(key)` returns a Limiter. It is called by whoever comes with a new key, maybe by several at once,
  /// and what it throws reaches him.
  template <class Make>
    requires std::invocable<Make&, const Key&> || std::invocable<Make&>
  explicit keyed_limiter(Make make, const keyed_limiter_options& options = {})
      : make_(std::make_unique<maker<Make>>(std::move(make))),
        most_in_part_(options.most_keys == 0 ? 0 : (options.most_keys + part_count - 1) / part_count) {}
  keyed_limiter(const keyed_limiter&) = delete;
  keyed_limiter& operator=(const keyed_limiter&) = delete;

  /// As limiter::acquire() of the key's limiter, which stays for so long. The operation is made at once: this may throw
  /// std::bad_alloc, and what making a limiter throws.
  [[nodiscard]] acquire_operation acquire(const Key& key, std::uint64_t n = 1) WEIR_DETAIL_LIFETIMEBOUND {
    return acquire_operation(at(key), n);
  }
  /// As limiter::try_acquire() of the key's limiter.
  [[nodiscard]] bool try_acquire(const Key& key, std::uint64_t n = 1) {
    const std::uint64_t hash = parts_[0].entries.hash_of(key);
    part& in = part_of(hash);
    {
      const std::lock_guard guard(in.lock);
      if (entry* found = find(in, key, hash)) return found->limits.try_acquire(n);
    }
    return at(key, hash)->try_acquire(n);
  }
  /// The key's limiter, for its other members or a limiter_hierarchy; it is not forgotten while the handle lives.
  [[nodiscard]] handle at(const Key& key) WEIR_DETAIL_LIFETIMEBOUND { return at(key, parts_[0].entries.hash_of(key)); }

  /// Keys that are kept now.
  [[nodiscard]] std::size_t size() noexcept {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < part_count; ++i) {
      part& p = parts_[i];
      const std::lock_guard guard(p.lock);
      sum += p.entries.size();
    }
    return sum;
  }
  /// Forgets all limiters that are at rest now. O(keys).
  void forget_idle() noexcept {
    for (std::size_t n = 0; n < part_count; ++n) {
      part& p = parts_[n];
      const std::lock_guard guard(p.lock);
      entry* next = p.hand;
      for (std::size_t left = p.entries.size(); left > 0; --left) {
        entry& seen = *next;
        next = seen.after;
        if (may_go(seen)) forget(p, seen);
      }
    }
  }

 private:
  struct maker_base {
    maker_base() = default;
    maker_base(const maker_base&) = delete;
    maker_base& operator=(const maker_base&) = delete;
    virtual ~maker_base() = default;
    virtual Limiter make(const Key& key) = 0;
  };
  template <class Make>
  struct maker final : maker_base {
    explicit maker(Make makes) : call(std::move(makes)) {}
    Limiter make(const Key& key) override {
      if constexpr (std::invocable<Make&, const Key&>) {
        return call(key);
      } else {
        return call();
      }
    }
    Make call;
  };

  /// In a ring of its part, through which a hand goes that looks for what can be forgotten. (The clock algorithm:
  /// Corbato, "A Paging Experiment with the Multics System", 1968.)
  struct entry : detail::hash_link {
    entry(maker_base& make, const Key& of) : key(of), limits(make.make(of)) {}
    const Key key;
    Limiter limits;
    entry* before = this;
    entry* after = this;
    std::uint32_t handles = 0;
    bool used = true;  // since the hand came by
  };

  struct alignas(64) part {
    detail::domain_lock lock;
    detail::hash_table<entry, Hash, Equal> entries;
    entry* hand = nullptr;
  };
  static constexpr std::size_t part_count = 16;

  // The table of a part takes the low bits.
  part& part_of(std::uint64_t hash) noexcept { return parts_[hash >> 60]; }
  handle at(const Key& key, std::uint64_t hash);

  // Everything below under the part's lock.
  static entry* find(part& in, const Key& key, std::uint64_t hash) {
    entry* const found = in.entries.find(key, hash);
    if (found) found->used = true;
    return found;
  }
  static bool may_go(entry& e) noexcept { return e.handles == 0 && e.limits.at_rest(); }
  static void unlink(part& in, entry& e) noexcept {
    if (in.hand == &e) in.hand = e.after == &e ? nullptr : e.after;
    e.before->after = e.after;
    e.after->before = e.before;
    e.before = e.after = &e;
  }
  static void link(part& in, entry& e) noexcept {
    if (!in.hand) {
      in.hand = &e;
      return;
    }
    e.after = in.hand;
    e.before = in.hand->before;
    e.before->after = &e;
    e.after->before = &e;
  }
  static void forget(part& in, entry& e) noexcept {
    unlink(in, e);
    in.entries.erase(e);
  }
  void make_room(part& in) noexcept {
    // Two for each that comes: so the hand gets round before the number has grown by half.
    constexpr int looks = 2;
    const bool full = most_in_part_ != 0 && in.entries.size() > most_in_part_;
    // A second round finds nothing used.
    const std::size_t most_looks = full ? 2 * in.entries.size() : looks;
    for (std::size_t i = 0; i < most_looks && in.hand; ++i) {
      entry& seen = *in.hand;
      in.hand = seen.after;
      if (detail::take(seen.used)) continue;
      if (full ? seen.handles != 0 : !may_go(seen)) continue;
      forget(in, seen);
      if (full) return;
    }
  }

  const std::unique_ptr<maker_base> make_;
  const std::size_t most_in_part_;
  // Elsewhere: a coroutine's frame has no place for what is aligned to cache lines.
  const std::unique_ptr<part[]> parts_ = std::make_unique<part[]>(part_count);
};

/// Keeps a key's limiter, and is used like a pointer to it. Move-only.
template <class Key, class Limiter, class Hash, class Equal>
class [[nodiscard]] keyed_limiter<Key, Limiter, Hash, Equal>::handle {
 public:
  handle(handle&& other) noexcept : in_(other.in_), entry_(detail::take(other.entry_)) {}
  handle& operator=(handle&& other) noexcept {
    handle taken(std::move(other));
    detail::trade(in_, taken.in_);
    detail::trade(entry_, taken.entry_);
    return *this;
  }
  ~handle() {
    if (!entry_) return;
    const std::lock_guard guard(in_->lock);
    --entry_->handles;
  }

  Limiter& operator*() const noexcept { return entry_->limits; }
  Limiter* operator->() const noexcept { return &entry_->limits; }

 private:
  friend class keyed_limiter;
  handle(part& in, entry& of) noexcept : in_(&in), entry_(&of) {}

  part* in_;
  entry* entry_;
};

template <class Key, class Limiter, class Hash, class Equal>
class [[nodiscard]] keyed_limiter<Key, Limiter, Hash, Equal>::acquire_operation final
    : public detail::wrapped_operation<detail::limiter_acquire_operation> {
 public:
  using value_type = void;

  acquire_operation(handle of, std::uint64_t n) noexcept
      : wrapped_operation(detail::limiter_acquire_operation(*of, n)), limiter_(std::move(of)) {}

  void resume() { inner_.resume(); }
  result<void> resume_result() noexcept { return inner_.resume_result(); }

 private:
  handle limiter_;  // keeps what inner_ refers to
};

template <class Key, class Limiter, class Hash, class Equal>
auto keyed_limiter<Key, Limiter, Hash, Equal>::at(const Key& key, std::uint64_t hash) -> handle {
  part& in = part_of(hash);
  const auto take_from = [&](entry& e) {
    ++e.handles;
    return handle(in, e);
  };
  {
    const std::lock_guard guard(in.lock);
    if (entry* found = find(in, key, hash)) return take_from(*found);
  }
  // Made without the lock, and destroyed without it if it is not needed: somebody else's code runs.
  detail::owned<entry> made(new entry(*make_, key));
  const std::lock_guard guard(in.lock);
  if (entry* found = find(in, key, hash)) return take_from(*found);
  entry& e = in.entries.insert(std::move(made), hash);
  link(in, e);
  handle taken = take_from(e);
  make_room(in);
  return taken;
}

}  // namespace weir
