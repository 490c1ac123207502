#include <weir/sync/shared_mutex.hpp>

#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>

#include "support.hpp"

using test::settle;
using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::shared_mutex> && !std::is_move_constructible_v<weir::shared_mutex>);
static_assert(!std::is_copy_constructible_v<weir::read_guard> && !std::is_copy_constructible_v<weir::write_guard>);
static_assert(std::is_nothrow_move_assignable_v<weir::read_guard>);

namespace {

bool is_free(weir::shared_mutex& m) { return static_cast<bool>(m.try_lock()); }

weir::task<> read_for(weir::shared_mutex& m, test::log& seen, const char* name, weir::duration length) {
  const auto guard = co_await m.lock_shared();
  seen.push_back(name);
  co_await weir::sleep_for(length);
}

weir::task<> write_for(weir::shared_mutex& m, test::log& seen, const char* name, weir::duration length) {
  const auto guard = co_await m.lock();
  seen.push_back(name);
  co_await weir::sleep_for(length);
}

}  // namespace

TEST_CASE("shared_mutex: many readers, or one writer") {
  simulate([]() -> weir::task<> {
    weir::shared_mutex m;
    {
      auto one = co_await m.lock_shared();
      const auto two = m.try_lock_shared();
      CHECK(static_cast<bool>(two));
      CHECK(!is_free(m));
      one.unlock();
      CHECK(!one);
      CHECK(!is_free(m));
    }
    CHECK(is_free(m));
    auto writing = co_await m.lock();
    CHECK(!m.try_lock_shared());
    CHECK(!m.try_lock());
    auto reading = writing.downgrade();
    CHECK(!writing);
    const auto other = m.try_lock_shared();
    CHECK(static_cast<bool>(other));
    CHECK(!m.try_lock());
  });
}

TEST_CASE("shared_mutex: a reader does not pass a writer who waits; readers side by side are let in together") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::shared_mutex m;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(read_for, std::ref(m), std::ref(seen), "r1", weir::duration(10ms));
      co_await weir::sleep_for(1ms);
      g.spawn(write_for, std::ref(m), std::ref(seen), "w1", weir::duration(10ms));
      co_await weir::sleep_for(1ms);
      CHECK(!m.try_lock_shared());
      g.spawn(read_for, std::ref(m), std::ref(seen), "r2", weir::duration(10ms));
      co_await settle();
      g.spawn(read_for, std::ref(m), std::ref(seen), "r3", weir::duration(10ms));
      co_await settle();
      g.spawn(write_for, std::ref(m), std::ref(seen), "w2", weir::duration(10ms));
    };
    co_await weir::with_task_group(body);
    CHECK(weir::now() == weir::time_point() + 40ms);
    CHECK(is_free(m));
  });
  REQUIRE(seen.size() == 5);
  if (seen[2] == "r3") std::swap(seen[2], seen[3]);  // let in together, they run in any order
  CHECK(seen == test::log{"r1", "w1", "r2", "r3", "w2"});
}

TEST_CASE("P35: waits() of a shared_mutex counts readers and writers who had to wait, and nobody else") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::shared_mutex m;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(read_for, std::ref(m), std::ref(seen), "r1", weir::duration(10ms));
      g.spawn(read_for, std::ref(m), std::ref(seen), "r2", weir::duration(10ms));
      co_await settle();
      CHECK(m.waits() == 0);
      g.spawn(write_for, std::ref(m), std::ref(seen), "w", weir::duration(10ms));
      co_await settle();
      g.spawn(read_for, std::ref(m), std::ref(seen), "r3", weir::duration(10ms));
      co_await settle();
      CHECK(m.waits() == 2);
      CHECK(!m.try_lock_shared());
    };
    co_await weir::with_task_group(body);
    CHECK(seen.size() == 4);
    CHECK(m.waits() == 2);
  });
}

TEST_CASE("shared_mutex: a stopped writer lets the readers go on who waited behind it") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::shared_mutex m;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(read_for, std::ref(m), std::ref(seen), "first", weir::duration(10ms));
      co_await settle();
      auto writer = g.spawn(write_for, std::ref(m), std::ref(seen), "never", weir::duration(1ms));
      co_await settle();
      g.spawn(read_for, std::ref(m), std::ref(seen), "second", weir::duration(1ms));
      co_await settle();
      CHECK(seen.size() == 1);
      writer.request_cancellation();
      co_await settle();
      CHECK(seen.size() == 2);
    };
    co_await weir::with_task_group(body);
    CHECK(is_free(m));
  });
  CHECK(seen == test::log{"first", "second"});
}

