#include "child_process.hpp"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <mutex>
#include <source_location>
#include <utility>

#include "../../runtime/as_result.hpp"
#include "../../runtime/detail/worker.hpp"
#include "../../runtime/spawn.hpp"
#include "../../runtime/with_cleanup.hpp"
#include "../../runtime/with_timeout.hpp"
#include "../operations/wait_exit.hpp"

namespace weir::detail {

namespace {

constexpr auto by_descriptor = static_cast<idtype_t>(3);  // P_PIDFD

exit_status status_of(const siginfo_t& how) noexcept {
  if (how.si_code == CLD_EXITED) return {.code = how.si_status};
  return {.signal = how.si_status, .core_dumped = how.si_code == CLD_DUMPED};
}

task<> finish(std::shared_ptr<child_process> of, duration grace) {
  const auto wait = [&]() -> task<> {
    auto ended = co_await as_result(with_timeout(grace, wait_exit_operation(of)));
    static_cast<void>(ended);
  };
  const auto kill = [&](const cleanup_outcome&) -> task<> {
    of->send(SIGKILL);
    auto ended = co_await as_result(wait_exit_operation(of));
    static_cast<void>(ended);
  };
  co_await with_cleanup(wait(), kill, child_process::kernel_limit);
}

}  // namespace

child_process::child_process(int pid, int pidfd, std::string name, bool leads_group)
    : pid_(pid),
      leads_group_(leads_group),
      home_(&current_worker()->core()),
      pidfd_(descriptor::adopt(pidfd, descriptor::kind::file, std::move(name))) {}

int child_process::reap() noexcept {
  const std::lock_guard guard(lock_);
  return reap_locked();
}

int child_process::reap_locked() noexcept {
  if (reaped_ != 0) return reaped_;
  siginfo_t how{};
  int result = 0;
  do {
    result = ::waitid(by_descriptor, static_cast<id_t>(pidfd()), &how, WEXITED | WNOHANG);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    reaped_ = -errno;
  } else if (how.si_pid != 0) {
    status_ = status_of(how);
    reaped_ = 1;
  }
  return reaped_;
}

int child_process::send(int signal) noexcept {
  const std::lock_guard guard(lock_);
  if (reaped_ != 0) return -ESRCH;
  // To a group only by number: first it has to be known that the number is this child's still.
  if (::syscall(SYS_pidfd_send_signal, pidfd(), leads_group_ ? 0 : signal, nullptr, 0) != 0) return -errno;
  if (leads_group_ && ::kill(-pid_, signal) != 0) return -errno;
  return 0;
}

void child_process::end(const std::shared_ptr<child_process>& of, duration grace) noexcept {
  if (of->reap() != 0) return;
  worker* const here = current_worker();
  if (here && &here->core() == of->home_) {
    of->send(grace > duration::zero() ? SIGTERM : SIGKILL);
    try {
      static_cast<void>(spawn_task(here->core().root(), finish(of, grace), std::source_location::current()));
      return;
    } catch (const std::exception&) {  // out of memory
    }
  }
  of->kill_here();
}

void child_process::kill_here() noexcept {
  send(SIGKILL);
  siginfo_t how{};
  while (::waitid(by_descriptor, static_cast<id_t>(pidfd()), &how, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  reap();
}

}  // namespace weir::detail
