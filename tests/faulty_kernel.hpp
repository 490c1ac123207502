#pragma once

// A kernel some of whose calls fail: stands before libc's and liburing's functions, and passes on what is not to fail.
// To be included by one source file of a program whose runtimes have one worker.

#include <dlfcn.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <set>

namespace test {

/// What can fail, by its system call; the ring's entry for it fails in the same way.
enum class call : std::uint8_t {
  none,
  accept,
  connect,
  receive,
  send,
  receive_message,
  send_message,
  send_to,
  poll,
  open,
  read,   // of pipes and the like
  write,  // the same
  read_at,
  write_at,
  sync,
  status,
  rename,
  make_directory,
  unlink,
  set_size,
  socket,
  watch,    // epoll_ctl to add a descriptor
  enter,    // io_uring_enter itself
  wake_up,  // the ring's read of what wakes its worker
};

/// The next `times` of them fail with `error`, each `every`-th one; moving less than asked for if that is 0.
class faults {
 public:
  static void begin(call which, int error, int times = 1, int every = 1) {
    failing = call::none;
    done = passed = 0;
    most = times;
    period = every;
    code = error;
    failing = which;
  }
  /// How many there were.
  static int end() {
    failing = call::none;
    return done;
  }

  /// -1: it goes on; or else its error, where 0 stands for less than asked for.
  static int next(call which) {
    if (failing != which || done >= most || ++passed % period != 0) return -1;
    ++done;
    return code;
  }
  [[nodiscard]] static bool is_failing(call which) { return failing == which; }

 private:
  static inline std::atomic<call> failing{call::none};
  static inline std::atomic<int> done{0};
  static inline std::atomic<int> passed{0};
  static inline std::atomic<int> most{0};
  static inline std::atomic<int> period{1};
  static inline std::atomic<int> code{0};
};

/// Returns true when the call is to fail, with errno set.
inline bool fails(call which) {
  const int error = faults::next(which);
  if (error <= 0) return false;
  errno = error;
  return true;
}

/// The same for what moves bytes: it moves less when told so.
inline bool fails(call which, std::size_t& size) {
  const int error = faults::next(which);
  if (error == 0) size = (size + 1) / 2;
  if (error <= 0) return false;
  errno = error;
  return true;
}

// ---- rings

inline io_uring* last_ring = nullptr;
/// Entries of completion queues; 0: as many as are asked for.
inline unsigned completion_entries = 0;
inline std::set<std::uint64_t> failed_entries;  // whose completions are to be rewritten
inline int entry_error = 0;

inline bool is_ring_form(call which, unsigned opcode) {
  switch (which) {
    case call::connect:
      return opcode == IORING_OP_CONNECT;
    case call::receive:
      return opcode == IORING_OP_RECV;
    case call::send:
      return opcode == IORING_OP_SEND;
    case call::receive_message:
      return opcode == IORING_OP_RECVMSG;
    case call::send_to:
    case call::send_message:
      return opcode == IORING_OP_SENDMSG;
    case call::poll:
      return opcode == IORING_OP_POLL_ADD;
    case call::open:
      return opcode == IORING_OP_OPENAT;
    case call::read:
    case call::read_at:
    case call::wake_up:
      return opcode == IORING_OP_READ;
    case call::write:
    case call::write_at:
      return opcode == IORING_OP_WRITE;
    case call::sync:
      return opcode == IORING_OP_FSYNC;
    case call::status:
      return opcode == IORING_OP_STATX;
    case call::rename:
      return opcode == IORING_OP_RENAMEAT;
    case call::make_directory:
      return opcode == IORING_OP_MKDIRAT;
    case call::unlink:
      return opcode == IORING_OP_UNLINKAT;
    case call::set_size:
      return opcode == 55;  // IORING_OP_FTRUNCATE, which Debian 12's headers do not know
    default:
      return false;
  }
}

/// An entry that is to fail becomes one that does nothing, and its completion is rewritten.
inline void spoil(io_uring_sqe& entry) {
  for (int i = 1; i <= static_cast<int>(call::wake_up); ++i) {
    const auto which = static_cast<call>(i);
    // The reactor's own entries have numbers for user data, and not addresses.
    if (!faults::is_failing(which) || !is_ring_form(which, entry.opcode)) continue;
    if ((entry.user_data < 16) != (which == call::wake_up)) continue;
    const int error = faults::next(which);
    if (error == 0) entry.len = (entry.len + 1) / 2;
    if (error <= 0) continue;
    entry_error = error;
    failed_entries.insert(entry.user_data);
    const std::uint64_t user_data = entry.user_data;
    io_uring_prep_nop(&entry);
    entry.user_data = user_data;
    return;
  }
}

}  // namespace test

// ---- what stands before the libraries'

