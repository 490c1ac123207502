#include <doctest/doctest.h>

#include <weir/weir.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "sockets.hpp"
#include "tcp_support.hpp"

// TCP in a simulation: the same code as on a real network, and the same answers.

using namespace std::chrono_literals;
using test::both_ends;
using test::connect_both;
using test::sentence_of;
using weir::as_result;
using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::tcp_listener;
using weir::tcp_stream;
using weir::with_task_group;
using weir::with_timeout;

namespace {

/// Runs it for some seeds, and looks for descriptors that stay open.
template <class F>
void for_seeds(F main, weir::simulation_options options = {}, std::uint64_t seeds = 20) {
  const auto checked = [&](weir::simulation& world) -> task<> {
    co_await main();
    if (world.open_descriptors() != 0) throw std::runtime_error("descriptors stay open");
  };
  weir::explore(seeds, checked, options);
}

template <class T>
int error_of(const weir::result<T>& r) {
  return r.has_value() ? 0 : r.error().value();
}

std::vector<std::byte> some_bytes(std::size_t size) {
  std::vector<std::byte> made(size);
  test::fill_pattern(made);
  return made;
}

}  // namespace

TEST_CASE("simulated: what was made outside is refused, accept as well, and time goes on") {
  weir::simulation world{{.seed = 1}};
  auto outside = tcp_listener::bind(endpoint::loopback(0));
  auto program = [&]() -> task<> {
    auto accepted = co_await as_result(outside.accept());
    CHECK(accepted.error() == std::errc::not_supported);
    co_await weir::sleep_for(1h);
  };
  world.run(program());
}

TEST_CASE("simulated: a connection has names at both ends, and carries bytes both ways") {
  for_seeds([]() -> task<> {
    auto listener = tcp_listener::bind(endpoint::loopback(7000));
    CHECK(listener.local_endpoint() == endpoint::loopback(7000));
    both_ends ends = co_await test::connect_through(listener);
    CHECK(ends.client.peer_endpoint() == endpoint::loopback(7000));
    CHECK(ends.server.local_endpoint() == endpoint::loopback(7000));
    CHECK(ends.server.peer_endpoint() == ends.client.local_endpoint());
    const auto bytes = some_bytes(1000);
    std::vector<std::byte> got(1000);
    co_await ends.client.write_all(bytes);
    co_await ends.server.read_exactly(got);
    CHECK(got == bytes);
    co_await ends.server.write_all(std::span(bytes).first(10));
    const std::size_t n = co_await ends.client.read_some(got);
    CHECK(n == 10);
    CHECK(ends.client.bytes_read() == 10);
    ends.client.set_no_delay(false);
    ends.client.set_keep_alive(true);
    ends.client.set_receive_buffer(4096);
  });
}

