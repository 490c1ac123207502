#include <weir/patterns/job_scheduler.hpp>

#include <chrono>

#include "support.hpp"

using test::at;
using test::simulate;
using weir::job_outcome;
using weir::job_overlap;
using weir::missed_runs;
using weir::schedule;
using weir::utc_time;

namespace {

constexpr utc_time start = std::chrono::sys_days(std::chrono::year(2000) / 1 / 1);

void check_accounts(const weir::job_counters& c) {
  CHECK(c.due == c.skipped + c.missed + c.queued + c.succeeded + c.failed + c.stopped + c.running);
}

/// Lets a scheduler run for so long, then stops it and waits for its end.
weir::task<> run_for(weir::job_scheduler& jobs, weir::duration length) {
  auto stops = [&]() -> weir::task<> {
    co_await weir::sleep_for(length);
    jobs.stop();
  };
  co_await weir::when_all(jobs.run(), stops());
}

/// Notes when it is called; takes so long.
auto noting(std::vector<weir::duration>& seen, weir::duration length = 0ms) {
  return [&seen, length]() -> weir::task<> {
    const weir::duration nap = length;
    seen.push_back(weir::now().time_since_epoch());
    co_await weir::sleep_for(nap);
  };
}

using times = std::vector<weir::duration>;

/// A calendar that goes with the virtual time, and can be set.
struct wall_clock {
  weir::duration shift{};
  utc_time operator()() const { return start + weir::now().time_since_epoch() + shift; }
};

}  // namespace

TEST_CASE("job_scheduler: \"0 2 * * *\" without overlap; 3 successes and 3 failures are kept (S162)") {
  test::unobserved errors;
  test::simulate_reporting([]() -> weir::task<> {
    weir::job_scheduler jobs;
    times seen;
    int run = 0;
    // Each third one fails; the one of the fifth night takes 25 hours, so the sixth is left out.
    auto nightly = [&]() -> weir::task<> {
      seen.push_back(weir::now().time_since_epoch());
      const int now = ++run;
      const weir::duration length = now == 5 ? 25h : 1h;
      co_await weir::sleep_for(length);
      if (now % 3 == 0) throw std::runtime_error("night " + std::to_string(now));
    };
    jobs.add("nightly", schedule::cron("0 2 * * *"), nightly);
    CHECK(jobs.next("nightly") == start + 2h);
    co_await run_for(jobs, 20 * 24h);
    CHECK(run == 19);
    CHECK(seen[0] == 2h);
    CHECK(seen[4] == 4 * 24h + 2h);
    CHECK(seen[5] == 6 * 24h + 2h);
    const weir::job_counters c = jobs.counters("nightly").value();
    CHECK(c.due == 20);
    CHECK(c.skipped == 1);
    CHECK(c.failed == 6);
    CHECK(c.succeeded == 13);
    check_accounts(c);
    const std::vector<weir::job_run> kept = jobs.runs("nightly");
    CHECK(kept.size() == 6);
    test::log failures;
    int successes = 0;
    for (const weir::job_run& r : kept) {
      if (r.outcome == job_outcome::failed) {
        failures.push_back(test::unobserved::what(r.error));
      } else {
        ++successes;
      }
      CHECK(r.took == 1h);
      CHECK(r.began == r.due);
    }
    CHECK(successes == 3);
    CHECK(failures == test::log{"night 12", "night 15", "night 18"});
    CHECK(kept.back().due == start + 19 * 24h + 2h);
  });
  CHECK(errors.take().size() == 6);
}

TEST_CASE("job_scheduler: delayed, periodic and cron jobs; a run that overlaps is left out; stop (S170)") {
  simulate([]() -> weir::task<> {
    weir::job_scheduler jobs;
    times once, often, slow, hourly, moment;
    jobs.add("once", schedule::after(90s), noting(once));
    jobs.add("often", schedule::every(20min), noting(often));
    jobs.add("slow", schedule::every(10min, 0s), noting(slow, 15min));
    jobs.add("hourly", schedule::cron("@hourly"), noting(hourly));
    jobs.add("moment", schedule::at(start + 30min), noting(moment));
    co_await run_for(jobs, 2h + 1min);
    CHECK(once == times{90s});
    CHECK(often == times{20min, 40min, 60min, 80min, 100min, 120min});
    CHECK(slow == times{0min, 20min, 40min, 60min, 80min, 100min, 120min});
    CHECK(hourly == times{1h, 2h});
    CHECK(moment == times{30min});
    CHECK(weir::now() == at(2h + 15min));  // the slow one was running: it ends
    check_accounts(jobs.counters("slow").value());
    CHECK(jobs.counters("slow")->skipped == 6);
    CHECK(!jobs.next("once"));
    CHECK(jobs.names() == test::log{"once", "often", "slow", "hourly", "moment"});
  });
}

