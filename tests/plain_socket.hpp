#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <weir/io/endpoint.hpp>

namespace test {

/// A plain socket, without the library: the other end in tests. It blocks; nothing that is asked of it here takes long.
/// Its destructor resets the connection, so that no port stays behind in TIME_WAIT: tests would use them up.
class plain_socket {
 public:
  plain_socket() = default;
  explicit plain_socket(int number) : number_(checked(number, "socket")) {}
  plain_socket(plain_socket&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  plain_socket& operator=(plain_socket&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~plain_socket() { reset(); }

  /// Bound to a free port of 127.0.0.1, where connections are refused until listen().
  static plain_socket bound() {
    plain_socket made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    checked(::bind(made.number_, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
    return made;
  }
  static plain_socket listening(int backlog = 64) {
    plain_socket made = bound();
    made.listen(backlog);
    return made;
  }
  static plain_socket connected_to(const weir::endpoint& peer) {
    plain_socket made(::socket(peer.is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    made.connect(peer);
    return made;
  }

  void listen(int backlog) const { checked(::listen(number_, backlog), "listen"); }
  void connect(const weir::endpoint& peer) const {
    sockaddr_storage address{};
    const auto size = static_cast<socklen_t>(peer.to_native(&address));
    checked(::connect(number_, reinterpret_cast<const sockaddr*>(&address), size), "connect");
  }
  [[nodiscard]] plain_socket accept() const { return plain_socket(::accept4(number_, nullptr, nullptr, SOCK_CLOEXEC)); }
  /// Is there anything to accept, to read, or the end?
  [[nodiscard]] bool readable(int milliseconds) const {
    pollfd entry{.fd = number_, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, milliseconds) > 0;
  }

  [[nodiscard]] int number() const noexcept { return number_; }
  [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }
  [[nodiscard]] weir::endpoint local() const {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    checked(::getsockname(number_, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
    return weir::endpoint::from_native(&address, size);
  }

  void send(std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(number_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      bytes = bytes.subspan(static_cast<std::size_t>(checked(n, "send")));
    }
  }
  /// What is there within a second: the bytes read, 0 at the end, or -errno.
  [[nodiscard]] ssize_t receive(std::span<std::byte> into, int milliseconds = 1000) const {
    if (!readable(milliseconds)) return -EAGAIN;
    const ssize_t n = ::recv(number_, into.data(), into.size(), MSG_DONTWAIT);
    return n < 0 ? -errno : n;
  }
  /// Whether the other end has closed, or reset, and everything before that was read.
  [[nodiscard]] bool at_end() const {
    std::byte one{};
    const ssize_t n = receive({&one, 1});
    return n == 0 || n == -ECONNRESET;
  }

  template <class T>
  void set(int level, int option, const T& value) const {
    checked(::setsockopt(number_, level, option, &value, sizeof value), "setsockopt");
  }
  /// The other end sees the end of the stream, and can still send.
  void shutdown_write() const { checked(::shutdown(number_, SHUT_WR), "shutdown"); }
  /// Says good-bye: the other end sees the end of the stream.
  void close() noexcept {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }
  /// Closes without a farewell: the other end sees a reset.
  void reset() noexcept {
    const linger none{.l_onoff = 1, .l_linger = 0};
    static_cast<void>(::setsockopt(number_, SOL_SOCKET, SO_LINGER, &none, sizeof none));
    close();
  }

 private:
  template <class T>
  static T checked(T result, const char* what) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), std::string("the test's own ") + what);
    return result;
  }

  int number_ = -1;
};

}  // namespace test
