#pragma once

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "../runtime/task.hpp"
#include "command.hpp"
#include "exit_status.hpp"
#include "operations/wait_exit.hpp"
#include "pipe.hpp"

namespace weir {

/// A child process. Move-only.
///
///     weir::command sort("sort");
///     sort.standard_input(weir::child_stream::pipe());
///     weir::process child = co_await weir::process::spawn(sort);
///     co_await child.standard_input().write_all(lines);
///     child.standard_input().close();
///     const weir::exit_status how = co_await child.wait();
///
/// It is known by a pidfd, so that nothing here can reach another process that has got its number. The program must not
/// ignore SIGCHLD, nor wait for all of its children (waitpid(-1)): who does takes the status, and wait() fails with
/// ECHILD. Linux 5.4 or newer. In a simulation there is none: std::errc::not_supported.
class process {
 public:
  process() = default;

  /// Completes with the child once it executes its program. Throws std::system_error when it cannot: "spawn sort: No
  /// such file or directory".
  ///
  /// The child has standard input, output and error, and no other descriptor, not even one without close-on-exec; no
  /// signal is blocked in it, and SIGPIPE is at its default. It is started by posix_spawn on a thread of offload().
  /// Cancelled: a child that was about to start is delivered, or ended as by ~process(). A recycled frame, and records.
  [[nodiscard]] static task<process> spawn(command what);

  process(process&& other) noexcept = default;
  process& operator=(process&& other) noexcept;
  /// A child that still runs is ended: SIGTERM, then SIGKILL when it has not ended within command::grace(). This does
  /// not wait. A task of the runtime does, and the runtime joins it at its end, when the grace ends too: so no child
  /// and no zombie outlives run(). Outside of the tasks of its runtime it is killed at once, and waited for on the
  /// spot.
  ~process() { close(); }

  /// Completes with how it has ended; any number of tasks may wait, also afterwards. Does not close the pipes: a child
  /// that waits for room in one does not end, see run_process(). Cancelled: stops; the child goes on. Selectable.
  /// Goes on when this object is destroyed meanwhile. Allocates nothing.
  [[nodiscard]] auto wait() const noexcept { return detail::wait_exit_operation(child_); }
  /// How it has ended, or empty while it runs.
  [[nodiscard]] std::optional<exit_status> status() const;

  /// Sends a signal, to its whole group if it leads one (command::own_group()). False when it has ended; throws
  /// std::system_error for anything else: "kill sort: Operation not permitted".
  bool kill(int signal = SIGKILL) const;
  /// SIGTERM, and SIGKILL when it has not ended within `grace`; completes with how it has ended. Cancelled: stops; the
  /// child has been sent what was due, and belongs to this object still. A recycled frame.
  [[nodiscard]] task<exit_status> terminate(duration grace) const { return terminate(child_, grace); }

  /// Our ends of the streams that lead to pipes; the others are closed.
  [[nodiscard]] pipe_writer& standard_input() noexcept { return input_; }
  [[nodiscard]] pipe_reader& standard_output() noexcept { return output_; }
  [[nodiscard]] pipe_reader& standard_error() noexcept { return error_; }

  /// Its number, -1 for none. It may be another process's once this one's end has been waited for.
  [[nodiscard]] int pid() const noexcept { return child_ ? child_->pid() : -1; }
  /// The pidfd, lent.
  [[nodiscard]] int native_handle() const noexcept { return child_ ? child_->pidfd() : -1; }
  explicit operator bool() const noexcept { return child_ != nullptr; }
  /// What error sentences call it: the program.
  [[nodiscard]] std::string name() const;

  /// Does what the destructor does. Idempotent.
  void close() noexcept;

 private:
  static task<exit_status> terminate(std::shared_ptr<detail::child_process> of, duration grace);

  std::shared_ptr<detail::child_process> child_;  // whoever waits shares it
  duration grace_{};
  pipe_writer input_;
  pipe_reader output_;
  pipe_reader error_;
};

}  // namespace weir
