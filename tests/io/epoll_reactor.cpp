#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <weir/io/detail/epoll_reactor.hpp>

#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "sockets.hpp"

// What readiness makes hard: edges that must not be lost although the reactor asks as rarely as it can, numbers that
// come back, descriptors that epoll refuses. These tests ask for the epoll reactor by name, so they are the same in
// both runs of the suite.

namespace {

constexpr weir::runtime_options one_worker{.workers = 1, .backend = weir::backend_kind::epoll};

/// Reads with a system call and counts how often it was tried.
class counted_read final : public weir::detail::io_awaitable<counted_read, std::size_t> {
 public:
  static constexpr const char* verb = "counted_read";
  counted_read(weir::detail::descriptor* from, std::span<std::byte> into, int& attempts, bool stream = true) noexcept
      : io_awaitable(from), into_(into), attempts_(&attempts), stream_(stream) {}
  counted_read(const counted_read&) = default;
  ~counted_read() = default;

  std::size_t value() const noexcept { return static_cast<std::size_t>(result()); }

 private:
  void prepare(weir::detail::ring_entry&) noexcept override {}
  int attempt() noexcept override {
    ++*attempts_;
    const ssize_t n = ::recv(fd(), into_.data(), into_.size(), MSG_DONTWAIT);
    return n < 0 ? -errno : static_cast<int>(n);
  }
  [[nodiscard]] weir::detail::readiness needs() const noexcept override { return weir::detail::readiness::input; }
  [[nodiscard]] weir::detail::io_use use() const noexcept override { return weir::detail::io_use::other; }
  [[nodiscard]] bool drained(int n) const noexcept override { return stream_ && n < static_cast<int>(into_.size()); }

  std::span<std::byte> into_;
  int* attempts_;
  bool stream_;
};

/// A socket pair: weir's end as a descriptor, and a plain one.
struct pair_of {
  explicit pair_of(int type = SOCK_STREAM) {
    std::array<int, 2> both{};
    REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, both.data()) == 0);
    peer = test::plain_socket(both[1]);
    ours = weir::detail::descriptor_handle(
        weir::detail::descriptor::adopt(both[0], weir::detail::descriptor::kind::socket, "pair"));
  }
  void say(std::string_view text) const { peer.send(std::as_bytes(std::span(text))); }

  weir::detail::descriptor_handle ours;
  test::plain_socket peer;
};

weir::task<std::string> read_once(weir::detail::descriptor* from, int& attempts, std::size_t size = 100) {
  std::string text(size, '\0');
  const std::size_t n = co_await counted_read(from, std::as_writable_bytes(std::span(text)), attempts);
  text.resize(n);
  co_return text;
}

weir::task<> read_into(weir::detail::descriptor* from, std::vector<std::string>& log, const char* name) {
  int attempts = 0;
  const std::string text = co_await read_once(from, attempts, 1);
  log.push_back(name + text);
}

/// Has the reactor ask the kernel, often enough for everything that is due.
weir::task<> turns() { co_await test::settle_down(); }

}  // namespace

TEST_CASE("epoll: an operation is tried once when it is ready, and what is known not to be ready is not asked") {
  weir::run(
      []() -> weir::task<> {
        pair_of pair;
        int attempts = 0;
        pair.say("one");
        const auto got_1 = co_await read_once(pair.ours.get(), attempts);
        CHECK(got_1 == "one");
        CHECK(attempts == 1);

        // Nothing is known of the descriptor yet: one attempt, then it is registered and waits.
        auto reader = weir::spawn(read_once(pair.ours.get(), attempts));
        co_await turns();
        CHECK(attempts == 2);
        pair.say("two");
        const auto got_2 = co_await reader.join();
        CHECK(got_2 == "two");
        CHECK(attempts == 3);

        // A short read has emptied it: no attempt before the next event.
        for (int i = 0; i < 10; ++i) {
          attempts = 0;
          auto next = weir::spawn(read_once(pair.ours.get(), attempts));
          co_await turns();
          CHECK(attempts == 0);
          pair.say("more");
          const auto got_3 = co_await next.join();
          CHECK(got_3 == "more");
          CHECK(attempts == 1);
        }
      }(),
      one_worker);
}

