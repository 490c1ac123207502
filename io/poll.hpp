#pragma once

#include "operations/poll.hpp"

namespace weir {

/// Completes when the descriptor `number`, which is not weir's, is ready for one of `events`, as those of poll(2)
/// (POLLIN, POLLOUT, ...), or has an error or a hang-up to tell. The value is what poll(2) would report: some of
/// `events`, POLLERR and POLLHUP. Moves nothing. Files that never wait, regular ones, are always ready. For libraries
/// with sockets of their own; streams and listeners have readable() and writable().
///
///     const int happened = co_await weir::poll(PQsocket(connection), POLLIN | POLLOUT);
///
/// Throws std::system_error: "poll fd 7: Bad file descriptor". Cancelled: stops when the kernel has given it back.
/// Selectable. The number must stay open until it has ended; any number of tasks may wait for it. Allocates nothing.
/// Without io_uring each wait costs four system calls, because whether others of the process watch the number cannot be
/// known. In a simulation only numbers of simulated sockets are taken; others fail with ENOTSUP.
///
/// An overload of poll(2)'s name.
[[nodiscard]] inline auto poll(int number, int events) noexcept { return detail::poll_operation(number, events); }

}  // namespace weir
