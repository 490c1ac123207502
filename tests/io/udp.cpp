#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "../skip.hpp"
#include "messages.hpp"
#include "tcp_support.hpp"

using test::bytes_of;
using test::message;
using test::receive;
using test::refusal_of;
using test::run_checked;
using test::run_everywhere;
using test::sentence_of;
using test::settle_down;
using weir::as_result;
using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::udp_socket;
using weir::with_task_group;

static_assert(!std::is_copy_constructible_v<udp_socket> && std::is_nothrow_move_constructible_v<udp_socket>);

namespace {

/// Nothing is to be received, and nothing will be: loopback delivers at once.
task<> check_empty(udp_socket& socket) {
  std::array<std::byte, 8> room;
  if (!test::is_real(socket)) {
    auto nothing = co_await as_result(weir::with_timeout(1s, socket.receive(room)));
    CHECK(nothing.error() == std::errc::timed_out);
    co_return;
  }
  CHECK(::recv(socket.native_handle(), room.data(), room.size(), MSG_DONTWAIT) < 0);
  CHECK(errno == EAGAIN);
}

udp_socket here() { return udp_socket::bind(endpoint::loopback(0)); }

}  // namespace

TEST_CASE("udp: a datagram comes as it was sent, with its sender") {
  for (const endpoint& address : {endpoint::loopback(0), endpoint::loopback_v6(0)}) {
    auto main = [&]() -> task<> {
      udp_socket a = udp_socket::bind(address);
      udp_socket b = udp_socket::bind(address);
      CHECK(a.local_endpoint().port() != 0);
      CHECK(a.name() == a.local_endpoint().to_string());
      CHECK(!a.peer_endpoint());
      if (test::is_real(a)) CHECK((::fcntl(a.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
      co_await a.send_to(bytes_of("one"), b.local_endpoint());
      co_await a.send_to(bytes_of("second"), b.local_endpoint());
      message first = co_await receive(b);
      message second = co_await receive(b);
      CHECK(first.text == "one");
      CHECK(first.what.from == a.local_endpoint());
      CHECK(first.what.sent_size == 3);
      CHECK(!first.what.is_truncated());
      CHECK(second.text == "second");
      co_await b.send_to(bytes_of("back"), second.what.from);
      message back = co_await receive(a);
      CHECK(back.text == "back");
      CHECK(back.what.from == b.local_endpoint());
    };
    run_everywhere(main);
  }
}

TEST_CASE("udp: an empty datagram is one, and what is too long for the buffer says so") {
  auto main = []() -> task<> {
    udp_socket a = here();
    udp_socket b = here();
    const std::span<const std::byte> nothing;
    co_await a.send_to(nothing, b.local_endpoint());
    co_await a.send_to(bytes_of("0123456789"), b.local_endpoint());
    co_await a.send_to(bytes_of("more"), b.local_endpoint());
    message empty = co_await receive(b);
    CHECK(empty.what.size == 0);
    CHECK(empty.what.from == a.local_endpoint());
    message cut = co_await receive(b, 4);
    CHECK(cut.text == "0123");
    CHECK(cut.what.sent_size == 10);
    CHECK(cut.what.is_truncated());
    // Without a buffer the datagram is taken all the same.
    message none = co_await receive(b, 0);
    CHECK(none.what.sent_size == 4);
    CHECK(none.what.size == 0);
    co_await check_empty(b);
  };
  run_everywhere(main);
}

TEST_CASE("udp: the longest datagram goes, a longer one is refused with a sentence") {
  auto main = []() -> task<> {
    udp_socket a = here();
    udp_socket b = here();
    const std::string longest(65'507, 'x');
    co_await a.send_to(bytes_of(longest), b.local_endpoint());
    message got = co_await receive(b, 70'000);
    CHECK(got.text == longest);
    const std::string longer = longest + "x";
    auto refused = co_await as_result(a.send_to(bytes_of(longer), b.local_endpoint()));
    CHECK(refused.error() == std::errc::message_size);
    CHECK(sentence_of(refused) == fmt::format("send to {}: Message too long", b.local_endpoint()));
  };
  run_everywhere(main);
}

TEST_CASE("udp: each datagram is for one of those who wait, first come, first served") {
  auto main = []() -> task<> {
    udp_socket a = here();
    udp_socket b = here();
    std::vector<std::string> got(3);
    co_await with_task_group([&](task_group& group) -> task<> {
      for (std::string& one : got) {
        group.spawn(
            [](udp_socket& socket, std::string& text) -> task<> { text = (co_await receive(socket)).text; }(b, one));
      }
      co_await settle_down(600);
      for (const char* text : {"0", "1", "2"}) co_await a.send_to(bytes_of(text), b.local_endpoint());
      co_return;
    });
    std::sort(got.begin(), got.end());
    CHECK(got == std::vector<std::string>{"0", "1", "2"});
    co_await check_empty(b);
  };
  run_everywhere(main);
}

TEST_CASE(
    "udp: datagrams that lie there are taken, and answered, in a few turns of the worker, which runs others, too") {
  auto main = []() -> task<> {
    udp_socket a = here();
    udp_socket b = here();
    constexpr int count = 200;
    for (int i = 0; i < count; ++i) co_await a.send_to(bytes_of(std::to_string(i)), b.local_endpoint());
    bool end = false;
    int in_a_row = 0;
    int most = 0;
    co_await with_task_group([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        const std::uint64_t before = weir::counters().total.turns;
        for (int i = 0; i < count; ++i) {
          const auto asked = co_await receive(b);
          CHECK(asked.text == std::to_string(i));
          co_await b.send_to(bytes_of(asked.text), asked.what.from);
          most = std::max(most, ++in_a_row);
        }
        CHECK(weir::counters().total.turns - before <= 30);
        end = true;
      });
      group.spawn([&]() -> task<> {
        while (!end) {
          in_a_row = 0;
          co_await weir::yield();
        }
      });
      co_await group.join();
    });
    CHECK(most <= 65);  // a budget of 128 completions
    for (int i = 0; i < count; ++i) CHECK((co_await receive(a)).text == std::to_string(i));
  };
  run_checked(main());
}

TEST_CASE("udp: connected, it sends to its peer and hears nobody else") {
  auto main = []() -> task<> {
    udp_socket server = here();
    udp_socket stranger = here();
    udp_socket client = udp_socket::connect(server.local_endpoint());
    CHECK(client.peer_endpoint() == server.local_endpoint());
    CHECK(client.name() == server.local_endpoint().to_string());
    co_await stranger.send_to(bytes_of("spam"), client.local_endpoint());
    co_await client.send(bytes_of("hello"));
    message asked = co_await receive(server);
    CHECK(asked.text == "hello");
    CHECK(asked.what.from == client.local_endpoint());
    co_await server.send_to(bytes_of("answer"), asked.what.from);
    message answered = co_await receive(client);
    CHECK(answered.text == "answer");
    CHECK(answered.what.from == server.local_endpoint());
    co_await check_empty(client);
  };
  run_everywhere(main);
}

TEST_CASE("udp: that nobody is at the peer is told by the next operation, once") {
  auto main = []() -> task<> {
    endpoint nobody;
    {
      udp_socket gone = here();
      nobody = gone.local_endpoint();
    }
    udp_socket client = udp_socket::connect(nobody);
    co_await client.send(bytes_of("hello"));
    std::array<std::byte, 8> room;
    auto refused = co_await as_result(client.receive(room));
    CHECK(refused.error() == std::errc::connection_refused);
    CHECK(sentence_of(refused) == fmt::format("receive from {}: Connection refused", nobody));
    udp_socket back = udp_socket::bind(nobody);
    co_await client.send(bytes_of("again"));
    message got = co_await receive(back);
    CHECK(got.text == "again");
  };
  run_everywhere(main);
}

TEST_CASE("udp: who gives up waiting takes no datagram with him") {
  auto main = []() -> task<> {
    udp_socket a = here();
    udp_socket b = here();
    for (int round = 0; round < 50; ++round) {
      auto gave_up = co_await as_result(weir::with_timeout(1us, receive(b)));
      CHECK(gave_up.error() == std::errc::timed_out);
      co_await a.send_to(bytes_of("still here"), b.local_endpoint());
      message got = co_await receive(b);
      CHECK(got.text == "still here");
      co_await check_empty(b);
    }
  };
  run_everywhere(main);
}

TEST_CASE("udp: close ends what waits, and frees the port at once") {
  auto main = []() -> task<> {
    udp_socket a = here();
    const endpoint where = a.local_endpoint();
    std::array<std::byte, 8> room;
    int ended = 0;
    co_await with_task_group([&](task_group& group) -> task<> {
      for (int i = 0; i < 2; ++i) {
        group.spawn([](udp_socket& socket, std::array<std::byte, 8>& into, int& count) -> task<> {
          auto r = co_await as_result(socket.receive(into));
          CHECK(r.error() == std::errc::operation_canceled);
          ++count;
        }(a, room, ended));
      }
      co_await settle_down(600);
      a.close();
      CHECK(!a.is_open());
      co_return;
    });
    CHECK(ended == 2);
    auto closed = co_await as_result(a.receive(room));
    CHECK(closed.error() == std::errc::bad_file_descriptor);
    CHECK(udp_socket::bind(where).is_open());
  };
  run_everywhere(main);
}

TEST_CASE("udp: many tasks on several workers receive each datagram once") {
  auto main = []() -> task<> {
    constexpr int senders = 4;
    const int each = test::scaled(500, 100);
    udp_socket server = here();
    server.set_receive_buffer(1 << 20);
    const endpoint to = server.local_endpoint();
    std::vector<std::atomic<int>> seen(static_cast<std::size_t>(senders * each));
    co_await with_task_group([&](task_group& group) -> task<> {
      for (int i = 0; i < 3; ++i) {
        group.spawn([](udp_socket& socket, std::vector<std::atomic<int>>& counts) -> task<> {
          for (;;) {
            message one = co_await receive(socket, 16);
            counts.at(std::stoul(one.text)).fetch_add(1);
            co_await socket.send_to(bytes_of(one.text), one.what.from);
          }
        }(server, seen));
      }
      co_await with_task_group([&](task_group& clients) -> task<> {
        for (int s = 0; s < senders; ++s) {
          clients.spawn([](endpoint server_at, int first, int count) -> task<> {
            udp_socket socket = udp_socket::connect(server_at);
            for (int i = first; i < first + count; ++i) {
              const std::string text = std::to_string(i);
              co_await socket.send(bytes_of(text));
              message answer = co_await weir::with_timeout(10s, receive(socket, 16));
              CHECK(answer.text == text);
            }
          }(to, s * each, each));
        }
        co_return;
      });
      group.cancel();
    });
    for (const auto& count : seen) CHECK(count.load() == 1);
  };
  run_checked(main(), {.workers = 3});
}

TEST_CASE("udp: of tasks that wait together those go on waiting who were woken in vain, however often") {
  auto main = []() -> task<> {
    udp_socket sender = here();
    udp_socket server = here();
    std::array<int, 2> got{};
    co_await with_task_group([&](task_group& group) -> task<> {
      for (int& count : got) {
        group.spawn([](udp_socket& socket, int& counted) -> task<> {
          for (;;) {
            static_cast<void>(co_await receive(socket, 8));
            ++counted;
          }
        }(server, count));
      }
      for (int i = 1; i <= 1000; ++i) {
        co_await sender.send_to(bytes_of("x"), server.local_endpoint());
        while (got[0] + got[1] < i) co_await weir::yield();
      }
      group.cancel();
    });
    CHECK(got[0] + got[1] == 1000);
  };
  run_checked(main());
}

TEST_CASE("udp: who is stopped when a datagram has woken him leaves none to others who would not hear of it") {
  auto main = []() -> task<> {
    udp_socket sender = here();
    udp_socket server = here();
    for (int round = 0; round < 20; ++round) {
      weir::cancellation_source enough;
      weir::cancellation_source over;
      int got = 0;
      co_await with_task_group([&](task_group& group) -> task<> {
        const auto receives = [&](weir::cancellation_token token) -> task<> {
          auto r = co_await as_result(weir::with_cancellation(token, receive(server, 8)));
          if (r.has_value()) ++got;
        };
        group.spawn(receives(enough.token()));
        co_await settle_down();
        group.spawn(receives(over.token()));
        co_await settle_down();
        co_await sender.send_to(bytes_of("x"), server.local_endpoint());
        enough.request_cancellation();
        const bool heard = co_await test::eventually([&] { return got == 1; });
        CHECK(heard);
        over.request_cancellation();
        co_await group.join();
      });
    }
  };
  run_checked(main());
}

TEST_CASE("udp: what cannot be bound, joined or adopted says so") {
  auto main = []() -> task<> {
    udp_socket a = here();
    CHECK(refusal_of([&] { udp_socket::bind(a.local_endpoint()); }) ==
          fmt::format("bind {}: Address already in use", a.local_endpoint()));
    CHECK(refusal_of([&] { udp_socket::bind(endpoint()); }) == "bind (none): Cannot assign requested address");
    CHECK(refusal_of([&] { udp_socket::connect(endpoint()); }) == "connect (none): Destination address required");
    CHECK(refusal_of([&] { a.join_group(endpoint::loopback(0)); }) ==
          fmt::format("join_group 127.0.0.1:0 at {}: Invalid argument", a.name()));
    auto unaddressed = co_await as_result(a.send_to(bytes_of("x"), endpoint()));
    CHECK(sentence_of(unaddressed) == "send to (none): Destination address required");
    auto unconnected = co_await as_result(a.send(bytes_of("x")));
    CHECK(sentence_of(unconnected) == fmt::format("send to {}: Destination address required", a.name()));
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    CHECK(refusal_of([&] { udp_socket::adopt(ends[0]); }) ==
          fmt::format("adopt fd {} as a UDP socket: Socket operation on non-socket", ends[0]));
    ::close(ends[0]);
    ::close(ends[1]);
    weir::tcp_listener other = weir::tcp_listener::bind(endpoint::loopback(0));
    CHECK(refusal_of([&] { udp_socket::adopt(other.native_handle()); }) ==
          fmt::format("adopt fd {} as a UDP socket (it is another kind): Protocol wrong type for socket",
                      other.native_handle()));
  };
  run_everywhere(main);
}

TEST_CASE("udp: released and adopted again, bound or connected") {
  auto main = []() -> task<> {
    udp_socket a = here();
    const endpoint where = a.local_endpoint();
    udp_socket b = udp_socket::connect(where);
    udp_socket again = udp_socket::adopt(a.release());
    udp_socket b_again = udp_socket::adopt(b.release());
    CHECK(!a.is_open());
    CHECK(again.local_endpoint() == where);
    CHECK(b_again.peer_endpoint() == where);
    co_await b_again.send(bytes_of("hello"));
    message got = co_await receive(again);
    CHECK(got.text == "hello");
  };
  run_everywhere(main);
}

TEST_CASE("udp: readable tells of a datagram and leaves it; both are cases of a select") {
  auto main = []() -> task<> {
    udp_socket a = here();
    udp_socket b = here();
    co_await b.writable();
    co_await a.send_to(bytes_of("x"), b.local_endpoint());
    co_await b.readable();
    auto chosen = co_await weir::select(a.readable(), b.readable());
    CHECK(chosen.index() == 1);
    message got = co_await receive(b);
    CHECK(got.text == "x");
  };
  run_everywhere(main);
}

TEST_CASE("udp: a group's members get what is sent to it until they leave") {
  const unsigned loopback = ::if_nametoindex("lo");
  if (loopback == 0) return skip("needs an interface called lo");
  auto main = [&]() -> task<> {
    const std::uint16_t port = udp_socket::bind(endpoint::any(0)).local_endpoint().port();
    const endpoint group = endpoint::parse(fmt::format("239.255.77.1:{}", port));
    udp_socket sender = here();
    sender.set_multicast_interface(loopback);
    sender.set_multicast_hops(1);
    sender.set_multicast_loop(true);
    std::vector<udp_socket> members;
    for (int i = 0; i < 2; ++i) {
      members.push_back(udp_socket::bind(group, {.reuse_address = true}));
      members.back().join_group(group, loopback);
    }
    co_await sender.send_to(bytes_of("to all"), group);
    for (udp_socket& member : members) {
      message got = co_await weir::with_timeout(5s, receive(member));
      CHECK(got.text == "to all");
    }
    members[0].leave_group(group, loopback);
    members[0].close();
    co_await sender.send_to(bytes_of("to the rest"), group);
    message got = co_await weir::with_timeout(5s, receive(members[1]));
    CHECK(got.text == "to the rest");
    if (!test::is_real(sender)) co_return;
    // The loopback device gives back everything: what is not given back by the socket cannot be seen here.
    sender.set_multicast_loop(false);
    int loop = -1;
    socklen_t size = sizeof loop;
    CHECK(::getsockopt(sender.native_handle(), IPPROTO_IP, IP_MULTICAST_LOOP, &loop, &size) == 0);
    CHECK(loop == 0);
  };
  run_everywhere(main);
}

TEST_CASE("udp: sockets that share a port get each datagram once between them") {
  auto main = []() -> task<> {
    udp_socket first = udp_socket::bind(endpoint::loopback(0), {.reuse_port = true});
    udp_socket second = udp_socket::bind(first.local_endpoint(), {.reuse_port = true});
    udp_socket sender = here();
    co_await sender.send_to(bytes_of("x"), first.local_endpoint());
    auto chosen = co_await weir::select(first.readable(), second.readable());
    udp_socket* ready = &second;
    if (chosen.index() == 0) ready = &first;
    message got = co_await receive(*ready);
    CHECK(got.text == "x");
    co_await check_empty(first);
    co_await check_empty(second);
  };
  run_everywhere(main);
}

namespace {

/// So many bytes from one socket to another in segments of one size, and what comes out of each datagram.
task<> send_in_segments(std::size_t size, std::size_t segment, bool connected, bool coalesces) {
  udp_socket to = here();
  udp_socket from = udp_socket::connect(to.local_endpoint());
  udp_socket stranger = here();
  if (test::is_real(to)) to.set_receive_buffer(4 << 20);
  if (coalesces) static_cast<void>(to.set_coalescing(true));
  std::string sent(size, '?');
  test::fill_pattern(std::as_writable_bytes(std::span(sent)));
  if (connected) co_await from.send(bytes_of(sent), segment);
  if (!connected) co_await stranger.send_to(bytes_of(sent), to.local_endpoint(), segment);
  std::string got;
  std::size_t datagrams = 0;
  while (got.size() < size) {
    message one = co_await weir::with_timeout(10s, receive(to, 65'536));
    CHECK(!one.what.is_truncated());
    const std::size_t each = one.what.segment_size != 0 ? one.what.segment_size : one.text.size();
    if (got.size() + each <= size) CHECK(each == std::min(segment, size - got.size()));
    datagrams += (one.text.size() + each - 1) / each;
    if (!coalesces) CHECK(one.what.segment_size == 0);
    got += one.text;
  }
  CHECK(got == sent);
  CHECK(datagrams == (size + segment - 1) / segment);
  co_await check_empty(to);
}

}  // namespace

TEST_CASE("udp: segments of a buffer come as datagrams, whether the kernel splits and joins them or not") {
  for (const bool splits : {true, false}) {
    weir::detail::kernel_may_split.store(splits);
    for (const bool coalesces : {false, true}) {
      auto main = [&]() -> task<> {
        co_await send_in_segments(10'000, 1000, true, coalesces);
        co_await send_in_segments(10'001, 1000, false, coalesces);
        co_await send_in_segments(1000, 1000, true, coalesces);
        co_await send_in_segments(30, 1000, false, coalesces);
        co_await send_in_segments(20'000, 100, true, coalesces);  // more than go at once
        co_await send_in_segments(50'000, 40'000, true, coalesces);
      };
      run_everywhere(main);
    }
  }
  weir::detail::kernel_may_split.store(true);
}

TEST_CASE("udp: a socket that was adopted tells where datagrams end that have come together") {
  auto main = []() -> task<> {
    udp_socket made = here();
    if (!test::is_real(made) || !made.set_coalescing(true)) co_return;
    udp_socket to = udp_socket::adopt(made.release());
    udp_socket from = udp_socket::connect(to.local_endpoint());
    std::string sent(10'000, 'x');
    co_await from.send(bytes_of(sent), 1000);
    std::size_t got = 0;
    while (got < sent.size()) {
      const message one = co_await weir::with_timeout(10s, receive(to, 65'536));
      CHECK((one.what.segment_size == 1000 || one.text.size() == 1000));
      got += one.text.size();
    }
    CHECK(got == sent.size());
  };
  run_everywhere(main);
}

TEST_CASE("udp: segments that cannot be are refused, and nothing is no datagram") {
  auto main = []() -> task<> {
    udp_socket to = here();
    udp_socket from = here();
    auto none = co_await as_result(from.send_to(bytes_of("abc"), to.local_endpoint(), 0));
    CHECK(none.error() == std::errc::invalid_argument);
    auto long_one = co_await as_result(from.send_to(bytes_of("abc"), to.local_endpoint(), 65'508));
    CHECK(sentence_of(long_one) == fmt::format("send to {}: Message too long", to.local_endpoint()));
    auto unaddressed = co_await as_result(from.send_to(bytes_of("abc"), endpoint(), 1));
    CHECK(sentence_of(unaddressed) == "send to (none): Destination address required");
    auto unconnected = co_await as_result(from.send(bytes_of("abc"), 1));
    CHECK(!unconnected.has_value());
    const std::span<const std::byte> nothing;
    co_await from.send_to(nothing, to.local_endpoint(), 100);
    co_await check_empty(to);
  };
  run_everywhere(main);
}
