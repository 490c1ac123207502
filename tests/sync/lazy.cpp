#include <weir/sync/lazy.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <weir/sync/mutex.hpp>

#include "../skip.hpp"
#include "support.hpp"

using test::settle;
using test::simulate;
using weir::on_failure;

static_assert(!std::is_copy_constructible_v<weir::lazy<int>> && !std::is_move_constructible_v<weir::lazy<int>>);

namespace {

struct config {
  int limit;
};
config load_now() { return {7}; }
weir::task<config> load() {
  co_await weir::sleep_for(5ms);
  co_return config{8};
}

}  // namespace

TEST_CASE("lazy: the value is made when it is first asked for, by a function or a task, and is one for all") {
  simulate([]() -> weir::task<> {
    weir::lazy<config> plain{load_now};
    CHECK(plain.try_get() == nullptr);
    config& now = co_await plain.get();
    CHECK(now.limit == 7);
    CHECK(plain.try_get() == &now);
    CHECK(&plain.get_blocking() == &now);

    weir::lazy awaited{load};
    static_assert(std::is_same_v<decltype(awaited), weir::lazy<config>>);
    int through = 0;
    const auto comes = [&]() -> weir::task<> {
      const config& c = co_await awaited.get();
      CHECK(&c == awaited.try_get());
      CHECK(c.limit == 8);
      ++through;
    };
    co_await weir::when_all(comes(), comes(), comes());
    CHECK(through == 3);
    CHECK(weir::now() == weir::time_point() + 5ms);
  });
}

TEST_CASE("lazy: nobody asks: nothing is made, and nothing is lost") {
  test::counted::alive = 0;
  int runs = 0;
  {
    weir::lazy<test::counted> l{[&runs, held = test::counted()] {
      ++runs;
      return test::counted();
    }};
    CHECK(test::counted::alive == 1);
  }
  CHECK(runs == 0);
  CHECK(test::counted::alive == 0);
}

TEST_CASE("lazy: an initialiser that has succeeded is destroyed, with what it holds") {
  auto held = std::make_shared<int>(3);
  simulate([&]() -> weir::task<> {
    const auto make = [held]() -> weir::task<int> {
      co_await weir::sleep_for(1ms);
      co_return *held;
    };
    weir::lazy<int> l{make};
    const long before = held.use_count();
    const int& made = co_await l.get();
    CHECK(made == 3);
    CHECK(held.use_count() == before - 1);
  });
}

TEST_CASE("lazy: values that can only be moved, and of a plain function even those that cannot") {
  simulate([]() -> weir::task<> {
    const auto make = []() -> weir::task<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
    weir::lazy<std::unique_ptr<int>> moved{make};
    std::unique_ptr<int>& four = co_await moved.get();
    CHECK(*four == 4);
    auto once_only = std::make_unique<int>(5);
    auto hold = [kept = std::move(once_only)] { return *kept; };
    weir::lazy<long> from_a_move_only_callable{TEST_MOVE_CALLABLE(hold)};
    const long& five = co_await from_a_move_only_callable.get();
    CHECK(five == 5);
    weir::lazy<weir::mutex> fixed{[] { return weir::mutex(); }};
    weir::mutex& m = co_await fixed.get();
    const auto guard = co_await m.lock();
    CHECK(static_cast<bool>(guard));
  });
}

TEST_CASE("lazy: retry: the error is for the one who ran it, the next one makes the value") {
  simulate([]() -> weir::task<> {
    int runs = 0;
    const auto make = [&]() -> weir::task<int> {
      const int run = ++runs;
      co_await weir::sleep_for(1ms);
      if (run < 3) throw std::runtime_error("not yet");
      co_return run;
    };
    weir::lazy<int> l{make};
    std::vector<int> got;
    const auto comes = [&]() -> weir::task<> {
      auto r = co_await weir::as_result(l.get());
      got.push_back(r.has_value() ? *r : -1);
    };
    co_await weir::when_all(comes(), comes(), comes(), comes());
    std::sort(got.begin(), got.end());
    CHECK(got == std::vector<int>{-1, -1, 3, 3});
    CHECK(runs == 3);
  });
}

