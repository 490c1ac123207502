#include <weir/runtime/detail/owned_tasks.hpp>

#include <thread>

#include "support.hpp"

// As a worker pool uses them: it shares its queue with its workers, starts them when the first job comes, and may go
// before them.

namespace {

using weir::detail::owned_tasks;

class small_pool {
 public:
  using job = std::function<weir::task<>()>;

  explicit small_pool(unsigned workers) : workers_(workers) {}
  bool submit(job j) {
    if (!std::exchange(started_, true)) {
      for (unsigned i = 0; i < workers_; ++i) tasks_.spawn(work, shared_);
    }
    return shared_->jobs.try_send(std::move(j));
  }
  weir::task<> shutdown() {
    shared_->jobs.close();
    return tasks_.shutdown();
  }
  [[nodiscard]] std::size_t workers() const { return tasks_.size(); }
  [[nodiscard]] std::size_t failures() const { return tasks_.failures(); }

 private:
  struct state {
    weir::channel<job> jobs{1000};
    test::counted life;
  };
  static weir::task<> work(std::shared_ptr<state> shared) {
    const test::counted here;
    while (auto next = co_await shared->jobs.receive()) {
      const job mine = std::move(*next);
      co_await mine();
    }
  }

  const unsigned workers_;
  bool started_ = false;
  std::shared_ptr<state> shared_ = std::make_shared<state>();
  owned_tasks tasks_;
};

weir::task<> note(std::atomic<int>& done) {
  co_await weir::yield();
  ++done;
}

}  // namespace

TEST_CASE("owned tasks: workers start with the first job, and shutdown() joins them when all jobs are done") {
  for (const unsigned workers : {1u, 3u}) {
    const auto main = []() -> weir::task<> {
      std::atomic<int> done{0};
      small_pool pool(3);
      CHECK(pool.workers() == 0);
      for (int i = 0; i < 100; ++i) CHECK(pool.submit([&done] { return note(done); }));
      CHECK(pool.workers() == 3);
      co_await pool.shutdown();
      CHECK(done == 100);
      CHECK(pool.workers() == 0);
      CHECK(!pool.submit([&done] { return note(done); }));
      co_await pool.shutdown();  // again
    };
    weir::run(main(), {.workers = workers});
    CHECK(test::counted::alive == 0);
  }
}

TEST_CASE("owned tasks: shutdown() without a job, and of what was never used") {
  test::simulate([]() -> weir::task<> {
    small_pool pool(3);
    co_await pool.shutdown();
    CHECK(!pool.submit([]() -> weir::task<> { co_return; }));
    owned_tasks never;
    never.cancel();
    CHECK(!never.spawn([]() -> weir::task<> { co_return; }));
  });
  const owned_tasks outside;
  CHECK(outside.size() == 0);
  CHECK(test::counted::alive == 0);
}

TEST_CASE("owned tasks: destroyed in a task without shutdown(), it cancels them and does not wait") {
  test::log seen;
  test::simulate([&]() -> weir::task<> {
    {
      owned_tasks tasks;
      tasks.spawn([&seen] { return test::stuck(seen, "first"); });
      tasks.spawn([&seen] { return test::stuck(seen, "second"); });
      co_await weir::sleep_for(1ms);
      CHECK(tasks.size() == 2);
    }
    CHECK(seen.empty());  // only told
    co_await weir::sleep_for(1ms);
    CHECK(seen.size() == 2);
    {
      owned_tasks at_once;  // gone before its tasks have begun: they run up to their first leaf
      at_once.spawn([&seen] { return test::stuck(seen, "third"); });
    }
    co_await weir::sleep_for(1ms);
    CHECK(seen.back() == "third!");
  });
  CHECK(seen.size() == 3);
}

TEST_CASE("owned tasks: outside of tasks, from another thread, and after the runtime") {
  for (const unsigned workers : {1u, 3u}) {
    std::unique_ptr<owned_tasks> kept;
    test::log seen;
    std::atomic<int> done{0};
    {
      weir::runtime rt{{.workers = workers}};
      const auto makes = [&]() -> weir::task<> {
        kept = std::make_unique<owned_tasks>();
        kept->spawn([&seen] { return test::stuck(seen, "a"); });
        co_return;
      };
      rt.block_on(makes());
      // From threads outside, several at once.
      std::vector<std::thread> threads;
      for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
          for (int i = 0; i < 50; ++i) {
            if (!kept->spawn([&done] { return note(done); })) FAIL("it was refused");
          }
        });
      }
      for (std::thread& t : threads) t.join();
      while (done != 150) std::this_thread::yield();
      if (workers == 1) kept.reset();  // here, while the runtime runs; otherwise after it
    }
    CHECK(seen == test::log{"a!"});
    if (kept) {
      CHECK(!kept->spawn([&done] { return note(done); }));
      kept.reset();
    }
    CHECK(done == 150);
  }
}

