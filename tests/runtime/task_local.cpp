#include <weir/runtime/task_local.hpp>

#include <thread>

#include "support.hpp"

namespace {

const weir::task_local<std::string> name;
const weir::task_local<int> number;
const weir::task_local<test::counted> held;

std::string here() { return name.get() ? *name.get() : "none"; }

weir::task<std::string> deep(int levels) {
  if (levels == 0) co_return here();
  co_return co_await deep(levels - 1);
}

// What a task sees before and after it was suspended.
weir::task<std::string> twice() {
  std::string first = here();
  co_await weir::yield();
  co_return first + " " + here();
}

}  // namespace

TEST_CASE("a task_local is seen by what runs in its scope, however deep, and by nobody else") {
  auto main = []() -> weir::task<> {
    CHECK(name.get() == nullptr);
    CHECK(co_await name.with("a", deep(5)) == "a");
    CHECK(co_await deep(2) == "none");
    auto inner = []() -> weir::task<> {
      CHECK(co_await twice() == "outer outer");
      CHECK(co_await name.with("inner", twice()) == "inner inner");
      CHECK(co_await number.with(7, twice()) == "outer outer");
      CHECK(here() == "outer");
      CHECK(number.get() == nullptr);
    };
    co_await name.with("outer", inner());
    CHECK(here() == "none");
  };
  weir::run(main(), {.workers = 1});
  CHECK(name.get() == nullptr);
}

TEST_CASE("a task_local goes through timeouts, shielded sections, groups' bodies and generators") {
  auto main = []() -> weir::task<> {
    CHECK(co_await weir::with_timeout(1h, name.with("a", twice())) == "a a");
    CHECK(co_await name.with("b", weir::with_timeout(1h, twice())) == "b b");
    CHECK(co_await name.with("c", weir::shielded(twice())) == "c c");
    CHECK(co_await weir::with_timeout(1h, name.with("d", weir::with_timeout(2h, number.with(1, twice())))) == "d d");
    auto remaining_is_inherited = []() -> weir::task<> {
      CHECK(weir::remaining() == 1h);
      co_return;
    };
    co_await weir::with_timeout(1h, name.with("e", remaining_is_inherited()));
    auto body = [](weir::task_group&) -> weir::task<std::string> { co_return co_await twice(); };
    CHECK(co_await name.with("f", weir::with_task_group(body)) == "f f");
    auto generates = []() -> weir::async_generator<std::string> {
      for (;;) {
        std::string seen = co_await twice();
        co_yield std::move(seen);
      }
    };
    auto values = generates();
    auto first = co_await name.with("g", values.next());
    CHECK(*first == "g g");
    auto second = co_await values.next();
    CHECK(*second == "none none");
    CHECK(here() == "none");
  };
  test::simulate(main);
}

TEST_CASE("a task_local around a leaf, and as a result") {
  auto main = []() -> weir::task<> {
    co_await name.with("a", weir::sleep_for(1s));
    CHECK(here() == "none");
    auto failing = co_await weir::as_result(name.with("b", test::fail_after(1s, "x")));
    CHECK(!failing.has_value());
    CHECK(here() == "none");
    auto value = co_await weir::as_result(name.with("c", twice()));
    CHECK(*value == "c c");
  };
  test::simulate(main);
}

TEST_CASE("a spawned task sees what its spawner saw, also when the scope there has ended") {
  for (const unsigned workers : {1u, 3u}) {
    auto main = []() -> weir::task<> {
      auto body = [](weir::task_group& g) -> weir::task<> {
        weir::event go;
        std::vector<weir::join_handle<std::string>> children;
        auto child = [&]() -> weir::task<std::string> {
          co_await go.wait();
          co_return co_await twice();
        };
        auto spawns = [&]() -> weir::task<> {
          children.push_back(g.spawn(child));
          children.push_back(weir::spawn(child));
          co_return;
        };
        co_await name.with("spawner's", spawns());
        children.push_back(g.spawn(child));
        go.set();
        CHECK(co_await children[0].join() == "spawner's spawner's");
        CHECK(co_await children[1].join() == "spawner's spawner's");
        CHECK(co_await children[2].join() == "group's group's");
      };
      co_await name.with("group's", weir::with_task_group(body));
    };
    weir::run(main(), {.workers = workers});
  }
}

