#include "socket_options.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "system_calls.hpp"

namespace weir::detail {

void fail_socket(int error, const char* verb, const std::string& object) {
  throw std::system_error(error, std::generic_category(), fmt::format("{} {}", verb, object));
}

descriptor& open_socket(const descriptor_handle& socket, const char* verb) {
  if (!socket) fail_socket(EBADF, verb, "a closed socket");
  return *socket.get();
}

void set_socket_option(const descriptor_handle& socket, int level, int option, const void* value, unsigned size,
                       const char* verb) {
  const descriptor& target = open_socket(socket, verb);
  const int result = system_calls::set_socket_option(target.number(), level, option, value, size);
  if (result != 0) fail_socket(-result, verb, target.name());
}

endpoint local_endpoint_of(int number, const std::string& name) {
  endpoint local;
  const int result = system_calls::local_name(number, local);
  if (result != 0) fail_socket(-result, "local_endpoint of", name);
  return local;
}

endpoint local_endpoint_of(const descriptor_handle& socket) {
  const descriptor& target = open_socket(socket, "local_endpoint of");
  return local_endpoint_of(target.number(), target.name());
}

descriptor_handle bind_socket(int (*make)(bool v6), const endpoint& local, bool reuse_address, bool reuse_port) {
  if (!local) fail_socket(EADDRNOTAVAIL, "bind", local.to_string());  // the kernel would take it for 0.0.0.0:0
  const int number = make(local.is_v6());
  if (number < 0) fail_socket(-number, "bind", local.to_string());
  descriptor_handle made(descriptor::adopt(number, descriptor::kind::socket, local.to_string()));
  set_socket_option(made, SOL_SOCKET, SO_REUSEADDR, static_cast<int>(reuse_address), "bind");
  set_socket_option(made, SOL_SOCKET, SO_REUSEPORT, static_cast<int>(reuse_port), "bind");
  if (const int result = system_calls::bind(number, local); result != 0) {
    fail_socket(-result, "bind", local.to_string());
  }
  return made;
}

void check_network_socket(int number, int type, const char* what) {
  const int fits = system_calls::is_network_socket(number, type);
  if (fits == 0) fail_socket(EPROTOTYPE, "adopt", fmt::format("fd {} as {} (it is another kind)", number, what));
  if (fits < 0) fail_socket(-fits, "adopt", fmt::format("fd {} as {}", number, what));
}

descriptor_handle adopt_bound(int number) {
  std::string name = local_endpoint_of(number, fmt::format("fd {}", number)).to_string();
  return descriptor_handle(descriptor::adopt(number, descriptor::kind::socket, std::move(name)));
}

}  // namespace weir::detail
