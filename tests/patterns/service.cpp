#include <weir/patterns/environment.hpp>
#include <weir/patterns/service.hpp>

#include "support.hpp"

#include <cstdlib>

using test::at;
using test::simulate;
using weir::service_component;
using weir::service_state;

namespace {

/// Starts, is ready, waits for its end, takes `ending` for that; says all of it.
auto part(test::log& seen, std::string name, weir::duration starting = 0ms, weir::duration ending = 0ms) {
  return [&seen, name = std::move(name), starting, ending](service_component& self) -> weir::task<> {
    const std::string called = name;
    const weir::duration last_words = ending;
    test::mark gone(seen, "gone " + called);
    seen.push_back("start " + called);
    co_await weir::sleep_for(starting);
    self.ready();
    co_await self.draining();
    seen.push_back("drain " + called);
    co_await weir::sleep_for(last_words);
  };
}

weir::task<> stop_after(weir::service& app, weir::duration length) {
  co_await weir::sleep_for(length);
  app.stop();
}

/// Runs it to its end, and stops it after so long.
weir::task<weir::service_report> run_for(weir::service& app, weir::duration length) {
  weir::service_report report;
  auto runs = [&]() -> weir::task<> { report = co_await app.run(); };
  co_await weir::when_all(runs(), stop_after(app, length));
  co_return std::move(report);
}

}  // namespace

TEST_CASE("service: started in order, drained in the reverse order, exit code 0 (S127)") {
  simulate([]() -> weir::task<> {
    test::log seen;
    weir::service app;
    app.add("database", part(seen, "database", 20ms, 5ms));
    app.add("workers", part(seen, "workers", 10ms, 5ms));
    app.add("http", part(seen, "http"));
    test::log told;
    app.observe([&](std::string_view line) { told.emplace_back(line); });
    const auto report = co_await run_for(app, 100ms);
    CHECK(seen == test::log{"start database", "start workers", "start http", "drain http", "gone http", "drain workers",
                            "gone workers", "drain database", "gone database"});
    CHECK(told == test::log{"database: ready", "workers: ready", "http: ready", "running", "draining", "http: ended",
                            "workers: ended", "database: ended", "stopped"});
    CHECK(report.exit_code == 0);
    CHECK(report.cancelled.empty());
    CHECK(weir::now() == at(110ms));
    CHECK(app.state() == service_state::stopped);
    const auto again = co_await weir::as_result(app.run());
    CHECK(!again);
    CHECK_THROWS_AS(app.add("late", part(seen, "late")), std::logic_error);
  });
}

TEST_CASE("service: not ready from the first moment of draining, alive to the end (S128, S129, S135, P66, D37)") {
  simulate([]() -> weir::task<> {
    weir::service app({.drain_delay = 5s});
    bool connected = true;
    auto http = [&](service_component& self) -> weir::task<> {
      co_await weir::sleep_for(1s);
      self.ready();
      // Readiness follows the connection behind it.
      co_await weir::sleep_for(1s);
      connected = false;
      self.not_ready();
      co_await weir::sleep_for(1s);
      connected = true;
      self.ready();
      co_await self.draining();
      co_await weir::sleep_for(2s);
    };
    app.add("http", http);
    CHECK(app.is_live());
    CHECK(!app.is_ready());
    // What GET /health and GET /ready would answer, each half second.
    test::log answers;
    auto probes = [&]() -> weir::task<> {
      co_await weir::sleep_for(250ms);
      for (int i = 0; i < 24; ++i) {
        const char* const health = app.is_live() ? "200" : "503";
        const char* const ready = app.is_ready() ? "200" : "503";
        answers.push_back(std::string(health) + "/" + ready);
        co_await weir::sleep_for(500ms);
      }
    };
    auto runs = [&]() -> weir::task<> {
      const auto report = co_await run_for(app, 5s);
      CHECK(report.exit_code == 0);
      CHECK(weir::now() == at(12s));
    };
    co_await weir::when_all(runs(), probes());
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const bool ready = (i >= 2 && i < 4) || (i >= 6 && i < 10);  // from 1 s to 2 s and from 3 s to 5 s
      CAPTURE(i);
      CHECK(answers[i] == (ready ? "200/200" : "200/503"));
    }
  });
}

TEST_CASE("service: a component that says that it is broken makes the process not alive (S128)") {
  simulate([]() -> weir::task<> {
    weir::service app;
    auto broken = [](service_component& self) -> weir::task<> {
      self.ready();
      co_await weir::sleep_for(1s);
      self.set_healthy(false);
      co_await self.draining();
    };
    app.add("broken", broken);
    auto looks = [&]() -> weir::task<> {
      co_await weir::sleep_for(500ms);
      CHECK(app.is_live());
      co_await weir::sleep_for(1s);
      CHECK(!app.is_live());
    };
    co_await weir::when_all(run_for(app, 2s), looks());
  });
}

