#include <sched.h>

#include <csignal>
#include <functional>
#include <thread>

#include "support.hpp"

namespace {

/// Holds up the threads of a pool until it is opened.
class gate {
 public:
  void wait() {
    ++waiting_;
    while (!open_) std::this_thread::yield();
  }
  void open() { open_ = true; }
  [[nodiscard]] int waiting() const { return waiting_; }

 private:
  std::atomic<bool> open_{false};
  std::atomic<int> waiting_{0};
};

template <class F>
void on_one(F main, unsigned offload_threads = 0) {
  weir::run(main(), {.workers = 1, .offload_threads = offload_threads});
}

}  // namespace

TEST_CASE("offload runs on another thread and completes with the function's value") {
  on_one([]() -> weir::task<> {
    const std::thread::id here = std::this_thread::get_id();
    const bool elsewhere = co_await weir::offload([&] { return std::this_thread::get_id() != here; });
    CHECK(elsewhere);
    CHECK(std::this_thread::get_id() == here);
    const auto moved = co_await weir::offload([] { return std::make_unique<int>(3); });
    CHECK(*moved == 3);
    int x = 0;
    int& same = co_await weir::offload([&]() -> int& { return x; });
    CHECK(&same == &x);
    co_await weir::offload([&] { x = 1; });
    CHECK(x == 1);
    auto owned = std::make_unique<int>(4);
    auto owning = [held = std::move(owned)] { return *held; };
    const int four = co_await weir::offload(TEST_MOVE_CALLABLE(owning));
    CHECK(four == 4);
  });
}

TEST_CASE("offload throws what the function throws") {
  on_one([]() -> weir::task<> {
    const auto r = co_await weir::as_result(weir::offload([]() -> int { throw std::runtime_error("blocked"); }));
    CHECK(test::unobserved::what(r.exception()) == "blocked");
    std::string what;
    try {
      co_await weir::offload([] { throw std::runtime_error("again"); });
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "again");
  });
}

TEST_CASE("offload blocks no worker: timers fire meanwhile") {
  on_one([]() -> weir::task<> {
    gate g;
    auto opens = [&]() -> weir::task<> {
      co_await weir::sleep_for(1ms);
      g.open();
    };
    co_await weir::when_all(weir::offload([&] { g.wait(); }), opens());
    CHECK(g.waiting() == 1);
  });
}

TEST_CASE("cancelled while queued: it is withdrawn and never runs") {
  on_one(
      []() -> weir::task<> {
        gate g;
        bool ran = false;
        auto body = [&](weir::task_group& group) -> weir::task<> {
          auto occupies = [&]() -> weir::task<> { co_await weir::offload([&] { g.wait(); }); };
          group.spawn(occupies);
          while (g.waiting() == 0) co_await weir::sleep_for(10us);
          const auto r = co_await weir::as_result(weir::with_timeout(100us, weir::offload([&] { ran = true; })));
          CHECK(r.error() == std::errc::timed_out);
          g.open();
        };
        co_await weir::with_task_group(body);
        CHECK(!ran);
      },
      1);
}

TEST_CASE("cancelled while it runs: the stop waits for its return; the function may look at the token") {
  on_one([]() -> weir::task<> {
    std::atomic<bool> running{false};
    bool left = false;
    auto patient = [&](weir::cancellation_token token) {
      running = true;
      while (!token.is_cancellation_requested()) std::this_thread::yield();
      left = true;
      return 5;
    };
    // Directly under its scope the value of the run is delivered,
    weir::cancellation_source source;
    auto cancels = [&]() -> weir::task<> {
      while (!running) co_await weir::sleep_for(10us);
      source.request_cancellation();
    };
    const auto both = co_await weir::when_all(
        weir::as_result(weir::with_cancellation(source.token(), weir::offload(patient))), cancels());
    const auto& late = std::get<0>(both);
    CHECK(left);
    REQUIRE(late.has_value());
    CHECK(*late == 5);
    // in a task the next leaf stops.
    left = running = false;
    bool went_on = false;
    auto work = [&]() -> weir::task<> {
      const int value = co_await weir::offload(patient);
      CHECK(value == 5);
      co_await weir::checkpoint();
      went_on = true;
    };
    weir::cancellation_source other;
    auto cancels_work = [&]() -> weir::task<> {
      while (!running) co_await weir::sleep_for(10us);
      other.request_cancellation();
    };
    const auto stopped =
        co_await weir::when_all(weir::as_result(weir::with_cancellation(other.token(), work())), cancels_work());
    CHECK(std::get<0>(stopped).is_cancelled());
    CHECK(left);
    CHECK(!went_on);
  });
}

TEST_CASE("cancelled before it begins: it does not run") {
  on_one([]() -> weir::task<> {
    bool ran = false;
    const auto r = co_await weir::as_result(weir::with_timeout(0s, weir::offload([&] { ran = true; })));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(!ran);
  });
}

TEST_CASE("the pool is bounded; its threads are reused and block all signals") {
  on_one(
      []() -> weir::task<> {
        std::atomic<int> running{0};
        std::atomic<int> most{0};
        auto body = [&](weir::task_group& group) -> weir::task<> {
          auto one = [&]() -> weir::task<> {
            co_await weir::offload([&] {
              const int now = ++running;
              int seen = most;
              while (now > seen && !most.compare_exchange_weak(seen, now)) {
              }
              sched_yield();
              --running;
            });
          };
          for (int i = 0; i < 200; ++i) group.spawn(one);
          co_await group.join();
        };
        co_await weir::with_task_group(body);
        CHECK(most <= 3);
        const bool blocked = co_await weir::offload([] {
          sigset_t mask;
          pthread_sigmask(SIG_SETMASK, nullptr, &mask);
          return sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGCHLD) == 1;
        });
        CHECK(blocked);
      },
      3);
}

TEST_CASE("jobs start first come, first served") {
  on_one(
      []() -> weir::task<> {
        gate g;
        std::vector<int> order;
        auto body = [&](weir::task_group& group) -> weir::task<> {
          auto first = [&]() -> weir::task<> { co_await weir::offload([&] { g.wait(); }); };
          group.spawn(first);
          while (g.waiting() == 0) co_await weir::sleep_for(10us);
          auto one = [&](int i) -> weir::task<> {
            co_await weir::offload([&order, i] { order.push_back(i); });  // lint: ok (trivially destructible)
          };
          for (int i = 0; i < 20; ++i) {
            group.spawn(one, i);
            co_await weir::yield();
          }
          g.open();
          co_await group.join();
        };
        co_await weir::with_task_group(body);
        REQUIRE(order.size() == 20);
        CHECK(std::is_sorted(order.begin(), order.end()));
      },
      1);
}

TEST_CASE("in a simulation the function runs at once, on the spot") {
  test::simulate([]() -> weir::task<> {
    const std::thread::id here = std::this_thread::get_id();
    const bool same = co_await weir::offload([&] { return std::this_thread::get_id() == here; });
    CHECK(same);
    const auto r = co_await weir::as_result(weir::offload([]() -> int { throw std::runtime_error("x"); }));
    CHECK(!r.has_value());
    bool ran = false;
    const auto stopped = co_await weir::as_result(weir::with_timeout(0s, weir::offload([&] { ran = true; })));
    CHECK(stopped.error() == std::errc::timed_out);
    CHECK(!ran);
  });
}
