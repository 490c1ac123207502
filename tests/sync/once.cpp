#include <weir/sync/once.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "../skip.hpp"
#include "support.hpp"

using test::settle;
using test::simulate;
using weir::on_failure;

static_assert(!std::is_copy_constructible_v<weir::once> && !std::is_move_constructible_v<weir::once>);
static_assert(!std::is_copy_constructible_v<decltype(std::declval<weir::once&>().call(std::declval<void (&)()>()))>);

namespace {

constexpr std::array policies = {on_failure::retry, on_failure::keep};

/// Comes to `o` with a function that takes a while and writes its name down.
weir::task<> visit(weir::once& o, test::log& seen, std::string name) {
  const auto run = [&]() -> weir::task<> {
    seen.push_back(name + " runs");
    co_await weir::sleep_for(10ms);
  };
  co_await o.call(run);
  seen.push_back(name);
}

}  // namespace

TEST_CASE("once: a function or a task runs to success once, with the arguments of whoever had the turn") {
  simulate([]() -> weir::task<> {
    weir::once plain;
    int sum = 0;
    const auto add = [&](int n) { sum += n; };
    CHECK(!plain.is_done());
    co_await plain.call(add, 1);
    CHECK(plain.is_done());
    co_await plain.call(add, 10);
    CHECK(sum == 1);

    weir::once awaited;
    std::unique_ptr<int> kept;
    const auto keep = [&](std::unique_ptr<int> n) -> weir::task<> {
      co_await weir::sleep_for(1ms);
      kept = std::move(n);
    };
    co_await awaited.call(keep, std::make_unique<int>(5));
    REQUIRE(kept);
    CHECK(*kept == 5);
    auto untouched = std::make_unique<int>(6);
    co_await awaited.call(keep, std::move(untouched));
    CHECK(untouched);
    CHECK(*kept == 5);
  });
}

TEST_CASE("once: who comes meanwhile waits, and all go on in the order in which they came") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::once o;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      for (const char* name : {"a", "b", "c"}) {
        g.spawn(visit, std::ref(o), std::ref(seen), name);
        co_await settle();
      }
      CHECK(seen == test::log{"a runs"});
    };
    co_await weir::with_task_group(body);
    CHECK(weir::now() == weir::time_point() + 10ms);
  });
  CHECK(seen == test::log{"a runs", "a", "b", "c"});
}

TEST_CASE("once: retry: the error reaches the one who ran it, and the next in the queue tries") {
  test::log runs;
  test::log failed;
  test::log through;
  simulate([&]() -> weir::task<> {
    weir::once o;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      const auto tries = [&](std::string name, bool fails) -> weir::task<> {
        const auto run = [&]() -> weir::task<> {
          runs.push_back(name);
          co_await weir::sleep_for(1ms);
          if (fails) throw std::runtime_error(name);
        };
        auto r = co_await weir::as_result(o.call(run));
        (r.has_value() ? through : failed).push_back(name);
      };
      g.spawn(tries, "a", true);
      co_await settle();
      g.spawn(tries, "b", true);
      co_await settle();
      g.spawn(tries, "c", false);
      co_await settle();
      g.spawn(tries, "d", true);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(o.is_done());
  });
  CHECK(runs == test::log{"a", "b", "c"});
  CHECK(failed == test::log{"a", "b"});
  CHECK(through == test::log{"c", "d"});
}

TEST_CASE("once: retry: a plain function that throws leaves it as it was") {
  simulate([]() -> weir::task<> {
    weir::once o;
    int runs = 0;
    const auto fails = [&] {
      ++runs;
      throw std::runtime_error("not yet");
    };
    for (int i = 0; i < 3; ++i) {
      auto r = co_await weir::as_result(o.call(fails));
      CHECK(!r.has_value());
      CHECK(!o.is_done());
    }
    CHECK(runs == 3);
    co_await o.call([] {});
    CHECK(o.is_done());
    co_await o.call(fails);
    CHECK(runs == 3);
  });
}

TEST_CASE("once: keep: everybody gets the one failure, now and later, and nobody tries again") {
  simulate([]() -> weir::task<> {
    weir::once o(on_failure::keep);
    int runs = 0;
    int told = 0;
    const auto fails = [&]() -> weir::task<> {
      ++runs;
      co_await weir::sleep_for(1ms);
      throw std::runtime_error("for good");
    };
    const auto comes = [&]() -> weir::task<> {
      try {
        co_await o.call(fails);
      } catch (const std::runtime_error& e) {
        CHECK(e.what() == std::string("for good"));
        ++told;
      }
    };
    co_await weir::when_all(comes(), comes(), comes());
    co_await comes();
    CHECK(told == 4);
    CHECK(runs == 1);
    CHECK(!o.is_done());
    auto r = co_await weir::as_result(o.call(fails));
    CHECK(!r.has_value());
    CHECK_THROWS_AS(o.call_blocking([] {}), std::runtime_error);
  });
}

