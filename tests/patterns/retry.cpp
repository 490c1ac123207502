#include "calls.hpp"

#include <set>

#include <weir/patterns/call_refused.hpp>
#include <weir/patterns/retry.hpp>

using test::elapsed;
using test::simulate;

namespace {

using times = std::vector<weir::duration>;

/// When the attempts of a call came that always fails for the moment.
weir::task<times> attempts_of(weir::retry_options options) {
  times began;
  auto fails = [&]() -> weir::task<> {
    began.push_back(elapsed());
    co_await weir::checkpoint();
    throw test::reset();
  };
  auto ended = co_await weir::as_result(weir::retry(options, fails));
  CHECK(ended.error() == std::errc::connection_reset);
  co_return std::move(began);
}

times pauses_of(const times& began) {
  times pauses;
  for (std::size_t i = 1; i < began.size(); ++i) pauses.push_back(began[i] - began[i - 1]);
  return pauses;
}

times pauses_with(const weir::retry_options& options, std::uint64_t seed) {
  return pauses_of(simulate([&] { return attempts_of(options); }, seed));
}

}  // namespace

TEST_CASE("retry: a call that fails for the moment is repeated until it succeeds, after growing pauses (S120)") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    auto flaky = [&]() -> weir::task<int> {
      co_await weir::sleep_for(1ms);
      if (++calls < 3) throw test::reset();
      co_return calls;
    };
    const int n =
        co_await weir::retry({.attempts = 5, .initial_delay = 100ms, .jitter = weir::retry_jitter::none}, flaky);
    CHECK(n == 3);
    CHECK(elapsed() == 1ms + 100ms + 1ms + 200ms + 1ms);
  });
}

TEST_CASE("retry: delays are initial times multiplier to the attempt, capped (S120)") {
  const weir::retry_options options{
      .attempts = 7, .initial_delay = 100ms, .max_delay = 1s, .multiplier = 2, .jitter = weir::retry_jitter::none};
  CHECK(pauses_with(options, 1) == times{100ms, 200ms, 400ms, 800ms, 1s, 1s});
  CHECK(pauses_with({.attempts = 4, .initial_delay = 3s, .max_delay = 1s, .jitter = weir::retry_jitter::none}, 1) ==
        times{1s, 1s, 1s});
  CHECK(pauses_with({.attempts = 1}, 1).empty());
}

TEST_CASE("retry: jitter of a tenth stays inside the cap, and is there at the cap too (S120, D41, P51)") {
  const weir::retry_options options{
      .attempts = 6, .initial_delay = 200ms, .max_delay = 1s, .jitter = weir::retry_jitter::proportional};
  const times plain{200ms, 400ms, 800ms, 1s, 1s};
  std::set<weir::duration> at_cap;
  bool above = false;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const times pauses = pauses_with(options, seed);
    CHECK(pauses.size() == plain.size());
    for (std::size_t i = 0; i < pauses.size(); ++i) {
      CHECK(pauses[i] >= plain[i] * 9 / 10);
      CHECK(pauses[i] <= std::min<weir::duration>(plain[i] * 11 / 10, 1s));
    }
    above = above || pauses[0] > 210ms;
    at_cap.insert(pauses.back());
  }
  CHECK(above);
  CHECK(at_cap.size() > 290);
}

TEST_CASE("retry: full, equal and decorrelated jitter keep to their ranges, and the seed decides") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    weir::retry_options options{.attempts = 6, .initial_delay = 100ms, .max_delay = 500ms};
    const times plain{100ms, 200ms, 400ms, 500ms, 500ms};
    const times full = pauses_with(options, seed);
    CHECK(full == pauses_with(options, seed));
    CHECK(full != pauses_with(options, seed + 1));
    options.jitter = weir::retry_jitter::equal;
    const times equal = pauses_with(options, seed);
    options.jitter = weir::retry_jitter::decorrelated;
    const times decorrelated = pauses_with(options, seed);
    weir::duration before = 100ms;
    for (std::size_t i = 0; i < plain.size(); ++i) {
      CHECK(full[i] <= plain[i]);
      CHECK(equal[i] >= plain[i] / 2);
      CHECK(equal[i] <= plain[i]);
      CHECK(decorrelated[i] >= 100ms);
      CHECK(decorrelated[i] <= std::min<weir::duration>(3 * before, 500ms));
      before = decorrelated[i];
    }
  }
}

