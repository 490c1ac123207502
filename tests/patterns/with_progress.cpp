#include "support.hpp"

#include <weir/patterns/with_progress.hpp>

using test::simulate;
using weir::from;
using weir::transform;
using weir::with_progress;

TEST_CASE("with_progress: a line every period, how much waits included, and one at the end (P11)") {
  simulate([]() -> weir::task<> {
    weir::stage_counters parsed{"parse"};
    std::vector<std::pair<int, std::string>> lines;
    auto show = [&](weir::progress p) {
      lines.emplace_back(static_cast<int>(p.elapsed / 1ms), to_string(parsed) + (p.ended ? ", ended" : ""));
    };
    auto work = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(10ms);
      co_return std::move(n);
    };
    auto all =
        from(test::numbers(25)) | transform(work, {.workers = 1, .buffer = 100, .counters = &parsed}) | weir::collect();
    auto made = co_await with_progress(105ms, show, std::move(all));
    CHECK(made == test::up_to(25));
    CHECK(lines == std::vector<std::pair<int, std::string>>{{105, "parse: 11 in, 10 out, 14 queued, 1 busy"},
                                                            {210, "parse: 22 in, 21 out, 3 queued, 1 busy"},
                                                            {250, "parse: 25 in, 25 out, ended"}});
  });
}

TEST_CASE("with_progress: failures, of the work and of the report, and a stop") {
  simulate([]() -> weir::task<> {
    int reports = 0;
    auto count = [&](weir::progress p) {
      ++reports;
      CHECK_FALSE(p.ended);
    };
    auto failed = co_await weir::as_result(with_progress(10ms, count, test::fail_after(35ms, "work")));
    CHECK(test::unobserved::what(failed.exception()) == "work");
    CHECK(reports == 3);
    auto stopped = co_await weir::as_result(weir::with_timeout(25ms, with_progress(10ms, count, test::never())));
    CHECK(stopped.error() == std::errc::timed_out);
    CHECK(reports == 5);
    auto refuses = [](weir::progress) { throw std::runtime_error("report"); };
    auto how = co_await test::how_it_ends(with_progress(10ms, refuses, test::never()));
    CHECK(how == "report");
    CHECK_THROWS_AS(static_cast<void>(with_progress(0ms, count, test::never())), std::invalid_argument);
  });
}

TEST_CASE("to_string of counters leaves out what is 0") {
  weir::stage_counters unnamed;
  CHECK(to_string(unnamed) == "stage: 0 in, 0 out");
}
