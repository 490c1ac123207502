#pragma once

#include <string>

#include "../endpoint.hpp"
#include "descriptor.hpp"

/// What TCP and UDP sockets do beside their operations. Each throws std::system_error with "verb object".
namespace weir::detail {

[[noreturn]] void fail_socket(int error, const char* verb, const std::string& object);

/// What `socket` holds; EBADF if it is closed.
descriptor& open_socket(const descriptor_handle& socket, const char* verb);

void set_socket_option(const descriptor_handle& socket, int level, int option, const void* value, unsigned size,
                       const char* verb);
template <class T>
void set_socket_option(const descriptor_handle& socket, int level, int option, const T& value, const char* verb) {
  set_socket_option(socket, level, option, &value, sizeof value, verb);
}

endpoint local_endpoint_of(int number, const std::string& name);
endpoint local_endpoint_of(const descriptor_handle& socket);
/// What `make` makes, bound to `local`.
descriptor_handle bind_socket(int (*make)(bool v6), const endpoint& local, bool reuse_address, bool reuse_port);
/// Refuses anything but a socket of the network of that type; `what`: "a UDP socket".
void check_network_socket(int number, int type, const char* what);
/// Takes over a socket that is called after what it is bound to.
descriptor_handle adopt_bound(int number);

}  // namespace weir::detail
