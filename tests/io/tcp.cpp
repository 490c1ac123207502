#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <type_traits>
#include <vector>

#include <weir/sync/event.hpp>

#include "../skip.hpp"
#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "sockets.hpp"

using test::connect_pair;
using test::connection;
using test::fill_pattern;
using test::guarded_buffer;
using test::is_pattern;
using test::plain_socket;
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

/// Runs `main` in a runtime of its own on one worker, and looks for descriptors that stay open.
template <class T>
T run_checked(task<T> main, weir::runtime_options options = {.workers = 1}) {
  const test::no_descriptor_leaks none;
  return weir::run(std::move(main), options);
}

/// Both ends of a connection, made by the library.
struct both_ends {
  tcp_stream client;
  tcp_stream server;
};

task<> connect_into(tcp_stream& stream, endpoint peer) { stream = co_await tcp_stream::connect(peer); }

task<both_ends> connect_through(tcp_listener& listener) {
  both_ends made;
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(connect_into(made.client, listener.local_endpoint()));
    made.server = co_await listener.accept();
    co_await group.join();
  });
  co_return std::move(made);
}

/// Both ends on loopback, without a listener that stays.
task<both_ends> connect_both() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  both_ends made = co_await connect_through(listener);
  co_return std::move(made);
}

std::string name_of(const tcp_stream& stream) { return stream.peer_endpoint().to_string(); }

int option_of(int number, int level, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(number, level, option, &value, &size) == 0);
  return value;
}

/// Whether `number` is no open descriptor.
bool is_free(int number) { return ::fcntl(number, F_GETFD) < 0 && errno == EBADF; }

task<> echo(tcp_stream peer) {
  guarded_buffer buffer(4096);
  while (std::size_t n = co_await peer.read_some(buffer)) {
    co_await peer.write_all(buffer.first(n));
  }
}

task<> serve(tcp_listener& listener, int connections) {
  co_await with_task_group([&](task_group& group) -> task<> {
    for (int i = 0; i < connections; ++i) {
      tcp_stream peer = co_await listener.accept();
      group.spawn(echo(std::move(peer)));
    }
  });
}

/// Sends messages of many sizes and wants them back.
task<> chat(endpoint server, std::size_t rounds) {
  tcp_stream stream = co_await tcp_stream::connect(server);
  guarded_buffer out(1000);
  guarded_buffer in(1000);
  fill_pattern(out);
  for (std::size_t i = 0; i < rounds; ++i) {
    const std::size_t size = 1 + i * 37 % 1000;
    co_await stream.write_all(out.first(size));
    co_await stream.read_exactly(in.first(size));
    REQUIRE(is_pattern(in.first(size)));
    fill_pattern(in.first(size), 1);
  }
}

/// `clients` at once, each on its own connection to an echo server.
task<> chat_many(int clients, std::size_t rounds) {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(serve(listener, clients));
    for (int i = 0; i < clients; ++i) group.spawn(chat(listener.local_endpoint(), rounds));
    co_await group.join();
  });
}

}  // namespace

// ---- connecting

