#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <source_location>
#include <system_error>
#include <type_traits>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/later.hpp"
#include "../runtime/task.hpp"
#include "../runtime/with_timeout.hpp"
#include "detail/closing_tasks.hpp"
#include "detail/pool_core.hpp"
#include "shutdown_mode.hpp"

namespace weir {

template <class T>
class resource_pool;

namespace detail {

template <class T>
class pooled_value final : public pooled {
 public:
  explicit pooled_value(T&& v) : value(std::move(v)) {}
  T value;
};

}  // namespace detail

/// A resource of a resource_pool, which goes back at the end of the lease's life, on whichever way that comes.
/// Move-only; it may be moved to another task or thread, and may outlive the pool.
template <class T>
class [[nodiscard]] resource_lease {
 public:
  resource_lease() = default;

  /// Whether it has a resource.
  explicit operator bool() const noexcept { return lease_.resource() != nullptr; }
  [[nodiscard]] T& operator*() const noexcept {
    WEIR_DETAIL_ASSERT(lease_.resource(), "a resource_lease is used that was given back, or moved from");
    return static_cast<detail::pooled_value<T>*>(lease_.resource())->value;
  }
  [[nodiscard]] T* operator->() const noexcept { return std::addressof(operator*()); }

  /// Gives it back before the end of its life. Idempotent. Any thread; only makes tasks ready.
  void release() noexcept { lease_.give_back(); }
  /// The same, but the resource is closed: for one that is broken, or was left in the middle of something.
  void discard() noexcept {
    lease_.spoil();
    lease_.give_back();
  }

 private:
  friend class resource_pool<T>;
  explicit resource_lease(detail::pool_lease lease) noexcept : lease_(std::move(lease)) {}
  detail::pool_lease lease_;
};

/// Connections, or whatever else is dear to open and used by one at a time: kept open, lent out, at most `max` of them.
///
///     weir::resource_pool<connection> db(open_connection, {.min = 2, .max = 10, .idle_timeout = 5min});
///     auto c = co_await db.acquire();   // given back at the end of the scope
///     co_await c->query("...");
///
/// First come, first served. Who comes gets the idle resource that was used last, or one that is opened for him in his
/// own task, or waits; never are more than `max` in use, idle or being opened. A resource that has been idle or alive
/// for too long, or does not pass its check, is closed and not lent out. Resources are closed by their destructors,
/// which must not use the pool.
///
/// A task of the pool closes what has expired and keeps `min` of them open, if the options ask for any of that; it
/// begins with the first call. Leases share what they need with the pool and may outlive it; but a pool that is
/// destroyed while some are out tells where they were taken, through runtime_options::on_error: either they leak, or
/// nobody has waited for them with shutdown().
///
/// Any task of any worker may use it. What the functions refer to must live until shutdown() has completed.
template <class T>
class resource_pool {
  static_assert(std::is_object_v<T> && std::is_move_constructible_v<T>, "a pool's resources must be movable objects");

 public:
  using lease = resource_lease<T>;

  /// `open()` returns a task<T>. Throws std::invalid_argument for options that make no sense.
  template <class Open>
    requires std::invocable<std::decay_t<Open>&>
  explicit resource_pool(Open&& open, const resource_pool_options& options = {})
      : resource_pool(std::forward<Open>(open), options, no_check()) {}
  /// `check(T&)` returns a bool, or a task<bool>: whether a resource that has been idle may be lent out. One that
  /// throws says no.
  template <class Open, class Check>
    requires std::invocable<std::decay_t<Open>&> && std::invocable<std::decay_t<Check>&, T&>
  resource_pool(Open&& open, const resource_pool_options& options, Check&& check)
      : core_(std::make_shared<core_of<std::decay_t<Open>, std::decay_t<Check>>>(options, std::forward<Open>(open),
                                                                                 std::forward<Check>(check))) {
    WEIR_DETAIL_REQUIRE_NAMED(Open);
    WEIR_DETAIL_REQUIRE_NAMED(Check);
    static_assert(std::is_same_v<std::invoke_result_t<std::decay_t<Open>&>, task<T>>,
                  "resource_pool: the function that opens takes nothing and returns a task of the resource");
    using checked = std::invoke_result_t<std::decay_t<Check>&, T&>;
    static_assert(std::is_same_v<checked, bool> || std::is_same_v<checked, task<bool>>,
                  "resource_pool: the check takes a T& and returns a bool, or a task of one");
  }
  resource_pool(const resource_pool&) = delete;
  resource_pool& operator=(const resource_pool&) = delete;
  ~resource_pool() {
    core_->close();
    core_->report_leaks();
  }

