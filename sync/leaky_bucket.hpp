#pragma once

#include <cstddef>
#include <cstdint>

#include "detail/token_bucket.hpp"
#include "limiter.hpp"

namespace weir {

/// Lets one through at a time, evenly: `rate` per `period`, never two of them closer together than that, however many
/// come at once. Who comes waits in a bounded queue; when that is full he is refused at once.
///
///     weir::leaky_bucket smooth(10, 1s, 100);  // one each 100 ms, a hundred waiting
///     co_await smooth.acquire();
///
/// Who takes n makes the next one wait n times as long. See limiter for what else can be done with it.
class leaky_bucket final : public detail::settable_limiter<detail::token_bucket> {
 public:
  /// `queue`: calls and reservations that may wait. Throws std::invalid_argument as rate_limiter does.
  template <class Rep, class Period>
  leaky_bucket(std::uint64_t rate, std::chrono::duration<Rep, Period> period, std::size_t queue)
      : settable_limiter(detail::token_bucket("leaky_bucket", clock::now(), rate, detail::to_duration(period), largest,
                                              0, detail::token_bucket::payment::after),
                         queue) {}

 private:
  static constexpr std::uint64_t largest = 1024;
};

}  // namespace weir
