#include "support.hpp"

#include <weir/patterns/drop.hpp>
#include <weir/patterns/every.hpp>
#include <weir/patterns/take.hpp>

using test::at;
using test::simulate;
using weir::collect;
using weir::every;
using weir::take;

TEST_CASE("every: the first tick is due when the pipeline starts, the others a period apart") {
  simulate([]() -> weir::task<> {
    co_await weir::sleep_for(7ms);
    auto ticks = every(200ms) | take(4) | collect();
    co_await weir::sleep_for(3ms);
    auto all = co_await std::move(ticks);
    CHECK(all == std::vector{at(10ms), at(210ms), at(410ms), at(610ms)});
    CHECK(weir::now() == at(610ms));
    auto later = co_await (every(1s) | weir::drop(1) | take(1) | collect());
    CHECK(later == std::vector{at(1610ms)});
  });
}

TEST_CASE("every: ticks that came while the pipeline was busy are delivered, or skipped if so asked") {
  simulate([]() -> weir::task<> {
    for (const auto policy : {weir::missed_ticks::burst, weir::missed_ticks::skip}) {
      const auto begin = weir::now();
      std::vector<int> seen;
      auto slow_first = [&](weir::time_point tick) -> weir::task<> {
        if (seen.empty()) co_await weir::sleep_for(35ms);
        seen.push_back(static_cast<int>((tick - begin) / 1ms));
      };
      co_await (every(10ms, policy) | take(4) | weir::for_each(slow_first));
      if (policy == weir::missed_ticks::burst) CHECK(seen == std::vector{0, 10, 20, 30});
      if (policy == weir::missed_ticks::skip) CHECK(seen == std::vector{0, 10, 40, 50});
    }
  });
}

TEST_CASE("every: does not end by itself, and is cancelled like anything else") {
  simulate([]() -> weir::task<> {
    int ticks = 0;
    auto count = [&](weir::time_point) { ++ticks; };
    auto ended = co_await weir::as_result(weir::with_timeout(95ms, every(10ms) | weir::for_each(count)));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(ticks == 10);
  });
}

TEST_CASE("every: a period that is not positive is refused") {
  CHECK_THROWS_WITH_AS(static_cast<void>(every(0ms)), "weir::every: the period must be positive",
                       std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(every(-1s)), std::invalid_argument);
}
