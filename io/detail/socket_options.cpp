#include "socket_options.hpp"

#include <fmt/format.h>

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

descriptor_handle adopt_bound(int number) {
  std::string name = local_endpoint_of(number, fmt::format("fd {}", number)).to_string();
  return descriptor_handle(descriptor::adopt(number, descriptor::kind::socket, std::move(name)));
}

}  // namespace weir::detail