TEST_CASE("epoll: a full read says nothing, so the next one is tried") {
  weir::run(
      []() -> weir::task<> {
        pair_of pair;
        int attempts = 0;
        auto reader = weir::spawn(read_once(pair.ours.get(), attempts, 4));
        co_await turns();
        pair.say("abcdefgh");
        const auto got_4 = co_await reader.join();
        CHECK(got_4 == "abcd");
        const auto got_5 = co_await read_once(pair.ours.get(), attempts, 4);
        CHECK(got_5 == "efgh");
        pair.say("i");
        const auto got_6 = co_await read_once(pair.ours.get(), attempts, 4);
        CHECK(got_6 == "i");
      }(),
      one_worker);
}

TEST_CASE("epoll: an end of stream behind the data is seen, whenever it came") {
  for (const bool before_the_event : {true, false}) {
    CAPTURE(before_the_event);
    weir::run(
        [](bool early) -> weir::task<> {
          test::connection c = test::connect_pair();
          test::guarded_buffer buffer(4096);
          // Registered and waiting first, so that data and end come as events.
          auto reader = weir::spawn(
              [](weir::tcp_stream& from, std::span<std::byte> into) -> weir::task<std::size_t> {
                co_return co_await from.read_some(into);
              },
              std::ref(c.stream), buffer.span());
          co_await turns();
          test::fill_pattern(buffer.first(10));
          const std::array<std::byte, 10> sent{std::byte{7}};
          c.peer.send(sent);
          if (early) c.peer.close();
          const auto got_7 = co_await reader.join();
          CHECK(got_7 == 10);
          if (!early) c.peer.close();
          const auto got_8 = co_await c.stream.read_some(buffer);
          CHECK(got_8 == 0);
          const auto got_9 = co_await c.stream.read_some(buffer);
          CHECK(got_9 == 0);
        }(before_the_event),
        one_worker);
  }
}

TEST_CASE("epoll: data behind an urgent byte is read although the read before it was short") {
  weir::run(
      []() -> weir::task<> {
        test::connection c = test::connect_pair();
        test::guarded_buffer buffer(4096);
        auto reader = weir::spawn(
            [](weir::tcp_stream& from, std::span<std::byte> into) -> weir::task<std::string> {
              std::string all;
              while (all.size() < 6) {
                const std::size_t n = co_await from.read_some(into);
                all.append(reinterpret_cast<const char*>(into.data()), n);
              }
              co_return all;
            },
            std::ref(c.stream), buffer.span());
        co_await turns();
        REQUIRE(::send(c.peer.number(), "abc", 3, MSG_NOSIGNAL | MSG_MORE) == 3);
        REQUIRE(::send(c.peer.number(), "!", 1, MSG_NOSIGNAL | MSG_OOB) == 1);
        REQUIRE(::send(c.peer.number(), "def", 3, MSG_NOSIGNAL) == 3);
        const std::string all = co_await weir::with_timeout(20s, reader.join());
        CHECK(all == "abcdef");
      }(),
      one_worker);
}

