#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/task.hpp"
#include "call_refused.hpp"
#include "detail/protected_call.hpp"
#include "detail/tally.hpp"
#include "detail/waiting_room.hpp"

namespace weir {

/// Thrown in place of a call when as many wait as may, or when it has waited as long as it may.
class bulkhead_full : public call_refused {
 public:
  using call_refused::call_refused;
};

struct bulkhead_options {
  std::size_t concurrent = 10;  ///< calls at work at once, at least 1
  std::size_t waiting = 0;      ///< calls that may wait for a place
  duration longest_wait = duration::max();
};
static_assert(detail::trivially_destructible<bulkhead_options>);

struct bulkhead_stats {
  std::uint64_t admitted = 0;  ///< calls that were made
  std::uint64_t refused = 0;   ///< for lack of room to wait
  std::uint64_t too_long = 0;  ///< refused after longest_wait
  std::size_t busy = 0;        ///< at work now
  std::size_t waiting = 0;     ///< waiting now
};

/// So many calls of a kind at a time, so many more that wait, and the rest refused at once: what is slow then takes no
/// more than its own share, and others go on.
///
///     weir::bulkhead reports({.concurrent = 4, .waiting = 20});
///     auto answer = co_await reports.run(make_report);  // throws bulkhead_full
///
/// First come, first served. (Nygard, "Release It!", 2007, has the pattern and the name.) Any task of any runtime may
/// use it, unless it was made on a confined worker. It must outlive them. Where nobody is to be refused a semaphore is
/// enough.
class bulkhead final : private detail::call_gate {
 public:
  /// Throws std::invalid_argument when the options make no sense.
  explicit bulkhead(const bulkhead_options& options);

  /// Completes with what `function()` completes with. Throws bulkhead_full, and does not call it, when there is no
  /// room. Cancelled while it waits: leaves the queue and stops; those behind it come sooner. Afterwards the call
  /// stops, and its place goes to the next. A frame, another one when it waits, and another for a call that is no task.
  template <detail::protectable F>
  task<detail::call_value_t<std::decay_t<F>>> run(F&& function) WEIR_DETAIL_LIFETIMEBOUND {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return run_kept<std::decay_t<F>>(std::forward<F>(function));
  }

  [[nodiscard]] bulkhead_stats stats() noexcept {
    return {admitted_.read(), refused_.read(), too_long_.read(), room_.busy(), room_.waiting()};
  }

 private:
  task<semaphore_permit> wait_turn() override;

  const bulkhead_options options_;
  detail::tally too_long_;
};

}  // namespace weir