  /// Opens what is missing of `min`, at the same time: all of them, or none. When one fails the others are closed, and
  /// its error is thrown. Without it they are opened by and by. Throws std::system_error
  /// (std::errc::operation_canceled) when the pool is closed. Cancelled: closes what it has opened.
  [[nodiscard]] task<> open() {
    start();
    co_await detail::pool_core::open_all(detail::later<T>(core_));
  }

  /// Completes with a resource. Fails with what opening it has failed with, or, also while it waits, with
  /// std::system_error (std::errc::operation_canceled) when the pool is closed.
  ///
  /// Cancelled while waiting: leaves the queue and stops. While it opens or checks a resource: stops that, and closes
  /// it. So a deadline is with_timeout(1s, pool.acquire()). Two frames, recycled, and a block for a new resource; O(1).
  [[nodiscard]] task<lease> acquire(std::source_location where = std::source_location::current()) {
    start();
    auto got = co_await detail::pool_core::acquire(detail::later<T>(core_), where);  // the pool may be gone after this
    co_return lease(std::move(got));
  }

  /// An idle resource, if there is one that needs no check and nobody waits; otherwise an empty lease. Opens nothing.
  /// Throws as acquire() when the pool is closed. Inside a task of any worker; O(1).
  [[nodiscard]] lease try_acquire(std::source_location where = std::source_location::current()) {
    start();
    return lease(detail::pool_core::try_acquire(core_, where));
  }

  /// From now on nobody gets one: those who wait are told, idle resources are closed, and leased ones will be when they
  /// come back. Idempotent; any thread. O(max).
  void close() noexcept { core_->close(); }

  /// close(), and with `drain` waits for the leases to come back, but no longer than `limit`. Completes, once the
  /// pool's own task has ended, with the number of leases that are out. May be called again, also from several tasks.
  task<std::size_t> shutdown(shutdown_mode mode = shutdown_mode::drain, duration limit = duration::max()) {
    core_->close();
    if (mode == shutdown_mode::drain) {
      auto ended = co_await as_result(with_timeout(limit, detail::later<T>(*core_).all_back()));
      static_cast<void>(ended);  // what is out then is the answer
    }
    co_await detail::later<T>(tasks_).shutdown(shutdown_mode::cancel, duration::zero());
    co_return core_->in_use();
  }

  [[nodiscard]] resource_pool_stats stats() const { return core_->stats(); }

 private:
  struct no_check {
    bool operator()(T&) const noexcept { return true; }
  };

  template <class Open, class Check>
  class core_of final : public detail::pool_core {
   public:
    template <class O, class C>
    core_of(const resource_pool_options& options, O&& open, C&& check)
        : pool_core(options), open_(std::forward<O>(open)), check_(std::forward<C>(check)) {}

   private:
    task<detail::owned<detail::pooled>> open() override {
      auto made = co_await detail::invoke(open_);
      co_return detail::owned<detail::pooled>(new detail::pooled_value<T>(std::move(made)));
    }
    [[nodiscard]] bool has_check() const noexcept override { return !std::is_same_v<Check, no_check>; }
    task<bool> check(detail::pooled& resource) override {
      T& value = static_cast<detail::pooled_value<T>&>(resource).value;
      if constexpr (std::is_same_v<std::invoke_result_t<Check&, T&>, bool>) {
        co_return detail::invoke(check_, value);
      } else {
        co_return co_await detail::invoke(check_, value);
      }
    }

    Open open_;
    Check check_;
  };

  void start() {
    if (core_->begin_tidying()) tasks_.spawn(detail::pool_core::tidy, core_);
  }

  std::shared_ptr<detail::pool_core> core_;
  detail::closing_tasks tasks_;
};

}  // namespace weir
