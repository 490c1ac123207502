#pragma once
// Runs the load client against each server in turn, round after round, server and client on a
// core of their own. Machines drift by 30 % within minutes: only what is taken within one round
// is compared, so every ratio here is the median of the ratios of the rounds.

#include "known_servers.hpp"
#include "load_client.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace bench {

struct echo_options {
  std::vector<std::string> servers{"weir-uring", "weir-uring-leases", "weir-epoll", "raw-epoll",
                                   "raw-uring",  "raw-uring-own",     "asio",       "go"};
  std::vector<unsigned> connections{64, 512};
  unsigned size = 64;
  unsigned depth = 1;
  unsigned repeats = 9;  // many short rounds: the machine changes its speed within seconds
  std::chrono::nanoseconds warm_up = std::chrono::milliseconds(200);
  std::chrono::nanoseconds measured = std::chrono::milliseconds(500);
  std::chrono::nanoseconds counted = std::chrono::milliseconds(150);  // for system calls
  load_engine engine = load_engine::automatic;                        // the client's
};

/// One run of one server; NaN where something could not be measured.
struct echo_sample {
  double requests_per_second;
  double cpu_us;    // server CPU per request, all its threads
  double syscalls;  // of the server, per request
  double p50_us;
  double p99_us;
  double p999_us;
  double server_busy;  // CPU seconds per second
  double client_busy;  // near 1: the client is the limit and requests/s a lower bound
  double disturbed;    // part of the time in which the client was ready and somebody else ran
};

using echo_figure = double echo_sample::*;

struct echo_row {
  const known_server* server;
  unsigned connections;
  std::vector<echo_sample> rounds;

  double median(echo_figure figure) const;
};

struct echo_report {
  echo_options options;
  std::vector<echo_row> rows;
  std::vector<std::string> failures;  // wrong answers, dead servers: a sentence each
  std::string why_no_syscalls;        // empty when they were counted
  std::string client_engine;
  bool pinned = false;

  double cpu_vs_epoll(const echo_row& row) const;
  double requests_vs_epoll(const echo_row& row) const;
  /// Against the cheapest of the raw io_uring servers in each round: which of them wins depends on the machine.
  double cpu_vs_uring(const echo_row& row) const;
};

/// `progress` gets a line after each run.
echo_report run_echo(const echo_options& options, const std::function<void(const std::string&)>& progress);

}  // namespace bench
