#include <weir/io/poll.hpp>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <utility>

#include <weir/weir.hpp>

#include "guarded_buffer.hpp"
#include "other_thread.hpp"
#include "scene_parts.hpp"
#include "sockets.hpp"
#include "tcp_support.hpp"
#include "watchdog.hpp"

// Readiness: of streams, of listeners and of descriptors that are not weir's, alone and as cases of select.

using test::both_ends;
using test::connect_both;
using test::connect_pair;
using test::connection;
using test::run_checked;
using test::sentence_of;
using test::settle_down;
using weir::as_result;
using weir::channel;
using weir::endpoint;
using weir::join_handle;
using weir::select;
using weir::task;
using weir::task_group;
using weir::tcp_listener;
using weir::tcp_stream;
using weir::with_task_group;
using weir::with_timeout;

static_assert(weir::detail::lingering<decltype(std::declval<tcp_stream&>().readable())>);
static_assert(weir::detail::lingering<decltype(weir::poll(0, POLLIN))>);
static_assert(!weir::detail::selectable<decltype(std::declval<tcp_stream&>().read_some({}))>);

namespace {

constexpr std::array<std::byte, 5> word = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}};

/// A descriptor that is not weir's: readable while its count is not 0.
class count {
 public:
  count() : number_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { REQUIRE(number_ >= 0); }
  count(const count&) = delete;
  count& operator=(const count&) = delete;
  ~count() { ::close(number_); }
  [[nodiscard]] int number() const noexcept { return number_; }
  void raise() const {
    const std::uint64_t one = 1;
    if (::write(number_, &one, sizeof one) != sizeof one) throw std::runtime_error("the test's own write");
  }
  /// Whether it was not 0.
  [[nodiscard]] bool clear() const {
    std::uint64_t seen = 0;
    return ::read(number_, &seen, sizeof seen) == sizeof seen;
  }

 private:
  int number_;
};

task<> read_word(tcp_stream& from) {
  std::array<std::byte, 5> into{};
  co_await from.read_exactly(into);
  if (into != word) throw std::runtime_error("other bytes have come");
}

/// Writes until the kernel takes no more.
task<std::size_t> fill(tcp_stream& to) {
  const test::guarded_buffer bytes(1 << 16);
  std::size_t sent = 0;
  for (;;) {
    auto chosen = co_await weir::select_ordered(to.writable(), weir::sleep_for(20ms));
    if (chosen.index() == 1) co_return sent;
    sent += co_await to.write_some(bytes);
  }
}

/// On one worker, for a body that closes the connection or gives it away.
template <class... Args>
void with_connection(task<> (*body)(connection&, Args...), Args... args) {
  const test::no_descriptor_leaks none;
  connection c = connect_pair();
  weir::run(body(c, args...), {.workers = 1});
}

template <class F>
void for_seeds(F main, std::uint64_t seeds = 30) {
  const auto checked = [&](weir::simulation& world) -> task<> {
    co_await main();
    if (world.open_descriptors() != 0) throw std::runtime_error("descriptors stay open");
  };
  weir::explore(seeds, checked, {});
}

}  // namespace

// ---- alone

TEST_CASE("readable completes when there are bytes, and takes none") {
  connection made = connect_pair();
  run_checked([](connection& c) -> task<> {
    auto sends = [&]() -> task<> {
      co_await settle_down();
      c.peer.send(word);
    };
    join_handle<> sender = weir::spawn(sends);
    co_await with_timeout(10s, c.stream.readable());
    CHECK(sender.done());
    co_await c.stream.readable();  // still there
    co_await c.stream.readable();
    co_await read_word(c.stream);
    const auto nothing = co_await as_result(with_timeout(5ms, c.stream.readable()));
    CHECK(nothing.error() == std::errc::timed_out);
    c.peer.send(word);
    co_await with_timeout(10s, c.stream.readable());
    co_await read_word(c.stream);
    co_await sender.join();
  }(made));
}

TEST_CASE("readable completes at the end of the stream and for an error, which the read then finds") {
  for (const bool hard : {false, true}) {
    with_connection(
        +[](connection& c, bool reset) -> task<> {
          auto ends = [&]() -> task<> {
            co_await settle_down();
            if (reset) {
              c.peer.reset();
            } else {
              c.peer.close();
            }
          };
          join_handle<> ender = weir::spawn(ends);
          co_await with_timeout(10s, c.stream.readable());
          std::array<std::byte, 5> into{};
          const auto read = co_await as_result(c.stream.read_some(into));
          CHECK(read.has_value() != reset);
          if (!reset) CHECK(*read == 0);
          co_await ender.join();
        },
        hard);
  }
}

