#include <unistd.h>

#include <atomic>
#include <deque>
#include <fstream>
#include <string>
#include <thread>
#include <type_traits>

#include "../skip.hpp"
#include "support.hpp"

using test::settle;
using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::mutex> && !std::is_move_constructible_v<weir::mutex>);
static_assert(!std::is_copy_constructible_v<weir::mutex_guard> && !std::is_copy_assignable_v<weir::mutex_guard>);
static_assert(std::is_nothrow_move_constructible_v<weir::mutex_guard>);
static_assert(std::is_nothrow_move_assignable_v<weir::mutex_guard>);

namespace {

bool is_free(weir::mutex& m) { return static_cast<bool>(m.try_lock()); }

/// Locks, writes its name when it has the lock, and holds it for `length`.
weir::task<> hold(weir::mutex& m, test::log& seen, const char* name, weir::duration length) {
  const auto guard = co_await m.lock();
  seen.push_back(name);
  co_await weir::sleep_for(length);
}

weir::task<> use(weir::mutex& m, test::log& seen, const char* name) {
  const auto guard = co_await m.lock();
  seen.push_back(name);
}

weir::task<weir::mutex_guard> lock_for_caller(weir::mutex& m) { co_return co_await m.lock(); }

}  // namespace

TEST_CASE("lock completes with a guard that holds until its end or unlock") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    {
      const auto guard = co_await m.lock();
      CHECK(static_cast<bool>(guard));
      CHECK(!is_free(m));
    }
    CHECK(is_free(m));
    auto guard = co_await m.lock();
    CHECK(!is_free(m));
    guard.unlock();
    CHECK(!guard);
    CHECK(is_free(m));
  });
}

TEST_CASE("try_lock gives a guard that holds if the mutex is free, and nothing otherwise") {
  weir::mutex m;
  {
    const auto guard = m.try_lock();
    CHECK(static_cast<bool>(guard));
    const auto second = m.try_lock();
    CHECK(!second);
  }
  CHECK(is_free(m));
}

TEST_CASE("a guard moves; what it held before is released") {
  weir::mutex m;
  weir::mutex other;
  weir::mutex_guard none;
  CHECK(!none);
  auto first = m.try_lock();
  weir::mutex_guard second(std::move(first));
  CHECK(static_cast<bool>(second));
  CHECK(!is_free(m));
  second = other.try_lock();
  CHECK(is_free(m));
  CHECK(!is_free(other));
  weir::mutex_guard& same = second;
  second = std::move(same);
  CHECK(static_cast<bool>(second));
  CHECK(!is_free(other));
  second = weir::mutex_guard();
  CHECK(is_free(other));
}

TEST_CASE("P33: with_lock calls its section under the lock and gives what it returns or throws") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    int value = 1;
    auto doubles = [&] {
      CHECK(!is_free(m));
      return value *= 2;
    };
    CHECK(co_await m.with_lock(doubles) == 2);
    CHECK(is_free(m));

    auto fails = [&] {
      value = 5;
      throw std::runtime_error("in the section");
    };
    const auto failed = co_await weir::as_result(m.with_lock(fails));
    CHECK(!failed.has_value());
    CHECK(value == 5);
    CHECK(is_free(m));

    // Who waits for the lock and is cancelled has changed nothing.
    auto guard = m.try_lock();
    const auto stopped = co_await weir::as_result(weir::with_timeout(1ms, m.with_lock(doubles)));
    CHECK(stopped.error() == std::errc::timed_out);
    CHECK(value == 5);
    guard.unlock();
    CHECK(is_free(m));
  });
}

TEST_CASE("P35: waits() counts those who had to wait, and nobody else") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    test::log seen;
    for (int i = 0; i < 10; ++i) const auto guard = co_await m.lock();
    CHECK(m.waits() == 0);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto guard = co_await m.lock();
      for (const char* name : {"a", "b", "c"}) g.spawn(use, std::ref(m), std::ref(seen), name);
      co_await settle();
      CHECK(m.waits() == 3);
      CHECK(!m.try_lock());
      CHECK(m.waits() == 3);
      guard.unlock();
    };
    co_await weir::with_task_group(body);
    CHECK(seen.size() == 3);
    CHECK(m.waits() == 3);
  });
}

