#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <weir/io/unix_messages.hpp>

#include "messages.hpp"
#include "tcp_support.hpp"

// UDP and unix sockets in simulations: what a seed can do to them. What they do when nothing goes wrong is in udp.cpp
// and unix*.cpp, which run there, too.

using test::bytes_of;
using test::message;
using test::receive;
using test::refusal_of;
using test::sentence_of;
using weir::as_result;
using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::udp_socket;
using weir::unix_datagram_socket;
using weir::unix_endpoint;
using weir::unix_listener;
using weir::unix_stream;
using weir::with_task_group;
using weir::with_timeout;

namespace {

/// What was received until nothing has come for a second.
task<std::vector<std::string>> receive_all(udp_socket& socket) {
  std::vector<std::string> all;
  for (;;) {
    auto r = co_await as_result(with_timeout(1s, receive(socket)));
    if (!r.has_value()) co_return all;
    all.push_back(r->text);
  }
}

/// Sends "0", "1", ... and returns which of them came, in the order in which they did.
task<std::vector<std::string>> send_numbers(int count, weir::duration pause = 0ns) {
  udp_socket to = udp_socket::bind(endpoint::loopback(0));
  udp_socket from = udp_socket::bind(endpoint::loopback(0));
  for (int i = 0; i < count; ++i) {
    const std::string text = std::to_string(i);
    co_await from.send_to(bytes_of(text), to.local_endpoint());
  }
  co_await weir::sleep_for(pause);
  co_return co_await receive_all(to);
}

/// The same in a simulation of its own.
std::vector<std::string> numbers_with(weir::simulated_network network, int count, std::uint64_t seed) {
  weir::simulation world({.seed = seed, .network = network});
  return world.run(send_numbers(count));
}

std::vector<std::string> numbers_to(int count) {
  std::vector<std::string> all(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) all[static_cast<std::size_t>(i)] = std::to_string(i);
  return all;
}

/// How often a connection of unix streams was broken, of twenty.
task<int> broken_of_twenty() {
  int broken = 0;
  for (int i = 0; i < 20; ++i) {
    auto [a, b] = unix_stream::pair();
    std::array<std::byte, 4> bytes{};
    auto written = co_await as_result(a.write_all(bytes));
    auto read = co_await as_result(b.read_exactly(bytes));
    if (!written.has_value()) {
      CHECK(written.error() == std::errc::connection_reset);
      CHECK(read.error() == std::errc::connection_reset);
    }
    if (!written.has_value() || !read.has_value()) ++broken;
    auto late = co_await as_result(a.write_all(bytes));
    if (!written.has_value()) CHECK(late.error() == std::errc::broken_pipe);
  }
  co_return broken;
}

}  // namespace

TEST_CASE("simulated udp: datagrams come in order, all of them and once, unless the dice say otherwise") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) CHECK(numbers_with({}, 50, seed) == numbers_to(50));
}

TEST_CASE("simulated udp: some are lost, some come twice, some overtake others; a seed repeats it") {
  std::size_t kept = 0;
  std::size_t doubled = 0;
  int out_of_order = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto left = numbers_with({.lose = 0.2}, 100, seed);
    kept += left.size();
    CHECK(numbers_with({.lose = 0.2}, 100, seed) == left);
    doubled += numbers_with({.duplicate = 0.1}, 100, seed).size();
    auto mixed = numbers_with({.reorder = 0.2}, 100, seed);
    out_of_order += static_cast<int>(mixed != numbers_to(100));
    std::sort(mixed.begin(), mixed.end());
    auto all = numbers_to(100);
    std::sort(all.begin(), all.end());
    CHECK(mixed == all);
  }
  CHECK(kept > 1500);
  CHECK(kept < 1700);
  CHECK(doubled > 2140);
  CHECK(doubled < 2260);
  CHECK(out_of_order == 20);
}

