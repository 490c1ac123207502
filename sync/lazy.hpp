#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/task.hpp"
#include "once.hpp"

namespace weir {
namespace detail {

/// Makes the value in the memory that it is given.
template <class T>
class initialiser {
 public:
  initialiser() = default;
  initialiser(const initialiser&) = delete;
  initialiser& operator=(const initialiser&) = delete;
  virtual ~initialiser() = default;
  virtual task<> run(void* memory) = 0;
  /// Only if it gives no task.
  virtual void make(void* memory) = 0;
};

template <class T, class F>
class initialiser_of final : public initialiser<T> {
 public:
  template <class G>
    requires(!std::is_same_v<std::remove_cvref_t<G>, initialiser_of>)
  explicit initialiser_of(G&& fn) : fn_(std::forward<G>(fn)) {}

 private:
  static constexpr bool gives_task = is_task<std::invoke_result_t<F&>>;

  task<> run(void* memory) override {
    if constexpr (gives_task) {
      auto running = detail::invoke(fn_);
      auto value = co_await std::move(running);
      ::new (memory) T(std::move(value));
    } else {
      ::new (memory) T(detail::invoke(fn_));
      co_return;
    }
  }
  void make([[maybe_unused]] void* memory) override {
    if constexpr (!gives_task) ::new (memory) T(detail::invoke(fn_));
  }

  F fn_;
};

template <class T>
class lazy_core : public once_core {
 public:
  template <class F>
  lazy_core(on_failure policy, F&& fn)
      : once_core(policy),
        gives_task_(is_task<std::invoke_result_t<std::decay_t<F>&>>),
        make_(std::make_unique<initialiser_of<T, std::decay_t<F>>>(std::forward<F>(fn))) {}
  lazy_core(const lazy_core&) = delete;
  lazy_core& operator=(const lazy_core&) = delete;
  ~lazy_core() {
    if (is_made_) std::destroy_at(address());
  }

  /// Once it is done.
  [[nodiscard]] T& value() noexcept { return *address(); }
  /// In its turn, by nobody else: what run_once() calls.
  task<> operator()() {
    co_await make_->run(&memory_);
    keep();
  }
  void run_blocking() {
    // Decided before there is a turn, which this would end as a failure.
    if (gives_task_ && !is_settled()) {
      throw std::logic_error(
          "weir: lazy::get_blocking cannot run an initialiser that is a task: co_await get() instead");
    }
    once_core::run_blocking(
        "weir: lazy::get_blocking would block a worker of a runtime, and all its tasks: co_await get() instead",
        [this] {
          make_->make(&memory_);
          keep();
        });
  }

 private:
  T* address() noexcept { return std::launder(reinterpret_cast<T*>(&memory_)); }
  void keep() noexcept {
    is_made_ = true;
    make_.reset();
  }

  alignas(T) std::byte memory_[sizeof(T)];
  bool is_made_ = false;
  const bool gives_task_;
  std::unique_ptr<initialiser<T>> make_;  // gone when it has succeeded, with all that it holds
};

template <class T>
class [[nodiscard]] lazy_get_operation final : public once_operation {
 public:
  using value_type = T&;

  explicit lazy_get_operation(lazy_core<T>& core) noexcept : once_operation(core) {}
  lazy_get_operation(lazy_get_operation&&) = default;
  ~lazy_get_operation() = default;

  bool ready(const await_context&) noexcept {
    return settled_or([this] { return start_run(); });
  }
  T& resume() {
    conclude();
    return core().value();
  }
  result<T&> resume_result() noexcept {
    return capture<T&>([this]() -> T& { return resume(); });
  }

 private:
  lazy_core<T>& core() noexcept { return static_cast<lazy_core<T>&>(core_); }
  task<> start_run() { return run_once(core_, core()); }
};

}  // namespace detail

/// A value that is made when it is first asked for, once.
///
///     weir::lazy<config> settings{load_config};  // config load_config(), or task<config> load_config()
///     config& c = co_await settings.get();       // in each request
///
/// Who comes while it is made waits. A failure is treated as by once: with on_failure::retry the error reaches the one
/// who ran it and the next one tries again, with on_failure::keep everybody gets it. Who is stopped while he runs it
/// has not failed: the next one tries. An initialiser that has succeeded is destroyed, with what it holds, before
/// anybody sees the value.
///
/// The value is one for all: what alters it later needs a lock, or is a snapshot<T>. Any task of any runtime and any
/// plain thread may use it; but one that was made on a confined worker belongs to that worker. The value lives as long
/// as the lazy, which must outlive all who use it: destroying it while somebody runs it or waits is told in debug
/// builds. Making one allocates once, for the initialiser.
template <class T>
class lazy {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "a lazy keeps a value: lazy<config>, not lazy<config&>");

 public:
  /// `fn()` returns the value or a task of it. It lives in here, so a coroutine lambda with captures is right. A task's
  /// value is moved; what a plain function returns need not even be movable.
  template <class F>
    requires(std::invocable<std::decay_t<F>&> && !std::same_as<std::decay_t<F>, lazy>)
  explicit lazy(F&& fn, on_failure policy = on_failure::retry) : core_(policy, std::forward<F>(fn)) {}
  lazy(const lazy&) = delete;
  lazy& operator=(const lazy&) = delete;
  ~lazy() = default;

  /// Completes with the value, which this call may have to make. Fails with what the initialiser throws when it is run
  /// here, and with on_failure::keep also elsewhere: everybody gets the same exception object. Asked for from inside of
  /// its own initialiser it would wait for itself; debug builds tell that, as far as the one awaits the other.
  ///
  /// Cancelled while waiting: leaves the queue and stops. Cancelled while it runs the initialiser: that is stopped, and
  /// the next one tries. Under a token that is already cancelled it stops; but a value that is there is given without a
  /// look at the token. With the value there: one atomic load, no suspension, no allocation. Otherwise some frames,
  /// recycled; O(1), and O(waiters) when it succeeds.
  [[nodiscard]] detail::lazy_get_operation<T> get() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::lazy_get_operation<T>(core_);
  }

  /// The value if it is there, and otherwise null: makes nothing. One atomic load.
  [[nodiscard]] T* try_get() noexcept WEIR_DETAIL_LIFETIMEBOUND { return core_.is_done() ? &core_.value() : nullptr; }

  /// get() for a thread outside of every runtime, which it blocks; it queues among the tasks. Throws std::logic_error
  /// while there is no value yet if the initialiser gives a task, and on a worker where it would have to wait. Cannot
  /// be cancelled.
  T& get_blocking() WEIR_DETAIL_LIFETIMEBOUND {
    core_.run_blocking();
    return core_.value();
  }

 private:
  detail::lazy_core<T> core_;
};

template <class F>
explicit lazy(F) -> lazy<typename detail::unwrapped_task<std::invoke_result_t<F&>>::type>;
template <class F>
explicit lazy(F, on_failure) -> lazy<typename detail::unwrapped_task<std::invoke_result_t<F&>>::type>;

}  // namespace weir
