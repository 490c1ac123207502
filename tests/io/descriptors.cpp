#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weir/io/unix_messages.hpp>

#include "guarded_buffer.hpp"
#include "tcp_support.hpp"

// Descriptors that are passed over unix sockets. That none stays open is looked for at the end of each test.

using test::bytes_of;
using test::run_checked;
using test::sentence_of;
using weir::as_result;
using weir::received_descriptors;
using weir::task;
using weir::task_group;
using weir::unique_descriptor;
using weir::unix_datagram_socket;
using weir::unix_seqpacket;
using weir::unix_stream;
using weir::with_task_group;

namespace {

/// A pipe: what is written to one can be read from the other.
struct plain_pipe {
  plain_pipe() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
    out = unique_descriptor(ends[0]);
    in = unique_descriptor(ends[1]);
  }
  unique_descriptor out;
  unique_descriptor in;
};

void write_to(int number, char what) { CHECK(::write(number, &what, 1) == 1); }

char read_from(const unique_descriptor& from) {
  char got = '?';
  CHECK(::read(from.number(), &got, 1) == 1);
  return got;
}

/// Nobody can write to it any more.
bool at_end(const unique_descriptor& from) {
  char got = '?';
  return ::read(from.number(), &got, 1) == 0;
}

/// From `a` to `b`, whatever they are.
template <class Socket>
task<> pass_a_pipe(Socket a, Socket b) {
  plain_pipe pipe;
  const std::array<int, 2> numbers = {pipe.in.number(), pipe.in.number()};
  std::array<std::byte, 8> room{};
  co_await a.send_descriptors(bytes_of("two"), numbers);
  CHECK(::fcntl(numbers[0], F_GETFD) >= 0);
  pipe.in.reset();
  received_descriptors got = co_await b.receive_descriptors(room);
  CHECK(got.size == 3);
  CHECK(got.sent_size == 3);
  REQUIRE(got.descriptors.size() == 2);
  for (const unique_descriptor& one : got.descriptors) {
    CHECK((::fcntl(one.number(), F_GETFD) & FD_CLOEXEC) != 0);
    write_to(one.number(), 'x');
    CHECK(read_from(pipe.out) == 'x');
  }
  CHECK(!at_end(pipe.out));
  got.descriptors.clear();
  CHECK(at_end(pipe.out));
  // None is as good.
  co_await a.send_descriptors(bytes_of("none"), std::span<const int>());
  received_descriptors none = co_await b.receive_descriptors(room);
  CHECK(none.size == 4);
  CHECK(none.descriptors.empty());
}

}  // namespace

TEST_CASE("descriptors: pass over every kind of unix socket, and the sender's are its own") {
  auto main = []() -> task<> {
    auto streams = unix_stream::pair();
    co_await pass_a_pipe(std::move(streams.first), std::move(streams.second));
    auto datagrams = unix_datagram_socket::pair();
    co_await pass_a_pipe(std::move(datagrams.first), std::move(datagrams.second));
    auto packets = unix_seqpacket::pair();
    co_await pass_a_pipe(std::move(packets.first), std::move(packets.second));
  };
  run_checked(main());
}

TEST_CASE("descriptors: on a stream they come with the byte that they went with, and no byte is passed over") {
  auto main = []() -> task<> {
    auto [a, b] = unix_stream::pair();
    plain_pipe pipe;
    const std::array<int, 1> number = {pipe.in.number()};
    std::array<std::byte, 100> room{};
    co_await with_task_group([&, &from = a, &to = b](task_group& group) -> task<> {
      auto reads = [&]() -> task<> {
        received_descriptors first = co_await to.receive_descriptors(room);
        CHECK(first.size == 1);
        CHECK(first.descriptors.empty());
        std::size_t size = 0;
        std::size_t count = 0;
        while (size < 7) {
          received_descriptors next = co_await to.receive_descriptors(room);
          size += next.size;
          count += next.descriptors.size();
        }
        CHECK(size == 7);
        CHECK(count == 2);
        received_descriptors end = co_await to.receive_descriptors(room);
        CHECK(end.size == 0);
      };
      auto reading = group.spawn(reads());
      co_await test::settle_down();
      co_await from.write_all(bytes_of("0"));
      co_await test::settle_down();
      co_await from.send_descriptors(bytes_of("123"), number);
      co_await from.send_descriptors(bytes_of("456"), number);
      co_await from.write_all(bytes_of("7"));
      from.close();
      co_await group.join();
    });
  };
  run_checked(main());
}

TEST_CASE("descriptors: what reads bytes only stops short at them, goes on, and closes them") {
  auto main = []() -> task<> {
    auto [a, b] = unix_stream::pair();
    plain_pipe pipe;
    const std::array<int, 1> number = {pipe.in.number()};
    std::array<std::byte, 100> room{};
    // So that the reactor has seen a read of it that waited.
    co_await a.write_all(bytes_of("x"));
    co_await b.read_exactly(std::span(room).first(1));
    co_await with_task_group([&, &from = a, &to = b](task_group& group) -> task<> {
      auto reads = [&]() -> task<> { co_await to.read_exactly(std::span(room).first(6)); };
      group.spawn(reads());
      co_await test::settle_down();
      co_await from.send_descriptors(bytes_of("123"), number);
      co_await from.send_descriptors(bytes_of("456"), number);
      co_await group.join();
    });
    pipe.in.reset();
    CHECK(at_end(pipe.out));
  };
  run_checked(main());
}

