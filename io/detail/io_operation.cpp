#include "io_operation.hpp"

#include <fmt/format.h>

#include "../../runtime/detail/worker.hpp"

namespace weir::detail {

namespace {

/// How the kernel says that an operation was ended early. Some versions let their internal restart codes (512 to 516)
/// through for operations that were running in a kernel thread.
bool ended_early(int result) noexcept {
  return result == -ECANCELED || result == -EINTR || (result <= -512 && result >= -516);
}

}  // namespace

bool io_leaf::try_io(const await_context& context) noexcept {
  if (!may_complete_now(context)) return false;
  if (use() != io_use::nothing && !descriptor_) {
    result_ = -EBADF;
    return true;
  }
  reactor& io = current_worker()->io();
  if (!io.optimistic()) return false;
  if (descriptor_) {
    result_ = descriptor_->enter(*this, use(), *context.env->runtime);
    if (result_ != 0) return true;
  }
  int attempted = 0;
  const bool done = io.try_now(*this, attempted);
  if (descriptor_) static_cast<void>(descriptor_->leave(*this, use()));
  if (!done || (attempted >= 0 && goes_on(attempted)) || (attempted < 0 && try_again(attempted))) return false;
  result_ = attempted;
  return true;
}

bool io_leaf::finish_empty(const await_context& context) noexcept {
  empty_ = true;
  result_ = 0;
  return may_complete_now(context);
}

void io_leaf::start_io(const await_context& context) noexcept {
  owner_ = current_worker();
  if (!begin(context)) return;
  int failed = use() != io_use::nothing && !descriptor_ ? -EBADF : 0;
  if (failed == 0 && descriptor_ && !empty_) failed = descriptor_->enter(*this, use(), *context.env->runtime);
  if (failed != 0 || empty_) {
    if (stop()) stop()->disarm(*this);
    complete_with(failed);
    return;
  }
  submit();
}

void io_leaf::submit() noexcept { owner_->io().submit(*this); }

void io_leaf::completed(int result, std::uint32_t) noexcept {
  std::uint8_t asked = asked_.load(std::memory_order_acquire);
  if (asked == 0 && (ended_early(result) || (result < 0 && try_again(result)))) {
    submit();  // a signal, or somebody else's trouble
    return;
  }
  if (result >= 0 && goes_on(result)) {
    if (asked == 0) {
      submit();
      return;
    }
    result = -ECANCELED;
  }
  if (descriptor_) {
    if (result < 0) keep_name();
    // A descriptor that is being closed goes with its last operation.
    if (descriptor_->leave(*this, use())) descriptor_ = nullptr;
  }
  // From here on nobody new asks for an early end. Who has asked from another thread may still have a message in our
  // inbox, which lives in this object.
  if (stop()) stop()->disarm(*this);
  asked = asked_.load(std::memory_order_acquire);
  if ((asked & posted) != 0 && !delivered_) drain_inbox();
  if (ended_early(result)) {
    if ((asked & for_stop) != 0) {
      complete_stopped();
      return;
    }
    result = -ECANCELED;
  } else if (result == 0 && (asked & for_close) != 0) {
    result = -ECANCELED;  // the end of a stream that we have shut down ourselves
  }
  complete_with(result);
}

void io_leaf::complete_with(int result) noexcept {
  result_ = result;
  if (result < 0) keep_name();
  complete();
}

void io_leaf::keep_name() noexcept {
  if (name_ || !descriptor_) return;
  try {
    name_ = std::make_unique<std::string>(descriptor_->name());
  } catch (...) {
    name_ = nullptr;  // out of memory: the sentence will not name it
  }
}

void io_leaf::request_stop(cancellation_cause) noexcept { ask(for_stop); }
void io_leaf::cancel_for_close() noexcept { ask(for_close); }

void io_leaf::ask(std::uint8_t why) noexcept {
  if (current_worker() == owner_) {
    asked_.fetch_or(why, std::memory_order_acq_rel);
    owner_->io().cancel(*this);
    return;
  }
  const std::uint8_t before = asked_.fetch_or(why | posted, std::memory_order_acq_rel);
  if ((before & posted) == 0) post(*owner_, *this);
}

void io_leaf::deliver() noexcept {
  delivered_ = true;
  owner_->io().cancel(*this);
}

std::string io_leaf::object() const {
  if (name_) return *name_;
  return descriptor_ ? descriptor_->name() : std::string("a closed descriptor");
}

failure io_leaf::failure_of(const char* verb) const {
  if (result_ == -EBUSY && use() != io_use::other) {
    return {std::error_code(EBUSY, std::generic_category()),
            fmt::format("{} {}: another task is {} it at the same time", verb, object(),
                        use() == io_use::reading ? "reading from" : "writing to")};
  }
  return {std::error_code(-result_, std::generic_category()), fmt::format("{} {}", verb, object())};
}

}  // namespace weir::detail
