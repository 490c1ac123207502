#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include <weir/io/unix_messages.hpp>

#include "files.hpp"
#include "messages.hpp"
#include "tcp_support.hpp"

using test::bytes_of;
using test::message;
using test::receive;
using test::run_checked;
using test::run_everywhere;
using test::sentence_of;
using weir::as_result;
using weir::task;
using weir::task_group;
using weir::unix_datagram_socket;
using weir::unix_endpoint;
using weir::unix_message;
using weir::unix_seqpacket;
using weir::unix_seqpacket_listener;
using weir::with_task_group;

static_assert(!std::is_copy_constructible_v<unix_datagram_socket>);
static_assert(std::is_nothrow_move_constructible_v<unix_seqpacket>);

namespace {

/// "" at the end.
task<std::string> receive(unix_seqpacket& socket, std::size_t room = 2000) {
  std::string text(room, '?');
  const std::optional<unix_message> got = co_await socket.receive(std::as_writable_bytes(std::span(text)));
  text.resize(got ? got->size : 0);
  co_return text;
}

/// Until it has no more room; how many were sent.
task<int> fill(unix_datagram_socket& from, const unix_endpoint& to) {
  for (int sent = 0;; ++sent) {
    auto r = co_await as_result(from.send_to(bytes_of("x"), to));
    if (r.has_value()) continue;
    CHECK(r.error() == std::errc::resource_unavailable_try_again);
    CHECK(sentence_of(r) == fmt::format("send to {}: there is no room for it: Resource temporarily unavailable", to));
    co_return sent;
  }
}

}  // namespace

TEST_CASE("unix datagrams: come as they were sent, with their sender, over a path and an abstract name") {
  test::scratch_directory directory;
  const std::string path = directory.name("a.sock");
  for (const unix_endpoint& where : {unix_endpoint(path), unix_endpoint::any()}) {
    auto main = [&]() -> task<> {
      unix_datagram_socket server = unix_datagram_socket::bind(where);
      const unix_endpoint at = server.local_endpoint();
      CHECK(server.name() == at.to_string());
      CHECK(!server.peer_endpoint());
      unix_datagram_socket client = unix_datagram_socket::bind(unix_endpoint::any());
      co_await client.send_to(bytes_of("one"), at);
      co_await client.send_to(bytes_of(""), at);
      co_await client.send_to(bytes_of("0123456789"), at);
      message one = co_await receive(server);
      message empty = co_await receive(server);
      message cut = co_await receive(server, 4);
      CHECK(one.text == "one");
      CHECK(one.what.from == client.local_endpoint());
      CHECK(!one.what.is_truncated());
      CHECK(empty.what.size == 0);
      CHECK(cut.text == "0123");
      CHECK(cut.what.sent_size == 10);
      CHECK(cut.what.is_truncated());
      co_await server.send_to(bytes_of("back"), one.what.from);
      message back = co_await receive(client);
      CHECK(back.text == "back");
      CHECK(back.what.from == at);
    };
    run_everywhere(main);
  }
  CHECK(!std::filesystem::exists(path));
}

TEST_CASE("unix datagrams: connected, a socket can be answered, and hears nobody else") {
  auto main = []() -> task<> {
    unix_datagram_socket server = unix_datagram_socket::bind(unix_endpoint::any());
    unix_datagram_socket client = unix_datagram_socket::connect(server.local_endpoint());
    CHECK(client.peer_endpoint() == server.local_endpoint());
    CHECK(client.name() == server.name());
    co_await client.send(bytes_of("question"));
    message asked = co_await receive(server);
    CHECK(asked.text == "question");
    co_await server.send_to(bytes_of("answer"), asked.what.from);
    message answered = co_await receive(client);
    CHECK(answered.text == "answer");
    unix_datagram_socket stranger = unix_datagram_socket::bind(unix_endpoint::any());
    auto refused = co_await as_result(stranger.send_to(bytes_of("spam"), client.local_endpoint()));
    CHECK(refused.error() == std::errc::operation_not_permitted);
    auto [a, b] = unix_datagram_socket::pair();
    co_await a.send(bytes_of("paired"));
    message paired = co_await receive(b);
    CHECK(paired.text == "paired");
    CHECK(!paired.what.from);
  };
  run_everywhere(main);
}

TEST_CASE("unix datagrams: send_to a full queue fails at once; send waits until the receiver has taken one") {
  auto main = []() -> task<> {
    unix_datagram_socket server = unix_datagram_socket::bind(unix_endpoint::any());
    const unix_endpoint at = server.local_endpoint();
    unix_datagram_socket stranger = unix_datagram_socket::bind(unix_endpoint::any());
    unix_datagram_socket client = unix_datagram_socket::connect(at);
    const int most = co_await fill(stranger, at);
    CHECK(most > 0);
    bool sent = false;
    co_await with_task_group([&](task_group& group) -> task<> {
      auto sends = [&]() -> task<> {
        co_await client.send(bytes_of("last"));
        sent = true;
      };
      group.spawn(sends());
      co_await test::settle_down();
      CHECK(!sent);
      auto impatient = co_await as_result(weir::with_timeout(1us, client.send(bytes_of("never"))));
      CHECK(impatient.error() == std::errc::timed_out);
      for (int i = 0; i < most; ++i) static_cast<void>(co_await receive(server));
      message last = co_await receive(server);
      CHECK(last.text == "last");
      co_await group.join();
    });
    CHECK(sent);
    auto nothing = co_await as_result(weir::with_timeout(1us, receive(server)));
    CHECK(nothing.error() == std::errc::timed_out);
  };
  run_everywhere(main);
}