TEST_CASE("epoll: a reader and a writer wait on one descriptor, and each is woken by its own direction") {
  weir::run(
      []() -> weir::task<> {
        test::connection c = test::connect_pair(true);
        test::guarded_buffer in(16);
        test::guarded_buffer out(1 << 20);
        test::fill_pattern(out);
        auto writer = weir::spawn(
            [](weir::tcp_stream& to, std::span<const std::byte> from) -> weir::task<> { co_await to.write_all(from); },
            std::ref(c.stream), std::span<const std::byte>(out));
        auto reader = weir::spawn(
            [](weir::tcp_stream& from, std::span<std::byte> into) -> weir::task<std::size_t> {
              co_return co_await from.read_some(into);
            },
            std::ref(c.stream), in.span());
        co_await turns();
        const std::array<std::byte, 5> hello{};
        c.peer.send(hello);
        const auto got_10 = co_await reader.join();
        CHECK(got_10 == 5);

        std::size_t received = 0;
        std::array<std::byte, 65536> piece;
        while (received < out.size()) {
          const ssize_t n = c.peer.receive(piece, 0);
          if (n == -EAGAIN) {
            co_await weir::yield();
            continue;
          }
          REQUIRE(n > 0);
          CHECK(test::is_pattern(std::span(piece).first(static_cast<std::size_t>(n)), received));
          received += static_cast<std::size_t>(n);
        }
        co_await writer.join();
      }(),
      one_worker);
}

TEST_CASE("epoll: operations that wait in one direction are served first come, first served; a cancelled one leaves") {
  weir::run(
      []() -> weir::task<> {
        pair_of pair;
        std::vector<std::string> log;
        weir::cancellation_source leaving;
        auto a = weir::spawn(read_into(pair.ours.get(), log, "a"));
        auto cancelled = weir::spawn(
            [](weir::cancellation_token token, weir::task<> body) -> weir::task<> {
              co_await weir::with_cancellation(token, std::move(body));
            },
            leaving.token(), read_into(pair.ours.get(), log, "never"));
        auto b = weir::spawn(read_into(pair.ours.get(), log, "b"));
        auto c = weir::spawn(read_into(pair.ours.get(), log, "c"));
        co_await turns();
        leaving.request_cancellation();
        const auto outcome = co_await weir::as_result(cancelled.join());
        CHECK(outcome.is_cancelled());
        pair.say("12");
        co_await a.join();
        co_await b.join();
        CHECK(log == std::vector<std::string>{"a1", "b2"});
        pair.say("3");
        co_await c.join();
        CHECK(log.back() == "c3");
      }(),
      one_worker);
}

TEST_CASE("epoll: the last waiting operation may be cancelled, and the next one waits as if nothing had been") {
  weir::run(
      []() -> weir::task<> {
        pair_of pair;
        int attempts = 0;
        for (int i = 0; i < 3; ++i) {
          const auto r = co_await weir::as_result(weir::with_timeout(1ms, read_once(pair.ours.get(), attempts)));
          CHECK(r.error() == std::errc::timed_out);
        }
        pair.say("x");
        const auto got_11 = co_await read_once(pair.ours.get(), attempts);
        CHECK(got_11 == "x");
      }(),
      one_worker);
}

TEST_CASE("epoll: closing a descriptor ends its waiting operations") {
  const test::no_descriptor_leaks check;
  weir::run(
      []() -> weir::task<> {
        pair_of pair;
        int attempts = 0;
        auto reader = weir::spawn(read_once(pair.ours.get(), attempts));
        co_await turns();
        pair.ours.reset();
        const auto r = co_await weir::as_result(reader.join());
        CHECK(test::sentence_of(r) == "counted_read pair: Operation canceled");
        CHECK(pair.peer.at_end());
      }(),
      one_worker);
}

TEST_CASE("epoll: a number that comes back belongs to its new descriptor") {
  weir::run(
      []() -> weir::task<> {
        int attempts = 0;
        int number = -1;
        for (int i = 0; i < 5; ++i) {
          pair_of pair;
          if (i > 0) CHECK(pair.ours.number() == number);
          number = pair.ours.number();
          auto reader = weir::spawn(read_once(pair.ours.get(), attempts));
          co_await turns();
          pair.say("mine");
          const auto got_12 = co_await reader.join();
          CHECK(got_12 == "mine");
        }
      }(),
      one_worker);
}