namespace {

task<> both_ends_know_each_other() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  CHECK(listener.is_open());
  CHECK(listener.local_endpoint().port() != 0);
  both_ends ends = co_await connect_through(listener);
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
  both_ends ends = co_await connect_through(listener);
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
  CHECK(sentence_of(r) == fmt::format("read_exactly {} after 3 of 8 bytes: end of stream", name_of(c.stream)));
  CHECK(c.stream.bytes_read() == 3);
  CHECK(is_pattern(got.first(3)));
  r = co_await as_result(c.stream.read_exactly(got));
  CHECK(sentence_of(r) == fmt::format("read_exactly {} after 0 of 8 bytes: end of stream", name_of(c.stream)));
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

task<> write_and_end(tcp_stream& stream, std::span<const std::byte> bytes) {
  co_await stream.write_all(bytes);
  CHECK(stream.bytes_written() == bytes.size());
  stream.shutdown(weir::direction::write);
}

task<> read_to_end(tcp_stream& stream, std::span<std::byte> into) {
  std::size_t total = 0;
  for (;;) {
    const std::size_t n =
        co_await stream.read_some(into.subspan(total, std::min<std::size_t>(into.size() - total, 77'777)));
    if (n == 0) break;
    total += n;
  }
  CHECK(total == into.size() - 1);
}

/// Ends that take little at once.
both_ends small_ends() {
  connection c = connect_pair(true);
  both_ends made;
  made.client = tcp_stream::adopt(c.peer.release());
  made.server = std::move(c.stream);
  return made;
}

task<> both_ways_at_once(both_ends ends, std::size_t size) {
  guarded_buffer sent(size);
  fill_pattern(sent);
  // A byte more than comes, so that the last read finds the end.
  guarded_buffer at_client(size + 1);
  guarded_buffer at_server(size + 1);
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(write_and_end(ends.client, sent));
    group.spawn(write_and_end(ends.server, sent));
    group.spawn(read_to_end(ends.client, at_client));
    group.spawn(read_to_end(ends.server, at_server));
    co_await group.join();
  });
  CHECK(is_pattern(at_client.first(size)));
  CHECK(is_pattern(at_server.first(size)));
}

task<> small_both_ways(std::size_t size) {
  both_ends ends = small_ends();
  co_await both_ways_at_once(std::move(ends), size);
}

task<> big_both_ways(std::size_t size) {
  both_ends ends = co_await connect_both();
  co_await both_ways_at_once(std::move(ends), size);
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
  both_ends ends = co_await connect_both();
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
  CHECK(sentence_of(r) == fmt::format("write {}: Broken pipe", name_of(ends.client)));
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
  CHECK(c.peer.readable(0) == (which == weir::direction::both));
}

task<> reset_by_peer() {
  guarded_buffer bytes(10);
  {
    connection c = connect_pair();
    const std::string name = name_of(c.stream);
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
    const std::string name = name_of(c.stream);
    c.peer.reset();
    auto w = co_await as_result(c.stream.write_all(bytes));
    CHECK(sentence_of(w) == fmt::format("write_all {}: Connection reset by peer", name));
  }
  {
    connection c = connect_pair();
    const std::string name = name_of(c.stream);
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

// ---- several tasks on one socket

namespace {

task<> second_of_a_kind() {
  connection c = connect_pair(true);
  const std::string name = name_of(c.stream);
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
  both_ends ends = co_await connect_both();
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
  const std::string name = name_of(c.stream);
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
    CHECK(!is_free(number));
    const int next = ::fcntl(0, F_DUPFD_CLOEXEC, number);
    CHECK(next > number);
    ::close(next);
    auto r = co_await reading.join();
    CHECK(r.error() == std::errc::operation_canceled);
    CHECK(!r.is_cancelled());
    CHECK(sentence_of(r) == fmt::format("read_exactly {}: Operation canceled", name));
    CHECK(is_free(number));
  });
}

/// On any number of workers, so that reader and writer may be at any point when it comes.
task<> close_under_both() {
  connection c = connect_pair(true);
  const std::string name = name_of(c.stream);
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
  const std::string name = name_of(c.stream);
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
  const std::string name = name_of(c.stream);
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

// ---- listening

namespace {

task<> dead_connections_in_the_queue() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  for (int i = 0; i < 5; ++i) plain_socket::connected_to(listener.local_endpoint()).reset();
  const plain_socket good = plain_socket::connected_to(listener.local_endpoint());
  // Linux gives the dead ones all the same; then the first read says it.
  for (;;) {
    tcp_stream stream = co_await listener.accept();
    if (stream.peer_endpoint() == good.local()) break;
    guarded_buffer buffer(8);
    auto r = co_await as_result(stream.read_some(buffer));
    CHECK(r.error() == std::errc::connection_reset);
  }
}

task<> no_descriptor_left() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  const std::string name = listener.local_endpoint().to_string();
  const plain_socket client = plain_socket::connected_to(listener.local_endpoint());
  // A turn, so that nothing else of the runtime needs a descriptor later.
  co_await settle_down();
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 0;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  auto accepted = co_await as_result(listener.accept());
  auto connected = co_await as_result(tcp_stream::connect(listener.local_endpoint()));
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(accepted.error() == std::errc::too_many_files_open);
  CHECK(sentence_of(accepted) == fmt::format("accept {}: Too many open files", name));
  CHECK(sentence_of(connected) == fmt::format("connect {}: Too many open files", name));
  // Nothing was lost.
  tcp_stream stream = co_await listener.accept();
  CHECK(stream.peer_endpoint() == client.local());
}

task<> accept_until_stopped(tcp_listener& listener) {
  for (;;) {
    tcp_stream stream = co_await listener.accept();
  }
}

task<> bind_accept_stop(endpoint local, endpoint& used, bool with_client) {
  tcp_listener listener = tcp_listener::bind(local, {.reuse_address = false});
  used = listener.local_endpoint();
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(accept_until_stopped(listener));
    if (with_client) {
      // Reset, for else the port would linger in TIME_WAIT.
      plain_socket client = plain_socket::connected_to(used);
      co_await settle_down();
      client.reset();
    }
    co_await weir::yield();
    group.cancel();
    co_await weir::yield();
  });
}

}  // namespace

