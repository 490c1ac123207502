#include "support.hpp"

#include <weir/patterns/take.hpp>
#include <weir/patterns/throttle.hpp>

using test::at;
using test::simulate;
using weir::collect;
using weir::from;
using weir::throttle;

namespace {

auto moments(std::vector<int>& into) {
  return [&into](auto&&) { into.push_back(static_cast<int>(weir::now().time_since_epoch() / 1ms)); };
}

}  // namespace

TEST_CASE("throttle: five buffered requests, one each 200 ms, the first at 200 ms and the last at 1.0 s (S92)") {
  simulate([]() -> weir::task<> {
    weir::channel<int> requests(5);
    for (int i = 0; i < 5; ++i) CHECK(requests.try_send(i));
    requests.close();
    weir::rate_limiter five_a_second(5, 1s, 1, 0);
    std::vector<int> seen;
    co_await (from(requests) | throttle(five_a_second) | weir::for_each(moments(seen)));
    CHECK(seen == std::vector{200, 400, 600, 800, 1000});
  });
}

TEST_CASE("throttle: items may cost more or nothing; a burst goes at once; the end costs nothing") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(10, 1s, 3);
    std::vector<int> seen;
    auto cost = [](const test::item& i) { return static_cast<std::uint64_t>(i.value); };
    co_await (from(test::items(4)) | throttle(limiter, cost) | weir::for_each(moments(seen)));
    CHECK(seen == std::vector{0, 0, 0, 300});  // 0 + 1 + 2 at once, then 3
    CHECK(limiter.counters().granted == 6);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("throttle: no more is read than goes on; a stop leaves the tokens") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 1s, 1);
    int made = 0;
    auto count = [](test::item) {};
    auto ended = co_await weir::as_result(
        weir::with_timeout(1500ms, from(test::counted_items(made, 100)) | throttle(limiter) | weir::for_each(count)));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(made <= 3);
    CHECK(test::counted::alive == 0);
    co_await weir::sleep_until(at(2s));
    CHECK(limiter.available() == 1);
  });
}

TEST_CASE("throttle: what costs more than there ever is fails the pipeline") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 1s, 1);
    auto cost = [](int) { return std::uint64_t{2}; };
    auto ended =
        co_await weir::as_result(from(test::numbers(3)) | throttle(limiter, cost) | weir::for_each([](int) {}));
    CHECK(ended.error() == std::errc::invalid_argument);
  });
}
