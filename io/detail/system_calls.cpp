#include "system_calls.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "simulated_kernel.hpp"

namespace weir::detail::system_calls {

namespace {

bool simulated(int number) noexcept { return simulated_kernel::is_simulated(number); }

/// Calls the simulated kernel that `number` belongs to.
template <class Call>
int ask(int number, Call call) {
  simulated_kernel* const kernel = simulated_kernel::of(number);
  return kernel ? call(*kernel) : -EBADF;
}

int socket_option(int number, int option, int& value) noexcept {
  socklen_t size = sizeof value;
  return outcome(::getsockopt(number, SOL_SOCKET, option, &value, &size));
}

/// Calls bind(2) or connect(2).
template <class Endpoint>
int with_address(int (*call)(int, const sockaddr*, socklen_t), int number, const Endpoint& where) noexcept {
  sockaddr_storage address{};
  const auto size = static_cast<socklen_t>(where.to_native(&address));
  return outcome(call(number, reinterpret_cast<const sockaddr*>(&address), size));
}

/// Calls getsockname(2) or getpeername(2).
template <class Endpoint>
int ask_name(int (*call)(int, sockaddr*, socklen_t*), int number, Endpoint& name) noexcept {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  const int result = outcome(call(number, reinterpret_cast<sockaddr*>(&address), &size));
  if (result == 0) name = Endpoint::from_native(&address, size);
  return result;
}

}  // namespace

int make_stream_socket(bool v6) noexcept {
  if (simulated_kernel* const kernel = simulated_kernel::here()) return kernel->sockets().make(v6);
  return outcome(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int make_datagram_socket(bool v6) noexcept {
  if (simulated_kernel::here()) return -ENOTSUP;
  return outcome(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int make_unix_socket(int type) noexcept {
  if (simulated_kernel::here()) return -ENOTSUP;
  return outcome(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int make_unix_pair(int type, std::array<int, 2>& numbers) noexcept {
  if (simulated_kernel::here()) return -ENOTSUP;
  return outcome(::socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, numbers.data()));
}

int set_socket_option(int number, int level, int option, const void* value, unsigned size) noexcept {
  if (simulated(number)) {
    return ask(number, [&](auto& kernel) { return kernel.sockets().set_option(number, level, option, value, size); });
  }
  return outcome(::setsockopt(number, level, option, value, size));
}

int bind(int number, const endpoint& local) noexcept {
  if (simulated(number)) return ask(number, [&](auto& kernel) { return kernel.sockets().bind(number, local); });
  return with_address(::bind, number, local);
}

int bind(int number, const unix_endpoint& local) noexcept { return with_address(::bind, number, local); }

int listen(int number, int backlog) noexcept {
  if (simulated(number)) return ask(number, [&](auto& kernel) { return kernel.sockets().listen(number, backlog); });
  return outcome(::listen(number, backlog));
}

int connect_datagrams(int number, const endpoint& peer) noexcept { return with_address(::connect, number, peer); }

int connect(int number, const unix_endpoint& peer) noexcept { return with_address(::connect, number, peer); }

int local_name(int number, endpoint& name) noexcept {
  if (simulated(number)) return ask(number, [&](auto& kernel) { return kernel.sockets().local_name(number, name); });
  return ask_name(::getsockname, number, name);
}

int peer_name(int number, endpoint& name) noexcept {
  if (simulated(number)) return ask(number, [&](auto& kernel) { return kernel.sockets().peer_name(number, name); });
  return ask_name(::getpeername, number, name);
}

int local_name(int number, unix_endpoint& name) noexcept { return ask_name(::getsockname, number, name); }

int peer_name(int number, unix_endpoint& name) noexcept { return ask_name(::getpeername, number, name); }

int peer_credentials(int number, unix_credentials& who) noexcept {
  ucred told{};
  socklen_t size = sizeof told;
  const int result = outcome(::getsockopt(number, SOL_SOCKET, SO_PEERCRED, &told, &size));
  if (result == 0) who = {.pid = told.pid, .uid = told.uid, .gid = told.gid};
  return result;
}

int is_listening(int number) noexcept {
  if (simulated(number)) return ask(number, [&](auto& kernel) { return kernel.sockets().is_listening(number); });
  int listening = 0;
  const int result = socket_option(number, SO_ACCEPTCONN, listening);
  return result == 0 ? static_cast<int>(listening != 0) : result;
}

int is_datagram_socket(int number) noexcept {
  if (simulated(number)) return 0;
  int type = 0;
  const int result = socket_option(number, SO_TYPE, type);
  return result == 0 ? static_cast<int>(type == SOCK_DGRAM) : result;
}

int is_unix_socket(int number, int type) noexcept {
  if (simulated(number)) return 0;
  int domain = 0;
  int its_type = 0;
  int result = socket_option(number, SO_DOMAIN, domain);
  if (result == 0) result = socket_option(number, SO_TYPE, its_type);
  return result == 0 ? static_cast<int>(domain == AF_UNIX && its_type == type) : result;
}

int shutdown(int number, int how) noexcept {
  if (simulated(number)) return ask(number, [&](auto& kernel) { return kernel.sockets().shutdown(number, how); });
  return outcome(::shutdown(number, how));
}

int kind_of_file(int number, file_kind& kind) noexcept {
  if (simulated(number)) {
    std::uint64_t size = 0;
    kind = file_kind::with_offsets;
    return ask(number, [&](auto& kernel) { return kernel.disk().size(number, size); });
  }
  struct stat status{};
  const int result = outcome(::fstat(number, &status));
  if (result != 0) return result;
  const bool offsets = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode);
  kind = S_ISDIR(status.st_mode) ? file_kind::directory : offsets ? file_kind::with_offsets : file_kind::stream;
  return 0;
}

int size_of_file(int number, std::uint64_t& size) noexcept {
  if (simulated(number)) return ask(number, [&](auto& kernel) { return kernel.disk().size(number, size); });
  struct stat status{};
  const int result = outcome(::fstat(number, &status));
  if (result == 0) size = static_cast<std::uint64_t>(status.st_size);
  return result;
}

int set_position(int number, std::uint64_t offset) noexcept {
  if (simulated(number)) return ask(number, [&](auto& kernel) { return kernel.disk().set_position(number, offset); });
  return ::lseek(number, static_cast<off_t>(offset), SEEK_SET) < 0 ? -errno : 0;
}

int make_pipe(std::array<int, 2>& ends, bool non_blocking) noexcept {
  if (simulated_kernel::here()) return -ENOTSUP;
  return outcome(::pipe2(ends.data(), O_CLOEXEC | (non_blocking ? O_NONBLOCK : 0)));
}

int duplicate(int number) noexcept { return outcome(::fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)); }

int make_event_count() noexcept {
  if (simulated_kernel* const kernel = simulated_kernel::here()) return kernel->signals().make();
  return outcome(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE));
}

int make_non_blocking(int number) noexcept {
  if (simulated(number)) return 0;
  const int flags = ::fcntl(number, F_GETFL);
  return flags < 0 ? -errno : set_status_flags(number, flags | O_NONBLOCK);
}

int set_status_flags(int number, int flags) noexcept {
  return simulated(number) ? 0 : outcome(::fcntl(number, F_SETFL, flags));
}

void close(int number) noexcept {
  if (simulated(number)) {
    simulated_kernel::close(number);
    return;
  }
  // The number is free after close() whatever it returns; trying again would hit somebody else's.
  static_cast<void>(::close(number));
}

}  // namespace weir::detail::system_calls
