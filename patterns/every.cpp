#include "every.hpp"

namespace weir::detail {

async_generator<time_point> ticks(duration period, missed_ticks policy) {
  interval clock(period, policy, now());
  for (;;) {
    const time_point tick = co_await clock.tick();
    co_yield tick;
  }
}

}  // namespace weir::detail
