#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <weir/sync/event.hpp>

#include "guarded_buffer.hpp"
#include "sockets.hpp"
#include "tcp_support.hpp"

// Several tasks use one socket, and it is closed under them.

using test::both_ends;
using test::connect_pair;
using test::connection;
using test::fill_pattern;
using test::guarded_buffer;
using test::is_pattern;
using test::plain_socket;
using test::run_checked;
using test::sentence_of;
using test::settle_down;
using weir::as_result;
using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::tcp_listener;
using weir::tcp_stream;
using weir::with_task_group;

// ---- several tasks on one socket

namespace {

task<> second_of_a_kind() {
  connection c = connect_pair(true);
  const std::string name = test::name_of(c.stream);
  guarded_buffer big(std::size_t{1} << 20);
  fill_pattern(big);
  guarded_buffer got(8);
  guarded_buffer other(8);
  co_await with_task_group([&](task_group& group) -> task<> {
    auto reading = group.spawn([&]() -> task<> { co_await c.stream.read_exactly(got); });
    auto writing =
        group.spawn([&]() -> task<weir::result<void>> { co_return co_await as_result(c.stream.write_all(big)); });
    co_await settle_down();
    auto r = co_await as_result(c.stream.read_some(other));
    CHECK(r.error() == std::errc::device_or_resource_busy);
    CHECK(sentence_of(r) ==
          fmt::format("read {}: another task is reading from it at the same time: Device or resource busy", name));
    auto w = co_await as_result(c.stream.write_all(other));
    CHECK(sentence_of(w) ==
          fmt::format("write_all {}: another task is writing to it at the same time: Device or resource busy", name));
    // The first ones go on undisturbed.
    c.peer.send(big.first(8));
    co_await reading.join();
    CHECK(is_pattern(got));
    CHECK(!writing.done());
    c.peer.reset();
    auto first = co_await writing.join();
    CHECK(!first.has_value());
  });
  // It counts while it lasts.
  connection d = connect_pair();
  d.peer.send(big.first(16));
  co_await d.stream.read_exactly(got);
  co_await d.stream.read_exactly(got);
  CHECK(is_pattern(got, 8));
}

task<> writes_messages(tcp_stream& stream, std::size_t count) {
  guarded_buffer message(100);
  for (std::size_t i = 0; i < count; ++i) {
    fill_pattern(message, i);
    co_await stream.write_all(message);
  }
}

task<> reads_messages(tcp_stream& stream, std::size_t count) {
  guarded_buffer message(100);
  for (std::size_t i = 0; i < count; ++i) {
    co_await stream.read_exactly(message);
    REQUIRE(is_pattern(message, i));
  }
}

task<> reader_and_writer() {
  both_ends ends = co_await test::connect_both();
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(writes_messages(ends.client, 2000));
    group.spawn(reads_messages(ends.client, 2000));
    group.spawn(writes_messages(ends.server, 2000));
    group.spawn(reads_messages(ends.server, 2000));
    co_await group.join();
  });
}

task<> several_accept() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  std::vector<tcp_stream> accepted(8);
  std::vector<plain_socket> clients;
  co_await with_task_group([&](task_group& group) -> task<> {
    auto accept_into = [&](tcp_stream& place) -> task<> { place = co_await listener.accept(); };
    for (tcp_stream& place : accepted) group.spawn(accept_into, std::ref(place));
    co_await settle_down();
    for (int i = 0; i < 8; ++i) clients.push_back(plain_socket::connected_to(listener.local_endpoint()));
    co_await group.join();
  });
  // Each its own.
  for (const plain_socket& client : clients) {
    const auto is_other_end = [&](const tcp_stream& s) { return s.peer_endpoint() == client.local(); };
    CHECK(std::count_if(accepted.begin(), accepted.end(), is_other_end) == 1);
  }
}

}  // namespace

TEST_CASE("tcp: a second reader or writer is told") { run_checked(second_of_a_kind()); }

