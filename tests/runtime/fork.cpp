#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "../skip.hpp"
#include "support.hpp"

// A forked child has its parent's memory and one of its threads. What it does with a runtime of its parent ends with a
// sentence; a runtime of its own is no matter.

namespace {

constexpr const char* sentence =
    "weir: a forked child has used its parent's runtime, whose threads it does not have: let it make a runtime of its "
    "own, execute a program, or leave with _exit\n";

weir::runtime* inherited = nullptr;
weir::event* event_of_the_parent = nullptr;

/// What a child forked by a thread outside says when it does this.
std::string child_says(void (*body)()) { return test::last_words_of(body); }

}  // namespace

TEST_CASE("fork: a child that uses its parent's runtime from outside is told") {
  for (const unsigned workers : {1u, 2u}) {
    weir::runtime rt({.workers = workers});
    weir::event woken;
    inherited = &rt;
    event_of_the_parent = &woken;
    auto waits = [&]() -> weir::task<> { co_await woken.wait(); };
    auto handle = rt.spawn(waits);
    while (rt.dump_tasks().find("event::wait") == std::string::npos) std::this_thread::yield();
    CHECK(child_says([] { inherited->spawn(test::nap(1s)); }) == sentence);
    CHECK(child_says([] { inherited->spawn_on(0, test::nap(1s)); }) == sentence);
    CHECK(child_says([] { inherited->block_on(test::nap(1s)); }) == sentence);
    CHECK(child_says([] { inherited->shutdown(); }) == sentence);
    CHECK(child_says([] { static_cast<void>(inherited->dump_tasks()); }) == sentence);
    CHECK(child_says([] { event_of_the_parent->set(); }) == sentence);
    // The parent has not noticed.
    woken.set();
    auto joins = [&]() -> weir::task<> { co_await handle.join(); };
    rt.block_on(joins());
  }
}

TEST_CASE("fork: a child forked inside a task is told when it waits or spawns, and runs no other task") {
  for (const unsigned workers : {1u, 2u}) {
    static int kind;
    for (kind = 0; kind < 5; ++kind) {
      CAPTURE(kind);
      static std::atomic<bool> forked;
      forked = false;
      auto main = [&]() -> weir::task<std::string> {
        auto others = []() -> weir::task<> {
          if (forked) {
            static_cast<void>(!::write(STDERR_FILENO, "another task has run\n", 21));
          }
          co_return;
        };
        auto body = [&](weir::task_group& group) -> weir::task<std::string> {
          for (int i = 0; i < 20; ++i) group.spawn(others);
          int ends[2];
          REQUIRE(::pipe(ends) == 0);
          const pid_t child = ::fork();
          if (child == 0) {
            forked = true;
            ::dup2(ends[1], STDERR_FILENO);
            std::signal(SIGABRT, SIG_DFL);
            switch (kind) {
              case 0:
                co_await weir::sleep_for(1us);
                break;
              case 1:
                for (;;) co_await weir::yield();
              case 2:
                weir::spawn(test::nap(1s));
                break;
              case 3:
                co_await weir::offload([] {});
                break;
              default:
                co_await weir::when_any(test::nap(1h), test::nap(2h));
                break;
            }
            ::_exit(0);
          }
          ::close(ends[1]);
          std::string words;
          char buffer[512];
          for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
            words.append(buffer, static_cast<std::size_t>(n));
          }
          ::close(ends[0]);
          int status = 0;
          REQUIRE(::waitpid(child, &status, 0) == child);
          CHECK(WIFSIGNALED(status));
          co_return words;
        };
        co_return co_await weir::with_task_group(body);
      };
      CHECK(weir::run(main(), {.workers = workers}) == sentence);
    }
  }
}

TEST_CASE("fork: a child may make a runtime of its own, leave a scope with its parent's, and exit") {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  return skip("ThreadSanitizer allows no threads in the child of a parent that has several");
#endif
#endif
  weir::runtime rt({.workers = 2});
  const pid_t child = ::fork();
  if (child == 0) {
    const int three = weir::run(test::after(1ms, 3), {.workers = 2});
    auto* copy = &rt;
    copy->~runtime();
    ::_exit(three);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 3);
  CHECK(rt.block_on(test::after(1ms, 5)) == 5);
}

TEST_CASE("fork: a child makes tasks, runtimes and signal sets although its parent's threads were about to") {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  return skip("ThreadSanitizer allows no threads in the child of a parent that has several");
#endif
#endif
  std::atomic<bool> enough{false};
  auto uses_everything = []() -> weir::task<int> {
    const weir::signal_set signals{SIGUSR2};
    co_return co_await test::after(1us, 3);
  };
  auto busy = [&] {
    for (unsigned i = 0; !enough; ++i) {
      const weir::task<int> never_awaited = test::after(1us, 1);
      if (i % 32 == 0) weir::run(uses_everything(), {.workers = 1});
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(busy);
  int children = 0;
  for (; children < 100; ++children) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      ::_exit(weir::run(uses_everything(), {.workers = 1}));
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 3) break;
  }
  enough = true;
  for (std::thread& t : threads) t.join();
  CHECK(children == 100);
}

TEST_CASE("fork: a child forked inside a task may leave") {
  auto main = []() -> weir::task<int> {
    co_await weir::sleep_for(1us);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(7);
    int status = 0;
    const pid_t ended = ::waitpid(child, &status, 0);
    co_await weir::sleep_for(1us);
    co_return ended == child ? WEXITSTATUS(status) : -1;
  };
  CHECK(weir::run(main(), {.workers = 1}) == 7);
}
