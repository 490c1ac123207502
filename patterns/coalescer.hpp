#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/cancellation.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/hash_table.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/owned.hpp"
#include "../runtime/result.hpp"
#include "../runtime/task.hpp"
#include "../runtime/with_cancellation.hpp"
#include "../sync/event.hpp"
#include "detail/closing_tasks.hpp"
#include "shutdown_mode.hpp"

namespace weir {

/// What a coalescer has done so far.
struct coalescer_stats {
  std::uint64_t calls = 0;      ///< of get()
  std::uint64_t flights = 0;    ///< calls of the function: the others shared one
  std::uint64_t failures = 0;   ///< flights that failed
  std::uint64_t cancelled = 0;  ///< flights that were stopped
  std::size_t in_flight = 0;    ///< keys that are asked for now
};

namespace detail {

/// What a function that takes the key, or nothing, returns for it.
template <class F, class Key>
struct flight_function {
  using type = std::invoke_result_t<F&>;
};
template <class F, class Key>
  requires std::invocable<F&, const Key&>
struct flight_function<F, Key> {
  using type = std::invoke_result_t<F&, const Key&>;
};

/// The flights under way, shared by the coalescer, the flights and those who wait for them.
template <class Key, class Value, class Hash, class Equal>
class flight_board {
 public:
  struct flight {
    explicit flight(const Key& k) : key(k) {}
    const Key key;
    event landed;
    std::optional<result<Value>> outcome;  // written before it has landed, read after
    cancellation_source stop;
    std::size_t waiting = 0;  // guarded by the board's mutex
    bool done = false;        // the same: it has landed, or was given up
  };
  using board_pointer = std::shared_ptr<flight_board>;
  using flight_pointer = std::shared_ptr<flight>;

  /// The side of a flight that flies. When it goes without having landed, those who wait are told that it was
  /// cancelled.
  class pilot {
   public:
    pilot(board_pointer board, flight_pointer of) noexcept : board_(std::move(board)), flight_(std::move(of)) {}
    pilot(pilot&&) noexcept = default;
    pilot& operator=(pilot&&) = delete;
    ~pilot() {
      if (flight_) land(result<Value>(failure::cancellation(cancellation_cause::requested)));
    }
    [[nodiscard]] const Key& key() const noexcept { return flight_->key; }
    [[nodiscard]] cancellation_token token() const noexcept { return flight_->stop.token(); }
    void land(result<Value>&& outcome) noexcept {
      const flight_pointer of = std::move(flight_);
      board_->land(*of, std::move(outcome));
    }

   private:
    board_pointer board_;
    flight_pointer flight_;
  };

  /// The side of one who waits. The last to go gives the flight up.
  class seat {
   public:
    /// In the flight to `key`, or in a new one.
    seat(board_pointer board, const Key& key) : board_(std::move(board)) { board_->take(*this, key); }
    seat(const seat&) = delete;
    seat& operator=(const seat&) = delete;
    ~seat() { board_->leave(*flight_); }

    [[nodiscard]] bool is_new() const noexcept { return new_; }
    [[nodiscard]] pilot fly() const noexcept { return pilot(board_, flight_); }
    [[nodiscard]] auto landed() noexcept { return flight_->landed.wait(); }
    [[nodiscard]] const result<Value>& outcome() const noexcept { return *flight_->outcome; }

   private:
    friend flight_board;
    board_pointer board_;
    flight_pointer flight_;
    bool new_ = false;
  };

  void close() {
    const std::lock_guard guard(mutex_);
    closed_ = true;
  }
  coalescer_stats stats() {
    const std::lock_guard guard(mutex_);
    coalescer_stats now = stats_;
    now.in_flight = flights_.size();
    return now;
  }

 private:
  void take(seat& by, const Key& key) {
    const std::lock_guard guard(mutex_);
    if (closed_) {
      throw std::system_error(std::make_error_code(std::errc::operation_canceled),
                              "weir: coalescer::get: the coalescer has been shut down");
    }
    const std::uint64_t hash = flights_.hash_of(key);
    const announced* there = flights_.find(key, hash);
    if (!there) {
      there = &flights_.insert(detail::owned<announced>(new announced(std::make_shared<flight>(key))), hash);
      by.new_ = true;
      ++stats_.flights;
    }
    ++stats_.calls;
    ++there->of->waiting;
    by.flight_ = there->of;
  }
  void leave(flight& from) noexcept {
    {
      const std::lock_guard guard(mutex_);
      if (--from.waiting != 0 || from.done) return;
      // Who comes now gets a flight of his own, not one that is being stopped.
      finish(from);
      ++stats_.cancelled;
    }
    from.stop.request_cancellation();
  }
  void land(flight& at, result<Value>&& outcome) noexcept {
    try {
      at.outcome.emplace(std::move(outcome));
    } catch (...) {
      at.outcome.emplace(failure(std::current_exception()));
    }
    const bool stopped = at.outcome->is_cancelled();
    const bool failed = !at.outcome->has_value() && !stopped;
    {
      const std::lock_guard guard(mutex_);
      if (!at.done) {
        finish(at);
        stats_.failures += failed ? 1 : 0;
        stats_.cancelled += stopped ? 1 : 0;
      }
    }
    at.landed.set();
  }
  void finish(flight& of) noexcept {
    of.done = true;
    if (announced* const found = flights_.find(of.key)) flights_.erase(*found);
  }