TEST_CASE("epoll: a registration that outlives its descriptor does not disturb the number's next owner") {
  weir::run(
      []() -> weir::task<> {
        int attempts = 0;
        pair_of first;
        const int number = first.ours.number();
        {
          auto reader = weir::spawn(read_once(first.ours.get(), attempts));
          co_await turns();
          first.say("x");
          const auto got_13 = co_await reader.join();
          CHECK(got_13 == "x");
        }
        // The open file lives on under another number, and with it its place in epoll.
        const test::plain_socket kept(::dup(number));
        // Released rather than closed: a close would shut the file down for its other number too.
        ::close(first.ours.release());

        pair_of second;
        CHECK(second.ours.number() == number);
        attempts = 0;
        auto reader = weir::spawn(read_once(second.ours.get(), attempts));
        co_await turns();
        CHECK(attempts == 1);
        for (int i = 0; i < 10; ++i) {
          first.say("for nobody");
          co_await turns();
        }
        CHECK(attempts == 1);
        second.say("for me");
        const auto got_14 = co_await reader.join();
        CHECK(got_14 == "for me");
      }(),
      one_worker);
}

TEST_CASE("epoll: a descriptor that was released can be adopted again") {
  weir::run(
      []() -> weir::task<> {
        pair_of pair;
        int attempts = 0;
        auto reader = weir::spawn(read_once(pair.ours.get(), attempts));
        co_await turns();
        pair.say("before");
        const auto got_15 = co_await reader.join();
        CHECK(got_15 == "before");

        const int number = pair.ours.release();
        pair.ours = weir::detail::descriptor_handle(
            weir::detail::descriptor::adopt(number, weir::detail::descriptor::kind::socket, "again"));
        pair.say("after");
        const auto got_16 = co_await read_once(pair.ours.get(), attempts);
        CHECK(got_16 == "after");
        auto late = weir::spawn(read_once(pair.ours.get(), attempts));
        co_await turns();
        pair.say("later");
        const auto got_17 = co_await late.join();
        CHECK(got_17 == "later");
      }(),
      one_worker);
}

TEST_CASE("epoll: events that nobody waits for end the registration; the next operation begins a new one") {
  weir::run(
      []() -> weir::task<> {
        pair_of pair;
        pair_of other;  // for the reactor to have a reason to ask the kernel
        int attempts = 0;
        auto idle = weir::spawn(read_once(other.ours.get(), attempts));
        auto reader = weir::spawn(read_once(pair.ours.get(), attempts));
        co_await turns();
        pair.say("x");
        const auto got_18 = co_await reader.join();
        CHECK(got_18 == "x");
        for (int i = 0; i < 10; ++i) {
          pair.say("y");
          co_await turns();
        }
        attempts = 0;
        const auto got_19 = co_await read_once(pair.ours.get(), attempts);
        CHECK(got_19 == "yyyyyyyyyy");
        CHECK(attempts == 1);
        auto next = weir::spawn(read_once(pair.ours.get(), attempts));
        co_await turns();
        pair.say("z");
        const auto got_20 = co_await next.join();
        CHECK(got_20 == "z");
        other.say("end");
        const auto got_21 = co_await idle.join();
        CHECK(got_21 == "end");
      }(),
      one_worker);
}

TEST_CASE("epoll: packets keep their bounds, and each one is read although the first was short") {
  weir::run(
      []() -> weir::task<> {
        pair_of pair(SOCK_SEQPACKET);
        std::vector<std::string> log;
        int attempts = 0;
        auto reader = weir::spawn(
            [](pair_of& from, std::vector<std::string>& to, int& count) -> weir::task<> {
              std::array<std::byte, 100> bytes;
              for (int i = 0; i < 3; ++i) {
                const std::size_t n = co_await counted_read(from.ours.get(), bytes, count, false);
                to.emplace_back(reinterpret_cast<const char*>(bytes.data()), n);
              }
            },
            std::ref(pair), std::ref(log), std::ref(attempts));
        co_await turns();
        pair.say("one");
        pair.say("two");
        pair.say("three");
        co_await reader.join();
        CHECK(log == std::vector<std::string>{"one", "two", "three"});
      }(),
      one_worker);
}