TEST_CASE("a free mutex is locked without suspending; a held one is not") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    bool others_ran = false;
    auto other = [&]() -> weir::task<> {
      others_ran = true;
      co_return;
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(other);
      auto guard = co_await m.lock();
      CHECK(!others_ran);
      co_await settle();
      CHECK(others_ran);
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("a task that locks a free mutex again and again still lets others run") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    bool stop = false;
    auto other = [&]() -> weir::task<> {
      stop = true;
      co_return;
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(other);
      int rounds = 0;
      while (!stop && rounds < 1'000'000) {
        const auto guard = co_await m.lock();
        ++rounds;
      }
      CHECK(stop);
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("the lock may be held across co_await; it goes round first come, first served") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    auto main = []() -> weir::task<> {
      weir::mutex m;
      test::log seen;
      auto body = [&](weir::task_group& g) -> weir::task<> {
        for (const char* name : {"a", "b", "c", "d", "e"}) {
          g.spawn(hold, std::ref(m), std::ref(seen), name, 1ms);
          co_await settle();
        }
      };
      co_await weir::with_task_group(body);
      CHECK(seen == test::log{"a", "b", "c", "d", "e"});
      CHECK(weir::now().time_since_epoch() == 5ms);
    };
    simulate(main, seed);
  }
}

TEST_CASE("unlocking hands the mutex over: nobody comes in between, not even who unlocked") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    auto main = []() -> weir::task<> {
      weir::mutex m;
      test::log seen;
      auto body = [&](weir::task_group& g) -> weir::task<> {
        auto guard = co_await m.lock();
        g.spawn(use, std::ref(m), std::ref(seen), "waiter");
        co_await settle();
        guard.unlock();
        CHECK(!is_free(m));
        CHECK(seen.empty());
        g.spawn(use, std::ref(m), std::ref(seen), "late");
        const auto again = co_await m.lock();
        CHECK(seen.front() == "waiter");
      };
      co_await weir::with_task_group(body);
    };
    simulate(main, seed);
  }
}

TEST_CASE("the lock is released when its holder returns, throws or is stopped") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    auto fails = [&]() -> weir::task<> {
      const auto guard = co_await m.lock();
      throw std::runtime_error("in the section");
    };
    auto sleeps = [&]() -> weir::task<> {
      const auto guard = co_await m.lock();
      co_await weir::sleep_for(1h);
    };
    const auto failed = co_await weir::as_result(fails());
    CHECK(!failed.has_value());
    CHECK(is_free(m));
    const auto stopped = co_await weir::as_result(weir::with_timeout(1ms, sleeps()));
    CHECK(stopped.error() == std::errc::timed_out);
    CHECK(is_free(m));
  });
}

TEST_CASE("a stopped holder hands over to who waits") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    test::log seen;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto holder = g.spawn(hold, std::ref(m), std::ref(seen), "holder", 1h);
      co_await settle();
      g.spawn(use, std::ref(m), std::ref(seen), "next");
      co_await settle();
      holder.request_cancellation();
      co_await settle();
      CHECK(seen == test::log{"holder", "next"});
    };
    co_await weir::with_task_group(body);
    CHECK(is_free(m));
  });
}

TEST_CASE("a cancelled waiter leaves the queue") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    test::log seen;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto guard = co_await m.lock();
      auto a = g.spawn(use, std::ref(m), std::ref(seen), "a");
      co_await settle();
      g.spawn(use, std::ref(m), std::ref(seen), "b");
      co_await settle();
      auto c = g.spawn(use, std::ref(m), std::ref(seen), "c");
      co_await settle();
      a.request_cancellation();
      c.request_cancellation();
      co_await settle();
      guard.unlock();
    };
    co_await weir::with_task_group(body);
    CHECK(seen == test::log{"b"});
    CHECK(is_free(m));
  });
}

