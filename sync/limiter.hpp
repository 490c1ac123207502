#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/detail/timer.hpp"
#include "detail/domain_lock.hpp"
#include "detail/object_wait.hpp"
#include "detail/waiter.hpp"

namespace weir {

class limiter;

/// What a limiter has done so far.
struct limiter_counters {
  std::uint64_t granted = 0;  ///< tokens, those of reservations included when their time has come
  std::uint64_t waits = 0;    ///< calls that had to wait
  std::uint64_t refused = 0;  ///< calls that got nothing: try_acquire, a full queue, a deadline that could not be met
  std::uint64_t waiting = 0;  ///< calls and reservations that wait now
};

namespace detail {

/// Who waits at a limiter: a task, a thread, or a reservation, which only keeps its place in the queue.
class limiter_waiter : public waiter {
 public:
  enum class ending : std::uint8_t {
    granted,
    too_many,  ///< more than there ever are at once
    too_long,  ///< the queue is full
    too_late,  ///< its deadline comes first
  };

  explicit limiter_waiter(std::uint64_t n) noexcept : count(n) {}

  std::uint64_t count;
  time_point deadline = no_deadline;  // of the waiting task
  time_point granted_at{};
  ending how = ending::granted;

 protected:
  limiter_waiter(const limiter_waiter&) = default;
  ~limiter_waiter() = default;

 private:
  friend class limiter_core;
  /// It sees to it that limiter_core::time_has_come(*this) is called once, at `due` or later. Under the lock; it must
  /// stay alive until then, or until call_off().
  virtual void call_at(time_point due) noexcept = 0;
  /// True: the call will not come. False: it is on its way.
  virtual bool call_off() noexcept = 0;
  /// It comes. False: another one will, in place of this one.
  virtual bool call_arrives(bool /*by_timer*/) noexcept { return true; }
  /// In place of wake(), for one that was stopped.
  virtual void wake_stopped() noexcept = 0;
  /// Whether it can keep time for others and itself. A reservation cannot, and nobody wakes it.
  [[nodiscard]] virtual bool active() const noexcept { return true; }

  enum class fate : std::uint8_t { open, woken, stopped };
  bool counted_ = false;    // among those of the queue
  bool called_ = false;     // call_at() was, and the call has not come
  fate fate_ = fate::open;  // what is to happen with it when a call that could not be called off has come
  time_point call_due_{};
};

/// The queue of a limiter. Which of them is served when its policy says, which derived classes hold. The first active
/// one in the queue keeps the time: it has a timer for when the very first can be served, so that a limiter that nobody
/// waits for costs nothing.
class limiter_core {
 public:
  limiter_core(const limiter_core&) = delete;
  limiter_core& operator=(const limiter_core&) = delete;

  /// Now or never; `when` is told the time. Throws for more than there ever are.
  bool try_take(std::uint64_t n, time_point* when = nullptr);
  // What object_wait wants. One that ends at once with an error counts as having passed.
  bool try_enter(limiter_waiter& w) noexcept;
  admission enter(limiter_waiter& w) noexcept;
  bool withdraw(limiter_waiter& w) noexcept;
  bool arm(limiter_waiter& w, case_link link) noexcept;
  void take_out(limiter_waiter& w) noexcept;

  /// Keeps a place for `w` and says when its turn comes; in the past if it has had its turn.
  time_point reserve(limiter_waiter& w);
  /// Gives the place back, if its turn has not come. False: it has.
  bool cancel_reservation(limiter_waiter& w) noexcept;
  void move_reservation(limiter_waiter& from, limiter_waiter& to) noexcept;

  /// The call that call_at() has promised.
  void time_has_come(limiter_waiter& w, bool by_timer = false) noexcept;
  void give_back(time_point taken, std::uint64_t n) noexcept;

  /// Throws what becomes of a call that ended so.
  void require(const limiter_waiter& w) const;

