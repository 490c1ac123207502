#include "waiting_thread.hpp"

#include <stdexcept>

#include "../../runtime/detail/scheduler.hpp"
#include "../../runtime/detail/spin_lock.hpp"

namespace weir::detail {

const void* this_thread() noexcept {
  static thread_local char here;
  return &here;
}

thread_latch::thread_latch(const char* sentence) {
  if (current_worker()) throw std::logic_error(sentence);
}

void thread_latch::wait() noexcept {
  // Waking a thread that the kernel has put to sleep costs tens of microseconds: what comes soon is worth a short look.
  constexpr int looks = 50;
  backoff pause;
  for (int i = 0; i < looks && !latch_.is_set(); ++i) pause.pause();
  latch_.wait();
}

}  // namespace weir::detail