TEST_CASE("once: who is stopped while he runs it has not failed: the next one tries") {
  for (const on_failure policy : policies) {
    test::log seen;
    simulate([&]() -> weir::task<> {
      weir::once o(policy);
      auto body = [&](weir::task_group& g) -> weir::task<> {
        auto first = g.spawn(visit, std::ref(o), std::ref(seen), "a");
        co_await settle();
        g.spawn(visit, std::ref(o), std::ref(seen), "b");
        co_await settle();
        first.request_cancellation();
        co_await g.join();
      };
      co_await weir::with_task_group(body);
      CHECK(o.is_done());
    });
    CHECK(seen == test::log{"a runs", "b runs", "b"});
  }
}

TEST_CASE("once: a stopped waiter leaves the queue; one that was just given the turn passes it on") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::once o;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto a = g.spawn(visit, std::ref(o), std::ref(seen), "a");
      co_await settle();
      auto b = g.spawn(visit, std::ref(o), std::ref(seen), "b");
      co_await settle();
      auto c = g.spawn(visit, std::ref(o), std::ref(seen), "c");
      co_await settle();
      g.spawn(visit, std::ref(o), std::ref(seen), "d");
      co_await settle();
      b.request_cancellation();
      co_await settle();
      a.request_cancellation();
      co_await weir::yield();  // c has the turn now, or is about to
      c.request_cancellation();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(o.is_done());
  });
  REQUIRE(seen.size() >= 3);
  CHECK(seen.front() == "a runs");
  CHECK(std::find(seen.begin(), seen.end(), "b runs") == seen.end());
  CHECK(seen.back() == "d");
}

TEST_CASE("once: under a cancelled token nothing is run; but what is done is done") {
  simulate([]() -> weir::task<> {
    weir::once o;
    int runs = 0;
    weir::cancellation_source source;
    source.request_cancellation();
    const auto run = [&] { ++runs; };
    auto before = co_await weir::as_result(weir::with_cancellation(source.token(), o.call(run)));
    CHECK(before.is_cancelled());
    CHECK(runs == 0);
    co_await o.call(run);
    auto after = co_await weir::as_result(weir::with_cancellation(source.token(), o.call(run)));
    CHECK(after.has_value());
    CHECK(runs == 1);
  });
}

TEST_CASE("once: when it is done nobody is suspended, and nothing allocated") {
  simulate([]() -> weir::task<> {
    weir::once o;
    co_await o.call([] {});
    bool other_ran = false;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      const auto other = [&]() -> weir::task<> {
        other_ran = true;
        co_return;
      };
      g.spawn(other);
      const std::uint64_t before = test::allocations();
      for (int i = 0; i < 10000; ++i) co_await o.call([] {});
      CHECK(test::allocations() == before);
      CHECK(!other_ran);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(other_ran);
  });
}

TEST_CASE("once: it can be a member of what is destroyed by the last one through") {
  simulate([]() -> weir::task<> {
    auto o = std::make_unique<weir::once>();
    int left = 3;
    const auto comes = [&]() -> weir::task<> {
      co_await o->call([]() -> weir::task<> { co_await weir::sleep_for(1ms); });
      if (--left == 0) o.reset();
    };
    co_await weir::when_all(comes(), comes(), comes());
    CHECK(!o);
  });
}

TEST_CASE("once: seeds: one success, no two at once, and nobody is forgotten, whoever fails or is stopped") {
  long failures = 0;
  long stops = 0;
  long waits = 0;
  const std::uint64_t seeds = test::scaled(6000, 600);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    test::dice dice(seed);
    const on_failure policy = policies[dice.roll(4) == 0 ? 1 : 0];
    weir::once o(policy);
    std::array<weir::cancellation_source, 5> sources;
    int inside = 0;
    int successes = 0;
    int failed = 0;
    int begun = 0;
    int through = 0;
    bool wrong = false;
    struct resident {
      int& count;
      explicit resident(int& c) : count(c) { ++count; }
      resident(const resident&) = delete;
      resident& operator=(const resident&) = delete;
      ~resident() { --count; }
    };
    auto run = [&]() -> weir::task<> {
      const resident here(inside);
      ++begun;
      wrong = wrong || inside != 1 || successes != 0 || (policy == on_failure::keep && failed != 0);
      co_await weir::sleep_for(weir::duration(dice.roll(4)));
      if (dice.roll(3) == 0) {
        ++failed;
        throw std::runtime_error("the dice say so");
      }
      ++successes;
    };
    auto comes = [&](weir::cancellation_source& source) -> weir::task<> {
      co_await weir::sleep_for(weir::duration(dice.roll(3)));
      if (inside != 0) ++waits;
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), o.call(run)));
      if (r.has_value()) {
        ++through;
        wrong = wrong || successes != 1;
      } else {
        r.is_cancelled() ? ++stops : ++failures;
      }
    };
    auto cancels = [&](weir::cancellation_source& other) -> weir::task<> {
      co_await weir::sleep_for(weir::duration(dice.roll(6)));
      other.request_cancellation();
    };
    auto body = [&](weir::task_group& g) {
      for (auto& source : sources) g.spawn(comes, std::ref(source));
      for (int i = 0; i < 2; ++i) g.spawn(cancels, std::ref(sources[dice.roll(5)]));
    };
    simulate([&] { return test::together(body); }, seed);
    CAPTURE(seed);
    REQUIRE(!wrong);
    REQUIRE(inside == 0);
    REQUIRE(o.is_done() == (successes == 1));
    REQUIRE((through == 0) == (successes == 0));
  }
  CHECK(failures > static_cast<long>(seeds / 2));
  CHECK(stops > static_cast<long>(seeds / 2));
  CHECK(waits > static_cast<long>(seeds));
}

