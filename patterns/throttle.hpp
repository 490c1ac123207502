#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "../runtime/async_generator.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../sync/limiter.hpp"
#include "detail/generator_stage.hpp"

namespace weir {
namespace detail {

class one_token {
 public:
  template <class T>
  std::uint64_t operator()(const T&) const noexcept {
    return 1;
  }
};

template <class Cost>
class throttling {
 public:
  template <class T>
  using output = T;
  throttling(limiter& rate, Cost cost) : rate_(&rate), cost_(std::move(cost)) {}

  template <class Puller, class Steps>
  auto generate(Puller source, Steps steps) && {
    static_assert(std::is_invocable_r_v<std::uint64_t, Cost&, const typename Steps::output&>,
                  "throttle: the function must tell how many tokens a const item of this pipeline takes");
    return throttled(std::move(source), std::move(steps), *rate_, std::move(cost_));
  }

 private:
  template <class Puller, class Steps>
  static async_generator<typename Steps::output> throttled(Puller source, Steps steps, limiter& rate, Cost cost) {
    while (auto next = co_await source.next()) {
      auto item = steps(item_of(next));
      if (!item) continue;
      const std::uint64_t tokens = detail::invoke(cost, std::as_const(*item));
      if (tokens > 0) co_await rate.acquire(tokens);
      co_yield std::move(*item);
    }
  }

  limiter* rate_;
  Cost cost_;
};

class throttle_function {
 public:
  auto operator()(limiter& rate) const {
    return generator_stage<throttling<one_token>>(throttling<one_token>(rate, one_token()));
  }
  template <class Cost>
  auto operator()(limiter& rate, Cost&& cost) const {
    WEIR_DETAIL_REQUIRE_NAMED(Cost);
    using make = throttling<std::decay_t<Cost>>;
    return generator_stage<make>(make(rate, std::forward<Cost>(cost)));
  }
};

}  // namespace detail

/// A stage in which each item waits for its tokens from a limiter, in order:
///
///     throttle(limiter)          one token each
///     throttle(limiter, cost)    `cost(const item&)` tokens, which may be 0
///
/// The limiter may be shared with others and must outlive the pipeline. Tokens are taken when there is an item for
/// them, so none is spent on an end. One item is held meanwhile, and nothing more is read. What acquire() throws, an
/// item that costs more than the limiter ever has or a turn that comes only after the deadline, ends the pipeline.
inline constexpr detail::throttle_function throttle{};

}  // namespace weir
