#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "open_descriptors.hpp"
#include "sockets.hpp"

namespace {

constexpr weir::runtime_options one_worker{.workers = 1};

std::string why_not(std::initializer_list<int> signals) {
  try {
    const weir::signal_set set(signals);
  } catch (const std::system_error& error) {
    return error.what();
  }
  return {};
}

/// Whether this is what the process does about a signal.
bool is_handler(int signal, void (*expected)(int)) {
  struct sigaction current{};
  return ::sigaction(signal, nullptr, &current) == 0 && current.sa_handler == expected;
}

std::atomic<int> seen_by_old_handler{0};
void old_handler(int) { ++seen_by_old_handler; }

/// What is left of a test's signals may come after its sets are gone: then it must not end the program.
class late_signals_are_harmless {
 public:
  explicit late_signals_are_harmless(std::initializer_list<int> signals) {
    struct sigaction harmless{};
    harmless.sa_handler = old_handler;
    for (const int signal : signals) {
      struct sigaction before{};
      REQUIRE(::sigaction(signal, &harmless, &before) == 0);
      before_.emplace_back(signal, before);
    }
  }
  late_signals_are_harmless(const late_signals_are_harmless&) = delete;
  late_signals_are_harmless& operator=(const late_signals_are_harmless&) = delete;
  ~late_signals_are_harmless() {
    // A signal that is ignored for a moment is not pending any more.
    struct sigaction ignored{};
    ignored.sa_handler = SIG_IGN;
    for (const auto& [signal, before] : before_) {
      ::sigaction(signal, &ignored, nullptr);
      ::sigaction(signal, &before, nullptr);
    }
  }

 private:
  std::vector<std::pair<int, struct sigaction>> before_;
};

weir::task<> collect(weir::signal_set& from, std::vector<int>& into, int count) {
  for (int i = 0; i < count; ++i) {
    const int signal = co_await from.wait();
    into.push_back(signal);
  }
}

}  // namespace

TEST_CASE("signal_set: what cannot be watched is told in a sentence") {
  const test::no_descriptor_leaks check;
  CHECK(why_not({SIGKILL}) == "signal_set: SIGKILL cannot be caught: Invalid argument");
  CHECK(why_not({SIGUSR1, SIGSTOP}) == "signal_set: SIGSTOP cannot be caught: Invalid argument");
  CHECK(why_not({SIGSEGV}) ==
        "signal_set: SIGSEGV tells of a fault of this program and cannot be waited for: Invalid argument");
  CHECK(why_not({0}) == "signal_set: signal 0 does not exist: Invalid argument");
  CHECK(why_not({-1}) == "signal_set: signal -1 does not exist: Invalid argument");
  CHECK(why_not({1000}) == "signal_set: signal 1000 does not exist: Invalid argument");
  CHECK(why_not({32}) == "signal_set: signal 32 is reserved by the C library: Invalid argument");
  CHECK(why_not({}) == "signal_set: no signal is named: Invalid argument");
  CHECK(why_not({SIGUSR1, SIGUSR1, SIGUSR2}).empty());
  CHECK(is_handler(SIGUSR1, SIG_DFL));
}

TEST_CASE("signal_set: a signal that comes before anybody waits is not lost, nor one that comes later") {
  const test::no_descriptor_leaks check;
  weir::run(
      []() -> weir::task<> {
        weir::signal_set signals{SIGUSR1, SIGUSR2};
        ::raise(SIGUSR1);
        int which = co_await signals.wait();
        CHECK(which == SIGUSR1);

        auto waiting = weir::spawn([](weir::signal_set& set) -> weir::task<int> { co_return co_await set.wait(); },
                                   std::ref(signals));
        co_await test::settle_down();
        ::kill(::getpid(), SIGUSR2);
        which = co_await waiting.join();
        CHECK(which == SIGUSR2);
      }(),
      one_worker);
  CHECK(is_handler(SIGUSR1, SIG_DFL));
  CHECK(is_handler(SIGUSR2, SIG_DFL));
}