 protected:
  /// `most_waiting`: calls and reservations in the queue.
  explicit limiter_core(const char* kind, std::size_t most_waiting = static_cast<std::size_t>(-1)) noexcept
      : kind_(kind), most_waiting_(most_waiting) {}
  ~limiter_core() { WEIR_DETAIL_ASSERT(waiting_.empty(), "a limiter was destroyed while somebody waits for it"); }

  [[nodiscard]] limiter_counters counters() noexcept;
  [[nodiscard]] std::uint64_t available() noexcept;
  [[nodiscard]] std::uint64_t most() noexcept;
  [[nodiscard]] bool at_rest() noexcept;

  /// The lock, held, at a time up to which everybody has been served.
  class section : public locked_section {
   public:
    explicit section(limiter_core& core) noexcept : locked_section(core.lock_), core_(core) { serve_again(); }
    void serve_again() noexcept { core_.serve(now, woken); }

    const time_point now = clock::now();

   private:
    limiter_core& core_;
  };

  /// Changes the policy, and serves whoever can be served after that. `change(now)` may throw.
  template <class F>
  void alter(F change) {
    section inside(*this);
    change(inside.now);
    played_ = inside.now;
    inside.serve_again();
  }

 private:
  // The policy, under the lock: see token_bucket.
  virtual bool take(time_point now, std::uint64_t n) noexcept = 0;
  virtual void put_back(time_point taken, std::uint64_t n) noexcept = 0;
  virtual time_point when(time_point now, std::uint64_t n) noexcept = 0;
  virtual time_point when_behind(time_point now, std::uint64_t ahead, std::uint64_t n) noexcept = 0;
  /// Exactly, after all who wait.
  virtual time_point when_behind_all(time_point now, std::uint64_t n) = 0;
  virtual std::uint64_t most_at_once() noexcept = 0;
  virtual std::uint64_t available_at(time_point now) noexcept = 0;
  virtual bool at_rest_at(time_point now) noexcept = 0;

 protected:
  /// For when_behind_all().
  [[nodiscard]] std::uint64_t tokens_ahead() const noexcept { return tokens_ahead_; }
  template <class F>
  void for_each_ahead(F visit) const {
    waiting_.for_each([&](const waiter& w) { visit(static_cast<const limiter_waiter&>(w).count); });
  }

 private:
  [[nodiscard]] failure describe(limiter_waiter::ending how, std::uint64_t n) const;
  void grant(limiter_waiter& w, time_point at) noexcept;
  void refuse(limiter_waiter& w, limiter_waiter::ending why) noexcept;
  bool end_at_once(limiter_waiter& w) noexcept;
  void queue(limiter_waiter& w, section& inside) noexcept;
  void count_in(limiter_waiter& w) noexcept;
  void count_out(limiter_waiter& w) noexcept;
  bool free_of_calls(limiter_waiter& w) noexcept;
  void serve(time_point now, intrusive_list<waiter>& woken) noexcept;
  void keep_time(time_point due) noexcept;

