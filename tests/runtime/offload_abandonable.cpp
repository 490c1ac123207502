#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <latch>
#include <thread>

#include "support.hpp"

#if WEIR_DETAIL_ASAN
namespace {
bool leaks_are_no_matter = false;
}
/// LeakSanitizer asks at the end of the process. A forked child has the memory of its parent's threads without them.
extern "C" int __lsan_is_turned_off();  // NOLINT(bugprone-reserved-identifier): its name
extern "C" int __lsan_is_turned_off() { return leaks_are_no_matter ? 1 : 0; }
#endif

namespace {

/// What a test and its call share, however long the call lasts.
class shared_gate {
 public:
  void wait() const {
    *running_ = true;
    while (!*open_) std::this_thread::yield();
  }
  void open() const { *open_ = true; }
  [[nodiscard]] bool running() const { return *running_; }

 private:
  std::shared_ptr<std::atomic<bool>> open_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<std::atomic<bool>> running_ = std::make_shared<std::atomic<bool>>(false);
};

void until(const std::function<bool()>& holds) {
  while (!holds()) std::this_thread::yield();
}

}  // namespace

TEST_CASE("offload_abandonable runs elsewhere and completes with the function's value, or its exception") {
  for (const unsigned workers : {1u, 3u}) {
    const auto main = []() -> weir::task<> {
      const std::thread::id here = std::this_thread::get_id();
      const auto call = [here] { return std::this_thread::get_id() != here; };
      const bool elsewhere = co_await weir::offload_abandonable(call);
      CHECK(elsewhere);
      const auto moved = co_await weir::offload_abandonable([] { return std::make_unique<int>(3); });
      CHECK(*moved == 3);
      co_await weir::offload_abandonable([] {});
      const auto r =
          co_await weir::as_result(weir::offload_abandonable([]() -> int { throw std::runtime_error("no answer"); }));
      CHECK(test::unobserved::what(r.exception()) == "no answer");
      const auto with_token = co_await weir::offload_abandonable([](weir::cancellation_token token) {
        return token.can_be_cancelled() && !token.is_cancellation_requested();
      });
      CHECK(with_token);
    };
    weir::run(main(), {.workers = workers});
  }
}

TEST_CASE("a stop does not wait for a call that is running; what it returns or throws is dropped") {
  test::unobserved errors;
  for (const bool throws : {false, true}) {
    const shared_gate gate;
    const auto main = [&]() -> weir::task<> {
      auto call = [gate, throws, guard = std::make_shared<test::counted>()](weir::cancellation_token token) {
        gate.wait();
        CHECK(token.is_cancellation_requested());
        CHECK(token.cause() == weir::cancellation_cause::requested);
        if (throws) throw std::runtime_error("late");
        return test::counted();
      };
      weir::cancellation_source source;
      const auto cancels = [&]() -> weir::task<> {
        while (!gate.running()) co_await weir::yield();
        source.request_cancellation();
      };
      auto work = [&]() -> weir::task<bool> {
        auto r = co_await weir::as_result(weir::with_cancellation(source.token(), weir::offload_abandonable(call)));
        co_return r.is_cancelled();
      };
      auto [stopped, nothing] = co_await weir::when_all(work(), cancels());
      CHECK(stopped);
      CHECK(test::counted::alive == 1);  // what the call owns
    };
    weir::run(main(), {.workers = 1, .on_error = test::unobserved::hook});
    CHECK(gate.running());
    gate.open();
    until([] { return test::counted::alive == 0; });
  }
  CHECK(errors.take().empty());
}

#if !WEIR_DETAIL_FRAGILE_TEMPORARIES  // there a callable cannot be given away
TEST_CASE("what the function owns is destroyed on its thread, before its value is delivered") {
  const auto main = []() -> weir::task<> {
    struct noting {
      explicit noting(std::thread::id& to) : where(&to) {}
      noting(noting&& other) noexcept : where(std::exchange(other.where, nullptr)) {}
      noting& operator=(noting&&) = delete;
      ~noting() {
        if (where) *where = std::this_thread::get_id();
      }
      std::thread::id* where;
    };
    std::thread::id destroyed_on;
    auto call = [last = std::make_shared<noting>(destroyed_on)] { return std::this_thread::get_id(); };
    const std::thread::id ran_on = co_await weir::offload_abandonable(std::move(call));
    CHECK(destroyed_on == ran_on);
    CHECK(ran_on != std::this_thread::get_id());
  };
  weir::run(main(), {.workers = 1});
}
#endif

