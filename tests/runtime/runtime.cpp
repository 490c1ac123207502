#include <csignal>
#include <set>
#include <thread>

#include "support.hpp"

// run, block_on and runtime on real workers.

namespace {

weir::task<int> seven() { co_return 7; }

weir::task<std::thread::id> where() { co_return std::this_thread::get_id(); }

}  // namespace

TEST_CASE("run returns main's value: of any type, from one worker or several") {
  for (unsigned workers : {1u, 2u, 4u}) {
    CHECK(weir::run(seven(), {.workers = workers}) == 7);
    CHECK(*weir::run(test::after(1ms, std::make_unique<int>(3)), {.workers = workers}) == 3);
    weir::run(test::nap(1ms), {.workers = workers});
    int x = 0;
    auto reference = [&]() -> weir::task<int&> { co_return x; };
    CHECK(&weir::block_on(reference(), {.workers = workers}) == &x);
  }
  CHECK(weir::run(seven()) == 7);
}

TEST_CASE("run throws what main throws, and cancelled when main was stopped") {
  for (unsigned workers : {1u, 3u}) {
    CHECK_THROWS_WITH(weir::run(test::fail_after(1ms, "main"), {.workers = workers}), "main");
    weir::runtime rt({.workers = workers});
    CHECK_THROWS_WITH(rt.block_on(test::fail_after(1ms, "main")), "main");
    CHECK(rt.block_on(seven()) == 7);
  }
}

TEST_CASE("with one worker run uses the calling thread") {
  CHECK(weir::run(where(), {.workers = 1}) == std::this_thread::get_id());
  weir::runtime rt({.workers = 1});
  CHECK(rt.block_on(where()) != std::this_thread::get_id());
  CHECK(rt.workers() == 1);
}

TEST_CASE("a task that is empty, and a run inside a task, are told") {
  weir::runtime rt({.workers = 1});
  CHECK_THROWS_AS(rt.block_on(weir::task<>()), std::invalid_argument);
  CHECK_THROWS_AS(weir::run(weir::task<>()), std::invalid_argument);
  auto nested = [&]() -> weir::task<int> {
    int told = 0;
    try {
      weir::run(seven());
    } catch (const std::logic_error& e) {
      told += std::string(e.what()).find("inside a task") != std::string::npos;
    }
    try {
      rt.block_on(seven());
    } catch (const std::logic_error&) {
      ++told;
    }
    // The runtime of this task is as it was.
    co_await weir::sleep_for(1us);
    co_return told;
  };
  CHECK(rt.block_on(nested()) == 2);
  CHECK(weir::run(nested(), {.workers = 1}) == 2);
  CHECK_THROWS_AS(weir::runtime({.workers = 2000}), std::invalid_argument);
}

TEST_CASE("a runtime is told what to use and tells what it uses") {
  weir::runtime rt({.workers = 3});
  CHECK(rt.workers() == 3);
  CHECK((rt.backend() == weir::backend_kind::uring || rt.backend() == weir::backend_kind::epoll));
  CHECK(weir::to_string(rt.backend()) != std::string("?"));
  if (rt.backend() == weir::backend_kind::uring) CHECK(rt.why_not_uring().empty());
  CHECK(rt.deadlock_report().empty());
  const weir::runtime all_cpus;
  CHECK(all_cpus.workers() >= 1);
}

TEST_CASE("spawn from a thread outside into one worker and into several; join inside") {
  for (unsigned workers : {1u, 3u}) {
    weir::runtime rt({.workers = workers});
    auto h = rt.spawn(test::after(1ms, 5));
    auto add = [](int a, int b) -> weir::task<int> { co_return a + b; };
    auto call = rt.spawn(add, 20, 2);
    auto main = [&]() -> weir::task<int> {
      const int five = co_await h.join();
      const int more = co_await call.join();
      co_return five + more;
    };
    CHECK(rt.block_on(main()) == 27);
  }
}

TEST_CASE("the destructor cancels what still runs (cause: shutdown), joins it, and lets cleanups finish") {
  for (unsigned workers : {1u, 3u}) {
    std::atomic<int> cleaned{0};
    std::atomic<int> shut_down{0};
    {
      weir::runtime rt({.workers = workers});
      std::atomic<int> begun{0};
      auto work = [&]() -> weir::task<> {
        const test::counted guard;
        auto cleanup = [&](const weir::cleanup_outcome& outcome) -> weir::task<> {
          co_await weir::sleep_for(1ms);
          if (outcome.is_stopped()) ++cleaned;
        };
        auto note = [&shut_down, token = weir::current_token()] {
          if (token.cause() == weir::cancellation_cause::shutdown) ++shut_down;
        };
        const weir::cancellation_callback callback(weir::current_token(), note);
        ++begun;
        co_await weir::with_cleanup(test::nap(1h), cleanup, 1s);
      };
      for (int i = 0; i < 20; ++i) rt.spawn(work);
      while (begun < 20) std::this_thread::yield();
    }
    CHECK(cleaned == 20);
    CHECK(shut_down == 20);
    CHECK(test::counted::alive == 0);
  }
}