TEST_CASE("unix datagrams: what goes wrong is told by a sentence") {
  test::scratch_directory directory;
  const std::string path = directory.name("a.sock");
  auto main = [&]() -> task<> {
    unix_datagram_socket socket = unix_datagram_socket::bind(path);
    auto nobody = co_await as_result(socket.send_to(bytes_of("x"), unix_endpoint::abstract("weir nobody")));
    CHECK(sentence_of(nobody) == "send to @weir nobody: Connection refused");
    auto unnamed = co_await as_result(socket.send_to(bytes_of("x"), unix_endpoint()));
    CHECK(sentence_of(unnamed) == "send to (unnamed): Destination address required");
    auto unconnected = co_await as_result(socket.send(bytes_of("x")));
    CHECK(unconnected.error() == std::errc::not_connected);
    const std::string much(10'000'000, 'x');
    auto too_long = co_await as_result(socket.send_to(bytes_of(much), path));
    CHECK(sentence_of(too_long) == fmt::format("send to {}: Message too long", path));
    CHECK_THROWS_AS(unix_datagram_socket::bind(path, {.replace_stale = true}), std::system_error);
    CHECK_THROWS_AS(unix_datagram_socket::adopt(unix_seqpacket().native_handle()), std::system_error);
    socket = unix_datagram_socket::adopt(socket.release());
    CHECK(socket.local_endpoint() == path);
    socket.close();
    CHECK(std::filesystem::exists(path));
    socket = unix_datagram_socket::bind(path, {.replace_stale = true});
    auto room = std::array<std::byte, 8>();
    socket.close();
    CHECK(!std::filesystem::exists(path));
    auto closed = co_await as_result(socket.receive(room));
    CHECK(closed.error() == std::errc::bad_file_descriptor);
  };
  run_checked(main());
}

TEST_CASE("unix seqpacket: a connection that keeps messages apart, and has an end") {
  auto main = []() -> task<> {
    unix_seqpacket_listener listener = unix_seqpacket_listener::bind(unix_endpoint::any());
    unix_seqpacket client = co_await unix_seqpacket::connect(listener.local_endpoint());
    unix_seqpacket server = co_await listener.accept();
    CHECK(server.peer_credentials().pid == ::getpid());
    CHECK(client.peer_endpoint() == listener.local_endpoint());
    co_await client.send(bytes_of("one"));
    co_await client.send(bytes_of("second"));
    const std::string one = co_await receive(server);
    CHECK(one == "one");
    std::array<std::byte, 4> room{};
    const std::optional<unix_message> cut = co_await server.receive(room);
    REQUIRE(cut);
    CHECK(cut->size == 4);
    CHECK(cut->sent_size == 6);
    co_await server.send(bytes_of("answer"));
    const std::string answer = co_await receive(client);
    CHECK(answer == "answer");
    for (int round = 0; round < 20; ++round) {
      auto gave_up = co_await as_result(weir::with_timeout(1us, receive(server)));
      CHECK(gave_up.error() == std::errc::timed_out);
      co_await client.send(bytes_of("still here"));
      const std::string got = co_await receive(server);
      CHECK(got == "still here");
    }
    client.close();
    const std::optional<unix_message> end = co_await server.receive(room);
    CHECK(!end);
    auto broken = co_await as_result(server.send(bytes_of("x")));
    CHECK(broken.error() == std::errc::broken_pipe);
  };
  run_everywhere(main);
}

TEST_CASE("unix seqpacket: many tasks on several workers receive each message once") {
  auto main = []() -> task<> {
    auto [a, b] = unix_seqpacket::pair();
    constexpr int count = 300;
    std::array<std::atomic<int>, count> seen{};
    co_await with_task_group([&, &from = a, &to = b](task_group& group) -> task<> {
      for (int i = 0; i < 3; ++i) {
        group.spawn([](unix_seqpacket& socket, std::array<std::atomic<int>, count>& counts) -> task<> {
          for (;;) {
            const std::string text = co_await receive(socket, 16);
            if (text.empty()) co_return;
            counts.at(std::stoul(text)).fetch_add(1);
          }
        }(to, seen));
      }
      for (int i = 0; i < count; ++i) {
        const std::string text = std::to_string(i);
        co_await from.send(bytes_of(text));
      }
      from.close();
      co_await group.join();
    });
    for (const auto& times : seen) CHECK(times.load() == 1);
  };
  run_checked(main(), {.workers = 3});
}

TEST_CASE("unix seqpacket: close ends what waits") {
  auto main = []() -> task<> {
    auto [a, b] = unix_seqpacket::pair();
    co_await with_task_group([&, &socket = a](task_group& group) -> task<> {
      auto waits = [&]() -> task<> {
        std::array<std::byte, 8> room{};
        auto r = co_await as_result(socket.receive(room));
        CHECK(r.error() == std::errc::operation_canceled);
      };
      group.spawn(waits());
      co_await test::settle_down();
      socket.close();
      co_await group.join();
    });
  };
  run_everywhere(main);
}
