#include <weir/patterns/topics.hpp>

#include "support.hpp"

#include <deque>
#include <map>
#include <optional>

using test::simulate;
using weir::slow_subscriber;

namespace {

using strings = weir::topics<std::string, int>;

/// Everything that a subscription still has to give.
weir::task<std::vector<int>> rest_of(strings::subscription from) {
  std::vector<int> all;
  while (auto n = co_await from.receive()) all.push_back(*n);
  co_return std::move(all);
}

}  // namespace

TEST_CASE(
    "topics: each subscriber of a symbol gets what is published on it, and a slow one is skipped and counted (S58)") {
  simulate([]() -> weir::task<> {
    strings prices({.capacity = 10});
    auto first = prices.subscribe("AAPL");
    auto second = prices.subscribe("AAPL");
    auto other = prices.subscribe("MSFT");
    for (int i = 0; i < 15; ++i) {
      const bool sent = co_await prices.publish("AAPL", i);
      CHECK(sent);
      if (i == 4) CHECK(second.try_receive() == 0);
    }
    co_await prices.publish("MSFT", 100);
    co_await prices.publish("IBM", 200);  // nobody listens
    CHECK(first.lag() == 10);
    CHECK(first.missed() == 5);
    CHECK(second.lag() == 10);
    CHECK(second.missed() == 4);
    CHECK(other.lag() == 1);
    auto c = prices.counters();
    CHECK(c.published == 16);
    CHECK(c.unheard == 1);
    CHECK(c.dropped == 9);
    CHECK(c.received == 1);
    CHECK(c.subscribers == 3);
    CHECK(c.topics == 2);
    second.reset();  // unsubscribed: the others go on
    CHECK(prices.subscribers("AAPL") == 1);
    prices.close();  // and shutdown closes what each one has
    const auto got = co_await rest_of(std::move(first));
    CHECK(got == test::up_to(10));
    const auto last = co_await rest_of(std::move(other));
    CHECK(last == std::vector<int>{100});
    const bool refused = co_await prices.publish("AAPL", 1);
    CHECK(!refused);
    CHECK(!prices.try_publish("AAPL", 1));
    auto late = prices.subscribe("AAPL");
    const auto nothing = co_await rest_of(std::move(late));
    CHECK(nothing.empty());
  });
}

TEST_CASE("topics: a topic lives from its first subscriber to its last; its numbers stay") {
  simulate([]() -> weir::task<> {
    strings all;
    for (int i = 0; i < 1000; ++i) {
      auto mine = all.subscribe(std::to_string(i));
      co_await all.publish(std::to_string(i), i);
      const auto n = co_await mine.receive();
      CHECK(n == i);
      CHECK(all.counters().topics == 1);
      auto moved = std::move(mine);
      CHECK(!mine);  // NOLINT(bugprone-use-after-move)
      CHECK(moved.key() == std::to_string(i));
      if (i % 2 == 0) moved = strings::subscription();
    }
    const auto c = all.counters();
    CHECK(c.topics == 0);
    CHECK(c.published == 1000);
    CHECK(c.received == 1000);
    CHECK_THROWS_AS(static_cast<void>(all.subscribe("x", slow_subscriber::skip, 0)), std::invalid_argument);
    CHECK(all.counters().topics == 0);
    CHECK_THROWS_AS(strings({.capacity = 0}), std::invalid_argument);
  });
}

TEST_CASE("topics: one topic may be closed alone, and comes anew with its next subscriber") {
  simulate([]() -> weir::task<> {
    strings all;
    auto old = all.subscribe("a");
    auto other = all.subscribe("b");
    co_await all.publish("a", 1);
    all.close("a");
    all.close("never");
    auto fresh = all.subscribe("a");
    co_await all.publish("a", 2);
    const auto before = co_await rest_of(std::move(old));
    CHECK(before == std::vector<int>{1});
    CHECK(all.subscribers("a") == 1);  // the end of the old one is none of the new one's
    CHECK(fresh.try_receive() == 2);
    CHECK(!other.try_receive());
  });
}

TEST_CASE("topics: a subscriber who is waited for holds up its own topic only; who is cancelled has sent nothing") {
  simulate([]() -> weir::task<> {
    strings all({.capacity = 1, .policy = slow_subscriber::wait});
    auto slow = all.subscribe("a");
    auto quick = all.subscribe("a", slow_subscriber::drop_oldest, 1);
    auto elsewhere = all.subscribe("b");
    co_await all.publish("a", 1);
    const auto late = co_await weir::as_result(weir::with_timeout(1ms, all.publish("a", 2)));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(!all.try_publish("a", 3));
    co_await all.publish("b", 4);
    CHECK(quick.try_receive() == 1);
    auto reads = [&]() -> weir::task<> {
      co_await weir::sleep_for(5ms);
      slow.reset();  // goes: whoever waits for him goes on
    };
    co_await weir::when_all(all.publish("a", 5), reads());
    CHECK(quick.try_receive() == 5);
    CHECK(weir::now() == test::at(6ms));
  });
}

