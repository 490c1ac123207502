#include <weir/sync/condition_variable.hpp>

#include <array>
#include <cstddef>
#include <deque>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support.hpp"

using test::settle;
using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::condition_variable>);

namespace {

bool is_free(weir::mutex& m) { return static_cast<bool>(m.try_lock()); }

}  // namespace

TEST_CASE("condition_variable: wait releases the mutex and comes back with it") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::mutex m;
    weir::condition_variable changed;
    bool ready = false;
    auto waits = [&]() -> weir::task<> {
      auto guard = co_await m.lock();
      const auto is_ready = [&] { return ready; };
      co_await changed.wait(guard, is_ready);
      CHECK(!is_free(m));
      seen.push_back("through");
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(waits);
      co_await settle();
      CHECK(is_free(m));
      changed.notify_one();  // without the condition: it waits again
      co_await settle();
      CHECK(seen.empty());
      {
        const auto guard = co_await m.lock();
        ready = true;
        changed.notify_one();
        co_await settle();
        CHECK(seen.empty());  // notified, but the mutex is held here
      }
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(is_free(m));
  });
  CHECK(seen == test::log{"through"});
}

TEST_CASE("condition_variable: one at a time in the order of arrival, or all") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::mutex m;
    weir::condition_variable changed;
    auto waits = [&](const char* name) -> weir::task<> {
      auto guard = co_await m.lock();
      co_await changed.wait(guard);
      seen.push_back(name);
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      for (const char* name : {"a", "b", "c", "d"}) {
        g.spawn(waits, name);
        co_await settle();
      }
      changed.notify_one();
      co_await settle();
      CHECK(seen == test::log{"a"});
      changed.notify_all();
      co_await settle();
      CHECK(seen == test::log{"a", "b", "c", "d"});
      changed.notify_all();
      changed.notify_one();
      g.spawn(waits, "e");
      co_await settle();
      CHECK(seen.size() == 4);  // nothing is kept
      changed.notify_one();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("condition_variable: a stopped waiter takes the mutex again before it unwinds, and uses no notification up") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::mutex m;
    weir::condition_variable changed;
    struct on_exit {
      weir::mutex& m;
      test::log& seen;
      ~on_exit() { seen.push_back(is_free(m) ? "unwinds without" : "unwinds with the mutex"); }
    };
    auto impatient = [&]() -> weir::task<> {
      auto guard = co_await m.lock();
      const on_exit check{m, seen};
      co_await changed.wait(guard);
      seen.push_back("never");
    };
    auto patient = [&]() -> weir::task<> {
      auto guard = co_await m.lock();
      co_await changed.wait(guard);
      seen.push_back("patient");
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto limited = [&]() -> weir::task<> {
        const auto r = co_await weir::as_result(weir::with_timeout(1ms, impatient()));
        CHECK(r.error() == std::errc::timed_out);
        CHECK(weir::now() == weir::time_point() + 5ms);  // the mutex was held so long
      };
      g.spawn(limited);
      co_await settle();
      g.spawn(patient);
      co_await settle();
      {
        const auto guard = co_await m.lock();
        co_await weir::sleep_until(weir::time_point() + 5ms);
        changed.notify_one();
      }
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(is_free(m));
  });
  CHECK(seen == test::log{"unwinds with the mutex", "patient"});
}

TEST_CASE("condition_variable: under a cancelled token it stops without having released the mutex") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    weir::condition_variable changed;
    weir::cancellation_source source;
    source.request_cancellation();
    auto guard = co_await m.lock();
    bool got_in = false;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto other = [&]() -> weir::task<> {
        const auto mine = co_await m.lock();
        got_in = true;
      };
      g.spawn(other);
      co_await settle();
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), changed.wait(guard)));
      CHECK(r.is_cancelled());
      CHECK(!got_in);
      CHECK(static_cast<bool>(guard));
      guard.unlock();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(got_in);
  });
}

TEST_CASE("condition_variable: what was notified before the stop is delivered") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    weir::condition_variable changed;
    weir::cancellation_source source;
    bool delivered = false;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto waits = [&]() -> weir::task<> {
        auto guard = co_await m.lock();
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), changed.wait(guard)));
        delivered = r.has_value();
      };
      g.spawn(waits);
      co_await settle();
      {
        const auto guard = co_await m.lock();
        changed.notify_one();
        source.request_cancellation();
      }
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(delivered);
    CHECK(is_free(m));
  });
}