TEST_CASE("a runtime that never ran anything ends, and so does one whose tasks never began") {
  for (unsigned workers : {1u, 4u}) {
    {
      const weir::runtime idle({.workers = workers});
    }
    weir::runtime rt({.workers = workers});
    for (int i = 0; i < 100; ++i) rt.spawn(test::nap(1h));
  }
}

TEST_CASE("several runtimes live side by side; tasks of one join tasks of the other") {
  weir::runtime a({.workers = 1});
  weir::runtime b({.workers = 2});
  weir::runtime c({.workers = 1});
  for (int i = 0; i < test::scaled(300, 60); ++i) {
    auto in_b = b.spawn(test::after(std::chrono::microseconds(i % 50), 1));
    auto in_c = c.spawn(test::after(std::chrono::microseconds(i % 30), 2));
    auto main = [&]() -> weir::task<int> {
      auto both = co_await weir::when_all(in_b.join(), in_c.join());
      auto more = c.spawn(test::after(1us, 3));
      const int three = co_await more.join();
      co_return std::get<0>(both) + std::get<1>(both) + three;
    };
    REQUIRE(a.block_on(main()) == 6);
  }
  // A stop of the one that waits leaves the task in the other runtime alone.
  auto slow = b.spawn(test::after(20ms, 4));
  auto waits = [&]() -> weir::task<bool> {
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, slow.join()));
    co_return r.has_value();
  };
  CHECK(!a.block_on(waits()));
  auto joins = [&]() -> weir::task<int> {
    const int four = co_await slow.join();
    co_return four;
  };
  CHECK(c.block_on(joins()) == 4);
}

TEST_CASE("on_error gets unobserved failures, whoever drops the last handle") {
  test::unobserved errors;
  {
    weir::runtime rt({.workers = 1, .on_error = test::unobserved::hook});
    {
      rt.spawn(test::fail_after(1us, "dropped at once"));
    }
    auto h = rt.spawn(test::fail_after(1us, "dropped by this thread"));
    while (!h.done()) std::this_thread::yield();
    h = weir::join_handle<int>();
  }
  test::log all = errors.take();
  std::sort(all.begin(), all.end());
  CHECK(all == test::log{"dropped at once", "dropped by this thread"});
}

TEST_CASE("work is shared: tasks that compute run on several workers at once") {
  std::mutex lock;
  std::set<std::thread::id> seen;
  std::atomic<int> inside{0};
  auto main = [&]() -> weir::task<> {
    auto body = [&](weir::task_group& g) -> weir::task<> {
      // Each waits for the other, so both must be running.
      auto meets = [&]() -> weir::task<> {
        ++inside;
        while (inside < 2) std::this_thread::yield();
        const std::lock_guard guard(lock);
        seen.insert(std::this_thread::get_id());
        co_return;
      };
      g.spawn(meets);
      g.spawn(meets);
      co_return;
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), {.workers = 2});
  CHECK(seen.size() == 2);
}

TEST_CASE("a worker that is parked wakes for what another thread brings, every time") {
  for (unsigned workers : {1u, 2u}) {
    weir::runtime rt({.workers = workers});
    for (int i = 0; i < test::scaled(3000, 500); ++i) {
      if (rt.block_on(seven()) != 7) FAIL("a wrong value");
    }
  }
}

TEST_CASE("SIGPIPE is ignored unless it was left alone on purpose or has a handler") {
  struct sigaction before{};
  sigaction(SIGPIPE, nullptr, &before);
  const auto action = [] {
    struct sigaction now{};
    sigaction(SIGPIPE, nullptr, &now);
    return now.sa_handler;
  };
  std::signal(SIGPIPE, SIG_DFL);
  weir::run(seven(), {.workers = 1, .keep_sigpipe = true});
  CHECK((action() == SIG_DFL));
  void (*own)(int) = [](int) {};
  std::signal(SIGPIPE, own);
  weir::run(seven(), {.workers = 1});
  CHECK((action() == own));
  std::signal(SIGPIPE, SIG_DFL);
  weir::run(seven(), {.workers = 1});
  CHECK((action() == SIG_IGN));
  sigaction(SIGPIPE, &before, nullptr);
}

TEST_CASE("workers block the signals that belong to the program's own threads") {
  weir::runtime rt({.workers = 1});
  auto blocked = []() -> weir::task<bool> {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    co_return sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGSEGV) == 0;
  };
  CHECK(rt.block_on(blocked()));
}
