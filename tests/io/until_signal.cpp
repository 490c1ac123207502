#include <weir/io/until_signal.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "../runtime/support.hpp"

namespace {

using weir::as_result;
using weir::task;

/// Serves nobody, until it is told.
task<> serve_nobody(weir::cancellation_token stopping) {
  auto told = co_await as_result(weir::with_cancellation(stopping, weir::sleep_until(weir::time_point::max())));
  CHECK(told.is_cancelled());
}

}  // namespace

TEST_CASE("until_signal: a simulated signal asks the server to stop, which has its time to do so") {
  for (const int signal : {SIGINT, SIGTERM}) {
    weir::simulation world;
    weir::signal_report report;
    const auto main = [&]() -> task<> {
      const auto raises = [&]() -> task<> {
        co_await weir::sleep_for(10ms);
        world.raise(signal);
      };
      const auto serve = [](weir::cancellation_token stopping) -> task<> {
        co_await serve_nobody(stopping);
        co_await weir::sleep_for(5s);  // what it has begun
      };
      auto [served, nothing] = co_await weir::when_all(weir::until_signal(serve, {.drain = 10s}), raises());
      report = served;
    };
    world.run(main());
    CHECK(report.signal == signal);
    CHECK(!report.cancelled);
    CHECK(world.now() == weir::time_point() + 10ms + 5s);
    CHECK(world.open_descriptors() == 0);
  }
}

TEST_CASE("until_signal: what has not ended in time is cancelled") {
  weir::simulation world;
  test::log seen;
  const auto main = [&]() -> task<> {
    const auto raises = [&]() -> task<> {
      co_await weir::sleep_for(1s);
      world.raise(SIGTERM);
    };
    const auto serve = [&](weir::cancellation_token stopping) -> task<> {
      CHECK(!stopping.is_cancellation_requested());
      co_await test::stuck(seen, "server");  // it does not listen
    };
    auto [report, nothing] = co_await weir::when_all(weir::until_signal(serve, {.drain = 3s}), raises());
    CHECK(report.signal == SIGTERM);
    CHECK(report.cancelled);
  };
  world.run(main());
  CHECK(seen == test::log{"server!"});
  CHECK(world.now() == weir::time_point() + 4s);
}

TEST_CASE("until_signal: a server that ends by itself, that fails, and that is stopped from outside") {
  weir::simulation world;
  test::log seen;
  const auto main = [&]() -> task<> {
    const auto ends = [](weir::cancellation_token) -> task<> { co_await weir::sleep_for(1ms); };
    const auto report = co_await weir::until_signal(ends);
    CHECK(report.signal == 0);
    CHECK(!report.cancelled);
    const auto fails = [](weir::cancellation_token) -> task<> { co_await test::fail_after(1ms, "no port"); };
    const auto failed = co_await as_result(weir::until_signal(fails));
    CHECK(test::unobserved::what(failed.exception()) == "no port");
    const auto waits = [&](weir::cancellation_token) -> task<> { co_await test::stuck(seen, "server"); };
    const auto stopped = co_await as_result(weir::with_timeout(1ms, weir::until_signal(waits)));
    CHECK(stopped.error() == std::errc::timed_out);
    const weir::until_signal_options no_signal{.signals = {}};
    const auto none = co_await as_result(weir::until_signal(waits, no_signal));
    CHECK(test::unobserved::what(none.exception()).find("without a signal") != std::string::npos);
  };
  world.run(main());
  CHECK(seen == test::log{"server!"});  // without a signal to wait for it does not begin
  CHECK(world.open_descriptors() == 0);
}

// ---- a process and real signals

namespace {

/// Runs `main` in a process of its own, sends it `signal` as soon as it says that it serves, and returns its status.
/// What it writes to stderr comes into `words`.
int status_of(void (*main)(int ready), int signal, std::string* words = nullptr) {
  std::array<int, 2> ready{};
  std::array<int, 2> errors{};
  REQUIRE(::pipe(ready.data()) == 0);
  REQUIRE(::pipe(errors.data()) == 0);
  const pid_t child = test::fork_alone();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (const int ours : {SIGINT, SIGTERM, SIGABRT, SIGSEGV}) std::signal(ours, SIG_DFL);  // and not doctest's
    ::dup2(errors[1], STDERR_FILENO);
    main(ready[1]);
    std::_Exit(99);
  }
  ::close(ready[1]);
  ::close(errors[1]);
  std::array<char, 1> go{};
  CHECK(::read(ready[0], go.data(), 1) == 1);
  ::kill(child, signal);
  std::string said;
  std::array<char, 512> part{};
  for (ssize_t n = 1; n > 0;) {
    n = ::read(errors[0], part.data(), part.size());
    if (n > 0) said.append(part.data(), static_cast<std::size_t>(n));
  }
  if (words) *words = said;
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  ::close(ready[0]);
  ::close(errors[0]);
  return status;
}

