#include <pthread.h>
#include <sched.h>

#include <array>
#include <map>
#include <set>
#include <thread>

#include "../skip.hpp"
#include "support.hpp"

// What runtime_options says of threads: their names, their CPUs, their stacks, and whether tasks move between them.

namespace {

std::string name_of_this_thread() {
  std::array<char, 16> name{};
  pthread_getname_np(pthread_self(), name.data(), name.size());
  return name.data();
}

std::set<int> cpus_of_this_thread() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::set<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.insert(cpu);
  }
  return cpus;
}

std::size_t stack_size_of_this_thread() {
  pthread_attr_t attributes;
  std::size_t size = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstacksize(&attributes, &size);
  pthread_attr_destroy(&attributes);
  return size;
}

/// What `ask` answers on this worker of `rt`.
template <class F>
auto ask_on(weir::runtime& rt, unsigned worker, F ask) {
  using answer = decltype(ask());
  auto asks = [&ask]() -> weir::task<answer> { co_return ask(); };
  auto handle = rt.spawn_on(worker, asks());
  auto joins = [&handle]() -> weir::task<answer> { co_return co_await handle.join(); };
  return rt.block_on(joins());
}

}  // namespace

TEST_CASE("options: the threads of a runtime bear its name, shortened to what Linux has room for") {
  const std::string mine = name_of_this_thread();
  for (const auto& [name, first, second, pool] :
       {std::array<const char*, 4>{nullptr, "weir/0", "weir/1", "weir/offload"},
        std::array<const char*, 4>{"db", "db/0", "db/1", "db/offload"},
        std::array<const char*, 4>{"a name that is too long", "a name that i/0", "a name that i/1",
                                   "a name /offload"}}) {
    weir::runtime rt({.workers = 2, .name = name});
    CHECK(ask_on(rt, 0, name_of_this_thread) == first);
    CHECK(ask_on(rt, 1, name_of_this_thread) == second);
    auto offloads = []() -> weir::task<std::string> { co_return co_await weir::offload(name_of_this_thread); };
    CHECK(rt.block_on(offloads()) == pool);
  }
  // The thread that calls run keeps its own.
  auto asks = []() -> weir::task<std::string> { co_return name_of_this_thread(); };
  CHECK(weir::run(asks(), {.workers = 1, .name = "other"}) == mine);
  CHECK(name_of_this_thread() == mine);
}

TEST_CASE("options: a runtime's name stands before its reports") {
  std::string name = "billing";
  weir::runtime rt({.workers = 1, .name = name.c_str()});
  name = "gone";
  rt.spawn(test::nap(1h));
  ask_on(rt, 0, name_of_this_thread);  // by then it has arrived
  const std::string report = rt.dump_tasks();
  INFO(report);
  CHECK(report.find("billing: 1 task on 1 worker") == 0);
}

TEST_CASE("options: pinned workers stay on one CPU each, offloaded work does not, and the caller is let go again") {
  const std::set<int> mine = cpus_of_this_thread();
  {
    weir::runtime rt({.workers = 3, .pin_workers = true});
    std::map<int, int> workers_on;
    for (unsigned worker = 0; worker < 3; ++worker) {
      const std::set<int> cpus = ask_on(rt, worker, cpus_of_this_thread);
      REQUIRE(cpus.size() == 1);
      CHECK(mine.count(*cpus.begin()) == 1);
      ++workers_on[*cpus.begin()];
    }
    CHECK(workers_on.size() == std::min<std::size_t>(mine.size(), 3));
    auto offloads = []() -> weir::task<std::set<int>> { co_return co_await weir::offload(cpus_of_this_thread); };
    CHECK(rt.block_on(offloads()) == mine);
    CHECK(cpus_of_this_thread() == mine);
  }
  auto asks = []() -> weir::task<std::set<int>> { co_return cpus_of_this_thread(); };
  const std::set<int> inside = weir::run(asks(), {.workers = 1, .pin_workers = true});
  CHECK(inside == std::set<int>{*mine.begin()});
  CHECK(cpus_of_this_thread() == mine);
  CHECK(weir::run(asks(), {.workers = 1}) == mine);
}