// NOLINTBEGIN(bugprone-easily-swappable-parameters,readability-inconsistent-declaration-parameter-name)
extern "C" {

int io_uring_queue_init_params(unsigned entries, io_uring* ring, io_uring_params* params) {
  if (test::completion_entries != 0) params->cq_entries = test::completion_entries;
  static const auto real =
      reinterpret_cast<decltype(&io_uring_queue_init_params)>(::dlsym(RTLD_NEXT, "io_uring_queue_init_params"));
  test::last_ring = ring;
  return real ? real(entries, ring, params) : -ENOSYS;
}

int io_uring_enter2(unsigned number, unsigned submitted, unsigned wanted, unsigned flags, sigset_t* signals,
                    size_t size) {
  using namespace test;
  if (const int error = faults::next(call::enter); error > 0) return -error;
  io_uring& ring = *last_ring;
  const unsigned head = __atomic_load_n(ring.sq.khead, __ATOMIC_ACQUIRE);
  for (unsigned i = 0; i < submitted; ++i) spoil(ring.sq.sqes[(head + i) & *ring.sq.kring_mask]);
  const auto result = static_cast<int>(::syscall(SYS_io_uring_enter, number, submitted, wanted, flags, signals, size));
  const int error = errno;
  for (unsigned i = *ring.cq.khead; i != __atomic_load_n(ring.cq.ktail, __ATOMIC_ACQUIRE); ++i) {
    io_uring_cqe& entry = ring.cq.cqes[i & *ring.cq.kring_mask];
    if (failed_entries.erase(entry.user_data) != 0) entry.res = -entry_error;
  }
  return result < 0 ? -error : result;
}

int accept4(int number, sockaddr* address, socklen_t* size, int flags) {
  if (test::fails(test::call::accept)) return -1;
  return static_cast<int>(::syscall(SYS_accept4, number, address, size, flags));
}

int connect(int number, const sockaddr* address, socklen_t size) {
  // Interrupted, it goes on all the same.
  const int error = test::faults::next(test::call::connect);
  const auto result =
      error > 0 && error != EINTR ? -1 : static_cast<int>(::syscall(SYS_connect, number, address, size));
  if (error > 0) errno = error;
  return error > 0 ? -1 : result;
}

ssize_t recv(int number, void* into, size_t size, int flags) {
  if (test::fails(test::call::receive, size)) return -1;
  return ::syscall(SYS_recvfrom, number, into, size, flags, nullptr, nullptr);
}

ssize_t send(int number, const void* from, size_t size, int flags) {
  if (test::fails(test::call::send, size)) return -1;
  return ::syscall(SYS_sendto, number, from, size, flags, nullptr, 0);
}

ssize_t sendto(int number, const void* from, size_t size, int flags, const sockaddr* address, socklen_t length) {
  if (test::fails(test::call::send_to)) return -1;
  return ::syscall(SYS_sendto, number, from, size, flags, address, length);
}

ssize_t recvfrom(int number, void* into, size_t size, int flags, sockaddr* address, socklen_t* length) {
  if (test::fails(test::call::receive_message)) return -1;
  return ::syscall(SYS_recvfrom, number, into, size, flags, address, length);
}

ssize_t recvmsg(int number, msghdr* message, int flags) {
  if (test::fails(test::call::receive_message)) return -1;
  return ::syscall(SYS_recvmsg, number, message, flags);
}

ssize_t sendmsg(int number, const msghdr* message, int flags) {
  if (test::fails(test::call::send_message)) return -1;
  return ::syscall(SYS_sendmsg, number, message, flags);
}

int poll(pollfd* entries, nfds_t count, int milliseconds) {
  if (test::fails(test::call::poll)) return -1;
  const timespec limit{.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1'000'000L};
  return static_cast<int>(::syscall(SYS_ppoll, entries, count, milliseconds < 0 ? nullptr : &limit, nullptr, 0));
}

int open(const char* path, int flags, ...) {
  std::va_list rest;
  va_start(rest, flags);
  const unsigned permissions = va_arg(rest, unsigned);
  va_end(rest);
  if (test::fails(test::call::open)) return -1;
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, permissions));
}

ssize_t read(int number, void* into, size_t size) {
  if (test::fails(test::call::read, size)) return -1;
  return ::syscall(SYS_read, number, into, size);
}

ssize_t write(int number, const void* from, size_t size) {
  if (test::fails(test::call::write, size)) return -1;
  return ::syscall(SYS_write, number, from, size);
}

ssize_t pread(int number, void* into, size_t size, off_t offset) {
  if (test::fails(test::call::read_at, size)) return -1;
  return ::syscall(SYS_pread64, number, into, size, offset);
}

ssize_t pwrite(int number, const void* from, size_t size, off_t offset) {
  if (test::fails(test::call::write_at, size)) return -1;
  return ::syscall(SYS_pwrite64, number, from, size, offset);
}

int fsync(int number) {
  if (test::fails(test::call::sync)) return -1;
  return static_cast<int>(::syscall(SYS_fsync, number));
}

int statx(int number, const char* path, int flags, unsigned mask, struct statx* into) noexcept {
  if (test::fails(test::call::status)) return -1;
  return static_cast<int>(::syscall(SYS_statx, number, path, flags, mask, into));
}

int renameat2(int from_in, const char* from, int to_in, const char* to, unsigned flags) noexcept {
  if (test::fails(test::call::rename)) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, from_in, from, to_in, to, flags));
}

int mkdir(const char* path, mode_t permissions) noexcept {
  if (test::fails(test::call::make_directory)) return -1;
  return static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, permissions));
}

int unlink(const char* path) noexcept {
  if (test::fails(test::call::unlink)) return -1;
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

int ftruncate(int number, off_t size) noexcept {
  if (test::fails(test::call::set_size)) return -1;
  return static_cast<int>(::syscall(SYS_ftruncate, number, size));
}

int socket(int domain, int type, int protocol) noexcept {
  if (test::fails(test::call::socket)) return -1;
  return static_cast<int>(::syscall(SYS_socket, domain, type, protocol));
}

int epoll_ctl(int epoll, int what, int number, epoll_event* event) noexcept {
  if (what == EPOLL_CTL_ADD && test::fails(test::call::watch)) return -1;
  return static_cast<int>(::syscall(SYS_epoll_ctl, epoll, what, number, event));
}

}  // extern "C"
// NOLINTEND(bugprone-easily-swappable-parameters,readability-inconsistent-declaration-parameter-name)
