#include <coroutine>
#include <cstdlib>
#include <set>
#include <thread>

#include "support.hpp"

using test::simulate;

namespace {

weir::async_generator<int> count_to(int n) {
  for (int i = 1; i <= n; ++i) co_yield i;
}

/// Waits before each value.
weir::async_generator<int> ticks(int n, weir::duration period) {
  const test::counted guard;
  for (int i = 1; i <= n; ++i) {
    co_await weir::sleep_for(period);
    co_yield i;
  }
}

/// Waits for ever before the value after `n`.
weir::async_generator<int> stuck_after(int n, test::log& to) {
  test::mark last(to, "body");
  for (int i = 1; i <= n; ++i) co_yield i;
  try {
    co_await test::stuck(to, "leaf");
  } catch (...) {
    to.emplace_back("caught");
  }
}

weir::async_generator<int> fails_after(int n, const char* what) {
  const test::counted guard;
  for (int i = 1; i <= n; ++i) co_yield i;
  throw std::runtime_error(what);
}

template <class T>
weir::task<std::vector<T>> all_of(weir::async_generator<T> values) {
  std::vector<T> all;
  while (auto value = co_await values.next()) all.push_back(std::move(*value));
  co_return all;
}

/// Knows how it came to be where it is.
class traveller {
 public:
  static inline int moves = 0;
  static inline int copies = 0;
  static void reset() { moves = copies = 0; }

  traveller() = default;
  traveller(traveller&&) noexcept { ++moves; }
  traveller(const traveller&) { ++copies; }
  traveller& operator=(const traveller&) = delete;
  ~traveller() = default;

 private:
  test::counted alive_;
};

class throws_when_moved {
 public:
  throws_when_moved() = default;
  throws_when_moved(throws_when_moved&&) noexcept(false) { throw std::runtime_error("moved"); }
  throws_when_moved& operator=(throws_when_moved&&) = delete;
  ~throws_when_moved() = default;
};

class throws_when_it_dies {
 public:
  throws_when_it_dies() = default;
  throws_when_it_dies(const throws_when_it_dies&) = delete;
  throws_when_it_dies& operator=(const throws_when_it_dies&) = delete;
  ~throws_when_it_dies() noexcept(false) { throw std::runtime_error("destructor"); }
};

/// Its own value, then those of the one below: a generator for each level.
weir::async_generator<int> levels(int depth) {
  const test::counted guard;
  co_yield depth;
  if (depth == 0) co_return;
  auto below = levels(depth - 1);
  while (auto value = co_await below.next()) co_yield *value;
}

/// The same, which waits at the bottom and yields nothing.
weir::async_generator<int> waits_below(int depth) {
  const test::counted guard;
  if (depth == 0) {
    co_await weir::sleep_for(1h);
  } else {
    auto below = waits_below(depth - 1);
    while (auto value = co_await below.next()) co_yield *value;
  }
}

/// Resumes its awaiter from a thread of its own.
class on_a_thread {
 public:
  on_a_thread() = default;
  on_a_thread(const on_a_thread&) = delete;
  on_a_thread& operator=(const on_a_thread&) = delete;
  ~on_a_thread() {
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    thread_ = std::thread([waiting] { waiting.resume(); });
  }
  void await_resume() const noexcept {}

 private:
  std::thread thread_;
};

}  // namespace

TEST_CASE(
    "async_generator: next() completes with each value in order, and then with nothing, as often as it is asked") {
  simulate([]() -> weir::task<> {
    auto numbers = count_to(3);
    std::vector<int> seen;
    while (auto n = co_await numbers.next()) seen.push_back(*n);
    CHECK(seen == std::vector<int>{1, 2, 3});
    for (int i = 0; i < 1000; ++i) {
      const auto none = co_await numbers.next();
      CHECK(!none.has_value());
    }
    const auto waited = co_await all_of(ticks(3, 1s));
    CHECK(waited == std::vector<int>{1, 2, 3});
    CHECK(weir::now() == weir::time_point() + 3s);
    const auto empty = co_await all_of(count_to(0));
    CHECK(empty.empty());
    static_assert(std::is_same_v<weir::async_generator<int>::value_type, int>);
    weir::async_generator<int> never_made;
    const auto nothing = co_await never_made.next();
    CHECK(!nothing.has_value());
  });
}

