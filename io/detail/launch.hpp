#pragma once

#include <array>
#include <utility>

#include "../command.hpp"
#include "../unique_descriptor.hpp"

namespace weir::detail {

/// A child that runs, and what its parent has of it. Killed and waited for, on the spot, unless somebody takes it.
class launched {
 public:
  launched() = default;
  launched(launched&& other) noexcept
      : pidfd(std::move(other.pidfd)), ends(std::move(other.ends)), pid_(other.take()) {}
  launched& operator=(launched&&) = delete;
  ~launched();

  [[nodiscard]] int pid() const noexcept { return pid_; }
  int take() noexcept {
    const int pid = pid_;
    pid_ = -1;
    return pid;
  }

  unique_descriptor pidfd;
  std::array<unique_descriptor, 3> ends;  // our ends of its standard streams, where those are pipes

 private:
  friend launched launch(const command& what);
  int pid_ = -1;
};

/// Starts a child. Blocks until it executes its program, or has failed to. Throws std::system_error: "spawn sort: No
/// such file or directory"; then there is no child.
///
/// The child has no other descriptors than the standard ones, no blocked signals, and SIGPIPE at its default.
launched launch(const command& what);

}  // namespace weir::detail