TEST_CASE("topics: subscriptions outlive the topics, and are told that they have ended") {
  simulate([]() -> weir::task<> {
    std::optional<strings> all(std::in_place);
    auto mine = all->subscribe("a");
    co_await all->publish("a", 1);
    all.reset();
    const auto got = co_await rest_of(std::move(mine));
    CHECK(got == std::vector<int>{1});
  });
}

TEST_CASE("topics: publishers, and subscribers who come and go, on two workers: nothing is lost unseen") {
  const auto main = []() -> weir::task<> {
    weir::topics<int, int> all({.capacity = 4});
    std::atomic<std::uint64_t> read{0};
    std::atomic<std::uint64_t> left{0};
    auto publishes = [&](int key) -> weir::task<> {
      for (int i = 0; i < 500; ++i) {
        co_await all.publish(key % 3, i);
        if (i % 8 == 0) co_await weir::yield();
      }
    };
    auto listens = [&](int key) -> weir::task<> {
      for (int round = 0; round < 30; ++round) {
        auto mine = all.subscribe(key % 3);
        for (int i = 0; i < 10; ++i) {
          if (mine.try_receive()) ++read;
          co_await weir::yield();
        }
        left += mine.lag();
      }
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < 6; ++i) {
        group.spawn(publishes, i);
        group.spawn(listens, i);
      }
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    const auto c = all.counters();
    CHECK(c.published + c.unheard == 3000);
    CHECK(c.received == read);
    CHECK(c.topics == 0);
    CHECK(c.subscribers == 0);
  };
  weir::run(main(), {.workers = 2});
}

