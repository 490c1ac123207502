#include "calls.hpp"

#include <weir/patterns/dead_letter_queue.hpp>

using test::elapsed;
using test::simulate;

namespace {

template <class T>
void adds_up(weir::dead_letter_queue<T>& dead) {
  const weir::dead_letter_stats s = dead.stats();
  CHECK(s.added == s.size + s.in_hand + s.taken + s.replayed + s.expired + s.evicted);
}

}  // namespace

TEST_CASE("dead_letter_queue: keeps a message with reason, times, origin and attempts, until it is taken (S121)") {
  simulate([]() -> weir::task<> {
    weir::dead_letter_queue<test::item> dead;
    co_await weir::sleep_for(5s);
    dead.push({.message = test::item(1), .reason = "malformed", .origin = "orders"});
    dead.push({.message = test::item(2),
               .reason = "no answer",
               .origin = "orders",
               .attempts = 4,
               .first = test::at(1s),
               .last = test::at(4s)});
    CHECK(dead.size() == 2);
    int seen = 0;
    dead.for_each([&](const weir::dead_letter<test::item>& l) { seen = 10 * seen + l.message.value; });
    CHECK(seen == 12);
    auto one = dead.take();
    REQUIRE(one);
    CHECK(one->message.value == 1);
    CHECK(one->reason == "malformed");
    CHECK(one->origin == "orders");
    CHECK(one->attempts == 1);
    CHECK(one->first == test::at(5s));
    CHECK(one->last == test::at(5s));
    auto two = dead.take();
    REQUIRE(two);
    CHECK(two->attempts == 4);
    CHECK(two->first == test::at(1s));
    CHECK(two->last == test::at(4s));
    CHECK(!dead.take());
    adds_up(dead);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("dead_letter_queue: keeps 24 h and at most 10,000 entries; what goes is told and counted (S121)") {
  simulate([]() -> weir::task<> {
    weir::dead_letter_queue<int> dead;
    std::vector<int> expired;
    std::vector<int> evicted;
    dead.on_loss([&](weir::dead_letter<int>&& l, weir::dead_letter_loss why) {
      (why == weir::dead_letter_loss::expired ? expired : evicted).push_back(l.message);
      static_cast<void>(dead.size());  // it may be used
    });
    for (int i = 0; i < 10'003; ++i) dead.push({.message = i});
    CHECK(dead.size() == 10'000);
    CHECK(evicted == test::up_to(3));
    co_await weir::sleep_for(23h);
    dead.push({.message = -1});
    CHECK(evicted.size() == 4);
    co_await weir::sleep_for(1h - 1us);
    CHECK(dead.size() == 10'000);
    co_await weir::sleep_for(1us);
    CHECK(dead.size() == 1);
    CHECK(expired.size() == 9'999);
    CHECK(expired.front() == 4);
    auto left = dead.take();
    REQUIRE(left);
    CHECK(left->message == -1);
    adds_up(dead);
  });
}

TEST_CASE("dead_letter_queue: a replay sends what is there to the main queue, at most so many times each (S121, D42)") {
  simulate([]() -> weir::task<> {
    weir::dead_letter_queue<std::string> dead({.most_replays = 2});
    weir::channel<weir::dead_letter<std::string>> main(100);
    dead.push({.message = "never well"});
    dead.push({.message = "well"});
    auto sends = [&](weir::dead_letter<std::string>& l) { return main.send(std::move(l)); };
    int processed = 0;
    std::size_t sent = 0;
    for (int round = 0; round < 20; ++round) {
      const std::size_t n = co_await dead.replay(sends);
      sent += n;
      while (auto l = main.try_receive()) {
        ++processed;
        ++l->attempts;
        CHECK(l->replays <= 2);
        if (l->message != "well") dead.push(std::move(*l));
      }
      co_await weir::sleep_for(1min);
    }
    CHECK(sent == 3);  // not 21
    CHECK(processed == 3);
    CHECK(dead.size() == 1);
    adds_up(dead);
    co_await weir::sleep_for(24h);
    CHECK(dead.size() == 0);  // expired, and it did not go back to the main queue
    const std::size_t none = co_await dead.replay(sends);
    CHECK(none == 0);
    adds_up(dead);
  });
}

TEST_CASE("dead_letter_queue: one replay sends each letter once, also one that comes straight back") {
  simulate([]() -> weir::task<> {
    weir::dead_letter_queue<int> dead({.most_replays = 100});
    for (int i = 0; i < 3; ++i) dead.push({.message = i});
    std::vector<int> seen;
    auto bounces = [&](weir::dead_letter<int>& l) {
      seen.push_back(l.message);
      dead.push(l);
      return true;
    };
    const std::size_t n = co_await dead.replay(bounces);
    CHECK(n == 3);
    CHECK(seen == test::up_to(3));
    CHECK(dead.size() == 3);
    adds_up(dead);
  });
}

TEST_CASE("dead_letter_queue: a letter that was not sent is back in its place: refused, failed, stopped") {
  simulate([]() -> weir::task<> {
    weir::dead_letter_queue<test::item> dead;
    for (int i = 0; i < 3; ++i) dead.push({.message = test::item(i)});
    const auto unchanged = [&] {
      std::vector<int> seen;
      dead.for_each([&](const weir::dead_letter<test::item>& l) {
        CHECK(l.replays == 0);
        seen.push_back(l.message.value);
      });
      adds_up(dead);
      return seen == test::up_to(3);
    };
    auto refuses = [](weir::dead_letter<test::item>&) { return false; };
    const std::size_t none = co_await dead.replay(refuses);
    CHECK(none == 0);
    CHECK(unchanged());
    auto fails = [](weir::dead_letter<test::item>&) -> weir::task<bool> {
      co_await weir::yield();
      throw test::reset();
    };
    auto ended = co_await weir::as_result(dead.replay(fails));
    CHECK(ended.error() == std::errc::connection_reset);
    CHECK(unchanged());
    weir::channel<test::item> full(0);
    auto sends = [&](weir::dead_letter<test::item>& l) { return full.send(std::move(l.message)); };
    auto stopped = co_await test::stopped_after(1s, dead.replay(sends));
    CHECK(stopped.is_cancelled());
    CHECK(unchanged());
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE(
    "dead_letter_queue: under many seeds, replays, stops and pushes at once lose nothing and send nothing twice") {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(500, 100)); ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          weir::dead_letter_queue<int> dead({.most = 12, .keep = 30ms, .most_replays = 2});
          weir::channel<weir::dead_letter<int>> main(2);
          std::vector<int> seen(20);
          std::vector<int> lost(20);
          dead.on_loss(
              [&](weir::dead_letter<int>&& l, weir::dead_letter_loss) { ++lost[static_cast<std::size_t>(l.message)]; });
          std::vector<int> well(20);
          auto worker = [&]() -> weir::task<> {
            while (auto l = co_await main.receive()) {
              const auto n = static_cast<std::size_t>(l->message);
              ++seen[n];
              CHECK(l->replays <= 2);
              co_await weir::sleep_for(dice.roll(3) * 1ms);
              if (dice.roll(2) == 0) {
                ++well[n];
              } else {
                dead.push(std::move(*l));
              }
            }
          };
          auto replays = [&]() -> weir::task<> {
            for (int i = 0; i < 6; ++i) {
              auto sends = [&](weir::dead_letter<int>& l) { return main.send(std::move(l)); };
              auto ended = co_await test::stopped_after(weir::duration(dice.roll(8) * 1ms), dead.replay(sends));
              static_cast<void>(ended.has_value());
            }
          };
          auto pushes = [&]() -> weir::task<> {
            for (int i = 0; i < 20; ++i) {
              dead.push({.message = i});
              co_await weir::sleep_for(dice.roll(3) * 1ms);
            }
          };
          auto body = [&](weir::task_group& group) -> weir::task<> {
            group.spawn(worker);
            co_await weir::when_all(replays(), replays(), pushes());
            main.close();
            co_await group.join();
          };
          co_await weir::with_task_group(body);
          adds_up(dead);
          std::vector<int> left(20);
          dead.for_each([&](const weir::dead_letter<int>& l) { ++left[static_cast<std::size_t>(l.message)]; });
          for (std::size_t i = 0; i < 20; ++i) {
            CHECK(well[i] + lost[i] + left[i] == 1);
            CHECK(seen[i] <= 2);
          }
          CHECK(dead.stats().in_hand == 0);
        },
        seed);
  }
}

TEST_CASE("dead_letter_queue: options that make no sense are refused") {
  CHECK_THROWS_AS(weir::dead_letter_queue<int>({.most = 0}), std::invalid_argument);
  CHECK_THROWS_AS(weir::dead_letter_queue<int>({.keep = 0ns}), std::invalid_argument);
}
