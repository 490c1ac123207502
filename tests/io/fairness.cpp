#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "sockets.hpp"

// How long a read whose data has come waits behind tasks that never end, on one worker: counted in their resumptions,
// never in time. The bounds are those of docs/performance.md, and those of timers in tests/runtime/fairness.cpp.

namespace {

constexpr unsigned turn = 64;  // runtime_options::tasks_per_turn here
constexpr long ready = 8;      // tasks that are ready at once
constexpr int times = 60;

/// A stream whose other end is a plain socket: what is sent there is here when the call returns.
class local_pair {
 public:
  local_pair() {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    stream = weir::tcp_stream::adopt(ends[0]);
    peer = test::plain_socket(ends[1]);
  }
  weir::tcp_stream stream;
  test::plain_socket peer;
};

/// Counts resumptions; now and then one of them makes the reader's data come.
class load {
 public:
  void resumed() {
    ++ran_;
    if (due_at_ != 0 || ran_ < next_) return;
    due_at_ = ran_;
    pair_.peer.send(std::array{std::byte{1}});
  }
  /// Reads one byte, so many times; each comes when it already waits, or before it has begun.
  weir::task<> reads() {
    std::array<std::byte, 1> byte{};
    for (int i = 0; i < times; ++i) {
      const std::size_t n = co_await pair_.stream.read_some(byte);
      CHECK(n == 1);
      most_ = std::max(most_, ran_ - due_at_);
      due_at_ = 0;
      next_ = ran_ + 150 + i;
    }
    end = true;
  }
  [[nodiscard]] long most() const { return most_; }

  bool end = false;

 private:
  local_pair pair_;
  long ran_ = 0;
  long next_ = 100;
  long due_at_ = 0;
  long most_ = 0;
};

weir::task<> yields(load& in) {
  while (!in.end) {
    in.resumed();
    co_await weir::yield();
  }
}

weir::task<> always_ready(load& in) {
  while (!in.end) {
    in.resumed();
    co_await weir::checkpoint();
  }
}

weir::task<> wakes(load& in, weir::event& mine, weir::event& other) {
  while (!in.end) {
    co_await mine.wait();
    in.resumed();
    other.set();
  }
  other.set();
}

weir::task<> spawns_itself(load& in, weir::task_group& group) {
  in.resumed();
  if (!in.end) group.spawn(spawns_itself(in, group));
  co_return;
}

/// A read of its own that is always ready: its peer has sent more than anybody takes.
weir::task<> reads_on(load& in, local_pair& pair) {
  std::array<std::byte, 1> byte{};
  while (!in.end) {
    in.resumed();
    pair.peer.send(byte);
    co_await pair.stream.read_some(byte);
  }
}

template <class F>
long most_before_a_read(F background) {
  load in;
  auto main = [&]() -> weir::task<> {
    auto body = [&](weir::task_group& group) -> weir::task<> {
      background(in, group);
      group.spawn(in.reads());
      co_await group.join();
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), {.workers = 1, .tasks_per_turn = turn});
  return in.most();
}

}  // namespace

TEST_CASE("fairness: a read whose data has come waits for the rest of a turn, and then for what was ready before it") {
  SUBCASE("beside tasks that yield for ever") {
    const auto background = [](load& in, weir::task_group& group) {
      for (int i = 0; i < ready; ++i) group.spawn(yields(in));
    };
    CHECK(most_before_a_read(background) <= turn + ready);
  }
  SUBCASE("beside tasks whose leaves are always ready: in completions, of which each has 128") {
    const auto background = [](load& in, weir::task_group& group) {
      for (int i = 0; i < ready; ++i) group.spawn(always_ready(in));
    };
    CHECK(most_before_a_read(background) <= (turn + ready) * 129);
  }
  SUBCASE("beside chains of tasks that are woken before their turn") {
    struct pair_of_events {
      weir::event ping{weir::reset_mode::automatic, true};
      weir::event pong{weir::reset_mode::automatic};
    };
    std::array<pair_of_events, ready> events;
    const auto background = [&events](load& in, weir::task_group& group) {
      for (pair_of_events& e : events) {
        group.spawn(wakes(in, e.ping, e.pong));
        group.spawn(wakes(in, e.pong, e.ping));
      }
    };
    CHECK(most_before_a_read(background) <= turn + 4 * ready);
  }
  SUBCASE("beside children that keep spawning") {
    const auto background = [](load& in, weir::task_group& group) {
      for (int i = 0; i < ready; ++i) group.spawn(spawns_itself(in, group));
    };
    CHECK(most_before_a_read(background) <= turn + 1);
  }
  SUBCASE("beside reads that always find something: each may take 128 of them in a row") {
    std::array<local_pair, ready> pairs;
    const auto background = [&pairs](load& in, weir::task_group& group) {
      for (local_pair& p : pairs) group.spawn(reads_on(in, p));
    };
    CHECK(most_before_a_read(background) <= (turn + ready) * 129);
  }
}