TEST_CASE("async_generator: lazy: the body runs during next() only, and one that never runs dies with its parameters") {
  int steps = 0;
  auto body = [&](test::counted) -> weir::async_generator<int> {
    for (;;) {
      ++steps;
      co_yield steps;
    }
  };
  {
    const auto never = body(test::counted());
    CHECK(test::counted::alive == 1);
  }
  CHECK(test::counted::alive == 0);
  simulate([&]() -> weir::task<> {
    auto numbers = body(test::counted());
    CHECK(steps == 0);
    co_await numbers.next();
    CHECK(steps == 1);
    co_await weir::sleep_for(1s);
    CHECK(steps == 1);
    auto later = numbers.next();
    CHECK(steps == 1);
    co_await std::move(later);
    CHECK(steps == 2);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("async_generator: values may be move-only, const, converted or braced") {
  simulate([]() -> weir::task<> {
    auto unique = []() -> weir::async_generator<std::unique_ptr<int>> {
      co_yield std::make_unique<int>(1);
      auto named = std::make_unique<int>(2);
      co_yield std::move(named);
      CHECK(!named);  // NOLINT(bugprone-use-after-move)
    };
    auto pointers = unique();
    int sum = 0;
    while (auto p = co_await pointers.next()) sum = sum * 10 + **p;
    CHECK(sum == 12);

    auto constant = []() -> weir::async_generator<const std::string> {
      const std::string text = "constant";
      co_yield text;
      co_yield std::string("temporary");
    };
    auto texts = constant();
    const auto first = co_await texts.next();
    CHECK(*first == "constant");
    const auto second = co_await texts.next();
    static_assert(std::is_same_v<decltype(second), const std::optional<const std::string>>);
    CHECK(*second == "temporary");

    auto fixed = []() -> weir::async_generator<const std::unique_ptr<int>> { co_yield std::make_unique<int>(5); };
    auto only = fixed();
    const auto five = co_await only.next();
    CHECK(**five == 5);

    auto converting = []() -> weir::async_generator<std::string> {
      co_yield "literal";
      const char* named = "named";
      co_yield named;
      co_yield {"abcdef", 3};  // lint: ok (no aggregate)
    };
    const auto converted = co_await all_of(converting());
    CHECK(converted == std::vector<std::string>{"literal", "named", "abc"});

    auto widening = [](int n) -> weir::async_generator<long> {
      for (int i = 0; i < n; ++i) co_yield i + 1000;
    };
    const auto wide = co_await all_of(widening(4));
    CHECK(wide == std::vector<long>{1000, 1001, 1002, 1003});
  });
}

// A vector says that it can be copied, whatever is in it.
TEST_CASE("async_generator: of vectors whose items can only be moved") {
  simulate([]() -> weir::task<> {
    auto pairs = []() -> weir::async_generator<std::vector<std::unique_ptr<int>>> {
      for (int i = 0; i < 2; ++i) {
        std::vector<std::unique_ptr<int>> pair;
        pair.push_back(std::make_unique<int>(i));
        co_yield std::move(pair);
      }
    };
    int sum = 0;
    auto all = pairs();
    while (auto pair = co_await all.next()) sum += 1 + *pair->front();
    CHECK(sum == 3);
  });
}

TEST_CASE("async_generator: an rvalue is moved once, an lvalue copied once and left as it was") {
  simulate([]() -> weir::task<> {
    auto body = []() -> weir::async_generator<traveller> {
      traveller::reset();
      co_yield traveller();
      CHECK(traveller::moves == 1);
      CHECK(traveller::copies == 0);
      traveller named;
      co_yield named;
      CHECK(traveller::moves == 1);
      CHECK(traveller::copies == 1);
      co_yield std::as_const(named);
      CHECK(traveller::copies == 2);
      co_yield std::move(named);
      CHECK(traveller::moves == 2);
      CHECK(traveller::copies == 2);
    };
    auto travellers = body();
    int n = 0;
    while (auto t = co_await travellers.next()) ++n;
    CHECK(n == 4);
    CHECK(test::counted::alive == 0);
    auto text = []() -> weir::async_generator<std::string> {
      std::string same = "long enough to be allocated on its own";
      co_yield same;
      co_yield same;
      same += "!";
      co_yield std::move(same);
    };
    const auto texts = co_await all_of(text());
    CHECK(texts[0] == texts[1]);
    CHECK(texts[2] == texts[0] + "!");
  });
}

TEST_CASE("async_generator: references come as pointers to what was yielded") {
  simulate([]() -> weir::task<> {
    std::vector<int> store{1, 2, 3};
    auto each = [](std::vector<int>& in) -> weir::async_generator<int&> {
      for (int& item : in) co_yield item;
    };
    auto items = each(store);
    while (auto* item = co_await items.next()) *item *= 2;
    CHECK(store == std::vector<int>{2, 4, 6});
    const auto* end = co_await items.next();
    CHECK(end == nullptr);

    auto look = [](const std::vector<int>& in) -> weir::async_generator<const int&> {
      co_yield in[0];
      const int local = 6;
      co_yield local;
      co_yield 7;  // lives until the next call, in the frame like the local
    };
    auto looks = look(store);
    const int* first = co_await looks.next();
    CHECK(first == store.data());
    const int* local = co_await looks.next();
    CHECK(*local == 6);
    const int* temporary = co_await looks.next();
    CHECK(*temporary == 7);
    const auto apart = reinterpret_cast<std::intptr_t>(temporary) - reinterpret_cast<std::intptr_t>(local);
    CHECK(std::abs(apart) < 1024);
    const auto r = co_await weir::as_result(looks.next());
    CHECK(*r == nullptr);
  });
}

TEST_CASE("async_generator: an exception leaves through next(), and then the generator has ended") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto failing = fails_after(2, "third");
    try {
      while (auto n = co_await failing.next()) seen.push_back(std::to_string(*n));
    } catch (const std::runtime_error& e) {
      seen.emplace_back(e.what());
    }
    CHECK(test::counted::alive == 0);
    const auto none = co_await failing.next();
    CHECK(!none.has_value());

    auto at_once = fails_after(0, "first");
    const auto r = co_await weir::as_result(at_once.next());
    CHECK(test::unobserved::what(r.exception()) == "first");
    const auto after = co_await weir::as_result(at_once.next());
    REQUIRE(after.has_value());
    CHECK(!after->has_value());
    CHECK(test::counted::alive == 0);

    auto dies = []() -> weir::async_generator<int> {
      const throws_when_it_dies local;
      co_yield 1;
    };
    auto dying = dies();
    co_await dying.next();
    const auto d = co_await weir::as_result(dying.next());
    CHECK(test::unobserved::what(d.exception()) == "destructor");

    auto waits = []() -> weir::async_generator<int> {
      const int value = co_await test::fail_after(1ms, "inner");
      co_yield value;
    };
    auto waiting = waits();
    std::string what;
    try {
      co_await weir::with_timeout(1s, waiting.next());
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "inner");
  });
  CHECK(seen == test::log{"1", "2", "third"});
}

