#include <doctest/doctest.h>

#include <weir/weir.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

#include "sockets.hpp"
#include "tcp_support.hpp"

// What can go wrong in a simulated network, does.

using namespace std::chrono_literals;
using test::both_ends;
using test::connect_both;
using weir::as_result;
using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::tcp_listener;
using weir::tcp_stream;
using weir::with_task_group;
using weir::with_timeout;

namespace {

template <class T>
int error_of(const weir::result<T>& r) {
  return r.has_value() ? 0 : r.error().value();
}

}  // namespace

TEST_CASE("simulated faults: reads and writes move less than they could") {
  int short_reads = 0;
  int short_writes = 0;
  const auto program = [&]() -> task<> {
    both_ends ends = co_await connect_both();
    std::vector<std::byte> bytes(100);
    test::fill_pattern(bytes);
    const std::size_t written = co_await ends.client.write_some(bytes);
    short_writes += written < 100;
    co_await ends.client.write_all(std::span(bytes).subspan(written));
    co_await weir::sleep_for(1s);
    std::vector<std::byte> got(100);
    const std::size_t read = co_await ends.server.read_some(got);
    short_reads += read < 100;
    if (read < 100) co_await ends.server.read_exactly(std::span(got).subspan(read));
    CHECK(got == bytes);
  };
  weir::explore(100, program, {.network = {.partial = 0.5}});
  CHECK(short_reads > 25);
  CHECK(short_reads < 75);
  CHECK(short_writes > 25);
  CHECK(short_writes < 75);
}

TEST_CASE("simulated faults: connections break, and both ends hear of it") {
  int broken = 0;
  const auto program = [&]() -> task<> {
    both_ends ends = co_await connect_both();
    bool client_failed = false;
    bool server_failed = false;
    auto one = [](tcp_stream& stream, bool& failed) -> task<> {
      std::array<std::byte, 10> bytes{};
      for (int i = 0; i < 20; ++i) {
        auto w = co_await as_result(stream.write_all(bytes));
        auto r = co_await as_result(stream.read_exactly(bytes));
        if (w.has_value() && r.has_value()) continue;
        const int error = w.has_value() ? error_of(r) : error_of(w);
        if (error != ECONNRESET && error != EPIPE) throw std::runtime_error("another error");
        failed = true;
        co_return;
      }
    };
    co_await weir::when_all(one(ends.client, client_failed), one(ends.server, server_failed));
    // The last one to write may have gone already.
    if (client_failed || server_failed) ++broken;
  };
  weir::explore(100, program, {.network = {.reset = 0.01}});
  CHECK(broken > 20);
  CHECK(broken < 80);
}

TEST_CASE("simulated faults: who waits for bytes of a broken connection is woken") {
  const auto program = [](weir::simulation& world) -> task<> {
    both_ends ends = co_await connect_both();
    auto reader = [&]() -> task<> {
      std::array<std::byte, 10> bytes;
      auto r = co_await as_result(ends.client.read_some(bytes));
      CHECK(error_of(r) == ECONNRESET);
    };
    auto writer = [&]() -> task<> {
      co_await weir::sleep_for(1s);
      world.network().reset = 1;
      std::array<std::byte, 10> bytes{};
      auto r = co_await as_result(ends.server.write_some(bytes));
      CHECK(error_of(r) == ECONNRESET);
    };
    co_await weir::when_all(reader(), writer());
  };
  weir::explore(20, program);
}

TEST_CASE("simulated faults: connects are refused although somebody listens") {
  int refused = 0;
  const auto program = [&]() -> task<> {
    auto listener = tcp_listener::bind(endpoint::loopback(1));
    auto r = co_await as_result(tcp_stream::connect(endpoint::loopback(1)));
    if (!r.has_value()) CHECK(test::sentence_of(r) == "connect 127.0.0.1:1: Connection refused");
    refused += !r.has_value();
  };
  weir::explore(100, program, {.network = {.refuse = 0.3}});
  CHECK(refused > 15);
  CHECK(refused < 50);
}

