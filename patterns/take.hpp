#pragma once

#include <cstdint>
#include <utility>

#include "../runtime/async_generator.hpp"
#include "detail/generator_stage.hpp"

namespace weir {
namespace detail {

class taking {
 public:
  template <class T>
  using output = T;
  explicit taking(std::uint64_t most) noexcept : most_(most) {}

  template <class Puller, class Steps>
  auto generate(Puller source, Steps steps) && {
    return taken(std::move(source), std::move(steps), most_);
  }

 private:
  template <class Puller, class Steps>
  static async_generator<typename Steps::output> taken(Puller source, Steps steps, std::uint64_t left) {
    while (left > 0) {
      auto next = co_await source.next();
      if (!next) break;
      auto item = steps(item_of(next));
      if (!item) continue;
      --left;
      co_yield std::move(*item);
    }
  }

  std::uint64_t most_;
};

class take_function {
 public:
  auto operator()(std::uint64_t most) const { return generator_stage<taking>(taking(most)); }
};

}  // namespace detail

/// A stage that lets the first `most` items through and ends the pipeline behind them: `take(10)`. It reads no item
/// more than that; what stages with tasks before it have read ahead is destroyed.
inline constexpr detail::take_function take{};

}  // namespace weir