TEST_CASE("async_generator: what a value's move throws reaches the consumer, and the generator has ended") {
  simulate([]() -> weir::task<> {
    auto body = []() -> weir::async_generator<throws_when_moved> {
      const test::counted guard;
      co_yield throws_when_moved();
      co_yield throws_when_moved();
    };
    for (const bool as_result : {false, true}) {
      auto values = body();
      std::string what;
      try {
        if (as_result) {
          const auto r = co_await weir::as_result(values.next());
          r.exception() ? std::rethrow_exception(r.exception()) : void();
        } else {
          co_await values.next();
        }
      } catch (const std::runtime_error& e) {
        what = e.what();
      }
      CHECK(what == "moved");
      CHECK(test::counted::alive == 0);
      const auto none = co_await values.next();
      CHECK(!none.has_value());
    }
  });
}

TEST_CASE("async_generator: destroyed at a co_yield it destroys its locals; moved, it goes on where it was") {
  test::log seen;
  auto body = [&](test::mark) -> weir::async_generator<int> {
    test::mark outer(seen, "outer");
    for (int i = 1;; ++i) {
      test::mark inner(seen, "inner " + std::to_string(i));
      co_yield i;
    }
  };
  simulate([&]() -> weir::task<> {
    auto numbers = body(test::mark(seen, "parameter"));
    co_await numbers.next();
    co_await numbers.next();
    CHECK(seen == test::log{"inner 1"});
    auto moved = std::move(numbers);
    const auto third = co_await moved.next();
    CHECK(*third == 3);
    const auto none = co_await numbers.next();  // NOLINT(bugprone-use-after-move)
    CHECK(!none.has_value());
    numbers = std::move(moved);
    const auto fourth = co_await numbers.next();
    CHECK(*fourth == 4);
    seen.clear();
    numbers = body(test::mark(seen, "another"));
    CHECK(seen == test::log{"inner 4", "outer", "parameter"});
    seen.clear();
  });
  CHECK(seen == test::log{"another"});
}