TEST_CASE("retry: those who failed together do not come back together, unless they ask for it (P51)") {
  for (const bool in_step : {false, true}) {
    simulate([in_step]() -> weir::task<> {
      std::multiset<weir::duration> second;
      auto caller = [&]() -> weir::task<> {
        int calls = 0;
        auto call = [&]() -> weir::task<> {
          if (++calls == 1) throw test::reset();
          second.insert(elapsed());
          co_return;
        };
        weir::retry_options options{.initial_delay = 1s};
        if (in_step) options.jitter = weir::retry_jitter::none;
        co_await weir::retry(options, call);
      };
      auto herd = [&](weir::task_group& group) {
        for (int i = 0; i < 1000; ++i) group.spawn(caller);
      };
      co_await test::together(herd);
      std::size_t most_at_once = 0;
      for (const weir::duration when : second) most_at_once = std::max(most_at_once, second.count(when));
      CHECK(second.size() == 1000);
      CHECK((in_step ? most_at_once == 1000 : most_at_once <= 3));
    });
  }
}

TEST_CASE("retry: options without an attempt, or without sense, are refused and nothing is called (D40)") {
  int calls = 0;
  auto call = [&]() -> weir::task<> {
    ++calls;
    co_return;
  };
  CHECK_THROWS_AS(static_cast<void>(weir::retry({.attempts = 0}, call)), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(weir::retry({.initial_delay = -1ns}, call)), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(weir::retry({.max_delay = -1ns}, call)), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(weir::retry({.multiplier = 0.5}, call)), std::invalid_argument);
  CHECK_THROWS_AS(weir::retry_policy({.attempts = 0}), std::invalid_argument);
  CHECK(calls == 0);
}

TEST_CASE("retry: an error that will not pass is thrown at once (S120, P52)") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    auto refused = [&]() -> weir::task<> {
      ++calls;
      throw test::denied();
      co_return;
    };
    auto ended = co_await weir::as_result(weir::retry({.attempts = 5}, refused));
    CHECK(ended.error() == std::errc::permission_denied);
    auto wrong = [&]() -> weir::task<> {
      ++calls;
      throw std::logic_error("wrong");
      co_return;
    };
    ended = co_await weir::as_result(weir::retry({.attempts = 5}, wrong));
    CHECK(test::failed_with<std::logic_error>(ended));
    auto called_off = [&]() -> weir::task<> {
      ++calls;
      throw weir::cancelled();
      co_return;
    };
    ended = co_await weir::as_result(weir::retry({.attempts = 5}, called_off));
    CHECK(ended.is_cancelled());
    CHECK(calls == 3);
    CHECK(elapsed() == 0ns);
  });
}

TEST_CASE("retry: a predicate of one's own decides, by the code or by the exception (P52)") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    auto refused = [&]() -> weir::task<> {
      ++calls;
      throw test::denied();
      co_return;
    };
    auto by_code = [](std::error_code e) { return e == std::errc::permission_denied; };
    auto ended = co_await weir::as_result(weir::retry({.attempts = 4}, by_code, refused));
    CHECK(ended.error() == std::errc::permission_denied);
    CHECK(calls == 4);
    auto odd = [&]() -> weir::task<> {
      if (++calls < 7) throw std::runtime_error("odd");
      co_return;
    };
    auto by_type = [](const std::exception_ptr& e) { return test::holds<std::runtime_error>(e); };
    co_await weir::retry({.attempts = 4}, by_type, odd);
    CHECK(calls == 7);
  });
}

TEST_CASE("retry: the last error is the one that is thrown (S120)") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    auto fails = [&]() -> weir::task<> {
      throw test::reset(("attempt " + std::to_string(++calls)).c_str());
      co_return;
    };
    auto ended = co_await weir::as_result(weir::retry({.attempts = 3}, fails));
    CHECK(test::unobserved::what(ended.exception()).starts_with("attempt 3"));
  });
}

TEST_CASE("retry: does not sleep past the deadline, but fails at once with what went wrong") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    auto fails = [&]() -> weir::task<> {
      ++calls;
      throw test::reset();
      co_return;
    };
    const weir::retry_options options{
        .attempts = 10, .initial_delay = 400ms, .jitter = weir::retry_jitter::none};  // at 0, 400, 1200 ms
    auto ended = co_await weir::as_result(weir::with_timeout(1s, weir::retry(options, fails)));
    CHECK(ended.error() == std::errc::connection_reset);
    CHECK(calls == 2);
    CHECK(elapsed() == 400ms);
  });
}

