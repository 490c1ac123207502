#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sockets.hpp"
#include "tcp_support.hpp"

// A burst of connections: they are all there before the first of them is accepted.

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

std::vector<plain_socket> connect_many(const tcp_listener& listener, int count) {
  std::vector<plain_socket> clients;
  for (int i = 0; i < count; ++i) clients.push_back(plain_socket::connected_to(listener.local_endpoint()));
  return clients;
}

/// Is it the next of them?
void expect_next(const tcp_stream& stream, const plain_socket& client) {
  CHECK(stream.peer_endpoint() == client.local());
}

task<> takes_few_turns() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  const std::vector<plain_socket> clients = connect_many(listener, 64);
  const std::uint64_t before = weir::counters().total.turns;
  for (const plain_socket& client : clients) expect_next(co_await listener.accept(), client);
  CHECK(weir::counters().total.turns - before <= 8);
}

/// There is nothing behind the burst, and then there is.
task<> waits_behind_the_burst() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  for (int round = 0; round < 3; ++round) {
    for (const plain_socket& client : connect_many(listener, 5)) expect_next(co_await listener.accept(), client);
    tcp_stream late;
    plain_socket client;
    co_await with_task_group([&](task_group& group) -> task<> {
      auto accepting = group.spawn([&]() -> task<> { late = co_await listener.accept(); });
      co_await settle_down();
      CHECK(!accepting.done());
      client = plain_socket::connected_to(listener.local_endpoint());
      co_await accepting.join();
    });
    expect_next(late, client);
  }
}

/// How many connections are accepted in a row, at most, while another task is ready?
task<> lets_others_run() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  constexpr int count = 400;
  const std::vector<plain_socket> clients = connect_many(listener, count);
  int in_a_row = 0;
  int most = 0;
  bool end = false;
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn([&]() -> task<> {
      for (int i = 0; i < count; ++i) {
        tcp_stream stream = co_await listener.accept();
        most = std::max(most, ++in_a_row);
      }
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
  CHECK(most <= 129);
}

task<> stopped_takes_nothing() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  const std::vector<plain_socket> clients = connect_many(listener, 2);
  expect_next(co_await listener.accept(), clients[0]);
  weir::cancellation_source source;
  source.request_cancellation();
  const auto stopped = co_await as_result(weir::with_cancellation(source.token(), listener.accept()));
  CHECK(stopped.is_cancelled());
  expect_next(co_await listener.accept(), clients[1]);
}

task<> runs_out_of_descriptors() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  const std::string name = listener.local_endpoint().to_string();
  const std::vector<plain_socket> clients = connect_many(listener, 3);
  co_await settle_down();
  expect_next(co_await listener.accept(), clients[0]);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 0;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto first = co_await as_result(listener.accept());
  const auto second = co_await as_result(listener.accept());
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(sentence_of(first) == fmt::format("accept {}: Too many open files", name));
  CHECK(sentence_of(second) == fmt::format("accept {}: Too many open files", name));
  expect_next(co_await listener.accept(), clients[1]);
  expect_next(co_await listener.accept(), clients[2]);
}

/// Several tasks on several workers: each connection is accepted once.
task<> shared_by_several() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  constexpr std::size_t tasks = 8;
  constexpr std::size_t each = 25;
  std::vector<plain_socket> clients = connect_many(listener, 50);
  std::vector<std::vector<tcp_stream>> accepted(tasks);
  co_await with_task_group([&](task_group& group) -> task<> {
    for (std::vector<tcp_stream>& into : accepted) {
      group.spawn([&]() -> task<> {
        for (std::size_t i = 0; i < each; ++i) into.push_back(co_await listener.accept());
      });
    }
    co_await settle_down();
    for (plain_socket& late : connect_many(listener, static_cast<int>(tasks * each) - 50)) {
      clients.push_back(std::move(late));
    }
    co_await group.join();
  });
  for (const plain_socket& client : clients) {
    std::ptrdiff_t times = 0;
    for (const auto& streams : accepted) {
      times += std::count_if(streams.begin(), streams.end(),
                             [&](const tcp_stream& s) { return s.peer_endpoint() == client.local(); });
    }
    CHECK(times == 1);
  }
}

task<> unix_takes_few_turns() {
  weir::unix_listener listener = weir::unix_listener::bind(weir::unix_endpoint::any());
  std::vector<weir::unix_stream> clients;
  for (int i = 0; i < 64; ++i) clients.push_back(co_await weir::unix_stream::connect(listener.local_endpoint()));
  const std::uint64_t before = weir::counters().total.turns;
  for (int i = 0; i < 64; ++i) static_cast<void>(co_await listener.accept());
  CHECK(weir::counters().total.turns - before <= 8);
  const auto none = co_await as_result(weir::with_timeout(std::chrono::milliseconds(1), listener.accept()));
  CHECK(none.error() == std::errc::timed_out);
}

}  // namespace

TEST_CASE("accept: a burst takes few turns of its worker") {
  run_checked(takes_few_turns());
  run_checked(unix_takes_few_turns());
}

TEST_CASE("accept: behind a burst it waits") {
  run_checked(waits_behind_the_burst());
  run_checked(waits_behind_the_burst(), {.workers = 4});
}

TEST_CASE("accept: in a burst other tasks run, too") { run_checked(lets_others_run()); }

TEST_CASE("accept: cancelled, it takes nothing from a burst") { run_checked(stopped_takes_nothing()); }

TEST_CASE("accept: without a free descriptor in the middle of a burst") { run_checked(runs_out_of_descriptors()); }

TEST_CASE("accept: several tasks share a burst") {
  run_checked(shared_by_several());
  run_checked(shared_by_several(), {.workers = 4});
}