TEST_CASE("async_generator: under a token that is cancelled already the body runs up to its first leaf") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::cancellation_source source;
    source.request_cancellation();
    auto numbers = stuck_after(2, seen);
    auto consume = [&](auto& from) -> weir::task<int> {
      int sum = 0;
      while (auto n = co_await from.next()) sum += *n;
      co_return sum;
    };
    const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), consume(numbers)));
    CHECK(r.is_cancelled());
    CHECK(seen == test::log{"leaf!", "body!"});
    auto never_waits = count_to(4);
    const auto sum = co_await weir::as_result(weir::with_cancellation(source.token(), consume(never_waits)));
    CHECK(*sum == 10);
    // After the end nothing waits, so nothing stops.
    const auto again = co_await weir::as_result(weir::with_cancellation(source.token(), never_waits.next()));
    REQUIRE(again.has_value());
    CHECK(!again->has_value());
    auto waits_first = ticks(2, 1s);
    const auto at_once = co_await weir::as_result(weir::with_timeout(0s, waits_first.next()));
    CHECK(at_once.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("async_generator: stopped while its body waits it has ended, its locals before the consumer's") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto outside = stuck_after(1, seen);
    auto consume = [&]() -> weir::task<> {
      test::mark consumer(seen, "consumer");
      while (auto n = co_await outside.next()) seen.push_back(std::to_string(*n));
      seen.emplace_back("went on");
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1s, consume()));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(seen == test::log{"1", "leaf!", "body!", "consumer!"});
    const auto none = co_await outside.next();
    CHECK(!none.has_value());

    seen.clear();
    auto owns = [&]() -> weir::task<> {
      test::mark before(seen, "before");
      auto inside = stuck_after(0, seen);
      test::mark after(seen, "after");
      co_await inside.next();
    };
    const auto owned = co_await weir::as_result(weir::with_timeout(1s, owns()));
    CHECK(owned.error() == std::errc::timed_out);
    CHECK(seen == test::log{"leaf!", "body!", "after!", "before!"});
  });
}

TEST_CASE("async_generator: a consumer stopped elsewhere takes its own generator along, and leaves another's alone") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto outside = ticks(5, 1s);
    auto consume = [&]() -> weir::task<> {
      auto inside = stuck_after(3, seen);
      co_await inside.next();
      co_await outside.next();
      co_await weir::sleep_for(1h);
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1min, consume()));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(seen == test::log{"body!"});
    const auto rest = co_await all_of(std::move(outside));
    CHECK(rest == std::vector<int>{2, 3, 4, 5});
  });
}

