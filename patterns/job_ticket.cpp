#include "job_ticket.hpp"

namespace weir::detail {

failure describe(job_refusal why) noexcept {
  switch (why) {
    case job_refusal::full:
      return {std::make_error_code(std::errc::resource_unavailable_try_again), "worker_pool: no room for the job"};
    case job_refusal::late:
      return failure::timeout();
    case job_refusal::none:
    case job_refusal::stopped:
      break;
  }
  return failure::cancellation(cancellation_cause::shutdown);
}

}  // namespace weir::detail