TEST_CASE("service: running work is drained; after the limit it is cancelled and named, exit code 1 (S127, D36)") {
  for (const auto work : {weir::duration(20s), weir::duration(90s)}) {
    simulate([&]() -> weir::task<> {
      test::log seen;
      weir::service app;  // 30 s for the whole
      int done = 0;
      auto workers = [&](service_component& self) -> weir::task<> {
        weir::channel<int> jobs(100);
        for (int i = 0; i < 10; ++i) jobs.try_send(i);
        self.ready();
        auto body = [&](weir::task_group& group) -> weir::task<> {
          auto works = [&]() -> weir::task<> {
            while (auto job = co_await jobs.receive()) {
              co_await weir::sleep_for(work);
              ++done;
            }
          };
          for (int i = 0; i < 10; ++i) group.spawn(works);
          co_await self.draining();
          jobs.close();  // takes no more
          co_await group.join();
        };
        co_await weir::with_task_group(body);
      };
      app.add("database", part(seen, "database"));
      app.add("workers", workers);
      test::log told;
      app.observe([&](std::string_view line) { told.emplace_back(line); });
      test::log running;
      auto looks = [&]() -> weir::task<> {
        co_await weir::sleep_for(10s);
        running = app.running();
      };
      weir::service_report report;
      auto runs = [&]() -> weir::task<> { report = co_await run_for(app, 1s); };
      co_await weir::when_all(runs(), looks());
      CHECK(running == test::log{"database", "workers"});
      if (work == 20s) {
        CHECK(done == 10);
        CHECK(report.exit_code == 0);
        CHECK(weir::now() == at(20s));
      } else {
        CHECK(done == 0);
        CHECK(report.exit_code == 1);
        CHECK(report.cancelled == test::log{"workers", "database"});  // no time was left for that one
        CHECK(report.stuck.empty());
        CHECK(std::find(told.begin(), told.end(), "workers: cancelled, after 30 s") != told.end());
        CHECK(weir::now() == at(31s));
      }
    });
  }
}

TEST_CASE("service: each component has a limit of its own; one that does not stop when cancelled is named as stuck") {
  simulate([]() -> weir::task<> {
    test::log seen;
    weir::service app({.cancel_limit = 2s});
    app.add("first", part(seen, "first"));
    app.add("slow", part(seen, "slow", 0ms, 1h), {.drain_limit = 3s});
    auto stubborn = [](service_component& self) -> weir::task<> {
      self.ready();
      co_await weir::shielded(weir::sleep_for(1min));
    };
    app.add("stubborn", stubborn, {.drain_limit = 4s});
    const auto report = co_await run_for(app, 1s);
    CHECK(report.exit_code == 1);
    CHECK(report.cancelled == test::log{"stubborn", "slow"});
    CHECK(report.stuck == test::log{"stubborn"});
    CHECK(seen == test::log{"start first", "start slow", "drain slow", "gone slow!", "drain first", "gone first"});
    CHECK(weir::now() == at(1min));  // it is waited for
  });
}

TEST_CASE("service: a component that cannot start ends those that have, and that is the exit code") {
  simulate([]() -> weir::task<> {
    test::log seen;
    weir::service app;
    app.add("database", part(seen, "database"));
    auto fails = [](service_component&) -> weir::task<> { co_await test::fail_after(1s, "connection refused"); };
    app.add("queue", fails);
    app.add("http", part(seen, "http"));
    const auto report = co_await app.run();
    CHECK(report.exit_code == 1);
    CHECK(report.failed == "queue");
    CHECK(test::unobserved::what(report.failure) == "connection refused");
    CHECK(seen == test::log{"start database", "drain database", "gone database"});
  });
  simulate([]() -> weir::task<> {
    test::log seen;
    weir::service app;
    app.add("never", part(seen, "never", 1h), {.start_limit = 10s, .drain_limit = 1s});
    const auto report = co_await app.run();
    CHECK(report.exit_code == 1);
    CHECK(test::unobserved::what(report.failure) == "weir::service: never: not ready after 10 s");
    CHECK(weir::now() == at(11s));
  });
}

