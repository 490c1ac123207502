#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <type_traits>

#include "../skip.hpp"
#include "guarded_buffer.hpp"
#include "sockets.hpp"
#include "tcp_support.hpp"

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

static_assert(!std::is_copy_constructible_v<tcp_stream> && std::is_nothrow_move_constructible_v<tcp_stream>);
static_assert(!std::is_copy_constructible_v<tcp_listener> && std::is_nothrow_move_constructible_v<tcp_listener>);

namespace {

int option_of(int number, int level, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(number, level, option, &value, &size) == 0);
  return value;
}

}  // namespace

// ---- connecting

namespace {

task<> both_ends_know_each_other() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  CHECK(listener.is_open());
  CHECK(listener.local_endpoint().port() != 0);
  both_ends ends = co_await test::connect_through(listener);
  CHECK(ends.client.is_open());
  CHECK(ends.client.peer_endpoint() == listener.local_endpoint());
  CHECK(ends.server.local_endpoint() == listener.local_endpoint());
  CHECK(ends.server.peer_endpoint() == ends.client.local_endpoint());
  for (const tcp_stream* end : {&ends.client, &ends.server}) {
    CHECK(option_of(end->native_handle(), IPPROTO_TCP, TCP_NODELAY) == 1);
    CHECK((::fcntl(end->native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK((::fcntl(listener.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
}

task<> talk_over(endpoint local) {
  tcp_listener listener = tcp_listener::bind(local);
  both_ends ends = co_await test::connect_through(listener);
  CHECK(ends.client.peer_endpoint() == listener.local_endpoint());
  guarded_buffer sent(100);
  guarded_buffer got(100);
  fill_pattern(sent);
  co_await ends.client.write_all(sent);
  co_await ends.server.read_exactly(got);
  CHECK(is_pattern(got));
  co_await ends.server.write_all(got);
  co_await ends.client.read_exactly(sent);
  CHECK(is_pattern(sent));
}

}  // namespace

TEST_CASE("tcp: connect and accept give the two ends of one connection") { run_checked(both_ends_know_each_other()); }

TEST_CASE(
    "tcp: an accept that is stopped when a connection has woken it leaves none to others that would not hear of it") {
  auto main = []() -> task<> {
    tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
    for (int round = 0; round < 20; ++round) {
      weir::cancellation_source enough;
      weir::cancellation_source over;
      int accepted = 0;
      co_await with_task_group([&](task_group& group) -> task<> {
        const auto accepts = [&](weir::cancellation_token token) -> task<> {
          auto r = co_await as_result(weir::with_cancellation(token, listener.accept()));
          if (r.has_value()) ++accepted;
        };
        group.spawn(accepts(enough.token()));
        co_await settle_down();
        group.spawn(accepts(over.token()));
        co_await settle_down();
        const plain_socket client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        client.connect(listener.local_endpoint());
        enough.request_cancellation();
        const bool heard = co_await test::eventually([&] { return accepted == 1; });
        CHECK(heard);
        over.request_cancellation();
        co_await group.join();
      });
    }
  };
  run_checked(main());
}

TEST_CASE("tcp: what one end writes the other end reads") { run_checked(talk_over(endpoint::loopback(0))); }

TEST_CASE("tcp: IPv6") {
  const plain_socket probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage address{};
  const auto size = static_cast<socklen_t>(endpoint::loopback_v6(0).to_native(&address));
  if (::bind(probe.number(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return skip("this machine has no [::1]");
  }
  run_checked(talk_over(endpoint::loopback_v6(0)));
}

namespace {

task<> empty_handles() {
  tcp_stream stream;
  tcp_listener listener;
  CHECK(!stream.is_open());
  CHECK(!listener.is_open());
  CHECK(stream.native_handle() == -1);
  CHECK(stream.bytes_read() == 0);
  CHECK(stream.bytes_written() == 0);
  CHECK(!stream.peer_endpoint());
  stream.close();
  listener.close();
  CHECK(stream.release() == -1);

  guarded_buffer buffer(8);
  auto read = co_await as_result(stream.read_some(buffer));
  CHECK(sentence_of(read) == "read a closed descriptor: Bad file descriptor");
  auto written = co_await as_result(stream.write_all(buffer));
  CHECK(sentence_of(written) == "write_all a closed descriptor: Bad file descriptor");
  auto accepted = co_await as_result(listener.accept());
  CHECK(sentence_of(accepted) == "accept a closed descriptor: Bad file descriptor");
  CHECK_THROWS_WITH(stream.shutdown(weir::direction::both), "shutdown a closed socket: Bad file descriptor");
  CHECK_THROWS_WITH(stream.set_no_delay(true), "set_no_delay of a closed socket: Bad file descriptor");
  CHECK_THROWS_WITH(static_cast<void>(stream.local_endpoint()),
                    "local_endpoint of a closed socket: Bad file descriptor");
}

}  // namespace

TEST_CASE("tcp: operations on what is not open say so") { run_checked(empty_handles()); }

// ---- reading

namespace {

task<> reads_what_is_there() {
  connection c = connect_pair();
  guarded_buffer sent(10);
  guarded_buffer got(100);
  fill_pattern(sent);
  c.peer.send(sent.first(4));
  std::size_t n = co_await c.stream.read_some(got);
  CHECK(n == 4);
  CHECK(c.stream.bytes_read() == 4);
  CHECK(is_pattern(got.first(n)));
  c.peer.send(sent.last_from(4));
  n = co_await c.stream.read_some(got.first(3));
  CHECK(n == 3);
  CHECK(is_pattern(got.first(3), 4));
  n = co_await c.stream.read_some(got);
  CHECK(n == 3);
  CHECK(is_pattern(got.first(3), 7));
  // The end, as often as it is asked for.
  c.peer.close();
  for (int i = 0; i < 3; ++i) {
    n = co_await c.stream.read_some(got);
    CHECK(n == 0);
    CHECK(c.stream.bytes_read() == 0);
  }
}

task<> read_into(tcp_stream& stream, std::span<std::byte> buffer, std::optional<std::size_t>& n) {
  n = co_await stream.read_some(buffer);
}

task<> waits_for_the_first_byte() {
  connection c = connect_pair();
  guarded_buffer got(100);
  std::optional<std::size_t> n;
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(read_into(c.stream, got, n));
    co_await settle_down();
    CHECK(!n);
    const std::byte one{42};
    c.peer.send({&one, 1});
    co_await group.join();
  });
  CHECK(n == 1);
  CHECK(got[0] == std::byte{42});
}

task<> empty_buffers() {
  connection c = connect_pair();
  const std::span<std::byte> nothing;
  // Nothing can be read, and nothing has to be.
  std::size_t n = co_await c.stream.read_some(nothing);
  CHECK(n == 0);
  n = co_await c.stream.write_some(nothing);
  CHECK(n == 0);
  co_await c.stream.read_exactly(nothing);
  co_await c.stream.write_all(nothing);
  // More than a task may do without suspending.
  for (int i = 0; i < 1000; ++i) {
    n = co_await c.stream.read_some(nothing);
    CHECK(n == 0);
  }
  guarded_buffer got(10);
  fill_pattern(got);
  c.peer.send(got);
  n = co_await c.stream.read_some(nothing);
  CHECK(n == 0);
  n = co_await c.stream.read_some(got);
  CHECK(n == 10);
  n = co_await c.stream.read_some(nothing);
  CHECK(n == 0);
  CHECK(c.stream.bytes_read() == 0);
}

task<> fills_the_buffer() {
  connection c = connect_pair();
  guarded_buffer sent(1000);
  guarded_buffer got(1000);
  fill_pattern(sent);
  co_await with_task_group([&](task_group& group) -> task<> {
    auto reading = group.spawn([&]() -> task<> { co_await c.stream.read_exactly(got); });
    for (std::size_t from = 0; from < sent.size(); from += 125) {
      CHECK(!reading.done());
      c.peer.send(sent.last_from(from).first(125));
      co_await settle_down();
    }
    co_await reading.join();
  });
  CHECK(c.stream.bytes_read() == 1000);
  CHECK(is_pattern(got));
  // At once, when everything is there.
  c.peer.send(sent);
  co_await c.stream.read_exactly(got.first(400));
  co_await c.stream.read_exactly(got.last_from(400));
  CHECK(c.stream.bytes_read() == 600);
  CHECK(is_pattern(got));
}

task<> ends_before_the_buffer_is_full() {
  connection c = connect_pair();
  guarded_buffer bytes(8);
  fill_pattern(bytes);
  c.peer.send(bytes.first(3));
  c.peer.close();
  guarded_buffer got(8);
  auto r = co_await as_result(c.stream.read_exactly(got));
  CHECK(r.error() == weir::errc::end_of_stream);
  CHECK(sentence_of(r) == fmt::format("read_exactly {} after 3 of 8 bytes: end of stream", test::name_of(c.stream)));
  CHECK(c.stream.bytes_read() == 3);
  CHECK(is_pattern(got.first(3)));
  r = co_await as_result(c.stream.read_exactly(got));
  CHECK(sentence_of(r) == fmt::format("read_exactly {} after 0 of 8 bytes: end of stream", test::name_of(c.stream)));
}

}  // namespace

TEST_CASE("tcp: read_some gives what is there, and 0 at the end of the stream") { run_checked(reads_what_is_there()); }
TEST_CASE("tcp: read_some waits for the first byte") { run_checked(waits_for_the_first_byte()); }
TEST_CASE("tcp: operations with empty buffers complete at once") { run_checked(empty_buffers()); }
TEST_CASE("tcp: read_exactly fills its buffer") { run_checked(fills_the_buffer()); }
TEST_CASE("tcp: read_exactly tells how far it came when the stream ends") {
  run_checked(ends_before_the_buffer_is_full());
}

// ---- writing

namespace {

task<> writes_what_is_taken() {
  connection c = connect_pair(true);
  guarded_buffer sent(1 << 20);
  fill_pattern(sent);
  const std::size_t first = co_await c.stream.write_some(sent);
  CHECK(first >= 1);
  CHECK(first < sent.size());
  CHECK(c.stream.bytes_written() == first);
  // The next one waits until there is room again.
  std::size_t second = 0;
  guarded_buffer got(1 << 20);
  std::size_t received = 0;
  co_await with_task_group([&](task_group& group) -> task<> {
    auto writing = group.spawn([&]() -> task<> { second = co_await c.stream.write_some(sent.last_from(first)); });
    while (!writing.done()) {
      const ssize_t n = c.peer.receive(got.last_from(received), 0);
      if (n > 0) received += static_cast<std::size_t>(n);
      co_await weir::yield();
    }
    co_await writing.join();
  });
  CHECK(second >= 1);
  c.stream.close();
  for (ssize_t n = 1; n > 0; received += static_cast<std::size_t>(n)) {
    n = c.peer.receive(got.last_from(received));
    REQUIRE(n >= 0);
  }
  CHECK(received == first + second);
  CHECK(is_pattern(got.first(received)));
}

task<> small_both_ways(std::size_t size) {
  both_ends ends = test::small_ends();
  co_await test::both_ways_at_once(std::move(ends), size);
}

task<> big_both_ways(std::size_t size) {
  both_ends ends = co_await test::connect_both();
  co_await test::both_ways_at_once(std::move(ends), size);
}

}  // namespace

TEST_CASE("tcp: write_some writes what the socket takes, and waits while that is nothing") {
  run_checked(writes_what_is_taken());
}

TEST_CASE("tcp: write_all moves megabytes both ways at once") {
  for (const unsigned workers : {1u, 4u}) {
    run_checked(big_both_ways(std::size_t{8} << 20), {.workers = workers});
    run_checked(small_both_ways(std::size_t{1} << 20), {.workers = workers});
  }
}

// ---- ends

namespace {

task<> half_close() {
  both_ends ends = co_await test::connect_both();
  guarded_buffer bytes(10);
  fill_pattern(bytes);
  co_await ends.client.write_all(bytes);
  ends.client.shutdown(weir::direction::write);
  guarded_buffer got(20);
  co_await ends.server.read_exactly(got.first(10));
  std::size_t n = co_await ends.server.read_some(got);
  CHECK(n == 0);
  // The other way is still open.
  co_await ends.server.write_all(bytes);
  n = co_await ends.client.read_some(got);
  CHECK(n == 10);
  CHECK(is_pattern(got.first(10)));
  CHECK(ends.client.is_open());
  auto r = co_await as_result(ends.client.write_some(bytes));
  CHECK(sentence_of(r) == fmt::format("write {}: Broken pipe", test::name_of(ends.client)));
  // Again, and when the peer has gone.
  ends.client.shutdown(weir::direction::write);
  ends.server.close();
  n = co_await ends.client.read_some(got);
  CHECK(n == 0);
  ends.client.shutdown(weir::direction::both);
}

task<> shutdown_ends_a_read(weir::direction which) {
  connection c = connect_pair();
  guarded_buffer got(20);
  std::optional<std::size_t> n;
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(read_into(c.stream, got, n));
    co_await settle_down();
    c.stream.shutdown(which);
    co_await group.join();
  });
  CHECK(n == 0);
  // Where the kernel leaves its packets to a thread, the end comes to the peer a moment later.
  const bool told = which == weir::direction::both;
  CHECK(c.peer.readable(told ? 10'000 : 0) == told);
}

task<> reset_by_peer() {
  guarded_buffer bytes(10);
  {
    connection c = connect_pair();
    const std::string name = test::name_of(c.stream);
    c.peer.reset();
    auto r = co_await as_result(c.stream.read_some(bytes));
    CHECK(sentence_of(r) == fmt::format("read {}: Connection reset by peer", name));
    auto w = co_await as_result(c.stream.write_some(bytes));
    CHECK(sentence_of(w) == fmt::format("write {}: Broken pipe", name));
    auto all = co_await as_result(c.stream.write_all(bytes));
    CHECK(sentence_of(all) == fmt::format("write_all {}: Broken pipe", name));
    CHECK(c.stream.bytes_written() == 0);
  }
  {
    connection c = connect_pair();
    const std::string name = test::name_of(c.stream);
    c.peer.reset();
    co_await c.stream.readable();  // it has arrived
    auto w = co_await as_result(c.stream.write_all(bytes));
    CHECK(sentence_of(w) == fmt::format("write_all {}: Connection reset by peer", name));
  }
  {
    connection c = connect_pair();
    const std::string name = test::name_of(c.stream);
    co_await with_task_group([&](task_group& group) -> task<> {
      auto reading = group.spawn(
          [&]() -> task<weir::result<void>> { co_return co_await as_result(c.stream.read_exactly(bytes)); });
      co_await settle_down();
      c.peer.send(bytes.first(4));
      co_await settle_down();
      c.peer.reset();
      auto r = co_await reading.join();
      CHECK(sentence_of(r) == fmt::format("read_exactly {}: Connection reset by peer", name));
      CHECK(c.stream.bytes_read() == 4);
    });
  }
}

std::atomic<int> sigpipes{0};

task<> writes_to_the_dead() {
  guarded_buffer bytes(std::size_t{1} << 20);
  for (int i = 0; i < 3; ++i) {
    connection c = connect_pair(true);
    co_await with_task_group([&](task_group& group) -> task<> {
      auto writing =
          group.spawn([&]() -> task<weir::result<void>> { co_return co_await as_result(c.stream.write_all(bytes)); });
      if (i > 0) co_await settle_down();
      c.peer.reset();
      auto r = co_await writing.join();
      const bool told = r.error() == std::errc::connection_reset || r.error() == std::errc::broken_pipe;
      CHECK(told);
    });
    for (int j = 0; j < 3; ++j) {
      auto r = co_await as_result(c.stream.write_some(bytes.first(1)));
      CHECK(r.error() == std::errc::broken_pipe);
    }
  }
}

}  // namespace

TEST_CASE("tcp: shutdown ends one way") { run_checked(half_close()); }

TEST_CASE("tcp: shutdown ends a read that waits") {
  run_checked(shutdown_ends_a_read(weir::direction::read));
  run_checked(shutdown_ends_a_read(weir::direction::both));
}

TEST_CASE("tcp: a connection that the peer has reset") { run_checked(reset_by_peer()); }

TEST_CASE("tcp: no SIGPIPE") {
  struct sigaction count{};
  struct sigaction before{};
  count.sa_handler = [](int) { ++sigpipes; };
  REQUIRE(sigaction(SIGPIPE, &count, &before) == 0);
  run_checked(writes_to_the_dead(), {.workers = 1, .keep_sigpipe = true});
  sigaction(SIGPIPE, &before, nullptr);
  CHECK(sigpipes == 0);
}

// ---- options and descriptors

namespace {

task<> sets_options() {
  connection c = connect_pair();
  const int number = c.stream.native_handle();
  c.stream.set_no_delay(false);
  CHECK(option_of(number, IPPROTO_TCP, TCP_NODELAY) == 0);
  c.stream.set_no_delay(true);
  CHECK(option_of(number, IPPROTO_TCP, TCP_NODELAY) == 1);
  c.stream.set_keep_alive(true);
  CHECK(option_of(number, SOL_SOCKET, SO_KEEPALIVE) == 1);
  c.stream.set_keep_alive(false);
  CHECK(option_of(number, SOL_SOCKET, SO_KEEPALIVE) == 0);
  // The kernel doubles these for its own bookkeeping.
  c.stream.set_receive_buffer(20'000);
  CHECK(option_of(number, SOL_SOCKET, SO_RCVBUF) == 40'000);
  c.stream.set_send_buffer(30'000);
  CHECK(option_of(number, SOL_SOCKET, SO_SNDBUF) == 60'000);
  // No time to linger: closing resets.
  c.stream.set_linger(std::chrono::seconds(0));
  c.stream.close();
  std::byte one{};
  CHECK(c.peer.receive({&one, 1}) == -ECONNRESET);
  co_return;
}

task<> release_and_adopt() {
  guarded_buffer bytes(10);
  fill_pattern(bytes);
  connection c = connect_pair();
  const endpoint peer = c.stream.peer_endpoint();
  c.peer.send(bytes);
  guarded_buffer got(10);
  co_await c.stream.read_exactly(got.first(3));
  const int number = c.stream.native_handle();
  CHECK(c.stream.release() == number);
  CHECK(!c.stream.is_open());
  CHECK(!test::is_free(number));
  tcp_stream again = tcp_stream::adopt(number);
  CHECK(again.native_handle() == number);
  CHECK(again.peer_endpoint() == peer);
  co_await again.read_exactly(got.first(7));
  CHECK(is_pattern(got.first(7), 3));
  // Having waited before, too.
  std::optional<std::size_t> n;
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(read_into(again, got, n));
    co_await settle_down();
    c.peer.send(bytes.first(2));
    co_await group.join();
  });
  CHECK(n == 2);
  again = tcp_stream::adopt(again.release());
  c.peer.send(bytes.first(5));
  co_await again.read_exactly(got.first(5));
  CHECK(is_pattern(got.first(5)));
}

task<> adopt_a_listener() {
  plain_socket plain = plain_socket::listening();
  const endpoint local = plain.local();
  const int number = plain.release();
  CHECK((::fcntl(number, F_GETFL) & O_NONBLOCK) == 0);
  tcp_listener listener = tcp_listener::adopt(number);
  CHECK((::fcntl(number, F_GETFL) & O_NONBLOCK) != 0);
  CHECK(listener.local_endpoint() == local);
  const plain_socket client = plain_socket::connected_to(local);
  tcp_stream stream = co_await listener.accept();
  CHECK(stream.peer_endpoint() == client.local());
  const plain_socket back(listener.release());
  CHECK(!listener.is_open());
  CHECK(back.number() == number);
}

}  // namespace

TEST_CASE("tcp: options reach the socket") { run_checked(sets_options()); }

TEST_CASE("tcp: descriptors can be released and adopted") {
  run_checked(release_and_adopt());
  run_checked(adopt_a_listener());
}

TEST_CASE("tcp: a descriptor of a single-worker runtime is refused by the next one, even at the same address") {
  CHECK(
      test::last_words_of([] {
        auto listen = []() -> task<tcp_listener> { co_return tcp_listener::bind(endpoint::loopback(0)); };
        auto serve = [](tcp_listener listener) -> task<> {
          co_await weir::with_timeout(std::chrono::seconds(5), listener.accept());
        };
        tcp_listener listener = weir::run(listen(), {.workers = 1});
        weir::run(serve(std::move(listener)), {.workers = 2});
      }) ==
      "weir: a descriptor made in a single-worker runtime is used by a task of another runtime: move it with release() "
      "and adopt()\n");
}

TEST_CASE("tcp: what is no socket of the right kind cannot be adopted") {
  const test::no_descriptor_leaks none;
  const plain_socket unconnected = plain_socket::bound();
  CHECK_THROWS_WITH(
      static_cast<void>(tcp_stream::adopt(unconnected.number())),
      fmt::format("adopt fd {} as a TCP stream: Transport endpoint is not connected", unconnected.number()).c_str());
  CHECK_THROWS_WITH(
      static_cast<void>(tcp_listener::adopt(unconnected.number())),
      fmt::format("adopt fd {} as a listener (it does not listen): Invalid argument", unconnected.number()).c_str());
  CHECK_THROWS_WITH(static_cast<void>(tcp_stream::adopt(-1)), "adopt fd -1 as a TCP stream: Bad file descriptor");
  CHECK(!test::is_free(unconnected.number()));
}

TEST_CASE("tcp: sockets made outside of any runtime work inside one") {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  const auto talk = [&]() -> task<> {
    co_await with_task_group([&](task_group& group) -> task<> {
      group.spawn(test::serve_echo(listener, 1));
      co_await test::chat(listener.local_endpoint(), 10);
    });
  };
  run_checked(talk());
  run_checked(talk(), {.workers = 4});
}
