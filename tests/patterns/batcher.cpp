#include <weir/patterns/batcher.hpp>

#include "support.hpp"

#include <set>

using test::simulate;
using weir::shutdown_mode;

namespace {

int elapsed() { return static_cast<int>(weir::now().time_since_epoch() / 1ms); }

/// Keeps what it is given, and when.
struct store {
  struct written {
    int at_ms;
    std::vector<int> items;
    bool operator==(const written&) const = default;
  };
  std::vector<written> batches;
  weir::duration latency = 0ms;
  int running = 0;
  int most = 0;
  bool fails = false;

  auto write() {
    return [this](std::vector<int> items) { return put(std::move(items)); };
  }
  weir::task<> put(std::vector<int> items) {
    most = std::max(most, ++running);
    struct leaving {
      int& n;
      explicit leaving(int& c) : n(c) {}
      ~leaving() { --n; }
    } here(running);
    co_await weir::sleep_for(latency);
    if (fails) throw std::runtime_error("disk full");
    batches.push_back({elapsed(), std::move(items)});
  }
};

weir::task<> add_all(weir::batcher<int>& to, int from, int count) {
  for (int i = from; i < from + count; ++i) {
    auto ticket = co_await to.add(i);
    CHECK(ticket);
  }
}

}  // namespace

TEST_CASE("batcher: a batch goes by its size, the last partial one at shutdown (S140)") {
  simulate([]() -> weir::task<> {
    store disk;
    weir::batcher<int> batches(disk.write(), {.size = 3, .longest = 1h});
    co_await add_all(batches, 0, 7);
    const bool all = co_await batches.shutdown();
    CHECK(all);
    CHECK(disk.batches == std::vector<store::written>{{0, {0, 1, 2}}, {0, {3, 4, 5}}, {0, {6}}});
    const auto stats = batches.stats();
    CHECK(stats.accepted == 7);
    CHECK(stats.flushed == 7);
    CHECK(stats.waiting == 0);
    CHECK(stats.batches == 3);
  });
}

TEST_CASE("batcher: the time counts from the first item, after any idle time (S140, D43)") {
  simulate([]() -> weir::task<> {
    store disk;
    weir::batcher<int> batches(disk.write(), {.size = 100, .longest = 10ms});
    co_await add_all(batches, 0, 1);
    co_await weir::sleep_for(4ms);
    co_await add_all(batches, 1, 1);
    co_await weir::sleep_for(60ms);  // six intervals without an item
    co_await add_all(batches, 2, 1);
    co_await weir::sleep_for(60ms);
    CHECK(disk.batches == std::vector<store::written>{{10, {0, 1}}, {74, {2}}});
    // A batch that goes by size in between does not shorten the time of the next.
    co_await add_all(batches, 100, 100);
    co_await weir::sleep_for(7ms);
    co_await add_all(batches, 200, 1);
    co_await weir::sleep_for(60ms);
    REQUIRE(disk.batches.size() == 4);
    CHECK(disk.batches[2].at_ms == 124);
    CHECK(disk.batches[3].at_ms == 124 + 7 + 10);
    co_await batches.shutdown();
  });
}

TEST_CASE("batcher: adding goes on while a flush runs, up to the room that there is (S140, D43)") {
  simulate([]() -> weir::task<> {
    store disk;
    disk.latency = 100ms;
    weir::batcher<int> batches(disk.write(), {.size = 2, .longest = 1h, .room = 4});
    co_await add_all(batches, 0, 6);  // two are being flushed, four wait
    CHECK(elapsed() == 0);
    auto refused = batches.try_add(6);
    CHECK(!refused);
    auto seventh = co_await batches.add(6);
    CHECK(elapsed() == 100);
    CHECK(disk.most == 1);
    co_await batches.shutdown();
    CHECK(elapsed() == 400);
    CHECK(disk.batches.size() == 4);
  });
}