TEST_CASE("job_scheduler: a job that retries is a job that calls again; its end is one outcome (S170)") {
  simulate([]() -> weir::task<> {
    weir::job_scheduler jobs;
    int calls = 0;
    auto tries = [&]() -> weir::task<> {
      for (int attempt = 1;; ++attempt) {
        ++calls;
        if (attempt == 3) co_return;
        co_await weir::sleep_for(1s);
      }
    };
    jobs.add("tries", schedule::after(1s), tries);
    co_await run_for(jobs, 10s);
    CHECK(calls == 3);
    CHECK(jobs.counters("tries")->succeeded == 1);
  });
}

TEST_CASE("job_scheduler: overlapping runs wait for their turn, or run beside each other") {
  simulate([]() -> weir::task<> {
    weir::job_scheduler jobs;
    times queued, parallel;
    jobs.add("queue", schedule::every(10min, 0s), noting(queued, 25min),
             {.overlap = job_overlap::queue, .most_queued = 2});
    jobs.add("parallel", schedule::every(10min, 0s), noting(parallel, 25min), {.overlap = job_overlap::parallel});
    co_await run_for(jobs, 61min);
    CHECK(queued == times{0min, 25min, 50min});
    CHECK(parallel == times{0min, 10min, 20min, 30min, 40min, 50min, 60min});
    const weir::job_counters q = jobs.counters("queue").value();
    CHECK(q.due == 7);
    CHECK(q.succeeded == 3);
    CHECK(q.skipped == 4);  // one or two found the queue full, the others were queued when it was stopped
    check_accounts(q);
    CHECK(jobs.counters("parallel")->succeeded == 7);
    CHECK(weir::now() == at(85min));
  });
}

TEST_CASE("job_scheduler: what was missed is counted, made up for once, or all run") {
  // As many runs as there are left for each policy after five hours of sleep, seen from the calendar.
  const std::array expected = {times{1h, 7h}, times{1h, 6h + 30min, 7h},
                               times{1h, 6h + 30min, 6h + 30min, 6h + 30min, 6h + 30min, 6h + 30min, 7h}};
  for (const auto policy : {missed_runs::skip, missed_runs::once, missed_runs::all}) {
    simulate([&]() -> weir::task<> {
      wall_clock clock;
      weir::job_scheduler jobs(std::ref(clock));
      times seen;
      auto notes = [&](utc_time) -> weir::task<> {
        seen.push_back(clock() - start);
        co_return;
      };
      jobs.add("hourly", schedule::cron("@hourly"), notes,
               {.overlap = job_overlap::queue, .missed = policy, .most_queued = 100});
      auto jumps = [&]() -> weir::task<> {
        co_await weir::sleep_for(89min + 30s);  // seen half a minute later
        clock.shift = 5h;                       // 01:29 becomes 06:29: two to six were passed over
      };
      co_await weir::when_all(run_for(jobs, 121min), jumps());
      CHECK(seen == expected[static_cast<std::size_t>(policy)]);
      const weir::job_counters c = jobs.counters("hourly").value();
      CHECK(c.due == 7);
      CHECK(c.succeeded == seen.size());
      check_accounts(c);
    });
  }
}

TEST_CASE("job_scheduler: a program that did not run for a while finds what it has missed since") {
  simulate([]() -> weir::task<> {
    weir::job_scheduler jobs;
    std::vector<utc_time> due;
    auto notes = [&](utc_time at_due) -> weir::task<> {
      due.push_back(at_due);
      co_return;
    };
    jobs.add("nightly", schedule::cron("0 2 * * *"), notes, {.missed = missed_runs::once, .since = start - 72h});
    co_await run_for(jobs, 3h);
    CHECK(due == std::vector{start - 22h, start + 2h});  // one for the last three nights, and this one's
    CHECK(jobs.counters("nightly")->missed == 2);
  });
}

