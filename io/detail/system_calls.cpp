#include "system_calls.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

/// The same for a simulated socket.
template <class Socket = simulated_socket, class Call>
int ask_socket(int number, Call call) {
  return ask(number, [&](simulated_kernel& kernel) { return kernel.ask<Socket>(number, call); });
}
template <class Endpoint, class Call>
int ask_named(int number, Call call) {
  return ask_socket<simulated_socket_of<Endpoint>>(number, call);
}

/// A path as system calls take it.
class path_text {
 public:
  explicit path_text(const unix_endpoint& path) noexcept { path.to_native(&address_); }
  [[nodiscard]] const char* c_str() const noexcept { return static_cast<const char*>(address_.sun_path); }

 private:
  sockaddr_un address_{};
};

int socket_option(int number, int level, int option, int& value) noexcept {
  socklen_t size = sizeof value;
  return outcome(::getsockopt(number, level, option, &value, &size));
}

template <class Endpoint>
int do_bind(int number, const Endpoint& where) noexcept {
  if (simulated(number)) return ask_named<Endpoint>(number, [&](auto& socket) { return socket.bind(where); });
  sockaddr_storage address{};
  const auto size = static_cast<socklen_t>(where.to_native(&address));
  return outcome(::bind(number, reinterpret_cast<const sockaddr*>(&address), size));
}

template <class Endpoint>
int do_connect(int number, const Endpoint& where) noexcept {
  if (simulated(number)) return ask_named<Endpoint>(number, [&](auto& socket) { return socket.connect(where); });
  sockaddr_storage address{};
  const auto size = static_cast<socklen_t>(where.to_native(&address));
  return outcome(::connect(number, reinterpret_cast<const sockaddr*>(&address), size));
}

/// 1, or 0 for a socket of another type; and which address family it is of.
int is_of_type(int number, int type, int& domain) noexcept {
  int its_type = 0;
  int result = socket_option(number, SOL_SOCKET, SO_TYPE, its_type);
  if (result == 0) result = socket_option(number, SOL_SOCKET, SO_DOMAIN, domain);
  return result == 0 ? static_cast<int>(its_type == type) : result;
}

template <class Endpoint>
int is_simulated_as(int number, int type) {
  const int result = ask_named<Endpoint>(number, [&](auto& socket) { return socket.type() == type ? 1 : 0; });
  return result == -EAFNOSUPPORT ? 0 : result;
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

template <class Endpoint>
int ask_local(int number, Endpoint& name) noexcept {
  if (simulated(number)) return ask_named<Endpoint>(number, [&](auto& socket) { return socket.local_name(name); });
  return ask_name(::getsockname, number, name);
}

template <class Endpoint>
int ask_peer(int number, Endpoint& name) noexcept {
  if (simulated(number)) return ask_named<Endpoint>(number, [&](auto& socket) { return socket.peer_name(name); });
  return ask_name(::getpeername, number, name);
}

}  // namespace