TEST_CASE("tcp: connections that died in the queue do not end an accept loop") {
  run_checked(dead_connections_in_the_queue());
}

TEST_CASE("tcp: accept and connect without a free descriptor") { run_checked(no_descriptor_left()); }

TEST_CASE("tcp: several listeners share a port when all of them say so") {
  const test::no_descriptor_leaks none;
  tcp_listener first = tcp_listener::bind(endpoint::loopback(0), {.reuse_port = true});
  const tcp_listener second = tcp_listener::bind(first.local_endpoint(), {.reuse_port = true});
  CHECK(second.local_endpoint() == first.local_endpoint());
  CHECK_THROWS_AS(static_cast<void>(tcp_listener::bind(first.local_endpoint())), std::system_error);
}

TEST_CASE("tcp: a port is free as soon as run() has returned") {
  // An address that no other process on this machine is likely to use.
  const auto id = static_cast<unsigned>(::getpid());
  endpoint local = endpoint::parse(fmt::format("127.{}.{}.{}:0", 64 + (id >> 14) % 64, (id >> 7) % 128, 1 + id % 128));
  for (int i = 0; i < test::scaled(200, 60); ++i) {
    endpoint used;
    const auto stopped = [&] {
      run_checked(bind_accept_stop(local, used, i % 2 == 1), {.workers = i % 4 == 3 ? 4u : 1u});
    };
    CHECK_THROWS_AS(stopped(), weir::cancelled);
    if (i > 0) CHECK(used == local);
    local = used;
  }
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
  CHECK(!is_free(number));
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
  CHECK(!is_free(unconnected.number()));
}

TEST_CASE("tcp: sockets made outside of any runtime work inside one") {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  const auto talk = [&]() -> task<> {
    co_await with_task_group([&](task_group& group) -> task<> {
      group.spawn(serve(listener, 1));
      co_await chat(listener.local_endpoint(), 10);
    });
  };
  run_checked(talk());
  run_checked(talk(), {.workers = 4});
}

// ---- under stress

namespace {

std::atomic<int> interruptions{0};

/// A signal every now and then whose handler does nothing, but interrupts what the kernel waits in.
class interrupting_timer {
 public:
  interrupting_timer() {
    struct sigaction action{};
    action.sa_handler = [](int) { interruptions.fetch_add(1, std::memory_order_relaxed); };
    REQUIRE(sigaction(SIGALRM, &action, &before_) == 0);
    const itimerval often{.it_interval = {.tv_sec = 0, .tv_usec = 150}, .it_value = {.tv_sec = 0, .tv_usec = 150}};
    REQUIRE(setitimer(ITIMER_REAL, &often, nullptr) == 0);
  }
  interrupting_timer(const interrupting_timer&) = delete;
  interrupting_timer& operator=(const interrupting_timer&) = delete;
  ~interrupting_timer() {
    const itimerval never{};
    setitimer(ITIMER_REAL, &never, nullptr);
    sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  struct sigaction before_{};
};

task<> chat_while_interrupted() {
  for (const int before = interruptions; interruptions < before + 200;) co_await chat_many(3, 100);
}

}  // namespace

TEST_CASE("tcp: five hundred connections at once") {
  run_checked(chat_many(500, 4), {.workers = 1});
  run_checked(chat_many(500, 4), {.workers = 4});
}

TEST_CASE("tcp: more operations than the ring has entries") {
  for (const unsigned entries : {1u, 4u}) {
    run_checked(chat_many(100, 10), {.workers = 1, .ring_entries = entries});
    run_checked(chat_many(100, 4), {.workers = 2, .ring_entries = entries});
  }
}

TEST_CASE("tcp: signals interrupt nothing") {
  both_ends ends = small_ends();
  const interrupting_timer often;
  run_checked(chat_while_interrupted());
  weir::run(both_ways_at_once(std::move(ends), std::size_t{1} << 20), {.workers = 1});
}
