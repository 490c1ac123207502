#include "known_servers.hpp"

#include "ring_access.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace bench {

std::span<const known_server> known_servers() {
  static const std::vector<known_server> servers{
      {"weir-uring", "weir on io_uring", {"weir_echo", {}, {{"WEIR_BACKEND", "uring"}}}, needs::ring},
      {"weir-epoll", "weir on epoll", {"weir_echo", {}, {{"WEIR_BACKEND", "epoll"}}}, needs::nothing},
      {"weir-uring-leases",
       "weir on io_uring, leases",
       {"weir_echo", {"0", "0", "leases"}, {{"WEIR_BACKEND", "uring"}}},
       needs::ring},
      {"weir-epoll-leases",
       "weir on epoll, leases",
       {"weir_echo", {"0", "0", "leases"}, {{"WEIR_BACKEND", "epoll"}}},
       needs::nothing},
      {"weir-uring-spin",
       "weir on io_uring, spinning 50 us",
       {"weir_echo", {"0", "50"}, {{"WEIR_BACKEND", "uring"}}},
       needs::ring},
      {"weir-epoll-spin",
       "weir on epoll, spinning 50 us",
       {"weir_echo", {"0", "50"}, {{"WEIR_BACKEND", "epoll"}}},
       needs::nothing},
      {"raw-epoll", "raw epoll", {"raw_epoll_echo", {}, {}}, needs::nothing},
      {"raw-uring", "raw io_uring", {"raw_uring_echo", {"0", "shared"}, {}}, needs::deferred_ring},
      {"raw-uring-own", "raw io_uring, own buffers", {"raw_uring_echo", {"0", "own"}, {}}, needs::deferred_ring},
  };
  return servers;
}

const known_server& find_server(std::string_view name) {
  std::string names;
  for (const known_server& server : known_servers()) {
    if (server.name == name) return server;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", server.name);
  }
  throw std::invalid_argument(fmt::format("no server is called {}; there are {}", name, names));
}

std::vector<const known_server*> runnable_servers(const std::vector<std::string>& names) {
  const ring_access& ring = probe_ring();
  std::vector<const known_server*> result;
  bool left_out = false;
  for (const std::string& name : names) {
    const known_server& server = find_server(name);
    if ((server.required == needs::ring && !ring.allowed) ||
        (server.required == needs::deferred_ring && !ring.deferred)) {
      left_out = true;
    } else {
      result.push_back(&server);
    }
  }
  if (left_out) fmt::print("{}. What needs it is left out.\n", ring.why_not);
  return result;
}

}  // namespace bench