TEST_CASE("writable completes when the kernel has room again") {
  run_checked([]() -> task<> {
    both_ends ends = test::small_ends();
    const std::size_t sent = co_await fill(ends.client);
    CHECK(sent > 0);
    auto drains = [&]() -> task<> {
      co_await settle_down();
      test::guarded_buffer into(sent);
      co_await ends.server.read_exactly(into);
    };
    join_handle<> drainer = weir::spawn(drains);
    co_await with_timeout(10s, ends.client.writable());
    co_await ends.client.write_some(word);
    co_await drainer.join();
  }());
}

TEST_CASE("a listener is readable when there is a connection, which stays in the queue") {
  run_checked([]() -> task<> {
    auto listener = tcp_listener::bind(endpoint::loopback(0));
    const auto nothing = co_await as_result(with_timeout(5ms, listener.readable()));
    CHECK(nothing.error() == std::errc::timed_out);
    auto connects = [&]() -> task<tcp_stream> {
      co_await settle_down();
      co_return co_await tcp_stream::connect(listener.local_endpoint());
    };
    auto client = weir::spawn(connects);
    co_await with_timeout(10s, listener.readable());
    co_await listener.readable();
    tcp_stream server = co_await listener.accept();
    co_await client.join();
    CHECK(server.is_open());
  }());
}

TEST_CASE("poll waits for a descriptor that is not weir's, with what poll(2) would report") {
  run_checked([]() -> task<> {
    using namespace weir;  // NOLINT(google-build-using-namespace): poll(2) must not be in the way
    const count c;
    int happened = co_await poll(c.number(), POLLIN | POLLOUT);
    CHECK(happened == POLLOUT);
    auto raises = [&]() -> task<> {
      co_await settle_down();
      c.raise();
    };
    join_handle<> raiser = spawn(raises);
    happened = co_await with_timeout(10s, poll(c.number(), POLLIN));
    CHECK(happened == POLLIN);
    happened = co_await poll(c.number(), POLLIN | POLLOUT);
    CHECK(happened == (POLLIN | POLLOUT));
    CHECK(c.clear());
    const auto nothing = co_await as_result(with_timeout(5ms, poll(c.number(), POLLIN)));
    CHECK(nothing.error() == std::errc::timed_out);
    co_await raiser.join();
    pollfd entry{.fd = c.number(), .events = POLLIN, .revents = 0};
    CHECK(poll(&entry, 1, 0) == 0);  // poll(2)
  }());
}

TEST_CASE("poll tells a hang-up, and a regular file is always ready") {
  run_checked([]() -> task<> {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    auto closes = [&]() -> task<> {
      co_await settle_down();
      ::close(ends[1]);
    };
    join_handle<> closer = weir::spawn(closes);
    const int happened = co_await with_timeout(10s, weir::poll(ends[0], POLLIN));
    CHECK((happened & POLLHUP) != 0);
    co_await closer.join();
    ::close(ends[0]);
    const test::temporary_file path;
    weir::file file = co_await weir::file::open(path.path());
    const int ready = co_await weir::poll(file.native_handle(), POLLIN);
    CHECK(ready == POLLIN);
  }());
}

TEST_CASE("any number of tasks may wait for one descriptor, beside a reader") {
  connection made = connect_pair();
  run_checked([](connection& c) -> task<> {
    const count foreign;
    int ended = 0;
    co_await with_task_group([&](task_group& group) -> task<> {
      auto polls = [&]() -> task<> {
        co_await weir::poll(foreign.number(), POLLIN);
        ++ended;
      };
      auto waits = [&]() -> task<> {
        co_await c.stream.readable();
        ++ended;
      };
      auto lent = [&]() -> task<> {
        co_await weir::poll(c.stream.native_handle(), POLLIN);
        ++ended;
      };
      for (int i = 0; i < 5; ++i) {
        group.spawn(polls);
        group.spawn(waits);
        group.spawn(lent);
      }
      co_await settle_down();
      CHECK(ended == 0);
      foreign.raise();
      c.peer.send(word);
      co_await group.join();
    });
    CHECK(ended == 15);
    co_await read_word(c.stream);
  }(made));
}

