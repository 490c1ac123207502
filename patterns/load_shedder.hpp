#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/task.hpp"
#include "call_refused.hpp"
#include "codel.hpp"
#include "detail/protected_call.hpp"
#include "detail/tally.hpp"
#include "detail/waiting_room.hpp"

namespace weir {

/// Thrown in place of a call that was given up to keep the queue short, or for which the queue had no room.
class load_shed : public call_refused {
 public:
  using call_refused::call_refused;
};

struct load_shedder_options {
  std::size_t concurrent = 64;  ///< calls at work at once, at least 1
  std::size_t waiting = 1024;   ///< calls that may wait for a place; more are refused as they come
  duration target{5'000'000};   ///< as for codel
  duration interval{100'000'000};
};
static_assert(detail::trivially_destructible<load_shedder_options>);

struct load_shedder_stats {
  std::uint64_t admitted = 0;  ///< calls that were made
  std::uint64_t shed = 0;      ///< given up when their turn came, because the queue stays long
  std::uint64_t refused = 0;   ///< as they came, because the queue was full
  std::size_t busy = 0;        ///< at work now
  std::size_t waiting = 0;     ///< waiting now
};

/// A queue before a handler or a pool that cannot grow old: calls wait for one of `concurrent` places, and when all of
/// them wait longer than `target` and go on doing so, some are refused, more and more of them until the rest are served
/// in time again. A burst passes without a refusal.
///
///     weir::load_shedder door({.concurrent = 100});
///     auto answer = co_await door.run(handle);  // throws load_shed
///
/// First come, first served. Which ones: see codel. Any task of any runtime may use it, unless it was made on a
/// confined worker. It must outlive them.
class load_shedder final : private detail::call_gate {
 public:
  /// Throws std::invalid_argument when the options make no sense.
  explicit load_shedder(const load_shedder_options& options);

  /// Completes with what `function()` completes with. Throws load_shed, and does not call it, when the call is shed.
  /// Cancelled while it waits: leaves the queue and stops. Afterwards the call stops, and its place goes to the next. A
  /// frame, another one when it waits, and another for a call that is no task.
  template <detail::protectable F>
  task<detail::call_value_t<std::decay_t<F>>> run(F&& function) WEIR_DETAIL_LIFETIMEBOUND {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return run_kept<std::decay_t<F>>(std::forward<F>(function));
  }

  /// Whether it is shedding just now: time to answer with less, or to tell others to send less.
  [[nodiscard]] bool shedding() noexcept { return queue_delay_.dropping(); }
  [[nodiscard]] load_shedder_stats stats() noexcept {
    return {admitted_.read(), queue_delay_.dropped(), refused_.read(), room_.busy(), room_.waiting()};
  }

 private:
  task<semaphore_permit> wait_turn() override;
  void need_not_wait() noexcept override { static_cast<void>(queue_delay_.admit(duration::zero())); }

  codel queue_delay_;
};

}  // namespace weir
