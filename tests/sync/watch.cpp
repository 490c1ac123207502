#include <weir/sync/watch.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <weir/sync/event.hpp>
#include <weir/sync/select.hpp>

#include "../skip.hpp"
#include "support.hpp"

using test::settle;
using test::simulate;
using weir::watch;
using weir::watch_observer;

static_assert(!std::is_copy_constructible_v<watch<int>> && !std::is_move_constructible_v<watch<int>>);
static_assert(!std::is_copy_constructible_v<watch_observer<int>>);
static_assert(std::is_nothrow_move_constructible_v<watch_observer<int>>);

namespace {

constexpr weir::runtime_options confined{.workers = 1, .confined = true};

template <class T>
weir::task<> follow(watch_observer<T> mine, std::vector<T>& seen) {
  while (auto value = co_await mine.next()) seen.push_back(*value);
}

/// Runs `body(group)` in a simulation and joins what it has spawned.
template <class F>
void in_group(F body) {
  simulate([&]() -> weir::task<> { co_await weir::with_task_group(body); });
}

}  // namespace

TEST_CASE("watch: everybody sees the latest value") {
  watch<std::string> w("one");
  CHECK(w.get() == "one");
  CHECK(w.set("two"));
  CHECK(w.get() == "two");
  CHECK(w.with([](const std::string& s) { return s.size(); }) == 3);
  CHECK(w.modify([](std::string& s) { s += " and a half"; }));
  CHECK(w.get() == "two and a half");
  watch<int> none;
  CHECK(none.get() == 0);
}

TEST_CASE("watch: an observer waits for what is newer than what it has seen") {
  std::vector<int> seen;
  in_group([&](weir::task_group& g) -> weir::task<> {
    watch<int> w(1);
    auto mine = w.observe();
    CHECK(!mine.has_changed());
    g.spawn(follow<int>, w.observe(), std::ref(seen));
    co_await settle();
    CHECK(seen.empty());
    w.set(2);
    CHECK(mine.has_changed());
    co_await settle();
    CHECK(seen == std::vector{2});
    const bool changed = co_await mine.changed();
    CHECK(changed);
    CHECK(!mine.has_changed());
    w.set(2);  // an equal value is one, too
    co_await settle();
    CHECK(seen == std::vector{2, 2});
    w.close();
    co_await g.join();
  });
}

TEST_CASE("watch: a change between two waits is not missed; of several the last is seen") {
  in_group([](weir::task_group& g) -> weir::task<> {
    watch<int> w(0);
    auto mine = w.observe();
    for (int n = 1; n <= 5; ++n) w.set(n);
    const auto latest = co_await mine.next();
    CHECK(latest == 5);
    const auto none = co_await weir::as_result(weir::with_timeout(1ms, mine.next()));
    CHECK(none.error() == std::errc::timed_out);

    // Between being woken and looking.
    std::optional<int> got;
    auto waits = [&]() -> weir::task<> { got = co_await mine.next(); };
    g.spawn(waits);
    co_await settle();
    w.set(6);
    w.set(7);
    co_await settle();
    CHECK(got == 7);
    CHECK(!mine.has_changed());
    co_await g.join();
  });
}

TEST_CASE("watch: an observer marks what it has seen, and can see it anew") {
  simulate([]() -> weir::task<> {
    watch<int> w(1);
    auto mine = w.observe();
    w.set(2);
    CHECK(mine.get_and_mark() == 2);
    CHECK(!mine.has_changed());
    w.set(3);
    CHECK(mine.with_and_mark([](const int& n) { return 10 * n; }) == 30);
    CHECK(!mine.mark_seen());
    w.set(4);
    CHECK(w.get() == 4);
    CHECK(mine.has_changed());
    CHECK(mine.mark_seen());
    CHECK(!mine.has_changed());
    mine.mark_unseen();
    const auto again = co_await mine.next();
    CHECK(again == 4);
    auto moved = std::move(mine);
    CHECK(!mine);
    w.set(5);
    CHECK(moved.get_and_mark() == 5);
  });
}

TEST_CASE("watch: closing tells who waits and who comes, and the value stays") {
  in_group([](weir::task_group& g) -> weir::task<> {
    watch<int> w(1);
    auto first = w.observe();
    auto second = w.observe();
    std::optional<bool> told;
    auto waits = [&]() -> weir::task<> { told = co_await first.changed(); };
    g.spawn(waits);
    co_await settle();
    CHECK(!told.has_value());
    w.close();
    w.close();
    co_await g.join();
    CHECK(told == false);
    CHECK(w.is_closed());
    CHECK(!w.set(2));
    CHECK(!w.modify([](int& n) { n = 3; }));
    CHECK(w.get() == 1);
    const auto end = co_await second.next();
    CHECK(!end.has_value());

    // What has changed before is still to be seen.
    watch<int> other(1);
    auto late = other.observe();
    other.set(2);
    other.close();
    const auto last = co_await late.next();
    CHECK(last == 2);
    const bool more = co_await late.changed();
    CHECK(!more);
  });
}

