#include <functional>
#include <thread>

#include "support.hpp"

// Races between workers, and between workers and foreign threads: right under every schedule, clean under TSan. The
// moments are drawn at random with a fixed seed; which of them meet is up to the machine.

namespace {

/// Small and good enough; a generator of its own for each task.
class dice {
 public:
  explicit dice(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  std::uint64_t below(std::uint64_t bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % bound;
  }
  /// For spinning: mostly few, sometimes many.
  std::uint64_t steps() { return below(std::uint64_t{1} << below(13)); }
  weir::duration moment(std::uint64_t most_us) { return std::chrono::microseconds(below(most_us)); }

 private:
  std::uint64_t state_;
};

/// A thread that does something just when the test does something else: on two processors the two really meet.
class rival {
 public:
  rival() : thread_([this] { serve(); }) {}
  rival(const rival&) = delete;
  rival& operator=(const rival&) = delete;
  ~rival() {
    state_ = leave;
    thread_.join();
  }

  static void spin(std::uint64_t steps) {
    for (volatile std::uint64_t k = 0; k < steps;) k = k + 1;
  }
  /// Both sides start now; the other one does `f` after so many steps.
  void start(std::function<void()> f, std::uint64_t steps) {
    job_ = std::move(f);
    steps_ = steps;
    state_ = ready;
    while (state_ != running && state_ != idle) std::this_thread::yield();
  }
  void finish() {
    while (state_ != idle) std::this_thread::yield();
  }

 private:
  enum state : int { idle, ready, running, leave };
  void serve() {
    for (;;) {
      const int now = state_;
      if (now == leave) return;
      if (now != ready) {
        std::this_thread::yield();
        continue;
      }
      state_ = running;
      spin(steps_);
      job_();
      state_ = idle;
    }
  }