TEST_CASE("tcp: one task reads while another one writes") {
  run_checked(reader_and_writer());
  run_checked(reader_and_writer(), {.workers = 4});
}

TEST_CASE("tcp: several tasks may accept at once") {
  run_checked(several_accept());
  run_checked(several_accept(), {.workers = 4});
}

// ---- closing

namespace {

task<> close_under_operations() {
  connection c = connect_pair();
  const std::string name = test::name_of(c.stream);
  const int number = c.stream.native_handle();
  guarded_buffer got(8);
  co_await with_task_group([&](task_group& group) -> task<> {
    auto reading =
        group.spawn([&]() -> task<weir::result<void>> { co_return co_await as_result(c.stream.read_exactly(got)); });
    co_await settle_down();
    c.stream.close();
    CHECK(!c.stream.is_open());
    c.stream.close();
    // The peer learns at once, and nobody gets the number while the read is in flight.
    CHECK(c.peer.at_end());
    CHECK(!test::is_free(number));
    const int next = ::fcntl(0, F_DUPFD_CLOEXEC, number);
    CHECK(next > number);
    ::close(next);
    auto r = co_await reading.join();
    CHECK(r.error() == std::errc::operation_canceled);
    CHECK(!r.is_cancelled());
    CHECK(sentence_of(r) == fmt::format("read_exactly {}: Operation canceled", name));
    CHECK(test::is_free(number));
  });
}

/// On any number of workers, so that reader and writer may be at any point when it comes.
task<> close_under_both() {
  connection c = connect_pair(true);
  const std::string name = test::name_of(c.stream);
  guarded_buffer big(std::size_t{1} << 20);
  guarded_buffer got(8);
  fill_pattern(big);
  co_await with_task_group([&](task_group& group) -> task<> {
    weir::event reads;
    weir::event writes;
    auto reading = group.spawn([&]() -> task<weir::result<void>> {
      auto operation = c.stream.read_exactly(got);
      reads.set();
      co_return co_await as_result(std::move(operation));
    });
    auto writing = group.spawn([&]() -> task<weir::result<void>> {
      auto operation = c.stream.write_all(big);
      writes.set();
      co_return co_await as_result(std::move(operation));
    });
    co_await reads.wait();
    co_await writes.wait();
    // The writer shows that it has begun; the reader has only to be given the time.
    while (!c.peer.readable(0)) co_await weir::yield();
    co_await settle_down();
    c.stream.close();
    auto r = co_await reading.join();
    CHECK(sentence_of(r) == fmt::format("read_exactly {}: Operation canceled", name));
    auto w = co_await writing.join();
    CHECK(sentence_of(w) == fmt::format("write_all {}: Operation canceled", name));
    // What was written before is still delivered, and then comes the end.
    guarded_buffer drained(std::size_t{1} << 20);
    std::size_t total = 0;
    ssize_t n = 1;
    while (n > 0) {
      n = c.peer.receive(drained.last_from(total));
      if (n > 0) total += static_cast<std::size_t>(n);
    }
    CHECK(n == 0);
    CHECK(is_pattern(drained.first(total)));
  });
}

task<> close_under_read_some() {
  connection c = connect_pair();
  const std::string name = test::name_of(c.stream);
  guarded_buffer got(8);
  co_await with_task_group([&](task_group& group) -> task<> {
    auto reading = group.spawn(
        [&]() -> task<weir::result<std::size_t>> { co_return co_await as_result(c.stream.read_some(got)); });
    co_await settle_down();
    // The destructor closes too.
    {
      const tcp_stream dying = std::move(c.stream);
      CHECK(!c.stream.is_open());
    }
    auto r = co_await reading.join();
    CHECK(sentence_of(r) == fmt::format("read {}: Operation canceled", name));
  });
}

task<> close_under_accept() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  const std::string name = listener.local_endpoint().to_string();
  const endpoint local = listener.local_endpoint();
  int cancelled = 0;
  co_await with_task_group([&](task_group& group) -> task<> {
    for (int i = 0; i < 5; ++i) {
      group.spawn([&]() -> task<> {
        auto r = co_await as_result(listener.accept());
        if (sentence_of(r) == fmt::format("accept {}: Operation canceled", name)) ++cancelled;
      });
    }
    co_await settle_down();
    listener.close();
    listener.close();
    co_await group.join();
  });
  CHECK(cancelled == 5);
  // The port is free.
  listener = tcp_listener::bind(local, {.reuse_address = false});
  CHECK(listener.local_endpoint() == local);
}

