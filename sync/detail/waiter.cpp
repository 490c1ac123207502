#include "waiter.hpp"

namespace weir::detail {

void waiting_leaf::withdraw_from(waiter_queue& queue, state_lock& lock) noexcept {
  const state_lock::state state = lock.lock();
  const bool mine = queue.withdraw(*this);
  lock.unlock(state);
  if (mine) complete_stopped();
}

}  // namespace weir::detail
