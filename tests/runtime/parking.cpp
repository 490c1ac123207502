#include <thread>

#include <weir/runtime/detail/wakeup_pause.hpp>
#include <weir/runtime/detail/worker.hpp>

#include "../io/watchdog.hpp"
#include "support.hpp"

// Workers that park and are woken, on real threads. A lost wake-up would hang, and the watchdog tell it. What every
// interleaving of the steps does is in parking_model.cpp.

namespace {

/// Looks at a runtime from outside.
class onlooker {
 public:
  explicit onlooker(weir::runtime& of) : core_(weir::runtime_access::core(of)) {}
  void wait_until_all_are_parked() const {
    while (core_.parked() != core_.worker_count()) std::this_thread::yield();
  }
  [[nodiscard]] unsigned wakeups() const { return static_cast<unsigned>(core_.counters().total.wakeups); }
  [[nodiscard]] unsigned parks() const { return static_cast<unsigned>(core_.counters().total.parks); }

 private:
  weir::detail::runtime_core& core_;
};

}  // namespace

TEST_CASE("parking: batches of tasks from outside, each into a runtime at rest or about to be") {
  const test::watchdog dog;
  for (const unsigned workers : {1u, 2u, 4u}) {
    test::watchdog::watch("batches from outside, workers: " + std::to_string(workers));
    weir::runtime rt({.workers = workers});
    std::atomic<int> ran{0};
    int expected = 0;
    for (int i = 0; i < test::scaled(4'000, 600); ++i) {
      auto counts = [&ran]() -> weir::task<> {
        ++ran;
        co_return;
      };
      for (int k = 0; k <= i % 3; ++k, ++expected) {
        if (i % 4 == 3) {
          rt.spawn_on(static_cast<unsigned>(k) % workers, counts);
        } else {
          rt.spawn(counts);
        }
      }
      while (ran != expected) std::this_thread::yield();
      if (i % 16 == 0 && workers > 1) onlooker(rt).wait_until_all_are_parked();
    }
  }
}

TEST_CASE("parking: a task that waits for its child without suspending finds another worker for it, every time") {
  const test::watchdog dog;
  for (const unsigned workers : {2u, 3u}) {
    test::watchdog::watch("busy parents, workers: " + std::to_string(workers));
    auto main = [workers]() -> weir::task<> {
      for (int i = 0; i < test::scaled(3'000, 500); ++i) {
        std::atomic<unsigned> met{0};
        auto body = [&](weir::task_group& group) -> weir::task<> {
          // As many as there are workers, and each needs one of its own.
          auto child = [&]() -> weir::task<> {
            ++met;
            while (met < workers) std::this_thread::yield();
            co_return;
          };
          for (unsigned k = 0; k < workers; ++k) group.spawn(child);
          co_await group.join();
        };
        co_await weir::with_task_group(body);
        if (i % 8 == 0) co_await weir::sleep_for(20us);  // long enough for the others to park
      }
    };
    weir::run(main(), {.workers = workers});
  }
}

TEST_CASE("parking: threads outside wake tasks on several workers, one signal each") {
  const test::watchdog dog;
  for (const bool stealing : {true, false}) {
    test::watchdog::watch(stealing ? "signals" : "signals without stealing");
    constexpr int pairs = 3;
    constexpr int rounds = test::scaled(4'000, 600);
    weir::runtime rt({.workers = 3, .stealing = stealing});
    std::vector<std::thread> threads;
    std::array<weir::event, pairs> signals{weir::event(weir::reset_mode::automatic),
                                           weir::event(weir::reset_mode::automatic),
                                           weir::event(weir::reset_mode::automatic)};
    std::array<std::atomic<int>, pairs> seen{};
    for (std::size_t p = 0; p < pairs; ++p) {
      auto waits = [&signal = signals[p], &count = seen[p]]() -> weir::task<> {
        for (int i = 0; i < rounds; ++i) {
          co_await signal.wait();
          ++count;
        }
      };
      rt.spawn(waits);
      threads.emplace_back([&signal = signals[p], &count = seen[p]] {
        for (int i = 0; i < rounds; ++i) {
          signal.set();
          while (count <= i) std::this_thread::yield();
        }
      });
    }
    for (std::thread& t : threads) t.join();
    CHECK(seen[0] + seen[1] + seen[2] == pairs * rounds);
  }
}

TEST_CASE("parking: a batch of tasks wakes no more workers than it needs") {
  const test::watchdog dog;
  test::watchdog::watch("counted wake-ups");
  weir::runtime rt({.workers = 4});
  const onlooker at(rt);
  auto nothing = []() -> weir::task<> { co_return; };
  const auto wakeups_of = [&](unsigned tasks) {
    at.wait_until_all_are_parked();
    const unsigned before = at.wakeups();
    std::vector<weir::join_handle<>> handles;
    for (unsigned i = 0; i < tasks; ++i) handles.push_back(rt.spawn(nothing));
    for (auto& h : handles) {
      while (!h.done()) std::this_thread::yield();
    }
    at.wait_until_all_are_parked();
    return at.wakeups() - before;
  };
  const int rounds = test::scaled(300, 60);
  int too_many = 0;
  for (int i = 0; i < rounds; ++i) {
    // One more where the system stops the waker, and a worker that has parked meanwhile is its to wake.
    const unsigned by_one = wakeups_of(1);
    if (by_one > 2) FAIL("one task woke several workers");
    too_many += by_one > 1;
    // Each may come when all are at rest; and who is woken for one of several may be late for it.
    for (const unsigned tasks : {2u, 3u, 8u}) {
      const unsigned woken = wakeups_of(tasks);
      CAPTURE(tasks);
      CAPTURE(woken);
      if (woken > 2 * tasks) FAIL("a batch woke more workers than it has tasks");
    }
  }
  CHECK(too_many <= rounds / 10);
}

TEST_CASE(
    "parking: a task that goes on and on by itself wakes nobody, and tasks spawned at once wake one after another") {
  const test::watchdog dog;
  test::watchdog::watch("nobody is needed");
  weir::runtime rt({.workers = 4});
  const onlooker at(rt);
  auto alone = [&]() -> weir::task<unsigned> {
    co_await weir::yield();
    const unsigned before = at.wakeups();
    for (int i = 0; i < 20'000; ++i) co_await weir::yield();
    co_return at.wakeups() - before;
  };
  at.wait_until_all_are_parked();
  CHECK(rt.block_on(alone()) == 0);
  // A worker that is woken takes far longer to come than these take to be spawned.
  auto spawns = [&]() -> weir::task<unsigned> {
    const unsigned before = at.wakeups();
    auto body = [](weir::task_group& group) -> weir::task<> {
      auto child = []() -> weir::task<> { co_return; };
      for (int i = 0; i < 5; ++i) group.spawn(child);
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    co_return at.wakeups() - before;
  };
  at.wait_until_all_are_parked();
  CHECK(rt.block_on(spawns()) <= 9);
}

TEST_CASE("parking: a wake-up that brings too little puts the next ones off, twice as long each time, until one pays") {
  using weir::detail::wakeup_pause;
  wakeup_pause pause;
  CHECK(pause.after(wakeup_pause::worth_it) == 0us);
  CHECK(pause.after(0us) == wakeup_pause::first);
  CHECK(pause.after(wakeup_pause::worth_it - 1ns) == 2 * wakeup_pause::first);
  weir::duration last{};
  for (int i = 0; i < 10; ++i) last = pause.after(1us);
  CHECK(last == wakeup_pause::longest);
  CHECK(pause.after(1h) == 0us);
  CHECK(pause.after(1us) == wakeup_pause::first);
}

TEST_CASE("parking: a task beside one that computes finds another worker, also while wake-ups pause") {
  const test::watchdog dog;
  for (const unsigned workers : {2u, 3u}) {
    test::watchdog::watch("after talk, workers: " + std::to_string(workers));
    auto main = [workers]() -> weir::task<> {
      for (int i = 0; i < test::scaled(60, 20); ++i) {
        // Always two or three ready, and nothing to do: whoever is woken for them soon finds that it does not pay.
        weir::channel<int> there(1);
        weir::channel<int> back(1);
        auto talk = [&](weir::task_group& group) -> weir::task<> {
          auto echo = [&]() -> weir::task<> {
            while (auto said = co_await there.receive()) co_await back.send(*said);
          };
          for (int k = 0; k < 3; ++k) group.spawn(echo);
          for (int k = 0; k < test::scaled(2'000, 300); ++k) {
            co_await there.send(k);
            co_await back.receive();
          }
          there.close();
        };
        co_await weir::with_task_group(talk);
        auto meet = [workers](weir::task_group& group) -> weir::task<> {
          auto met = std::make_shared<std::atomic<unsigned>>(0);
          for (unsigned k = 0; k < workers; ++k) {
            auto meets = [met, workers]() -> weir::task<> {
              ++*met;
              while (*met < workers) std::this_thread::yield();
              co_return;
            };
            group.spawn(meets);
          }
          co_return;
        };
        co_await weir::with_task_group(meet);
      }
    };
    weir::run(main(), {.workers = workers});
  }
}

TEST_CASE("parking: how long a worker spins before it parks is not taken for work that its wake-up has brought") {
  const test::watchdog dog;
  test::watchdog::watch("wake-ups for nothing");
  constexpr unsigned rounds = 1'000;
  const auto wakeups_with = [](weir::duration spin) {
    weir::runtime rt({.workers = 2, .spin = spin});
    const onlooker at(rt);
    auto main = [&at]() -> weir::task<unsigned> {
      auto nothing = []() -> weir::task<> { co_return; };
      const unsigned before = at.wakeups();
      for (unsigned i = 0; i < rounds; ++i) {
        const unsigned wakeups = at.wakeups();
        const unsigned parks = at.parks();
        co_await weir::spawn(nothing).join();  // over long before the other worker comes
        while (at.wakeups() != wakeups && at.parks() == parks) std::this_thread::yield();
      }
      co_return at.wakeups() - before;
    };
    return rt.block_on(main());
  };
  const unsigned parking = wakeups_with(0us);
  const unsigned spinning = wakeups_with(50us);
  CAPTURE(parking);
  CAPTURE(spinning);
  // While wake-ups pause hundreds of these fit in. On a slow machine even nothing takes so long that it seems to pay.
  CHECK(spinning <= 4 * parking + rounds / 10);
}