TEST_CASE("options: the pool's threads have the stack that was asked for") {
  auto offloads = []() -> weir::task<std::size_t> { co_return co_await weir::offload(stack_size_of_this_thread); };
  CHECK(weir::run(offloads(), {.workers = 1, .offload_stack_size = 1'000'000}) == 1'003'520);  // whole pages
  CHECK(weir::run(offloads(), {.workers = 1}) > 0);
  CHECK_THROWS_WITH_AS(weir::runtime({.workers = 1, .offload_stack_size = 100}),
                       doctest::Contains("offload_stack_size must be 0 or at least"), std::invalid_argument);
}

TEST_CASE("options: without stealing tasks stay on their worker, whoever wakes them") {
  constexpr unsigned workers = 3;
  weir::runtime rt({.workers = workers, .stealing = false});
  std::atomic<int> moved{0};
  std::atomic<int> begun{0};
  weir::channel<int> numbers(4);
  auto stays = [&](unsigned index) -> weir::task<int> {
    const std::thread::id home = std::this_thread::get_id();
    ++begun;
    while (begun < 6) co_await weir::yield();
    int got = 0;
    for (int i = 0; i < 300; ++i) {
      // Woken by tasks of other workers, by timers, by the pool, by children.
      if (index % 2 == 0) {
        co_await numbers.send(i);
      } else if (co_await numbers.receive()) {  // lint: ok (this coroutine has locals)
        ++got;
      }
      if (i % 50 == 0) co_await weir::sleep_for(10us);
      if (i % 100 == 0) co_await weir::offload([] {});
      if (i % 30 == 0) co_await weir::when_all(weir::yield(), weir::sleep_for(1us));
      if (std::this_thread::get_id() != home) ++moved;
    }
    co_return got;
  };
  auto main = [&]() -> weir::task<int> {
    std::vector<weir::join_handle<int>> handles;
    for (unsigned i = 0; i < 6; ++i) handles.push_back(weir::spawn_on(i % workers, stays(i)));
    int got = 0;
    for (weir::join_handle<int>& h : handles) {
      const int n = co_await h.join();
      got += n;
    }
    co_return got;
  };
  CHECK(rt.block_on(main()) == 900);
  CHECK(moved == 0);
}

TEST_CASE("options: without stealing children stay with their parent, and idle workers stay idle") {
  weir::runtime rt({.workers = 2, .stealing = false});
  std::atomic<int> elsewhere{0};
  auto parent = [&]() -> weir::task<> {
    const std::thread::id home = std::this_thread::get_id();
    auto body = [&](weir::task_group& group) -> weir::task<> {
      auto child = [&]() -> weir::task<> {
        if (std::this_thread::get_id() != home) ++elsewhere;
        co_await weir::yield();
        if (std::this_thread::get_id() != home) ++elsewhere;
      };
      for (int i = 0; i < 2'000; ++i) group.spawn(child);
      co_await group.join();
    };
    co_await weir::with_task_group(body);
  };
  auto main = [&]() -> weir::task<> {
    auto handle = weir::spawn_on(1, parent);
    co_await handle.join();
  };
  rt.block_on(main());
  CHECK(elsewhere == 0);
}

TEST_CASE("options: a task without stealing that another thread wakes goes home") {
  weir::runtime rt({.workers = 3, .stealing = false});
  weir::event woken{weir::reset_mode::automatic};
  std::atomic<int> round{0};
  auto main = [&]() -> weir::task<int> {
    const std::thread::id home = std::this_thread::get_id();
    int moved = 0;
    for (int i = 0; i < 500; ++i) {
      ++round;
      co_await woken.wait();
      moved += std::this_thread::get_id() != home;
    }
    co_return moved;
  };
  auto handle = rt.spawn_on(2, main());
  for (int i = 1; i <= 500; ++i) {
    while (round < i) std::this_thread::yield();
    woken.set();
  }
  auto joins = [&]() -> weir::task<int> { co_return co_await handle.join(); };
  CHECK(rt.block_on(joins()) == 0);
}

TEST_CASE("options: too many workers to keep tasks at home are told") {
  CHECK_THROWS_WITH_AS(weir::runtime({.workers = 255, .stealing = false}),
                       "weir: runtime_options::workers must be at most 254 without stealing", std::invalid_argument);
}
