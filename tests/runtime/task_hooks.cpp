#include <weir/runtime/task_hooks.hpp>

#include <map>
#include <thread>

#include "support.hpp"

namespace {

// Notes every event, and on the way whether they come as promised.
class tracer {
 public:
  tracer() {
    hooks.context = this;
    hooks.spawned = [](void* self, const weir::task_event& e) noexcept { static_cast<tracer*>(self)->spawned(e); };
    hooks.resumed = [](void* self, const weir::task_event& e) noexcept { static_cast<tracer*>(self)->resumed(e); };
    hooks.suspended = [](void* self, const weir::task_event& e) noexcept { static_cast<tracer*>(self)->suspended(e); };
    hooks.ended = [](void* self, const weir::task_event& e, weir::task_end how) noexcept {
      static_cast<tracer*>(self)->ended(e, how);
    };
  }

  [[nodiscard]] std::size_t alive() const { return names_.size(); }
  [[nodiscard]] bool right() const { return right_ && running_.empty(); }
  [[nodiscard]] int count(weir::task_end how) const { return ends_[static_cast<std::size_t>(how)]; }

  weir::task_hooks hooks;
  test::log events;  // with the order of spawning as the tasks' names
  std::string resumed_in;
  bool keep_events = true;

 private:
  void spawned(const weir::task_event& e) {
    const std::lock_guard guard(mutex_);
    if (names_.contains(e.task)) right_ = false;
    if (e.spawner && !names_.contains(e.spawner)) right_ = false;
    names_[e.task] = ++last_;
    note(name(e.task) + (e.spawner ? " spawned by " + name(e.spawner) : " spawned"));
  }
  void resumed(const weir::task_event& e) {
    const std::lock_guard guard(mutex_);
    if (!names_.contains(e.task) || !running_.emplace(e.worker, e.task).second) right_ = false;
    if (e.where.line() == 0) right_ = false;
    if (keep_events) resumed_in = e.where.function_name();
    note(name(e.task) + " resumed");
  }
  void suspended(const weir::task_event& e) {
    const std::lock_guard guard(mutex_);
    if (running_[e.worker] != e.task) right_ = false;
    running_.erase(e.worker);
    note(name(e.task) + " suspended");
  }
  void ended(const weir::task_event& e, weir::task_end how) {
    const std::lock_guard guard(mutex_);
    if (running_[e.worker] != e.task) right_ = false;
    running_.erase(e.worker);
    ++ends_[static_cast<std::size_t>(how)];
    constexpr std::array words = {" returned", " threw", " stopped"};
    note(name(e.task) + words[static_cast<std::size_t>(how)]);
    if (names_.erase(e.task) == 0) right_ = false;
  }
  // A task that another worker has resumed and ended before this one could tell that it is suspended has no name left.
  std::string name(const void* task) const {
    const auto found = names_.find(task);
    return found == names_.end() ? "?" : std::to_string(found->second);
  }
  void note(std::string what) {
    if (keep_events) events.push_back(std::move(what));
  }

  std::mutex mutex_;
  std::map<const void*, int> names_;
  std::map<unsigned, const void*> running_;
  std::array<int, 3> ends_{};
  int last_ = 0;
  bool right_ = true;
};

weir::task<> awaited() { co_await weir::yield(); }

}  // namespace

TEST_CASE("hooks tell the life of a task, of what it spawns, and of the task in whose place another one runs") {
  tracer seen;
  auto main = []() -> weir::task<> {
    auto body = [](weir::task_group& g) -> weir::task<> {
      auto child = []() -> weir::task<> { co_return; };
      g.spawn(child);
      co_await awaited();
    };
    co_await weir::with_task_group(body);
    auto one = []() -> weir::task<> { co_return; };
    co_await weir::when_all(one(), awaited());
  };
  weir::run(main(), {.workers = 1, .hooks = &seen.hooks});
  const test::log expected = {"1 spawned",   "1 resumed",  "2 spawned by 1",
                              "1 suspended",  // it yields
                              "2 resumed",   "2 returned", "1 resumed",      "3 spawned by 1", "4 spawned by 1",
                              "1 suspended",
                              "4 resumed",  // at once, in place of 1
                              "4 returned",  "3 resumed",  "3 suspended",    "3 resumed",      "3 returned",
                              "1 resumed",  // at once, in place of 3
                              "1 returned"};
  CHECK(seen.events == expected);
  CHECK(seen.right());
  CHECK(seen.alive() == 0);
}

TEST_CASE("hooks tell how a task ended, and where it goes on") {
  tracer seen;
  auto main = []() -> weir::task<> {
    auto body = [](weir::task_group& g) -> weir::task<> {
      g.spawn(test::nap(1h));
      auto failing = g.spawn(test::fail_after(1us, "x"));
      static_cast<void>(co_await weir::as_result(failing.join()));
      g.cancel();
    };
    static_cast<void>(co_await weir::as_result(weir::with_supervisor(body)));
    co_await test::nap(1us);
    throw std::runtime_error("main");
  };
  CHECK_THROWS_WITH_AS(weir::run(main(), {.workers = 1, .hooks = &seen.hooks}), "main", std::runtime_error);
  CHECK(seen.count(weir::task_end::stopped) == 1);
  CHECK(seen.count(weir::task_end::threw) == 2);  // the main task is one of them
  CHECK(seen.count(weir::task_end::returned) == 0);
  CHECK(seen.right());
  INFO(seen.resumed_in);
  CHECK(seen.resumed_in.find("nap") != std::string::npos);
}

TEST_CASE("hooks see a simulation's tasks, and a timeout and a shielded section as parts of a task") {
  tracer seen;
  weir::runtime world = weir::runtime_access::make({.hooks = &seen.hooks}, {.enabled = true, .seed = 3});
  auto main = []() -> weir::task<> {
    CHECK_THROWS_AS(co_await weir::with_timeout(1s, test::nap(1h)), weir::timed_out);
    co_await weir::shielded(test::nap(1s));
    co_await weir::when_any(test::nap(1s), test::nap(2s));
  };
  world.block_on(main());
  CHECK(seen.right());
  CHECK(seen.alive() == 0);
  CHECK(seen.count(weir::task_end::returned) == 2);
  CHECK(seen.count(weir::task_end::stopped) == 1);
}

TEST_CASE("hooks that are null are not called") {
  weir::task_hooks none;
  weir::run(test::nap(1us), {.workers = 1, .hooks = &none});
}

TEST_CASE("stress: on each worker resumed alternates with suspended or ended, whoever steals") {
  for (const unsigned workers : {1u, 3u}) {
    tracer seen;
    seen.keep_events = false;
    {
      weir::runtime rt{{.workers = workers, .hooks = &seen.hooks}};
      auto comes_and_goes = []() -> weir::task<> {
        for (int round = 0; round < test::scaled(100, 20); ++round) {
          auto body = [](weir::task_group& g) -> weir::task<> {
            for (int i = 0; i < 20; ++i) g.spawn(test::nap(std::chrono::microseconds(i)));
            co_await weir::when_any(weir::yield(), test::nap(1h));
            g.spawn(test::nap(1h));
            co_await weir::yield();
            g.cancel();
          };
          static_cast<void>(co_await weir::as_result(weir::with_task_group(body)));
        }
      };
      std::vector<std::thread> threads;
      for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&] {
          for (int i = 0; i < 5; ++i) rt.block_on(comes_and_goes());
        });
      }
      for (std::thread& thread : threads) thread.join();
    }
    CHECK(seen.right());
    CHECK(seen.alive() == 0);
    CHECK(seen.count(weir::task_end::threw) == 0);
  }
}