TEST_CASE("async_generator: with_timeout around next(): in time it goes on, otherwise the generator has ended") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto slow = stuck_after(2, seen);
    std::vector<int> got;
    bool threw = false;
    try {
      while (auto n = co_await weir::with_timeout(1s, slow.next())) got.push_back(*n);
    } catch (const weir::timed_out&) {
      threw = true;
    }
    CHECK(threw);
    CHECK(got == std::vector<int>{1, 2});
    CHECK(seen == test::log{"leaf!", "body!"});
    CHECK(weir::now() == weir::time_point() + 1s);
    const auto none = co_await weir::with_timeout(1s, slow.next());
    CHECK(!none.has_value());

    auto late = ticks(3, 1s);
    const auto first = co_await weir::with_timeout(1001ms, late.next());
    CHECK(*first == 1);
    const auto second = co_await weir::as_result(weir::with_timeout(1001ms, weir::with_timeout(5s, late.next())));
    CHECK(**second == 2);
    const auto third = co_await weir::as_result(weir::with_timeout(5s, weir::with_timeout(999ms, late.next())));
    CHECK(third.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("async_generator: each next() has the deadline and token of its own awaiter") {
  simulate([]() -> weir::task<> {
    auto body = []() -> weir::async_generator<weir::time_point> {
      for (;;) {
        co_yield weir::current_deadline();
        co_await weir::sleep_for(1s);
        co_yield weir::current_deadline();
        const auto r = co_await weir::as_result(weir::with_timeout(1s, test::nap(1h)));
        CHECK(!r.has_value());
        co_yield weir::current_deadline();
      }
    };
    auto deadlines = body();
    for (int i = 0; i < 9; ++i) {
      const weir::time_point due = weir::now() + 10s + i * 1s;
      const auto seen = co_await weir::with_deadline(due, deadlines.next());
      CHECK(*seen == due);
      CHECK(weir::current_deadline() == weir::time_point::max());
      auto in_a_task = [&]() -> weir::task<weir::time_point> {
        const auto inner = co_await deadlines.next();
        CHECK(*inner == weir::current_deadline());
        co_return *inner;
      };
      const weir::time_point other = co_await weir::with_deadline(due + 1h, in_a_task());
      CHECK(other == due + 1h);
      const auto without = co_await deadlines.next();
      CHECK(*without == weir::time_point::max());
      const auto hidden = co_await weir::with_deadline(due, weir::shielded(deadlines.next()));
      CHECK(*hidden == weir::time_point::max());
    }
    // The first scope is long gone; the second one's token is the one that stops.
    weir::cancellation_source source;
    auto slow = ticks(9, 1s);
    co_await weir::with_timeout(5s, slow.next());
    auto canceller = [&]() -> weir::task<> {
      co_await weir::sleep_for(500ms);
      source.request_cancellation();
    };
    auto consume = [&]() -> weir::task<> {
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), slow.next()));
      CHECK(r.is_cancelled());
    };
    const weir::time_point start = weir::now();
    co_await weir::when_all(consume(), canceller());
    CHECK(weir::now() == start + 500ms);
  });
}

TEST_CASE("async_generator: a timeout in the body leaves the generator alive, and so do groups") {
  simulate([]() -> weir::task<> {
    auto body = []() -> weir::async_generator<std::string> {
      for (int i = 0; i < 3; ++i) {
        const auto r = co_await weir::as_result(weir::with_timeout(1s, test::after(i * 700ms, i)));
        std::string how = "late";
        if (r.has_value()) how = std::to_string(*r);
        co_yield std::move(how);
      }
      int sum = 0;
      auto children = [&](weir::task_group& group) -> weir::task<> {
        auto child = [&](int n) -> weir::task<> {
          co_await weir::sleep_for(n * 1ms);
          sum += n;
        };
        for (int n = 1; n <= 4; ++n) group.spawn(child, n);
        co_await group.join();
      };
      co_await weir::with_task_group(children);
      co_yield std::to_string(sum);
    };
    const auto all = co_await all_of(body());
    CHECK(all == test::log{"0", "1", "late", "10"});
  });
}

