#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/light_std.hpp"

namespace weir {

/// How the network of a simulation behaves. Probabilities are from 0 to 1, and the seed throws the dice. May be changed
/// while the simulation runs (simulation::network()); what is under way stays as it is.
struct simulated_network {
  /// How long a packet travels: this, and up to `jitter` more. One direction of a connection keeps its order.
  duration latency = std::chrono::microseconds(50);
  duration jitter = std::chrono::microseconds(50);
  /// How fast each direction of a connection is. 0: no limit.
  std::uint64_t bytes_per_second = 0;
  /// How much of a connection's data may be under way or unread, in each direction; then writers wait. Of a UDP socket
  /// it is how much may be unread; what comes then is lost.
  std::size_t receive_buffer = 65536;
  /// Of each read and write: that it moves less than it could.
  double partial = 0;
  /// Of each read and write that could move something: that the connection breaks instead. Both ends are told
  /// (ECONNRESET, EPIPE); what was under way may be lost.
  double reset = 0;
  /// Of each UDP datagram: that it is lost, that it comes twice, and that it is held up so that later ones overtake it.
  /// Those that are not held up keep their sender's order.
  double lose = 0;
  double duplicate = 0;
  double reorder = 0;
  /// Of each connect: that it fails with ECONNREFUSED although somebody listens.
  double refuse = 0;
  /// Of each accept: that it fails with EMFILE or ENOBUFS and the connection stays in the queue, or that the connection
  /// dies there (which accept() passes over).
  double accept_error = 0;
  /// While true nothing arrives. What is sent is sent again, later and later, until this is false or the sender gives
  /// up (ETIMEDOUT): after two minutes when it connects, after a quarter of an hour when it sends data. Datagrams are
  /// lost.
  bool down = false;
};

/// How the files of a simulation behave. They live in its memory, whatever the disk holds, and there are none at first.
struct simulated_files {
  /// How long an operation takes: this, and up to `jitter` more.
  duration latency = std::chrono::microseconds(100);
  duration jitter = std::chrono::microseconds(100);
  /// Of each read and write: that it moves less than it could.
  double partial = 0;
  /// Of each read, write, sync and change of a name or a size: that it fails with EIO.
  double error = 0;
  /// Bytes that all files together may hold. A write beyond them writes what fits, or fails with ENOSPC.
  std::uint64_t capacity = std::numeric_limits<std::uint64_t>::max();
};

struct simulation_options {
  /// Decides who runs next among ready tasks, how long packets travel, what fails. The same seed gives the same run.
  std::uint64_t seed = 0;
  simulated_network network{};
  simulated_files files{};
  /// As those of runtime_options.
  unsigned lease_buffers = 256;
  std::size_t lease_size = 4096;
  /// As runtime_options::on_error.
  void (*on_error)(const std::exception_ptr&) noexcept = nullptr;
};
static_assert(detail::trivially_destructible<simulation_options>);

}  // namespace weir