TEST_CASE("condition_variable: seeds: a bounded queue loses nothing, whenever its users are cancelled") {
  long stopped = 0;
  const std::uint64_t seeds = test::scaled(5000, 500);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    test::dice dice(seed);
    weir::mutex m;
    weir::condition_variable changed;
    std::deque<int> queue;
    int put = 0;
    int taken = 0;
    std::array<weir::cancellation_source, 4> sources;
    auto puts = [&]() -> weir::task<> {
      for (int i = 0; i < 4; ++i) {
        auto guard = co_await m.lock();
        while (queue.size() >= 2) co_await changed.wait(guard);
        queue.push_back(i);
        ++put;
        changed.notify_all();
      }
    };
    auto takes = [&]() -> weir::task<> {
      for (int i = 0; i < 4; ++i) {
        auto guard = co_await m.lock();
        while (queue.empty()) co_await changed.wait(guard);
        queue.pop_front();
        ++taken;
        changed.notify_all();
      }
    };
    auto limited = [&](weir::cancellation_source& source, bool producer) -> weir::task<> {
      weir::task<> work = producer ? puts() : takes();
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), std::move(work)));
      stopped += !r.has_value();
    };
    auto cancels = [&](weir::cancellation_source& other) -> weir::task<> {
      co_await weir::sleep_for(weir::duration(dice.roll(4)));
      other.request_cancellation();
    };
    auto ends = [&]() -> weir::task<> {
      co_await weir::sleep_for(1ms);
      for (auto& source : sources) source.request_cancellation();
    };
    auto body = [&](weir::task_group& g) {
      for (unsigned i = 0; i < 4; ++i) g.spawn(limited, std::ref(sources[i]), i % 2 == 0);
      g.spawn(cancels, std::ref(sources[dice.roll(4)]));
      g.spawn(ends);
    };
    simulate([&] { return test::together(body); }, seed);
    CAPTURE(seed);
    REQUIRE(put - taken == static_cast<int>(queue.size()));
    REQUIRE(is_free(m));
  }
  CHECK(stopped > static_cast<long>(seeds / 2));
}

TEST_CASE("condition_variable: tasks of several workers and a plain thread, with cancellations") {
  weir::mutex m;
  weir::condition_variable changed;
  std::deque<int> queue;
  long put = 0;
  long taken = 0;
  const int rounds = test::scaled(4000, 300);
  bool over = false;
  auto takes = [&]() -> weir::task<> {
    for (;;) {
      auto guard = co_await m.lock();
      const auto wait = [&]() -> weir::task<bool> {
        while (queue.empty() && !over) co_await changed.wait(guard);
        co_return queue.empty();
      };
      const auto r = co_await weir::as_result(weir::with_timeout(std::chrono::microseconds(30), wait()));
      if (!r.has_value()) continue;
      if (*r) co_return;
      queue.pop_front();
      ++taken;
    }
  };
  std::thread thread([&] {
    for (int i = 0; i < rounds; ++i) {
      {
        const auto guard = m.lock_blocking();
        queue.push_back(i);
        ++put;
      }
      changed.notify_one();
    }
    auto guard = m.lock_blocking();
    const auto nothing_left = [&] { return queue.empty(); };
    while (!nothing_left()) {
      guard.unlock();
      guard = m.lock_blocking();
    }
    over = true;
    changed.notify_all();
  });
  auto main = [&]() -> weir::task<> { co_await weir::when_all(takes(), takes(), takes()); };
  weir::run(main(), {.workers = 2});
  thread.join();
  CHECK(put == rounds);
  CHECK(taken == rounds);
}

TEST_CASE("condition_variable: a plain thread waits") {
  weir::mutex m;
  weir::condition_variable changed;
  bool ready = false;
  std::thread waits([&] {
    auto guard = m.lock_blocking();
    changed.wait_blocking(guard, [&] { return ready; });
    CHECK(static_cast<bool>(guard));
  });
  auto main = [&]() -> weir::task<> {
    const auto guard = co_await m.lock();
    ready = true;
    changed.notify_all();
  };
  weir::run(main(), {.workers = 1});
  waits.join();
  CHECK(is_free(m));
}

namespace {

template <std::size_t Size>
weir::task<> locks(weir::mutex& m, int& locked) {
  std::array<char, Size> of_the_frame{};
  const auto guard = co_await m.lock();
  of_the_frame.back() = 1;
  locked += of_the_frame.back();
}

}  // namespace

TEST_CASE("after a wait it is known again who holds the mutex: the task of the guard, and not the frame that waited") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    weir::condition_variable changed;
    bool ready = false;
    int locked = 0;
    std::string text;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto waits = [&]() -> weir::task<> {
        auto guard = co_await m.lock();
        auto is_ready = [&] { return ready; };
        co_await changed.wait(guard, is_ready);
        co_await weir::sleep_for(10s);
      };
      g.spawn(waits);
      co_await weir::sleep_for(1s);
      ready = true;
      changed.notify_one();
      co_await weir::sleep_for(1s);
      // Of all sizes: one of them has its frame where the one that waited had been.
      const auto spawn_all = [&]<std::size_t... I>(std::index_sequence<I...>) {
        (g.spawn(locks<16 * I + 1>(m, locked)), ...);
      };
      spawn_all(std::make_index_sequence<30>());
      co_await weir::sleep_for(1s);
      text = weir::dump_tasks();
    };
    co_await weir::with_task_group(body);
    CHECK(locked == 30);
    INFO(text);
    CHECK(text.find("task 3 waits in mutex::lock (held by task 2)") != std::string::npos);
  });
}
