#pragma once

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "../runtime/async_generator.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/light_std.hpp"
#include "detail/generator_stage.hpp"
#include "detail/stage_function.hpp"
#include "stage_counters.hpp"

namespace weir {
namespace detail {

template <class Many>
struct part_of {
  static_assert(std::ranges::input_range<Many>,
                "transform_many: the function must return a range, a task of one, or a weir::async_generator");
  using type = std::ranges::range_value_t<Many>;
};
template <class T>
struct part_of<async_generator<T>> {
  using type = std::remove_cvref_t<T>;
};

template <class Fn>
class making_many {
  /// What the function makes of an item: a range or a generator.
  template <class T>
  using many_t = std::remove_cvref_t<typename unwrapped_task<stage_return_t<Fn, T>>::type>;

 public:
  template <class T>
  struct checked {
    static_assert(std::invocable<Fn&, T>,
                  "transform_many: the function cannot be called with the items of this pipeline");
    using type = typename part_of<many_t<T>>::type;
  };
  template <class T>
  using output = typename checked<T>::type;

  making_many(Fn function, stage_counters* counters) : function_(std::move(function)), counters_(counters) {}

  template <class Puller, class Steps>
  auto generate(Puller source, Steps steps) && {
    return made(std::move(source), std::move(steps), std::move(function_), counters_);
  }

 private:
  template <class Puller, class Steps>
  static async_generator<output<typename Steps::output>> made(Puller source, Steps steps, Fn function,
                                                              stage_counters* counters) {
    using T = typename Steps::output;
    using many = many_t<T>;
    using part = output<T>;
    stage_tally tally(counters);
    while (auto next = co_await source.next()) {
      auto item = steps(item_of(next));
      if (!item) continue;
      std::optional<many> all;
      {
        counted_call call(tally);
        if constexpr (is_async_stage<Fn, T>) {
          auto range = co_await detail::invoke(function, std::move(*item));
          all.emplace(std::move(range));
        } else {
          all.emplace(detail::invoke(function, std::move(*item)));
        }
        call.returned();
      }
      if constexpr (is_generator<many>) {
        for (;;) {
          std::optional<part> one;
          {
            counted_call call(tally, false);
            auto yielded = co_await all->next();
            if (yielded) one.emplace(item_of(yielded));
            call.returned();
          }
          if (!one) break;
          tally.count_out();
          co_yield std::move(*one);
        }
      } else {
        for (auto&& element : *all) {
          tally.count_out();
          if constexpr (std::ranges::view<many> || !std::is_same_v<decltype(element), part&>) {
            part one(std::forward<decltype(element)>(element));
            co_yield std::move(one);
          } else {
            co_yield std::move(element);
          }
        }
      }
    }
  }

  Fn function_;
  stage_counters* counters_;
};

class transform_many_function {
 public:
  template <class Fn>
  auto operator()(Fn&& function) const {
    return stage(std::forward<Fn>(function), nullptr);
  }
  template <class Fn>
  auto operator()(Fn&& function, stage_counters& counters) const {
    return stage(std::forward<Fn>(function), &counters);
  }

 private:
  template <class Fn>
  static auto stage(Fn&& function, stage_counters* counters) {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    using make = making_many<std::decay_t<Fn>>;
    return generator_stage<make>(make(std::forward<Fn>(function), counters));
  }
};

}  // namespace detail

/// A stage that makes several items, or none, of each: `transform_many(function)`, and with counters behind it.
///
/// `function` takes an item (it is moved in) and returns a range, a task of a range, or an async_generator, and the
/// stage hands on what is in there, one after the other and in order, before it reads the next item. What a container
/// holds is moved out of it; a view must not refer to the item, which is gone by then. What the function or the
/// generator throws ends the pipeline. To make ranges on several workers: `transform(f, {.workers = 4}) | unbatch()`.
///
///     from(files) | transform_many(lines_of) | ...
inline constexpr detail::transform_many_function transform_many{};

}  // namespace weir
