#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <weir/weir.hpp>

#include "../runtime/support.hpp"

namespace test {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

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

/// A stream of weir and the plain socket at its other end.
struct connection {
  weir::tcp_stream stream;
  plain_socket peer;
};

/// `small`: the kernel takes little before a writer has to wait.
inline connection connect_pair(bool small = false) {
  plain_socket listener = plain_socket::bound();
  connection made;
  made.peer = plain_socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (small) {
    // Before the connection is made: it decides about window and segments. With loopback's own, of 64 KiB, a small
    // window would be opened in steps of a fifth of a second.
    for (const plain_socket* end : {&listener, &made.peer}) {
      end->set(SOL_SOCKET, SO_RCVBUF, 16'384);
      end->set(SOL_SOCKET, SO_SNDBUF, 16'384);
      end->set(IPPROTO_TCP, TCP_MAXSEG, 1'000);
    }
  }
  listener.listen(1);
  made.peer.connect(listener.local());
  made.stream = weir::tcp_stream::adopt(listener.accept().release());
  return made;
}

/// A sequence of bytes in which each knows its place.
constexpr std::byte pattern(std::size_t i) noexcept {
  return static_cast<std::byte>((i ^ (i >> 7) ^ (i >> 15)) * 167 + 13);
}
inline void fill_pattern(std::span<std::byte> bytes, std::size_t from = 0) noexcept {
  for (std::byte& b : bytes) b = pattern(from++);
}
inline bool is_pattern(std::span<const std::byte> bytes, std::size_t from = 0) noexcept {
  for (const std::byte b : bytes) {
    if (b != pattern(from++)) return false;
  }
  return true;
}

/// What `f` fails with.
template <class F>
std::string refusal_of(F f) {
  try {
    f();
  } catch (const std::system_error& e) {
    return e.what();
  }
  return "it was not refused";
}

/// The sentence that an exception with this result says; empty for a value.
template <class T>
std::string sentence_of(const weir::result<T>& r) {
  return r.has_value() ? std::string() : unobserved::what(r.exception());
}

/// Lets everything that can happen without the outside happen: so many turns of this worker that its reactor has been
/// asked, too.
inline weir::task<> settle_down(int yields = 600) {
  for (int i = 0; i < yields; ++i) co_await weir::yield();
}

/// Completes with true when `fn` says so, and gives up after a while. For what another thread or the kernel is about to
/// do.
template <class F>
weir::task<bool> eventually(F fn) {
  const weir::time_point latest = weir::now() + std::chrono::seconds(20);
  while (!fn()) {
    if (weir::now() > latest) co_return false;
    co_await weir::yield();
  }
  co_return true;
}

}  // namespace test