TEST_CASE("retry: a stop ends the attempt or the pause, and is no error to be retried (S120, P43, D53)") {
  for (const weir::duration when : {weir::duration(5ms), weir::duration(50ms)}) {
    simulate([when]() -> weir::task<> {
      test::log seen;
      auto fails = [&]() -> weir::task<> {
        const test::mark here(seen, "attempt");
        const test::counted alive;
        co_await weir::sleep_for(10ms);
        throw test::reset();
      };
      weir::retry_policy again(
          {.attempts = 100, .initial_delay = 1h, .max_delay = 1h, .jitter = weir::retry_jitter::none});
      auto ended = co_await test::stopped_after(when, again.run(fails));
      CHECK(ended.is_cancelled());
      CHECK(ended.cause() == weir::cancellation_cause::requested);
      CHECK(elapsed() == when);
      CHECK(seen == (when == 5ms ? test::log{"attempt!"} : test::log{"attempt"}));
      CHECK(test::counted::alive == 0);
      CHECK(again.stats().calls == 1);
      CHECK(again.stats().succeeded + again.stats().permanent + again.stats().exhausted == 0);
    });
  }
}

TEST_CASE("retry: a time-out of one attempt is retried; the one around all attempts is not (P48)") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    auto hangs_twice = [&]() -> weir::task<int> {
      const weir::duration length = ++calls < 3 ? 1h : 1ms;
      co_await weir::with_timeout(100ms, weir::sleep_for(length));
      co_return calls;
    };
    const int n = co_await weir::retry({.attempts = 3, .jitter = weir::retry_jitter::none}, hangs_twice);
    CHECK(n == 3);
    calls = -1000;
    auto ended = co_await weir::as_result(weir::with_timeout(150ms, weir::retry({.attempts = 100}, hangs_twice)));
    CHECK(!ended.has_value());
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(calls < -990);
  });
}

TEST_CASE("retry: an error that says when to come back is believed, within the cap") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    weir::duration hint = 3s;
    auto busy = [&]() -> weir::task<> {
      if (++calls == 1) throw weir::call_refused("busy", hint);
      co_return;
    };
    auto any = [](const std::exception_ptr&) { return true; };
    const weir::retry_options options{.initial_delay = 100ms, .max_delay = 5s};
    co_await weir::retry(options, any, busy);
    CHECK(calls == 2);
    CHECK(elapsed() >= 3s);
    CHECK(elapsed() <= 3100ms);
    calls = 0;
    hint = 6s;  // longer than it waits
    const weir::duration before = elapsed();
    auto ended = co_await weir::as_result(weir::retry(options, any, busy));
    CHECK(test::failed_with<weir::call_refused>(ended));
    CHECK(elapsed() == before);
  });
}