TEST_CASE("descriptors: much goes with them, and cancelled it is told how much went") {
  auto main = []() -> task<> {
    auto [a, b] = unix_stream::pair();
    plain_pipe pipe;
    const std::array<int, 1> number = {pipe.in.number()};
    test::guarded_buffer sent(1'000'000);
    test::fill_pattern(sent);
    auto ended = co_await as_result(weir::with_timeout(1ms, a.send_descriptors(sent, number)));
    CHECK(ended.error() == std::errc::timed_out);
    const std::size_t went = a.bytes_written();
    CHECK(went > 0);
    CHECK(went < sent.size());
    a.close();
    test::guarded_buffer got(1'000'000);
    std::size_t size = 0;
    std::size_t count = 0;
    for (;;) {
      received_descriptors next = co_await b.receive_descriptors(got.last_from(size));
      if (next.size == 0) break;
      size += next.size;
      count += next.descriptors.size();
    }
    CHECK(size == went);
    CHECK(count == 1);
    CHECK(test::is_pattern(got.first(went)));
  };
  run_checked(main());
}

TEST_CASE("descriptors: more than are wanted, or than the process may have, are an error, and all are closed") {
  auto main = []() -> task<> {
    for (const std::size_t most : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
      auto [a, b] = unix_stream::pair();
      plain_pipe pipe;
      const std::array<int, 3> numbers = {pipe.in.number(), pipe.in.number(), pipe.in.number()};
      std::array<std::byte, 8> room{};
      co_await a.send_descriptors(bytes_of("abc"), numbers);
      pipe.in.reset();
      auto refused = co_await as_result(b.receive_descriptors(room, most));
      CHECK(refused.error() == std::errc::message_size);
      CHECK(sentence_of(refused) ==
            fmt::format("receive_descriptors from {}: more than {} came: Message too long", b.name(), most));
      CHECK(b.bytes_read() == 3);
      CHECK(room[0] == std::byte{'a'});
      CHECK(at_end(pipe.out));
    }
    auto [a, b] = unix_stream::pair();
    plain_pipe pipe;
    const std::array<int, 2> numbers = {pipe.in.number(), pipe.in.number()};
    std::array<std::byte, 8> room{};
    co_await a.send_descriptors(bytes_of("abc"), numbers);
    pipe.in.reset();
    // One more may be opened at most.
    const unique_descriptor free(::dup(pipe.out.number()));
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit few{.rlim_cur = static_cast<rlim_t>(free.number()) + 2, .rlim_max = before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    auto refused = co_await as_result(b.receive_descriptors(room));
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(refused.error() == std::errc::too_many_files_open);
    CHECK(
        sentence_of(refused) ==
        fmt::format("receive_descriptors from {}: there is no room for all that came: Too many open files", b.name()));
    CHECK(at_end(pipe.out));
  };
  run_checked(main());
}

TEST_CASE("descriptors: none gets lost by who gives up waiting, throws, or closes") {
  auto main = []() -> task<> {
    auto [a, b] = unix_seqpacket::pair();
    plain_pipe pipe;
    const std::array<int, 1> number = {pipe.in.number()};
    std::array<std::byte, 8> room{};
    for (int round = 0; round < 20; ++round) {
      auto gave_up = co_await as_result(weir::with_timeout(1us, b.receive_descriptors(room)));
      CHECK(gave_up.error() == std::errc::timed_out);
      co_await a.send_descriptors(bytes_of("x"), number);
      received_descriptors got = co_await b.receive_descriptors(room);
      CHECK(got.descriptors.size() == 1);
    }
    co_await a.send_descriptors(bytes_of("x"), number);
    auto throws = [&, &from = b]() -> task<> {
      received_descriptors got = co_await from.receive_descriptors(room);
      throw std::runtime_error("no use for them");
    };
    auto thrown = co_await as_result(throws());
    CHECK(sentence_of(thrown) == "no use for them");
    // On their way when both ends close.
    co_await a.send_descriptors(bytes_of("x"), number);
    pipe.in.reset();
    a.close();
    b.close();
    CHECK(at_end(pipe.out));
  };
  run_checked(main());
}

TEST_CASE("descriptors: what cannot be sent says why") {
  auto main = []() -> task<> {
    auto [a, b] = unix_stream::pair();
    const std::array<int, 1> number = {a.native_handle()};
    auto alone = co_await as_result(a.send_descriptors(bytes_of(""), number));
    CHECK(sentence_of(alone) ==
          fmt::format("send_descriptors to {}: at least one byte has to go with them: Invalid argument", a.name()));
    const std::vector<int> many(254, a.native_handle());
    auto too_many = co_await as_result(a.send_descriptors(bytes_of("x"), many));
    CHECK(sentence_of(too_many) ==
          fmt::format("send_descriptors to {}: at most 253 go at once: Invalid argument", a.name()));
    const std::array<int, 1> closed = {-1};
    auto nothing = co_await as_result(a.send_descriptors(bytes_of("x"), closed));
    CHECK(nothing.error() == std::errc::bad_file_descriptor);
    co_await a.send_descriptors(bytes_of("x"), std::span(many).first(253));
    std::array<std::byte, 8> room{};
    received_descriptors all = co_await b.receive_descriptors(room, 1000);
    CHECK(all.descriptors.size() == 253);
    b.close();
    auto broken = co_await as_result(a.send_descriptors(bytes_of("x"), number));
    CHECK(broken.error() == std::errc::broken_pipe);
  };
  run_checked(main());
}

TEST_CASE("descriptors: a number that is owned is closed once") {
  plain_pipe pipe;
  const int number = pipe.in.number();
  unique_descriptor moved = std::move(pipe.in);
  CHECK(!pipe.in);
  CHECK(pipe.in.number() == -1);
  CHECK(moved.number() == number);
  const int released = moved.release();
  CHECK(!moved);
  CHECK(!test::is_free(released));
  moved = unique_descriptor(released);
  moved = unique_descriptor();
  CHECK(test::is_free(released));
}
