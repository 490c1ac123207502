#pragma once

#include <memory>
#include <string>

#include "../../runtime/clock.hpp"
#include "../../runtime/detail/light_std.hpp"
#include "../../runtime/detail/spin_lock.hpp"
#include "../exit_status.hpp"
#include "descriptor.hpp"

namespace weir::detail {

/// A child process, shared by its process object, by who waits for it, and by who ends it. Any thread, but for what
/// waits through target().
///
/// It is ours until it is reaped, and only then can its number be somebody else's: what goes by that number, a signal
/// to its group, happens under the lock under which it is reaped.
class child_process {
 public:
  /// How long the kernel may take to end what SIGKILL has reached: until it returns from a disk or a device.
  static constexpr duration kernel_limit = std::chrono::seconds(10);

  /// Takes over `pidfd`. On a worker.
  child_process(int pid, int pidfd, std::string name, bool leads_group);

  [[nodiscard]] int pid() const noexcept { return pid_; }
  [[nodiscard]] int pidfd() const noexcept { return pidfd_.number(); }
  /// Readable when it has ended.
  [[nodiscard]] descriptor* target() const noexcept { return pidfd_.get(); }

  /// Looks whether it has ended, and if so takes its status: 1, or 0 while it runs, or -errno when somebody else has
  /// taken it.
  int reap() noexcept;
  /// Once reap() has returned 1.
  [[nodiscard]] exit_status status() const noexcept { return status_; }

  /// To it, or to its group if it leads one. 0 or -errno; -ESRCH when it was reaped.
  int send(int signal) noexcept;

  /// SIGTERM, and SIGKILL when it has not ended within `grace`; reaped whatever happens. In a task of the runtime's own
  /// group where there is one, otherwise at once with SIGKILL, blocking.
  static void end(const std::shared_ptr<child_process>& of, duration grace) noexcept;

 private:
  int reap_locked() noexcept;
  void kill_here() noexcept;

  const int pid_;
  const bool leads_group_;
  const runtime_core* const home_;  // of whose workers it was made; compared only
  descriptor_handle pidfd_;
  spin_lock lock_;
  int reaped_ = 0;      // what reap() returns once it is not 0; guarded by lock_
  exit_status status_;  // written before reaped_
};

}  // namespace weir::detail