/// The end of a stream has been seen by the operation, but not yet by its task, when the stream is closed.
task<> close_behind_the_end(int turns) {
  connection c = connect_pair();
  const std::string name = test::name_of(c.stream);
  guarded_buffer got(8);
  co_await with_task_group([&](task_group& group) -> task<> {
    auto reading =
        group.spawn([&]() -> task<weir::result<void>> { co_return co_await as_result(c.stream.read_exactly(got)); });
    co_await settle_down();
    c.peer.send(got.first(2));
    c.peer.close();
    for (int i = 0; i < turns; ++i) co_await weir::yield();
    c.stream.close();
    auto r = co_await reading.join();
    if (r.error() == weir::errc::end_of_stream) {
      CHECK(sentence_of(r) == fmt::format("read_exactly {} after 2 of 8 bytes: end of stream", name));
    } else {
      CHECK(sentence_of(r) == fmt::format("read_exactly {}: Operation canceled", name));
    }
  });
}

/// One worker's task writes, another one's closes, at any moment after the first byte has left.
task<> close_from_elsewhere(bool outside) {
  connection c = connect_pair(true);
  guarded_buffer big(std::size_t{1} << 18);
  weir::event begun;
  co_await with_task_group([&](task_group& group) -> task<> {
    auto writing = group.spawn([&]() -> task<weir::result<void>> {
      auto operation = c.stream.write_all(big);
      begun.set();
      co_return co_await as_result(std::move(operation));
    });
    const auto close_it = [&] {
      begun.wait_blocking();
      std::byte first{};
      REQUIRE(c.peer.receive({&first, 1}) == 1);
      c.stream.close();
      // The writer has been told, or will be: everything that it wrote, then the end.
      guarded_buffer drained(std::size_t{1} << 18);
      ssize_t n = 1;
      while (n > 0) n = c.peer.receive(drained);
      CHECK(n == 0);
    };
    if (outside) {
      co_await weir::offload(close_it);
    } else {
      co_await begun.wait();
      bool there = false;
      while (!there) {
        there = c.peer.readable(0);
        co_await weir::yield();
      }
      c.stream.close();
    }
    auto r = co_await writing.join();
    CHECK(r.error() == std::errc::operation_canceled);
  });
}

}  // namespace

TEST_CASE("tcp: close cancels what is in flight, tells the peer at once, and keeps the number until it is safe") {
  run_checked(close_under_operations());
  run_checked(close_under_read_some());
  run_checked(close_under_both());
  for (int i = 0; i < test::scaled(50, 20); ++i) run_checked(close_under_both(), {.workers = 4});
}

TEST_CASE("tcp: closing a listener cancels those who accept") { run_checked(close_under_accept()); }

TEST_CASE("tcp: a stream may be closed between the end of a read and its task's turn") {
  for (int turns = 0; turns < 8; ++turns) {
    run_checked(close_behind_the_end(turns), {.workers = 1, .tasks_per_turn = 1});
    run_checked(close_behind_the_end(turns), {.workers = 1});
  }
}

TEST_CASE("tcp: a stream may be closed on another thread than its writer's") {
  for (int i = 0; i < test::scaled(100, 30); ++i) {
    run_checked(close_from_elsewhere(true), {.workers = 1});
    run_checked(close_from_elsewhere(true), {.workers = 4});
    run_checked(close_from_elsewhere(false), {.workers = 4});
  }
}