TEST_CASE("service: a component that fails later ends the service; one that returns was a step of the start") {
  test::unobserved errors;
  test::simulate_reporting([]() -> weir::task<> {
    test::log seen;
    weir::service app;
    app.add("migrate", [](service_component&) { return test::nap(1s); });
    app.add("database", part(seen, "database"));
    auto fails = [](service_component& self) -> weir::task<> {
      self.ready();
      co_await test::fail_after(5s, "broken");
    };
    app.add("fails", fails);
    auto fails_at_the_end = [](service_component& self) -> weir::task<> {
      self.ready();
      co_await self.draining();
      throw std::runtime_error("second");
    };
    app.add("later", fails_at_the_end);
    const auto report = co_await app.run();
    CHECK(report.exit_code == 1);
    CHECK(report.failed == "fails");
    CHECK(test::unobserved::what(report.failure) == "broken");
    CHECK(seen.back() == "gone database");
    CHECK(weir::now() == at(6s));
  });
  CHECK(errors.take() == test::log{"second"});
  simulate([]() -> weir::task<> {
    weir::service app;
    app.add("one", [](service_component&) { return test::nap(1s); });
    const auto report = co_await app.run();  // nothing is left to run
    CHECK(report.exit_code == 0);
    weir::service empty;
    const auto nothing = co_await empty.run();
    CHECK(nothing.exit_code == 0);
  });
}

TEST_CASE("service: a signal's token begins the end; two functions make a component (S127)") {
  simulate([]() -> weir::task<> {
    test::log seen;
    weir::cancellation_source terminate;
    weir::service app;
    auto says = [&seen](const char* word) {
      return [&seen, word]() -> weir::task<> {
        seen.emplace_back(word);
        co_return;
      };
    };
    app.add("cache", says("warm up"), says("write back"));
    auto listener = [&](service_component& self) -> weir::task<> {
      weir::channel<int> connections(1);
      self.ready();
      for (;;) {
        const auto next = co_await weir::as_result(weir::with_cancellation(self.drain_token(), connections.receive()));
        if (!next) break;
      }
      CHECK(self.is_draining());
      seen.emplace_back("closed");
    };
    app.add("listener", listener);
    auto sends = [&]() -> weir::task<> {
      co_await weir::sleep_for(1s);
      terminate.request_cancellation();
    };
    co_await weir::when_all(app.run(terminate.token()), sends());
    CHECK(seen == test::log{"warm up", "closed", "write back"});
    CHECK(weir::now() == at(1s));
  });
}

TEST_CASE("service: under until_signal(), as a server's main has it (S127)") {
  weir::simulation world{{.seed = 3}};
  weir::service app;
  test::log seen;
  app.add("http", part(seen, "http", 0ms, 1s));
  int exit_code = -1;
  auto main = [&]() -> weir::task<> {
    auto serve = [&](weir::cancellation_token stopping) -> weir::task<> {
      const auto report = co_await app.run(stopping);
      exit_code = report.exit_code;
    };
    auto terminates = [&]() -> weir::task<> {
      co_await weir::sleep_for(1s);
      world.raise(SIGTERM);
    };
    co_await weir::when_all(weir::until_signal(serve), terminates());
  };
  world.run(main());
  CHECK(exit_code == 0);
  CHECK(seen.back() == "gone http");
}

TEST_CASE("service: cancelled from outside it does not drain, but keeps its order") {
  simulate([]() -> weir::task<> {
    test::log seen;
    weir::service app({.drain_delay = 5s});
    app.add("a", part(seen, "a"));
    app.add("b", part(seen, "b", 0ms, 1h));
    const auto ended = co_await weir::as_result(weir::with_timeout(1s, app.run()));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(weir::now() == at(1s));
    CHECK(seen[seen.size() - 1].starts_with("gone a"));
  });
}

