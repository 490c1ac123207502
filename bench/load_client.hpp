#pragma once
// A closed-loop load client for echo servers on loopback: one thread, N connections, each with
// `depth` messages in flight, every byte that comes back compared with what was sent.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace bench {

enum class load_engine { automatic, uring, epoll };

/// Where a run stands. `counted` is an extra stretch after the measured one, for instruments that
/// would slow the server down; they are attached as `attaching` begins, and both sides are in
/// their stride again when `counted` does.
enum class load_phase { warm_up, measured, attaching, counted, draining, closing, finished };

struct load_options {
  std::uint16_t port = 0;
  unsigned connections = 64;
  unsigned size = 64;
  unsigned depth = 1;
  std::chrono::nanoseconds warm_up = std::chrono::milliseconds(200);
  std::chrono::nanoseconds measured = std::chrono::seconds(1);
  std::chrono::nanoseconds counted = {};
  load_engine engine = load_engine::automatic;
  /// Called on the client's thread as each phase begins.
  std::function<void(load_phase)> on_phase = {};
};

struct load_result {
  std::string engine;
  unsigned connections = 0;
  unsigned size = 0;
  unsigned depth = 0;
  std::uint64_t requests = 0;          // answered in the measured phase
  std::uint64_t counted_requests = 0;  // answered in the counted phase
  std::uint64_t total_requests = 0;    // answered and checked in the whole run
  double seconds = 0;                  // length of the measured phase
  double client_cpu_seconds = 0;       // of this thread, in the measured phase
  std::uint64_t p50_ns = 0;
  std::uint64_t p99_ns = 0;
  std::uint64_t p999_ns = 0;
  std::uint64_t errors = 0;  // connections with a wrong byte, an early end or a missing answer
  std::string first_error;

  bool correct() const noexcept { return errors == 0 && total_requests > 0; }
  double requests_per_second() const noexcept { return seconds > 0 ? static_cast<double>(requests) / seconds : 0; }
  double client_busy() const noexcept { return seconds > 0 ? client_cpu_seconds / seconds : 0; }
};

/// Runs to the end in bounded time, whatever the server does: connecting takes 10 s at most,
/// collecting the last answers and the server's end of stream 3 s each.
/// Throws std::runtime_error with a sentence when it cannot connect.
load_result run_load(const load_options& options);

std::string to_json(const load_result& result);

}  // namespace bench
