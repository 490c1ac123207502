#include "pool_stats.hpp"

#include <array>

#include "../runtime/detail/prometheus_page.hpp"

namespace weir {

namespace {

using page = detail::prometheus_page;

struct count {
  const char* name;
  const char* help;
  std::uint64_t pool_stats::* value;
};
constexpr std::array counts = {
    count{"weir_pool_jobs_accepted_total", "Jobs that got a place.", &pool_stats::accepted},
    count{"weir_pool_jobs_completed_total", "Jobs that returned.", &pool_stats::completed},
    count{"weir_pool_jobs_failed_total", "Jobs that threw, ran out of time or came too late.", &pool_stats::failed},
    count{"weir_pool_jobs_cancelled_total", "Jobs that ended because the pool was cancelled.", &pool_stats::cancelled},
    count{"weir_pool_jobs_expired_total",
          "Jobs that failed without having been begun, because their deadline had come.", &pool_stats::expired},
    count{"weir_pool_jobs_refused_total", "Jobs that got no place.", &pool_stats::refused},
    count{"weir_pool_high_waters_total", "Times that the queue has risen to its high-water mark.",
          &pool_stats::high_waters},
    count{"weir_pool_open_failures_total", "Times that a worker could not open its state.", &pool_stats::open_failures},
    count{"weir_pool_jobs_timed_total", "Jobs whose times are in the sums.", &pool_stats::timed},
};

struct level {
  const char* name;
  const char* help;
  std::size_t pool_stats::* value;
};
constexpr std::array levels = {
    level{"weir_pool_queued_jobs", "Jobs that wait for a worker.", &pool_stats::queued},
    level{"weir_pool_workers", "Tasks that do jobs.", &pool_stats::workers},
    level{"weir_pool_busy_workers", "Tasks that are inside a job.", &pool_stats::busy},
};

}  // namespace

const char* to_string(pool_state state) noexcept {
  switch (state) {
    case pool_state::running:
      return "running";
    case pool_state::draining:
      return "draining";
    case pool_state::cancelling:
      return "cancelling";
    case pool_state::ended:
      return "ended";
  }
  return "?";
}

std::string prometheus_text(const pool_stats& stats, std::initializer_list<prometheus_label> labels) {
  page out(labels);
  for (const count& c : counts) out.single(c.name, page::kind::counter, c.help, stats.*c.value);
  for (const level& l : levels) out.single(l.name, page::kind::gauge, l.help, stats.*l.value);
  out.single("weir_pool_wait_seconds_total", page::kind::counter, "How long the timed jobs waited for a worker.",
             page::seconds(stats.waited));
  out.single("weir_pool_run_seconds_total", page::kind::counter, "How long the timed jobs ran.",
             page::seconds(stats.ran));
  return out.take();
}

}  // namespace weir
