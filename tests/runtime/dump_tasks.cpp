#include <weir/runtime/dump_tasks.hpp>

#include <array>
#include <ctime>
#include <thread>

#include "support.hpp"

using test::simulate;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

weir::task<> waits_at(weir::event& gate) { co_await gate.wait(); }
weir::task<> goes_through(weir::event& gate) { co_await waits_at(gate); }

weir::task<> keeps_ready(const bool& end) {
  while (!end) co_await weir::yield();
}

/// Holds `m` for 2 s, moves the guard, and holds it for as long again.
weir::task<> hold_and_move(weir::mutex& m) {
  auto guard = co_await m.lock();
  co_await weir::sleep_for(2s);
  const weir::mutex_guard elsewhere = std::move(guard);
  co_await weir::sleep_for(2s);
}
weir::task<> want(weir::mutex& m) { const auto guard = co_await m.lock(); }

}  // namespace

TEST_CASE("dump_tasks tells what each task waits for, for how long, where, and where it was spawned") {
  simulate([]() -> weir::task<> {
    weir::event gate;
    std::string text;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(goes_through(gate));
      co_await weir::sleep_for(1500ms);
      g.spawn(test::nap(10s));
      co_await weir::sleep_for(2s);
      text = weir::dump_tasks();
      gate.set();
      g.cancel();
    };
    static_cast<void>(co_await weir::as_result(weir::with_task_group(body)));
    INFO(text);
    CHECK(contains(text, "3 tasks on 1 worker (simulated)"));
    CHECK(contains(text, "waits in event::wait for 3.500 s:"));
    CHECK(contains(text, "waits in sleep for 2.000 s:"));
    CHECK(contains(text, "is running, or waits for its children"));  // this one
    CHECK(contains(text, "waits_at"));
    CHECK(contains(text, "goes_through"));
    CHECK(contains(text, "dump_tasks.cpp"));
    CHECK(contains(text, "spawned at"));
    // Innermost first, and the child below its parent.
    CHECK(text.find("waits_at") < text.find("goes_through"));
    CHECK(contains(text, "\n    task "));
  });
}

TEST_CASE("dump_tasks tells of tasks that are ready to run, and of shielded sections") {
  simulate([]() -> weir::task<> {
    bool end = false;
    std::string text;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(keeps_ready(end));
      auto hidden = []() -> weir::task<> { co_await weir::shielded(weir::sleep_for(1h)); };
      g.spawn(hidden);
      for (int i = 0; i < 20; ++i) co_await weir::yield();
      text = weir::dump_tasks();
      end = true;
    };
    co_await weir::with_task_group(body);
    INFO(text);
    CHECK(contains(text, "is ready to run:"));
    CHECK(contains(text, "keeps_ready"));
    CHECK(contains(text, "waits in a shielded section:"));
  });
}

TEST_CASE("P32: dump_tasks tells which task holds the mutex that another waits for, wherever its guard stands") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    std::string text;
    std::string moved;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(hold_and_move(m));
      co_await weir::sleep_for(1s);
      g.spawn(want(m));
      co_await weir::sleep_for(500ms);
      text = weir::dump_tasks();
      co_await weir::sleep_for(1s);
      moved = weir::dump_tasks();
    };
    co_await weir::with_task_group(body);
    INFO(text);
    const std::size_t holder = text.find("task 2 waits in sleep for 1.500 s:");
    REQUIRE(holder != std::string::npos);
    CHECK(contains(text, "task 3 waits in mutex::lock (held by task 2) for 0.500 s:"));
    // Who moves a guard may move it anywhere.
    CHECK(contains(moved, "task 3 waits in mutex::lock for 1.500 s:"));
  });
}

TEST_CASE("P32: dump_tasks tells which task holds a mutex also when that one waits for its children") {
  simulate([]() -> weir::task<> {
    weir::mutex m;
    std::vector<std::string> texts;
    auto wants = [&]() -> weir::task<> { const auto guard = co_await m.lock(); };
    auto look = [&]() -> weir::task<> {
      co_await weir::sleep_for(1s);
      texts.push_back(weir::dump_tasks());
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto in_a_group = [&]() -> weir::task<> {
        const auto guard = co_await m.lock();
        auto spawns = [&](weir::task_group& inner) -> weir::task<> {
          inner.spawn(wants);
          co_return;
        };
        co_await weir::with_task_group(spawns);
      };
      auto in_when_all = [&]() -> weir::task<> {
        const auto guard = co_await m.lock();
        co_await weir::when_all(wants(), weir::sleep_for(10s));
      };
      auto in_when_any = [&]() -> weir::task<> {
        const auto guard = co_await m.lock();
        co_await weir::when_any(wants(), weir::sleep_for(10s));
      };
      auto held_by_a_stopped_body = [&]() -> weir::task<> {
        auto stops = [&](weir::task_group& inner) -> weir::task<> {
          const auto guard = co_await m.lock();
          auto lingers = []() -> weir::task<> { co_await weir::shielded(weir::sleep_for(10s)); };
          inner.spawn(lingers);
          co_await weir::yield();
          inner.cancel();
          co_await weir::sleep_for(1h);
        };
        static_cast<void>(co_await weir::as_result(weir::with_task_group(stops)));
      };
      auto stopped = g.spawn(in_a_group);
      co_await look();
      stopped.request_cancellation();
      co_await weir::sleep_for(1ms);
      stopped = g.spawn(in_when_all);
      co_await look();
      stopped.request_cancellation();
      co_await weir::sleep_for(1ms);
      stopped = g.spawn(in_when_any);
      co_await look();
      stopped.request_cancellation();
      co_await weir::sleep_for(1ms);
      g.spawn(held_by_a_stopped_body);
      co_await weir::sleep_for(1ms);
      g.spawn(wants);
      co_await look();
    };
    co_await weir::with_task_group(body);
    REQUIRE(texts.size() == 4);
    for (const std::string& text : texts) {
      INFO(text);
      CHECK(contains(text, "task 2 is running, or waits for its children:"));
      CHECK(contains(text, "waits in mutex::lock (held by task 2) for "));
    }
  });
}