TEST_CASE("lazy: keep: everybody gets the one failure, and there is never a value") {
  simulate([]() -> weir::task<> {
    int runs = 0;
    const auto make = [&]() -> int {
      ++runs;
      throw std::runtime_error("for good");
    };
    weir::lazy<int> l{make, on_failure::keep};
    for (int i = 0; i < 3; ++i) {
      auto r = co_await weir::as_result(l.get());
      CHECK(!r.has_value());
      CHECK_THROWS_AS(l.get_blocking(), std::runtime_error);
    }
    CHECK(runs == 1);
    CHECK(l.try_get() == nullptr);
  });
}

TEST_CASE("lazy: a value whose move throws is a failure, and nothing of it is left") {
  test::fragile::alive = 0;
  simulate([]() -> weir::task<> {
    const auto make = []() -> weir::task<test::fragile> { co_return test::fragile(1); };
    weir::lazy<test::fragile> l{make};
    int failures = 0;
    for (int nth = 1; nth < 10; ++nth) {
      test::fragile::break_move(nth);
      auto r = co_await weir::as_result(l.get());
      if (r.has_value()) break;
      ++failures;
      CHECK(test::fragile::alive == 0);
      CHECK(l.try_get() == nullptr);
    }
    test::fragile::break_move(0);
    CHECK(failures >= 2);
    CHECK(test::fragile::alive == 1);
    REQUIRE(l.try_get());
    CHECK(l.try_get()->value == 1);
  });
  CHECK(test::fragile::alive == 0);
}

