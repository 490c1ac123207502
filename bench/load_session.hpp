#pragma once
// What a load run knows apart from how bytes are moved: the connections, what each has sent and
// expects, the phases, the latencies. The engines (load_uring.cpp, load_epoll.cpp) move bytes.

#include "byte_pattern.hpp"
#include "histogram.hpp"
#include "load_client.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bench {

class load_session {
 public:
  using clock = std::chrono::steady_clock;

  /// Connects everything, one connection after the other, and owes each its first messages.
  explicit load_session(const load_options& options);

  std::size_t size() const noexcept { return connections_.size(); }
  int descriptor(std::size_t index) const noexcept { return connections_[index].descriptor; }

  /// To be called once after each wait. Reads the clock for everything that the wait brought
  /// (so a latency includes what the client's own turn adds) and begins phases that are due.
  void begin_turn();
  bool finished() const noexcept { return phase_ == load_phase::finished; }

  /// What is to be sent next; empty when nothing is. Stays the same until sent() is called.
  std::span<const std::byte> to_send(std::size_t index) const noexcept {
    const connection& c = connections_[index];
    return pattern_.from(c.send_position, c.unsent);
  }
  void sent(std::size_t index, std::size_t bytes) noexcept {
    connection& c = connections_[index];
    if (c.over) return;  // given up while the send was in flight
    c.send_position = pattern_.advance(c.send_position, bytes);
    c.unsent -= bytes;
  }

  /// Checks what came, counts the messages that it completes, and owes new ones for them.
  void received(std::size_t index, std::span<const std::byte> bytes);
  /// The peer ended the stream (error 0) or an operation failed.
  void ended(std::size_t index, int error, const char* operation);

  load_result result(std::string engine) const;

 private:
  struct connection {
    int descriptor = -1;
    bool over = false;  // nothing more is sent or expected
    std::size_t send_position = 0;
    std::size_t receive_position = 0;
    std::size_t unsent = 0;
    std::size_t missing = 0;       // bytes still to come for what was sent or is to be sent
    std::size_t partial = 0;       // bytes of the oldest message that have come
    std::uint32_t first_time = 0;  // index of the oldest message's time

    connection() = default;
    ~connection();
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
  };

  void connect_all();
  void owe(std::size_t index, std::size_t messages) noexcept;
  void enter(load_phase next);
  void half_close_all();
  void give_up(connection& c, std::string why);

  load_options options_;
  byte_pattern pattern_;
  std::vector<connection> connections_;
  std::vector<std::uint64_t> times_;  // `depth` of each connection: when its messages became due to be sent
  std::size_t live_ = 0;              // connections that are not over
  std::size_t waiting_ = 0;           // of these, those that wait for an answer
  std::uint64_t answered_ = 0;        // in this phase
  std::uint64_t now_ = 0;
  load_phase phase_ = load_phase::warm_up;
  clock::time_point phase_end_;
  clock::time_point measured_begin_;
  double cpu_at_begin_ = 0;
  histogram latencies_;
  load_result result_;
};

/// The engines. load_uring returns false, before any byte has moved, where the kernel does not
/// offer what it needs (a ring with deferred task work, multishot receive): Linux 6.1.
bool load_uring(load_session& session);
void load_epoll(load_session& session);

}  // namespace bench
