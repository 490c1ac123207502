#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/later.hpp"
#include "../runtime/detail/take.hpp"
#include "../runtime/detail/wrapped_operation.hpp"
#include "../runtime/task.hpp"
#include "../sync/channel.hpp"
#include "../sync/detail/domain_lock.hpp"
#include "../sync/event.hpp"
#include "../sync/select.hpp"
#include "../sync/semaphore.hpp"
#include "dead_letter_queue.hpp"

namespace weir {

struct delivery_queue_options {
  std::size_t capacity = 1000;   ///< messages that wait or are being dealt with; at least 1
  unsigned most_deliveries = 5;  ///< of each message, replays aside; at least 1
};
static_assert(detail::trivially_destructible<delivery_queue_options>);

/// sent = acknowledged + dead + rejected + queued + in_flight
struct delivery_queue_stats {
  std::uint64_t sent = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t requeued = 0;  ///< times that a message went back into the queue
  std::uint64_t dead = 0;      ///< messages that went to the dead letters
  std::uint64_t rejected = 0;  ///< the same, when there is no queue for dead letters: they are gone
  std::size_t queued = 0;
  std::size_t in_flight = 0;  ///< delivered, and not settled
};

template <class T>
class delivery_queue;

/// A message that somebody has received and must settle, once: ack(), requeue() or reject(). Move-only. When it ends
/// without, by an exception or a stop for instance, the message goes back into the queue. A second call throws
/// std::logic_error. The queue must outlive it.
template <class T>
class [[nodiscard]] delivery {
 public:
  delivery(delivery&& other) noexcept
      : queue_(detail::take(other.queue_)), held_(std::move(other.held_)), deliveries_(other.deliveries_) {}
  delivery& operator=(delivery&& other) noexcept {
    if (this == &other) return *this;
    give_back();
    queue_ = detail::take(other.queue_);
    held_ = std::move(other.held_);
    deliveries_ = other.deliveries_;
    return *this;
  }
  ~delivery() { give_back(); }

  [[nodiscard]] T& message() noexcept { return held_.message; }
  [[nodiscard]] const T& message() const noexcept { return held_.message; }
  /// Which delivery of the message this is, since it was sent or replayed: 1, 2, ...
  [[nodiscard]] unsigned number() const noexcept { return deliveries_; }
  [[nodiscard]] bool settled() const noexcept { return queue_ == nullptr; }

  /// It is dealt with.
  void ack() { take_queue().acknowledge(); }
  /// It failed for a reason that may pass: it goes to the end of the queue, or, after most_deliveries, to the dead
  /// letters. Who waits a little before he says so spares everybody a loop without a pause.
  void requeue(std::string reason = {}) { take_queue().requeue(std::move(held_), deliveries_, std::move(reason)); }
  /// It will never succeed: it goes to the dead letters.
  void reject(std::string reason = {}) { take_queue().reject(std::move(held_), std::move(reason)); }

 private:
  friend class delivery_queue<T>;
  delivery(delivery_queue<T>& queue, dead_letter<T>&& held, unsigned deliveries) noexcept
      : queue_(&queue), held_(std::move(held)), deliveries_(deliveries) {}

  delivery_queue<T>& take_queue() {
    if (!queue_) throw std::logic_error("weir: delivery: this message was settled before, or moved away");
    return *detail::take(queue_);
  }
  void give_back() noexcept {
    if (queue_) requeue("not settled");
  }

  delivery_queue<T>* queue_;
  dead_letter<T> held_;
  unsigned deliveries_;
};

/// A queue whose messages are delivered until somebody says that they are dealt with, and at most so many times: the
/// part of a message broker that a program needs within itself.
///
///     weir::dead_letter_queue<order> dead;
///     weir::delivery_queue<order> orders("orders", {.most_deliveries = 3}, &dead);
///     ...
///     while (auto d = co_await orders.receive()) {
///       ...
///       d->ack();  // or requeue(why), or reject(why)
///     }
///
/// A message keeps its place among the `capacity` until it is settled, so there is always room to put it back, and
/// senders wait for it. Each message that was sent ends exactly once: acknowledged, or among the dead letters. Any task
/// of any runtime may use it, unless it was made on a confined worker.
template <class T>
class delivery_queue {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "a message goes back into its queue in destructors: its move constructor must not throw");
  struct queued {
    dead_letter<T> letter;
    unsigned deliveries = 0;
  };

 public:
  /// `name` becomes the origin of dead letters; `dead` must outlive the queue, and without it they are dropped. Throws
  /// std::invalid_argument when the options make no sense.
  explicit delivery_queue(std::string name, const delivery_queue_options& options = {},
                          dead_letter_queue<T>* dead = nullptr)
      : name_(std::move(name)),
        options_(checked(options)),
        dead_(dead),
        room_(options.capacity),
        ready_(options.capacity) {}
  delivery_queue(const delivery_queue&) = delete;
  delivery_queue& operator=(const delivery_queue&) = delete;
  ~delivery_queue() {
    WEIR_DETAIL_ASSERT(open_ == ready_.size(), "a delivery_queue was destroyed before a delivery of it was settled");
  }