TEST_CASE("simulated udp: they take their time, and a slow line makes who sends wait") {
  const auto program = []() -> task<> {
    udp_socket to = udp_socket::bind(endpoint::loopback(0));
    udp_socket from = udp_socket::connect(to.local_endpoint());
    const std::string kilobyte(1000, 'x');
    const weir::time_point begin = weir::now();
    co_await with_task_group([&](task_group& group) -> task<> {
      auto sends = [&]() -> task<> {
        for (int i = 0; i < 20; ++i) co_await from.send(bytes_of(kilobyte));
        // Five of them may be on the line unsent.
        CHECK(weir::now() - begin >= 140ms);
        CHECK(weir::now() - begin <= 200ms);
        co_await from.writable();
      };
      group.spawn(sends());
      for (int i = 0; i < 20; ++i) {
        static_cast<void>(co_await receive(to));
        if (i == 0) CHECK(weir::now() - begin >= 15ms);
      }
      CHECK(weir::now() - begin >= 205ms);
      CHECK(weir::now() - begin <= 206ms);
      co_await group.join();
    });
  };
  weir::explore(20, program,
                {.network = {.latency = 5ms, .jitter = 0ns, .bytes_per_second = 100'000, .receive_buffer = 5000}});
}

TEST_CASE("simulated udp: what comes to a full queue is lost, and while the network is down all is") {
  const auto program = [](weir::simulation& world) -> task<> {
    const std::vector<std::string> first = co_await send_numbers(100, 1s);
    // Each is counted with one byte more.
    CHECK(first.size() == 37);
    CHECK(first == numbers_to(37));
    world.network().down = true;
    const std::vector<std::string> none = co_await send_numbers(10);
    CHECK(none.empty());
    world.network().down = false;
    const std::vector<std::string> again = co_await send_numbers(10);
    CHECK(again.size() == 10);
  };
  weir::explore(10, program, {.network = {.receive_buffer = 100}});
}

TEST_CASE("simulated udp: addresses, ports and broadcasts") {
  const auto program = []() -> task<> {
    // Ports of TCP are others.
    auto tcp = weir::tcp_listener::bind(endpoint::any(53));
    udp_socket any = udp_socket::bind(endpoint::any(53));
    CHECK(refusal_of([] { udp_socket::bind(endpoint::loopback(53)); }) == "bind 127.0.0.1:53: Address already in use");
    udp_socket both = udp_socket::bind(endpoint::any_v6(54));
    udp_socket asks = udp_socket::bind(endpoint::any(0));
    const endpoint far = endpoint::parse("10.1.2.3:53");
    co_await asks.send_to(bytes_of("far"), far);
    message got = co_await receive(any);
    CHECK(got.text == "far");
    CHECK(got.what.from.port() == asks.local_endpoint().port());
    co_await asks.send_to(bytes_of("mapped"), endpoint::loopback(54));
    message mapped = co_await receive(both);
    CHECK(mapped.what.from.to_string().starts_with("[::ffff:127.0.0.1]:"));
    co_await both.send_to(bytes_of("back"), mapped.what.from);
    message back = co_await receive(asks);
    CHECK(back.text == "back");
    CHECK(back.what.from == endpoint::loopback(54));
    auto no_way = co_await as_result(asks.send_to(bytes_of("x"), endpoint::loopback_v6(54)));
    CHECK(no_way.error() == std::errc::address_family_not_supported);
    const endpoint all = endpoint::parse("255.255.255.255:53");
    auto forbidden = co_await as_result(asks.send_to(bytes_of("x"), all));
    CHECK(sentence_of(forbidden) == "send to 255.255.255.255:53: Permission denied");
    asks.set_broadcast(true);
    co_await asks.send_to(bytes_of("to all"), all);
    message heard = co_await receive(any);
    CHECK(heard.text == "to all");
  };
  weir::explore(10, program);
}

TEST_CASE("simulated unix: streams break, and move less than they could") {
  int broken = 0;
  const auto breaks = [&]() -> task<> { broken += co_await broken_of_twenty(); };
  weir::explore(20, breaks, {.network = {.reset = 0.1}});
  CHECK(broken > 40);
  CHECK(broken < 120);
  int parts = 0;
  const auto in_parts = [&]() -> task<> {
    auto [a, b] = unix_stream::pair();
    const std::string sent(100, 'x');
    const std::size_t n = co_await a.write_some(bytes_of(sent));
    parts += static_cast<int>(n < 100);
  };
  weir::explore(100, in_parts, {.network = {.partial = 0.5}});
  CHECK(parts > 25);
  CHECK(parts < 75);
}

TEST_CASE("simulated unix: who closes with data unread resets, and a listener those that nobody has accepted") {
  const auto program = []() -> task<> {
    auto [a, b] = unix_stream::pair();
    co_await a.write_all(bytes_of("unread"));
    co_await b.write_all(bytes_of("read"));
    b.close();
    std::array<std::byte, 4> room{};
    co_await a.read_exactly(room);
    auto reset = co_await as_result(a.read_some(room));
    CHECK(reset.error() == std::errc::connection_reset);
    const std::size_t end = co_await a.read_some(room);
    CHECK(end == 0);
    auto late = co_await as_result(a.write_all(room));
    CHECK(late.error() == std::errc::broken_pipe);

    unix_listener listener = unix_listener::bind("/run/a.sock");
    unix_stream waits = co_await unix_stream::connect("/run/a.sock");
    listener.close();
    auto gone = co_await as_result(waits.read_some(room));
    CHECK(gone.error() == std::errc::connection_reset);
    auto nobody = co_await as_result(unix_stream::connect("/run/a.sock"));
    CHECK(sentence_of(nobody) == "connect /run/a.sock: No such file or directory");
  };
  weir::explore(20, program);
}

TEST_CASE("simulated unix: a writer waits for a slow reader") {
  const auto program = []() -> task<> {
    auto [from, to] = unix_stream::pair();
    co_await with_task_group([&, &a = from, &b = to](task_group& group) -> task<> {
      auto writes = [&]() -> task<> {
        const std::string sent(10'000, 'x');
        co_await a.write_all(bytes_of(sent));
        CHECK(weir::now() >= weir::time_point() + 8s);
      };
      group.spawn(writes());
      std::array<std::byte, 1000> part;
      for (int i = 0; i < 10; ++i) {
        co_await weir::sleep_for(1s);
        co_await b.read_exactly(part);
      }
      co_await group.join();
    });
  };
  weir::explore(20, program, {.network = {.receive_buffer = 1000}});
}

TEST_CASE("simulated unix: names are the simulation's own, and files stay until somebody removes them") {
  const auto program = [](weir::simulation& world) -> task<> {
    const std::string path = "/run/a.sock";
    unix_listener::bind(path, {.keep_file = true});
    auto refused = co_await as_result(unix_stream::connect(path));
    CHECK(refused.error() == std::errc::connection_refused);
    CHECK(refusal_of([&] { unix_listener::bind(path); }) == "bind /run/a.sock: Address already in use");
    unix_listener listener = unix_listener::bind(path, {.replace_stale = true});
    CHECK(refusal_of([&] { unix_listener::bind(path, {.replace_stale = true}); }) ==
          "bind /run/a.sock: Address already in use");
    auto wrong = [&] { return unix_datagram_socket::connect(path); };
    CHECK_THROWS_AS(wrong(), std::system_error);
    unix_stream client = co_await unix_stream::connect(path);
    unix_listener again = unix_listener::adopt(listener.release());
    unix_stream server = co_await again.accept();
    CHECK(server.local_endpoint() == path);
    again.close();
    CHECK(refusal_of([&] { unix_listener::bind(path); }) == "bind /run/a.sock: Address already in use");
    co_await weir::unlink(path);
    {
      auto log = co_await weir::file::open(path, weir::file_mode::write | weir::file_mode::create);
      CHECK(refusal_of([&] { unix_listener::bind(path); }) == "bind /run/a.sock: Address already in use");
    }
    CHECK(world.open_descriptors() == 2);
  };
  weir::explore(10, program);
}

TEST_CASE("simulated unix: descriptors are not passed on, with a sentence") {
  const auto program = []() -> task<> {
    auto [a, b] = unix_stream::pair();
    const std::array<int, 1> number = {a.native_handle()};
    auto sent = co_await as_result(a.send_descriptors(bytes_of("x"), number));
    CHECK(sentence_of(sent) ==
          fmt::format("send_descriptors to {}: descriptors are not passed on in a simulation: Operation not supported",
                      a.name()));
    std::array<std::byte, 4> room;
    auto got = co_await as_result(b.receive_descriptors(room));
    CHECK(got.error() == std::errc::not_supported);
  };
  weir::explore(5, program);
}

TEST_CASE("simulated unix: who gives up loses no message, whatever the moment") {
  const auto program = [](weir::simulation& world) -> task<> {
    weir::detail::random_numbers dice(world.seed());
    unix_datagram_socket to = unix_datagram_socket::bind(unix_endpoint::any());
    unix_datagram_socket from = unix_datagram_socket::connect(to.local_endpoint());
    int sent = 0;
    int got = 0;
    co_await with_task_group([&](task_group& group) -> task<> {
      auto sends = [&]() -> task<> {
        for (int i = 0; i < 40; ++i) {
          co_await weir::sleep_for(std::chrono::microseconds(dice.below(3)));
          auto r =
              co_await as_result(with_timeout(std::chrono::microseconds(1 + dice.below(3)), from.send(bytes_of("x"))));
          if (r.has_value()) ++sent;
        }
      };
      auto sending = group.spawn(sends());
      while (!sending.done() || got < sent) {
        auto r = co_await as_result(with_timeout(std::chrono::microseconds(1 + dice.below(5)), receive(to)));
        if (r.has_value()) ++got;
      }
      co_await group.join();
    });
    auto more = co_await as_result(with_timeout(1s, receive(to)));
    CHECK(!more.has_value());
    CHECK(got == sent);
    CHECK(got > 0);
  };
  weir::explore(50, program);
}
