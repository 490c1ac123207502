#include "unix.hpp"

#include <sys/socket.h>

#include <type_traits>

#include "unix_messages.hpp"

namespace weir {

// ---- unix_stream

detail::connect_unix_operation<unix_stream> unix_stream::connect(const unix_endpoint& peer) noexcept {
  return {SOCK_STREAM, peer};
}

std::pair<unix_stream, unix_stream> unix_stream::pair() {
  auto [one, other] = detail::make_unix_pair(SOCK_STREAM);
  return {unix_stream(std::move(one)), unix_stream(std::move(other))};
}

unix_stream unix_stream::adopt(int number) {
  return unix_stream(detail::adopt_unix(number, SOCK_STREAM, "a unix stream"));
}

// ---- listeners

namespace {

template <class Socket>
constexpr int type_of = std::is_same_v<Socket, unix_stream> ? SOCK_STREAM : SOCK_SEQPACKET;

}  // namespace

template <class Socket>
basic_unix_listener<Socket> basic_unix_listener<Socket>::bind(const unix_endpoint& local, unix_listen_options options) {
  detail::bound_unix_socket bound = detail::bind_unix(type_of<Socket>, local, options.replace_stale, options.keep_file);
  basic_unix_listener made(std::move(bound.socket), std::move(bound.file));
  detail::listen_unix(made.handle(), options.backlog);
  return made;
}

template <class Socket>
basic_unix_listener<Socket> basic_unix_listener<Socket>::adopt(int number) {
  return basic_unix_listener(detail::adopt_unix_listener(number, type_of<Socket>));
}

template class basic_unix_listener<unix_stream>;
template class basic_unix_listener<unix_seqpacket>;

}  // namespace weir