TEST_CASE("shared_mutex: downgrading lets in the readers that are next, and no writer in between") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::shared_mutex m;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto writing = co_await m.lock();
      g.spawn(read_for, std::ref(m), std::ref(seen), "r1", weir::duration(1ms));
      co_await settle();
      g.spawn(write_for, std::ref(m), std::ref(seen), "w", weir::duration(1ms));
      co_await settle();
      g.spawn(read_for, std::ref(m), std::ref(seen), "r2", weir::duration(1ms));
      co_await settle();
      const auto reading = writing.downgrade();
      co_await settle();
      CHECK(seen == test::log{"r1"});
    };
    co_await weir::with_task_group(body);
  });
  CHECK(seen == test::log{"r1", "w", "r2"});
}

TEST_CASE("shared_mutex: seeds: the rule holds whenever holders and waiters are cancelled") {
  long reads = 0;
  long writes = 0;
  long stopped = 0;
  const std::uint64_t seeds = test::scaled(10000, 1000);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    test::dice dice(seed);
    weir::shared_mutex m;
    std::array<weir::cancellation_source, 6> sources;
    int readers = 0;
    int writers = 0;
    bool wrong = false;
    struct leave {
      int& count;
      ~leave() { --count; }
    };
    auto reads_once = [&]() -> weir::task<> {
      const auto guard = co_await m.lock_shared();
      ++readers;
      const leave leaves{readers};
      ++reads;
      wrong = wrong || writers != 0;
      co_await weir::sleep_for(weir::duration(dice.roll(4)));
    };
    auto writes_once = [&]() -> weir::task<> {
      auto guard = co_await m.lock();
      wrong = wrong || writers != 0 || readers != 0;
      ++writes;
      {
        ++writers;
        const leave leaves{writers};
        co_await weir::sleep_for(weir::duration(dice.roll(4)));
      }
      if (dice.roll(2) == 0) co_return;
      const auto reading = guard.downgrade();
      ++readers;
      const leave leaves{readers};
      co_await weir::yield();
      wrong = wrong || writers != 0;
    };
    auto again = [&](weir::cancellation_source& source) -> weir::task<> {
      for (int n = 0; n < 4; ++n) {
        weir::task<> visit = dice.roll(2) == 0 ? writes_once() : reads_once();
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), std::move(visit)));
        if (r.has_value()) continue;
        ++stopped;
        break;
      }
    };
    auto cancels = [&](weir::cancellation_source& other, unsigned delay) -> weir::task<> {
      for (; delay > 0; --delay) co_await weir::yield();
      other.request_cancellation();
    };
    auto body = [&](weir::task_group& g) {
      for (auto& source : sources) g.spawn(again, std::ref(source));
      for (int i = 0; i < 3; ++i) g.spawn(cancels, std::ref(sources[dice.roll(6)]), dice.roll(20));
    };
    simulate([&] { return test::together(body); }, seed);
    CAPTURE(seed);
    REQUIRE(!wrong);
    REQUIRE(readers == 0);
    REQUIRE(is_free(m));
  }
  CHECK(reads > static_cast<long>(2 * seeds));
  CHECK(writes > static_cast<long>(2 * seeds));
  CHECK(stopped > static_cast<long>(seeds / 2));
}

TEST_CASE("shared_mutex: tasks of several workers and plain threads") {
  weir::shared_mutex m;
  long a = 0;
  long b = 0;
  std::atomic<bool> wrong{false};
  const int rounds = test::scaled(4000, 300);
  auto task = [&](int salt) -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      if ((i + salt) % 4 == 0) {
        const auto guard = co_await m.lock();
        ++a;
        ++b;
      } else {
        const auto r = co_await weir::as_result(weir::with_timeout(std::chrono::microseconds(20), m.lock_shared()));
        if (r.has_value() && a != b) wrong = true;
      }
    }
  };
  std::thread thread([&] {
    for (int i = 0; i < rounds; ++i) {
      if (i % 4 == 0) {
        const auto guard = m.lock_blocking();
        ++a;
        ++b;
      } else {
        const auto guard = m.lock_shared_blocking();
        if (a != b) wrong = true;
      }
    }
  });
  auto main = [&]() -> weir::task<> { co_await weir::when_all(task(0), task(1), task(2)); };
  weir::run(main(), {.workers = 2});
  thread.join();
  CHECK(!wrong);
  CHECK(a == 4L * (rounds / 4));
}