TEST_CASE("async_generator: a group in the body is joined before a stop goes on outwards") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto body = [&]() -> weir::async_generator<int> {
      test::mark local(seen, "generator");
      co_yield 1;
      auto children = [&](weir::task_group& group) -> weir::task<> {
        test::mark inner(seen, "body");
        auto child = [&]() -> weir::task<> {
          test::mark last(seen, "child");
          co_await weir::shielded(weir::sleep_for(10s));
        };
        group.spawn(child);
        co_await test::stuck(seen, "leaf");
      };
      co_await weir::with_task_group(children);
      co_yield 2;
    };
    auto values = body();
    co_await values.next();
    const auto r = co_await weir::as_result(weir::with_timeout(1s, values.next()));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(weir::now() == weir::time_point() + 10s);
    const auto none = co_await values.next();
    CHECK(!none.has_value());
  });
  CHECK(seen == test::log{"child", "leaf!", "body!", "generator!"});
}

TEST_CASE("async_generator: next() in when_any, when_all, shielded and with_cleanup") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto quick = ticks(4, 1s);
    const auto won = co_await weir::when_any(quick.next(), weir::sleep_for(2s));
    CHECK(won.index() == 0);
    auto other = ticks(1, 2s);
    auto both = co_await weir::when_all(quick.next(), other.next());
    CHECK(*std::get<0>(both) == 2);
    CHECK(*std::get<1>(both) == 1);
    auto cleanup = [&](const weir::cleanup_outcome& outcome) -> weir::task<> {
      seen.emplace_back(outcome.is_stopped() ? "stopped" : "value");
      co_return;
    };
    const auto third = co_await weir::with_cleanup(quick.next(), cleanup, 1s);
    CHECK(*third == 3);
    auto stubborn = stuck_after(0, seen);
    const auto r = co_await weir::as_result(weir::with_timeout(1s, weir::with_cleanup(stubborn.next(), cleanup, 1s)));
    CHECK(r.error() == std::errc::timed_out);
    const auto fourth = co_await weir::with_timeout(0s, weir::shielded(quick.next()));
    CHECK(*fourth == 4);
    // A loser's generator is stopped like any other.
    auto loses = ticks(4, 1s);
    const auto lost = co_await weir::when_any(loses.next(), weir::sleep_for(500ms));
    CHECK(lost.index() == 1);
    const auto none = co_await loses.next();
    CHECK(!none.has_value());
  });
  CHECK(seen == test::log{"value", "leaf!", "body!", "stopped"});
  CHECK(test::counted::alive == 0);
}

TEST_CASE("async_generator: one inside the other") {
  simulate([]() -> weir::task<> {
    const int depth = 300;
    auto nested = levels(depth);
    int expected = depth;
    while (auto value = co_await nested.next()) {
      CHECK(*value == expected);
      --expected;
    }
    CHECK(expected == -1);
    CHECK(test::counted::alive == 0);
    // Given up half-way, each destroys the one below.
    auto half = levels(depth);
    for (int i = 0; i < depth / 2; ++i) co_await half.next();
    CHECK(test::counted::alive == depth / 2);
    half = {};
    CHECK(test::counted::alive == 0);

    auto evens = [](weir::async_generator<int> in) -> weir::async_generator<int> {
      while (auto n = co_await in.next()) {
        if (*n % 2 == 0) co_yield *n;
      }
    };
    auto halves = [](weir::async_generator<int> in) -> weir::async_generator<int> {
      while (auto n = co_await in.next()) co_yield *n / 2;
    };
    const auto some = co_await all_of(halves(evens(ticks(7, 1ms))));
    CHECK(some == std::vector<int>{1, 2, 3});
  });
}