TEST_CASE("the children of when_all and when_any see what their awaiter sees, the first one too") {
  auto main = []() -> weir::task<> {
    auto both = []() -> weir::task<> {
      auto [one, other] = co_await weir::when_all(twice(), name.with("other", twice()));
      CHECK(one == "all all");
      CHECK(other == "other other");
      auto first = co_await weir::when_any(twice(), test::after(1h, std::string("late")));
      CHECK(first.get<0>() == "all all");
      CHECK(here() == "all");
    };
    co_await name.with("all", both());
    CHECK(co_await name.with("direct", weir::when_all(twice(), twice())) ==
          std::tuple(std::string("direct direct"), std::string("direct direct")));
    CHECK(here() == "none");
  };
  test::simulate(main);
}

TEST_CASE("spawned from outside, a task sees no task_local; from a task of another runtime it does") {
  for (const unsigned workers : {1u, 2u}) {
    weir::runtime other{{.workers = workers}};
    CHECK(other.block_on(twice()) == "none none");
    auto main = [&]() -> weir::task<> {
      auto spawns = [&]() -> weir::task<weir::join_handle<std::string>> { co_return other.spawn(twice()); };
      auto handle = co_await name.with("far", spawns());
      while (!handle.done()) co_await weir::yield();
      auto collect = [&]() -> weir::task<std::string> { co_return co_await handle.join(); };
      CHECK(co_await collect() == "far far");
    };
    weir::run(main(), {.workers = 1});
  }
}

TEST_CASE("a function in offload sees no task_local, neither on its thread nor in a simulation") {
  auto main = []() -> weir::task<> {
    auto asks = []() -> weir::task<> {
      auto job = [] { return here(); };
      CHECK(co_await weir::offload(job) == "none");
      CHECK(here() == "a");
    };
    co_await name.with("a", asks());
  };
  weir::run(main(), {.workers = 1});
  test::simulate(main);
}

TEST_CASE("a stop destroys frames that still see their task_locals, and the values with the last of them") {
  test::log seen;
  {
    class says {
     public:
      explicit says(test::log& to) : to_(to) {}
      says(const says&) = delete;
      says& operator=(const says&) = delete;
      ~says() { to_.push_back(here()); }

     private:
      test::log& to_;
    };
    auto main = [&]() -> weir::task<> {
      auto waits = [&]() -> weir::task<> {
        const says last(seen);
        co_await name.with("leaf's", weir::sleep_for(1h));
      };
      auto outer = [&]() -> weir::task<> {
        const says last(seen);
        co_await held.with(test::counted(), name.with("inner", waits()));
      };
      CHECK_THROWS_AS(co_await weir::with_timeout(1s, name.with("outer", outer())), weir::timed_out);
      CHECK(here() == "none");
      CHECK(test::counted::alive == 0);
    };
    test::simulate(main);
  }
  CHECK(seen == test::log{"inner", "outer"});
}

TEST_CASE("a value lives as long as a task sees it, and is never copied") {
  auto main = []() -> weir::task<> {
    const weir::task_local<std::unique_ptr<int>> unique;
    weir::event go;
    auto child = [&]() -> weir::task<int> {
      co_await go.wait();
      co_return **unique.get();
    };
    std::optional<weir::join_handle<int>> late;
    auto spawns = [&]() -> weir::task<> {
      late = weir::spawn(child);
      co_return;
    };
    co_await held.with(test::counted(), unique.with(std::make_unique<int>(42), spawns()));
    CHECK(test::counted::alive == 1);
    go.set();
    CHECK(co_await late->join() == 42);
    CHECK(test::counted::alive == 0);
    {
      auto dropped = held.with(test::counted(), test::nap(1s));  // never awaited
      CHECK(test::counted::alive == 1);
    }
    CHECK(test::counted::alive == 0);
  };
  test::simulate(main);
}

TEST_CASE("stress: tasks on several workers share a value and its scopes come and go") {
  auto main = []() -> weir::task<> {
    auto body = [](weir::task_group& g) -> weir::task<> {
      for (int i = 0; i < test::scaled(2000, 200); ++i) {
        auto spawns = [&g, i]() -> weir::task<> {
          for (int j = 0; j < 4; ++j) {
            auto child = [i]() -> weir::task<> {
              co_await weir::yield();
              CHECK(*number.get() == i);
              co_await held.with(test::counted(), weir::yield());
            };
            g.spawn(child);
          }
          co_await weir::yield();
        };
        co_await held.with(test::counted(), number.with(i, spawns()));
      }
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), {.workers = 3});
  CHECK(test::counted::alive == 0);
}