TEST_CASE("signal_set: each signal completes one wait") {
  weir::run(
      []() -> weir::task<> {
        weir::signal_set signals{SIGUSR1, SIGUSR2};
        for (int i = 0; i < 3; ++i) ::raise(SIGUSR1);
        ::raise(SIGUSR2);
        ::raise(SIGUSR2);
        std::vector<int> seen;
        co_await collect(signals, seen, 5);
        CHECK(std::count(seen.begin(), seen.end(), SIGUSR1) == 3);
        CHECK(std::count(seen.begin(), seen.end(), SIGUSR2) == 2);
        const auto none = co_await weir::as_result(weir::with_timeout(100us, signals.wait()));
        CHECK(none.error() == std::errc::timed_out);
      }(),
      one_worker);
}

TEST_CASE("signal_set: made outside of the runtime, told by another thread, waited for by a worker that sleeps") {
  weir::signal_set signals{SIGUSR1};
  for (const unsigned workers : {1u, 2u}) {
    for (int i = 0; i < test::scaled(100, 20); ++i) {
      std::thread sender([] { ::kill(::getpid(), SIGUSR1); });
      const int which =
          weir::run([](weir::signal_set& set) -> weir::task<int> { co_return co_await set.wait(); }(signals),
                    {.workers = workers});
      sender.join();
      CHECK(which == SIGUSR1);
    }
  }
}

TEST_CASE("signal_set: several sets may watch one signal; the last one puts the old handler back") {
  struct sigaction old{};
  old.sa_handler = old_handler;
  struct sigaction before{};
  REQUIRE(::sigaction(SIGUSR1, &old, &before) == 0);
  seen_by_old_handler = 0;

  weir::run(
      []() -> weir::task<> {
        std::optional<weir::signal_set> one(std::in_place, std::initializer_list<int>{SIGUSR1, SIGUSR2});
        std::optional<weir::signal_set> two(std::in_place, std::initializer_list<int>{SIGUSR1});
        std::optional<weir::signal_set> three(std::in_place, std::initializer_list<int>{SIGUSR1});
        ::raise(SIGUSR1);
        int which = co_await one->wait();
        CHECK(which == SIGUSR1);
        which = co_await two->wait();
        CHECK(which == SIGUSR1);
        two.reset();
        ::raise(SIGUSR1);
        which = co_await one->wait();
        CHECK(which == SIGUSR1);
        one.reset();
        which = co_await three->wait();
        CHECK(which == SIGUSR1);
        which = co_await three->wait();
        CHECK(which == SIGUSR1);
        ::raise(SIGUSR1);
        CHECK(seen_by_old_handler == 0);
      }(),
      one_worker);

  CHECK(is_handler(SIGUSR1, old_handler));
  ::raise(SIGUSR1);
  CHECK(seen_by_old_handler == 1);
  REQUIRE(::sigaction(SIGUSR1, &before, nullptr) == 0);
}

TEST_CASE("signal_set: a handler that somebody else has installed since is left in place") {
  struct sigaction before{};
  REQUIRE(::sigaction(SIGUSR1, nullptr, &before) == 0);
  {
    const weir::signal_set signals{SIGUSR1};
    struct sigaction other{};
    other.sa_handler = old_handler;
    REQUIRE(::sigaction(SIGUSR1, &other, nullptr) == 0);
  }
  CHECK(is_handler(SIGUSR1, old_handler));
  REQUIRE(::sigaction(SIGUSR1, &before, nullptr) == 0);
}

TEST_CASE("signal_set: a wait that is stopped uses up no signal") {
  weir::run(
      []() -> weir::task<> {
        weir::signal_set signals{SIGUSR1};
        for (int i = 0; i < test::scaled(200, 50); ++i) {
          // The signal comes at any moment of the wait and its cancellation.
          weir::cancellation_source source;
          auto waiting = weir::spawn(
              [](weir::signal_set& set, weir::cancellation_token token) -> weir::task<int> {
                const auto r = co_await weir::as_result(weir::with_cancellation(token, set.wait()));
                co_return r.has_value() ? 1 : 0;
              },
              std::ref(signals), source.token());
          std::thread sender([] { ::kill(::getpid(), SIGUSR1); });
          for (int n = 0; n < i % 20; ++n) co_await weir::yield();
          source.request_cancellation();
          const int taken = co_await waiting.join();
          sender.join();
          if (taken == 0) {
            const int which = co_await signals.wait();
            CHECK(which == SIGUSR1);
          }
        }
        const auto none = co_await weir::as_result(weir::with_timeout(100us, signals.wait()));
        CHECK(none.error() == std::errc::timed_out);
      }(),
      one_worker);
}