TEST_CASE("what cannot be waited for is told in a sentence") {
  run_checked([]() -> task<> {
    tcp_stream closed;
    const auto alone = co_await as_result(closed.readable());
    CHECK(sentence_of(alone) == "poll a closed descriptor: Bad file descriptor");
    const auto chosen = co_await as_result(select(closed.readable(), weir::sleep_for(1h)));
    CHECK(sentence_of(chosen) == "poll a closed descriptor: Bad file descriptor");
    for (const int bad : {-1, 1'000'000}) {
      const auto foreign = co_await as_result(weir::poll(bad, POLLIN));
      CHECK(sentence_of(foreign) == "poll fd " + std::to_string(bad) + ": Bad file descriptor");
      const auto in_select = co_await as_result(select(weir::poll(bad, POLLIN), weir::sleep_for(1h)));
      CHECK(sentence_of(in_select) == "poll fd " + std::to_string(bad) + ": Bad file descriptor");
      CHECK_THROWS_AS(weir::try_select(weir::poll(bad, POLLIN)), std::system_error);
    }
  }());
}

TEST_CASE("closing the stream ends those who wait for it, alone and in a select") {
  for (const bool as_case : {false, true}) {
    with_connection(
        +[](connection& c, bool in_select) -> task<> {
          channel<int> nobody(0);
          auto waits = [&]() -> task<> {
            if (in_select) {
              static_cast<void>(co_await select(nobody.receive(), c.stream.readable(), weir::sleep_for(1h)));
            } else {
              co_await c.stream.readable();
            }
          };
          join_handle<> waiter = weir::spawn(waits);
          co_await settle_down();
          CHECK(!waiter.done());
          const int number = c.stream.native_handle();
          c.stream.close();
          const auto ended = co_await as_result(with_timeout(10s, waiter.join()));
          CHECK(ended.error() == std::errc::operation_canceled);
          CHECK(sentence_of(ended).find("poll ") == 0);
          CHECK(test::is_free(number));
          CHECK(c.peer.at_end());
          CHECK(!nobody.try_send(1));
        },
        as_case);
  }
}

// ---- as cases

TEST_CASE("select: readiness that is there is chosen without waiting, fairly, and in order where that is asked for") {
  connection made = connect_pair();
  made.peer.send(word);
  run_checked([](connection& c) -> task<> {
    channel<int> open(weir::unbounded);
    const bool there = co_await test::eventually([&] { return weir::try_select(c.stream.readable()).has_value(); });
    REQUIRE(there);
    std::array<int, 2> of_two{};
    for (int i = 0; i < 2'000; ++i) {
      const auto chosen = co_await select(c.stream.readable(), open.send(i));
      ++of_two[chosen.index()];
      const auto first = co_await weir::select_ordered(c.stream.readable(), open.send(i));
      if (first.index() != 0) throw std::runtime_error("another one was first");
    }
    CHECK(of_two[0] > 800);
    CHECK(of_two[1] > 800);
    co_await read_word(c.stream);
    CHECK(!weir::try_select(c.stream.readable()));
    CHECK(weir::try_select(c.stream.writable()));
  }(made));
}

TEST_CASE("select: readiness, a channel and a timeout, whichever comes first; the others leave no trace") {
  for (int first = 0; first < 4; ++first) {
    with_connection(
        +[](connection& c, int which) -> task<> {
          channel<int> messages(0);
          const count foreign;
          auto triggers = [&]() -> task<> {
            co_await settle_down();
            if (which == 0) c.peer.send(word);
            if (which == 1 && !messages.try_send(9)) throw std::runtime_error("nobody waits");
            if (which == 2) foreign.raise();
          };
          join_handle<> trigger = weir::spawn(triggers);
          const weir::duration patience = which == 3 ? 20ms : weir::duration(1h);
          const auto chosen = co_await select(c.stream.readable(), messages.receive(),
                                              weir::poll(foreign.number(), POLLIN), weir::sleep_for(patience));
          CHECK(chosen.index() == static_cast<std::size_t>(which));
          if (which == 1) CHECK(chosen.get<1>() == 9);
          if (which == 2) CHECK(chosen.get<2>() == POLLIN);
          co_await trigger.join();
          CHECK(!messages.try_send(1));
          CHECK(!messages.try_receive());
          // Nothing of it is in flight, or the number could not be given back.
          const int number = c.stream.release();
          tcp_stream again = tcp_stream::adopt(number);
          if (which != 0) c.peer.send(word);
          co_await read_word(again);
        },
        first);
  }
}

TEST_CASE("select: both directions of one stream, and several streams") {
  connection first_made = connect_pair();
  connection second_made = connect_pair();
  run_checked([](connection& a, connection& b) -> task<> {
    const auto writable = co_await select(a.stream.readable(), a.stream.writable());
    CHECK(writable.index() == 1);
    auto sends = [&]() -> task<> {
      co_await settle_down();
      b.peer.send(word);
    };
    join_handle<> sender = weir::spawn(sends);
    const auto second = co_await select(a.stream.readable(), b.stream.readable(), a.stream.readable());
    CHECK(second.index() == 1);
    co_await read_word(b.stream);
    a.peer.send(word);
    const auto first = co_await select(a.stream.readable(), b.stream.readable());
    CHECK(first.index() == 0);
    co_await read_word(a.stream);
    co_await sender.join();
  }(first_made, second_made));
}

