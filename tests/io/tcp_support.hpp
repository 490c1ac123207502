#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <utility>

#include <weir/io/detail/simulated_kernel.hpp>
#include <weir/weir.hpp>

#include "open_descriptors.hpp"
#include "sockets.hpp"

namespace test {

/// Runs `main` in a runtime of its own on one worker, and looks for descriptors that stay open.
template <class T>
T run_checked(weir::task<T> main, weir::runtime_options options = {.workers = 1}) {
  const no_descriptor_leaks none;
  return weir::run(std::move(main), options);
}

/// Runs what `main` returns with real descriptors, and in simulations of some seeds, where none may stay open either.
void run_everywhere(main_function<void> main);
template <class F>
  requires std::invocable<F&>
void run_everywhere(F main) {
  run_everywhere(main_function<void>(main));
}
/// Whether system calls of the test's own may be tried with it.
template <class Socket>
bool is_real(const Socket& socket) {
  return socket.native_handle() < weir::detail::simulated_kernel::first_number;
}

/// Both ends of a connection, made by the library.
struct both_ends {
  weir::tcp_stream client;
  weir::tcp_stream server;
};
weir::task<both_ends> connect_through(weir::tcp_listener& listener);
/// On loopback, without a listener that stays.
weir::task<both_ends> connect_both();
/// Ends that take little at once.
both_ends small_ends();

/// What error sentences call it.
std::string name_of(const weir::tcp_stream& stream);
/// Whether `number` is no open descriptor.
bool is_free(int number);

/// Accepts so many connections, and gives back what comes over them.
weir::task<> serve_echo(weir::tcp_listener& listener, int connections);
/// Connects, sends messages of many sizes, and wants them back.
weir::task<> chat(weir::endpoint server, std::size_t rounds);
/// `clients` that chat at once, each on its own connection to an echo server.
weir::task<> chat_many(int clients, std::size_t rounds);

/// Sends `size` bytes from each end to the other at the same time, and then the end.
weir::task<> both_ways_at_once(both_ends ends, std::size_t size);

}  // namespace test
