#pragma once
// What an idle connection costs a server in memory: thousands are opened, each is used once and
// then left alone. The kernel's own memory for sockets is not in it.

#include "known_servers.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace bench {

struct idle_options {
  std::vector<std::string> servers{"weir-uring", "weir-uring-leases", "weir-epoll",    "weir-epoll-leases",
                                   "raw-epoll",  "raw-uring",         "raw-uring-own", "asio",
                                   "go"};
  std::size_t connections = 10'000;
};

struct idle_row {
  const known_server* server;
  std::size_t connections = 0;  // beyond the first, which is the baseline
  std::uint64_t baseline = 0;   // resident bytes of the server with one connection
  double resident_each = 0;     // bytes
  double proportional_each = 0;
  std::string failure;
};

std::vector<idle_row> run_idle(const idle_options& options, const std::function<void(const std::string&)>& progress);

std::string idle_table(const std::vector<idle_row>& rows);
std::string to_json(const std::vector<idle_row>& rows);

}  // namespace bench
