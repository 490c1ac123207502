#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>
#include <system_error>

#include "guarded_buffer.hpp"
#include "sockets.hpp"
#include "tcp_support.hpp"

using test::guarded_buffer;
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
  if (with_client) {
    plain_socket client = plain_socket::connected_to(used);
    tcp_stream stream = co_await listener.accept();
    // Reset, for else the port would linger in TIME_WAIT. Whoever closes before the reset has arrived waits for
    // packets, and so does the port: kernels that leave them to a thread of theirs may take milliseconds for that.
    client.reset();
    guarded_buffer byte(1);
    const auto end = co_await as_result(stream.read_some(byte));
    CHECK(end.error() == std::errc::connection_reset);
  }
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(accept_until_stopped(listener));
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

TEST_CASE("tcp: a listener has the backlog that was asked for") {
  const test::no_descriptor_leaks none;
  const tcp_listener listener = tcp_listener::bind(endpoint::loopback(0), {.backlog = 7});
  tcp_info info{};
  socklen_t size = sizeof info;
  REQUIRE(::getsockopt(listener.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
  CHECK(info.tcpi_sacked == 7);  // of a listener, this is its limit
}

TEST_CASE("tcp: a port whose old connections linger can be bound if that is said") {
  const test::no_descriptor_leaks none;
  endpoint local;
  {
    tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
    local = listener.local_endpoint();
    plain_socket client = plain_socket::connected_to(local);
    // Who closes first keeps the port in TIME_WAIT.
    plain_socket server(::accept(listener.native_handle(), nullptr, nullptr));
    server.close();
    CHECK(client.at_end());
    client.close();
  }
  CHECK_THROWS_AS(static_cast<void>(tcp_listener::bind(local, {.reuse_address = false})), std::system_error);
  const tcp_listener again = tcp_listener::bind(local);
  CHECK(again.local_endpoint() == local);
}

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