TEST_CASE("once: tasks of two runtimes and plain threads come to the same ones") {
  const std::size_t rounds = static_cast<std::size_t>(test::scaled(400, 60));
  struct site {
    weir::once once;
    int plain = 0;  // written once, by whoever runs it, and read by all
    std::atomic<int> runs{0};
  };
  std::deque<site> sites(rounds);
  std::atomic<int> wrong{0};
  auto sets = [](site& s, bool fails) {
    if (fails && s.runs.load() == 0) {
      s.runs = 1;
      throw std::runtime_error("the first one fails");
    }
    s.plain = 7;
    s.runs += 10;
  };
  auto looks = [&](const site& s) {
    if (s.plain != 7) ++wrong;
  };
  auto task = [&]() -> weir::task<> {
    const auto in_a_task = [&](site& s) -> weir::task<> {
      co_await weir::yield();
      sets(s, true);
    };
    for (site& s : sites) {
      for (;;) {
        auto r = co_await weir::as_result(weir::with_timeout(std::chrono::microseconds(50), s.once.call(in_a_task, s)));
        if (r.has_value()) break;
      }
      looks(s);
    }
  };
  auto main = [&]() -> weir::task<> { co_await weir::when_all(task(), task(), task()); };
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) threads.emplace_back([&] { weir::run(main(), {.workers = 2}); });
  threads.emplace_back([&] {
    for (site& s : sites) {
      s.once.call_blocking(sets, s, false);
      looks(s);
    }
  });
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  for (const site& s : sites) CHECK((s.runs == 10 || s.runs == 11));
}

TEST_CASE("once: call_blocking runs or waits on a thread; on a worker it throws where it would have to wait") {
  weir::once o;
  weir::event entered;
  weir::event leave;
  std::thread waits([&] {
    entered.wait_blocking();
    o.call_blocking([] { CHECK(false); });
    CHECK(o.is_done());
  });
  auto main = [&]() -> weir::task<> {
    const auto run = [&]() -> weir::task<> {
      entered.set();
      CHECK_THROWS_AS(o.call_blocking([] {}), std::logic_error);
      co_await weir::yield();
    };
    co_await o.call(run);
  };
  weir::run(main());
  waits.join();
  int runs = 0;
  weir::once other;
  CHECK_THROWS_AS(other.call_blocking([] { throw std::runtime_error("not yet"); }), std::runtime_error);
  other.call_blocking([&](int n) { runs += n; }, 1);
  other.call_blocking([&](int n) { runs += n; }, 1);
  CHECK(runs == 1);
}

TEST_CASE("once: one that was made on a confined worker serves its tasks, and nobody else") {
  auto main = []() -> weir::task<> {
    weir::once o;
    test::log seen;
    co_await weir::when_all(visit(o, seen, "a"), visit(o, seen, "b"), visit(o, seen, "c"));
    CHECK(seen.size() == 4);
  };
  weir::run(main(), {.workers = 1, .confined = true});
  CHECK(test::last_words_of([] {
          auto misuse = []() -> weir::task<> {
            weir::once o;
            co_await o.call([] {});
            std::thread other([&] { static_cast<void>(o.is_done()); });
            other.join();
          };
          weir::run(misuse(), {.workers = 1, .confined = true});
        }).find("made on a confined worker") != std::string::npos);
}

TEST_CASE("once: awaiting it from inside of its own function is told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            weir::once o;
            const auto inner = [&]() -> weir::task<> { co_await weir::with_timeout(1s, o.call([] {})); };
            const auto outer = [&]() -> weir::task<> { co_await inner(); };
            co_await o.call(outer);
          });
        }) == "weir: a once or lazy is awaited from inside of its own function, and would wait for itself for ever\n");
  CHECK(test::last_words_of([] {
          weir::once o;
          o.call_blocking([&] { o.call_blocking([] {}); });
        }) ==
        "weir: a once or lazy is asked for from inside of its own function, and would wait for itself for ever\n");
#endif
}

TEST_CASE("once: destroying it while somebody runs it or waits is told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            auto o = std::make_unique<weir::once>();
            const auto ends_it = [&]() -> weir::task<> {
              o.reset();
              co_return;
            };
            co_await o->call(ends_it);
          });
        }) == "weir: a once or lazy was destroyed while somebody runs it or waits for it\n");
#endif
}
