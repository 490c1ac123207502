#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "../../runtime/clock.hpp"
#include "../endpoint.hpp"

namespace weir::detail {

class simulated_kernel;
class simulated_socket;

/// The network of a simulation: one machine that has every address, with TCP on it. What each call returns is what the
/// system call returns, or -errno; -EAGAIN for what has to wait.
///
/// As on Linux: a listener's queue is full when more than `backlog` wait in it, and then who connects is not answered
/// and tries again; closing with data unread resets the connection, and so does closing with a linger time of zero;
/// data that arrived before a reset can be read; data for a closed socket is answered with a reset.
class simulated_sockets {
 public:
  explicit simulated_sockets(simulated_kernel& kernel) noexcept : kernel_(kernel) {}

  int make(bool v6);
  int set_option(int number, int level, int option, const void* value, unsigned size);
  int bind(int number, const endpoint& local);
  int listen(int number, int backlog);
  int is_listening(int number);
  int local_name(int number, endpoint& name);
  int peer_name(int number, endpoint& name);
  int shutdown(int number, int how);

  /// The number of a connection that has come, and its other end.
  int accept(int number, endpoint& peer);
  /// Begins at the first call; 0 once it is connected.
  int connect(int number, const endpoint& peer);
  int receive(int number, std::span<std::byte> into);
  int send(int number, std::span<const std::byte> from);
  /// Which of `events` hold, and what poll(2) tells unasked; -EAGAIN when nothing does.
  int poll(int number, std::uint32_t events);

 private:
  friend class simulated_socket;
  using socket = std::shared_ptr<simulated_socket>;

  /// What travels. `to` may be closed, or have other worries, when it arrives.
  struct packet {
    enum class kind : std::uint8_t {
      hello,    // connect: wants a connection to the listener at to_address
      welcome,  // the listener has made `from` for `to`
      ready,    // `from`, made for a connection, goes into the queue of the listener `to`
      refusal,  // nobody listens there
      part,     // the next of what is on its way to `to`
      room,     // `from` has read `bytes`
      reset,
    };
    kind what;
    socket from;
    socket to;
    std::size_t bytes = 0;
  };

  void send_packet(packet p);
  void send_at(time_point due, packet p, unsigned attempt = 0);
  void send_again(packet p, unsigned attempt);
  void arrive(const packet& p, unsigned attempt);
  void arrive_hello(const packet& p, unsigned attempt);
  void arrive_part(const packet& p);
  /// Puts what has been queued for the other end on its way, behind what is on its way already.
  void send_part(simulated_socket& from, std::size_t bytes);
  void send_end(simulated_socket& from);
  void send_reset(simulated_socket& from);
  /// The connection is over: `error` is what the next operation gets.
  void fail(const socket& at, int error);
  /// Both ends fail.
  void break_connection(const socket& at);
  void close(simulated_socket& closing);
  void forget_name(const simulated_socket& bound);

  /// A listener for `address`, or null. Where several share it, the dice decide.
  socket listener_at(const endpoint& address);
  [[nodiscard]] bool is_taken(const endpoint& address, bool shareable) const;
  std::uint16_t free_port();

  simulated_kernel& kernel_;
  std::vector<simulated_socket*> bound_;
  std::uint16_t next_port_ = 32768;  // where Linux begins
};

}  // namespace weir::detail
