#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/hash_table.hpp"
#include "../runtime/detail/owned.hpp"
#include "../runtime/task.hpp"
#include "../sync/broadcast.hpp"

namespace weir {

template <class Key, class T, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class topics;

struct topics_options {
  /// Items that each subscriber has room for, at least one, unless he asks for another number.
  std::size_t capacity = 16;
  /// What becomes of an item for a subscriber who has no room, unless he asks for something else.
  slow_subscriber policy = slow_subscriber::skip;
};
static_assert(detail::trivially_destructible<topics_options>);

/// What was done on all topics so far, those that have vanished included.
struct topics_counters {
  std::uint64_t published = 0;  ///< items that went to a topic with subscribers
  std::uint64_t unheard = 0;    ///< items for which there was no subscriber
  std::uint64_t received = 0;   ///< by all subscribers together
  std::uint64_t dropped = 0;    ///< for slow subscribers
  std::size_t subscribers = 0;  ///< now, without those that were disconnected
  std::size_t topics = 0;       ///< now
};

namespace detail {

/// What the topics and their subscriptions share.
template <class Key, class T, class Hash, class Equal>
class topics_core {
 public:
  /// One topic. Whoever publishes there just now holds it too.
  struct topic {
    topic(const topics_options& options, topics_core& in) : items(options.capacity, options.policy), core(in) {}
    topic(const topic&) = delete;
    topic& operator=(const topic&) = delete;
    ~topic() {
      const broadcast_counters counted = items.counters();
      const std::lock_guard guard(core.past_lock_);
      topics_core::add(core.past_, counted);
    }
    broadcast<T> items;
    topics_core& core;
    std::size_t subscriptions = 0;  // guarded by the core's lock
  };
  using shared_topic = std::shared_ptr<topic>;

  explicit topics_core(const topics_options& options) : options_(options) {
    if (options.capacity == 0) throw std::invalid_argument("weir::topics: subscribers need room for at least one item");
  }

  /// For a subscriber, who calls leave() once.
  shared_topic enter(const Key& key) {
    shared_topic made;  // ends, if it is not needed, without the lock
    const std::lock_guard guard(lock_);
    if (const place* const found = topics_.find(key)) {
      ++found->of->subscriptions;
      return found->of;
    }
    made = std::make_shared<topic>(options_, *this);
    ++made->subscriptions;
    if (closed_) {
      made->items.close();  // one that nobody else knows
    } else {
      topics_.insert(detail::owned<place>(new place{{}, key, made}), topics_.hash_of(key));
    }
    return made;
  }
  void leave(const Key& key, topic& left) noexcept {
    shared_topic last;  // ends without the lock
    const std::lock_guard guard(lock_);
    if (--left.subscriptions != 0) return;
    place* const found = topics_.find(key);
    if (!found || found->of.get() != &left) return;  // it was closed
    last = std::move(found->of);
    topics_.erase(*found);
  }
  /// For a publisher. Counts one who finds nobody.
  shared_topic find(const Key& key, bool& closed) {
    const std::lock_guard guard(lock_);
    closed = closed_;
    if (const place* const found = topics_.find(key)) return found->of;
    if (!closed_) ++unheard_;
    return nullptr;
  }

  void close(const Key& key) noexcept {
    shared_topic closed;
    const std::lock_guard guard(lock_);
    place* const found = topics_.find(key);
    if (!found) return;
    closed = std::move(found->of);
    topics_.erase(*found);
    closed->items.close();
  }
  void close() noexcept {
    table closed;  // end without the lock
    const std::lock_guard guard(lock_);
    closed_ = true;
    closed.swap_entries(topics_);
    for (const place* one = closed.first(); one; one = closed.after(*one)) one->of->items.close();
  }

  [[nodiscard]] topics_counters counters() {
    topics_counters sum;
    const std::lock_guard guard(lock_);
    {
      const std::lock_guard past_guard(past_lock_);
      sum = past_;
    }
    for (const place* one = topics_.first(); one; one = topics_.after(*one)) add(sum, one->of->items.counters());
    sum.unheard = unheard_;
    sum.topics = topics_.size();
    return sum;
  }
  [[nodiscard]] std::size_t subscribers(const Key& key) {
    const std::lock_guard guard(lock_);
    const place* const found = topics_.find(key);
    return found ? found->of->items.counters().subscribers : 0;
  }

 private:
  struct place : hash_link {
    const Key key;
    shared_topic of;
  };
  using table = hash_table<place, Hash, Equal>;

  static void add(topics_counters& to, const broadcast_counters& of) noexcept {
    to.published += of.sent;
    to.received += of.received;
    to.dropped += of.dropped;
    to.subscribers += of.subscribers;
  }