TEST_CASE("batcher: a failure reaches those whose items were in the batch, and nobody else (S140, D43)") {
  test::unobserved seen;
  test::simulate_reporting([]() -> weir::task<> {
    store disk;
    weir::batcher<int> batches(disk.write(), {.size = 2, .longest = 10ms});
    disk.fails = true;
    auto a = co_await batches.add(1);
    auto b = co_await batches.add(2);
    auto first = co_await weir::as_result(std::move(a));
    auto second = co_await weir::as_result(std::move(b));
    CHECK(test::unobserved::what(first.exception()) == "disk full");
    CHECK(first.exception() == second.exception());
    co_await add_all(batches, 3, 2);  // tickets dropped: that failure goes to on_error
    co_await weir::sleep_for(1ms);
    disk.fails = false;
    auto c = co_await batches.add(5);
    CHECK(!c.is_settled());
    co_await std::move(c);
    CHECK(elapsed() == 11);
    co_await batches.shutdown();
    const auto stats = batches.stats();
    CHECK(stats.failed == 4);
    CHECK(stats.flushed == 1);
    CHECK(stats.accepted == 5);
  });
  CHECK(test::unobserved::take() == test::log{"disk full"});
}

TEST_CASE("batcher: flush() hands over what there is, and waits for all that was added before") {
  simulate([]() -> weir::task<> {
    store disk;
    disk.latency = 10ms;
    weir::batcher<int> batches(disk.write(), {.size = 2, .longest = 1h});
    co_await batches.flush();  // nothing, and no empty batch
    co_await add_all(batches, 0, 3);
    co_await batches.flush();
    CHECK(elapsed() == 20);
    CHECK(disk.batches.size() == 2);
    CHECK(batches.stats().waiting == 0);
    co_await batches.shutdown();
    CHECK(disk.batches.size() == 2);
  });
}

