#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "../../runtime/clock.hpp"
#include "../../runtime/detail/function.hpp"
#include "../../runtime/detail/run_queue.hpp"
#include "../simulation_options.hpp"
#include "simulated_disk.hpp"
#include "simulated_signals.hpp"
#include "simulated_socket.hpp"
#include "simulated_tcp.hpp"
#include "simulated_udp.hpp"
#include "simulated_unix.hpp"

namespace weir::detail {

class runtime_core;

/// The kernel of a simulation: descriptor numbers, dice, and what happens at which virtual time. Sockets, files and
/// signals are in parts of their own. Used by the simulation's thread only; out of memory ends the program.
///
/// Numbers begin where no real descriptor comes, and tell to which simulation they belong: a number can be closed from
/// outside, and after its simulation has ended.
class simulated_kernel {
 public:
  static constexpr int first_number = 1 << 24;
  static constexpr bool is_simulated(int number) noexcept { return number >= first_number; }

  simulated_kernel(runtime_core& world, std::uint64_t seed);
  simulated_kernel(const simulated_kernel&) = delete;
  simulated_kernel& operator=(const simulated_kernel&) = delete;
  ~simulated_kernel();

  /// That of the calling worker, or null when it is none of a simulation's.
  static simulated_kernel* here() noexcept;
  /// That of a simulated number, or null when its simulation has ended.
  static simulated_kernel* of(int number) noexcept;
  /// The number is given back. Also when its simulation has ended.
  static void close(int number) noexcept;

  // How it behaves.
  simulated_network network;
  simulated_files files;

  [[nodiscard]] simulated_tcp& tcp() noexcept { return tcp_; }
  [[nodiscard]] simulated_udp& udp() noexcept { return udp_; }
  [[nodiscard]] simulated_unix& unix_sockets() noexcept { return unix_; }
  [[nodiscard]] simulated_disk& disk() noexcept { return disk_; }
  [[nodiscard]] simulated_signals& signals() noexcept { return signals_; }

  // ---- numbers

  /// The lowest free number for `object`, as kernels do; -EMFILE when there are 2^20 already.
  int enter(std::shared_ptr<simulated_object> object);
  /// The object of that number, or null when it has none or another kind.
  template <class T>
  [[nodiscard]] std::shared_ptr<T> find(int number) const noexcept {
    return std::dynamic_pointer_cast<T>(at(number));
  }
  [[nodiscard]] std::shared_ptr<simulated_object> at(int number) const noexcept;
  /// Calls `call` with the socket of that number: what it returns, or why there is none of that kind, as -errno.
  template <class Socket = simulated_socket, class Call>
  int ask(int number, Call call) {
    const std::shared_ptr<simulated_object> object = at(number);
    if (!object) return -EBADF;
    if (const auto socket = std::dynamic_pointer_cast<Socket>(object)) return call(*socket);
    return std::dynamic_pointer_cast<simulated_socket>(object) ? -EAFNOSUPPORT : -ENOTSOCK;
  }
  /// Which of `events` hold, and what poll(2) tells unasked; -EAGAIN when nothing does.
  int poll(int number, std::uint32_t events);
  [[nodiscard]] std::size_t open_numbers() const noexcept { return open_; }
  /// The same in every run, whatever other simulations there are.
  static std::uint64_t index_of(int number) noexcept;

  // ---- dice

  /// True with this probability.
  bool chance(double probability) noexcept;
  std::uint32_t below(std::uint32_t limit) noexcept { return random_.below(limit); }
  duration delay(duration least, duration jitter) noexcept;
  /// How many of `most` bytes a transfer moves, at least one.
  std::size_t part_of(std::size_t most, double partial) noexcept;

  // ---- time

  [[nodiscard]] time_point now() const noexcept;
  [[nodiscard]] run_trace& trace() noexcept;
  /// Calls `then` at `due`, after everything that was put there before.
  void schedule(time_point due, std::function<void()> then);
  [[nodiscard]] time_point next_event() const noexcept { return events_.empty() ? no_deadline : events_.front().due; }
  /// What is due by now.
  void run_events();

  // ---- what has changed

  /// Operations that wait for `object` may succeed now.
  void touch(const std::shared_ptr<simulated_object>& object);
  [[nodiscard]] bool has_touched() const noexcept { return !touched_.empty(); }
  [[nodiscard]] std::vector<std::shared_ptr<simulated_object>> take_touched() noexcept;

 private:
  struct event {
    time_point due;
    std::uint64_t sequence;
    std::function<void()> then;
  };
  struct later;

  void release(int number) noexcept;

  runtime_core& world_;
  random_numbers random_;
  std::size_t slot_;                                        // which of the simulations of this process
  std::vector<std::shared_ptr<simulated_object>> objects_;  // by number
  std::size_t first_free_ = 0;                              // no number below it is free
  std::size_t open_ = 0;
  std::vector<event> events_;  // a heap, nearest first
  std::uint64_t scheduled_ = 0;
  std::vector<std::shared_ptr<simulated_object>> touched_;
  simulated_tcp tcp_{*this};
  simulated_udp udp_{*this};
  simulated_unix unix_{*this};
  simulated_disk disk_{*this};
  simulated_signals signals_{*this};
};

}  // namespace weir::detail