TEST_CASE("select: a server that accepts, joins and hears of its end in one loop") {
  run_checked([]() -> task<> {
    auto listener = tcp_listener::bind(endpoint::loopback(0));
    weir::event quit;
    int accepted = 0;
    auto serves = [&]() -> task<> {
      for (;;) {
        const auto chosen = co_await select(listener.readable(), quit.wait());
        if (chosen.index() == 1) co_return;
        tcp_stream peer = co_await listener.accept();
        ++accepted;
        co_await peer.write_all(word);
      }
    };
    join_handle<> server = weir::spawn(serves);
    for (int i = 0; i < 20; ++i) {
      tcp_stream client = co_await tcp_stream::connect(listener.local_endpoint());
      co_await read_word(client);
    }
    quit.set();
    co_await server.join();
    CHECK(accepted == 20);
  }());
}

TEST_CASE("select: cancelled at every moment, nothing stays behind") {
  for (int moment = 0; moment < 40; ++moment) {
    connection made = connect_pair();
    run_checked([](connection& c, int delay) -> task<> {
      channel<int> messages(0);
      const count foreign;
      bool chosen = false;
      auto waits = [&]() -> task<> {
        static_cast<void>(
            co_await select(c.stream.readable(), messages.receive(), weir::poll(foreign.number(), POLLIN)));
        chosen = true;
      };
      join_handle<> waiter = weir::spawn(waits);
      if (delay % 2 == 0) {
        for (int i = 0; i < delay * 10; ++i) co_await weir::yield();
        if (delay % 4 == 0) c.peer.send(word);
      }
      if (delay % 6 == 0) foreign.raise();
      for (int i = 0; i < delay; ++i) co_await weir::yield();
      waiter.request_cancellation();
      const auto ended = co_await as_result(with_timeout(10s, waiter.join()));
      CHECK(ended.has_value() == chosen);
      if (!chosen) CHECK(ended.error() == std::errc::operation_canceled);
      CHECK(!messages.try_send(1));
      if (delay % 4 != 0) c.peer.send(word);
      co_await read_word(c.stream);
    }(made, moment));
  }
}