TEST_CASE("when all who waited were cancelled the mutex is free after unlock") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    auto guard = co_await m.lock();
    auto locks = [&]() -> weir::task<> {
      const auto mine = co_await m.lock();
      CHECK(false);
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, weir::when_all(locks(), locks())));
    CHECK(r.error() == std::errc::timed_out);
    guard.unlock();
    CHECK(is_free(m));
    CHECK(is_free(m));
  });
}

TEST_CASE("under a token that is cancelled already lock stops, and a free mutex stays free") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    weir::cancellation_source source;
    source.request_cancellation();
    const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), m.lock()));
    CHECK(r.is_cancelled());
    CHECK(is_free(m));
  });
}

TEST_CASE("a lock that was handed over before the cancellation is delivered") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    auto main = []() -> weir::task<> {
      weir::mutex m;
      weir::cancellation_source source;
      bool delivered = false;
      auto waits = [&]() -> weir::task<> {
        const auto guard = co_await weir::with_cancellation(source.token(), m.lock());
        delivered = static_cast<bool>(guard);
      };
      auto body = [&](weir::task_group& g) -> weir::task<> {
        auto guard = co_await m.lock();
        g.spawn(waits);
        co_await settle();
        guard.unlock();
        source.request_cancellation();
      };
      co_await weir::with_task_group(body);
      CHECK(delivered);
      CHECK(is_free(m));
    };
    simulate(main, seed);
  }
}

TEST_CASE("a cancellation before the unlock: the lock goes to the next") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    weir::cancellation_source source;
    test::log seen;
    auto waits = [&]() -> weir::task<> {
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), m.lock()));
      CHECK(r.is_cancelled());
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto guard = co_await m.lock();
      g.spawn(waits);
      co_await settle();
      g.spawn(use, std::ref(m), std::ref(seen), "next");
      co_await settle();
      source.request_cancellation();
      guard.unlock();
      co_await settle();
      CHECK(seen == test::log{"next"});
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("scopes around lock: a guard comes out of as_result and with_timeout; a loser's guard is released") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    {
      auto r = co_await weir::as_result(m.lock());
      REQUIRE(r.has_value());
      CHECK(static_cast<bool>(*r));
      CHECK(!is_free(m));
    }
    CHECK(is_free(m));
    {
      const auto guard = co_await weir::with_timeout(1ms, lock_for_caller(m));
      const auto late = co_await weir::as_result(weir::with_timeout(1ms, lock_for_caller(m)));
      CHECK(late.error() == std::errc::timed_out);
    }
    CHECK(is_free(m));
    weir::mutex other;
    {
      const auto first = co_await weir::when_any(m.lock(), other.lock());
      CHECK((first.index() == 0 ? is_free(other) : is_free(m)));
      CHECK((first.index() == 0 ? !is_free(m) : !is_free(other)));
    }
    CHECK(is_free(m));
    CHECK(is_free(other));
  });
}

TEST_CASE("a guard may be passed to another task, and the lock with it") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    test::log seen;
    auto keeps = [&](weir::mutex_guard mine) -> weir::task<> {
      co_await weir::sleep_for(1ms);
      CHECK(static_cast<bool>(mine));
      seen.push_back("child");
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto guard = co_await m.lock();
      g.spawn(keeps, std::move(guard));
      // No relock of what this task holds: the child has the guard.
      const auto again = co_await m.lock();
      seen.push_back("parent");
    };
    co_await weir::with_task_group(body);
    CHECK(seen == test::log{"child", "parent"});
  });
}

TEST_CASE("who holds the lock last may destroy the mutex at once") {
  simulate([]() -> weir::task<> {
    struct shared {
      weir::mutex m;
      int users = 3;
    };
    auto* object = new shared;
    auto uses = [&]() -> weir::task<> {
      auto guard = co_await object->m.lock();
      co_await weir::sleep_for(1ms);
      const bool last = --object->users == 0;
      guard.unlock();
      if (last) delete std::exchange(object, nullptr);
    };
    co_await weir::when_all(uses(), uses(), uses());
    CHECK(!object);
  });
}