TEST_CASE("watch: waiting for a condition looks at the present value first, and then at each that it comes to see") {
  in_group([](weir::task_group& g) -> weir::task<> {
    watch<int> w(7);
    auto mine = w.observe();
    const auto at_once = co_await mine.wait_for([](const int& n) { return n == 7; });
    CHECK(at_once == 7);
    std::optional<int> found;
    int asked = 0;
    auto waits = [&]() -> weir::task<> {
      auto wanted = [&](const int& n) {
        ++asked;
        return n >= 10;
      };
      found = co_await mine.wait_for(wanted);
    };
    g.spawn(waits);
    for (int n = 8; n <= 9; ++n) {
      co_await settle();
      w.set(n);
    }
    co_await settle();
    CHECK(!found.has_value());
    CHECK(asked == 3);
    w.set(12);
    co_await g.join();
    CHECK(found == 12);
    CHECK(!mine.has_changed());

    const auto stopped = co_await weir::as_result(weir::with_timeout(1ms, mine.wait_for([](int n) { return n < 0; })));
    CHECK(stopped.error() == std::errc::timed_out);
    auto fails = [](int) -> bool { throw test::broken(); };
    w.set(13);
    const auto failed = co_await weir::as_result(mine.wait_for(fails));
    CHECK(failed.exception() != nullptr);
    CHECK(mine.has_changed());
    auto never = [&]() -> weir::task<> {
      const auto none = co_await mine.wait_for([](const int& n) { return n == 0; });
      CHECK(!none.has_value());
    };
    g.spawn(never);
    co_await settle();
    w.close();
    co_await g.join();
    const auto last = co_await mine.wait_for([](const int& n) { return n == 13; });
    CHECK(last == 13);
  });
}

TEST_CASE("watch: a stop while waiting marks nothing; a change that came before it is delivered") {
  in_group([](weir::task_group& g) -> weir::task<> {
    watch<int> w(0);
    auto mine = w.observe();
    const auto late = co_await weir::as_result(weir::with_timeout(1ms, mine.changed()));
    CHECK(late.error() == std::errc::timed_out);
    w.set(1);
    weir::cancellation_source cancelled;
    cancelled.request_cancellation();
    const auto before = co_await weir::as_result(weir::with_cancellation(cancelled.token(), mine.changed()));
    CHECK(before.is_cancelled());
    CHECK(mine.has_changed());
    CHECK(mine.mark_seen());
    weir::cancellation_source source;
    std::optional<int> got;
    auto waits = [&]() -> weir::task<> {
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), mine.next()));
      if (r.has_value()) got = *r;
    };
    g.spawn(waits);
    co_await settle();
    w.set(2);
    source.request_cancellation();
    co_await g.join();
    CHECK(got == 2);
    CHECK(!mine.has_changed());
  });
}

TEST_CASE("watch: as a case of a select a change is seen, or left unseen") {
  in_group([](weir::task_group& g) -> weir::task<> {
    watch<int> w(0);
    auto mine = w.observe();
    weir::event set(weir::reset_mode::manual, true);
    auto timed = co_await weir::select(mine.changed(), weir::sleep_for(1ms));
    CHECK(timed.index() == 1);
    w.set(1);
    auto other = co_await weir::select_ordered(set.wait(), mine.next());
    CHECK(other.index() == 0);
    CHECK(mine.has_changed());
    auto chosen = co_await weir::select_ordered(mine.next(), set.wait());
    CHECK(chosen.index() == 0);
    CHECK(chosen.template get<0>() == 1);
    CHECK(!mine.has_changed());
    CHECK(!weir::try_select(mine.changed()).has_value());
    auto waits = [&]() -> weir::task<> {
      auto changed = co_await weir::select(weir::sleep_for(1h), mine.changed());
      CHECK(changed.index() == 1);
      CHECK(changed.template get<1>());
    };
    g.spawn(waits);
    co_await settle();
    w.set(2);
    co_await g.join();
    CHECK(!mine.has_changed());
    CHECK(weir::now() < weir::time_point() + 1s);
  });
}

