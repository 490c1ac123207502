#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "sockets.hpp"

namespace test {

/// A message as a text, and what was told of it.
template <class What>
struct message {
  std::string text;
  What what;
};

/// The next one of a socket for datagrams.
template <class Socket, class What = weir::detail::operation_value_t<decltype(std::declval<Socket&>().receive({}))>>
weir::task<message<What>> receive(Socket& socket, std::size_t room = 2000) {
  std::string text(room, '?');
  const What got = co_await socket.receive(std::as_writable_bytes(std::span(text)));
  text.resize(got.size);
  co_return message<What>{std::move(text), got};
}

}  // namespace test