TEST_CASE("the report of a deadlock says that a task waits in mutex::lock") {
  std::string report;
  try {
    simulate([]() -> weir::task<> {
      weir::mutex a;
      weir::mutex b;
      auto crosswise = [](weir::mutex& first, weir::mutex& second) -> weir::task<> {
        const auto one = co_await first.lock();
        co_await weir::sleep_for(1ms);
        const auto two = co_await second.lock();
      };
      co_await weir::when_all(crosswise(a, b), crosswise(b, a));
    });
  } catch (const weir::deadlock& e) {
    report = e.what();
  }
  CHECK(report.find("mutex::lock") != std::string::npos);
  CHECK(report.find("mutex.cpp") != std::string::npos);
}

TEST_CASE("locking allocates nothing, contended or not") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    std::uint64_t before = 0;
    auto locks = [&]() -> weir::task<> {
      for (int i = 0; i < 1000; ++i) {
        const auto guard = co_await m.lock();
        if (i == 10) before = test::allocations();
        co_await weir::yield();
      }
      CHECK(test::allocations() == before);
    };
    co_await weir::when_all(locks(), locks(), locks());
  });
}

TEST_CASE("seeds: one at a time, in the order of arrival, whenever holders and waiters are cancelled") {
  struct visitor {
    weir::cancellation_source source;
  };
  long entered = 0;
  long stopped = 0;
  const std::uint64_t seeds = test::scaled(20000, 2000);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    constexpr unsigned tasks = 6;
    test::dice dice(seed);
    weir::mutex m;
    std::array<visitor, tasks> visitors;
    std::deque<visitor*> queue;
    int inside = 0;
    bool wrong = false;

    auto visit = [&](visitor& self) -> weir::task<> {
      for (unsigned n = dice.roll(3); n > 0; --n) co_await weir::yield();
      if (dice.roll(8) == 0) {
        const auto guard = m.try_lock();
        wrong = wrong || (guard && inside != 0);
      }
      queue.push_back(&self);
      auto guard = co_await m.lock();
      // Who stands before it has been cancelled, and only has not unwound yet.
      while (queue.front() != &self) {
        wrong = wrong || !queue.front()->source.is_cancellation_requested();
        queue.pop_front();
      }
      queue.pop_front();
      wrong = wrong || inside != 0;
      ++inside;
      ++entered;
      struct leave {
        int& count;
        ~leave() { --count; }
      } const leaves{inside};
      if (dice.roll(2) != 0) {
        co_await weir::sleep_for(weir::duration(dice.roll(4)));
      } else {
        co_await weir::yield();
      }
    };
    auto again_and_again = [&](visitor& self) -> weir::task<> {
      for (int n = 0; n < 4; ++n) {
        const auto r = co_await weir::as_result(weir::with_cancellation(self.source.token(), visit(self)));
        if (r.has_value()) continue;
        ++stopped;
        std::erase(queue, &self);
        break;
      }
    };
    auto cancels = [&](visitor& other, unsigned delay) -> weir::task<> {
      for (; delay > 0; --delay) co_await weir::yield();
      if (dice.roll(2) != 0) co_await weir::sleep_for(weir::duration(dice.roll(20)));
      other.source.request_cancellation();
    };
    auto body = [&](weir::task_group& g) {
      for (visitor& v : visitors) g.spawn(again_and_again, std::ref(v));
      for (unsigned i = 0; i < tasks / 2; ++i) g.spawn(cancels, std::ref(visitors[dice.roll(tasks)]), dice.roll(30));
    };
    simulate([&] { return test::together(body); }, seed);
    CAPTURE(seed);
    REQUIRE(!wrong);
    REQUIRE(inside == 0);
    REQUIRE(is_free(m));
  }
  // Both happen often, or the test shows nothing.
  CHECK(entered > static_cast<long>(5 * seeds));
  CHECK(stopped > static_cast<long>(seeds / 2));
}

// ---- threads