TEST_CASE("watch: a value that cannot be copied is looked at; the old one ends without the lock") {
  watch<std::unique_ptr<int>> w(std::make_unique<int>(1));
  auto mine = w.observe();
  CHECK(w.set(std::make_unique<int>(2)));
  CHECK(w.modify([](std::unique_ptr<int>& p) { ++*p; }));
  CHECK(mine.with_and_mark([](const std::unique_ptr<int>& p) { return *p; }) == 3);

  bool ended = false;
  struct looks {
    looks(watch<std::shared_ptr<looks>>* at, bool* to) : watched(at), done(to) {}
    looks(const looks&) = delete;
    looks& operator=(const looks&) = delete;
    ~looks() { *done = watched->get() == nullptr; }
    watch<std::shared_ptr<looks>>* watched;
    bool* done;
  };
  watch<std::shared_ptr<looks>> other;
  other.set(std::make_shared<looks>(&other, &ended));
  other.set(nullptr);
  CHECK(ended);
}

TEST_CASE("watch: what copies and callables throw goes to the caller; nothing is marked, and no change is missed") {
  simulate([]() -> weir::task<> {
    struct fragile_copy {
      explicit fragile_copy(int v) : value(v) {}
      fragile_copy(const fragile_copy& other) : value(other.value) {
        if (value < 0) throw test::broken();
      }
      fragile_copy(fragile_copy&&) noexcept = default;
      fragile_copy& operator=(const fragile_copy&) = default;
      fragile_copy& operator=(fragile_copy&&) noexcept = default;
      ~fragile_copy() = default;
      int value;
    };
    watch<fragile_copy> w(fragile_copy(1));
    auto mine = w.observe();
    w.set(fragile_copy(-1));
    CHECK_THROWS_AS(static_cast<void>(w.get()), test::broken);
    CHECK_THROWS_AS(mine.get_and_mark(), test::broken);
    CHECK(mine.has_changed());
    const auto failed = co_await weir::as_result(mine.next());
    CHECK(failed.exception() != nullptr);
    CHECK(mine.has_changed());
    auto half = [](fragile_copy& c) {
      c.value = 2;
      throw test::broken();
    };
    CHECK(mine.mark_seen());
    CHECK_THROWS_AS(w.modify(half), test::broken);
    const auto changed = co_await mine.next();
    CHECK(changed->value == 2);
  });
}

TEST_CASE("watch: seeds: versions only grow, the last one is seen by all, whoever is cancelled") {
  const std::uint64_t seeds = test::scaled(6000, 500);
  std::uint64_t looked = 0;
  std::uint64_t stopped = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    test::dice dice(seed);
    bool wrong = false;
    auto program = [&]() -> weir::task<> {
      watch<int> w(0);
      int setters = 3;
      auto sets = [&]() -> weir::task<> {
        for (int i = 0; i < 6; ++i) {
          w.modify([](int& n) { ++n; });
          if (dice.roll(2) == 0) co_await weir::sleep_for(weir::duration(dice.roll(9)));
        }
        if (--setters == 0) w.close();
      };
      auto observes = [&]() -> weir::task<> {
        auto mine = w.observe();
        int last = w.get();
        for (;;) {
          bool over = false;
          std::optional<int> now;
          switch (dice.roll(4)) {
            case 0: {
              const auto r = co_await weir::as_result(weir::with_timeout(weir::duration(dice.roll(6)), mine.next()));
              if (r.has_value()) {
                now = *r;
                over = !now.has_value();
              } else {
                ++stopped;
              }
              break;
            }
            case 1: {
              auto chosen = co_await weir::select(mine.changed(), weir::sleep_for(weir::duration(dice.roll(6))));
              if (chosen.index() == 0) {
                over = !chosen.template get<0>();
                if (!over) now = mine.get_and_mark();
              }
              break;
            }
            case 2: {
              auto newer = [last](const int& n) { return n > last; };
              now = co_await mine.wait_for(newer);
              over = !now.has_value();
              break;
            }
            default:
              now = co_await mine.next();
              over = !now.has_value();
              break;
          }
          if (now) {
            wrong = wrong || *now <= last;
            last = *now;
            ++looked;
          }
          if (over) break;
        }
        wrong = wrong || last != 18;
      };
      auto body = [&](weir::task_group& g) {
        for (int i = 0; i < 3; ++i) g.spawn(sets);
        for (int i = 0; i < 4; ++i) g.spawn(observes);
      };
      co_await test::together(body);
    };
    simulate(program, seed);
    CAPTURE(seed);
    REQUIRE(!wrong);
  }
  CHECK(looked > 4 * seeds);
  CHECK(stopped > seeds / 10);
}

