#include <doctest/doctest.h>

#include <weir/runtime/detail/run_queue.hpp>
#include <weir/weir.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

#include "sockets.hpp"
#include "tcp_support.hpp"

// Cancellations at every moment of an operation's life, which the seed picks: whatever happens, no byte, connection or
// descriptor is lost.

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

void expect(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

constexpr std::uint64_t seeds = test::scaled(400, 60);
constexpr weir::simulation_options small_parts = {.network = {.receive_buffer = 64, .partial = 0.2}};

/// The dice of a test: from the seed, like everything else.
class dice {
 public:
  explicit dice(std::uint64_t seed) : random_(seed) {}
  weir::duration moment() { return std::chrono::microseconds(random_.below(300)); }
  bool toss() { return random_.below(2) != 0; }

 private:
  weir::detail::random_numbers random_;
};

task<> send_patiently(tcp_stream& to, std::span<const std::byte> bytes) {
  co_await to.write_all(bytes);
  to.shutdown(weir::direction::write);
}

/// Gives up again and again, and goes on where it stands.
task<> send_impatiently(tcp_stream& to, std::span<const std::byte> bytes, dice& random) {
  while (!bytes.empty()) {
    auto r = co_await as_result(with_timeout(random.moment(), to.write_all(bytes)));
    expect(r.has_value() || r.error() == std::errc::timed_out, "a write failed");
    expect(!r.has_value() || to.bytes_written() == bytes.size(), "not all was written");
    bytes = bytes.subspan(to.bytes_written());
  }
  to.shutdown(weir::direction::write);
}

task<> receive_patiently(tcp_stream& from, std::vector<std::byte>& into) {
  std::array<std::byte, 50> part;
  while (std::size_t n = co_await from.read_some(part)) into.insert(into.end(), part.begin(), part.begin() + n);
}

task<> receive_impatiently(tcp_stream& from, std::vector<std::byte>& into, dice& random) {
  std::array<std::byte, 50> part;
  for (;;) {
    bool end = false;
    if (random.toss()) {
      auto r = co_await as_result(with_timeout(random.moment(), from.read_some(part)));
      expect(r.has_value() || r.error() == std::errc::timed_out, "a read failed");
      end = r.has_value() && *r == 0;
    } else {
      auto r = co_await as_result(with_timeout(random.moment(), from.read_exactly(part)));
      end = !r.has_value() && r.error() == weir::errc::end_of_stream;
      expect(end || r.has_value() || r.error() == std::errc::timed_out, "a read failed");
    }
    into.insert(into.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(from.bytes_read()));
    if (end) co_return;
  }
}

}  // namespace

TEST_CASE("simulated cancellation: no byte is lost, whoever gives up when") {
  int timeouts = 0;
  const auto program = [&](weir::simulation& world) -> task<> {
    dice random(world.seed());
    both_ends ends = co_await connect_both();
    std::vector<std::byte> sent(2000);
    test::fill_pattern(sent);
    std::vector<std::byte> got;
    co_await with_task_group([&](task_group& group) -> task<> {
      if (world.seed() % 2 == 0) {
        group.spawn(send_impatiently(ends.client, sent, random));
      } else {
        group.spawn(send_patiently(ends.client, sent));
      }
      if (world.seed() % 3 == 0) {
        group.spawn(receive_patiently(ends.server, got));
      } else {
        group.spawn(receive_impatiently(ends.server, got, random));
      }
      co_await group.join();
    });
    expect(got == sent, "what was received is not what was sent");
    ++timeouts;
  };
  weir::explore(seeds, program, small_parts);
  CHECK(timeouts == static_cast<int>(seeds));
}

