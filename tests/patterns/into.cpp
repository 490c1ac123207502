#include "support.hpp"

#include <weir/patterns/into.hpp>

using test::simulate;
using weir::from;
using weir::into;
using weir::transform;

TEST_CASE("into: sends all items to a channel, in order, and closes it, unless that is not wanted") {
  simulate([]() -> weir::task<> {
    weir::channel<test::item> to(3);
    weir::stage_counters sent{"sent"};
    std::vector<int> seen;
    auto read = [&]() -> weir::task<> {
      while (auto i = co_await to.receive()) seen.push_back(i->value);
    };
    auto both = co_await weir::when_all(from(test::items(10)) | into(to, {.counters = &sent}), read());
    CHECK(std::get<0>(both));
    CHECK(seen == test::up_to(10));
    CHECK(sent.out() == 10);
    weir::channel<int> open(100);
    for (int round = 0; round < 2; ++round) {
      const bool all = co_await (from(test::numbers(4)) | into(open, {.close = false}));
      CHECK(all);
    }
    CHECK(open.size() == 8);
    CHECK_FALSE(open.is_closed());
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("into: a channel that is closed, or whose receivers have gone, ends it, and that is told (P10, D10)") {
  simulate([]() -> weir::task<> {
    int made = 0;
    weir::stage_counters sent;
    auto [tx, rx] = weir::make_channel<test::item>(2);
    auto leave = [&]() -> weir::task<> {
      for (int i = 0; i < 3; ++i) {
        auto one = co_await rx.receive();
        CHECK(one->value == i);
      }
      co_await weir::sleep_for(1ms);
      rx.reset();
    };
    auto feed = from(test::counted_items(made, 1'000'000)) | into(std::move(tx), {.counters = &sent});
    auto both = co_await weir::when_all(std::move(feed), leave());
    CHECK_FALSE(std::get<0>(both));
    CHECK(made == 6);
    CHECK(sent.in() == 6);
    CHECK(sent.out() == 5);
    CHECK(sent.dropped() == 1);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("into: a pipeline that fails or is stopped leaves a channel open, and lets a sender go") {
  simulate([]() -> weir::task<> {
    weir::channel<test::item> to(10);
    auto how = co_await weir::as_result(from(test::items_then_failure(3, "source")) | into(to));
    CHECK(test::unobserved::what(how.exception()) == "source");
    CHECK_FALSE(to.is_closed());
    CHECK(to.size() == 3);
    auto [tx, rx] = weir::make_channel<test::item>(1);
    auto failed = co_await weir::as_result(weir::with_timeout(1ms, from(test::items(100)) | into(std::move(tx))));
    CHECK(failed.error() == std::errc::timed_out);
    auto lies_there = co_await rx.receive();
    CHECK(lies_there->value == 0);
    auto end = co_await rx.receive();
    CHECK_FALSE(end.has_value());
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("into: three senders of five jobs each, closed when all have ended, 15 are received (S56)") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    simulate(
        []() -> weir::task<> {
          auto [tx, rx] = weir::make_channel<int>(10);
          auto pause = [](int n) -> weir::task<int> {
            co_await weir::sleep_for(n * 1ms);
            co_return std::move(n);
          };
          std::vector<int> seen;
          auto body = [&](weir::task_group& group) -> weir::task<> {
            auto send = [&](weir::sender<int> to) -> weir::task<> {
              auto five = from(test::numbers(5)) | transform(pause) | into(std::move(to));
              const bool all = co_await std::move(five);
              CHECK(all);
            };
            for (int i = 0; i < 3; ++i) group.spawn(send, tx);
            tx.reset();
            while (auto n = co_await rx.receive()) seen.push_back(*n);
            co_await group.join();
          };
          co_await weir::with_task_group(body);
          CHECK(test::sorted(seen) == std::vector{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4});
        },
        seed);
  }
}

TEST_CASE("into: a reader that comes late finds everything, whatever the workers did meanwhile (P08, P09)") {
  simulate([]() -> weir::task<> {
    weir::channel<int> results(2);
    std::vector<int> seen;
    auto work = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(1ms);
      co_return std::move(n);
    };
    auto late = [&]() -> weir::task<> {
      co_await weir::sleep_for(1h);
      while (auto n = co_await results.receive()) seen.push_back(*n);
    };
    auto both =
        co_await weir::when_all(from(test::numbers(1000)) | transform(work, {.workers = 4}) | into(results), late());
    CHECK(std::get<0>(both));
    CHECK(test::sorted(seen) == test::up_to(1000));
  });
}