TEST_CASE("cancelled before it begins, or by a deadline while it runs; never awaited") {
  const shared_gate gate;
  const auto main = [&]() -> weir::task<> {
    std::atomic<bool> ran{false};
    const auto never = [&ran] { ran = true; };
    const auto before = co_await weir::as_result(weir::with_timeout(0s, weir::offload_abandonable(never)));
    CHECK(before.error() == std::errc::timed_out);
    {
      const auto unawaited = weir::offload_abandonable(never);
      static_cast<void>(unawaited);
    }
    CHECK(!ran);
    const auto hangs = [gate] { gate.wait(); };
    const auto timed_out = co_await weir::as_result(weir::with_timeout(1ms, weir::offload_abandonable(hangs)));
    CHECK(timed_out.error() == std::errc::timed_out);
  };
  weir::run(main(), {.workers = 1});
  gate.open();
}

TEST_CASE("cancelled while queued behind calls that hang: it never runs") {
  constexpr int threads = 64;
  const shared_gate gate;
  const auto busy = std::make_shared<std::atomic<int>>(0);
  const auto ran = std::make_shared<std::atomic<bool>>(false);
  const auto main = [&]() -> weir::task<> {
    const auto body = [&](weir::task_group& group) -> weir::task<> {
      const auto occupy = [&]() -> weir::task<> {
        const auto hangs = [gate, busy] {
          ++*busy;
          gate.wait();
          --*busy;
        };
        co_await weir::offload_abandonable(hangs);
      };
      for (int i = 0; i < threads; ++i) group.spawn(occupy);
      while (*busy != threads) co_await weir::yield();
      const auto late = [ran] { *ran = true; };
      const auto r = co_await weir::as_result(weir::with_timeout(1ms, weir::offload_abandonable(late)));
      CHECK(r.error() == std::errc::timed_out);
      group.cancel();
    };
    const auto r = co_await weir::as_result(weir::with_task_group(body));
    CHECK(!*ran);
  };
  weir::run(main(), {.workers = 1});
  gate.open();
  until([&] { return *busy == 0; });
  CHECK(!*ran);
}

TEST_CASE("stops that race with the end of the call: one of the two wins, and nothing is left") {
  for (const unsigned workers : {1u, 3u}) {
    int values = 0;
    int stops = 0;
    const auto main = [&]() -> weir::task<> {
      for (int i = 0; i < test::scaled(3000, 400); ++i) {
        weir::cancellation_source source;
        auto open = std::make_shared<std::atomic<bool>>(false);
        const auto call = [open] {
          while (!*open) std::this_thread::yield();
          return std::make_unique<test::counted>();
        };
        const auto cancels = [&, i]() -> weir::task<> {
          if (i % 3 == 0) co_await weir::yield();
          *open = true;
          for (int n = 0; n < i % 50; ++n) co_await weir::yield();
          source.request_cancellation();
        };
        auto work = [&]() -> weir::task<> {
          auto r = co_await weir::as_result(weir::with_cancellation(source.token(), weir::offload_abandonable(call)));
          ++(r.has_value() ? values : stops);
        };
        co_await weir::when_all(work(), cancels());
      }
    };
    weir::run(main(), {.workers = workers});
    CHECK(values + stops == test::scaled(3000, 400));
  }
  until([] { return test::counted::alive == 0; });
}

TEST_CASE("neither the end of a runtime nor that of the process waits for a call that was abandoned") {
  const pid_t child = test::fork_alone();
  REQUIRE(child >= 0);
  if (child == 0) {
#if WEIR_DETAIL_ASAN
    leaks_are_no_matter = true;
#endif
    const auto main = []() -> weir::task<> {
      const auto hangs = [] {
        for (;;) ::pause();
      };
      auto r = co_await weir::as_result(weir::with_timeout(1ms, weir::offload_abandonable(hangs)));
      if (r.error() != std::errc::timed_out) std::_Exit(3);
    };
    weir::run(main(), {.workers = 1});
    std::exit(42);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
}

TEST_CASE("a forked child has threads of its own for abandonable calls") {
  const auto main = []() -> weir::task<int> {
    const auto call = [] { return 42; };
    auto r = co_await weir::as_result(weir::with_timeout(20s, weir::offload_abandonable(call)));
    co_return r.has_value() ? *r : 1;
  };
  CHECK(weir::run(main(), {.workers = 1}) == 42);  // a thread of this process is idle now
  const pid_t child = test::fork_alone();
  REQUIRE(child >= 0);
  if (child == 0) std::_Exit(weir::run(main(), {.workers = 1}));
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
}

TEST_CASE("in a simulation an abandonable call runs at once, on the spot") {
  test::simulate([]() -> weir::task<> {
    const std::thread::id here = std::this_thread::get_id();
    const auto call = [here] { return std::this_thread::get_id() == here; };
    const bool same = co_await weir::offload_abandonable(call);
    CHECK(same);
    std::atomic<bool> ran{false};
    const auto never = [&ran] { ran = true; };
    const auto stopped = co_await weir::as_result(weir::with_timeout(0s, weir::offload_abandonable(never)));
    CHECK(stopped.error() == std::errc::timed_out);
    CHECK(!ran);
  });
}
