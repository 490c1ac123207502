#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/task.hpp"
#include "detail/stage_function.hpp"
#include "detail/worker_group.hpp"
#include "stage_counters.hpp"

namespace weir {

struct map_options {
  /// Tasks that call the function, at least one: so many calls are under way at once.
  unsigned workers = 16;
  /// To be read while it runs; must outlive it.
  stage_counters* counters = nullptr;
};
static_assert(detail::trivially_destructible<map_options>);

namespace detail {

/// What the function is given of a range: what is in it if that is lent, and what is moved out of it otherwise.
template <class R>
using mapped_item = std::conditional_t<std::is_lvalue_reference_v<R>, std::ranges::range_reference_t<R>,
                                       std::ranges::range_rvalue_reference_t<R>>;

/// Each worker takes the next place, and fills it: no two write the same, and the join orders them before the reader.
template <class R, class Fn>
class mapping {
  using item = mapped_item<R>;

 public:
  using made = stage_result_t<Fn, item>;
  static constexpr bool makes_nothing = std::is_void_v<made>;
  using value_type = std::conditional_t<makes_nothing, void, std::vector<std::conditional_t<makes_nothing, int, made>>>;

  mapping(R&& items, Fn function, const map_options& options)
      : items_(std::forward<R>(items)), function_(std::move(function)), options_(options) {}

  task<> fill() {
    number_ = static_cast<std::size_t>(std::ranges::size(items_));
    if constexpr (!makes_nothing) slots_.resize(number_);
    const std::size_t workers = std::min<std::size_t>(std::max(1u, options_.workers), number_);
    return run_workers(workers, this, [](void* shared, std::size_t) { return static_cast<mapping*>(shared)->work(); });
  }
  auto take() {
    if constexpr (!makes_nothing) {
      value_type all;
      all.reserve(slots_.size());
      for (auto& slot : slots_) all.push_back(std::move(*slot));
      return all;
    }
  }

 private:
  task<> work() {
    stage_tally tally(options_.counters);
    for (;;) {
      const std::size_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= number_) break;
      counted_call call(tally);
      if constexpr (is_async_stage<Fn, item>) {
        if constexpr (makes_nothing) {
          co_await detail::invoke(function_, at(i));
        } else {
          auto result = co_await detail::invoke(function_, at(i));
          slots_[i].emplace(std::move(result));
        }
      } else if constexpr (makes_nothing) {
        detail::invoke(function_, at(i));
      } else {
        slots_[i].emplace(detail::invoke(function_, at(i)));
      }
      call.returned();
      tally.count_out();
    }
  }
  item at(std::size_t i) {
    const auto place = std::ranges::begin(items_) + static_cast<std::ranges::range_difference_t<R>>(i);
    if constexpr (std::is_lvalue_reference_v<R>) {
      return *place;
    } else {
      return std::ranges::iter_move(place);
    }
  }

  R items_;
  Fn function_;
  map_options options_;
  std::vector<std::optional<std::conditional_t<makes_nothing, bool, made>>> slots_;
  std::size_t number_ = 0;
  std::atomic<std::size_t> next_{0};
};

template <class R, class Fn>
task<typename mapping<R, Fn>::value_type> map_into_slots(R items, Fn function, map_options options) {
  mapping<R, Fn> work(std::forward<R>(items), std::move(function), options);
  auto filled = work.fill();
  co_await std::move(filled);
  if constexpr (!mapping<R, Fn>::makes_nothing) co_return work.take();
}

class map_all_function {
 public:
  template <std::ranges::random_access_range R, class Fn>
    requires std::ranges::sized_range<R>
  auto operator()(R&& items, Fn&& function, const map_options& options = {}) const {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    static_assert(std::invocable<std::decay_t<Fn>&, mapped_item<R>>,
                  "map_all: the function cannot be called with what is in the range");
    static_assert(!returns_lost_operation<std::decay_t<Fn>, mapped_item<R>>,
                  "map_all: the function returns an operation that nobody would await: make it a coroutine that does");
    return map_into_slots<R, std::decay_t<Fn>>(std::forward<R>(items), std::forward<Fn>(function), options);
  }
};

}  // namespace detail

/// A task of `{f(items[0]), f(items[1]), ...}`: parallel map, each result in the place of its item, and no more than
/// `workers` calls under way at once.
///
///     std::vector<page> pages = co_await weir::map_all(urls, fetch, {.workers = 8});
///
/// `function` returns a value or a task; if it makes nothing, this is a parallel for, and completes with nothing. A
/// range that is lent must outlive the task, and its elements are passed as they are; one that is given away is kept by
/// the task, and moved from. One function object serves all calls, on whatever threads the runtime has.
///
/// The first failure stops the other calls, joins them, and is thrown; where each has a failure of its own, let the
/// function return a weir::result (see as_result). Cancelled: all calls are stopped and joined. For sources that are no
/// random-access ranges: `from(source) | transform(f, {.workers = 8, .ordered = true}) | collect()`.
inline constexpr detail::map_all_function map_all{};

}  // namespace weir