TEST_CASE("simulated cancellation: a connection that was not accepted stays in the queue") {
  int given_up = 0;
  const auto program = [&](weir::simulation& world) -> task<> {
    dice random(world.seed());
    auto listener = tcp_listener::bind(endpoint::loopback(1));
    int accepted = 0;
    co_await with_task_group([&](task_group& group) -> task<> {
      auto client = [](weir::duration when) -> task<> {
        co_await weir::sleep_for(when);
        tcp_stream stream = co_await tcp_stream::connect(endpoint::loopback(1));
        std::array<std::byte, 1> end;
        const std::size_t n = co_await stream.read_some(end);
        expect(n == 0, "the end is missing");
      };
      for (int i = 0; i < 8; ++i) group.spawn(client, random.moment());
      while (accepted < 8) {
        auto r = co_await as_result(with_timeout(random.moment() / 4, listener.accept()));
        if (r.has_value()) ++accepted;
        if (!r.has_value()) ++given_up;
      }
      co_await group.join();
    });
    auto more = co_await as_result(with_timeout(1h, listener.accept()));
    expect(!more.has_value(), "there is a connection too many");
  };
  weir::explore(seeds, program);
  CHECK(given_up > static_cast<int>(seeds));
}

TEST_CASE("simulated cancellation: who gives up connecting leaves no connection behind") {
  int given_up = 0;
  int connected = 0;
  const auto program = [&](weir::simulation& world) -> task<> {
    dice random(world.seed());
    auto listener = tcp_listener::bind(endpoint::loopback(1));
    auto serve = [&]() -> task<> {
      for (;;) {
        tcp_stream stream = co_await listener.accept();
        std::array<std::byte, 1> end;
        auto r = co_await as_result(with_timeout(1h, stream.read_some(end)));
        expect(r.has_value() || r.error() == std::errc::connection_reset, "somebody is still there");
      }
    };
    co_await with_task_group([&](task_group& group) -> task<> {
      group.spawn(serve);
      for (int i = 0; i < 10; ++i) {
        auto r = co_await as_result(with_timeout(random.moment(), tcp_stream::connect(endpoint::loopback(1))));
        expect(r.has_value() || r.error() == std::errc::timed_out, "a connect failed");
        ++(r.has_value() ? connected : given_up);
      }
      co_await weir::sleep_for(10h);
      expect(world.open_descriptors() == 1, "a socket was left behind");
      group.cancel();
    });
  };
  weir::explore(seeds, program);
  CHECK(given_up > static_cast<int>(seeds));
  CHECK(connected > static_cast<int>(seeds));
}

TEST_CASE("simulated cancellation: a group that is cancelled while everything is under way leaves nothing open") {
  const auto program = [&](weir::simulation& world) -> task<> {
    dice random(world.seed());
    auto r = co_await as_result(with_timeout(10 * random.moment(), test::chat_many(3, 5)));
    expect(r.has_value() || r.error() == std::errc::timed_out, "the chat failed");
    expect(world.open_descriptors() == 0, "a socket was left behind");
  };
  weir::explore(seeds / 4, program);
}

TEST_CASE("simulated cancellation: signals and files") {
  const auto program = [&](weir::simulation& world) -> task<> {
    dice random(world.seed());
    weir::signal_set set{SIGTERM};
    int raised = 0;
    int taken = 0;
    std::vector<std::byte> line(10);
    test::fill_pattern(line);
    std::uint64_t length = 0;
    {
      auto log = co_await weir::file::open("log", weir::file_mode::write | weir::file_mode::create);
      for (int i = 0; i < 10; ++i) {
        if (random.toss()) {
          world.raise(SIGTERM);
          ++raised;
        }
        auto signal = co_await as_result(with_timeout(random.moment(), set.wait()));
        if (signal.has_value()) ++taken;
        auto written = co_await as_result(with_timeout(random.moment(), log.write_some(line)));
        if (written.has_value()) length += *written;
        expect(log.position() == length, "the position is not where the bytes end");
        auto opened = co_await as_result(with_timeout(random.moment(), weir::file::open("log")));
        expect(opened.has_value() || opened.error() == std::errc::timed_out, "an open failed");
      }
      expect(log.size() == length, "bytes were written that nobody knows of");
    }
    while (taken < raised) {
      co_await set.wait();
      ++taken;
    }
    auto more = co_await as_result(with_timeout(1h, set.wait()));
    expect(!more.has_value(), "there is a signal too many");
    expect(world.open_descriptors() == 1, "a file was left open");
  };
  weir::explore(seeds, program);
}