TEST_CASE("lock_blocking locks for a plain thread") {
  weir::mutex m;
  {
    const auto guard = m.lock_blocking();
    CHECK(static_cast<bool>(guard));
    CHECK(!is_free(m));
  }
  CHECK(is_free(m));
  auto guard = m.lock_blocking();
  std::atomic<bool> locked{false};
  std::thread other([&] {
    const auto mine = m.lock_blocking();
    locked = true;
  });
  std::this_thread::sleep_for(5ms);
  CHECK(!locked);
  guard.unlock();
  other.join();
  CHECK(locked);
  CHECK(is_free(m));
}

TEST_CASE("on a worker lock_blocking is told, unless it need not wait") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    {
      const auto guard = m.lock_blocking();
      CHECK(static_cast<bool>(guard));
      CHECK_THROWS_WITH_AS(static_cast<void>(m.lock_blocking()),
                           "weir: mutex::lock_blocking would block a worker of a runtime, and all its tasks: co_await "
                           "lock() instead",
                           std::logic_error);
    }
    CHECK(is_free(m));
    co_return;
  });
}

namespace {

/// Whether the kernel has put the thread to sleep.
bool sleeps(pid_t tid) {
  std::ifstream stat("/proc/self/task/" + std::to_string(tid) + "/stat");
  std::string text;
  std::getline(stat, text);
  const auto name_ends = text.rfind(") ");
  return tid != 0 && name_ends != std::string::npos && text[name_ends + 2] == 'S';
}

}  // namespace

TEST_CASE("a thread and tasks wait in one queue") {
  weir::mutex m;
  test::log seen;  // guarded by m
  auto main = [&]() -> weir::task<> {
    auto guard = co_await m.lock();
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(use, std::ref(m), std::ref(seen), "task");
      co_await weir::sleep_for(1ms);
      std::atomic<pid_t> tid{0};
      std::thread thread([&] {
        tid = ::gettid();
        const auto mine = m.lock_blocking();
        seen.push_back("thread");
      });
      while (!sleeps(tid)) co_await weir::sleep_for(1ms);
      g.spawn(use, std::ref(m), std::ref(seen), "another");
      co_await weir::sleep_for(1ms);
      guard.unlock();
      co_await g.join();
      thread.join();
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), {.workers = 2});
  CHECK(seen == test::log{"task", "thread", "another"});
}

TEST_CASE("a guard that a task gained may be released by a thread") {
  weir::mutex m;
  auto main = [&]() -> weir::task<> {
    auto guard = co_await m.lock();
    std::thread other([mine = std::move(guard)]() mutable {
      std::this_thread::sleep_for(1ms);
      mine.unlock();
    });
    const auto again = co_await m.lock();
    other.join();
    CHECK(static_cast<bool>(again));
  };
  weir::run(main(), {.workers = 1});
  CHECK(is_free(m));
}

TEST_CASE("stress: tasks of two runtimes and plain threads count with one mutex, while waiters are cancelled") {
  weir::mutex m;
  long count = 0;  // guarded by m
  std::atomic<int> inside{0};
  std::atomic<bool> wrong{false};
  std::atomic<long> expected{0};
  const int rounds = test::scaled(30000, 2000);
  const auto section = [&] {
    if (inside.fetch_add(1) != 0) wrong = true;
    ++count;
    inside.fetch_sub(1);
    expected.fetch_add(1, std::memory_order_relaxed);
  };
  auto visits = [&](unsigned name) -> weir::task<> {
    test::dice dice(name);
    for (int i = 0; i < rounds; ++i) {
      const weir::duration limit = weir::duration(1000 * dice.roll(40));
      const unsigned kind = dice.roll(8);
      auto visit = [&]() -> weir::task<> {
        const auto guard = co_await m.lock();
        section();
        if (kind == 0) co_await weir::yield();
      };
      if (kind == 1) {
        if (const auto guard = m.try_lock()) section();
      } else if (kind < 5) {
        static_cast<void>(co_await weir::as_result(weir::with_timeout(limit, visit())));
      } else {
        const auto guard = co_await m.lock();
        section();
      }
    }
  };
  auto body = [&](weir::task_group& g) {
    for (unsigned i = 0; i < 6; ++i) g.spawn(visits, i);
  };
  auto main = [&]() -> weir::task<> { co_await test::together(body); };
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        const auto guard = m.lock_blocking();
        section();
      }
    });
  }
  threads.emplace_back([&] { weir::run(main(), {.workers = 1}); });
  weir::run(main(), {.workers = 4});
  for (std::thread& thread : threads) thread.join();
  CHECK(!wrong);
  CHECK(count == expected);
  CHECK(count >= 2 * rounds);
  CHECK(is_free(m));
}

