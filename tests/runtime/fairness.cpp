#include <algorithm>
#include <thread>

#include "support.hpp"

// How long something that is due waits behind tasks that never end: counted in their resumptions, never in time. The
// bounds are those of docs/performance.md.

namespace {

constexpr unsigned turn = 64;               // runtime_options::tasks_per_turn here
constexpr long front_factor = 4;            // a task in the queue, and those that it may put before their turn
constexpr long oldest_every = 61;           // picks until one for who was passed over
constexpr weir::duration resolution = 2us;  // of the wheel, and of the clock that it is compared with

/// How many have run between the moment in which something was due and the one in which it was served.
class waited {
 public:
  /// Every task that runs meanwhile says so.
  void resumed() {
    ran_.store(ran_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (time_ == weir::time_point::max() || weir::now() < time_) return;
    time_ = weir::time_point::max();
    due_now();
  }
  void not_due() { due_at_ = nothing; }
  void due_now() { due_at_ = ran_.load(); }
  void due_at(weir::time_point time) {
    not_due();
    time_ = time;
  }
  void served() {
    time_ = weir::time_point::max();
    ++times_;
    const long due = due_at_;
    if (due != nothing) most_ = std::max(most_, ran_ - due);
  }
  [[nodiscard]] long ran() const { return ran_; }
  [[nodiscard]] long most() const { return most_; }
  [[nodiscard]] int times() const { return times_; }

 private:
  static constexpr long nothing = -1;
  std::atomic<long> ran_{0};
  std::atomic<long> due_at_{nothing};
  weir::time_point time_ = weir::time_point::max();  // that makes it due
  long most_ = 0;
  int times_ = 0;
};

/// What keeps the worker busy until `end`, and how many of it are ready at once at most.
struct load {
  waited meter;
  bool end = false;
};

weir::task<> yields(load& in) {
  while (!in.end) {
    in.meter.resumed();
    co_await weir::yield();
  }
}

/// Never suspends by itself: its budget makes it. Each round is one completion, not one resumption.
weir::task<> always_ready(load& in) {
  while (!in.end) {
    in.meter.resumed();
    co_await weir::checkpoint();
  }
}

/// Two of these wake each other for ever, each before the other's turn. One of them runs at a time.
weir::task<> wakes(load& in, weir::event& mine, weir::event& other) {
  while (!in.end) {
    co_await mine.wait();
    in.meter.resumed();
    other.set();
  }
  other.set();
}
struct pair_of_events {
  weir::event ping{weir::reset_mode::automatic, true};
  weir::event pong{weir::reset_mode::automatic};
};

/// Each ends by spawning the next.
weir::task<> spawns_itself(load& in, weir::task_group& group) {
  in.meter.resumed();
  if (!in.end) group.spawn(spawns_itself(in, group));
  co_return;
}

/// A tree without end, of which at most `room` are alive.
weir::task<> spawns_two(load& in, weir::task_group& group, int& alive, int room) {
  in.meter.resumed();
  --alive;
  for (int i = 0; i < 2 && !in.end && alive < room; ++i) {
    ++alive;
    group.spawn(spawns_two(in, group, alive, room));
  }
  if (alive == 0) co_await weir::yield();
}

/// Sleeps, so many times.
weir::task<> sleeps(load& in, int times) {
  for (int i = 0; i < times; ++i) {
    const weir::time_point due = weir::now() + 50us * (1 + i % 5);
    in.meter.due_at(due + resolution);
    co_await weir::sleep_until(due);
    in.meter.served();
  }
  in.end = true;
}

const weir::runtime_options one_worker{.workers = 1, .tasks_per_turn = turn};

/// Runs `background(load, group)` in a group with a sleeper, and returns the most that ran before it.
template <class F>
long most_before_a_timer(F background) {
  load in;
  auto main = [&]() -> weir::task<> {
    auto body = [&](weir::task_group& group) -> weir::task<> {
      background(in, group);
      group.spawn(sleeps(in, 60));
      co_await group.join();
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), one_worker);
  CHECK(in.meter.times() == 60);
  return in.meter.most();
}

}  // namespace

TEST_CASE("fairness: a timer waits for the rest of a turn, and then for what was ready before it") {
  constexpr long ready = 8;
  SUBCASE("beside tasks that yield for ever") {
    const auto background = [](load& in, weir::task_group& group) {
      for (int i = 0; i < ready; ++i) group.spawn(yields(in));
    };
    CHECK(most_before_a_timer(background) <= turn + ready);
  }
  SUBCASE("beside tasks whose leaves are always ready: in completions, of which each has 128") {
    const auto background = [](load& in, weir::task_group& group) {
      for (int i = 0; i < ready; ++i) group.spawn(always_ready(in));
    };
    CHECK(most_before_a_timer(background) <= (turn + ready) * 129);
  }
  SUBCASE("beside chains of tasks that are woken before their turn") {
    pair_of_events events[ready];
    const auto background = [&events](load& in, weir::task_group& group) {
      for (pair_of_events& e : events) {
        group.spawn(wakes(in, e.ping, e.pong));
        group.spawn(wakes(in, e.pong, e.ping));
      }
    };
    CHECK(most_before_a_timer(background) <= turn + front_factor * ready);
  }
  SUBCASE("beside children that keep spawning") {
    const auto background = [](load& in, weir::task_group& group) {
      for (int i = 0; i < ready; ++i) group.spawn(spawns_itself(in, group));
    };
    CHECK(most_before_a_timer(background) <= turn + 1);
  }
  SUBCASE("beside a tree of them that grows, however many are ready") {
    int alive = 1;
    const auto background = [&alive](load& in, weir::task_group& group) {
      group.spawn(spawns_two(in, group, alive, 10'000));
    };
    CHECK(most_before_a_timer(background) <= turn + 1);
  }
}

TEST_CASE("fairness: a timer waits no longer while other threads spawn and wake without end") {
  // At most so many of them have not begun. Where more come than the worker can run, they pile up, and what becomes
  // ready waits its turn behind them.
  constexpr long room = 256;
  load in;
  std::atomic<bool> end{false};
  std::atomic<long> pending{0};
  weir::event woken{weir::reset_mode::automatic};
  {
    weir::runtime rt(one_worker);
    auto ends_at_once = [&]() -> weir::task<> {
      --pending;
      in.meter.resumed();
      co_return;
    };
    auto sleeper = [&]() -> weir::task<> {
      co_await sleeps(in, 60);
      end = true;
    };
    auto waits = [&]() -> weir::task<> {
      while (!end) {
        in.meter.resumed();
        co_await woken.wait();
        co_await weir::yield();  // or all of its budget would be spent in one resumption
      }
    };
    auto h = rt.spawn(sleeper);
    rt.spawn(waits);
    std::thread spawner([&] {
      while (!end) {
        if (pending >= room) {
          std::this_thread::yield();
          continue;
        }
        ++pending;
        rt.spawn(ends_at_once);
      }
    });
    std::thread waker([&] {
      while (!end) woken.set();
    });
    spawner.join();
    waker.join();
    while (!h.done()) std::this_thread::yield();
    woken.set();
  }
  CHECK(in.meter.times() == 60);
  // Of what has come from outside, a turn takes half into the worker's own queue.
  CHECK(in.meter.most() <= turn + turn + 2 + room);
}

TEST_CASE("fairness: a spawned task has its turn beside woken ones that never end") {
  constexpr int pairs = 4;
  load in;
  auto main = [&]() -> weir::task<> {
    pair_of_events events[pairs];
    auto body = [&](weir::task_group& group) -> weir::task<> {
      auto child = [&in]() -> weir::task<> {
        in.meter.served();
        co_return;
      };
      auto spawner = [&](weir::event& mine, weir::event& other) -> weir::task<> {
        for (int i = 0; i < 20'000; ++i) {
          co_await mine.wait();
          in.meter.resumed();
          if (i % 200 == 100) {
            in.meter.due_now();
            group.spawn(child);
          }
          other.set();
        }
        in.end = true;
        other.set();
      };
      group.spawn(spawner, std::ref(events[0].ping), std::ref(events[0].pong));
      group.spawn(wakes(in, events[0].pong, events[0].ping));
      for (int i = 1; i < pairs; ++i) {
        group.spawn(wakes(in, events[i].ping, events[i].pong));
        group.spawn(wakes(in, events[i].pong, events[i].ping));
      }
      co_await group.join();
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), one_worker);
  CHECK(in.meter.times() == 100);
  CHECK(in.meter.most() <= oldest_every);
}

TEST_CASE("fairness: of many spawned tasks the oldest does not wait for ever") {
  // Each place in the line costs one of the 61st picks, and when woken tasks never end, 30 of them go together.
  constexpr long old_ones = 300;
  load in;
  long place = 0;
  long worst = 0;
  auto main = [&]() -> weir::task<> {
    pair_of_events e;
    auto body = [&](weir::task_group& group) -> weir::task<> {
      auto child = [&]() -> weir::task<> {
        in.meter.served();
        ++place;
        worst = std::max(worst, in.meter.most() - (2 + place / 30) * 2 * oldest_every);
        if (place == old_ones) in.end = true;
        co_return;
      };
      in.meter.due_now();
      for (int i = 0; i < old_ones; ++i) group.spawn(child);
      group.spawn(wakes(in, e.ping, e.pong));
      group.spawn(wakes(in, e.pong, e.ping));
      co_await group.join();
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), one_worker);
  CHECK(place == old_ones);
  CHECK(worst <= 0);
}

TEST_CASE("fairness: what woken tasks spawn does not pile up, however much it is") {
  for (const int children : {1, 2, 5, 20}) {
    CAPTURE(children);
    load in;
    long alive = 0;
    long most = 0;
    auto main = [&]() -> weir::task<> {
      pair_of_events e;
      auto body = [&](weir::task_group& group) -> weir::task<> {
        auto child = [&alive]() -> weir::task<> {
          --alive;
          co_return;
        };
        auto spawner = [&](weir::event& mine, weir::event& other) -> weir::task<> {
          for (int i = 0; i < 20'000; ++i) {
            co_await mine.wait();
            for (int k = 0; k < children; ++k) group.spawn(child);
            most = std::max(most, alive += children);
            other.set();
          }
          in.end = true;
          other.set();
        };
        group.spawn(spawner, std::ref(e.ping), std::ref(e.pong));
        group.spawn(wakes(in, e.pong, e.ping));
        co_await group.join();
      };
      co_await weir::with_task_group(body);
    };
    weir::run(main(), one_worker);
    CHECK(alive == 0);
    CHECK(most <= 2 * oldest_every * children);
  }
}

TEST_CASE("fairness: a task woken from another thread has its share of the picks beside tasks that never end") {
  constexpr long ready = 8;
  load in;
  weir::event woken{weir::reset_mode::automatic};
  weir::runtime rt(one_worker);
  constexpr int times = 100;
  std::atomic<int> served{0};
  auto victim = [&]() -> weir::task<> {
    for (int i = 0; i < times; ++i) {
      co_await woken.wait();
      in.meter.served();
      ++served;
    }
    in.end = true;
  };
  auto main = [&]() -> weir::task<> {
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < ready; ++i) group.spawn(yields(in));
      group.spawn(victim);
      co_await group.join();
    };
    co_await weir::with_task_group(body);
  };
  std::thread waker([&] {
    for (int i = 0; i < times; ++i) {
      while (served != i) std::this_thread::yield();
      in.meter.not_due();
      woken.set();
      in.meter.due_now();  // or a little before: then it is served by now
    }
  });
  rt.block_on(main());
  waker.join();
  CHECK(in.meter.times() == times);
  CHECK(in.meter.most() <= oldest_every + 1);
}

TEST_CASE("fairness: of many tasks that come from other threads each has its turn, first come, first served") {
  // With one worker and with two, whose own tasks never end.
  for (const unsigned workers : {1u, 2u}) {
    constexpr int arrivals = 3'000;
    std::vector<int> order;
    std::mutex lock;
    std::atomic<long> ran{0};
    std::atomic<bool> end{false};
    long ran_at_the_end = 0;
    long ran_meanwhile = 0;
    {
      weir::runtime rt({.workers = workers, .tasks_per_turn = turn});
      auto busy = [&]() -> weir::task<> {
        while (!end) {
          ++ran;
          co_await weir::yield();
        }
      };
      auto arrives = [&](int number) -> weir::task<> {
        const std::lock_guard guard(lock);
        order.push_back(number);
        // The system may have stopped a worker that has one in its hands.
        if (order.size() == arrivals - workers) ran_at_the_end = ran;
        if (order.size() == arrivals) end = true;
        co_return;
      };
      for (unsigned i = 0; i < 4 * workers; ++i) rt.spawn(busy);
      while (ran < 1000) std::this_thread::yield();
      for (int i = 0; i < arrivals; ++i) rt.spawn(arrives, i);
      const long ran_before = ran;  // all have come
      while (!end) std::this_thread::yield();
      ran_meanwhile = ran_at_the_end - ran_before;
    }
    CHECK(order.size() == arrivals);
    // Half of the picks are theirs; of the last few each worker takes its part of what is left.
    // With two workers one may run as much as it likes while the system lets the other one wait.
    if (workers > 1) continue;
    CHECK(ran_meanwhile <= 2 * arrivals + 10 * oldest_every);
    CHECK(std::is_sorted(order.begin(), order.end()));
  }
}

TEST_CASE("fairness: in a simulation every ready task has its turn, whatever the seed") {
  constexpr long ready = 8;
  long most = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    load in;
    auto main = [&]() -> weir::task<> {
      weir::event woken{weir::reset_mode::automatic};
      auto body = [&](weir::task_group& group) -> weir::task<> {
        auto victim = [&]() -> weir::task<> {
          for (int i = 0; i < 10; ++i) {
            co_await woken.wait();
            in.meter.served();
          }
          in.end = true;
        };
        auto waker = [&]() -> weir::task<> {
          while (!in.end) {
            if (!woken.is_set()) {
              in.meter.due_now();
              woken.set();
            }
            const int before = in.meter.times();
            while (!in.end && in.meter.times() == before) {
              in.meter.resumed();
              co_await weir::yield();
            }
          }
        };
        group.spawn(victim);
        group.spawn(waker);
        for (int i = 2; i < ready; ++i) group.spawn(yields(in));
        co_await group.join();
      };
      co_await weir::with_task_group(body);
    };
    test::simulate(main, seed);
    most = std::max(most, in.meter.most());
  }
  // The chance to be passed over so often is (1 - 1/ready)^(20 ready), less than one in ten million.
  CHECK(most <= 20 * ready);
}
