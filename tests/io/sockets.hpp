#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <weir/weir.hpp>

#include "../plain_socket.hpp"
#include "../runtime/support.hpp"

namespace test {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

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