  std::atomic<int> state_{idle};
  std::function<void()> job_;
  std::uint64_t steps_ = 0;
  std::thread thread_;
};

constexpr weir::runtime_options four_workers{.workers = 4};

template <class F>
void on_four(F main) {
  weir::run(main(), four_workers);
  CHECK(test::counted::alive == 0);
}

weir::task<long> tree(int depth) {
  const test::counted guard;
  if (depth == 0) co_return 1;
  auto both = co_await weir::when_all(tree(depth - 1), tree(depth - 1));
  co_return std::get<0>(both) + std::get<1>(both);
}

weir::task<> spawning_tree(weir::task_group& g, std::atomic<long>& leaves, int depth) {
  const test::counted guard;
  if (depth == 0) {
    ++leaves;
    co_return;
  }
  for (int i = 0; i < 4; ++i) g.spawn(spawning_tree(g, leaves, depth - 1));
  co_await weir::yield();
}

/// Some way to wait, which a stop must end whatever it is.
weir::task<> some_wait(dice d, int depth) {
  const test::counted guard;
  switch (d.below(depth > 0 ? 8 : 3)) {
    case 0:
      co_await weir::sleep_for(d.moment(200));
      break;
    case 1:
      co_await weir::yield();
      break;
    case 2:
      co_await weir::sleep_until(weir::time_point::max());
      break;
    case 3: {
      const auto r =
          co_await weir::as_result(weir::with_timeout(d.moment(100), some_wait(dice(d.below(1000)), depth - 1)));
      static_cast<void>(r);
      break;
    }
    case 4: {
      const auto r = co_await weir::as_result(weir::when_any(some_wait(dice(d.below(1000)), depth - 1),
                                                             weir::sleep_for(d.moment(100)),
                                                             some_wait(dice(d.below(1000)), depth - 1)));
      static_cast<void>(r);
      break;
    }
    case 5: {
      auto body = [depth, d](weir::task_group& g) mutable -> weir::task<> {
        const test::counted inner;
        for (int i = 0; i < 3; ++i) g.spawn(some_wait(dice(d.below(1000)), depth - 1));
        const auto r = co_await weir::as_result(weir::with_timeout(d.moment(100), g.join()));
        if (!r.has_value()) g.cancel();
        co_await g.join();
      };
      const auto r = co_await weir::as_result(weir::with_task_group(TEST_MOVE_CALLABLE(body)));
      static_cast<void>(r);
      break;
    }
    case 6: {
      auto cleanup = [](const weir::cleanup_outcome&) -> weir::task<> {
        const test::counted inner;
        co_await weir::sleep_for(10us);
      };
      co_await weir::with_cleanup(some_wait(dice(d.below(1000)), depth - 1), cleanup, 1s);
      break;
    }
    default: {
      auto work = [&d](weir::cancellation_token token) {
        while (!token.is_cancellation_requested() && d.below(50) != 0) std::this_thread::yield();
      };
      co_await weir::offload(work);
      break;
    }
  }
}

}  // namespace

TEST_CASE("stress: a tree of when_all over four workers gives the right sum") {
  on_four([]() -> weir::task<> {
    const int depth = test::scaled(16, 11);
    for (int i = 0; i < 3; ++i) {
      const long sum = co_await tree(depth);
      CHECK(sum == 1L << depth);
    }
  });
}

TEST_CASE("stress: a storm of spawns from all workers into one group") {
  on_four([]() -> weir::task<> {
    const int depth = test::scaled(8, 5);
    for (int i = 0; i < 3; ++i) {
      std::atomic<long> leaves{0};
      auto body = [&](weir::task_group& g) -> weir::task<> {
        g.spawn(spawning_tree(g, leaves, depth));
        co_await g.join();
        // What the children did is visible here without more.
        CHECK(leaves.load(std::memory_order_relaxed) == 1L << (2 * depth));
      };
      co_await weir::with_task_group(body);
    }
  });
}

TEST_CASE("stress: what children wrote is visible to the body after join(), also when it need not wait") {
  on_four([]() -> weir::task<> {
    auto body = [](weir::task_group& g) -> weir::task<> {
      const int rounds = test::scaled(20'000, 3'000);
      long plain = 0;
      for (int i = 0; i < rounds; ++i) {
        auto child = [](long& to) -> weir::task<> {
          ++to;
          co_return;
        };
        g.spawn(child, std::ref(plain));
        if (i % 2 == 0) co_await weir::yield();
        if (i % 3 == 0) co_await weir::yield();
        co_await g.join();
        ++plain;
      }
      CHECK(plain == 2L * rounds);
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("stress: stops at any moment, of anything that waits") {
  on_four([]() -> weir::task<> {
    const int rounds = test::scaled(3'000, 400);
    for (int i = 0; i < rounds; ++i) {
      dice d(static_cast<std::uint64_t>(i));
      const auto r = co_await weir::as_result(weir::with_timeout(
          d.moment(300), weir::when_all(some_wait(dice(d.below(1000)), 3), some_wait(dice(d.below(1000)), 3),
                                        some_wait(dice(d.below(1000)), 3))));
      static_cast<void>(r);
      if (test::counted::alive != 0) FAIL("something is left");
    }
  });
}

TEST_CASE("stress: a group's join races its cancellation and its last child") {
  on_four([]() -> weir::task<> {
    const int rounds = test::scaled(20'000, 3'000);
    for (int i = 0; i < rounds; ++i) {
      auto body = [i](weir::task_group& g) -> weir::task<> {
        const test::counted guard;
        auto child = [](int spin) -> weir::task<> {
          for (int k = 0; k < spin; ++k) co_await weir::checkpoint();
        };
        auto canceller = [&g](int spin) -> weir::task<> {
          for (int k = 0; k < spin; ++k) co_await weir::checkpoint();
          g.cancel();
        };
        g.spawn(child, i % 7);
        g.spawn(canceller, i % 5);
        co_await g.join();
      };
      const auto r = co_await weir::as_result(weir::with_task_group(body));
      if (!r.has_value() && !r.is_cancelled()) FAIL("neither ended nor cancelled");
    }
  });
}

TEST_CASE("stress: joins race the end of the task, and their own timeouts") {
  on_four([]() -> weir::task<> {
    const int rounds = test::scaled(10'000, 1'500);
    long sum = 0;
    for (int i = 0; i < rounds; ++i) {
      dice d(static_cast<std::uint64_t>(i));
      auto h = weir::spawn(test::after(d.moment(30), i));
      const auto early = co_await weir::as_result(weir::with_timeout(d.moment(30), h.join()));
      if (early.has_value()) {
        sum += *early;
        continue;
      }
      const int late = co_await h.join();
      sum += late;
    }
    CHECK(sum == static_cast<long>(rounds) * (rounds - 1) / 2);
  });
}

TEST_CASE("stress: a join that is stopped before it waits is stopped all the same") {
  // The task ends only after the join was stopped: a lost stop would hang.
  on_four([]() -> weir::task<> {
    const int rounds = test::scaled(20'000, 3'000);
    for (int i = 0; i < rounds; ++i) {
      auto body = [i](weir::task_group& g) -> weir::task<> {
        auto h = weir::spawn(test::nap(1h));
        weir::cancellation_source source;
        auto canceller = [](weir::cancellation_source& s, int spin) -> weir::task<> {
          for (volatile int k = 0; k < spin;) k = k + 1;
          s.request_cancellation();
          co_return;
        };
        g.spawn(canceller, std::ref(source), i % 200);
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), h.join()));
        if (!r.is_cancelled()) FAIL("the join must have been cancelled");
        h.request_cancellation();
        const auto ended = co_await weir::as_result(h.join());
        if (!ended.is_cancelled()) FAIL("the task must have been cancelled");
        co_await g.join();
      };
      co_await weir::with_task_group(body);
    }
  });
}

TEST_CASE("stress: handles cancel, join and are dropped on other workers than the task's") {
  on_four([]() -> weir::task<> {
    auto body = [](weir::task_group& g) -> weir::task<> {
      const int rounds = test::scaled(5'000, 800);
      for (int i = 0; i < rounds; ++i) {
        auto h = g.spawn(some_wait(dice(static_cast<std::uint64_t>(i)), 1));
        auto watcher = [](weir::join_handle<> of, int k) -> weir::task<> {
          if (k % 3 == 0) co_await weir::yield();
          of.request_cancellation();
          if (k % 2 == 0) co_return;  // dropped
          const auto r = co_await weir::as_result(of.join());
          static_cast<void>(r);
        };
        g.spawn(watcher, std::move(h), i);
        if (i % 64 == 0) co_await g.join();
      }
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("stress: timers are armed, fire and are cancelled from everywhere") {
  on_four([]() -> weir::task<> {
    std::atomic<int> timed_out{0};
    std::atomic<int> slept{0};
    const int tasks = test::scaled(2'000, 300);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto one = [&](int seed) -> weir::task<> {
        const test::counted guard;
        dice d(static_cast<std::uint64_t>(seed));
        for (int i = 0; i < 20; ++i) {
          const weir::time_point begin = weir::now();
          const weir::duration length = d.moment(2000);
          const auto r = co_await weir::as_result(weir::with_timeout(d.moment(2000), weir::sleep_for(length)));
          if (r.has_value()) {
            ++slept;
            if (weir::now() < begin + length) FAIL("a sleep ended early");
          } else {
            ++timed_out;
          }
        }
      };
      for (int i = 0; i < tasks; ++i) g.spawn(one, i);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(slept + timed_out == tasks * 20);
    CHECK(slept > 0);
    CHECK(timed_out > 0);
  });
}

TEST_CASE("stress: callbacks are registered, called and removed from several threads") {
  const int rounds = test::scaled(3'000, 1'000);
  for (int i = 0; i < rounds; ++i) {
    std::atomic<int> calls{0};
    weir::cancellation_source source;
    std::atomic<bool> go{false};
    std::thread canceller([&] {
      while (!go) std::this_thread::yield();
      source.request_cancellation();
    });
    go = true;
    {
      auto note = [&calls] { ++calls; };
      const weir::cancellation_callback a(source.token(), note);
      auto b = std::make_unique<weir::cancellation_callback<decltype(note)>>(source.token(), note);
      b.reset();
      const weir::cancellation_callback c(source.token(), note);
    }
    const int after_destructors = calls;
    canceller.join();
    CHECK(calls == after_destructors);
    CHECK(calls <= 3);
  }
}

TEST_CASE("stress: runs that end at once, and while what they have spawned is busy elsewhere") {
  const int rounds = test::scaled(1'500, 300);
  for (int i = 0; i < rounds; ++i) {
    auto main = [](int kind) -> weir::task<int> {
      auto busy = [](int k) -> weir::task<> {
        const test::counted guard;
        co_await weir::shielded(weir::sleep_for(std::chrono::microseconds(k % 50)));
        for (int n = 0; n < k % 20; ++n) co_await weir::yield();
      };
      for (int k = 0; k < kind % 8; ++k) weir::spawn(busy, kind * 7 + k);
      if (kind % 3 == 0) co_await weir::yield();
      if (kind % 5 == 0) co_await weir::sleep_for(std::chrono::microseconds(kind % 40));
      co_return kind;
    };
    if (weir::run(main(i), {.workers = 1 + static_cast<unsigned>(i % 4)}) != i) FAIL("a wrong value");
    if (test::counted::alive != 0) FAIL("something is left");
  }
}

TEST_CASE("stress: block_on and spawn from many threads, into one worker and into several") {
  for (unsigned workers : {1u, 3u}) {
    std::atomic<int> ran{0};
    const int rounds = test::scaled(2'000, 400);
    {
      weir::runtime rt({.workers = workers});
      std::vector<std::thread> threads;
      for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
          auto count = [&ran](int) -> weir::task<> {
            ++ran;
            co_await weir::yield();
          };
          for (int i = 0; i < rounds; ++i) {
            if (i % 2 == 0) {
              rt.spawn(count, i);
            } else {
              rt.block_on(count(i));
            }
            auto h = rt.spawn(test::nap(1h));
            if (i % 3 == t) h.request_cancellation();
          }
        });
      }
      for (std::thread& t : threads) t.join();
    }
    CHECK(ran == 3 * rounds);
  }
}

TEST_CASE("stress: foreign threads spawn into, cancel and watch a group of one worker and of several") {
  for (unsigned workers : {1u, 3u}) {
    const int rounds = test::scaled(300, 60);
    std::atomic<int> ran{0};
    weir::runtime rt({.workers = workers});
    for (int i = 0; i < rounds; ++i) {
      auto main = [&ran, i]() -> weir::task<> {
        auto body = [&ran, i](weir::task_group& g) -> weir::task<> {
          const test::counted guard;
          // Its destructor joins it: while the body lives the group does.
          const std::jthread foreign([&g, &ran, i] {
            auto child = [&ran](int k) -> weir::task<> {
              const test::counted inner;
              ++ran;
              if (k % 2 == 0) co_await weir::sleep_for(1h);
            };
            for (int k = 0; k < i % 10; ++k) {
              auto h = g.spawn(child, k);
              if (k % 4 == 0) h.request_cancellation();
            }
            g.cancel();
          });
          co_await weir::sleep_for(1h);
        };
        const auto r = co_await weir::as_result(weir::with_task_group(body));
        if (!r.is_cancelled()) FAIL("the group must have been cancelled");
      };
      rt.block_on(main());
      if (test::counted::alive != 0) FAIL("something is left");
    }
    CHECK(ran > 0);
  }
}

TEST_CASE("stress: a source that a foreign thread cancels, on one worker and on several") {
  for (unsigned workers : {1u, 3u}) {
    const int rounds = test::scaled(2'000, 300);
    weir::runtime rt({.workers = workers});
    for (int i = 0; i < rounds; ++i) {
      weir::cancellation_source source;
      std::thread foreign([&source, i] {
        for (volatile int k = 0; k < i * 7 % 3000;) k = k + 1;
        source.request_cancellation();
      });
      auto main = [](weir::cancellation_token token) -> weir::task<bool> {
        auto loop = []() -> weir::task<> {
          for (;;) {
            co_await weir::yield();
            co_await weir::sleep_for(1us);
          }
        };
        const auto r = co_await weir::as_result(weir::with_cancellation(token, loop()));
        co_return r.is_cancelled();
      };
      if (!rt.block_on(main(source.token()))) FAIL("it must have been cancelled");
      foreign.join();
    }
  }
}

TEST_CASE("stress: a cancellation from another thread meets every kind of wait at every moment") {
  rival other;
  dice d(7);
  const int rounds = test::scaled(4'000, 1'000);
  for (int kind = 0; kind < 9; ++kind) {
    CAPTURE(kind);
    auto main = [&]() -> weir::task<> {
      for (int i = 0; i < rounds; ++i) {
        weir::cancellation_source source;
        auto endless = weir::spawn(test::nap(1h));
        auto short_one = weir::spawn(test::nap(2us));
        auto body = [&](weir::task_group& g) -> weir::task<> {
          g.spawn(test::nap(1h));
          co_await g.join();
        };
        auto wait = [&]() -> weir::task<> {
          const test::counted guard;
          switch (kind) {
            case 0:
              co_await weir::sleep_for(1h);
              break;
            case 1:
              co_await weir::sleep_until(weir::time_point::max());
              break;
            case 2:
              co_await endless.join();
              break;
            case 3:
              co_await weir::with_task_group(body);
              break;
            case 4:
              co_await weir::when_any(test::nap(1h), weir::sleep_for(2h));
              break;
            case 5:
              co_await weir::with_timeout(1h, weir::when_all(test::nap(1h), weir::sleep_for(1h)));
              break;
            case 6:
              for (;;) co_await weir::yield();
            case 7:
              for (;;) co_await weir::sleep_for(1us);
            default:
              // This one may also end by itself.
              co_await short_one.join();
              co_await weir::sleep_for(1us);
              break;
          }
        };
        other.start([&source] { source.request_cancellation(); }, d.steps());
        rival::spin(d.steps());
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), wait()));
        other.finish();
        if (!r.is_cancelled() && kind != 8) FAIL("it cannot have ended by itself");
        endless.request_cancellation();
        const auto ended = co_await weir::as_result(endless.join());
        const auto ended_too = co_await weir::as_result(short_one.join());
        if (!ended.is_cancelled() || !ended_too.has_value()) FAIL("the tasks themselves were not to be touched");
        if (test::counted::alive != 0) FAIL("something is left");
      }
    };
    weir::run(main(), {.workers = 2});
  }
}

TEST_CASE("stress: a group's last child ends just when its join is cancelled") {
  rival other;
  dice d(9);
  const int rounds = test::scaled(30'000, 5'000);
  auto main = [&]() -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      weir::cancellation_source source;
      auto body = [&](weir::task_group& g) -> weir::task<> {
        const test::counted guard;
        auto child = [&]() -> weir::task<> {
          // The rival has a start on a busy machine.
          other.start([&source] { source.request_cancellation(); }, d.steps() + (i % 2 == 0 ? 0 : 4096));
          rival::spin(d.steps());
          co_return;
        };
        g.spawn(child);
        co_await g.join();
      };
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), weir::with_task_group(body)));
      other.finish();
      if (!r.has_value() && !r.is_cancelled()) FAIL("neither joined nor cancelled");
      if (test::counted::alive != 0) FAIL("something is left");
    }
  };
  weir::run(main(), {.workers = 2});
}