TEST_CASE("select: readiness races with a channel and a stop on other threads") {
  static constexpr int rounds = test::scaled(4'000, 250);
  const test::watchdog dog;
  test::other_thread another;
  for (const unsigned workers : {1U, 3U}) {
    connection made = connect_pair();
    test::watchdog::watch("readiness races with a channel");
    run_checked(
        [](connection& c, test::other_thread& other) -> task<> {
          channel<int> messages(1);
          const count foreign;
          std::array<int, 4> chosen{};
          for (int i = 0; i < rounds; ++i) {
            weir::cancellation_source source;
            other.begin([&, i] {
              for (int spin = 0; spin < i % 7 * 40; ++spin) std::atomic_signal_fence(std::memory_order_seq_cst);
              if (i % 3 != 1) static_cast<void>(messages.try_send(i));
              if (i % 3 != 2) foreign.raise();
              if (i % 5 == 0) source.request_cancellation();
            });
            if (i % 2 == 0) c.peer.send(word);
            const auto got = co_await as_result(weir::with_cancellation(
                source.token(), select(c.stream.readable(), messages.receive(), weir::poll(foreign.number(), POLLIN))));
            other.end();
            ++chosen[got.has_value() ? got->index() : 3];
            // What was not chosen is where it was.
            const bool received = got.has_value() && got->index() == 1;
            if (i % 3 != 1 && messages.try_receive().has_value() == received)
              throw std::runtime_error("an item was lost");
            if (i % 3 != 2 && !foreign.clear()) throw std::runtime_error("the count was read");
            if (i % 2 == 0) co_await read_word(c.stream);
          }
          CHECK(chosen[0] + chosen[1] + chosen[2] + chosen[3] == rounds);
          CHECK(chosen[1] > 0);
          CHECK(chosen[2] > 0);
        }(made, another),
        {.workers = workers});
  }
}

TEST_CASE("select: many tasks on several workers wait for readiness and for one another") {
  constexpr int pairs = 8;
  static constexpr int rounds = test::scaled(400, 60);
  const test::watchdog dog;
  test::watchdog::watch("many tasks select readiness");
  run_checked(
      []() -> task<> {
        auto pair = []() -> task<> {
          both_ends ends = co_await connect_both();
          channel<int> ticks(0);
          int read = 0;
          int ticked = 0;
          auto serves = [&]() -> task<> {
            while (read < rounds || ticked < rounds) {
              const auto chosen = co_await select(ends.server.readable(), ticks.receive(), weir::sleep_for(1h));
              if (chosen.index() == 2) throw std::runtime_error("it hangs");
              if (chosen.index() == 1) {
                ++ticked;
              } else {
                co_await read_word(ends.server);
                ++read;
              }
            }
          };
          auto writes = [&]() -> task<> {
            for (int i = 0; i < rounds; ++i) {
              co_await ends.client.write_all(word);
              if (i % 3 == 0) co_await weir::yield();
            }
          };
          auto gives = [&]() -> task<> {
            for (int i = 0; i < rounds; ++i) {
              co_await ticks.send(i);
              if (i % 5 == 0) co_await weir::yield();
            }
          };
          co_await weir::when_all(serves(), writes(), gives());
        };
        co_await with_task_group([&](task_group& group) -> task<> {
          for (int i = 0; i < pairs; ++i) group.spawn(pair);
          co_await group.join();
        });
      }(),
      {.workers = 3});
}

// ---- in simulations

TEST_CASE("simulated: readiness as on real sockets, alone and in select") {
  for_seeds([]() -> task<> {
    auto listener = tcp_listener::bind(endpoint::loopback(0));
    auto connects = [&]() -> task<tcp_stream> { co_return co_await tcp_stream::connect(listener.local_endpoint()); };
    auto connecting = weir::spawn(connects);
    co_await listener.readable();
    tcp_stream server = co_await listener.accept();
    tcp_stream client = co_await connecting.join();
    channel<int> messages(0);
    const auto quiet = co_await select(server.readable(), messages.receive(), weir::sleep_for(1h));
    CHECK(quiet.index() == 2);
    auto sends = [&]() -> task<> {
      co_await weir::sleep_for(1ms);
      co_await client.write_all(word);
    };
    auto sender = weir::spawn(sends);
    const auto bytes = co_await select(messages.receive(), server.readable(), weir::sleep_for(1h));
    CHECK(bytes.index() == 1);
    const int lent = co_await weir::poll(server.native_handle(), POLLIN | POLLOUT);
    CHECK((lent & POLLIN) != 0);
    co_await read_word(server);
    co_await client.writable();
    co_await sender.join();
    auto gives = [&]() -> task<> {
      co_await weir::sleep_for(1ms);
      co_await messages.send(1);
    };
    auto giver = weir::spawn(gives);
    const auto message = co_await select(messages.receive(), server.readable(), weir::sleep_for(1h));
    CHECK(message.index() == 0);
    co_await giver.join();
    client.close();
    co_await with_timeout(1h, server.readable());
    std::array<std::byte, 5> into{};
    const std::size_t end = co_await server.read_some(into);
    CHECK(end == 0);
  });
}

TEST_CASE("simulated: cancelled and closed at every moment") {
  for_seeds(
      []() -> task<> {
        both_ends ends = co_await connect_both();
        channel<int> messages(0);
        for (int delay = 0; delay < 6; ++delay) {
          bool chosen = false;
          auto waits = [&]() -> task<> {
            static_cast<void>(co_await select(ends.server.readable(), messages.receive()));
            chosen = true;
          };
          auto waiter = weir::spawn(waits);
          auto sends = [&]() -> task<> { co_await ends.client.write_all(word); };
          auto sender = weir::spawn(sends);
          co_await weir::sleep_for(delay * 20us);
          waiter.request_cancellation();
          const auto ended = co_await as_result(waiter.join());
          CHECK(ended.has_value() == chosen);
          co_await sender.join();
          co_await read_word(ends.server);
        }
        auto waits = [&]() -> task<> {
          static_cast<void>(co_await select(ends.server.readable(), messages.receive()));
        };
        auto waiter = weir::spawn(waits);
        co_await weir::sleep_for(1ms);
        ends.server.close();
        const auto ended = co_await as_result(waiter.join());
        CHECK(ended.error() == std::errc::operation_canceled);
      },
      60);
}

TEST_CASE("simulated: real descriptors are refused") {
  weir::simulation world{{.seed = 1}};
  const count outside;
  world.run([](const count& real) -> task<> {
    const auto alone = co_await as_result(weir::poll(real.number(), POLLIN));
    CHECK(alone.error() == std::errc::not_supported);
    const auto chosen = co_await as_result(select(weir::poll(real.number(), POLLIN), weir::sleep_for(1s)));
    CHECK(chosen.error() == std::errc::not_supported);
  }(outside));
}