TEST_CASE("simulated: much data both ways at once, through small windows and in parts") {
  for_seeds(
      []() -> task<> {
        both_ends ends = co_await connect_both();
        co_await test::both_ways_at_once(std::move(ends), 300'000);
      },
      {.network = {.bytes_per_second = 10'000'000, .receive_buffer = 5000, .partial = 0.3}}, 5);
}

TEST_CASE("simulated: a writer waits while the other end does not read") {
  for_seeds(
      []() -> task<> {
        both_ends ends = co_await connect_both();
        const auto bytes = some_bytes(1500);
        const std::size_t first = co_await ends.client.write_some(bytes);
        CHECK(first == 1000);
        auto second = co_await as_result(with_timeout(1h, ends.client.write_some(bytes)));
        CHECK(second.error() == std::errc::timed_out);
        std::vector<std::byte> got(300);
        const std::size_t n = co_await ends.server.read_some(got);
        CHECK(n == 300);
        const std::size_t third = co_await ends.client.write_some(bytes);
        CHECK(third == 300);
      },
      {.network = {.receive_buffer = 1000}});
}

TEST_CASE("simulated: packets take their time, and so does a slow line") {
  for_seeds(
      []() -> task<> {
        const weir::time_point begin = weir::now();
        both_ends ends = co_await connect_both();
        CHECK(weir::now() - begin >= 10ms);
        CHECK(weir::now() - begin <= 18ms);
        const auto bytes = some_bytes(10'000);
        std::vector<std::byte> got(10'000);
        const weir::time_point sent = weir::now();
        co_await ends.client.write_all(bytes);
        CHECK(weir::now() == sent);
        co_await ends.server.read_exactly(got);
        CHECK(weir::now() - sent >= 105ms);
        CHECK(weir::now() - sent <= 106ms);
      },
      {.network = {.latency = 5ms, .jitter = 1ms, .bytes_per_second = 100'000}});
}

TEST_CASE("simulated: the end of one way leaves the other one open") {
  for_seeds([]() -> task<> {
    both_ends ends = co_await connect_both();
    const auto bytes = some_bytes(10);
    co_await ends.client.write_all(bytes);
    ends.client.shutdown(weir::direction::write);
    std::vector<std::byte> got(20);
    auto all = co_await as_result(ends.server.read_exactly(got));
    CHECK(all.error() == weir::errc::end_of_stream);
    CHECK(ends.server.bytes_read() == 10);
    auto late = co_await as_result(ends.client.write_some(bytes));
    CHECK(error_of(late) == EPIPE);
    co_await ends.server.write_all(bytes);
    ends.server.close();
    const std::size_t n = co_await ends.client.read_some(got);
    CHECK(n == 10);
    const std::size_t end = co_await ends.client.read_some(got);
    CHECK(end == 0);
  });
}

TEST_CASE("simulated: a shutdown wakes the reader at its own end") {
  for_seeds([]() -> task<> {
    both_ends ends = co_await connect_both();
    co_await with_task_group([&](task_group& group) -> task<> {
      auto reader = [&]() -> task<> {
        std::array<std::byte, 4> into;
        const std::size_t n = co_await ends.client.read_some(into);
        CHECK(n == 0);
      };
      group.spawn(reader);
      co_await weir::sleep_for(1s);
      ends.client.shutdown(weir::direction::both);
      co_await group.join();
    });
  });
}

TEST_CASE("simulated: who closes with data unread resets the connection; what arrived before can be read") {
  for_seeds([]() -> task<> {
    both_ends ends = co_await connect_both();
    const auto bytes = some_bytes(10);
    co_await ends.server.write_all(bytes);
    co_await ends.client.write_all(bytes);
    co_await weir::sleep_for(1s);
    ends.server.close();
    co_await weir::sleep_for(1s);
    std::vector<std::byte> got(10);
    const std::size_t n = co_await ends.client.read_some(got);
    CHECK(n == 10);
    auto then = co_await as_result(ends.client.read_some(got));
    CHECK(error_of(then) == ECONNRESET);
    CHECK(sentence_of(then).starts_with("read 127.0.0.1:"));
    const std::size_t end = co_await ends.client.read_some(got);
    CHECK(end == 0);
    auto written = co_await as_result(ends.client.write_some(bytes));
    CHECK(error_of(written) == EPIPE);
  });
}

TEST_CASE("simulated: writing to who has closed is answered with a reset") {
  for_seeds([]() -> task<> {
    both_ends ends = co_await connect_both();
    ends.server.close();
    const auto bytes = some_bytes(10);
    co_await ends.client.write_all(bytes);  // on its way
    co_await weir::sleep_for(1s);
    auto then = co_await as_result(ends.client.write_all(bytes));
    CHECK(error_of(then) == EPIPE);
  });
}

TEST_CASE("simulated: a linger time of zero resets") {
  for_seeds([]() -> task<> {
    both_ends ends = co_await connect_both();
    ends.server.set_linger(0s);
    ends.server.close();
    std::array<std::byte, 4> into;
    auto r = co_await as_result(ends.client.read_some(into));
    CHECK(error_of(r) == ECONNRESET);
  });
}

TEST_CASE("simulated: closing ends what is in flight, and tells the other end") {
  for_seeds([]() -> task<> {
    both_ends ends = co_await connect_both();
    co_await with_task_group([&](task_group& group) -> task<> {
      auto reader = [&]() -> task<> {
        std::array<std::byte, 4> into;
        auto r = co_await as_result(ends.client.read_some(into));
        CHECK(r.error() == std::errc::operation_canceled);
        CHECK_FALSE(r.is_cancelled());
      };
      auto other = [&]() -> task<> {
        std::array<std::byte, 4> into;
        const std::size_t n = co_await ends.server.read_some(into);
        CHECK(n == 0);
      };
      group.spawn(reader);
      group.spawn(other);
      co_await weir::sleep_for(1s);
      ends.client.close();
      co_await group.join();
    });
    auto listener = tcp_listener::bind(endpoint::loopback(1));
    co_await with_task_group([&](task_group& group) -> task<> {
      auto accepting = [&]() -> task<> {
        auto r = co_await as_result(listener.accept());
        CHECK(r.error() == std::errc::operation_canceled);
      };
      group.spawn(accepting);
      co_await weir::sleep_for(1s);
      listener.close();
      co_await group.join();
    });
  });
}

TEST_CASE("simulated: connections that nobody has accepted are reset with the listener") {
  for_seeds([]() -> task<> {
    auto listener = tcp_listener::bind(endpoint::loopback(5));
    auto stream = co_await tcp_stream::connect(endpoint::loopback(5));
    co_await weir::sleep_for(1s);
    listener.close();
    std::array<std::byte, 4> into;
    auto r = co_await as_result(stream.read_some(into));
    CHECK(error_of(r) == ECONNRESET);
    auto late = co_await as_result(tcp_stream::connect(endpoint::loopback(5)));
    CHECK(sentence_of(late) == "connect 127.0.0.1:5: Connection refused");
  });
}

TEST_CASE("simulated: addresses and ports") {
  for_seeds([]() -> task<> {
    auto any = tcp_listener::bind(endpoint::any(80));
    auto again = [] { return tcp_listener::bind(endpoint::loopback(80)); };
    CHECK_THROWS_WITH_AS(again(), "bind 127.0.0.1:80: Address already in use", std::system_error);
    auto first = tcp_listener::bind(endpoint::loopback(0));
    auto second = tcp_listener::bind(endpoint::loopback(0));
    CHECK(first.local_endpoint().port() != second.local_endpoint().port());

    auto far = co_await tcp_stream::connect(endpoint::parse("10.1.2.3:80"));
    auto accepted = co_await any.accept();
    CHECK(accepted.local_endpoint() == endpoint::parse("10.1.2.3:80"));
    auto nowhere = co_await as_result(tcp_stream::connect(endpoint::loopback_v6(80)));
    CHECK(error_of(nowhere) == ECONNREFUSED);

    auto both = tcp_listener::bind(endpoint::any_v6(81));
    auto old = co_await tcp_stream::connect(endpoint::loopback(81));
    auto mapped = co_await both.accept();
    CHECK(mapped.peer_endpoint().to_string().starts_with("[::ffff:127.0.0.1]:"));
    auto other = co_await tcp_stream::connect(endpoint::parse("[::ffff:127.0.0.1]:80"));
    auto unmapped = co_await any.accept();
    CHECK(unmapped.peer_endpoint().to_string().starts_with("127.0.0.1:"));
    auto newer = co_await tcp_stream::connect(endpoint::loopback_v6(81));
    CHECK(newer.local_endpoint().is_v6());
  });
}

TEST_CASE("simulated: listeners may share a port, and each gets some of the connections") {
  int at_first = 0;
  int at_second = 0;
  for_seeds([&]() -> task<> {
    auto first = tcp_listener::bind(endpoint::loopback(9), {.reuse_port = true});
    auto second = tcp_listener::bind(endpoint::loopback(9), {.reuse_port = true});
    auto accepting = [](tcp_listener& from, int& count) -> task<> {
      for (;;) {
        auto stream = co_await from.accept();
        ++count;
      }
    };
    co_await with_task_group([&](task_group& group) -> task<> {
      group.spawn(accepting, std::ref(first), std::ref(at_first));
      group.spawn(accepting, std::ref(second), std::ref(at_second));
      for (int i = 0; i < 4; ++i) {
        auto stream = co_await tcp_stream::connect(endpoint::loopback(9));
      }
      co_await weir::sleep_for(1s);
      group.cancel();
    });
  });
  CHECK(at_first + at_second == 80);
  CHECK(at_first > 10);
  CHECK(at_second > 10);
}

TEST_CASE("simulated: a full queue is not answered, and whoever connects gives up in the end") {
  for_seeds([]() -> task<> {
    auto listener = tcp_listener::bind(endpoint::loopback(7), {.backlog = 1});
    auto first = co_await tcp_stream::connect(endpoint::loopback(7));
    auto second = co_await tcp_stream::connect(endpoint::loopback(7));
    auto third = co_await as_result(with_timeout(30s, tcp_stream::connect(endpoint::loopback(7))));
    CHECK(third.error() == std::errc::timed_out);
    const weir::time_point begin = weir::now();
    auto fourth = co_await as_result(tcp_stream::connect(endpoint::loopback(7)));
    CHECK(sentence_of(fourth) == "connect 127.0.0.1:7: Connection timed out");
    CHECK(weir::now() - begin > 1min);
    CHECK(weir::now() - begin < 3min);
    // Room is found at the next try.
    co_await with_task_group([&](task_group& group) -> task<> {
      auto accepting = [&]() -> task<> {
        co_await weir::sleep_for(5s);
        auto stream = co_await listener.accept();
      };
      group.spawn(accepting);
      auto fifth = co_await tcp_stream::connect(endpoint::loopback(7));
      co_await group.join();
    });
  });
}

TEST_CASE("simulated: a second reader is told") {
  for_seeds([]() -> task<> {
    both_ends ends = co_await connect_both();
    co_await with_task_group([&](task_group& group) -> task<> {
      auto reader = [&]() -> task<> {
        std::array<std::byte, 4> into;
        co_await ends.client.read_some(into);
      };
      group.spawn(reader);
      co_await weir::sleep_for(1s);
      std::array<std::byte, 4> into;
      auto r = co_await as_result(ends.client.read_some(into));
      CHECK(error_of(r) == EBUSY);
      group.cancel();
    });
  });
}

TEST_CASE("simulated: signals come from the simulation, to its own sets") {
  weir::simulation world;
  auto waits = [&]() -> task<> {
    weir::signal_set all{SIGTERM, SIGINT};
    weir::signal_set one{SIGTERM};
    world.raise(SIGTERM);
    world.raise(SIGTERM);
    world.raise(SIGUSR1);
    int which = co_await all.wait();
    CHECK(which == SIGTERM);
    which = co_await one.wait();
    CHECK(which == SIGTERM);
    which = co_await all.wait();
    CHECK(which == SIGTERM);
    auto none = co_await as_result(with_timeout(1h, all.wait()));
    CHECK(none.error() == std::errc::timed_out);
    auto later = [&]() -> task<> {
      co_await weir::sleep_for(1s);
      world.raise(SIGINT);
    };
    auto raising = weir::spawn(later);
    which = co_await all.wait();
    CHECK(which == SIGINT);
    co_await raising.join();
  };
  world.run(waits());
  CHECK(world.open_descriptors() == 0);
}

TEST_CASE("simulated: descriptors may outlive run(), and their simulation") {
  both_ends kept;
  tcp_stream longer;
  {
    weir::simulation world;
    auto make = [&]() -> task<> {
      kept = co_await connect_both();
      longer = std::move(kept.server);
    };
    world.run(make());
    CHECK(world.open_descriptors() == 2);
    kept.client.close();
    CHECK(world.open_descriptors() == 1);
    auto read = [&]() -> task<> {
      std::array<std::byte, 4> into;
      const std::size_t n = co_await longer.read_some(into);
      CHECK(n == 0);
    };
    world.run(read());
  }
  {
    // The number of `longer` is nobody else's now.
    weir::simulation world;
    auto make = [&]() -> task<> { kept = co_await connect_both(); };
    world.run(make());
    CHECK(world.open_descriptors() == 2);
    CHECK_THROWS_AS(longer.shutdown(weir::direction::both), std::system_error);
    longer.close();
    CHECK(world.open_descriptors() == 2);
    kept = {};
    CHECK(world.open_descriptors() == 0);
  }
}