TEST_CASE("owned tasks: what is destroyed while the runtime ends, from inside and from outside") {
  for (int round = 0; round < test::scaled(300, 60); ++round) {
    const unsigned workers = round % 2 == 0 ? 1 : 3;
    auto outside = std::make_unique<owned_tasks>();
    std::atomic<bool> spawned{false};
    std::thread other;
    {
      weir::runtime rt{{.workers = workers}};
      const auto main = [&]() -> weir::task<> {
        outside->spawn([]() -> weir::task<> { co_await weir::sleep_for(1h); });
        // One that dies with a task that the runtime's end stops.
        const auto owns = []() -> weir::task<> {
          owned_tasks inside;
          for (int i = 0; i < 3; ++i) inside.spawn([]() -> weir::task<> { co_await weir::sleep_for(1h); });
          co_await weir::sleep_for(1h);
        };
        weir::spawn(owns);
        for (int i = 0; i < round % 7; ++i) co_await weir::yield();
      };
      rt.block_on(main());
      // A spawn needs the runtime, the destructor does not: that may come when it ends, and after that.
      other = std::thread([&] {
        outside->spawn([]() -> weir::task<> { co_await weir::sleep_for(1h); });
        spawned = true;
        outside.reset();
      });
      while (!spawned) std::this_thread::yield();
      if (round % 3 == 0) other.join();
    }
    if (other.joinable()) other.join();
  }
}

TEST_CASE("owned tasks: a failure ends its task alone; the first is thrown by shutdown(), later ones are reported") {
  test::unobserved errors;
  test::simulate_reporting([]() -> weir::task<> {
    owned_tasks tasks;
    bool done = false;
    tasks.spawn([]() -> weir::task<> { co_await test::fail_after(1ms, "first"); });
    tasks.spawn([]() -> weir::task<> { co_await test::fail_after(2ms, "second"); });
    const auto calls = []() -> weir::task<> { throw std::runtime_error("no coroutine"); };
    tasks.spawn(calls);
    auto goes_on = [&done]() -> weir::task<> {
      co_await weir::sleep_for(5ms);
      done = true;
    };
    tasks.spawn(goes_on);
    const auto r = co_await weir::as_result(tasks.shutdown());
    CHECK(test::unobserved::what(r.exception()) == "no coroutine");
    CHECK(done);
    CHECK(tasks.failures() == 3);
    co_await tasks.shutdown();  // it was thrown once
    // Nobody calls shutdown(): then even the first is reported.
    {
      owned_tasks dropped;
      dropped.spawn([]() -> weir::task<> { co_await test::fail_after(0ms, "dropped"); });
      co_await weir::sleep_for(1ms);
    }
    co_await weir::sleep_for(1ms);
  });
  CHECK(errors.take() == test::log{"first", "second", "dropped"});
}

TEST_CASE("owned tasks: a shutdown() that is cancelled leaves them running, and can be called again") {
  test::simulate([]() -> weir::task<> {
    owned_tasks tasks;
    bool done = false;
    auto works = [&done]() -> weir::task<> {
      co_await weir::sleep_for(10ms);
      done = true;
    };
    tasks.spawn(works);
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, tasks.shutdown()));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(!done);
    CHECK(!tasks.spawn(works));
    co_await tasks.shutdown();
    CHECK(done);
    CHECK(weir::now() == weir::time_point() + 10ms);
  });
}

TEST_CASE("owned tasks have no deadline and no token of the task that starts them") {
  test::simulate([]() -> weir::task<> {
    owned_tasks tasks;
    bool done = false;
    auto starts = [&]() -> weir::task<> {
      auto works = [&done]() -> weir::task<> {
        CHECK(weir::remaining() == weir::duration::max());
        co_await weir::sleep_for(10ms);
        done = true;
      };
      tasks.spawn(works);
      co_await weir::sleep_for(1h);
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, starts()));
    CHECK(r.error() == std::errc::timed_out);
    co_await tasks.shutdown();
    CHECK(done);
  });
}

TEST_CASE("owned tasks: an owner may be moved, and one that is assigned to cancels what it had") {
  test::log seen;
  test::simulate([&]() -> weir::task<> {
    owned_tasks first;
    first.spawn([&seen] { return test::stuck(seen, "first"); });
    owned_tasks second(std::move(first));
    second.spawn([&seen] { return test::stuck(seen, "second"); });
    CHECK(second.size() == 2);
    owned_tasks third;
    third.spawn([&seen] { return test::stuck(seen, "third"); });
    co_await weir::sleep_for(1ms);
    third = std::move(second);
    co_await weir::sleep_for(1ms);
    CHECK(seen == test::log{"third!"});
  });
  CHECK(seen.size() == 3);
}

TEST_CASE("owned tasks that are used first outside of a task say so") {
  const std::string words = test::last_words_of([] {
    owned_tasks tasks;
    tasks.spawn([]() -> weir::task<> { co_return; });
  });
  CHECK(words.find("made outside of a task and used there first") != std::string::npos);
}

TEST_CASE("owned tasks: spawns from everywhere while it is shut down or cancelled: each runs, or was refused") {
  for (int round = 0; round < test::scaled(100, 20); ++round) {
    const auto main = [round]() -> weir::task<> {
      std::atomic<int> begun{0};
      std::atomic<int> accepted{0};
      owned_tasks tasks;
      const auto body = [&](weir::task_group& group) -> weir::task<> {
        for (int t = 0; t < 4; ++t) {
          group.spawn([&]() -> weir::task<> {
            for (int i = 0; i < 50; ++i) {
              const auto child = [&begun]() -> weir::task<> {
                ++begun;
                co_await weir::yield();
              };
              if (tasks.spawn(child)) ++accepted;
              co_await weir::yield();
            }
          });
        }
        for (int i = 0; i < round; ++i) co_await weir::yield();
        if (round % 2 == 0) tasks.cancel();
        co_await tasks.shutdown();
        const int before = accepted;
        CHECK(begun >= before);  // who has just spawned may not have counted yet
        co_await group.join();
        CHECK(begun == accepted);
      };
      co_await weir::with_task_group(body);
    };
    weir::run(main(), {.workers = 3});
  }
}