TEST_CASE("watch: any thread may set; tasks of two runtimes and a plain thread follow to the last value") {
  const int rounds = test::scaled(20000, 1000);
  watch<std::array<int, 8>> w;
  std::atomic<bool> wrong{false};
  std::atomic<int> setting{2};
  auto whole = [&](const std::array<int, 8>& value) {
    for (const int n : value) {
      if (n != value[0]) wrong = true;
    }
    return value[0];
  };
  auto set = [&] {
    auto next = [](std::array<int, 8>& value) {
      for (int& n : value) ++n;
    };
    for (int i = 0; i < rounds; ++i) w.modify(next);
    if (--setting == 0) w.close();
  };
  auto follows = [&]() -> weir::task<> {
    auto mine = w.observe();
    int last = w.with(whole);
    for (;;) {
      const auto r = co_await weir::as_result(weir::with_timeout(std::chrono::microseconds(30), mine.next()));
      if (!r.has_value()) continue;
      if (!*r) break;
      const int now = whole(**r);
      if (now < last) wrong = true;
      last = now;
    }
    if (last != 2 * rounds) wrong = true;
  };
  auto main = [&]() -> weir::task<> { co_await weir::when_all(follows(), follows()); };
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) threads.emplace_back([&] { weir::run(main(), {.workers = 2}); });
  for (int t = 0; t < 2; ++t) threads.emplace_back(set);
  threads.emplace_back([&] {
    auto mine = w.observe();
    int last = 0;
    while (mine.changed_blocking()) last = mine.with_and_mark(whole);
    if (last != 0 && last != 2 * rounds) wrong = true;
  });
  for (std::thread& t : threads) t.join();
  CHECK(!wrong);
  CHECK(w.get()[0] == 2 * rounds);
}

TEST_CASE("watch: changed_blocking on a worker throws where it would have to wait") {
  simulate([]() -> weir::task<> {
    watch<int> w;
    auto mine = w.observe();
    CHECK_THROWS_AS(static_cast<void>(mine.changed_blocking()), std::logic_error);
    w.set(1);
    CHECK(mine.changed_blocking());
    w.close();
    CHECK(!mine.changed_blocking());
    co_return;
  });
}

TEST_CASE("watch: waiting allocates nothing") {
  simulate([]() -> weir::task<> {
    watch<int> w;
    std::uint64_t before = 0;
    int last = 0;
    auto follows = [&]() -> weir::task<> {
      auto mine = w.observe();
      while (auto n = co_await mine.next()) last = *n;
    };
    auto sets = [&]() -> weir::task<> {
      for (int n = 1; n <= 100; ++n) {
        co_await weir::yield();
        w.set(n);
        if (n == 10) before = test::allocations();
      }
      CHECK(last > 10);
      CHECK(test::allocations() == before);
      w.close();
    };
    co_await weir::when_all(follows(), follows(), sets());
  });
}

TEST_CASE("watch: made on a confined worker it needs no lock, and is nobody else's") {
  auto main = []() -> weir::task<> {
    watch<int> w;
    std::vector<int> first;
    std::vector<int> second;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(follow<int>, w.observe(), std::ref(first));
      g.spawn(follow<int>, w.observe(), std::ref(second));
      for (int n = 1; n <= 100; ++n) {
        co_await weir::yield();
        w.set(n);
      }
      w.close();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(first.back() == 100);
    CHECK(second.back() == 100);
  };
  weir::run(main(), confined);
  CHECK(test::last_words_of([] {
          auto misuse = []() -> weir::task<> {
            watch<int> w;
            std::thread other([&] { w.set(1); });
            other.join();
            co_return;
          };
          weir::run(misuse(), confined);
        }).find("made on a confined worker") != std::string::npos);
}

TEST_CASE("watch: destroying it under a waiter is told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  CHECK(test::last_words_of([] {
          in_group([](weir::task_group& g) -> weir::task<> {
            std::optional<watch<int>> w(std::in_place);
            auto mine = w->observe();
            auto waits = [&]() -> weir::task<> { co_await mine.changed(); };
            g.spawn(waits);
            co_await settle();
            w.reset();
          });
        }) == "weir: a watch was destroyed while somebody waits for it to change\n");
  CHECK(test::last_words_of([] {
          watch_observer<int> none;
          static_cast<void>(none.has_changed());
        }) == "weir: a watch_observer is used after it was moved from\n");
#endif
}