  struct announced : hash_link {
    explicit announced(flight_pointer one) : of(std::move(one)), key(of->key) {}
    const flight_pointer of;
    const Key& key;
  };

  std::mutex mutex_;
  bool closed_ = false;                         // guarded by mutex_
  hash_table<announced, Hash, Equal> flights_;  // the same; those that are not done
  coalescer_stats stats_;                       // the same
};

}  // namespace detail

/// One request for all who ask for the same at the same time: who comes while it is under way waits for its outcome.
/// (Go's singleflight.)
///
///     weir::coalescer<std::string, user> users;
///     user u = co_await users.get(name, [&](const std::string& n) { return load_user(n); });
///
/// It is no cache: a key is forgotten when its request has ended, and who comes after that makes a new one. Everybody
/// gets a copy of the value, or the failure; where copies are dear let Value be a std::shared_ptr. Value may be void.
///
/// The request is a task of the coalescer, with its token and no deadline, so that nobody's cancellation or deadline is
/// that of the others: who is stopped while he waits just leaves. The last one to leave stops the request.
///
/// Any task of any worker may use it. Memory is bounded by those who wait. Destroyed without shutdown() it stops the
/// requests and leaves the joining to the runtime; those who wait get `cancelled`.
template <class Key, class Value, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class coalescer {
  static_assert(std::is_void_v<Value> || std::copy_constructible<Value>,
                "coalescer: everybody gets a copy of the value: use a std::shared_ptr for what cannot be copied");
  using board = detail::flight_board<Key, Value, Hash, Equal>;

 public:
  coalescer() : board_(std::make_shared<board>()) {}
  coalescer(const coalescer&) = delete;
  coalescer& operator=(const coalescer&) = delete;
  ~coalescer() { board_->close(); }

  /// Completes with the value for `key`, or fails as the request did; everybody gets the same exception object. When no
  /// request for the key is under way, calls `function(key)`, or `function()`, which returns a task<Value>; otherwise
  /// `function` is not used. It is kept until the request has ended, which may be after this: what it refers to must
  /// live until shutdown() has completed.
  ///
  /// After shutdown() throws std::system_error (std::errc::operation_canceled); while it waits there, `cancelled`.
  /// Cancelled: leaves, as above. A request that asks for its own key waits for itself. Allocates a frame, and a few
  /// blocks for a new request; O(1).
  template <class F>
  [[nodiscard]] task<Value> get(Key key, F&& function) {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    static_assert(std::is_same_v<typename detail::flight_function<std::decay_t<F>, Key>::type, task<Value>>,
                  "coalescer: the function takes the key, or nothing, and returns a task of the value");
    return wait_for<std::decay_t<F>>(board_, tasks_, std::move(key), std::forward<F>(function));
  }

  /// Takes no more calls. With `drain` waits for the requests, up to `limit`; then, or at once, stops them. Completes
  /// when all have ended, with true when none had to be stopped. Idempotent, also from several tasks.
  task<bool> shutdown(shutdown_mode mode = shutdown_mode::drain, duration limit = duration::max()) {
    board_->close();
    return tasks_.shutdown(mode, limit);
  }

  [[nodiscard]] coalescer_stats stats() const { return board_->stats(); }

 private:
  template <class F>
  static task<Value> wait_for(std::shared_ptr<board> flights, detail::closing_tasks& tasks, Key key, F function) {
    typename board::seat mine(std::move(flights), key);
    if (mine.is_new()) tasks.spawn(fly<F>, mine.fly(), std::move(function));
    co_await mine.landed();
    co_return mine.outcome().value();
  }
  template <class F>
  static task<> fly(typename board::pilot at, F function) {
    std::optional<result<Value>> ended;
    try {
      auto request = call(function, at.key());
      auto outcome = co_await as_result(with_cancellation(at.token(), std::move(request)));
      ended.emplace(std::move(outcome));
    } catch (...) {
      ended.emplace(detail::failure(std::current_exception()));
    }
    at.land(std::move(*ended));
  }
  template <class F>
  static task<Value> call(F& function, const Key& key) {
    if constexpr (std::invocable<F&, const Key&>) {
      return detail::invoke(function, key);
    } else {
      return detail::invoke(function);
    }
  }

  std::shared_ptr<board> board_;
  detail::closing_tasks tasks_;
};

}  // namespace weir
