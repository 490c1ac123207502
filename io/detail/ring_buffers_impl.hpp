#pragma once

#include <liburing.h>

#include <cstdint>
#include <vector>

#include "registered_buffers.hpp"

namespace weir::detail {

/// Which of the process's registered_buffers one ring has in its table, and where. For the ring's thread.
///
/// A buffer is registered by its first transfer here. Where the kernel refuses (before Linux 5.19 it has no table that
/// can be changed; a buffer may be more than RLIMIT_MEMLOCK lets be pinned, or than 1 GiB; or the table is full)
/// transfers stay what they were.
class ring_buffers {
 public:
  /// Of a read or a write that has been prepared: where its memory lies within one of the buffers it becomes one of
  /// registered memory, and this is true. `owner`: whose ring it is.
  [[nodiscard]] bool use(io_uring_sqe& entry, io_uring& ring, reactor& owner) noexcept;
  /// Lets go of what has gone.
  void catch_up(io_uring& ring) noexcept {
    if (has_table_ && seen_ != registered_buffers::changes()) static_cast<void>(follow(ring));
  }
  /// With nothing in flight.
  void end(io_uring& ring, reactor& owner) noexcept;

 private:
  struct known {
    registered_buffers::buffer memory;
    std::uint16_t slot;
  };
  static constexpr std::uint16_t slots = 1024;
  // Of those that have no slot:
  static constexpr std::uint16_t unused = 0xffff;
  static constexpr std::uint16_t refused = 0xfffe;

  /// False: there is no memory for it.
  [[nodiscard]] bool follow(io_uring& ring) noexcept;
  [[nodiscard]] known* find(std::uint64_t begin, std::uint64_t size) noexcept;
  void enter(known& one, io_uring& ring, reactor& owner) noexcept;
  void let_go(known& one, io_uring& ring) noexcept;
  void make_table(io_uring& ring, reactor& owner) noexcept;

  std::vector<known> buffers_;       // by address
  std::vector<std::uint16_t> free_;  // slots; has room for all
  std::uint64_t seen_ = 0;           // registered_buffers::changes() that are in buffers_
  bool has_table_ = false;
  bool no_table_ = false;  // it cannot be had
};

}  // namespace weir::detail