TEST_CASE("stress: a task ends just when it is joined, and when it is cancelled by its handle") {
  rival other;
  dice d(11);
  const int rounds = test::scaled(30'000, 5'000);
  auto main = [&]() -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      auto task = [steps = d.steps()](int kind) -> weir::task<int> {
        if (kind != 0) co_await weir::yield();
        rival::spin(steps);
        co_return 1;
      };
      auto h = weir::spawn(task, i % 2);
      other.start([&h] { h.request_cancellation(); }, d.steps());
      const auto r = co_await weir::as_result(h.join());
      if (!r.has_value() && !r.is_cancelled()) FAIL("neither a value nor cancelled");
      other.finish();
    }
  };
  weir::run(main(), {.workers = 2});
}

TEST_CASE("stress: tasks of one runtime join, cancel and drop the handles of another's, each on its own worker") {
  weir::runtime works({.workers = 1});
  weir::runtime waits({.workers = 1, .confined = true});
  const int rounds = test::scaled(4'000, 1'000);
  auto work = [](int i) -> weir::task<int> {
    const test::counted guard;
    if (i % 3 != 0) co_await weir::yield();
    if (i % 7 == 0) co_await weir::sleep_for(1h);
    co_return i;
  };
  auto watch = [](weir::join_handle<int> handle, int i) -> weir::task<int> {
    if (i % 7 == 0) handle.request_cancellation();
    if (i % 5 == 0) co_return i;  // dropped
    if (i % 4 == 0) {
      auto first = co_await weir::as_result(weir::with_timeout(1us, handle.join()));
      if (first) co_return *first;
    }
    const auto r = co_await weir::as_result(handle.join());
    co_return r ? *r : i;
  };
  auto main = [&]() -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      auto watcher = weir::spawn(watch, works.spawn(work, i), i);
      const int told = co_await watcher.join();
      if (told != i) FAIL("another task's value");
    }
  };
  waits.block_on(main());
  CHECK(works.shutdown().complete);
  CHECK(test::counted::alive == 0);
}

TEST_CASE("stress: a timer fires just when its task is cancelled from another thread") {
  rival other;
  dice d(13);
  const int rounds = test::scaled(10'000, 3'000);
  auto main = [&]() -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      weir::cancellation_source source;
      other.start([&source] { source.request_cancellation(); }, d.below(6000));
      const auto r = co_await weir::as_result(weir::with_cancellation(
          source.token(),
          weir::with_timeout(d.moment(20), weir::with_timeout(d.moment(20), weir::sleep_for(d.moment(20))))));
      static_cast<void>(r);
      other.finish();
    }
  };
  weir::run(main(), {.workers = 2});
}