TEST_CASE("retry: functions that return a value, an operation, a reference, or what can only be moved") {
  simulate([]() -> weir::task<> {
    const weir::retry_options usual;
    int calls = 0;
    auto plain = [&] {
      if (++calls < 2) throw test::reset();
      return calls;
    };
    const int n = co_await weir::retry(usual, plain);
    CHECK(n == 2);
    weir::channel<int> numbers(1);
    CHECK(numbers.try_send(7));
    auto receives = [&] { return numbers.receive(); };
    const std::optional<int> seven = co_await weir::retry(usual, receives);
    CHECK(seven == 7);
    int place = 0;
    auto refers = [&]() -> weir::task<int&> { co_return place; };
    int& same = co_await weir::retry(usual, refers);
    CHECK(&same == &place);
    auto moves = []() -> weir::task<test::item> { co_return test::item(5); };
    const test::item five = co_await weir::retry(usual, moves);
    CHECK(five.value == 5);
    auto throws_early = [&]() -> weir::task<> {
      auto never_made = [&]() -> weir::task<> { co_return; };
      if (++calls < 5) throw test::reset();
      return never_made();
    };
    co_await weir::retry({.attempts = 4}, throws_early);
    CHECK(calls == 5);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("retry_policy: counts how calls end") {
  simulate([]() -> weir::task<> {
    weir::retry_budget budget({.ratio = 0, .least_per_second = 0, .most = 3});
    weir::retry_policy again(
        {.attempts = 3, .initial_delay = 1s, .jitter = weir::retry_jitter::none, .budget = &budget});
    int left = 1;
    bool passing = true;
    auto call = [&]() -> weir::task<> {
      if (left-- > 0) throw passing ? test::reset() : test::denied();
      co_return;
    };
    co_await again.run(call);  // one retry
    left = 1;
    passing = false;
    auto ended = co_await weir::as_result(again.run(call));
    CHECK(ended.error() == std::errc::permission_denied);
    left = 3;
    passing = true;
    ended = co_await weir::as_result(again.run(call));  // two retries
    CHECK(ended.error() == std::errc::connection_reset);
    left = 3;
    ended = co_await weir::as_result(again.run(call));
    CHECK(ended.error() == std::errc::connection_reset);
    CHECK(left == 2);
    left = 3;
    ended = co_await weir::as_result(weir::with_timeout(500ms, again.run(call)));
    CHECK(ended.error() == std::errc::connection_reset);
    const weir::retry_stats s = again.stats();
    CHECK(s.calls == 5);
    CHECK(s.retries == 3);
    CHECK(s.succeeded == 1);
    CHECK(s.permanent == 1);
    CHECK(s.exhausted == 1);
    CHECK(s.no_budget == 1);
    CHECK(s.too_late == 1);
  });
}

TEST_CASE("retry_budget: all callers together retry no more than a part of their calls") {
  simulate([]() -> weir::task<> {
    weir::retry_budget budget({.ratio = 0.1, .least_per_second = 0, .most = 10});
    int calls = 0;
    auto fails = [&]() -> weir::task<> {
      ++calls;
      throw test::reset();
      co_return;
    };
    auto caller = [&]() -> weir::task<> {
      auto ended =
          co_await weir::as_result(weir::retry({.attempts = 4, .initial_delay = 1ms, .budget = &budget}, fails));
      CHECK(!ended);
    };
    auto all = [&](weir::task_group& group) {
      for (int i = 0; i < 1000; ++i) group.spawn(caller);
    };
    co_await test::together(all);
    CHECK(calls >= 1000 + 100);
    CHECK(calls <= 1000 + 110);
  });
}

TEST_CASE("retry_budget: so many a second however few calls there are, and no more saved than its most") {
  simulate([]() -> weir::task<> {
    weir::retry_budget budget({.ratio = 0.5, .least_per_second = 2, .most = 3});
    CHECK(budget.available() == 3);
    for (int i = 0; i < 3; ++i) CHECK(budget.try_withdraw());
    CHECK(!budget.try_withdraw());
    budget.deposit();
    CHECK(!budget.try_withdraw());
    budget.deposit();
    CHECK(budget.try_withdraw());
    co_await weir::sleep_for(1s);
    CHECK(budget.available() == 2);
    co_await weir::sleep_for(1h);
    CHECK(budget.available() == 3);
  });
  CHECK_THROWS_AS(weir::retry_budget({.ratio = -1}), std::invalid_argument);
  CHECK_THROWS_AS(weir::retry_budget({.least_per_second = -1}), std::invalid_argument);
  CHECK_THROWS_AS(weir::retry_budget({.most = 0}), std::invalid_argument);
}

TEST_CASE("is_transient: what may pass, and what will not") {
  using weir::is_transient;
  for (const std::errc passing : {std::errc::timed_out, std::errc::connection_reset, std::errc::connection_refused,
                                  std::errc::broken_pipe, std::errc::host_unreachable, std::errc::interrupted,
                                  std::errc::resource_unavailable_try_again, std::errc::too_many_files_open}) {
    CHECK(is_transient(std::make_error_code(passing)));
  }
  for (const std::errc lasting : {std::errc::permission_denied, std::errc::no_such_file_or_directory,
                                  std::errc::invalid_argument, std::errc::operation_canceled}) {
    CHECK(!is_transient(std::make_error_code(lasting)));
  }
  CHECK(is_transient(std::error_code(ECONNRESET, std::system_category())));
  CHECK(is_transient(make_error_code(weir::errc::end_of_stream)));
  CHECK(!is_transient(make_error_code(weir::errc::exception)));
  CHECK(!is_transient(std::error_code()));
  CHECK(is_transient(std::make_exception_ptr(weir::timed_out())));
  CHECK(is_transient(std::make_exception_ptr(test::reset())));
  CHECK(!is_transient(std::make_exception_ptr(weir::cancelled())));
  CHECK(!is_transient(std::make_exception_ptr(weir::call_refused("full"))));
  CHECK(!is_transient(std::make_exception_ptr(std::logic_error("x"))));
  CHECK(!is_transient(std::make_exception_ptr(std::runtime_error("x"))));
  CHECK(!is_transient(std::make_exception_ptr(1)));
  CHECK(!is_transient(std::exception_ptr()));
}

TEST_CASE("retry: one policy and one budget serve the tasks of several workers") {
  weir::runtime world({.workers = 2});
  weir::retry_budget budget({.ratio = 1, .most = 1000});
  weir::retry_policy again({.attempts = 3, .initial_delay = 10us, .max_delay = 20us, .budget = &budget});
  std::atomic<int> calls{0};
  auto main = [&]() -> weir::task<> {
    auto caller = [&]() -> weir::task<> {
      int mine = 0;
      auto call = [&]() -> weir::task<> {
        calls.fetch_add(1);
        co_await weir::yield();
        if (++mine < 2) throw test::reset();
      };
      co_await again.run(call);
    };
    auto all = [&](weir::task_group& group) {
      for (int i = 0; i < 200; ++i) group.spawn(caller);
    };
    co_await test::together(all);
  };
  world.block_on(main());
  CHECK(calls == 400);
  CHECK(again.stats().succeeded == 200);
  CHECK(again.stats().retries == 200);
}
