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

bool io_leaf::try_in(const environment& env) noexcept {
  if (!may_complete_in(env)) return false;
  owner_ = current_worker();
  reactor& io = owner_->io();
  if (!io.optimistic() && !tries_first_) {
    if (use() == io_use::nothing || descriptor_) return false;
    result_ = -EBADF;
    return true;
  }
  result_ = enter(env);
  if (result_ != 0) return true;
  int attempted = 0;
  // What is not done stays with its descriptor, and start_io() goes on with it.
  if (!io.try_now(*this, attempted) || (attempted >= 0 ? goes_on(attempted) : try_again(attempted))) return false;
  result_ = leave(attempted);
  take_delivery();
  return true;
}

bool io_leaf::finish_empty_in(const environment& env) noexcept {
  empty_ = true;
  if (!may_complete_in(env)) return false;
  owner_ = current_worker();
  result_ = enter(env);
  static_cast<void>(leave(0));
  take_delivery();
  return true;
}

void io_leaf::start_io(const await_context& context) noexcept {
  if (!entered_) owner_ = current_worker();  // who closes the descriptor may be looking at it otherwise
  bind(context);
  note_waiting();
  if (stop() && !stop()->arm(*this)) {
    // It has moved nothing, and whoever asks the descriptor is to hear that.
    if (!entered_) static_cast<void>(enter(*context.env));
    static_cast<void>(leave(0));
    take_delivery();
    complete_stopped();
    return;
  }
  const int failed = entered_ ? 0 : enter(*context.env);
  if (failed != 0 || empty_) {
    static_cast<void>(leave(0));
    if (stop()) stop()->disarm(*this);
    take_delivery();
    complete_with(failed);
    return;
  }
  submit();
}

/// The ring gives up on a request that it has woken 128 times while somebody else was faster. Of a socket only: other
/// files may be non-blocking ones, which the ring does not wait for, and this would not end.
bool io_leaf::woken_in_vain(int result) const noexcept {
  return result == -EAGAIN && descriptor_ && descriptor_->is_socket();
}

int io_leaf::enter(const environment& env) noexcept {
  if (!descriptor_) return use() == io_use::nothing ? 0 : -EBADF;
  const int failed = descriptor_->enter(*this, use(), *env.runtime);
  entered_ = failed == 0;
  return failed;
}

int io_leaf::leave(int result) noexcept {
  if (!entered_) return result;
  entered_ = false;
  if (result < 0) keep_name();
  const bool socket = descriptor_->is_socket();
  if (!descriptor_->leave(*this, use())) return result;
  // A descriptor that is being closed goes with its last operation.
  descriptor_ = nullptr;
  // Closing has shut the socket down: the end of the stream, or the error, is our own doing.
  const bool takes = use() == io_use::reading || use() == io_use::receiving;
  if (socket && (result < 0 || (result == 0 && takes))) return -ECANCELED;
  if (use() == io_use::watching) return -ECANCELED;
  return result;
}

void io_leaf::take_delivery() noexcept {
  if ((asked_.load(std::memory_order_acquire) & posted) != 0 && !delivered_) drain_inbox();
}

void io_leaf::start_as_case() noexcept {
  as_case_ = true;
  owner_ = current_worker();
  if (const int failed = enter(*current_environment()); failed != 0) {
    complete_with(failed);
    return;
  }
  submit();
}

void io_leaf::withdraw_as_case() noexcept {
  if (as_case_) ask(for_stop);
}

void io_leaf::submit() noexcept { owner_->io().submit(*this); }

void io_leaf::completed(int result, std::uint32_t) noexcept {
  const std::uint8_t asked = asked_.load(std::memory_order_acquire);
  if (intercepts_ && intercept(result, asked != 0)) return;
  if (asked == 0 && (ended_early(result) || woken_in_vain(result) || (result < 0 && try_again(result)))) {
    submit();  // a signal, others were faster, or somebody else's trouble
    return;
  }
  if (result >= 0 && goes_on(result)) {
    if (asked == 0) {
      submit();
      return;
    }
    result = -ECANCELED;
  }
  result = leave(result);
  if (stop()) stop()->disarm(*this);
  take_delivery();
  if (ended_early(result)) {
    if ((asked_.load(std::memory_order_acquire) & for_stop) != 0 && !as_case_) {
      complete_stopped();
      return;
    }
    result = -ECANCELED;
  }
  complete_with(result);
}

void io_leaf::complete_with(int result) noexcept {
  result_ = result;
  if (result < 0) keep_name();
  if (as_case_) {
    as_case_ = false;
    end_as_case();
    return;
  }
  complete();
}

void io_leaf::keep_name() noexcept {
  if (name_ || !descriptor_) return;
  try {
    name_.reset(new std::string(descriptor_->name()));
  } catch (...) {
    name_.reset();  // out of memory: the sentence will not name it
  }
}

void io_leaf::request_stop(cancellation_cause) noexcept { ask(for_stop); }
void io_leaf::cancel_for_close() noexcept { ask(for_close); }

void io_leaf::ask(std::uint8_t why) noexcept {
  if (current_worker() == owner_) {
    asked_.fetch_or(why, std::memory_order_acq_rel);
    end_early();
    return;
  }
  const std::uint8_t before = asked_.fetch_or(why | posted, std::memory_order_acq_rel);
  if ((before & posted) == 0) post(*owner_, *this);
}

void io_leaf::deliver() noexcept {
  delivered_ = true;
  end_early();
}

void io_leaf::end_early() noexcept {
  if (where == place::elsewhere) come_back();
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