TEST_CASE("epoll: what is always ready does not keep others from running") {
  weir::run(
      []() -> weir::task<> {
        weir::file zeros = co_await weir::file::open("/dev/zero");
        bool others_ran = false;
        auto other = weir::spawn(
            [](bool& ran) -> weir::task<> {
              ran = true;
              co_return;
            },
            std::ref(others_ran));
        std::array<std::byte, 16> bytes;
        int reads = 0;
        while (!others_ran && reads < 10'000) {
          co_await zeros.read_some(bytes);
          ++reads;
        }
        CHECK(others_ran);
        co_await other.join();
      }(),
      one_worker);
}

TEST_CASE("epoll: another thread cancels what waits, and wakes the worker for it") {
  for (int i = 0; i < test::scaled(200, 50); ++i) {
    pair_of pair;
    weir::cancellation_source source;
    std::thread canceller;
    weir::run(
        [](pair_of& from, weir::cancellation_source& stop, std::thread& thread) -> weir::task<> {
          int attempts = 0;
          thread = std::thread([&stop] { stop.request_cancellation(); });
          const auto r =
              co_await weir::as_result(weir::with_cancellation(stop.token(), read_once(from.ours.get(), attempts)));
          CHECK(r.is_cancelled());
        }(pair, source, canceller),
        one_worker);
    canceller.join();
  }
}

TEST_CASE("epoll: a deadline in microseconds is kept, and not before its time") {
  weir::run(
      []() -> weir::task<> {
        pair_of pair;
        int attempts = 0;
        for (int i = 0; i < 20; ++i) {
          const weir::time_point begin = weir::now();
          const auto r = co_await weir::as_result(weir::with_timeout(300us, read_once(pair.ours.get(), attempts)));
          CHECK(r.error() == std::errc::timed_out);
          CHECK(weir::now() - begin >= 300us);
        }
      }(),
      one_worker);
}

TEST_CASE("epoll: streams whose tasks move between workers lose nothing") {
  constexpr weir::runtime_options two{.workers = 2, .backend = weir::backend_kind::epoll};
  weir::run(
      []() -> weir::task<> {
        co_await weir::with_task_group([](weir::task_group& group) -> weir::task<> {
          for (int i = 0; i < 16; ++i) {
            group.spawn([]() -> weir::task<> {
              std::array<int, 2> both{};
              REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both.data()) == 0);
              auto here = weir::tcp_stream::adopt(both[0]);
              auto there = weir::tcp_stream::adopt(both[1]);
              auto echo = weir::spawn(
                  [](weir::tcp_stream peer) -> weir::task<> {
                    std::array<std::byte, 64> bytes;
                    while (std::size_t n = co_await peer.read_some(bytes))
                      co_await peer.write_all(std::span(bytes).first(n));
                  },
                  std::move(there));
              std::array<std::byte, 64> bytes;
              for (int round = 0; round < test::scaled(2000, 200); ++round) {
                test::fill_pattern(bytes, static_cast<std::size_t>(round));
                co_await here.write_all(bytes);
                bytes.fill(std::byte{});
                co_await here.read_exactly(bytes);
                if (!test::is_pattern(bytes, static_cast<std::size_t>(round)))
                  FAIL("what came back is not what was sent");
                if (round % 7 == 0) co_await weir::yield();
              }
              here.close();
              co_await echo.join();
            });
          }
          co_return;
        });
      }(),
      two);
}

TEST_CASE("epoll: a reactor that cannot be made says why") {
  // All numbers taken: the limit is lowered to what is open already.
  const int limit = ::dup(0);
  REQUIRE(limit >= 0);
  ::close(limit);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(limit);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  std::string sentence;
  try {
    weir::detail::epoll_reactor reactor({});
  } catch (const std::system_error& error) {
    ::setrlimit(RLIMIT_NOFILE, &before);  // sanitizers need descriptors to look at an exception
    sentence = error.what();
  }
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(sentence == "epoll_create1 for a worker's reactor: Too many open files");
}