TEST_CASE("batcher: several batches at a time if that is asked for, plain functions, no time") {
  simulate([]() -> weir::task<> {
    store disk;
    disk.latency = 10ms;
    weir::batcher<int> batches(disk.write(), {.size = 1, .longest = weir::duration::max(), .flushes = 3, .room = 8});
    co_await add_all(batches, 0, 6);
    co_await batches.shutdown();
    CHECK(disk.most == 3);
    CHECK(elapsed() == 20);
    int sum = 0;
    auto plain = [&](std::vector<test::item> items) {
      for (const auto& i : items) sum += i.value;
      if (items.size() == 2) throw std::runtime_error("two");
    };
    weir::batcher<test::item> sums(plain, {.size = 3});
    for (int i = 1; i <= 3; ++i) CHECK(sums.try_add(test::item(i)));
    auto ticket = sums.try_add(test::item(4));
    CHECK(sums.try_add(test::item(5)));
    co_await sums.flush();
    CHECK(sum == 15);
    auto failed = co_await weir::as_result(std::move(ticket));
    CHECK(test::unobserved::what(failed.exception()) == "two");
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("batcher: by weight, and what weighs too much goes alone") {
  simulate([]() -> weir::task<> {
    store disk;
    auto weigh = [](int n) { return static_cast<std::size_t>(n); };
    weir::batcher<int> batches(disk.write(), {.size = 100, .longest = 1h, .weight = 10}, weigh);
    const std::vector<int> weights{4, 5, 3, 7, 25, 1, 0, 9};
    for (const int n : weights) {
      auto ticket = co_await batches.add(n);
      CHECK(ticket);
    }
    co_await batches.shutdown();
    std::vector<std::vector<int>> got;
    for (auto& b : disk.batches) got.push_back(b.items);
    CHECK(got == std::vector<std::vector<int>>{{4, 5}, {3, 7}, {25}, {1, 0, 9}});
  });
}

TEST_CASE("batcher: after shutdown, and while it waits for room, an item is refused and told so") {
  simulate([]() -> weir::task<> {
    store disk;
    disk.latency = 50ms;
    weir::batcher<int> batches(disk.write(), {.size = 1, .longest = 1h, .room = 1});
    co_await add_all(batches, 0, 2);
    auto waits = [&]() -> weir::task<int> {
      auto ticket = co_await batches.add(2);
      CHECK(!ticket);
      auto told = co_await weir::as_result(std::move(ticket));
      CHECK(told.is_cancelled());
      co_return elapsed();
    };
    auto later = [&]() -> weir::task<bool> {
      co_await weir::sleep_for(10ms);
      co_return co_await batches.shutdown();
    };
    auto [told_at, all] = co_await weir::when_all(waits(), later());
    CHECK(told_at == 10);
    CHECK(all);
    auto after = co_await batches.add(3);
    CHECK(!after);
    test::item kept(4);
    weir::batcher<test::item> items([](std::vector<test::item>) {}, {.size = 1});
    co_await items.shutdown();
    co_await items.shutdown(shutdown_mode::cancel);
    auto refused = items.try_add(std::move(kept));
    CHECK(!refused);
    CHECK(batches.stats().accepted == 2);
    CHECK(batches.stats().flushed == 2);
  });
}

TEST_CASE("batcher: shutdown that cancels tells every ticket") {
  for (const bool limited : {false, true}) {
    simulate([&]() -> weir::task<> {
      store disk;
      disk.latency = 1h;
      weir::batcher<int> batches(disk.write(), {.size = 2, .longest = 1h, .room = 10});
      std::vector<weir::batch_ticket> tickets;
      for (int i = 0; i < 7; ++i) {
        auto ticket = co_await batches.add(i);
        tickets.push_back(std::move(ticket));
      }
      const auto mode = limited ? shutdown_mode::drain : shutdown_mode::cancel;
      const bool all = co_await batches.shutdown(mode, 10ms);
      CHECK(!all);
      CHECK(elapsed() == (limited ? 10 : 0));
      for (auto& one : tickets) {
        CHECK(one.is_settled());
        auto told = co_await weir::as_result(std::move(one));
        CHECK(told.is_cancelled());
      }
      CHECK(batches.stats().cancelled == 7);
      CHECK(batches.stats().waiting == 0);
      CHECK(disk.running == 0);
    });
  }
}

TEST_CASE("batcher: destroyed without shutdown, the tickets are told and the tasks joined by the runtime") {
  store disk;
  disk.latency = 1h;
  simulate([&]() -> weir::task<> {
    std::vector<weir::batch_ticket> tickets;
    auto waiting = [](weir::batcher<int>& in) -> weir::task<bool> {
      auto ticket = co_await in.add(9);
      co_return static_cast<bool>(ticket);
    };
    weir::join_handle<bool> waits;
    {
      weir::batcher<int> batches(disk.write(), {.size = 2, .longest = 1h, .room = 2});
      for (int i = 0; i < 4; ++i) {
        auto ticket = co_await batches.add(i);
        tickets.push_back(std::move(ticket));
        co_await test::settle();
      }
      waits = weir::spawn(waiting, std::ref(batches));
      co_await test::settle();
    }
    const bool accepted = co_await waits.join();
    CHECK(!accepted);
    for (auto& one : tickets) {
      auto told = co_await weir::as_result(std::move(one));
      CHECK(told.is_cancelled());
    }
  });
  CHECK(disk.running == 0);
}

TEST_CASE("batcher: what makes no sense is refused") {
  auto none = [](std::vector<int>) {};
  CHECK_THROWS_AS((weir::batcher<int>(none, {.size = 0})), std::invalid_argument);
  CHECK_THROWS_AS((weir::batcher<int>(none, {.flushes = 0})), std::invalid_argument);
  CHECK_THROWS_AS((weir::batcher<int>(none, {.size = 10, .room = 9})), std::invalid_argument);
  CHECK_THROWS_AS((weir::batcher<int>(none, {.longest = -1ms})), std::invalid_argument);
  CHECK_THROWS_AS((weir::batcher<int>(none, {.weight = 0})), std::invalid_argument);
}

TEST_CASE("batcher: a stopped wait for a ticket leaves the item in its batch, a stopped add is not accepted") {
  simulate([]() -> weir::task<> {
    store disk;
    disk.latency = 50ms;
    weir::batcher<int> batches(disk.write(), {.size = 1, .longest = 1h, .room = 1});
    auto first = co_await batches.add(1);
    auto impatient = co_await weir::as_result(weir::with_timeout(10ms, std::move(first)));
    CHECK(impatient.error() == std::errc::timed_out);
    auto second = co_await batches.add(2);
    auto third = co_await weir::as_result(weir::with_timeout(10ms, batches.add(3)));
    CHECK(third.error() == std::errc::timed_out);
    co_await batches.shutdown();
    CHECK(disk.batches.size() == 2);
    CHECK(batches.stats().accepted == 2);
  });
}

TEST_CASE("batcher: seeds with cancels and failures: every accepted item has exactly one outcome") {
  for (std::uint64_t seed = 0; seed < test::scaled(1000, 50); ++seed) {
    test::unobserved seen;
    test::simulate_reporting(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          std::multiset<int> flushed;
          std::multiset<int> failed;
          auto write = [&](std::vector<int> items) -> weir::task<> {
            CHECK(!items.empty());
            CHECK(items.size() <= 3);
            co_await weir::sleep_for(dice.roll(3) * 1ms);
            auto& into = dice.roll(4) == 0 ? failed : flushed;
            into.insert(items.begin(), items.end());
            if (&into == &failed) throw std::runtime_error("x");
          };
          weir::batcher<int> batches(write, {.size = 3, .longest = 2ms, .flushes = 1 + dice.roll(2), .room = 4});
          std::multiset<int> accepted;
          int cancelled = 0;
          auto producer = [&](int base) -> weir::task<> {
            for (int i = base; i < base + 6; ++i) {
              auto ticket = co_await weir::as_result(weir::with_timeout((1 + dice.roll(3)) * 1ms, batches.add(i)));
              if (!ticket || !*ticket) continue;
              accepted.insert(i);
              if (dice.roll(2) == 0) continue;  // the ticket is dropped
              auto told = co_await weir::as_result(std::move(*ticket));
              if (told) CHECK(flushed.count(i) == 1);
              if (told.is_cancelled()) {
                ++cancelled;
                CHECK(flushed.count(i) + failed.count(i) == 0);
              }
            }
          };
          auto end = [&]() -> weir::task<> {
            co_await weir::sleep_for(dice.roll(12) * 1ms);
            if (dice.roll(3) == 0) co_await batches.flush();
            const auto mode = dice.roll(2) == 0 ? shutdown_mode::drain : shutdown_mode::cancel;
            co_await batches.shutdown(mode, dice.roll(4) * 1ms);
          };
          co_await weir::when_all(producer(0), producer(100), producer(200), end());
          const auto stats = batches.stats();
          CHECK(stats.accepted == accepted.size());
          CHECK(stats.flushed == flushed.size());
          CHECK(stats.failed == failed.size());
          CHECK(stats.waiting == 0);
          CHECK(stats.accepted == stats.flushed + stats.failed + stats.cancelled);
          for (const int i : accepted) CHECK(flushed.count(i) + failed.count(i) <= 1);
        },
        seed);
  }
}

TEST_CASE("batcher: on two workers nothing is lost and nothing is doubled") {
  auto main = []() -> weir::task<> {
    const int each = test::scaled(5000, 300);
    std::mutex mutex;
    std::vector<int> got;
    auto write = [&](std::vector<int> items) -> weir::task<> {
      co_await weir::yield();
      const std::lock_guard guard(mutex);
      got.insert(got.end(), items.begin(), items.end());
    };
    weir::batcher<int> batches(write, {.size = 16, .longest = 1ms, .flushes = 2});
    co_await weir::when_all(add_all(batches, 0, each), add_all(batches, each, each), add_all(batches, 2 * each, each));
    co_await batches.shutdown();
    CHECK(test::sorted(got) == test::up_to(3 * each));
  };
  weir::run(main(), {.workers = 2});
}