  const char* const kind_;
  const std::size_t most_waiting_;
  domain_lock lock_;
  waiter_queue waiting_;
  limiter_waiter* keeper_ = nullptr;
  // What the policy has been told of: now while nobody waits, otherwise when the latest one had his turn.
  time_point played_{};
  std::uint64_t tokens_ahead_ = 0;  // of those in the queue
  std::uint64_t waiting_count_ = 0;
  std::uint64_t granted_ = 0;
  std::uint64_t waits_ = 0;
  std::uint64_t refused_ = 0;
};

class [[nodiscard]] limiter_acquire_operation final
    : public selectable_object_wait<limiter_acquire_operation, limiter_waiter, void>,
      private timer,
      private message {
 public:
  limiter_acquire_operation(limiter& owner, std::uint64_t n) noexcept
      : selectable_object_wait<limiter_acquire_operation, limiter_waiter, void>(n), owner_(owner) {}
  limiter_acquire_operation(const limiter_acquire_operation&) = default;
  ~limiter_acquire_operation() = default;

  std::coroutine_handle<> start(const await_context& context) noexcept;
  result<void> resume_result() noexcept;
  bool arm_case(case_link link) noexcept;

  [[nodiscard]] limiter_core& object() const noexcept;
  void value() { object().require(*this); }
  [[nodiscard]] const char* name() const noexcept override { return "limiter::acquire"; }

 private:
  void call_at(time_point due) noexcept override;
  bool call_off() noexcept override;
  bool call_arrives(bool by_timer) noexcept override;
  void wake_stopped() noexcept override { complete_stopped(); }
  void fire() noexcept override;
  void deliver() noexcept override;

  limiter& owner_;
  runtime_core* runtime_ = nullptr;  // of the task that waits
  bool posted_ = false;              // the call comes as a message, whatever the timer does. Under the limiter's lock.
  bool armed_ = false;               // the timer is or was; the same
};

}  // namespace detail

/// Tokens that will be had at a certain time: the place in a limiter's queue of somebody who does something else
/// meanwhile. Move-only. The limiter must outlive it.
///
///     auto turn = limiter.reserve();
///     co_await prepare();
///     co_await weir::sleep_until(turn.when());
///
/// Its end before its time gives the tokens back, so that a cancelled wait costs nobody anything; its end after that
/// means that they were used.
class [[nodiscard]] limiter_reservation final : private detail::limiter_waiter {
 public:
  limiter_reservation(limiter_reservation&& other) noexcept;
  limiter_reservation& operator=(limiter_reservation&& other) noexcept;
  ~limiter_reservation() { cancel(); }

  /// When the tokens are due. What others do later does not move it: not a new rate, and not their cancellation, after
  /// which the tokens are taken sooner than that.
  [[nodiscard]] time_point when() const noexcept { return when_; }
  [[nodiscard]] std::uint64_t count() const noexcept { return limiter_waiter::count; }
  /// Gives the tokens back. False when their time has come already: then they are used. Idempotent. O(1).
  bool cancel() noexcept;

 private:
  friend class limiter;
  limiter_reservation(detail::limiter_core& owner, std::uint64_t n) : limiter_waiter(n), owner_(&owner) {
    when_ = owner.reserve(*this);
  }
  void wake() noexcept override {}
  void call_at(time_point) noexcept override {}
  bool call_off() noexcept override { return true; }
  void wake_stopped() noexcept override {}
  [[nodiscard]] bool active() const noexcept override { return false; }

  detail::limiter_core* owner_;
  time_point when_{};
};

/// What all limiters have: tokens that may be taken at a certain rate, and a queue of those who wait for them. First
/// come, first served, also with different numbers: who asks for ten is not passed by those who ask for one.
///
///     weir::rate_limiter limiter(100, 1s, 10);  // 100 per second, 10 of them at once
///     co_await limiter.acquire();
///
/// All arithmetic is in whole nanoseconds and tokens: nothing drifts, however long it runs. Each one who waits is
/// counted when it is his turn: a busy worker may let him through late, but that makes nobody else later. There is no
/// task and no timer in the background; while somebody waits the first of them has a timer.
///
/// Any task of any runtime and any plain thread may use one, unless it was made on a confined worker. Time is the
/// runtime's: virtual in a simulation. Nothing allocates but reserve() of a sliding window. It must outlive all who
/// wait; destroying it under a waiter is told in debug builds.
class limiter : protected detail::limiter_core {
 public:
  /// Completes when `n` tokens have been taken, after everybody who came before.
  ///
  /// Fails with std::errc::invalid_argument when n is more than can ever be taken at once (most()); at once with
  /// timed_out when its turn would not come before the task's deadline, as things stand; leaky_bucket also when its
  /// queue is full, with std::errc::resource_unavailable_try_again.
  ///
  /// Cancelled while waiting: leaves the queue and stops, takes nothing, and whoever waited behind it comes sooner.
  /// When the tokens had been handed to it before, it completes all the same. Under a token that is already cancelled
  /// it stops. Selectable: when another case is chosen nothing was taken. Allocates nothing; O(1).
  [[nodiscard]] detail::limiter_acquire_operation acquire(std::uint64_t n = 1) noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::limiter_acquire_operation(*this, n);
  }

