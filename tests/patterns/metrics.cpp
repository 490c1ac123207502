#include <weir/patterns/metrics.hpp>

#include <thread>

#include "support.hpp"

using test::simulate;

TEST_CASE("metrics: the text that GET /metrics answers: counter, histogram with its buckets, gauges (S130)") {
  simulate([]() -> weir::task<> {
    weir::metrics all;
    auto& success =
        all.counter("worker_tasks_processed_total", "Tasks done.", {{"task_type", "mail"}, {"status", "success"}});
    auto& failure =
        all.counter("worker_tasks_processed_total", "Tasks done.", {{"task_type", "mail"}, {"status", "failure"}});
    auto& took = all.histogram("worker_task_duration_seconds", "How long.", {{"task_type", "mail"}});
    auto& active = all.gauge("worker_active_count", "At work.");
    weir::channel<int> queue(100);
    all.gauge("worker_queue_depth", "Waiting.", [&] { return static_cast<double>(queue.size()); });
    auto worker = [&]() -> weir::task<> {
      while (auto job = co_await queue.receive()) {
        active.add(1);
        const auto begun = weir::now();
        co_await weir::sleep_for(*job * 1ms);
        took.observe(weir::now() - begun);
        (*job == 300 ? failure : success).add();
        active.add(-1);
      }
    };
    for (const int length : {5, 10, 300, 2000, 20'000}) co_await queue.send(length);
    auto looks = [&]() -> weir::task<> {
      co_await weir::sleep_for(200ms);
      CHECK(all.text().find("worker_active_count 1\n") != std::string::npos);
      CHECK(all.text().find("worker_queue_depth 2\n") != std::string::npos);
      queue.close();
    };
    co_await weir::when_all(worker(), looks());
    CHECK(all.text() == R"(# HELP worker_tasks_processed_total Tasks done.
# TYPE worker_tasks_processed_total counter
worker_tasks_processed_total{task_type="mail",status="success"} 4
worker_tasks_processed_total{task_type="mail",status="failure"} 1
# HELP worker_task_duration_seconds How long.
# TYPE worker_task_duration_seconds histogram
worker_task_duration_seconds_bucket{task_type="mail",le="0.005"} 1
worker_task_duration_seconds_bucket{task_type="mail",le="0.01"} 2
worker_task_duration_seconds_bucket{task_type="mail",le="0.025"} 2
worker_task_duration_seconds_bucket{task_type="mail",le="0.05"} 2
worker_task_duration_seconds_bucket{task_type="mail",le="0.1"} 2
worker_task_duration_seconds_bucket{task_type="mail",le="0.25"} 2
worker_task_duration_seconds_bucket{task_type="mail",le="0.5"} 3
worker_task_duration_seconds_bucket{task_type="mail",le="1"} 3
worker_task_duration_seconds_bucket{task_type="mail",le="2.5"} 4
worker_task_duration_seconds_bucket{task_type="mail",le="5"} 4
worker_task_duration_seconds_bucket{task_type="mail",le="10"} 4
worker_task_duration_seconds_bucket{task_type="mail",le="+Inf"} 5
worker_task_duration_seconds_sum{task_type="mail"} 22.315
worker_task_duration_seconds_count{task_type="mail"} 5
# HELP worker_active_count At work.
# TYPE worker_active_count gauge
worker_active_count 0
# HELP worker_queue_depth Waiting.
# TYPE worker_queue_depth gauge
worker_queue_depth 0
)");
  });
}

TEST_CASE("metrics: the same name and labels are the same object; the second set has buckets of its own (S130)") {
  weir::metrics all;
  auto& one = all.counter("tasks_processed_total", "Tasks.", {{"type", "a"}, {"status", "ok"}});
  one.add(3);
  CHECK(&all.counter("tasks_processed_total", "", {{"type", "a"}, {"status", "ok"}}) == &one);
  CHECK(&all.counter("tasks_processed_total", "", {{"type", "b"}, {"status", "ok"}}) != &one);
  constexpr std::array buckets = {0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0};
  auto& took = all.histogram("task_duration_seconds", "Time.", {{"type", "a"}}, buckets);
  took.observe(45s);
  took.observe(100ms);
  CHECK(took.up_to(0) == 1);
  CHECK(took.up_to(6) == 1);
  CHECK(took.up_to(7) == 2);
  CHECK(took.mean() == doctest::Approx(22.55));
  all.gauge("queue_depth", "Quote \"this\"\n", {{"queue", "a\"b\\c\nd"}}).set(-2);
  CHECK(all.text().find("# HELP queue_depth Quote \"this\"\\n\n") != std::string::npos);
  CHECK(all.text().find("queue_depth{queue=\"a\\\"b\\\\c\\nd\"} -2\n") != std::string::npos);
  CHECK_THROWS_AS(all.gauge("tasks_processed_total", ""), std::invalid_argument);
  CHECK_THROWS_AS(all.counter("9lives", ""), std::invalid_argument);
  CHECK_THROWS_AS(all.counter("ok", "", {{"not ok", ""}}), std::invalid_argument);
  constexpr std::array falling = {1.0, 0.5};
  CHECK_THROWS_AS(all.histogram("falling", "", {}, falling), std::invalid_argument);
}

TEST_CASE("metrics: a summary every 5 s: requests, successes, errors, mean duration, workers, depth (S136)") {
  simulate([]() -> weir::task<> {
    weir::metrics all;
    auto& good = all.counter("requests_total", "", {{"status", "success"}});
    auto& bad = all.counter("requests_total", "", {{"status", "error"}});
    auto& took = all.histogram("request_seconds", "");
    auto& busy = all.gauge("busy_workers", "");
    weir::channel<int> queue(1000);
    for (int i = 0; i < 400; ++i) co_await queue.send(i);
    queue.close();
    test::log lines;
    auto body = [&](weir::task_group& group) -> weir::task<> {
      auto worker = [&]() -> weir::task<> {
        while (auto job = co_await queue.receive()) {
          busy.add(1);
          co_await weir::sleep_for(100ms);
          took.observe(100ms);
          (*job % 10 == 0 ? bad : good).add();
          busy.add(-1);
        }
      };
      for (int i = 0; i < 4; ++i) group.spawn(worker);
      co_await weir::sleep_for(50ms);
      weir::interval every(5s, weir::missed_ticks::burst);
      co_await every.tick();
      for (int i = 0; i < 2; ++i) {
        co_await every.tick();
        const std::uint64_t n = took.count();
        const double mean = took.mean();
        const bool starved = queue.size() == 0 && busy.value() == 0;
        const bool saturated = busy.value() == 4 && queue.size() > 100;
        lines.push_back(std::to_string(n) + " requests, " + std::to_string(100 * good.value() / n) + " % good, " +
                        std::to_string(bad.value()) + " errors, " +
                        std::to_string(static_cast<int>(mean * 1000 + 0.5)) + " ms, " + std::to_string(busy.value()) +
                        " busy, " + std::to_string(queue.size()) + " waiting" + (saturated ? ", saturated" : "") +
                        (starved ? ", starved" : ""));
      }
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(lines == test::log{"200 requests, 90 % good, 20 errors, 100 ms, 4 busy, 196 waiting, saturated",
                             "400 requests, 90 % good, 40 errors, 100 ms, 0 busy, 0 waiting, starved"});
  });
}

TEST_CASE("metrics: counted by several threads at once") {
  weir::metrics all;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      auto& n = all.counter("n", "");
      auto& h = all.histogram("h", "");
      for (int i = 0; i < 10'000; ++i) {
        n.add();
        h.observe(0.5);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(all.counter("n", "").value() == 40'000);
  CHECK(all.histogram("h", "").count() == 40'000);
  CHECK(all.histogram("h", "").sum() == 20'000.0);
}
