#include "support.hpp"

#include <weir/patterns/batch_by_weight.hpp>

using test::simulate;
using weir::batch_by_weight;
using weir::collect;
using weir::from;

namespace {

using batches = std::vector<std::vector<int>>;
constexpr auto itself = [](int n) { return static_cast<std::uint64_t>(n); };

batches of(std::vector<int> weights, std::uint64_t most, weir::batch_by_weight_options options = {}) {
  return simulate([&]() -> weir::task<batches> {
    co_return co_await (from(weights) | batch_by_weight(most, itself, options) | collect());
  });
}

}  // namespace

TEST_CASE("batch_by_weight: no batch weighs more, but for one item that does so alone") {
  for (const auto longest : {weir::duration::max(), weir::duration(1h)}) {
    const weir::batch_by_weight_options timed{.longest = longest};
    CHECK(of({3, 3, 4, 5, 6}, 10, timed) == batches{{3, 3, 4}, {5}, {6}});
    CHECK(of({9, 2, 9, 1, 1}, 10, timed) == batches{{9}, {2}, {9, 1}, {1}});
    CHECK(of({50, 1, 50, 50}, 10, timed) == batches{{50}, {1}, {50}, {50}});
    CHECK(of({0, 0, 10, 0}, 10, timed) == batches{{0, 0, 10}, {0}});
    CHECK(of({}, 10, timed).empty());
  }
  CHECK(of({1, 1, 1, 1, 1}, 10, {.size = 2}) == batches{{1, 1}, {1, 1}, {1}});
  CHECK_THROWS_AS(batch_by_weight(0, itself), std::invalid_argument);
  CHECK_THROWS_AS(batch_by_weight(1, itself, {.size = 0}), std::invalid_argument);
}

TEST_CASE("batch_by_weight: the time counts from a batch's first item, also one that the one before had no room for") {
  simulate([]() -> weir::task<> {
    std::vector<std::pair<int, std::vector<int>>> seen;
    auto note = [&](std::vector<int> items) {
      seen.emplace_back(static_cast<int>(weir::now().time_since_epoch() / 1ms), std::move(items));
    };
    auto source = []() -> weir::async_generator<int> {
      co_yield 6;
      co_await weir::sleep_for(4ms);
      co_yield 5;
      co_await weir::sleep_for(8ms);
      co_yield 1;
      co_await weir::sleep_for(30ms);
      co_yield 2;
    };
    weir::stage_counters counters;
    co_await (from(source()) | batch_by_weight(10, itself, {.longest = 10ms, .counters = &counters}) |
              weir::for_each(note));
    CHECK(seen == std::vector<std::pair<int, std::vector<int>>>{{4, {6}}, {14, {5, 1}}, {42, {2}}});
    CHECK(counters.in() == 4);
    CHECK(counters.out() == 3);
  });
}
