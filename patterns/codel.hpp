#pragma once

#include <cstdint>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../sync/detail/domain_lock.hpp"

namespace weir {

struct codel_options {
  duration target{5'000'000};      ///< a wait that is no reason to do anything
  duration interval{100'000'000};  ///< bursts that are over after so long are none either
};
static_assert(detail::trivially_destructible<codel_options>);

/// Decides which items of a queue to drop so that it stays short, by nothing but how long they have waited. A burst may
/// fill the queue; a queue in which every item waits longer than `target` for an `interval` will not get shorter by
/// itself. Then one item is dropped, and as long as that does not help, the next ones come after interval / sqrt(2),
/// interval / sqrt(3), ... (CoDel: Nichols and others, "Controlled Delay Active Queue Management", RFC 8289, 2018.)
///
///     const bool serve = queue_delay.admit(weir::now() - job.queued_at);  // when a job is taken out of the queue
///
/// Any task of any runtime may use it, unless it was made on a confined worker; for one queue each. Allocates nothing;
/// O(1). A queue and places to work at are a load_shedder.
class codel {
 public:
  /// Throws std::invalid_argument when the options make no sense.
  explicit codel(const codel_options& options = {});
  codel(const codel&) = delete;
  codel& operator=(const codel&) = delete;

  /// For each item that is taken out, in the queue's order: whether it is to be served, or dropped. The last one in the
  /// queue is never dropped, if that is told.
  [[nodiscard]] bool admit(duration waited, bool last_in_queue = false) noexcept;

  /// Whether it is dropping just now: time to tell others to send less.
  [[nodiscard]] bool dropping() noexcept;
  [[nodiscard]] std::uint64_t dropped() noexcept;

 private:
  [[nodiscard]] time_point next_drop(time_point after) const noexcept;

  const codel_options options_;
  detail::domain_lock lock_;
  // Guarded by lock_; named as in RFC 8289, section 5.
  time_point first_above_time_{};  // when the wait will have been above the target for an interval
  bool is_above_ = false;          // first_above_time_ says something
  time_point drop_next_{};
  std::uint64_t count_ = 0;  // drops since dropping began
  std::uint64_t last_count_ = 0;
  bool dropping_ = false;
  std::uint64_t dropped_ = 0;
};

}  // namespace weir
