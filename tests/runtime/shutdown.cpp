#include <thread>

#include "support.hpp"

namespace {

weir::task<> stubborn(std::atomic<bool>& begun, std::atomic<bool>& end) {
  auto holds_on = [&]() -> weir::task<> {
    begun = true;
    while (!end) co_await weir::sleep_for(1ms);
  };
  co_await weir::shielded(holds_on());
}

}  // namespace

TEST_CASE("shutdown waits for tasks that end by themselves, and cancels none of them") {
  for (const unsigned workers : {1u, 3u}) {
    weir::runtime rt{{.workers = workers}};
    std::atomic<int> ended{0};
    auto works = [&]() -> weir::task<> {
      co_await weir::sleep_for(5ms);
      ++ended;
    };
    for (int i = 0; i < 50; ++i) rt.spawn(works);
    const weir::shutdown_report report = rt.shutdown({.drain = 60s});
    CHECK(report.complete);
    CHECK(!report.cancelled);
    CHECK(report.unfinished.empty());
    CHECK(ended == 50);
    CHECK(rt.shutdown().complete);  // again
  }
}

TEST_CASE("shutdown cancels what has not ended in time, and the cause is shutdown") {
  for (const unsigned workers : {1u, 3u}) {
    weir::runtime rt{{.workers = workers}};
    auto handle = rt.spawn(test::nap(1h));
    const weir::shutdown_report report = rt.shutdown({.drain = 1ms, .cancel = 60s});
    CHECK(report.complete);
    CHECK(report.cancelled);
    CHECK(handle.done());
  }
}

TEST_CASE("shutdown names what does not end") {
  for (const unsigned workers : {1u, 2u}) {
    weir::runtime rt{{.workers = workers}};
    std::atomic<bool> begun{false};
    std::atomic<bool> end{false};
    rt.spawn(stubborn(begun, end));
    while (!begun) std::this_thread::yield();
    const weir::shutdown_report report = rt.shutdown({.drain = 1ms, .cancel = 1ms});
    CHECK(!report.complete);
    CHECK(report.cancelled);
    INFO(report.unfinished);
    CHECK(report.unfinished.find("1 task on") != std::string::npos);
    CHECK(report.unfinished.find("waits in a shielded section") != std::string::npos);
    CHECK(report.unfinished.find("stubborn") != std::string::npos);
    CHECK(report.unfinished.find("shutdown.cpp") != std::string::npos);
    end = true;
    CHECK(rt.shutdown({.drain = 60s}).complete);
  }
}

TEST_CASE("after shutdown a runtime takes no more work") {
  weir::runtime rt{{.workers = 1}};
  CHECK(rt.shutdown().complete);
  CHECK_THROWS_WITH_AS(rt.spawn(test::nap(1s)), "weir: spawn after runtime::shutdown(): it takes no more work",
                       std::logic_error);
  CHECK_THROWS_WITH_AS(rt.block_on(test::nap(1s)), "weir: block_on after runtime::shutdown(): it takes no more work",
                       std::logic_error);
}

TEST_CASE("shutdown inside a task is told") {
  weir::runtime rt{{.workers = 1}};
  auto inside = [&]() -> weir::task<> {
    CHECK_THROWS_AS(rt.shutdown(), std::logic_error);
    co_return;
  };
  rt.block_on(inside());
}

namespace {

weir::task<> hop(unsigned hops, unsigned workers, std::atomic<bool>& arrived) {
  if (hops == 0) {
    arrived = true;
  } else {
    weir::spawn_on(hops % workers, hop(hops - 1, workers, arrived));
  }
  co_return;
}

}  // namespace

TEST_CASE("stress: shutdown does not take a chain of tasks for ended that goes from worker to worker") {
  const int rounds = test::scaled(20, 3);
  for (int i = 0; i < rounds; ++i) {
    std::atomic<bool> arrived{false};
    weir::runtime rt({.workers = 3});
    rt.spawn(hop(1000, 3, arrived));
    const weir::shutdown_report report = rt.shutdown({.drain = 60s});
    CHECK(report.complete);
    CHECK(arrived);
  }
}