  /// Takes `n` tokens if they are there and nobody waits for them: all or none. Throws std::system_error
  /// (std::errc::invalid_argument) when n is more than most(). O(1).
  [[nodiscard]] bool try_acquire(std::uint64_t n = 1) { return try_take(n); }

  /// acquire() for a thread outside of every runtime, which it blocks; it queues among the tasks. On a worker it throws
  /// std::logic_error where it would have to wait. Cannot be cancelled.
  void acquire_blocking(std::uint64_t n = 1);

  /// Takes `n` tokens behind all who wait, and says when they are due. Throws as acquire() fails. O(1) for the buckets,
  /// O(waiters + limit) for windows.
  limiter_reservation reserve(std::uint64_t n = 1) WEIR_DETAIL_LIFETIMEBOUND { return {*this, n}; }

  /// How many can be taken at once.
  [[nodiscard]] std::uint64_t most() noexcept { return limiter_core::most(); }
  /// How many can be taken now. A hint where others take some meanwhile.
  [[nodiscard]] std::uint64_t available() noexcept { return limiter_core::available(); }
  [[nodiscard]] limiter_counters counters() noexcept { return limiter_core::counters(); }

 protected:
  using limiter_core::limiter_core;
  ~limiter() = default;

 private:
  friend class detail::limiter_acquire_operation;
  friend class limiter_hierarchy;
  template <class Key, class Limiter, class Hash, class Equal>
  friend class keyed_limiter;
};

namespace detail {

inline limiter_core& limiter_acquire_operation::object() const noexcept { return owner_; }

/// A limiter with the policy `Policy`, which has the members of token_bucket.
template <class Policy>
class limiter_with : public limiter {
 protected:
  explicit limiter_with(Policy policy, std::size_t most_waiting = static_cast<std::size_t>(-1))
      : limiter(policy.whose(), most_waiting), policy_(std::move(policy)) {}
  ~limiter_with() = default;

  Policy policy_;

 private:
  bool take(time_point now, std::uint64_t n) noexcept final { return policy_.take(now, n); }
  void put_back(time_point taken, std::uint64_t n) noexcept final { policy_.give_back(taken, n); }
  time_point when(time_point now, std::uint64_t n) noexcept final { return policy_.when(now, n); }
  time_point when_behind(time_point now, std::uint64_t ahead, std::uint64_t n) noexcept final {
    return policy_.when_behind(now, ahead, n);
  }
  time_point when_behind_all(time_point now, std::uint64_t n) final {
    if constexpr (requires { Policy::additive; }) {
      return policy_.when_behind(now, this->tokens_ahead(), n);
    } else {
      Policy played = policy_;
      time_point at = now;
      const auto next = [&](std::uint64_t count) {
        at = played.when(at, count);
        played.take(at, count);
      };
      this->for_each_ahead(next);
      return played.when(at, n);
    }
  }
  std::uint64_t most_at_once() noexcept final { return policy_.most(); }
  std::uint64_t available_at(time_point now) noexcept final { return policy_.available(now); }
  bool at_rest_at(time_point now) noexcept final { return policy_.at_rest(now); }
};

/// One whose rate its user sets.
template <class Policy>
class settable_limiter : public limiter_with<Policy> {
 public:
  /// From now on so many in each `period`. What was granted stays counted and what is there stays there; no new tokens
  /// are handed out, and those who wait keep their places. Throws as the constructor does, and has no effect then. Any
  /// thread. O(1), and O(limit) for a sliding window that grows.
  template <class Rep, class Period>
  void set_rate(std::uint64_t number, std::chrono::duration<Rep, Period> period) {
    this->alter([&](time_point now) { this->policy_.set_rate(now, number, to_duration(period)); });
  }

 protected:
  using limiter_with<Policy>::limiter_with;
  ~settable_limiter() = default;
};

}  // namespace detail
}  // namespace weir
