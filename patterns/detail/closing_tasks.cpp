#include "closing_tasks.hpp"

#include <system_error>

#include "../../runtime/as_result.hpp"
#include "../../runtime/with_timeout.hpp"

namespace weir::detail {

void closing_tasks::cancel() noexcept {
  cancelled_.store(true, std::memory_order_relaxed);
  tasks_.cancel();
}

task<> closing_tasks::join() {
  auto turn = co_await joining_.lock();
  co_await tasks_.shutdown();
}

task<bool> closing_tasks::shutdown(shutdown_mode mode, duration limit) {
  if (mode == shutdown_mode::drain) {
    auto ended = co_await as_result(with_timeout(limit, join()));
    if (!ended && ended.error() == std::errc::timed_out) mode = shutdown_mode::cancel;
    if (!ended && mode == shutdown_mode::drain) ended.value();
  }
  if (mode == shutdown_mode::cancel) {
    if (tasks_.size() != 0) cancel();
    co_await join();
  }
  co_return !cancelled_.load(std::memory_order_relaxed);
}

}  // namespace weir::detail