void say_ready(int ready) {
  if (::write(ready, "x", 1) != 1) std::_Exit(98);
}

}  // namespace

TEST_CASE("run_until_signal: a process that gets SIGTERM ends orderly") {
  const auto main = [](int ready) {
    bool finished = false;
    bool other_finished = false;
    const auto serve = [&, ready](weir::cancellation_token stopping) -> task<> {
      const auto other = [&]() -> task<> {  // beside it, in the runtime's own group: it has its time, too
        co_await weir::sleep_for(30ms);
        other_finished = true;
      };
      weir::spawn(other);
      co_await weir::yield();
      say_ready(ready);
      const auto told = co_await as_result(weir::with_cancellation(stopping, weir::sleep_for(1h)));
      if (!told.is_cancelled()) std::_Exit(97);
      co_await weir::sleep_for(10ms);
      finished = true;
    };
    const weir::signal_report report = weir::run_until_signal(serve, {}, {.workers = 2});
    if (report.signal == SIGTERM && !report.cancelled && finished && other_finished) std::_Exit(42);
  };
  const int status = status_of(main, SIGTERM);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
}

TEST_CASE("run_until_signal: what does not end in time is cancelled, because of the shutdown") {
  const auto main = [](int ready) {
    auto cause = weir::cancellation_cause::none;
    const auto serve = [&, ready](weir::cancellation_token) -> task<> {
      const weir::cancellation_token mine = weir::current_token();
      const auto note = [&cause, mine](const weir::cleanup_outcome&) -> task<> {
        cause = mine.cause();
        co_return;
      };
      const auto waits = [ready]() -> task<> {
        co_await weir::yield();
        say_ready(ready);
        co_await weir::sleep_for(1h);
      };
      co_await weir::with_cleanup(waits(), note, 1h);
    };
    const weir::signal_report report = weir::run_until_signal(serve, {.drain = 10ms}, {.workers = 1});
    if (report.signal == SIGINT && report.cancelled && cause == weir::cancellation_cause::shutdown) std::_Exit(42);
  };
  const int status = status_of(main, SIGINT);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
}

TEST_CASE("run_until_signal: what does not end at all is named, and the process ends") {
  const auto main = [](int ready) {
    const auto serve = [ready](weir::cancellation_token) -> task<> {
      const auto stubborn = [ready]() -> task<> {
        co_await weir::yield();
        say_ready(ready);
        co_await weir::sleep_for(1h);
      };
      co_await weir::shielded(stubborn());
    };
    weir::run_until_signal(serve, {.drain = 1ms, .cancel = 1ms}, {.workers = 1});
  };
  std::string words;
  const int status = status_of(main, SIGTERM, &words);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == EXIT_FAILURE);
  CHECK(words.find("does not come to its end") != std::string::npos);
  CHECK(words.find("until_signal.cpp") != std::string::npos);
}

TEST_CASE("run_until_signal: a second signal ends the process as if weir were not there") {
  const auto main = [](int ready) {
    const auto serve = [ready](weir::cancellation_token stopping) -> task<> {
      co_await weir::yield();
      say_ready(ready);
      const auto told = co_await as_result(weir::with_cancellation(stopping, weir::sleep_for(1h)));
      if (!told.is_cancelled()) std::_Exit(97);
      ::kill(::getpid(), SIGTERM);
      co_await weir::sleep_for(1h);
    };
    weir::run_until_signal(serve, {.drain = 1h}, {.workers = 1});
  };
  const int status = status_of(main, SIGTERM);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGTERM);
}

TEST_CASE("run_until_signal: without a signal it is as run(); inside of a task it is told") {
  const auto ends = [](weir::cancellation_token) -> task<> {
    weir::spawn([]() -> task<> { co_await weir::sleep_for(1h); });
    co_await weir::yield();
  };
  const weir::signal_report report = weir::run_until_signal(ends, {}, {.workers = 1});
  CHECK(report.signal == 0);
  CHECK(!report.cancelled);
  const auto fails = [](weir::cancellation_token) -> task<> { co_await test::fail_after(1ms, "no port"); };
  CHECK_THROWS_WITH_AS(weir::run_until_signal(fails, {}, {.workers = 1}), "no port", std::runtime_error);
}
