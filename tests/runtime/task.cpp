#include "support.hpp"

using test::simulate;

namespace {

weir::task<int> one() { co_return 1; }

weir::task<long> deep(int depth) {
  if (depth == 0) co_return 0;
  const long below = co_await deep(depth - 1);
  co_return below + 1;
}

weir::task<> deep_throw(int depth) {
  const test::counted guard;
  if (depth == 0) throw std::runtime_error("bottom");
  co_await deep_throw(depth - 1);
}

weir::task<> deep_wait(int depth) {
  const test::counted guard;
  if (depth == 0) {
    co_await weir::sleep_for(1h);
  } else {
    co_await deep_wait(depth - 1);
  }
}

/// Every kind of scope, one inside the other, a few of each.
weir::task<> deep_mixed(int depth) {
  const test::counted guard;
  auto cleanup = [](const weir::cleanup_outcome&) -> weir::task<> {
    const test::counted inner;
    co_return;
  };
  auto group = [depth](weir::task_group& g) -> weir::task<> {
    const test::counted inner;
    g.spawn(deep_mixed(0));
    co_await deep_mixed(depth - 1);
  };
  weir::cancellation_source source;
  if (depth == 0) {
    co_await weir::sleep_for(1h);
  } else if (depth % 6 == 0) {
    co_await weir::with_timeout(2h, deep_mixed(depth - 1));
  } else if (depth % 6 == 1) {
    co_await weir::with_cancellation(source.token(), deep_mixed(depth - 1));
  } else if (depth % 6 == 2) {
    co_await weir::with_cleanup(deep_mixed(depth - 1), cleanup, 1s);
  } else if (depth % 6 == 3) {
    co_await weir::with_task_group(TEST_MOVE_CALLABLE(group));
  } else if (depth % 6 == 4) {
    co_await weir::when_all(deep_mixed(depth - 1), deep_mixed(0));
  } else {
    const auto r = co_await weir::as_result(deep_mixed(depth - 1));
    if (r.has_value()) co_return;
    r.value();
  }
}

}  // namespace

TEST_CASE("a task is lazy: nothing runs before it is awaited, and one that never is dies with its parameters") {
  int ran = 0;
  auto body = [&](test::counted) -> weir::task<> {
    ++ran;
    co_return;
  };
  {
    const weir::task<> never = body(test::counted());
    CHECK(static_cast<bool>(never));
    CHECK(test::counted::alive == 1);
  }
  CHECK(test::counted::alive == 0);
  CHECK(ran == 0);
  simulate([&]() -> weir::task<> {
    auto t = body(test::counted());
    CHECK(ran == 0);
    co_await std::move(t);
    CHECK(ran == 1);
  });
}

TEST_CASE("a task completes with a value, a reference, something move-only, or nothing") {
  simulate([]() -> weir::task<> {
    const int value = co_await one();
    CHECK(value == 1);
    int x = 0;
    auto reference = [](int& to) -> weir::task<int&> { co_return to; };
    int& same = co_await reference(x);
    CHECK(&same == &x);
    auto constant = [](const int& to) -> weir::task<const int&> { co_return to; };
    const int& same_again = co_await constant(x);
    CHECK(&same_again == &x);
    auto unique = []() -> weir::task<std::unique_ptr<int>> { co_return std::make_unique<int>(2); };
    const std::unique_ptr<int> moved = co_await unique();
    CHECK(*moved == 2);
    auto converted = []() -> weir::task<std::string> { co_return "literal"; };
    const std::string text = co_await converted();
    CHECK(text == "literal");
    auto braced = []() -> weir::task<std::pair<int, std::string>> { co_return {1, "x"}; };
    const auto pair = co_await braced();
    CHECK(pair.second == "x");
  });
}

TEST_CASE("an exception leaves through every awaiter, and a task goes on behind a catch") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto inner = [&]() -> weir::task<int> {
      test::mark m(seen, "inner");
      co_await weir::sleep_for(1ms);
      throw std::runtime_error("x");
    };
    auto middle = [&]() -> weir::task<int> {
      test::mark m(seen, "middle");
      const int value = co_await inner();
      seen.push_back("not here");
      co_return value;
    };
    try {
      co_await middle();
    } catch (const std::runtime_error& e) {
      seen.push_back(e.what());
    }
    co_await weir::sleep_for(1ms);
    seen.push_back("on");
  });
  CHECK(seen == test::log{"inner", "middle", "x", "on"});
}

TEST_CASE("what a task throws before its first await, and a reference task's exception, arrive as well") {
  simulate([]() -> weir::task<> {
    auto at_once = []() -> weir::task<int&> {
      throw std::logic_error("at once");
      co_return *static_cast<int*>(nullptr);
    };
    const auto r = co_await weir::as_result(at_once());
    CHECK(test::unobserved::what(r.exception()) == "at once");
  });
}

