#include <weir/io/tcp.hpp>
#include <weir/io/unix.hpp>

#include <liburing.h>
#include <unistd.h>

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "../skip.hpp"
#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "sockets.hpp"

using test::connection;
using test::fill_pattern;
using test::guarded_buffer;
using test::is_pattern;
using test::sentence_of;
using weir::as_result;
using weir::task;

namespace {

constexpr weir::runtime_options one_worker{.workers = 1};

weir::worker_counters counted() { return weir::counters().total; }

/// Whether sends without a copy are to be expected here.
bool expects_zero_copy(const weir::runtime& in) {
  if (in.backend() != weir::backend_kind::uring) return false;
  io_uring_probe* const probe = io_uring_get_probe();
  if (!probe) return false;
  const bool known = io_uring_opcode_supported(probe, IORING_OP_SEND_ZC) != 0;
  io_uring_free_probe(probe);
  return known;
}

/// A stream whose kernel takes much at once, and whose peer's takes little that is not read.
connection one_sided() {
  connection made = test::connect_pair(true);
  made.stream.set_send_buffer(500'000);
  return made;
}

/// Reads what comes to the plain end, until `size` bytes have.
task<> read_all(connection& c, guarded_buffer& into, std::size_t size) {
  std::size_t total = 0;
  while (total < size) {
    const ssize_t n = c.peer.receive(into.last_from(total), 0);
    if (n > 0) total += static_cast<std::size_t>(n);
    if (n <= 0) co_await weir::yield();
  }
}

}  // namespace

TEST_CASE("write_all_zero_copy: everything, and the kernel has let go before it ends") {
  const test::no_descriptor_leaks none;
  weir::runtime runtime(one_worker);
  const bool zero_copy = expects_zero_copy(runtime);
  const auto writing = [&]() -> task<> {
    constexpr std::size_t size = 1'000'000;
    connection c = test::connect_pair(true);
    guarded_buffer received(size);
    const auto write = [&]() -> task<> {
      guarded_buffer bytes(size);
      fill_pattern(bytes);
      co_await c.stream.write_all_zero_copy(bytes);
      // It is counted when the kernel says that it has let go.
      CHECK(counted().zero_copy_sends >= (zero_copy ? 1 : 0));
      CHECK(counted().zero_copy_copied <= counted().zero_copy_sends);
      CHECK(c.stream.bytes_written() == size);
    };
    auto written = weir::spawn(write);
    co_await read_all(c, received, size);
    co_await written.join();
    CHECK(is_pattern(received));
    CHECK((counted().zero_copy_sends != 0) == zero_copy);
  };
  runtime.block_on(writing());
}

TEST_CASE("write_all_zero_copy: little, and into a unix socket, is sent as ever") {
  const test::no_descriptor_leaks none;
  const auto writing = []() -> task<> {
    connection c = test::connect_pair();
    guarded_buffer bytes(16'383);
    fill_pattern(bytes);
    co_await c.stream.write_all_zero_copy(bytes.first(0));
    CHECK(c.stream.bytes_written() == 0);
    co_await c.stream.write_all_zero_copy(bytes);
    guarded_buffer received(bytes.size());
    co_await read_all(c, received, bytes.size());
    CHECK(is_pattern(received));
    CHECK(counted().zero_copy_sends == 0);

    auto [one, other] = weir::unix_stream::pair();
    guarded_buffer much(100'000);
    fill_pattern(much);
    co_await one.write_all_zero_copy(much);
    guarded_buffer taken(much.size());
    co_await other.read_exactly(taken);
    CHECK(is_pattern(taken));
    CHECK(counted().zero_copy_sends == 0);
  };
  weir::run(writing(), one_worker);
}

TEST_CASE("write_all_zero_copy: a stop waits until the kernel has let go of the buffer") {
  const test::no_descriptor_leaks none;
  weir::runtime runtime(one_worker);
  if (!expects_zero_copy(runtime)) return skip("needs a ring with IORING_OP_SEND_ZC");
  const auto writing = []() -> task<> {
    connection c = one_sided();
    constexpr std::size_t size = 200'000;
    guarded_buffer received(size);
    weir::cancellation_source source;
    bool ended = false;
    const auto write = [&]() -> task<> {
      guarded_buffer bytes(size);
      fill_pattern(bytes);
      const auto r = co_await as_result(weir::with_cancellation(source.token(), c.stream.write_all_zero_copy(bytes)));
      ended = true;
      CHECK(r.has_value());  // all of it was sent
    };
    auto written = weir::spawn(write);
    // The kernel has taken all of it, and its peer's has no room: it sends from our memory when that has.
    co_await test::settle_down();
    CHECK_FALSE(ended);
    source.request_cancellation();
    co_await test::settle_down();
    CHECK_FALSE(ended);
    CHECK(counted().zero_copy_sends == 0);
    co_await read_all(c, received, size);
    co_await written.join();
    CHECK(counted().zero_copy_sends == 1);
    CHECK(is_pattern(received));
  };
  runtime.block_on(writing());
}

TEST_CASE("write_all_zero_copy: closing, and a peer that resets, end it when the kernel has let go") {
  const test::no_descriptor_leaks none;
  const auto writing = []() -> task<> {
    for (const bool closes : {false, true}) {
      connection c = test::connect_pair(true);
      const auto write = [&]() -> task<> {
        guarded_buffer bytes(5'000'000);
        co_await c.stream.write_all_zero_copy(bytes);
      };
      auto written = weir::spawn(write);
      co_await test::settle_down();
      if (closes) c.stream.close();
      c.peer.reset();
      const auto r = co_await as_result(written.join());
      CHECK_FALSE(r.has_value());
      if (closes) {
        CHECK(r.error() == std::errc::operation_canceled);
      } else {
        CHECK(sentence_of(r).starts_with("write_all_zero_copy 127.0.0.1:"));
      }
    }
  };
  weir::run(writing(), one_worker);
}

TEST_CASE("write_all_zero_copy: buffers that are gone at once, again and again") {
  const test::no_descriptor_leaks none;
  const auto writing = []() -> task<> {
    connection c = test::connect_pair();
    constexpr std::size_t size = 40'000;
    guarded_buffer received(size);
    for (std::size_t round = 0; round < 100; ++round) {
      {
        guarded_buffer bytes(size);
        fill_pattern(bytes, round);
        co_await c.stream.write_all_zero_copy(bytes);
      }
      co_await read_all(c, received, size);
      REQUIRE(is_pattern(received, round));
    }
  };
  weir::run(writing(), one_worker);
}

TEST_CASE("write_all_zero_copy: in a simulation") {
  test::simulate([]() -> task<> {
    weir::tcp_listener listener = weir::tcp_listener::bind(weir::endpoint::loopback(80));
    weir::tcp_stream one = co_await weir::tcp_stream::connect(listener.local_endpoint());
    weir::tcp_stream other = co_await listener.accept();
    guarded_buffer bytes(20'000);
    fill_pattern(bytes);
    co_await one.write_all_zero_copy(bytes);
    guarded_buffer received(bytes.size());
    co_await other.read_exactly(received);
    CHECK(is_pattern(received));
  });
}