TEST_CASE("job_scheduler: a clock that is set back: no moment twice up to three hours, anew beyond; intervals go on") {
  for (const auto back : {weir::duration(2h), weir::duration(48h)}) {
    simulate([&]() -> weir::task<> {
      wall_clock clock;
      weir::job_scheduler jobs(std::ref(clock));
      std::vector<utc_time> due;
      times every;
      auto notes = [&](utc_time at_due) -> weir::task<> {
        due.push_back(at_due);
        co_return;
      };
      jobs.add("hourly", schedule::cron("@hourly"), notes);
      jobs.add("interval", schedule::every(30min), noting(every));
      auto jumps = [&]() -> weir::task<> {
        co_await weir::sleep_for(150min);
        clock.shift = -back;
      };
      co_await weir::when_all(run_for(jobs, 5h + 45min), jumps());
      if (back == 2h) {  // from 02:30 to 00:30, and on to 03:45: one and two were there already
        CHECK(due == std::vector{start + 1h, start + 2h, start + 3h});
      } else {
        CHECK(due == std::vector{start + 1h, start + 2h, start - 45h, start - 44h, start - 43h});
      }
      CHECK(every.size() == 11);
      check_accounts(jobs.counters("hourly").value());
    });
  }
}

TEST_CASE("job_scheduler: jitter puts each run off by less than it says; the seed decides") {
  const auto runs = [](std::uint64_t seed) {
    return simulate(
        []() -> weir::task<times> {
          weir::job_scheduler jobs;
          times seen;
          jobs.add("job", schedule::every(1min), noting(seen), {.jitter = 30s});
          co_await run_for(jobs, 101min);
          co_return std::move(seen);
        },
        seed);
  };
  const times first = runs(1);
  CHECK(first.size() == 100);
  std::size_t early = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    const weir::duration late = first[i] - (static_cast<std::int64_t>(i) + 1) * 1min;
    CHECK(late >= 0s);
    CHECK(late < 30s);
    if (late < 15s) ++early;
  }
  CHECK(early > 30);
  CHECK(early < 70);
  CHECK(first == runs(1));
  CHECK(first != runs(2));
}

TEST_CASE("job_scheduler: jobs come and go and are triggered while it runs; names are unique") {
  test::unobserved errors;
  simulate([]() -> weir::task<> {
    weir::job_scheduler jobs;
    times seen;
    test::log told;
    jobs.observe([&](std::string_view name, const weir::job_run& r) {
      told.push_back(std::string(name) + (r.error ? " failed" : ""));
    });
    auto changes = [&]() -> weir::task<> {
      co_await weir::sleep_for(1min);
      jobs.add("late", schedule::every(1min), noting(seen));
      CHECK_THROWS_AS(jobs.add("late", schedule::after(1s), noting(seen)), std::invalid_argument);
      co_await weir::sleep_for(90s);
      CHECK(jobs.trigger("late"));
      CHECK(!jobs.trigger("never"));
      co_await weir::sleep_for(1s);
      CHECK(jobs.remove("late"));
      CHECK(!jobs.remove("late"));
      CHECK(!jobs.counters("late"));
      CHECK(jobs.runs("late").empty());
      jobs.add("fails", schedule::after(1s), [] { return test::nap(1ms); });
      jobs.remove("fails");
      auto fails = []() -> weir::task<> { co_await test::fail_after(1ms, "broken"); };
      jobs.add("fails", schedule::after(1s), fails);
    };
    co_await weir::when_all(run_for(jobs, 1h), changes());
    CHECK(seen == times{2min, 2min + 30s});
    CHECK(told == test::log{"late", "late", "fails failed"});
    CHECK_THROWS_AS(schedule::every(0s), std::invalid_argument);
  });
  CHECK(errors.take().empty());  // the observer has seen it
}

