#include "batch_ticket.hpp"

#include "../runtime/detail/group_core.hpp"

namespace weir {
namespace detail {

batch_record::~batch_record() {
  const bool failed = how_ && !how_.is_cancelled();
  if (failed && !told_.load(std::memory_order_relaxed)) report_unobserved(how_.exception());
}

void batch_record::settle(failure how) noexcept {
  how_ = std::move(how);
  settled_.set();
}

}  // namespace detail

batch_ticket batch_ticket::refused() {
  auto record = std::make_shared<detail::batch_record>();
  record->settle(detail::failure::cancellation(cancellation_cause::requested));
  return batch_ticket(std::move(record), false);
}

void batch_ticket::resume() {
  inner_.resume();
  if (const detail::failure& how = record_->tell()) how.rethrow();
}

result<void> batch_ticket::resume_result() noexcept {
  inner_.resume();
  if (const detail::failure& how = record_->tell()) return how;
  return result<void>(std::in_place);
}

}  // namespace weir