int make_stream_socket(bool v6) noexcept {
  if (simulated_kernel* const kernel = simulated_kernel::here()) return kernel->tcp().make(v6);
  return outcome(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int make_datagram_socket(bool v6) noexcept {
  if (simulated_kernel* const kernel = simulated_kernel::here()) return kernel->udp().make(v6);
  return outcome(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int make_unix_socket(int type) noexcept {
  if (simulated_kernel* const kernel = simulated_kernel::here()) return kernel->unix_sockets().make(type);
  return outcome(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int make_unix_pair(int type, std::array<int, 2>& numbers) noexcept {
  if (simulated_kernel* const kernel = simulated_kernel::here()) return kernel->unix_sockets().make_pair(type, numbers);
  return outcome(::socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, numbers.data()));
}

int set_socket_option(int number, int level, int option, const void* value, unsigned size) noexcept {
  if (simulated(number)) {
    return ask_socket(number, [&](auto& socket) { return socket.set_option(level, option, value, size); });
  }
  return outcome(::setsockopt(number, level, option, value, size));
}

int bind(int number, const endpoint& local) noexcept { return do_bind(number, local); }
int bind(int number, const unix_endpoint& local) noexcept { return do_bind(number, local); }

int listen(int number, int backlog) noexcept {
  if (simulated(number)) return ask_socket(number, [&](auto& socket) { return socket.listen(backlog); });
  return outcome(::listen(number, backlog));
}

int connect_datagrams(int number, const endpoint& peer) noexcept { return do_connect(number, peer); }
int connect(int number, const unix_endpoint& peer) noexcept { return do_connect(number, peer); }

int local_name(int number, endpoint& name) noexcept { return ask_local(number, name); }
int local_name(int number, unix_endpoint& name) noexcept { return ask_local(number, name); }
int peer_name(int number, endpoint& name) noexcept { return ask_peer(number, name); }
int peer_name(int number, unix_endpoint& name) noexcept { return ask_peer(number, name); }

int peer_credentials(int number, unix_credentials& who) noexcept {
  if (simulated(number)) {
    return ask_named<unix_endpoint>(number, [&](auto& socket) {
      // Whoever there is in a simulation is this process.
      who = {.pid = 0, .uid = static_cast<uid_t>(-1), .gid = static_cast<gid_t>(-1)};
      if (socket.is_connected()) who = {.pid = ::getpid(), .uid = ::geteuid(), .gid = ::getegid()};
      return 0;
    });
  }
  ucred told{};
  socklen_t size = sizeof told;
  const int result = outcome(::getsockopt(number, SOL_SOCKET, SO_PEERCRED, &told, &size));
  if (result == 0) who = {.pid = told.pid, .uid = told.uid, .gid = told.gid};
  return result;
}

bool is_coalescing(int number) noexcept {
  int value = 0;
  return !simulated(number) && socket_option(number, IPPROTO_UDP, UDP_GRO, value) == 0 && value != 0;
}

int is_listening(int number) noexcept {
  if (simulated(number)) return ask_socket(number, [](auto& socket) { return socket.is_listening() ? 1 : 0; });
  int listening = 0;
  const int result = socket_option(number, SOL_SOCKET, SO_ACCEPTCONN, listening);
  return result == 0 ? static_cast<int>(listening != 0) : result;
}

int is_network_socket(int number, int type) noexcept {
  if (simulated(number)) return is_simulated_as<endpoint>(number, type);
  int domain = 0;
  const int result = is_of_type(number, type, domain);
  return result == 1 ? static_cast<int>(domain == AF_INET || domain == AF_INET6) : result;
}

int is_unix_socket(int number, int type) noexcept {
  if (simulated(number)) return is_simulated_as<unix_endpoint>(number, type);
  int domain = 0;
  const int result = is_of_type(number, type, domain);
  return result == 1 ? static_cast<int>(domain == AF_UNIX) : result;
}

int shutdown(int number, int how) noexcept {
  if (simulated(number)) return ask_socket(number, [&](auto& socket) { return socket.shutdown(how); });
  return outcome(::shutdown(number, how));
}

int socket_file(int number, const unix_endpoint& path, file_identity& which) noexcept {
  if (simulated(number)) {
    return ask(number, [&](auto& kernel) { return kernel.unix_sockets().file_of(path, which.inode); });
  }
  struct stat status{};
  if (::lstat(path_text(path).c_str(), &status) != 0) return -errno;
  if (!S_ISSOCK(status.st_mode)) return -ENOTSOCK;
  which = {.device = status.st_dev, .inode = status.st_ino};
  return 0;
}

void remove_socket_file(int number, const unix_endpoint& path) noexcept {
  if (simulated(number)) {
    static_cast<void>(ask(number, [&](auto& kernel) { return kernel.unix_sockets().remove_file(path); }));
  } else {
    static_cast<void>(::unlink(path_text(path).c_str()));
  }
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