TEST_CASE("simulated faults: accept fails and leaves the connection in the queue, or it dies there") {
  int failures = 0;
  int served = 0;
  int lost = 0;
  const auto program = [&]() -> task<> {
    auto listener = tcp_listener::bind(endpoint::loopback(1));
    co_await with_task_group([&](task_group& group) -> task<> {
      auto client = [&]() -> task<> {
        auto stream = co_await tcp_stream::connect(endpoint::loopback(1));
        std::array<std::byte, 1> one;
        auto r = co_await as_result(stream.read_some(one));
        ++(r.has_value() ? served : lost);
        if (!r.has_value()) CHECK(error_of(r) == ECONNRESET);
      };
      auto server = [&]() -> task<> {
        for (;;) {
          auto r = co_await as_result(listener.accept());
          if (r.has_value()) continue;
          CHECK((error_of(r) == EMFILE || error_of(r) == ENOBUFS));
          ++failures;
        }
      };
      auto serving = group.spawn(server);
      for (int i = 0; i < 5; ++i) co_await client();
      serving.request_cancellation();
      co_await group.join();
    });
  };
  weir::explore(40, program, {.network = {.accept_error = 0.4}});
  CHECK(served + lost == 200);
  CHECK(failures > 40);
  CHECK(lost > 10);
}

TEST_CASE("simulated faults: a network that is down delivers later, when it comes back in time") {
  const auto program = [](weir::simulation& world) -> task<> {
    both_ends ends = co_await connect_both();
    world.network().down = true;
    std::array<std::byte, 10> bytes{};
    co_await ends.client.write_all(bytes);
    auto nothing = co_await as_result(with_timeout(1min, ends.server.read_some(bytes)));
    CHECK(nothing.error() == std::errc::timed_out);
    world.network().down = false;
    co_await ends.server.read_exactly(bytes);
    CHECK(weir::now() < weir::time_point() + 5min);
  };
  weir::explore(20, program);
}

TEST_CASE("simulated faults: a network that stays down ends in timeouts") {
  const auto program = [](weir::simulation& world) -> task<> {
    both_ends ends = co_await connect_both();
    auto listener = tcp_listener::bind(endpoint::loopback(1));
    world.network().down = true;
    const weir::time_point begin = weir::now();
    auto connecting = co_await as_result(tcp_stream::connect(endpoint::loopback(1)));
    CHECK(error_of(connecting) == ETIMEDOUT);
    CHECK(weir::now() - begin > 1min);
    CHECK(weir::now() - begin < 3min);
    std::array<std::byte, 10> bytes{};
    co_await ends.client.write_all(bytes);
    auto answer = co_await as_result(ends.client.read_some(bytes));
    CHECK(error_of(answer) == ETIMEDOUT);
    CHECK(weir::now() - begin < 1h);
    // The other end, which has sent nothing, never learns.
    auto other = co_await as_result(with_timeout(24h, ends.server.read_some(bytes)));
    CHECK(other.error() == std::errc::timed_out);
  };
  weir::explore(20, program);
}

TEST_CASE("simulated faults: a slow peer holds up its writer, not others") {
  const auto program = []() -> task<> {
    auto listener = tcp_listener::bind(endpoint::loopback(1));
    both_ends slow = co_await test::connect_through(listener);
    both_ends quick = co_await test::connect_through(listener);
    std::vector<std::byte> bytes(5000);
    auto writes = [&](tcp_stream& to) -> task<weir::time_point> {
      co_await to.write_all(bytes);
      co_return weir::now();
    };
    auto reads = [](tcp_stream& from, weir::duration pause) -> task<> {
      std::array<std::byte, 500> part;
      for (int i = 0; i < 10; ++i) {
        co_await weir::sleep_for(pause);
        co_await from.read_exactly(part);
      }
    };
    auto times = co_await weir::when_all(writes(slow.client), writes(quick.client), reads(slow.server, 1s),
                                         reads(quick.server, 1ms));
    CHECK(std::get<0>(times) > weir::time_point() + 8s);
    CHECK(std::get<1>(times) < weir::time_point() + 1s);
  };
  weir::explore(20, program, {.network = {.receive_buffer = 1000}});
}
