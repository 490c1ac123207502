#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <system_error>

#include <weir/io/file.hpp>
#include <weir/sync/event.hpp>

#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "sockets.hpp"
#include "watchdog.hpp"

// The body of a group returns, throws or is stopped while its children have operations in the kernel.

using test::connect_pair;
using test::connection;
using test::guarded_buffer;
using test::plain_socket;
using test::watchdog;
using weir::as_result;
using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::tcp_listener;
using weir::tcp_stream;
using weir::with_cancellation;
using weir::with_task_group;

namespace {

/// What the children of a group are busy with.
struct sockets_and_pipe {
  connection in = connect_pair();
  connection out = connect_pair(true);
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  tcp_stream accepted;
  plain_socket client;
  weir::file pipe;
  plain_socket pipe_writer;

  sockets_and_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
    pipe = weir::file::adopt(ends[0], "a pipe");
    pipe_writer = plain_socket(ends[1]);
  }
};

struct buffers {
  guarded_buffer got{100};
  guarded_buffer line{10};
  guarded_buffer big{std::size_t{1} << 18};
};

task<> child_reads(sockets_and_pipe& world, buffers& memory, test::log& log) {
  const test::mark last(log, "reader");
  co_await world.in.stream.read_exactly(memory.got);
}
task<> child_writes(sockets_and_pipe& world, buffers& memory, test::log& log) {
  const test::mark last(log, "writer");
  co_await world.out.stream.write_all(memory.big);
}
task<> child_accepts(sockets_and_pipe& world, test::log& log) {
  const test::mark last(log, "accepter");
  world.accepted = co_await world.listener.accept();
}
task<> child_reads_a_pipe(sockets_and_pipe& world, buffers& memory, test::log& log) {
  const test::mark last(log, "pipe reader");
  const std::size_t n = co_await world.pipe.read_some(memory.line);
  CHECK(n == 4);
}
task<> child_connects(const plain_socket& full, test::log& log) {
  const test::mark last(log, "connecter");
  tcp_stream never = co_await tcp_stream::connect(full.local());
}

void spawn_children(task_group& group, sockets_and_pipe& world, buffers& memory, test::log& log) {
  group.spawn(child_reads(world, memory, log));
  group.spawn(child_writes(world, memory, log));
  group.spawn(child_accepts(world, log));
  group.spawn(child_reads_a_pipe(world, memory, log));
}

/// Lets all of them complete, once `now` says so.
task<> help(sockets_and_pipe& world, weir::event& now) {
  co_await now.wait();
  guarded_buffer drained(std::size_t{1} << 18);
  world.in.peer.send(drained.first(100));
  world.client = plain_socket::connected_to(world.listener.local_endpoint());
  CHECK(::write(world.pipe_writer.number(), "line", 4) == 4);
  tcp_stream reader = tcp_stream::adopt(world.out.peer.release());
  co_await reader.read_exactly(drained);
}

/// At the end of its life it tells the log, and sets an event.
class last_will {
 public:
  last_will(test::log& log, weir::event& event) : mark_(log, "body"), event_(event) {}
  last_will(const last_will&) = delete;
  last_will& operator=(const last_will&) = delete;
  ~last_will() { event_.set(); }

 private:
  test::mark mark_;
  weir::event& event_;
};

task<> body_returns() {
  sockets_and_pipe world;
  buffers memory;
  test::log log;
  weir::event left;
  co_await with_task_group([&](task_group& outer) -> task<> {
    outer.spawn(help(world, left));
    co_await with_task_group([&](task_group& group) -> task<> {
      const last_will will(log, left);
      spawn_children(group, world, memory, log);
      co_await test::settle_down();
      CHECK(group.size() == 4);
    });
    log.emplace_back("left");
    co_await outer.join();
  });
  // Its locals have died first, then the children have come to their ends undisturbed, and only then the scope was
  // left.
  REQUIRE(log.size() == 6);
  CHECK(log.front() == "body");
  CHECK(log.back() == "left");
  for (const char* child : {"reader", "writer", "accepter", "pipe reader"}) {
    CHECK(std::count(log.begin(), log.end(), child) == 1);
  }
}

task<> body_throws(bool supervised) {
  sockets_and_pipe world;
  buffers memory;
  const plain_socket full = plain_socket::listening(0);
  const plain_socket in_the_queue = plain_socket::connected_to(full.local());
  test::log log;
  weir::event left;
  const auto body = [&](task_group& group) -> task<> {
    const last_will will(log, left);
    spawn_children(group, world, memory, log);
    group.spawn(child_connects(full, log));
    co_await test::settle_down();
    throw std::runtime_error("the body has failed");
  };
  std::string sentence;
  if (supervised) {
    auto r = co_await as_result(weir::with_supervisor(body));
    sentence = test::sentence_of(r);
  } else {
    auto r = co_await as_result(with_task_group(body));
    sentence = test::sentence_of(r);
  }
  CHECK(sentence == "the body has failed");
  REQUIRE(log.size() == 6);
  CHECK(log.front() == "body");
  for (const char* child : {"reader!", "writer!", "accepter!", "pipe reader!", "connecter!"}) {
    CHECK(std::count(log.begin(), log.end(), child) == 1);
  }
  // What was in flight has been given back: everything can be used again.
  CHECK(world.in.stream.bytes_read() == 0);
  world.in.peer.send(memory.big.first(100));
  co_await world.in.stream.read_exactly(memory.got);
  world.client = plain_socket::connected_to(world.listener.local_endpoint());
  world.accepted = co_await world.listener.accept();
  CHECK(world.accepted.peer_endpoint() == world.client.local());
}

/// The children refer to the body's locals.
task<> body_is_stopped() {
  sockets_and_pipe world;
  const plain_socket full = plain_socket::listening(0);
  const plain_socket in_the_queue = plain_socket::connected_to(full.local());
  test::log log;
  weir::event left;
  weir::event begun;
  weir::cancellation_source source;
  const auto body = [&](task_group& group) -> task<> {
    const last_will will(log, left);
    buffers memory;
    spawn_children(group, world, memory, log);
    group.spawn(child_connects(full, log));
    co_await test::settle_down();
    begun.set();
    co_await weir::sleep_for(24h);
  };
  co_await with_task_group([&](task_group& outer) -> task<> {
    const auto stopping = [&]() -> task<> {
      co_await begun.wait();
      source.request_cancellation();
    };
    outer.spawn(stopping);
    auto r = co_await as_result(with_cancellation(source.token(), with_task_group(body)));
    CHECK(r.is_cancelled());
  });
  // The children first, and then the body, whose locals they had.
  REQUIRE(log.size() == 6);
  CHECK(log.back() == "body!");
  for (const char* child : {"reader!", "writer!", "accepter!", "pipe reader!", "connecter!"}) {
    CHECK(std::count(log.begin(), log.end(), child) == 1);
  }
}

}  // namespace

TEST_CASE("groups: the exits of a group's body with I/O in flight") {
  const watchdog dog;
  watchdog::watch("the exits of a group's body");
  for (int i = 0; i < 10; ++i) {
    const test::no_descriptor_leaks none;
    weir::run(body_returns(), {.workers = 1});
    weir::run(body_throws(false), {.workers = 1});
    weir::run(body_throws(true), {.workers = 1});
    weir::run(body_is_stopped(), {.workers = 1});
  }
}
