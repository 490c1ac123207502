#pragma once

#include <cstddef>
#include <string>

#include "../runtime/detail/config.hpp"
#include "../runtime/task.hpp"
#include "command.hpp"
#include "exit_status.hpp"

namespace weir {

struct run_process_options {
  /// Bytes that standard output may have, and standard error.
  std::size_t limit = std::size_t{1} << 20;
};
static_assert(detail::trivially_destructible<run_process_options>);

/// What run_process() completes with.
struct process_output {
  exit_status status;
  /// What the child has written, where nothing else was said about its streams.
  std::string output;
  std::string error;
};

/// Runs a program to its end: writes `input` to its standard input, collects its standard output and standard error,
/// all at the same time so that no full pipe holds up anybody, and waits for it. Streams for which `what` says where
/// they lead are left at that. An exit code other than 0 is no error.
///
///     weir::command git("git");
///     git.arguments({"rev-parse", "HEAD"});
///     const weir::process_output head = co_await weir::run_process(git);
///     if (!head.status.success()) fmt::print("{}: {}", head.status, head.error);
///
/// Throws what process::spawn() throws, and std::errc::message_size when the child writes more than the limit ("run
/// git: more than 1048576 bytes of standard output"); it is then ended. That it does not read its input is no error.
/// Completes when the pipes have ended, too: what the child has started and left behind with them is waited for.
///
/// Cancelled: the pipes are closed, the child is sent SIGTERM, and SIGKILL when it has not ended within
/// command::grace(); the stop waits for that. Allocates the strings, frames and records.
[[nodiscard]] task<process_output> run_process(command what, std::string input = {}, run_process_options options = {});

}  // namespace weir
