#include "file_access.hpp"

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <limits>

#include "system_calls.hpp"

namespace weir::detail {

namespace {

using system_calls::outcome;

/// Whether a read or write that asked not to wait has to be asked in another way: older kernels know the flag for
/// fewer kinds of files (pipes since Linux 6.4, terminals not at all).
bool cannot_say(ssize_t moved) noexcept { return moved < 0 && (errno == EOPNOTSUPP || errno == ENOSYS); }

bool is_ready(int number, short events) noexcept {
  pollfd one{.fd = number, .events = events, .revents = 0};
  return ::poll(&one, 1, 0) != 0;  // an error counts: the transfer will say which
}

// Another process may take what poll() has promised, and then the worker waits in read() with it. Two readers of one
// pipe on a kernel before 6.4: give them descriptors that are non-blocking.
int read_shared(int number, std::byte* into, unsigned size) noexcept {
  const iovec part{.iov_base = into, .iov_len = size};
  const ssize_t moved = ::preadv2(number, &part, 1, -1, RWF_NOWAIT);
  if (!cannot_say(moved)) return outcome(moved);
  if (!is_ready(number, POLLIN)) return -EAGAIN;
  return outcome(::read(number, into, size));
}

// A pipe that is ready takes PIPE_BUF bytes without waiting (pipe(7)), but perhaps not more.
int write_shared(int number, const std::byte* from, unsigned size) noexcept {
  const iovec part{.iov_base = const_cast<std::byte*>(from), .iov_len = size};
  const ssize_t moved = ::pwritev2(number, &part, 1, -1, RWF_NOWAIT);
  if (!cannot_say(moved)) return outcome(moved);
  if (!is_ready(number, POLLOUT)) return -EAGAIN;
  return outcome(::write(number, from, std::min<unsigned>(size, PIPE_BUF)));
}

}  // namespace

int refusal_of_place(file_access how, std::uint64_t offset) noexcept {
  if (how == file_access::unplaced) return -ESPIPE;
  return offset > std::numeric_limits<std::int64_t>::max() ? -EINVAL : 0;
}

int classify(int number, file_access kept, file_access streaming, file_access& how) noexcept {
  system_calls::file_kind kind{};
  const int result = system_calls::kind_of_file(number, kind);
  if (result != 0) return result;
  how = kind == system_calls::file_kind::with_offsets ? kept : streaming;
  return kind == system_calls::file_kind::directory ? -EISDIR : 0;
}

int read_file(int number, file_access how, std::byte* into, unsigned size, std::uint64_t offset) noexcept {
  switch (how) {
    case file_access::unplaced:
      return -ESPIPE;
    case file_access::at_offset:
    case file_access::own_position:
      return outcome(::pread(number, into, size, static_cast<off_t>(offset)));
    case file_access::shared_stream:
      return read_shared(number, into, size);
    default:
      return outcome(::read(number, into, size));
  }
}

int write_file(int number, file_access how, const std::byte* from, unsigned size, std::uint64_t offset) noexcept {
  switch (how) {
    case file_access::unplaced:
      return -ESPIPE;
    case file_access::at_offset:
    case file_access::own_position:
      return outcome(::pwrite(number, from, size, static_cast<off_t>(offset)));
    case file_access::shared_stream:
      return write_shared(number, from, size);
    default:
      return outcome(::write(number, from, size));
  }
}

}  // namespace weir::detail