TEST_CASE("an exception out of a local's destructor replaces the value, which is destroyed") {
  simulate([]() -> weir::task<> {
    class throws_when_it_dies {
     public:
      throws_when_it_dies() = default;
      throws_when_it_dies(const throws_when_it_dies&) = delete;
      throws_when_it_dies& operator=(const throws_when_it_dies&) = delete;
      ~throws_when_it_dies() noexcept(false) { throw std::runtime_error("destructor"); }
    };
    auto work = []() -> weir::task<std::shared_ptr<test::counted>> {
      const throws_when_it_dies local;
      co_return std::make_shared<test::counted>();
    };
    const auto r = co_await weir::as_result(work());
    CHECK(test::unobserved::what(r.exception()) == "destructor");
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("a task's frame, with its parameters, is gone when its awaiter goes on") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto work = [&](test::mark) -> weir::task<int> {
      test::mark local(seen, "local");
      co_return 1;
    };
    const int value = co_await work(test::mark(seen, "parameter"));
    seen.push_back("value " + std::to_string(value));
  });
  CHECK(seen == test::log{"local", "parameter", "value 1"});
}

TEST_CASE("tasks can be moved, assigned and kept in containers until they are awaited") {
  simulate([]() -> weir::task<> {
    weir::task<int> empty;
    CHECK(!empty);
    empty = one();
    CHECK(static_cast<bool>(empty));
    empty = one();  // the first one dies
    weir::task<int> other = std::move(empty);
    CHECK(!empty);  // NOLINT(bugprone-use-after-move)
    const int value = co_await std::move(other);
    CHECK(value == 1);
    std::vector<weir::task<int>> several;
    for (int i = 0; i < 10; ++i) several.push_back(one());
    int sum = 0;
    for (auto& t : several) sum += co_await std::move(t);
    CHECK(sum == 10);
  });
}

TEST_CASE("awaiting a task twice ends the program with a sentence") {
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            auto t = one();
            int sum = co_await std::move(t);
            sum += co_await std::move(t);  // NOLINT(bugprone-use-after-move)
            CHECK(sum == 2);
          });
        }).find("a task is awaited once") != std::string::npos);
}

TEST_CASE("ten million synchronous awaits in a loop do not grow the stack") {
  const int awaits = test::scaled(10'000'000, 2'000'000);
  simulate([&]() -> weir::task<> {
    long sum = 0;
    for (int i = 0; i < awaits; ++i) sum += co_await one();
    CHECK(sum == awaits);
  });
}

TEST_CASE("ten million leaves that are always ready do not grow the stack") {
  const int awaits = test::scaled(10'000'000, 1'000'000);
  simulate([&]() -> weir::task<> {
    auto loop = [&]() -> weir::task<> {
      for (int i = 0; i < awaits; ++i) co_await weir::checkpoint();
    };
    co_await weir::when_all(loop(), loop());
    for (int i = 0; i < awaits / 10; ++i) co_await weir::yield();
  });
}

TEST_CASE("100,000 nested tasks: they complete, throw, and are stopped") {
  static constexpr int depth = 100'000;
  simulate([]() -> weir::task<> {
    const long sum = co_await deep(depth);
    CHECK(sum == depth);
    const auto thrown = co_await weir::as_result(deep_throw(depth / 10));
    CHECK(test::unobserved::what(thrown.exception()) == "bottom");
    CHECK(test::counted::alive == 0);
    const auto stopped = co_await weir::as_result(weir::with_timeout(1ms, deep_wait(depth)));
    CHECK(stopped.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("scopes of all kinds nested 10,000 deep are stopped, and fail at the bottom") {
  const int depth = test::scaled(10'000, 3'000);
  simulate([&]() -> weir::task<> {
    const auto stopped = co_await weir::as_result(weir::with_timeout(1ms, deep_mixed(depth)));
    CHECK(stopped.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("when a stopped frame is destroyed its own awaiting tasks are gone, so no destructor runs twice") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto leaf = [&](test::mark) -> weir::task<> { co_await weir::sleep_for(1h); };
    auto middle = [&](test::mark) -> weir::task<> {
      test::mark before(seen, "middle local");
      auto named = leaf(test::mark(seen, "leaf parameter"));
      test::mark after(seen, "middle later local");
      co_await std::move(named);
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, middle(test::mark(seen, "middle parameter"))));
    CHECK(r.error() == std::errc::timed_out);
  });
  CHECK(seen == test::log{"leaf parameter!", "middle later local!", "middle local!", "middle parameter!"});
}

TEST_CASE("a stop never runs catch blocks, at any depth, and never reaches a noexcept boundary") {
  bool caught = false;
  simulate([&]() -> weir::task<> {
    auto one_level = [&](auto self, int depth) -> weir::task<> {
      try {
        if (depth == 0) {
          co_await weir::sleep_for(1h);
        } else {
          co_await self(self, depth - 1);
        }
      } catch (...) {
        caught = true;
      }
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, one_level(one_level, 20)));
    CHECK(r.error() == std::errc::timed_out);
  });
  CHECK(!caught);
}
