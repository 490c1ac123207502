#include "known_servers.hpp"

#include "ring_access.hpp"

#include <fmt/format.h>

#include <unistd.h>
#include <set>
#include <stdexcept>
#include <utility>

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
      {"asio", "Asio", {"peer_asio", {}, {}}, needs::program, "libasio-dev"},
      {"go", "Go", {"peer_echo", {}, {{"GOMAXPROCS", "1"}}}, needs::program, "golang-go"},
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

std::string why_not(const known_server& server) {
  const ring_access& ring = probe_ring();
  if ((server.required == needs::ring && !ring.allowed) || (server.required == needs::deferred_ring && !ring.deferred))
    return fmt::format("{}. What needs it is left out.", ring.why_not);
  if (server.required == needs::program && access(sibling(server.command.executable).c_str(), X_OK) != 0)
    return fmt::format("{} is left out: what it needs is not installed ({}).", server.title, server.install);
  return {};
}

std::vector<const known_server*> runnable_servers(const std::vector<std::string>& names) {
  std::vector<const known_server*> result;
  std::set<std::string> reasons;
  for (const std::string& name : names) {
    const known_server& server = find_server(name);
    std::string reason = why_not(server);
    if (reason.empty()) {
      result.push_back(&server);
    } else if (const auto [said, is_new] = reasons.insert(std::move(reason)); is_new) {
      fmt::print("{}\n", *said);
    }
  }
  return result;
}

}  // namespace bench
