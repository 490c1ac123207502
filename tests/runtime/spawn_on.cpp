#include <set>
#include <thread>

#include "support.hpp"

TEST_CASE("spawn_on: a task starts on the worker that was named, while that one and the others are busy") {
  constexpr unsigned workers = 3;
  for (const bool stealing : {true, false}) {
    weir::runtime rt({.workers = workers, .stealing = stealing});
    std::vector<std::thread::id> threads(workers);
    auto who = []() -> weir::task<std::thread::id> { co_return std::this_thread::get_id(); };
    auto main = [&]() -> weir::task<int> {
      for (unsigned w = 0; w < workers; ++w) {
        auto asked = weir::spawn_on(w, who());
        threads[w] = co_await asked.join();
      }
      CHECK(std::set<std::thread::id>(threads.begin(), threads.end()).size() == workers);
      std::atomic<bool> end{false};
      std::atomic<int> wrong{0};
      auto body = [&](weir::task_group& group) -> weir::task<> {
        auto yields = [&]() -> weir::task<> {
          while (!end) co_await weir::yield();
        };
        for (unsigned i = 0; i < 2 * workers; ++i) group.spawn(yields);
        std::vector<weir::join_handle<>> handles;
        auto checks = [&](unsigned index) -> weir::task<> {
          if (std::this_thread::get_id() != threads[index]) ++wrong;
          co_return;
        };
        for (unsigned i = 0; i < 600; ++i) handles.push_back(weir::spawn_on(i % workers, checks, i % workers));
        for (auto& h : handles) co_await h.join();
        end = true;
      };
      co_await weir::with_task_group(body);
      co_return wrong;
    };
    CHECK(rt.block_on(main()) == 0);
  }
}

TEST_CASE("spawn_on: from outside of the runtime too, and with one worker") {
  for (const unsigned workers : {1u, 2u}) {
    weir::runtime rt({.workers = workers});
    auto doubled = [](int x) -> weir::task<int> { co_return 2 * x; };
    auto a = rt.spawn_on(0, test::after(1ms, 5));
    auto b = rt.spawn_on(workers - 1, doubled, 4);
    auto main = [&]() -> weir::task<int> {
      const int five = co_await a.join();
      const int eight = co_await b.join();
      co_return five + eight;
    };
    CHECK(rt.block_on(main()) == 13);
    CHECK_THROWS_AS(rt.spawn_on(workers, test::nap(1s)), std::out_of_range);
    rt.shutdown();
    CHECK_THROWS_WITH_AS(rt.spawn_on(0, test::nap(1s)),
                         "weir: spawn_on after runtime::shutdown(): it takes no more work", std::logic_error);
  }
}

TEST_CASE("spawn_on: a worker that does not exist is told") {
  auto main = []() -> weir::task<> {
    CHECK_THROWS_WITH_AS(weir::spawn_on(1, test::nap(1s)),
                         "weir: spawn_on worker 1: this runtime has 1 worker, counted "
                         "from 0",
                         std::out_of_range);
    auto named = []() -> weir::task<> { co_return; };
    CHECK_THROWS_WITH_AS(weir::spawn_on(7, named), "weir: spawn_on worker 7: this runtime has 1 worker, counted from 0",
                         std::out_of_range);
    co_await weir::yield();
  };
  weir::run(main(), {.workers = 1});
  weir::runtime rt({.workers = 2});
  CHECK_THROWS_WITH_AS(rt.spawn_on(2, test::nap(1s)),
                       "weir: spawn_on worker 2: this runtime has 2 workers, counted "
                       "from 0",
                       std::out_of_range);
}

TEST_CASE("spawn_on: in a simulation it is spawn") {
  const int n = test::simulate([]() -> weir::task<int> {
    auto h = weir::spawn_on(0, test::after(1h, 3));
    const int three = co_await h.join();
    co_return three;
  });
  CHECK(n == 3);
}

TEST_CASE("spawn_on: what was sent and has not begun is cancelled and joined at the end") {
  std::atomic<int> begun{0};
  {
    weir::runtime rt({.workers = 2});
    auto stuck = [&]() -> weir::task<> {
      const test::counted guard;
      ++begun;
      co_await weir::sleep_for(1h);
    };
    for (unsigned i = 0; i < 100; ++i) rt.spawn_on(i % 2, stuck);
  }
  CHECK(begun == 100);
  CHECK(test::counted::alive == 0);
}