TEST_CASE("stress: the last of many holders destroys the mutex while others are still leaving unlock") {
  struct shared {
    weir::mutex m;
    int users = 6;
    bool in_section = false;
  };
  std::atomic<int> destroyed{0};
  std::atomic<bool> wrong{false};
  const int rounds = test::scaled(20000, 1500);
  auto uses = [&](shared* object, bool stays) -> weir::task<> {
    auto guard = co_await object->m.lock();
    if (std::exchange(object->in_section, true)) wrong = true;
    if (stays) co_await weir::yield();
    object->in_section = false;
    const bool last = --object->users == 0;
    guard.unlock();
    if (!last) co_return;
    delete object;
    ++destroyed;
  };
  auto main = [&]() -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      auto* object = new shared;
      auto body = [&](weir::task_group& g) {
        for (int n = 0; n < 6; ++n) g.spawn(uses, object, (n + i) % 3 == 0);
      };
      co_await test::together(body);
    }
  };
  weir::run(main(), {.workers = 4});
  CHECK(!wrong);
  CHECK(destroyed == rounds);
}

// ---- misuse

#if !defined(NDEBUG)
namespace {

constexpr const char* relocked =
    "weir: a task locks a mutex that it already holds, and would wait for itself for ever: release the guard first, or "
    "pass it on\n";

}  // namespace
#endif

TEST_CASE("locking again what the task holds is told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            weir::mutex m;
            const auto guard = co_await m.lock();
            const auto again = co_await m.lock();
          });
        }) == relocked);
  // In a task that it awaits, and inside of scopes.
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            weir::mutex m;
            test::log seen;
            const auto guard = co_await m.lock();
            auto nested = [&]() -> weir::task<> { co_await weir::with_timeout(1s, use(m, seen, "nested")); };
            co_await nested();
          });
        }) == relocked);
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            weir::mutex m;
            auto guard = co_await m.lock();
            auto body = [&](weir::task_group&) -> weir::task<> { const auto again = co_await m.lock(); };
            co_await weir::with_task_group(body);
          });
        }) == relocked);
#endif
}

TEST_CASE("waiting for another task is not locking again") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    test::log seen;
    co_await weir::when_all(hold(m, seen, "a", 1ms), hold(m, seen, "b", 1ms));
    for (int i = 0; i < 3; ++i) co_await use(m, seen, "c");
    // A guard that has been moved may be anywhere.
    auto guard = co_await lock_for_caller(m);
    auto late = co_await weir::as_result(weir::with_timeout(1ms, use(m, seen, "d")));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(seen.size() == 5);
  });
}

TEST_CASE("a thread that locks what it holds is told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  CHECK(test::last_words_of([] {
          weir::mutex m;
          const auto guard = m.lock_blocking();
          const auto again = m.lock_blocking();
        }) == "weir: a thread locks a mutex that it already holds, and would wait for itself for ever\n");
#endif
}

TEST_CASE("destroying a mutex that is held, and unlocking nothing, are told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  CHECK(test::last_words_of([] {
          auto m = std::make_unique<weir::mutex>();
          const auto guard = m->try_lock();
          m.reset();
        }) == "weir: a mutex was destroyed while somebody holds it or waits for it\n");
  CHECK(test::last_words_of([] {
          weir::mutex m;
          auto guard = m.try_lock();
          guard.unlock();
          guard.unlock();
        }) == "weir: unlock() of a mutex_guard that holds nothing\n");
#endif
}
