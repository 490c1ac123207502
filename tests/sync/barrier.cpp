#include <weir/sync/barrier.hpp>

#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>

#include "support.hpp"

using test::settle;
using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::barrier> && !std::is_move_constructible_v<weir::barrier>);

TEST_CASE("barrier: nobody goes on before all have arrived, round after round; one of them came last") {
  for (std::uint64_t seed = 1; seed <= test::scaled(500, 50); ++seed) {
    constexpr unsigned parties = 4;
    constexpr unsigned rounds = 5;
    test::dice dice(seed);
    weir::barrier b(parties);
    std::array<unsigned, parties> at{};
    unsigned leaders = 0;
    bool wrong = false;
    auto party = [&](unsigned self) -> weir::task<> {
      for (unsigned round = 0; round < rounds; ++round) {
        for (unsigned n = dice.roll(4); n > 0; --n) co_await weir::yield();
        at[self] = round + 1;
        const bool last = co_await b.arrive_and_wait();
        leaders += last;
        for (const unsigned other : at) wrong = wrong || other < round + 1;
      }
    };
    simulate([&]() -> weir::task<> { co_await weir::when_all(party(0), party(1), party(2), party(3)); }, seed);
    CAPTURE(seed);
    REQUIRE(!wrong);
    REQUIRE(leaders == rounds);
  }
}

TEST_CASE("barrier: of one party never waits") {
  simulate([]() -> weir::task<> {
    weir::barrier b(1);
    const bool last = co_await b.arrive_and_wait();
    CHECK(last);
    CHECK(b.arrive_and_wait_blocking());
  });
}

TEST_CASE("barrier: a stopped arrival is taken back") {
  simulate([]() -> weir::task<> {
    weir::barrier b(2);
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, b.arrive_and_wait()));
    CHECK(r.error() == std::errc::timed_out);
    const auto again = co_await weir::as_result(weir::with_timeout(1ms, b.arrive_and_wait()));
    CHECK(again.error() == std::errc::timed_out);  // alone, it was still not met by its former self
    auto arrives = [&]() -> weir::task<bool> { co_return co_await b.arrive_and_wait(); };
    const auto [first, second] = co_await weir::when_all(arrives(), arrives());
    CHECK(first != second);
  });
}

TEST_CASE("barrier: who drops out is not waited for") {
  simulate([]() -> weir::task<> {
    weir::barrier b(3);
    int through = 0;
    auto arrives = [&]() -> weir::task<> {
      const bool last = co_await b.arrive_and_wait();
      CHECK(!last);
      ++through;
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(arrives);
      g.spawn(arrives);
      co_await settle();
      CHECK(through == 0);
      b.drop();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(through == 2);
    CHECK(b.parties() == 2);
  });
}

TEST_CASE("barrier: tasks of several workers and a plain thread") {
  const int rounds = test::scaled(2000, 200);
  weir::barrier b(4);
  std::atomic<long> sum{0};
  std::atomic<int> leaders{0};
  std::atomic<bool> wrong{false};
  auto party = [&]() -> weir::task<> {
    for (int round = 1; round <= rounds; ++round) {
      ++sum;
      const bool last = co_await b.arrive_and_wait();
      if (sum < 4L * round) wrong = true;
      leaders += last;
    }
  };
  std::thread thread([&] {
    for (int round = 1; round <= rounds; ++round) {
      ++sum;
      leaders += b.arrive_and_wait_blocking();
      if (sum < 4L * round) wrong = true;
    }
  });
  auto main = [&]() -> weir::task<> { co_await weir::when_all(party(), party(), party()); };
  weir::run(main(), {.workers = 2});
  thread.join();
  CHECK(!wrong);
  CHECK(sum == 4L * rounds);
  CHECK(leaders == rounds);
}

TEST_CASE("barrier: arrive_and_wait_blocking on a worker throws") {
  simulate([]() -> weir::task<> {
    weir::barrier b(2);
    CHECK_THROWS_AS(b.arrive_and_wait_blocking(), std::logic_error);
    co_return;
  });
}
