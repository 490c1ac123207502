#pragma once

#include <concepts>
#include <cstddef>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/as_result.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/result.hpp"
#include "../runtime/sleep.hpp"
#include "../runtime/task.hpp"
#include "../runtime/when_all.hpp"
#include "../runtime/with_timeout.hpp"

namespace weir {

struct scatter_options {
  /// Calls at a time, at least one.
  std::size_t concurrency = 16;
  /// For all of them together, from when it is awaited.
  duration limit = duration::max();
  /// The first failure stops the others and is thrown, and so is the end of the time.
  bool fail_fast = false;
};
static_assert(detail::trivially_destructible<scatter_options>);

namespace detail {

/// How the items of a range reach a function. `R` is a reference for a range that belongs to somebody else.
template <class R>
struct scattered {
  using range = std::remove_reference_t<R>;
  using iterator = std::ranges::iterator_t<range>;
  using reference = std::ranges::range_reference_t<range>;
  /// The range makes its items as it goes: they are nowhere else.
  static constexpr bool made = !std::is_lvalue_reference_v<reference>;
  /// An owned container's items are given away.
  static constexpr bool given = !std::is_lvalue_reference_v<R> && !std::ranges::view<range>;
  using argument = std::conditional_t<made || given, std::remove_reference_t<reference>&&, reference>;

  class item {
   public:
    explicit item(iterator& at) : kept_(keep(at)) {}
    argument get() noexcept {
      if constexpr (made) {
        return std::move(kept_);
      } else {
        return static_cast<argument>(*kept_);
      }
    }

   private:
    static auto keep(iterator& at) {
      if constexpr (made) {
        return std::remove_cvref_t<reference>(*at);
      } else {
        return std::addressof(*at);
      }
    }
    std::conditional_t<made, std::remove_cvref_t<reference>, std::remove_reference_t<reference>*> kept_;
  };
};

/// The calls for the items of a range, and a slot for the result of each.
template <class R, class F>
class scatter_run {
  using items_of = scattered<R>;

 public:
  using value_type = typename std::invoke_result_t<F&, typename items_of::argument>::value_type;

  scatter_run(R& items, F& function, bool fail_fast)
      : function_(function),
        fail_fast_(fail_fast),
        next_(std::ranges::begin(items)),
        slots_(static_cast<std::size_t>(std::ranges::size(items))) {}

  [[nodiscard]] std::size_t size() const noexcept { return slots_.size(); }

  /// Named here, so that what is done with workers waits for somebody who scatters.
  using worker_task = task<>;
  worker_task work() {
    for (;;) {
      std::optional<held> next = take();
      if (!next) co_return;
      std::optional<result<value_type>>& slot = slots_[next->index];
      try {
        auto call = detail::invoke(function_, next->item.get());
        auto ended = co_await as_result(std::move(call));
        slot.emplace(std::move(ended));
      } catch (...) {
        slot.emplace(failure(std::current_exception()));
      }
      if (fail_fast_ && !*slot) std::rethrow_exception(slot->exception());
      co_await checkpoint();  // functions that never wait must not run past the deadline
    }
  }

  /// What has no result yet was not ended, or not even begun, in time.
  std::vector<result<value_type>> results() {
    std::vector<result<value_type>> all;
    all.reserve(slots_.size());
    for (auto& slot : slots_) {
      if (slot) {
        all.push_back(std::move(*slot));
      } else {
        all.emplace_back(failure::timeout());
      }
    }
    return all;
  }

 private:
  struct held {
    held(std::size_t i, typename items_of::iterator& at) : index(i), item(at) {}
    std::size_t index;
    typename items_of::item item;
  };

  std::optional<held> take() {
    const std::lock_guard guard(mutex_);
    if (taken_ == slots_.size()) return std::nullopt;
    std::optional<held> next(std::in_place, taken_, next_);
    ++next_;
    ++taken_;
    return next;
  }

  F& function_;
  const bool fail_fast_;
  std::mutex mutex_;
  typename items_of::iterator next_;  // guarded by mutex_
  std::size_t taken_ = 0;             // the same
  std::vector<std::optional<result<value_type>>> slots_;
};

template <class R, class F>
task<std::vector<result<typename scatter_run<R, F>::value_type>>> scatter(R items, F function,
                                                                          scatter_options options) {
  scatter_run<R, F> run(items, function, options.fail_fast);
  std::vector<typename scatter_run<R, F>::worker_task> workers;
  const std::size_t count = std::min(options.concurrency, run.size());
  workers.reserve(count);
  for (std::size_t i = 0; i < count; ++i) workers.push_back(run.work());
  auto ended = co_await as_result(with_timeout(options.limit, when_all(std::move(workers))));
  if (!ended && (options.fail_fast || ended.error() != std::errc::timed_out)) ended.value();
  co_return run.results();
}

template <class F, class R>
concept scatter_function = std::invocable<F&, typename scattered<R>::argument> &&
                           is_task<std::invoke_result_t<F&, typename scattered<R>::argument>>;

class scatter_gather_function {
 public:
  template <std::ranges::input_range R, class F>
  auto operator()(R&& items, F&& function, const scatter_options& options = {}) const {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    using kept = std::conditional_t<std::is_lvalue_reference_v<R> && !std::ranges::view<std::remove_cvref_t<R>>, R,
                                    std::remove_cvref_t<R>>;
    static_assert(std::ranges::sized_range<kept>, "scatter_gather: the range must know its size");
    static_assert(scatter_function<std::decay_t<F>, kept>,
                  "scatter_gather: the function takes an item of the range and returns a task");
    if (options.concurrency == 0) throw std::invalid_argument("weir::scatter_gather: concurrency must be at least 1");
    return scatter<kept, std::decay_t<F>>(std::forward<R>(items), std::forward<F>(function), options);
  }
};

}  // namespace detail

/// Calls `function(item)`, which returns a task, for every item of a range, `concurrency` of them at a time, and
/// completes with a vector of one result<T> for each, in the order of the items:
///
///     auto pages = co_await weir::scatter_gather(urls, fetch, {.concurrency = 20, .limit = 5s});
///
/// When the time is up, calls that run are stopped and joined, and those that have not been begun are not: their
/// results have the error std::errc::timed_out. Every item has exactly one result. A failure touches no other item,
/// unless `fail_fast` says so; then the first one is thrown once the others are stopped and joined.
///
/// A range by name must outlive the call and is only referred to; one that is given away is owned, and its items are
/// moved into `function`. Calls overlap, on one function object. The call itself throws std::invalid_argument for a
/// concurrency of 0. Cancelled: all are stopped and joined. Allocates the results, and a frame for each of those at
/// work; nothing for an item but what `function` needs.
inline constexpr detail::scatter_gather_function scatter_gather{};

}  // namespace weir
