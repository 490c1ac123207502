#include <weir/runtime/stall.hpp>

#include <chrono>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "../io/watchdog.hpp"
#include "support.hpp"

namespace {

std::mutex told_mutex;
std::vector<weir::stall> told;
std::string runtime_name;  // of the last one

void on_stall(const weir::stall& found) noexcept {
  const std::lock_guard guard(told_mutex);
  told.push_back(found);
  runtime_name = found.runtime_name;
}

std::size_t times_told() {
  const std::lock_guard guard(told_mutex);
  return told.size();
}

/// Until so much has been told.
void compute_until(std::size_t times) {
  while (times_told() < times) {
  }
}

std::chrono::steady_clock::time_point clock_now() { return std::chrono::steady_clock::now(); }

}  // namespace

TEST_CASE("stall: a task that does not suspend is named with the place where it went on, once for each time") {
  const test::watchdog dog;
  test::watchdog::watch("nobody tells that a task stalls");
  told.clear();
  constexpr weir::duration limit = 5ms;
  unsigned line = 0;
  const auto main = [&]() -> weir::task<> {
    line = __LINE__ + 1;
    co_await weir::yield();
    compute_until(1);
    for (const auto end = clock_now() + 4 * limit; clock_now() < end;) {
    }
    CHECK(times_told() == 1);
    co_await weir::yield();
    compute_until(2);
  };
  {
    weir::runtime rt({.workers = 2, .name = "front", .stall_limit = limit, .on_stall = on_stall});
    rt.block_on(main());
  }
  REQUIRE(told.size() == 2);
  const weir::stall& first = told.front();
  CHECK(std::strstr(first.where.file_name(), "stall.cpp") != nullptr);
  CHECK(first.where.line() == line);
  CHECK(first.length >= limit);
  CHECK(first.worker < 2);
  CHECK(runtime_name == "front");
  CHECK(told.back().where.line() == line + 5);
}

TEST_CASE("stall: one that has awaited nothing yet is named by where it begins") {
  const test::watchdog dog;
  test::watchdog::watch("nobody tells that a task stalls");
  told.clear();
  const unsigned line = __LINE__ + 1;
  const auto main = []() -> weir::task<> {
    compute_until(1);
    co_return;
  };
  weir::run(main(), {.workers = 1, .stall_limit = 5ms, .on_stall = on_stall});
  REQUIRE(told.size() == 1);
  CHECK(told.front().where.line() >= line);
  CHECK(told.front().where.line() <= line + 4);  // compilers differ on where it begins
  CHECK(told.front().worker == 0);
  CHECK(runtime_name.empty());
}

TEST_CASE("stall: tasks that take turns stall nobody, though they go on at the same place again and again") {
  told.clear();
  const auto busy = []() -> weir::task<> {
    for (const auto end = clock_now() + 500ms; clock_now() < end;) co_await weir::yield();
  };
  const auto main = [&]() -> weir::task<> { co_await weir::when_all(busy(), busy()); };
  // Longer than the system keeps a thread from running here, shorter than the whole.
  weir::run(main(), {.workers = 1, .stall_limit = 400ms, .on_stall = on_stall});
  CHECK(told.empty());
}