TEST_CASE("async_generator: 100,000 of them inside each other complete, and are stopped without using the stack") {
  simulate([]() -> weir::task<> {
    auto deep = waits_below(100'000);
    const auto stopped = co_await weir::as_result(weir::with_timeout(1ms, deep.next()));
    CHECK(stopped.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);
    auto completes = waits_below(test::scaled(100'000, 20'000));
    const auto none = co_await completes.next();
    CHECK(!none.has_value());
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("async_generator: ten million values that are there at once do not grow the stack") {
  const int n = test::scaled(10'000'000, 1'000'000);
  simulate([&]() -> weir::task<> {
    auto forever = []() -> weir::async_generator<int> {
      for (;;) co_yield 1;
    };
    auto ones = forever();
    long sum = 0;
    for (int i = 0; i < n; ++i) {
      const auto one = co_await ones.next();
      sum += *one;
    }
    CHECK(sum == n);
    auto through = [](weir::async_generator<int> in) -> weir::async_generator<int> {
      while (auto value = co_await in.next()) co_yield *value;
    };
    auto twice = through(through(std::move(ones)));
    for (int i = 0; i < n / 10; ++i) {
      const auto one = co_await weir::with_timeout(1h, twice.next());
      sum += *one;
    }
    CHECK(sum == n + n / 10);
  });
}

TEST_CASE("async_generator: loops over values that are there at once take turns, also behind the end") {
  auto main = []() -> weir::task<> {
    int switches = 0;
    char last = ' ';
    auto loop = [&](char name, int values) -> weir::task<> {
      auto numbers = count_to(values);
      for (int i = 0; i < 10'000; ++i) {
        co_await numbers.next();
        if (last != name) ++switches;
        last = name;
      }
    };
    co_await weir::when_all(loop('a', 10'000), loop('b', 10'000));
    CHECK(switches > 30);
    CHECK(switches < 2000);
    switches = 0;
    co_await weir::when_all(loop('a', 0), loop('b', 0));
    CHECK(switches > 30);
    CHECK(switches < 2000);
  };
  weir::run(main(), {.workers = 1});
}

TEST_CASE("async_generator: stopped while it awaits its turn, it goes on to its first leaf") {
  simulate([]() -> weir::task<> {
    weir::cancellation_source source;
    auto body = [&]() -> weir::async_generator<int> {
      const test::counted guard;
      for (int i = 1;; ++i) {
        if (i == 100'000) co_await weir::checkpoint();
        co_yield i;
      }
    };
    int last = 0;
    auto consume = [&]() -> weir::task<> {
      auto numbers = body();
      while (auto n = co_await numbers.next()) last = *n;
    };
    auto cancel = [&]() -> weir::task<> {
      co_await weir::yield();
      source.request_cancellation();
    };
    auto guarded = [&]() -> weir::task<> {
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), consume()));
      CHECK(r.is_cancelled());
    };
    co_await weir::when_all(guarded(), cancel());
    CHECK(last == 99'999);
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("async_generator: moved into tasks, and used by one task after the other") {
  simulate([]() -> weir::task<> {
    auto numbers = ticks(6, 1ms);
    auto take_two = [](weir::async_generator<int> from) -> weir::task<weir::async_generator<int>> {
      co_await from.next();
      co_await from.next();
      co_return std::move(from);
    };
    numbers = co_await take_two(std::move(numbers));
    auto handle = weir::spawn(take_two(std::move(numbers)));
    numbers = co_await handle.join();
    auto spawned = weir::spawn(all_of<int>, std::move(numbers));
    const auto rest = co_await spawned.join();
    CHECK(rest == std::vector<int>{5, 6});
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("async_generator: the body awaits tasks and what is not weir's, on several workers") {
  const int rounds = test::scaled(2000, 200);
  auto main = [&]() -> weir::task<> {
    auto body = [](int n) -> weir::async_generator<std::string> {
      const test::counted guard;
      for (int i = 0; i < n; ++i) {
        if (i % 500 == 0) co_await on_a_thread();
        co_await weir::yield();
        co_yield std::to_string(i);
        if (i % 3 == 0) co_await test::nap(1us);
      }
    };
    auto consume = [&]() -> weir::task<> {
      auto texts = body(rounds);
      int expected = 0;
      while (auto text = co_await texts.next()) {
        CHECK(*text == std::to_string(expected));
        ++expected;
        if (expected % 7 == 0) co_await weir::yield();
      }
      CHECK(expected == rounds);
    };
    auto children = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < 8; ++i) group.spawn(consume);
      co_await group.join();
    };
    co_await weir::with_task_group(children);
  };
  weir::run(main(), {.workers = 4});
  CHECK(test::counted::alive == 0);
}

TEST_CASE("async_generator: timeouts at all moments on several workers leave nothing behind") {
  const int rounds = test::scaled(400, 60);
  auto main = [&]() -> weir::task<> {
    auto consume = [&](int seed) -> weir::task<> {
      for (int i = 0; i < rounds; ++i) {
        auto inner = ticks(3, std::chrono::microseconds((seed * 31 + i * 17) % 90));
        auto outer = [](weir::async_generator<int> in) -> weir::async_generator<int> {
          const test::counted guard;
          while (auto n = co_await in.next()) co_yield *n;
        };
        auto numbers = outer(std::move(inner));
        int last = 0;
        for (;;) {
          const auto r = co_await weir::as_result(weir::with_timeout(60us, numbers.next()));
          if (!r.has_value() || !r->has_value()) break;
          CHECK(**r == last + 1);
          last = **r;
        }
        const auto none = co_await numbers.next();
        CHECK(!none.has_value());
      }
    };
    auto children = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < 8; ++i) group.spawn(consume, i);
      co_await group.join();
    };
    co_await weir::with_task_group(children);
  };
  weir::run(main(), {.workers = 4});
  CHECK(test::counted::alive == 0);
}

TEST_CASE("async_generator: for every seed each consumer gets its own values, and the same seed repeats") {
  auto program = [](std::uint64_t seed) {
    std::vector<int> order;
    simulate(
        [&]() -> weir::task<> {
          auto consume = [&](int id) -> weir::task<> {
            auto numbers = ticks(5, std::chrono::milliseconds(1 + id % 2));
            int expected = 0;
            while (auto n = co_await numbers.next()) {
              CHECK(*n == ++expected);
              order.push_back(id);
              if (id == 3 && *n == 3) break;
            }
          };
          auto late = [&]() -> weir::task<> {
            auto numbers = ticks(5, 2ms);
            const auto r = co_await weir::as_result(weir::with_timeout(2ms, numbers.next()));
            CHECK((r.has_value() || r.error() == std::errc::timed_out));
            const auto second = co_await numbers.next();
            CHECK(second.has_value() == r.has_value());
          };
          co_await weir::when_all(consume(0), consume(1), consume(2), consume(3), late(), late());
        },
        seed);
    CHECK(test::counted::alive == 0);
    return order;
  };
  std::set<std::vector<int>> different;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const auto order = program(seed);
    CHECK(order.size() == 18);
    CHECK(program(seed) == order);
    different.insert(order);
  }
  CHECK(different.size() > 100);
}

#if !defined(NDEBUG)

TEST_CASE("async_generator: two calls of next() at once, and destruction under one, are told") {
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            auto numbers = ticks(2, 1s);
            co_await weir::when_all(numbers.next(), numbers.next());
          });
        }).find("at the same time") != std::string::npos);
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            auto numbers = ticks(2, 1s);
            auto meddle = [&]() -> weir::task<> {
              co_await weir::sleep_for(500ms);
              numbers = {};
            };
            co_await weir::when_all(numbers.next(), meddle());
          });
        }).find("moved or destroyed while its next() was awaited") != std::string::npos);
}

#endif
