#include "unix_socket.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>

#include "../unique_descriptor.hpp"
#include "socket_options.hpp"
#include "system_calls.hpp"

namespace weir::detail {

namespace {

namespace calls = system_calls;

/// Whether there is a socket's file without a socket. Asked by a socket that cannot be accepted where one listens for
/// connections, so that nobody notices: the kernel refuses it by its type, if there is anybody.
bool is_stale(int number, int type, const unix_endpoint& path) noexcept {
  calls::file_identity which;
  if (!path.is_path() || calls::socket_file(number, path, which) != 0) return false;
  const unique_descriptor probe(calls::make_unix_socket(type == SOCK_DGRAM ? SOCK_STREAM : SOCK_DGRAM));
  return probe && calls::connect(probe.number(), path) == -ECONNREFUSED;
}

int bind_or_replace(int number, int type, const unix_endpoint& local, bool replace_stale) noexcept {
  const int result = calls::bind(number, local);
  if (result != -EADDRINUSE || !replace_stale || !is_stale(number, type, local)) return result;
  calls::remove_socket_file(number, local);
  return calls::bind(number, local);
}

/// What it is called: what it is connected to, or bound to; the number says the rest.
std::string what_names(int number) {
  unix_endpoint named;
  if (calls::peer_name(number, named) == 0 && named) return named.to_string();
  if (calls::local_name(number, named) == 0 && named) return named.to_string();
  return {};
}

descriptor_handle take(int number, std::string name) {
  return descriptor_handle(descriptor::adopt(number, descriptor::kind::socket, std::move(name)));
}

void make_ours(int number, int type, const char* what) {
  const int fits = calls::is_unix_socket(number, type);
  if (fits == 0) {
    fail_socket(EPROTOTYPE, "adopt", fmt::format("fd {} as {} (it is another kind)", number, what));
  }
  const int result = fits < 0 ? fits : calls::make_non_blocking(number);
  if (result < 0) fail_socket(-result, "adopt", fmt::format("fd {} as {}", number, what));
}

}  // namespace

socket_file::socket_file(int number, const unix_endpoint& bound) noexcept : number_(number) {
  calls::file_identity which;
  if (!bound.is_path() || calls::socket_file(number, bound, which) != 0) return;
  path_ = bound;
  device_ = which.device;
  inode_ = which.inode;
}

void socket_file::remove() noexcept {
  const calls::file_identity ours{.device = device_, .inode = inode_};
  calls::file_identity which;
  if (path_ && calls::socket_file(number_, path_, which) == 0 && which == ours) {
    calls::remove_socket_file(number_, path_);
  }
  forget();
}

bound_unix_socket bind_unix(int type, const unix_endpoint& local, bool replace_stale, bool keep_file) {
  if (local == unix_endpoint()) fail_socket(EADDRNOTAVAIL, "bind", local.to_string());
  unique_descriptor made(calls::make_unix_socket(type));
  int result = made ? bind_or_replace(made.number(), type, local, replace_stale) : made.number();
  if (result < 0) fail_socket(-result, "bind", local.to_string());
  bound_unix_socket bound;
  if (!keep_file) bound.file = socket_file(made.number(), local);
  std::string name = what_names(made.number());
  bound.socket = take(made.release(), std::move(name));
  return bound;
}

descriptor_handle connect_unix_datagrams(const unix_endpoint& peer) {
  if (!peer) fail_socket(EDESTADDRREQ, "connect", peer.to_string());
  unique_descriptor made(calls::make_unix_socket(SOCK_DGRAM));
  int result = made ? calls::bind(made.number(), unix_endpoint::any()) : made.number();
  if (result == 0) result = calls::connect(made.number(), peer);
  if (result < 0) fail_socket(-result, "connect", peer.to_string());
  std::string name = peer.to_string();
  return take(made.release(), std::move(name));
}

std::pair<descriptor_handle, descriptor_handle> make_unix_pair(int type) {
  std::array<int, 2> numbers{-1, -1};
  const int result = calls::make_unix_pair(type, numbers);
  if (result < 0) fail_socket(-result, "pair", "of unix sockets");
  unique_descriptor first(numbers[0]);
  unique_descriptor second(numbers[1]);
  descriptor_handle one = take(first.release(), {});
  return {std::move(one), take(second.release(), {})};
}

descriptor_handle adopt_unix(int number, int type, const char* what) {
  make_ours(number, type, what);
  std::string name = what_names(number);
  return take(number, std::move(name));
}

descriptor_handle adopt_unix_listener(int number, int type) {
  constexpr const char* what = "a unix listener";
  make_ours(number, type, what);
  if (calls::is_listening(number) != 1) {
    fail_socket(EINVAL, "adopt", fmt::format("fd {} as {} (it does not listen)", number, what));
  }
  std::string name = what_names(number);
  return take(number, std::move(name));
}

void listen_unix(const descriptor_handle& bound, int backlog) {
  const int result = calls::listen(bound.number(), backlog);
  if (result != 0) fail_socket(-result, "listen", bound.get()->name());
}

unix_endpoint local_unix_endpoint_of(const descriptor_handle& socket) {
  const descriptor& target = open_socket(socket, "local_endpoint of");
  unix_endpoint local;
  const int result = calls::local_name(target.number(), local);
  if (result != 0) fail_socket(-result, "local_endpoint of", target.name());
  return local;
}

unix_endpoint peer_unix_endpoint_of(const descriptor_handle& socket) {
  const descriptor& target = open_socket(socket, "peer_endpoint of");
  unix_endpoint peer;
  const int result = calls::peer_name(target.number(), peer);
  if (result != 0 && result != -ENOTCONN) fail_socket(-result, "peer_endpoint of", target.name());
  return peer;
}

unix_credentials peer_credentials_of(const descriptor_handle& socket) {
  const descriptor& target = open_socket(socket, "peer_credentials of");
  unix_credentials who;
  const int result = calls::peer_credentials(target.number(), who);
  if (result != 0) fail_socket(-result, "peer_credentials of", target.name());
  return who;
}

}  // namespace weir::detail