TEST_CASE("topics: an event source feeds a bus, and each kind of event has its handlers (S157)") {
  simulate([]() -> weir::task<> {
    weir::topics<std::string, int> bus({.capacity = 8, .policy = slow_subscriber::wait});
    std::map<std::string, long> handled;
    auto handler = [&](strings::subscription events, const char* name) -> weir::task<> {
      while (auto e = co_await events.receive()) {
        co_await weir::sleep_for(1ms);
        handled[name] += *e;
      }
    };
    auto source = [&]() -> weir::task<> {
      for (int i = 1; i <= 100; ++i) {
        const std::string kind = i % 2 == 0 ? "created" : "deleted";
        co_await bus.publish(kind, i);
      }
      bus.close();
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      group.spawn(handler, bus.subscribe("created"), "index");
      group.spawn(handler, bus.subscribe("created"), "mail");
      group.spawn(handler, bus.subscribe("deleted"), "clean");
      group.spawn(source);
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(handled["index"] == 2550);
    CHECK(handled["mail"] == 2550);
    CHECK(handled["clean"] == 2500);
    CHECK(bus.counters().dropped == 0);
  });
}

// ---- the trading system of the guides

namespace {

struct trade {
  const char* symbol = "";
  double price = 0;
  int number = 0;
};

struct trading_result {
  int generated = 0;
  int refused = 0;  // at the ingest
  std::uint64_t dispatched = 0;
  std::uint64_t averaged = 0;
  std::uint64_t checked = 0;
  std::uint64_t alerts = 0;
  std::uint64_t printed = 0;
  std::uint64_t heard = 0;
  std::uint64_t missed = 0;
  bool subscribers_ended = false;
};

/// 1,000 trades a second for 10 s over five symbols. Every trade goes to each of three tasks.
weir::task<trading_result> trading(weir::duration subscriber_pause) {
  trading_result result;
  constexpr std::array symbols = {"AAPL", "GOOG", "MSFT", "AMZN", "TSLA"};
  weir::channel<trade> ingest(1000);
  weir::broadcast<trade> every_trade(1000, slow_subscriber::wait);
  weir::topics<std::string, trade> prices({.capacity = 10});
  weir::channel<int> alerts(100);

  auto generate = [&]() -> weir::task<> {
    test::dice dice(1);
    weir::interval tick(1ms);
    for (int i = 0; i < 10'000; ++i) {
      co_await tick.tick();
      const trade t{
          .symbol = symbols[static_cast<std::size_t>(i) % 5], .price = 90.0 + dice.roll(2001) / 100.0, .number = i};
      ++result.generated;
      if (!ingest.try_send(t)) ++result.refused;
    }
    ingest.close();
  };
  auto fan_out = [&]() -> weir::task<> {
    while (auto t = co_await ingest.receive()) co_await every_trade.send(*t);
    every_trade.close();
  };
  auto dispatch = [&](weir::broadcast_subscription<trade> in) -> weir::task<> {
    while (auto t = co_await in.receive()) {
      co_await prices.publish(t->symbol, *t);
      ++result.dispatched;
    }
    prices.close();
  };
  auto average = [&](weir::broadcast_subscription<trade> in) -> weir::task<> {
    std::map<std::string, std::deque<double>> last;
    while (auto t = co_await in.receive()) {
      std::deque<double>& window = last[t->symbol];
      window.push_back(t->price);
      if (window.size() > 10) window.pop_front();
      double sum = 0;
      for (const double p : window) sum += p;
      if (t->price > 1.05 * sum / static_cast<double>(window.size())) co_await alerts.send(t->number);
      ++result.averaged;
    }
  };
  auto check = [&](weir::broadcast_subscription<trade> in) -> weir::task<> {
    std::map<std::string, std::deque<std::pair<weir::time_point, double>>> last;
    while (auto t = co_await in.receive()) {
      auto& window = last[t->symbol];
      while (!window.empty() && weir::now() - window.front().first > 1s) window.pop_front();
      bool jumped = false;
      for (const auto& [when, price] : window) jumped = jumped || t->price > 1.1 * price;
      window.emplace_back(weir::now(), t->price);
      if (jumped) co_await alerts.send(t->number);
      ++result.checked;
    }
  };
  auto alert = [&]() -> weir::task<> {
    while (auto a = co_await alerts.receive()) ++result.alerts;
  };
  auto subscriber = [&](weir::topics<std::string, trade>::subscription mine) -> weir::task<> {
    std::uint64_t seen = 0;
    while (auto t = co_await mine.receive()) {
      ++result.heard;
      if (++seen % 10 == 0) ++result.printed;
      co_await weir::sleep_for(subscriber_pause);
    }
    result.missed += mine.missed();
    result.subscribers_ended = true;
  };
  auto processors = [&]() -> weir::task<> {
    auto body = [&](weir::task_group& group) -> weir::task<> {
      group.spawn(dispatch, every_trade.subscribe());
      group.spawn(average, every_trade.subscribe());
      group.spawn(check, every_trade.subscribe());
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    alerts.close();  // after those that send alerts
  };
  auto body = [&](weir::task_group& group) -> weir::task<> {
    group.spawn(subscriber, prices.subscribe("AAPL"));
    group.spawn(processors);
    group.spawn(alert);
    co_await test::settle();
    group.spawn(fan_out);
    group.spawn(generate);
    co_await group.join();
  };
  co_await weir::with_task_group(body);
  co_return result;
}

}  // namespace

TEST_CASE(
    "topics: the trading system: every trade reaches each of three processors, and all of it ends (S146, D01, D02)") {
  const trading_result r = simulate([] { return trading(0ms); });
  CHECK(r.generated == 10'000);
  CHECK(r.refused == 0);
  CHECK(r.dispatched == 10'000);  // one channel for the three would give each of them a third
  CHECK(r.averaged == 10'000);
  CHECK(r.checked == 10'000);
  CHECK(r.heard == 2'000);
  CHECK(r.printed == 200);
  CHECK(r.missed == 0);
  CHECK(r.alerts > 0);
  CHECK(r.subscribers_ended);
  // A subscriber that takes 20 ms for a trade that comes every 5 ms misses some; nobody else notices.
  const trading_result slow = simulate([] { return trading(20ms); });
  CHECK(slow.averaged == 10'000);
  CHECK(slow.heard + slow.missed == 2'000);
  CHECK(slow.missed > 1'000);
  CHECK(slow.subscribers_ended);
}

TEST_CASE("topics: whoever sends alerts when nobody takes them any more is stopped, and does not hang (D02)") {
  simulate([]() -> weir::task<> {
    weir::channel<int> alerts(2);
    int sent = 0;
    auto sends = [&]() -> weir::task<> {
      for (int i = 0; i < 10; ++i) {
        co_await alerts.send(i);
        ++sent;
      }
    };
    const auto ended = co_await weir::as_result(weir::with_timeout(1s, sends()));  // the alert task has gone
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(sent == 2);
    auto closes = [&]() -> weir::task<> {
      co_await weir::sleep_for(1ms);
      alerts.close();
    };
    auto told = [&]() -> weir::task<bool> { co_return co_await alerts.send(1); };
    auto [accepted, closed] = co_await weir::when_all(told(), closes());
    CHECK(!accepted);
  });
}