TEST_CASE("lazy: who is stopped while he makes it leaves no trace, and the next one makes it") {
  test::counted::alive = 0;
  simulate([]() -> weir::task<> {
    int runs = 0;
    const auto make = [&]() -> weir::task<test::counted> {
      const test::counted local;
      ++runs;
      co_await weir::sleep_for(5ms);
      co_return local;
    };
    weir::lazy<test::counted> l{make};
    bool through = false;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      const auto comes = [&]() -> weir::task<> {
        co_await l.get();
        through = true;
      };
      auto first = g.spawn(comes);
      co_await settle();
      auto waiting = g.spawn(comes);
      co_await settle();
      g.spawn(comes);
      co_await settle();
      waiting.request_cancellation();
      first.request_cancellation();
      co_await settle();
      CHECK(runs == 2);
      CHECK(test::counted::alive == 1);
      CHECK(!l.try_get());
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(through);
    CHECK(test::counted::alive == 1);

    weir::cancellation_source source;
    source.request_cancellation();
    auto there = co_await weir::as_result(weir::with_cancellation(source.token(), l.get()));
    CHECK(there.has_value());
    weir::lazy<test::counted> other{make};
    auto none = co_await weir::as_result(weir::with_cancellation(source.token(), other.get()));
    CHECK(none.is_cancelled());
    CHECK(runs == 2);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("lazy: with the value there nobody is suspended, and nothing allocated") {
  simulate([]() -> weir::task<> {
    weir::lazy<config> l{load};
    co_await l.get();
    bool other_ran = false;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      const auto other = [&]() -> weir::task<> {
        other_ran = true;
        co_return;
      };
      g.spawn(other);
      const std::uint64_t before = test::allocations();
      long sum = 0;
      for (int i = 0; i < 10000; ++i) {
        const config& c = co_await l.get();
        sum += c.limit;
      }
      CHECK(test::allocations() == before);
      CHECK(sum == 80000);
      CHECK(!other_ran);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("lazy: seeds: one value, made once, whoever fails or is stopped") {
  long made = 0;
  long stops = 0;
  const std::uint64_t seeds = test::scaled(4000, 400);
  test::counted::alive = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    test::dice dice(seed);
    std::vector<weir::cancellation_source> sources(4);
    int successes = 0;
    const test::counted* value = nullptr;
    bool wrong = false;
    auto make = [&]() -> weir::task<test::counted> {
      const test::counted local;
      co_await weir::sleep_for(weir::duration(dice.roll(3)));
      if (dice.roll(4) == 0) throw std::runtime_error("the dice say so");
      ++successes;
      co_return local;
    };
    {
      weir::lazy<test::counted> l{make};
      auto comes = [&](weir::cancellation_source& source) -> weir::task<> {
        co_await weir::sleep_for(weir::duration(dice.roll(3)));
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), l.get()));
        if (!r.has_value()) {
          if (r.is_cancelled()) ++stops;
          co_return;
        }
        if (!value) value = &*r;
        wrong = wrong || value != &*r || successes != 1;
      };
      auto cancels = [&](weir::cancellation_source& other) -> weir::task<> {
        co_await weir::sleep_for(weir::duration(dice.roll(5)));
        other.request_cancellation();
      };
      auto body = [&](weir::task_group& g) {
        for (auto& source : sources) g.spawn(comes, std::ref(source));
        for (int i = 0; i < 2; ++i) g.spawn(cancels, std::ref(sources[dice.roll(4)]));
      };
      simulate([&] { return test::together(body); }, seed);
      CAPTURE(seed);
      REQUIRE(!wrong);
      REQUIRE(test::counted::alive == (l.try_get() ? 1 : 0));
      if (l.try_get()) ++made;
    }
    REQUIRE(test::counted::alive == 0);
  }
  CHECK(made > static_cast<long>(seeds / 2));
  CHECK(stops > static_cast<long>(seeds / 4));
}

TEST_CASE("lazy: threads and tasks ask for the same ones at once") {
  const int rounds = test::scaled(300, 50);
  std::atomic<int> wrong{0};
  for (int i = 0; i < rounds; ++i) {
    std::atomic<int> runs{0};
    weir::lazy<std::string> l{[&runs, i] {
      ++runs;
      return std::to_string(i) + " as a string that is too long to stand in the object";
    }};
    const std::string wanted = std::to_string(i) + " as a string that is too long to stand in the object";
    const auto asks = [&]() -> weir::task<> {
      const std::string& s = co_await l.get();
      if (s != wanted) ++wrong;
    };
    const auto main = [&]() -> weir::task<> { co_await weir::when_all(asks(), asks()); };
    std::thread other([&] {
      if (l.get_blocking() != wanted) ++wrong;
    });
    weir::run(main(), {.workers = 1});
    other.join();
    if (runs != 1) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("lazy: get_blocking runs no task, and throws on a worker where it would have to wait") {
  weir::lazy<config> task{load};
  CHECK_THROWS_AS(task.get_blocking(), std::logic_error);
  simulate([&]() -> weir::task<> {
    CHECK_THROWS_AS(task.get_blocking(), std::logic_error);
    co_await task.get();
    CHECK(task.get_blocking().limit == 8);
  });
  CHECK(task.get_blocking().limit == 8);
  weir::lazy<config> kept{load, on_failure::keep};  // to have asked in vain is no failure
  CHECK_THROWS_AS(kept.get_blocking(), std::logic_error);
  simulate([&]() -> weir::task<> {
    const config& c = co_await kept.get();
    CHECK(c.limit == 8);
  });
}

TEST_CASE("lazy: one that was made on a confined worker serves its tasks, and nobody else") {
  auto main = []() -> weir::task<> {
    weir::lazy<config> l{load};
    const auto asks = [&]() -> weir::task<> {
      const config& c = co_await l.get();
      CHECK(c.limit == 8);
    };
    co_await weir::when_all(asks(), asks());
  };
  weir::run(main(), {.workers = 1, .confined = true});
  CHECK(test::last_words_of([] {
          auto misuse = []() -> weir::task<> {
            weir::lazy<config> l{load_now};
            co_await l.get();
            std::thread other([&] { static_cast<void>(l.try_get()); });
            other.join();
          };
          weir::run(misuse(), {.workers = 1, .confined = true});
        }).find("made on a confined worker") != std::string::npos);
}

TEST_CASE("lazy: asking for it from inside of its own initialiser is told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            weir::lazy<int>* self = nullptr;
            const auto make = [&]() -> weir::task<int> {
              const int& made = co_await self->get();
              co_return made;
            };
            weir::lazy<int> l{make};
            self = &l;
            co_await l.get();
          });
        }) == "weir: a once or lazy is awaited from inside of its own function, and would wait for itself for ever\n");
#endif
}
