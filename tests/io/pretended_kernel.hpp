#pragma once

#include <span>

namespace test {

/// While it lives, rings are made as by a kernel that knows only `flags` of io_uring_setup (EINVAL for others), and has
/// memory for `most_entries` (ENOMEM for more) and for `most_rings`, and say that they have the first `operations`. One
/// at a time, while no runtime starts.
class pretended_kernel {
 public:
  explicit pretended_kernel(unsigned flags = ~0u, unsigned most_entries = ~0u, unsigned operations = ~0u,
                            unsigned most_rings = ~0u);
  pretended_kernel(const pretended_kernel&) = delete;
  pretended_kernel& operator=(const pretended_kernel&) = delete;
  ~pretended_kernel();

  /// Of the ring that was made last, 0 when there was none.
  [[nodiscard]] unsigned flags_used() const;
  [[nodiscard]] unsigned entries_used() const;
};

/// While it lives, rings have no rings of buffers, as before 5.19. One at a time.
class no_buffer_rings {
 public:
  no_buffer_rings();
  no_buffer_rings(const no_buffer_rings&) = delete;
  no_buffer_rings& operator=(const no_buffer_rings&) = delete;
  ~no_buffer_rings();
};

/// While it lives, rings refuse to register a buffer for want of memory that may be locked. One at a time.
class no_locked_memory {
 public:
  no_locked_memory();
  no_locked_memory(const no_locked_memory&) = delete;
  no_locked_memory& operator=(const no_locked_memory&) = delete;
  ~no_locked_memory();
};

struct kernel_version {
  const char* name;
  unsigned flags;       // with which a ring is made there
  unsigned operations;  // that a ring has there
};
/// The versions before which a ring was made with fewer flags, newest first: those of them whose flags this kernel
/// takes, for one that is older cannot be asked to be newer.
std::span<const kernel_version> older_kernels();

/// Does this kernel have rings of buffers?
bool has_buffer_rings();

/// Does this kernel have tables of registered buffers that can be changed?
bool has_buffer_tables();

/// Does a runtime that is asked for nothing special use io_uring here?
bool ring_is_default();

}  // namespace test
