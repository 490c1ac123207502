#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <vector>

#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "sockets.hpp"
#include "watchdog.hpp"

// Timeouts that run out all the time, at random points of reads, writes and accepts: no byte and no connection may get
// lost by it.

using test::connection;
using test::guarded_buffer;
using test::watchdog;
using weir::as_result;
using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::tcp_listener;
using weir::tcp_stream;
using weir::with_task_group;
using weir::with_timeout;

namespace {

std::uint64_t next_random(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

/// Writes the pattern in pieces, each under a timeout that often runs out in the middle.
task<> write_impatiently(tcp_stream& stream, std::span<const std::byte> bytes) {
  std::uint64_t random = 88172645463325252u;
  while (!bytes.empty()) {
    const std::size_t size = std::min<std::size_t>(bytes.size(), 1 + next_random(random) % 50'000);
    const auto patience = std::chrono::microseconds(next_random(random) % 100);
    auto r = co_await as_result(with_timeout(patience, stream.write_all(bytes.first(size))));
    REQUIRE((r.has_value() || r.error() == std::errc::timed_out));
    REQUIRE(stream.bytes_written() <= size);
    REQUIRE((r.has_value() ? stream.bytes_written() == size : stream.bytes_written() < size));
    bytes = bytes.subspan(stream.bytes_written());
  }
  stream.shutdown(weir::direction::write);
}

task<> read_impatiently(tcp_stream& stream, std::span<std::byte> into) {
  std::uint64_t random = 1442695040888963407u;
  std::size_t total = 0;
  while (total < into.size()) {
    const std::size_t size = std::min<std::size_t>(into.size() - total, 1 + next_random(random) % 20'000);
    const auto patience = std::chrono::microseconds(next_random(random) % 50);
    const std::span<std::byte> place = into.subspan(total, size);
    std::error_code error;
    if (next_random(random) % 2 == 0) {
      auto r = co_await as_result(with_timeout(patience, stream.read_some(place)));
      error = r.error();
      REQUIRE((!r.has_value() || *r == stream.bytes_read()));
    } else {
      auto r = co_await as_result(with_timeout(patience, stream.read_exactly(place)));
      error = r.error();
    }
    REQUIRE((!error || error == std::errc::timed_out));
    total += stream.bytes_read();
  }
}

task<> transfer_impatiently() {
  connection c = test::connect_pair(true);
  tcp_stream other = tcp_stream::adopt(c.peer.release());
  guarded_buffer sent(std::size_t{1} << 20);
  guarded_buffer got(std::size_t{1} << 20);
  test::fill_pattern(sent);
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(write_impatiently(c.stream, sent));
    group.spawn(read_impatiently(other, got));
    co_await group.join();
  });
  CHECK(test::is_pattern(got));
}

task<> connect_one_after_another(endpoint to, std::vector<endpoint>& made, int count) {
  for (int i = 0; i < count; ++i) {
    tcp_stream stream = co_await tcp_stream::connect(to);
    made.push_back(stream.local_endpoint());
    co_await weir::yield();
  }
}

task<> accept_impatiently(int count) {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  std::vector<endpoint> made;
  std::vector<endpoint> accepted;
  std::uint64_t random = 2862933555777941757u;
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(connect_one_after_another(listener.local_endpoint(), made, count));
    while (accepted.size() < static_cast<std::size_t>(count)) {
      const auto patience = std::chrono::microseconds(next_random(random) % 30);
      auto r = co_await as_result(with_timeout(patience, listener.accept()));
      if (r.has_value()) accepted.push_back(r->peer_endpoint());
    }
    co_await group.join();
  });
  CHECK(accepted == made);
}

}  // namespace

TEST_CASE("impatience: timeouts lose no byte and no connection") {
  const watchdog dog;
  for (const unsigned workers : {1u, 4u}) {
    watchdog::watch(fmt::format("timeouts on {} workers", workers));
    const test::no_descriptor_leaks none;
    weir::run(transfer_impatiently(), {.workers = workers});
    weir::run(accept_impatiently(test::scaled(500, 200)), {.workers = workers});
    weir::run(transfer_impatiently(), {.workers = workers, .ring_entries = 1});
  }
}