  /// Completes with true once the queue has the message; with false, and the message untouched, when it is closed.
  /// Cancelled while it waits for room: stops, the message untouched. A frame.
  [[nodiscard]] task<bool> send(T&& message WEIR_DETAIL_LIFETIMEBOUND) WEIR_DETAIL_LIFETIMEBOUND {
    return put_in_time([this, &message] { return fresh(message); });
  }
  /// The same with a copy.
  [[nodiscard]] task<bool> send(const T& message) WEIR_DETAIL_LIFETIMEBOUND
    requires std::copy_constructible<T>
  {
    return send_copy(message);
  }
  /// The same for a dead letter, whose numbers go on: for dead_letter_queue::replay().
  [[nodiscard]] task<bool> send_again(dead_letter<T>& letter WEIR_DETAIL_LIFETIMEBOUND) WEIR_DETAIL_LIFETIMEBOUND {
    return put_in_time([&letter] { return queued{std::move(letter), 0}; });
  }
  /// Sends if that takes no waiting; otherwise false, and the message is untouched.
  [[nodiscard]] bool try_send(T&& message) {
    auto place = room_.try_acquire();
    if (!place || !enter(place)) return false;
    put(fresh(message));
    return true;
  }

  class receive_operation;
  /// Completes with a delivery; with nothing once the queue is closed and every message is settled. Cancelled while it
  /// waits: stops, and nothing was received. Selectable. Allocates nothing.
  [[nodiscard]] receive_operation receive() noexcept WEIR_DETAIL_LIFETIMEBOUND { return receive_operation(*this); }

  /// Nothing more can be sent. What is there is delivered, and delivered again, until it is settled. Idempotent.
  void close() noexcept {
    bool last = false;
    {
      const std::lock_guard guard(lock_);
      closed_ = true;
      last = open_ == 0;
    }
    closing_.set();
    if (last) ready_.close();
  }

  [[nodiscard]] delivery_queue_stats stats() noexcept {
    const std::lock_guard guard(lock_);
    delivery_queue_stats all = stats_;
    all.queued = ready_.size();
    all.in_flight = open_ > all.queued ? open_ - all.queued : 0;
    return all;
  }

 private:
  friend class delivery<T>;

  static delivery_queue_options checked(const delivery_queue_options& o) {
    if (o.capacity == 0 || o.most_deliveries == 0) {
      throw std::invalid_argument("weir: delivery_queue: at least one message, and at least one delivery of each");
    }
    return o;
  }

  queued fresh(T& message) const { return {{.message = std::move(message), .origin = name_, .attempts = 0}, 0}; }

  template <class Make>
  task<bool> put_in_time(Make make) {
    auto chosen = co_await select_ordered(detail::later<T>(closing_).wait(), room_.acquire());
    if (chosen.index() == 0) co_return false;
    auto place = std::move(chosen).template get<1>();
    const bool entered = enter(place);
    if (entered) put(make());
    co_return entered;
  }
  task<bool> send_copy(T message) {
    auto sending = send(std::move(message));
    co_return co_await std::move(sending);
  }

  /// Keeps a place until its message is settled. False when the queue is closed.
  bool enter(semaphore_permit& place) noexcept {
    const std::lock_guard guard(lock_);
    if (closed_) return false;
    ++open_;
    ++stats_.sent;
    place.forget();
    return true;
  }
  /// There is room, because there are no more messages than places, and while one is open the channel is.
  void put(queued&& message) noexcept { static_cast<void>(ready_.try_send(std::move(message))); }

  void leave(std::uint64_t delivery_queue_stats::* as) noexcept {
    bool last = false;
    {
      const std::lock_guard guard(lock_);
      ++(stats_.*as);
      last = --open_ == 0 && closed_;
    }
    room_.release();
    if (last) ready_.close();
  }
  void acknowledge() noexcept { leave(&delivery_queue_stats::acknowledged); }
  void requeue(dead_letter<T>&& letter, unsigned deliveries, std::string reason) {
    if (deliveries >= options_.most_deliveries) return reject(std::move(letter), std::move(reason));
    note_failure(letter, std::move(reason));
    {
      const std::lock_guard guard(lock_);
      ++stats_.requeued;
    }
    put({std::move(letter), deliveries});
  }
  void reject(dead_letter<T>&& letter, std::string reason) {
    note_failure(letter, std::move(reason));
    if (dead_) dead_->push(std::move(letter));
    leave(dead_ ? &delivery_queue_stats::dead : &delivery_queue_stats::rejected);
  }
  static void note_failure(dead_letter<T>& letter, std::string reason) noexcept {
    letter.reason = std::move(reason);
    letter.last = clock::now();
    if (letter.first == time_point::min()) letter.first = letter.last;
  }

  const std::string name_;
  const delivery_queue_options options_;
  dead_letter_queue<T>* const dead_;
  event closing_;
  semaphore room_;
  channel<queued> ready_;
  detail::domain_lock lock_;
  // Guarded by lock_.
  bool closed_ = false;
  std::size_t open_ = 0;  // messages that were sent and are not settled
  delivery_queue_stats stats_;
};

template <class T>
class [[nodiscard]] delivery_queue<T>::receive_operation final
    : public detail::wrapped_operation<decltype(std::declval<channel<queued>&>().receive())> {
 public:
  using value_type = std::optional<delivery<T>>;

  explicit receive_operation(delivery_queue& queue) noexcept
      : detail::wrapped_operation<decltype(std::declval<channel<queued>&>().receive())>(queue.ready_.receive()),
        queue_(queue) {}

  value_type resume() { return delivered(this->inner_.resume()); }
  result<value_type> resume_result() noexcept {
    return detail::capture<value_type>([this] { return resume(); });
  }

 private:
  value_type delivered(std::optional<queued> next) {
    if (!next) return std::nullopt;
    ++next->letter.attempts;
    return delivery<T>(queue_, std::move(next->letter), next->deliveries + 1);
  }

  delivery_queue& queue_;
};

}  // namespace weir
