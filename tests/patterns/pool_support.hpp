#pragma once

#include <weir/patterns/with_worker_pool.hpp>
#include <weir/patterns/worker_pool.hpp>

#include "support.hpp"

namespace test {

/// How jobs ended, as their tickets tell.
struct outcomes {
  int values = 0;
  int failed = 0;
  int cancelled = 0;
  [[nodiscard]] int all() const { return values + failed + cancelled; }

  template <class R>
  void add(const weir::result<R>& r) {
    if (r.has_value()) {
      ++values;
    } else if (r.is_cancelled()) {
      ++cancelled;
    } else {
      ++failed;
    }
  }
};

/// Waits for all tickets, of which none is lost however this ends.
template <class R>
weir::task<outcomes> outcomes_of(std::vector<weir::job_ticket<R>>& tickets) {
  outcomes seen;
  for (weir::job_ticket<R>& ticket : tickets) {
    auto r = co_await weir::as_result(std::move(ticket));
    seen.add(r);
  }
  tickets.clear();
  co_return std::move(seen);
}

/// The numbers of a pool that has ended.
inline void check_exact(const weir::pool_stats& s) {
  CHECK(s.accepted == s.completed + s.failed + s.cancelled);
  CHECK(s.busy == 0);
  CHECK(s.queued == 0);
  CHECK(s.workers == 0);
  CHECK(s.state == weir::pool_state::ended);
}

}  // namespace test