  const topics_options options_;
  std::mutex past_lock_;  // taken last
  topics_counters past_;  // guarded by past_lock_: of topics that are gone
  std::mutex lock_;
  bool closed_ = false;  // guarded by lock_, as all that follows
  std::uint64_t unheard_ = 0;
  table topics_;
};

}  // namespace detail

/// One subscriber of a topic. Move-only; one task or thread receives from it at a time. Its end unsubscribes; what has
/// not been read goes with it. It may outlive the topics.
template <class Key, class T, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class [[nodiscard]] topic_subscription {
  using core = detail::topics_core<Key, T, Hash, Equal>;

 public:
  topic_subscription() = default;
  topic_subscription(topic_subscription&&) noexcept = default;
  topic_subscription& operator=(topic_subscription&& other) noexcept {
    if (this != &other) {
      reset();
      key_ = std::move(other.key_);
      core_ = std::move(other.core_);
      topic_ = std::move(other.topic_);
      items_ = std::move(other.items_);
    }
    return *this;
  }
  ~topic_subscription() { reset(); }

  /// Whether it belongs to a topic, be it open or closed.
  explicit operator bool() const noexcept { return static_cast<bool>(items_); }
  [[nodiscard]] const Key& key() const noexcept { return key_; }

  // As those of broadcast_subscription.

  /// Completes with the next item; with nothing once the topic is closed and all that was there has been read. Throws
  /// std::system_error (std::errc::no_buffer_space) once all has been read after a disconnection. Selectable.
  [[nodiscard]] auto receive() noexcept WEIR_DETAIL_LIFETIMEBOUND { return items_.receive(); }
  std::optional<T> try_receive() { return items_.try_receive(); }
  std::optional<T> receive_blocking() { return items_.receive_blocking(); }
  [[nodiscard]] std::size_t lag() const noexcept { return items_.lag(); }
  [[nodiscard]] std::uint64_t missed() const noexcept { return items_.missed(); }
  [[nodiscard]] bool is_disconnected() const noexcept { return items_.is_disconnected(); }

  /// Unsubscribes. Idempotent. O(lag).
  void reset() noexcept {
    items_.reset();
    if (topic_) core_->leave(key_, *topic_);
    topic_.reset();
    core_.reset();
  }

 private:
  friend class topics<Key, T, Hash, Equal>;
  topic_subscription(std::shared_ptr<core> of, const Key& key) : key_(key), core_(std::move(of)) {}

  Key key_{};
  std::shared_ptr<core> core_;
  std::shared_ptr<typename core::topic> topic_;
  broadcast_subscription<T> items_;
};

/// Publish and subscribe by topic: a broadcast for each key that somebody wants to hear of.
///
///     weir::topics<std::string, trade> prices({.capacity = 10});
///     auto mine = prices.subscribe("AAPL");
///     ... co_await prices.publish("AAPL", t);                            // never waits, unless a policy says so
///     ... while (auto t = co_await mine.receive()) look_at(*t);
///
/// A topic is made by its first subscriber and vanishes with its last one, so memory follows those who listen, whatever
/// is published. Each subscriber sees every item of his topic from then on, in the order of publishing, or can ask how
/// many he has missed: see broadcast and slow_subscriber.
///
/// Any task of any runtime and any thread may use it, unless it was made on a confined worker. Subscriptions may
/// outlive it: its end closes it. Finding a topic takes one short lock; with many publishers and few topics give each
/// topic's publisher a broadcast of its own.
template <class Key, class T, class Hash, class Equal>
class topics {
  using core = detail::topics_core<Key, T, Hash, Equal>;

 public:
  using subscription = topic_subscription<Key, T, Hash, Equal>;

  /// Throws std::invalid_argument for a capacity of 0.
  explicit topics(const topics_options& options = {}) : core_(std::make_shared<core>(options)), options_(options) {}
  topics(const topics&) = delete;
  topics& operator=(const topics&) = delete;
  ~topics() { core_->close(); }

  /// Gets what is published on `key` from now on; once all is closed, nothing. Throws std::bad_alloc, and
  /// std::invalid_argument for a capacity of 0.
  subscription subscribe(const Key& key) { return subscribe(key, options_.policy, options_.capacity); }
  subscription subscribe(const Key& key, slow_subscriber policy) { return subscribe(key, policy, options_.capacity); }
  subscription subscribe(const Key& key, slow_subscriber policy, std::size_t capacity) {
    subscription made(core_, key);
    made.topic_ = core_->enter(key);
    made.items_ = made.topic_->items.subscribe(policy, capacity);
    return made;
  }

  /// Completes with true once every subscriber of `key` who takes the item has it, also when there is none; with false
  /// when all is closed. At once, unless a subscriber is waited for. The subscribers are those of the topic as it is
  /// when this is called.
  ///
  /// Cancelled while waiting: nobody has the item. O(subscribers of the topic).
  [[nodiscard]] task<bool> publish(const Key& key, T item) {
    bool closed = false;
    auto found = core_->find(key, closed);
    return send(core_, std::move(found), closed, std::move(item));
  }
  /// The same if that takes no waiting. False: a subscriber would have to be waited for, or all is closed.
  bool try_publish(const Key& key, T item) {
    bool closed = false;
    const auto found = core_->find(key, closed);
    if (!found) return !closed;
    return found->items.try_send(std::move(item));
  }

  /// Ends a topic: its subscribers read what they have, and then find the end. Who subscribes later makes a new one.
  void close(const Key& key) noexcept { core_->close(key); }
  /// The same for all, for good. Idempotent.
  void close() noexcept { core_->close(); }

  /// Of one topic, without those that were disconnected. A hint.
  [[nodiscard]] std::size_t subscribers(const Key& key) const { return core_->subscribers(key); }
  /// O(topics there were at once). While topics vanish their share may come a moment later.
  [[nodiscard]] topics_counters counters() const { return core_->counters(); }

 private:
  static task<bool> send(std::shared_ptr<core> /*kept*/, typename core::shared_topic to, bool closed, T item) {
    if (!to) co_return !closed;
    co_return co_await to->items.send(std::move(item));
  }

  std::shared_ptr<core> core_;
  const topics_options options_;
};

}  // namespace weir