TEST_CASE("service: 300 seeds of components that start, fail, return and end late: none outlives its foundation") {
  test::unobserved errors;
  for (std::uint64_t seed = 1; seed <= static_cast<std::uint64_t>(test::scaled(300, 30)); ++seed) {
    test::simulate_reporting(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          weir::service app(
              {.drain_delay = dice.roll(3) * 10ms, .shutdown_limit = dice.roll(200) * 1ms, .cancel_limit = 1s});
          std::vector<std::size_t> alive;
          bool failed = false;
          for (std::size_t i = 0; i < 5; ++i) {
            auto life = [&, i](service_component& self) -> weir::task<> {
              struct living {
                living(std::vector<std::size_t>& all, std::size_t n) : in(all), number(n) { in.push_back(n); }
                ~living() { std::erase(in, number); }
                std::vector<std::size_t>& in;
                std::size_t number;
              } const here(alive, i);
              co_await weir::sleep_for(dice.roll(20) * 1ms);
              const unsigned fate = dice.roll(12);
              if (fate == 0) {
                failed = true;
                throw std::runtime_error("no start");
              }
              self.ready();
              if (fate == 1) co_return;
              if (fate == 2) {
                co_await weir::sleep_for(dice.roll(100) * 1ms);
                failed = true;
                throw std::runtime_error("broken");
              }
              co_await self.draining();
              // Whoever was started later has ended, or ends at the same moment.
              for (const std::size_t other : alive) CHECK(other <= i);
              co_await weir::sleep_for(dice.roll(100) * 1ms);
            };
            app.add(std::to_string(i), life, {.drain_limit = 50ms});
          }
          const auto report = co_await run_for(app, dice.roll(200) * 1ms);
          CHECK(alive.empty());
          CHECK(report.stuck.empty());
          CHECK(report.exit_code == (report.failure || !report.cancelled.empty() ? 1 : 0));
          CHECK((report.failure != nullptr) == failed);
        },
        seed);
  }
  errors.take();
}

TEST_CASE("service: on two workers, with a failure somewhere") {
  for (int round = 0; round < 20; ++round) {
    const auto main = [round]() -> weir::task<> {
      weir::service app;
      for (int i = 0; i < 8; ++i) {
        const bool breaks = i == round % 10;
        auto life = [breaks](service_component& self) -> weir::task<> {
          const bool fails = breaks;
          co_await weir::yield();
          self.ready();
          for (int n = 0; n < 10; ++n) co_await weir::yield();
          if (fails) throw std::runtime_error("broken");
          co_await self.draining();
        };
        app.add(std::to_string(i), life);
      }
      const auto report = co_await run_for(app, 1ms);
      CHECK(report.cancelled.empty());
      CHECK(app.running().empty());
    };
    weir::run(main(), {.workers = 2});
  }
}

// ---- settings

TEST_CASE("env_or: defaults, and a bad number is an error and no zero (S134, D39)") {
  // NOLINTBEGIN(concurrency-mt-unsafe): no other thread is there
  for (const char* name : {"RABBITMQ_URL", "QUEUE_NAME", "WORKER_COUNT", "SHUTDOWN_TIMEOUT_SEC", "HEALTH_PORT"})
    unsetenv(name);
  CHECK(weir::env_or("QUEUE_NAME", "tasks") == "tasks");
  CHECK(weir::env_or("WORKER_COUNT", 10, 1) == 10);
  CHECK(weir::env_or("SHUTDOWN_TIMEOUT_SEC", 30) == 30);
  CHECK(weir::env_or("HEALTH_PORT", std::uint16_t{8080}) == 8080);
  setenv("QUEUE_NAME", "mail", 1);
  setenv("WORKER_COUNT", "4", 1);
  setenv("HEALTH_PORT", "65535", 1);
  CHECK(weir::env_or("QUEUE_NAME", "tasks") == "mail");
  CHECK(weir::env_or("WORKER_COUNT", 10, 1) == 4);
  CHECK(weir::env_or("HEALTH_PORT", std::uint16_t{8080}) == 65535);
  setenv("WORKER_COUNT", "", 1);
  CHECK(weir::env_or("WORKER_COUNT", 10, 1) == 10);
  for (const char* wrong : {"ten", "0", "-1", "4x", " 4", "4.5", "1e3", "99999999999999999999"}) {
    setenv("WORKER_COUNT", wrong, 1);
    CAPTURE(wrong);
    CHECK_THROWS_AS(static_cast<void>(weir::env_or("WORKER_COUNT", 10, 1)), std::invalid_argument);
  }
  setenv("HEALTH_PORT", "65536", 1);
  std::string sentence;
  try {
    static_cast<void>(weir::env_or("HEALTH_PORT", std::uint16_t{8080}));
  } catch (const std::invalid_argument& e) {
    sentence = e.what();
  }
  CHECK(sentence == "weir::env_or: HEALTH_PORT is \"65536\", which is no number from 0 to 65535");
  setenv("VERBOSE", "yes", 1);
  CHECK(weir::env_or("VERBOSE", false));
  setenv("VERBOSE", "0", 1);
  CHECK(!weir::env_or("VERBOSE", true));
  setenv("VERBOSE", "maybe", 1);
  CHECK_THROWS_AS(static_cast<void>(weir::env_or("VERBOSE", true)), std::invalid_argument);
  for (const char* name : {"QUEUE_NAME", "WORKER_COUNT", "HEALTH_PORT", "VERBOSE"}) unsetenv(name);
  // NOLINTEND(concurrency-mt-unsafe)
}
