#pragma once
// An entry of a ring written by hand, which is submitted first when it is full.

#include "listening_socket.hpp"

#include <liburing.h>
#include <cerrno>

namespace bench {

inline io_uring_sqe* next_entry(io_uring& ring) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  if (sqe == nullptr) {
    io_uring_submit(&ring);
    sqe = io_uring_get_sqe(&ring);
  }
  if (sqe == nullptr) fail("io_uring_get_sqe", EBUSY);
  return sqe;
}

}  // namespace bench
