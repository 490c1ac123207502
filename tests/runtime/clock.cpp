#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>

#include <weir/runtime/clock.hpp>

namespace {

using weir::duration;
using weir::detail::add_saturated;
using weir::detail::to_duration;

template <class Rep, class Period>
constexpr duration of(Rep count) {
  return to_duration(std::chrono::duration<Rep, Period>(count));
}

using third = std::ratio<1, 3>;
using century = std::ratio<3'155'695'200>;

static_assert(of<int, std::ratio<3600>>(2) == std::chrono::hours(2));
static_assert(of<std::int64_t, std::milli>(1) == std::chrono::milliseconds(1));
static_assert(of<std::int64_t, std::nano>(7) == duration(7));
static_assert(of<unsigned char, std::ratio<1>>(255) == std::chrono::seconds(255));

// Rounded up: never early.
static_assert(of<std::int64_t, std::pico>(1) == duration(1));
static_assert(of<std::int64_t, std::pico>(1000) == duration(1));
static_assert(of<int, third>(1) == duration(333'333'334));
static_assert(of<double, std::nano>(0.5) == duration(1));
static_assert(of<double, std::ratio<1>>(0.25) == std::chrono::milliseconds(250));

// What is negative is nothing, and what does not fit is for ever.
static_assert(of<int, std::ratio<1>>(-1) == duration::zero());
static_assert(of<double, std::ratio<1>>(-0.5) == duration::zero());
static_assert(of<std::int64_t, std::nano>(std::numeric_limits<std::int64_t>::min()) == duration::zero());
static_assert(of<std::int64_t, std::ratio<3600>>(std::numeric_limits<std::int64_t>::max()) == duration::max());
static_assert(of<std::uint64_t, std::nano>(std::numeric_limits<std::uint64_t>::max()) == duration::max());
static_assert(of<double, std::ratio<1>>(1e300) == duration::max());
static_assert(of<int, century>(3) == duration::max());
static_assert(of<int, century>(0) == duration::zero());
// The largest number of seconds that fits, and the one after it.
static_assert(of<std::int64_t, std::ratio<1>>(9'223'372'036) == std::chrono::seconds(9'223'372'036));
static_assert(of<std::int64_t, std::ratio<1>>(9'223'372'037) == duration::max());

constexpr weir::time_point epoch{};
static_assert(add_saturated(epoch + duration(5), duration(3)) == epoch + duration(8));
static_assert(add_saturated(epoch + duration(5), duration(-3)) == epoch + duration(5));
static_assert(add_saturated(epoch + duration(5), duration::max()) == weir::detail::no_deadline);
static_assert(add_saturated(epoch + duration(5), duration::max() - duration(5)) == weir::detail::no_deadline);
static_assert(add_saturated(epoch, duration::max() - duration(1)) == weir::detail::no_deadline - duration(1));

}  // namespace

TEST_CASE("clock: it goes forward") {
  const weir::time_point before = weir::now();
  CHECK(weir::now() >= before);
}
