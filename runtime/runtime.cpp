#include "runtime.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <stdexcept>

#include "detail/worker.hpp"
#include "dump_tasks.hpp"

namespace weir {

time_point clock::now() noexcept {
  if (detail::worker* here = detail::current_worker()) return here->core().now();
  return detail::monotonic_now();
}

const char* to_string(backend_kind kind) noexcept {
  switch (kind) {
    case backend_kind::automatic:
      return "automatic";
    case backend_kind::uring:
      return "uring";
    case backend_kind::epoll:
      return "epoll";
    case backend_kind::simulated:
      return "simulated";
  }
  return "?";
}

namespace detail {

void main_latch::set() noexcept {
  set_.store(1, std::memory_order_release);
  // The waiting thread may return, and this object be gone, before the call: the kernel then finds nobody there.
  syscall(SYS_futex, &set_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void main_latch::wait() noexcept {
  while (!is_set()) syscall(SYS_futex, &set_, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
}

}  // namespace detail

runtime::runtime(runtime_options options)
    : core_(new detail::runtime_core(options, detail::simulation_options{}, false)) {}

runtime::runtime(runtime_options options, caller_is_worker, detail::simulation_options simulation)
    : core_(new detail::runtime_core(options, simulation, true)) {}

// A forked child has neither its parent's threads to join nor its rings to close: it leaves all as it is.
runtime::~runtime() {
  if (!core_ || !core_->inherited()) return;
  [[maybe_unused]] const auto* const the_parents = core_.release();
}

shutdown_report runtime::shutdown(const shutdown_options& options) { return core_->shut_down(options); }
std::string runtime::dump_tasks() const { return core_->describe_tasks(std::chrono::seconds(1)); }
runtime_counters runtime::counters() const { return core_->counters(); }
void runtime::require_open(const char* what) const { core_->require_open(what); }

std::string dump_tasks() {
  detail::worker* const here = detail::current_worker();
  return here ? here->core().describe_tasks(std::chrono::seconds(1)) : std::string();
}

runtime_counters counters() {
  detail::worker* const here = detail::current_worker();
  return here ? here->core().counters() : runtime_counters{};
}

unsigned runtime::workers() const noexcept { return static_cast<unsigned>(core_->worker_count()); }
backend_kind runtime::backend() const noexcept { return core_->backend(); }
const std::string& runtime::why_not_uring() const noexcept { return core_->why_not_uring(); }

void runtime::require_body(bool valid) {
  if (!valid) throw std::invalid_argument("weir: run or block_on of a task that was moved from or already awaited");
}

detail::group_core& runtime::root() noexcept { return core_->root(); }

const std::string& runtime::deadlock_report() const noexcept { return core_->deadlock_report(); }

void runtime::start_and_wait(detail::strand& main, detail::promise_base& root, detail::main_latch& latch) {
  core_->start_and_wait(main, root, latch);
}

}  // namespace weir