TEST_CASE("signal_set: several tasks wait on one set, each gets its own signal") {
  const late_signals_are_harmless guard{SIGUSR1, SIGUSR2};
  for (const unsigned workers : {1u, 2u}) {
    CAPTURE(workers);
    weir::run(
        []() -> weir::task<> {
          weir::signal_set signals{SIGUSR1, SIGUSR2};
          std::atomic<int> taken{0};
          auto body = [&](weir::task_group& group) -> weir::task<> {
            for (int i = 0; i < 10; ++i) {
              group.spawn(
                  [](weir::signal_set& set, std::atomic<int>& count) -> weir::task<> {
                    co_await set.wait();
                    ++count;
                  },
                  std::ref(signals), std::ref(taken));
            }
            // To the process: this worker's thread may have its signals blocked. Those that are merged are sent again.
            for (int i = 0; taken < 10; ++i) {
              ::kill(::getpid(), i % 2 == 0 ? SIGUSR1 : SIGUSR2);
              co_await weir::yield();
            }
            co_await group.join();
          };
          co_await weir::with_task_group(body);
          CHECK(taken == 10);
        }(),
        {.workers = workers});
  }
}

TEST_CASE("signal_set: who waits when the set goes is told") {
  const test::no_descriptor_leaks check;
  weir::run(
      []() -> weir::task<> {
        std::optional<weir::signal_set> signals(std::in_place, std::initializer_list<int>{SIGUSR1, SIGUSR2});
        auto waiting = weir::spawn([](weir::signal_set& set) -> weir::task<int> { co_return co_await set.wait(); },
                                   std::ref(*signals));
        co_await test::settle_down();
        signals.reset();
        const auto r = co_await weir::as_result(waiting.join());
        CHECK(test::sentence_of(r) == "wait for SIGUSR1, SIGUSR2: Operation canceled");
      }(),
      one_worker);
}

TEST_CASE("signal_set: moved, it goes on; assigned, it watches what the other did") {
  weir::run(
      []() -> weir::task<> {
        weir::signal_set first{SIGUSR1};
        ::raise(SIGUSR1);
        weir::signal_set second = std::move(first);
        int which = co_await second.wait();
        CHECK(which == SIGUSR1);
        weir::signal_set third{SIGUSR2};
        second = std::move(third);
        CHECK(is_handler(SIGUSR1, SIG_DFL));
        ::raise(SIGUSR2);
        which = co_await second.wait();
        CHECK(which == SIGUSR2);
        const auto r = co_await weir::as_result(first.wait());  // NOLINT(bugprone-use-after-move): that is the test
        CHECK(r.error() == std::errc::bad_file_descriptor);
      }(),
      one_worker);
}

TEST_CASE("signal_set: a forked child keeps its signals to itself and can be ended by them") {
  weir::run(
      []() -> weir::task<> {
        weir::signal_set signals{SIGUSR1};
        const pid_t child = test::fork_alone();
        if (child == 0) {
          ::raise(SIGUSR1);
          ::_exit(1);
        }
        REQUIRE(child > 0);
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status));
        CHECK(WTERMSIG(status) == SIGUSR1);
        const auto none = co_await weir::as_result(weir::with_timeout(100us, signals.wait()));
        CHECK(none.error() == std::errc::timed_out);
      }(),
      one_worker);
}

TEST_CASE("signal_set: signals of many threads against sets that come and go") {
  weir::signal_set always{SIGUSR1};
  std::atomic<bool> stop{false};
  std::thread sender([&stop] {
    do {
      ::kill(::getpid(), SIGUSR1);
    } while (!stop);
  });
  for (int i = 0; i < test::scaled(2000, 300); ++i) {
    weir::signal_set passing{SIGUSR1, SIGUSR2};
    const weir::signal_set another{SIGUSR1};
  }
  stop = true;
  sender.join();
  const int which =
      weir::run([](weir::signal_set& set) -> weir::task<int> { co_return co_await set.wait(); }(always), one_worker);
  CHECK(which == SIGUSR1);
}
