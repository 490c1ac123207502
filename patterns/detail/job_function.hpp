#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "../../runtime/detail/config.hpp"
#include "../../runtime/detail/invoke.hpp"
#include "../../runtime/detail/promise_base.hpp"
#include "../../runtime/detail/take.hpp"
#include "../../runtime/task.hpp"

namespace weir::detail {

template <class F, class R, class... Args>
concept job_callable =
    std::invocable<F&, Args...> && std::same_as<typename unwrapped_task<std::invoke_result_t<F&, Args...>>::type, R>;

/// A job that is a function of its own: any callable that returns R or a task<R>. Move-only; what is not larger
/// than 48 bytes stands in it, and for others memory is taken that is recycled.
template <class R>
class job_function {
 public:
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, job_function> && job_callable<std::decay_t<F>, R> &&
             std::constructible_from<std::decay_t<F>, F>)
  job_function(F&& callable)  // NOLINT(google-explicit-constructor): a job is written as a callable
      : operations_(&operations_of<std::decay_t<F>>) {
    using kept = std::decay_t<F>;
    static_assert(alignof(kept) <= alignof(std::max_align_t), "over-aligned callables do not fit a job's record");
    if constexpr (fits<kept>) {
      ::new (static_cast<void*>(storage_)) kept(std::forward<F>(callable));
    } else {
      void* const memory = allocate_record(sizeof(kept));
      try {
        ::new (memory) kept(std::forward<F>(callable));
      } catch (...) {
        release_record(memory, sizeof(kept));
        throw;
      }
      ::new (static_cast<void*>(storage_)) kept*(static_cast<kept*>(memory));
    }
  }
  job_function(job_function&& other) noexcept : operations_(detail::take(other.operations_)) {
    if (operations_) operations_->move(other.storage_, storage_);
  }
  job_function& operator=(job_function&& other) noexcept {
    if (this != &other) {
      if (operations_) operations_->destroy(storage_);
      operations_ = detail::take(other.operations_);
      if (operations_) operations_->move(other.storage_, storage_);
    }
    return *this;
  }
  ~job_function() {
    if (operations_) operations_->destroy(storage_);
  }

  /// Whether it returns a task: then start() is to be called, and otherwise call().
  [[nodiscard]] bool is_async() const noexcept { return operations_->start != nullptr; }
  task<R> start() { return operations_->start(storage_); }
  R call() { return operations_->call(storage_); }

 private:
  static constexpr std::size_t room = 48;
  template <class F>
  static constexpr bool fits = sizeof(F) <= room && std::is_nothrow_move_constructible_v<F>;

  struct operations {
    task<R> (*start)(std::byte*);
    R (*call)(std::byte*);
    void (*move)(std::byte* from, std::byte* to) noexcept;
    void (*destroy)(std::byte*) noexcept;
  };

  template <class F>
  static F& in(std::byte* storage) noexcept {
    if constexpr (fits<F>) {
      return *std::launder(reinterpret_cast<F*>(storage));
    } else {
      return **std::launder(reinterpret_cast<F**>(storage));
    }
  }
  template <class F>
  static constexpr operations make_operations() noexcept {
    operations made{nullptr, nullptr, nullptr, nullptr};
    if constexpr (is_task<std::invoke_result_t<F&>>) {
      made.start = [](std::byte* at) { return detail::invoke(in<F>(at)); };
    } else {
      made.call = [](std::byte* at) -> R { return detail::invoke(in<F>(at)); };
    }
    made.move = [](std::byte* from, std::byte* to) noexcept {
      if constexpr (fits<F>) {
        ::new (static_cast<void*>(to)) F(std::move(in<F>(from)));
        std::destroy_at(&in<F>(from));
      } else {
        ::new (static_cast<void*>(to)) F*(&in<F>(from));
      }
    };
    made.destroy = [](std::byte* at) noexcept {
      F* const object = std::addressof(in<F>(at));
      std::destroy_at(object);
      if constexpr (!fits<F>) release_record(object, sizeof(F));
    };
    return made;
  }
  template <class F>
  static constexpr operations operations_of = make_operations<F>();

  const operations* operations_;
  alignas(std::max_align_t) std::byte storage_[room];
};

/// The function of a pool of closures.
struct call_job_function {};

}  // namespace weir::detail