TEST_CASE("P32: to name whom thousands of tasks wait for takes dump_tasks no longer than to list them") {
  simulate([]() -> weir::task<> {
    constexpr int waiters = test::scaled(30'000, 3'000);
    weir::mutex m;
    std::string named;
    std::string listed;
    const auto dump = [](std::string& into) {
      const std::clock_t begun = std::clock();  // of CPU: others may be busy, too
      into = weir::dump_tasks();
      return static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(hold_and_move(m));
      co_await weir::sleep_for(500ms);
      for (int i = 0; i < waiters; ++i) g.spawn(want(m));
      co_await weir::sleep_for(500ms);
      const auto to_name = dump(named);
      co_await weir::sleep_for(2s);
      const auto to_list = dump(listed);
      CHECK(to_name < 4 * to_list + 0.2);
      g.cancel();
    };
    static_cast<void>(co_await weir::as_result(weir::with_task_group(body)));
    const std::string held = " (held by task 2)";
    CHECK(!contains(listed, held));
    int found = 0;
    for (std::size_t at = named.find(held); at != std::string::npos; at = named.find(held, at + 1)) ++found;
    CHECK(found == waiters);
  });
}

TEST_CASE("dump_tasks does not take what waits since a worker's first turn to have waited since the machine started") {
  auto main = []() -> weir::task<> {
    std::string text;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(test::nap(1h));
      co_await weir::yield();
      text = weir::dump_tasks();
      g.cancel();
    };
    static_cast<void>(co_await weir::as_result(weir::with_task_group(body)));
    INFO(text);
    const std::size_t age = text.find("waits in sleep for ");
    REQUIRE(age != std::string::npos);
    CHECK(std::stod(text.substr(age + 19)) < 60);
  };
  weir::run(main(), {.workers = 1});
}

TEST_CASE("dump_tasks outside of tasks gives nothing") { CHECK(weir::dump_tasks().empty()); }

TEST_CASE("a shielded section that is entered under a cancelled token, or cancelled inside, does not stop") {
  simulate([]() -> weir::task<> {
    int done = 0;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto careful = [&]() -> weir::task<> {
        co_await weir::shielded(weir::sleep_for(1s));
        ++done;
        co_await weir::shielded(weir::sleep_for(1s));
        ++done;
        co_await weir::sleep_for(1s);
        ++done;
      };
      g.spawn(careful);
      co_await weir::sleep_for(500ms);
      g.cancel();
    };
    static_cast<void>(co_await weir::as_result(weir::with_task_group(body)));
    CHECK(done == 2);
  });
}

TEST_CASE("stress: several threads and tasks look at tasks that come and go") {
  weir::runtime rt{{.workers = 3}};
  std::atomic<bool> end{false};
  auto comes_and_goes = [&]() -> weir::task<> {
    while (!end) {
      auto body = [](weir::task_group& g) -> weir::task<> {
        for (int i = 0; i < 20; ++i) g.spawn(test::nap(std::chrono::microseconds(i * 10)));
        co_await weir::yield();
      };
      co_await weir::with_task_group(body);
    }
  };
  auto looks = [&]() -> weir::task<> {
    while (!end) {
      CHECK(contains(weir::dump_tasks(), "on 3 workers"));
      co_await weir::sleep_for(50us);
    }
  };
  std::vector<weir::join_handle<void>> handles;
  for (int i = 0; i < 4; ++i) handles.push_back(rt.spawn(comes_and_goes));
  for (int i = 0; i < 2; ++i) handles.push_back(rt.spawn(looks));
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < test::scaled(300, 60); ++i) CHECK(contains(rt.dump_tasks(), "task"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  end = true;
  CHECK(rt.shutdown({.drain = 60s}).complete);
}

TEST_CASE("a worker that does not come to the end of a task is named, with where that had awaited last") {
  weir::runtime rt{{.workers = 2}};
  std::atomic<bool> begun{false};
  std::atomic<bool> end{false};
  auto computes = [&]() -> weir::task<> {
    co_await weir::yield();
    begun = true;
    while (!end) std::this_thread::yield();
  };
  auto handle = rt.spawn(computes);
  while (!begun) std::this_thread::yield();
  const std::string text = rt.dump_tasks();
  end = true;
  INFO(text);
  CHECK(contains(text, "a worker has not come to the end of a task within 1000 ms"));
  CHECK(contains(text, "runs a task that awaited last in"));
  CHECK(contains(text, "dump_tasks.cpp"));
  CHECK(rt.shutdown().complete);
}