TEST_CASE("job_scheduler: cancelled, it stops its runs, and each is accounted for; one run() at a time") {
  simulate([]() -> weir::task<> {
    weir::job_scheduler jobs;
    test::log seen;
    auto hangs = [&seen]() -> weir::task<> { co_await test::stuck(seen, "job"); };
    jobs.add("hangs", schedule::every(1s), hangs, {.overlap = job_overlap::parallel});
    auto twice = [&]() -> weir::task<> {
      co_await weir::sleep_for(1ms);
      const auto end = co_await weir::as_result(jobs.run());
      CHECK(test::unobserved::what(end.exception()) == "weir::job_scheduler: run() was called while it runs");
    };
    const auto ended = co_await weir::as_result(weir::with_timeout(3500ms, jobs.run()));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(seen == test::log{"job!", "job!", "job!"});
    const weir::job_counters c = jobs.counters("hangs").value();
    CHECK(c.stopped == 3);
    CHECK(c.running == 0);
    check_accounts(c);
    const auto both = [&]() -> weir::task<> { co_await weir::when_all(run_for(jobs, 10ms), twice()); };
    // It can be run again: its intervals went on meanwhile.
    jobs.remove("hangs");
    co_await both();
  });
}

TEST_CASE("job_scheduler: 300 seeds of jobs that fail, overlap and are stopped: every moment has one fate") {
  test::unobserved errors;
  for (std::uint64_t seed = 1; seed <= static_cast<std::uint64_t>(test::scaled(300, 30)); ++seed) {
    test::simulate_reporting(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          wall_clock clock;
          weir::job_scheduler jobs(std::ref(clock));
          std::uint64_t began = 0, ended = 0;
          auto works = [&]() -> weir::task<> {
            ++began;
            co_await weir::sleep_for(dice.roll(200) * 1s);
            if (dice.roll(4) == 0) throw std::runtime_error("broken");
            ++ended;
          };
          test::log names;
          for (int i = 0; i < 6; ++i) {
            const std::string name = std::to_string(i);
            const auto when =
                dice.roll(2) == 0 ? schedule::every((1 + dice.roll(90)) * 1s) : schedule::cron("* * * * *");
            jobs.add(name, when, works,
                     {.overlap = static_cast<job_overlap>(dice.roll(3)),
                      .missed = static_cast<missed_runs>(dice.roll(3)),
                      .jitter = dice.roll(20) * 1s,
                      .most_queued = dice.roll(4)});
            names.push_back(name);
          }
          auto jumps = [&]() -> weir::task<> {
            for (int i = 0; i < 3; ++i) {
              co_await weir::sleep_for(dice.roll(300) * 1s);
              clock.shift += (static_cast<int>(dice.roll(40)) - 10) * 1min;
            }
          };
          auto body = [&]() -> weir::task<> {
            if (dice.roll(2) == 0) {
              co_await run_for(jobs, 20min);
            } else {
              static_cast<void>(co_await weir::as_result(weir::with_timeout(20min, jobs.run())));
            }
          };
          co_await weir::when_all(body(), jumps());
          std::uint64_t accounted = 0, succeeded = 0;
          for (const std::string& name : names) {
            const weir::job_counters c = jobs.counters(name).value();
            check_accounts(c);
            CHECK(c.running == 0);
            accounted += c.succeeded + c.failed + c.stopped;
            succeeded += c.succeeded;
          }
          CHECK(accounted == began);
          CHECK(succeeded == ended);
        },
        seed);
  }
  errors.take();
}

TEST_CASE("job_scheduler: on two workers, in real time, jobs are added from threads outside") {
  const auto main = []() -> weir::task<> {
    weir::job_scheduler jobs;
    std::atomic<int> ran{0};
    auto adds = [&] {
      for (int i = 0; i < 50; ++i) {
        jobs.add(std::to_string(i), schedule::after(1ms), [&ran]() -> weir::task<> {
          ++ran;
          co_return;
        });
      }
    };
    auto stops = [&]() -> weir::task<> {
      co_await weir::offload(adds);
      while (ran < 50) co_await weir::yield();
      jobs.stop();
    };
    co_await weir::when_all(jobs.run(), stops());
    CHECK(ran == 50);
  };
  weir::run(main(), {.workers = 2});
}
