#include <weir/sync/broadcast.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <weir/sync/channel.hpp>
#include <weir/sync/event.hpp>
#include <weir/sync/select.hpp>

#include "../skip.hpp"
#include "support.hpp"

using test::settle;
using test::simulate;
using weir::broadcast;
using weir::broadcast_subscription;
using weir::slow_subscriber;

static_assert(!std::is_copy_constructible_v<broadcast<int>> && !std::is_move_constructible_v<broadcast<int>>);
static_assert(!std::is_copy_constructible_v<broadcast_subscription<int>>);
static_assert(std::is_nothrow_move_constructible_v<broadcast_subscription<int>>);
static_assert(std::is_nothrow_move_assignable_v<broadcast_subscription<int>>);

namespace {

constexpr weir::runtime_options confined{.workers = 1, .confined = true};

std::vector<int> numbers(int first, int last) {
  std::vector<int> all(static_cast<std::size_t>(last - first + 1));
  std::iota(all.begin(), all.end(), first);
  return all;
}

/// What can be had without waiting.
template <class T>
std::vector<T> drain(broadcast_subscription<T>& from) {
  std::vector<T> got;
  while (auto item = from.try_receive()) got.push_back(std::move(*item));
  return got;
}

template <class T>
weir::task<> receive_all(broadcast_subscription<T>& from, std::vector<T>& to) {
  while (auto item = co_await from.receive()) to.push_back(std::move(*item));
}

template <class T>
weir::task<> send_and_note(broadcast<T>& to, T item, test::log& seen, const char* name) {
  const bool sent = co_await to.send(std::move(item));
  seen.push_back(std::string(name) + (sent ? " sent" : " refused"));
}

/// Runs `body(group)` in a simulation and joins what it has spawned.
template <class F>
void in_group(F body) {
  simulate([&]() -> weir::task<> { co_await weir::with_task_group(body); });
}

}  // namespace

// ---- to all

TEST_CASE("broadcast: all consumers see every item, in order, and not each only a part of them (D01)") {
  std::array<std::vector<int>, 3> seen;
  simulate([&]() -> weir::task<> {
    broadcast<int> trades(4, slow_subscriber::wait);
    std::vector<broadcast_subscription<int>> consumers;
    for (std::size_t i = 0; i < seen.size(); ++i) consumers.push_back(trades.subscribe());
    auto body = [&](weir::task_group& g) -> weir::task<> {
      for (std::size_t i = 0; i < seen.size(); ++i) {
        g.spawn(receive_all<int>, std::ref(consumers[i]), std::ref(seen[i]));
      }
      for (int n = 1; n <= 1000; ++n) {
        const bool sent = co_await trades.send(n);
        CHECK(sent);
      }
      trades.close();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(trades.counters().sent == 1000);
    CHECK(trades.counters().received == 3000);
    CHECK(trades.counters().dropped == 0);
  });
  for (const auto& all : seen) CHECK(all == numbers(1, 1000));
}

TEST_CASE("broadcast: a subscriber sees what is sent from then on; without any a send completes at once") {
  simulate([]() -> weir::task<> {
    broadcast<int> b(10, slow_subscriber::wait);
    const bool to_nobody = co_await b.send(0);
    CHECK(to_nobody);
    auto early = b.subscribe();
    CHECK(b.try_send(1));
    auto late = b.subscribe();
    CHECK(b.try_send(2));
    CHECK(early.lag() == 2);
    CHECK(late.lag() == 1);
    CHECK(b.counters().subscribers == 2);
    CHECK(drain(early) == std::vector{1, 2});
    CHECK(drain(late) == std::vector{2});
    early.reset();
    early.reset();
    CHECK(!early);
    CHECK(b.counters().subscribers == 1);
    CHECK(b.counters().sent == 3);
    auto moved = std::move(late);
    CHECK(!late);
    CHECK(b.try_send(3));
    CHECK(drain(moved) == std::vector{3});
  });
}

TEST_CASE("broadcast: after close() what is there can be read, and then the end; nothing more is sent (D02, D16)") {
  in_group([](weir::task_group& g) -> weir::task<> {
    broadcast<std::string> b(4);
    auto reads = b.subscribe();
    auto waits = b.subscribe();
    std::vector<std::string> seen;
    g.spawn(receive_all<std::string>, std::ref(waits), std::ref(seen));
    co_await settle();
    CHECK(b.try_send("one"));
    b.close();
    b.close();
    CHECK(b.is_closed());
    std::string late = "too late, and long enough to be somewhere else";
    const bool sent = co_await b.send(std::move(late));
    CHECK(!sent);
    CHECK(late == "too late, and long enough to be somewhere else");
    CHECK(!b.try_send(std::move(late)));
    CHECK(late.size() == 46);
    co_await g.join();
    CHECK(seen == std::vector<std::string>{"one"});
    const auto one = co_await reads.receive();
    CHECK(one == "one");
    const auto end = co_await reads.receive();
    CHECK(!end.has_value());
    CHECK(!reads.try_receive().has_value());
    CHECK(!reads.is_disconnected());
    auto after = b.subscribe();
    const auto nothing = co_await after.receive();
    CHECK(!nothing.has_value());
  });
}

TEST_CASE("broadcast: a subscriber has room for one item at least") {
  CHECK_THROWS_AS(broadcast<int>(0), std::invalid_argument);
  broadcast<int> b(1);
  CHECK_THROWS_AS(static_cast<void>(b.subscribe(slow_subscriber::skip, 0)), std::invalid_argument);
  CHECK(b.counters().subscribers == 0);
  CHECK(b.try_send(1));
}

// ---- slow subscribers

TEST_CASE("broadcast: slow subscribers miss what is new, or what is old, or are disconnected, as they have asked") {
  broadcast<int> b(3);
  auto skips = b.subscribe();
  auto drops = b.subscribe(slow_subscriber::drop_oldest);
  auto leaves = b.subscribe(slow_subscriber::disconnect);
  auto roomy = b.subscribe(slow_subscriber::disconnect, 10);
  for (int n = 1; n <= 5; ++n) CHECK(b.try_send(n));
  CHECK(skips.lag() == 3);
  CHECK(skips.missed() == 2);
  CHECK(drops.lag() == 3);
  CHECK(drops.missed() == 2);
  CHECK(leaves.lag() == 3);
  CHECK(leaves.missed() == 1);
  CHECK(leaves.is_disconnected());
  CHECK(!roomy.is_disconnected());
  CHECK(b.counters().subscribers == 3);
  CHECK(b.counters().dropped == 5);
  CHECK(skips.try_receive() == 1);
  CHECK(b.try_send(6));
  CHECK(drain(skips) == std::vector{2, 3, 6});
  CHECK(drain(drops) == std::vector{4, 5, 6});
  CHECK(leaves.try_receive() == 1);
  CHECK(leaves.try_receive() == 2);
  CHECK(leaves.try_receive() == 3);
  for (int i = 0; i < 2; ++i) {
    try {
      leaves.try_receive();
      FAIL("it was not told");
    } catch (const std::system_error& e) {
      CHECK(e.code() == std::errc::no_buffer_space);
      CHECK(std::string(e.what()).find("too slow") != std::string::npos);
    }
  }
  CHECK(drain(roomy) == numbers(1, 6));
  CHECK(b.counters().received == 16);
  leaves.reset();
  CHECK(b.counters().subscribers == 3);
}

TEST_CASE("broadcast: a disconnected subscriber is told, whether it awaits or not, and others go on") {
  in_group([](weir::task_group&) -> weir::task<> {
    broadcast<int> b(1, slow_subscriber::disconnect);
    auto slow = b.subscribe();
    auto fast = b.subscribe();
    co_await b.send(1);
    CHECK(fast.try_receive() == 1);
    co_await b.send(2);
    CHECK(fast.try_receive() == 2);
    const auto kept = co_await slow.receive();
    CHECK(kept == 1);
    const auto told = co_await weir::as_result(slow.receive());
    CHECK(told.error() == std::errc::no_buffer_space);
    b.close();
    const auto still = co_await weir::as_result(slow.receive());
    CHECK(still.error() == std::errc::no_buffer_space);
    slow = b.subscribe();
    const auto end = co_await slow.receive();
    CHECK(!end.has_value());
  });
}

TEST_CASE("broadcast: a slow subscriber does not stall the others, and what it misses is counted (P13, P14)") {
  std::vector<int> fast_seen;
  std::vector<int> slow_seen;
  in_group([&](weir::task_group& g) -> weir::task<> {
    broadcast<int> b(10);
    auto fast = b.subscribe();
    auto slow = b.subscribe();
    auto slowly = [&]() -> weir::task<> {
      while (auto n = co_await slow.receive()) {
        slow_seen.push_back(*n);
        co_await weir::sleep_for(1s);
      }
    };
    g.spawn(receive_all<int>, std::ref(fast), std::ref(fast_seen));
    g.spawn(slowly);
    for (int n = 1; n <= 1000; ++n) {
      co_await b.send(n);
      co_await weir::sleep_for(1ms);
    }
    CHECK(weir::now() == weir::time_point() + 1s);
    CHECK(fast_seen == numbers(1, 1000));
    b.close();
    co_await g.join();
    CHECK(slow.missed() == 1000 - slow_seen.size());
    CHECK(b.counters().dropped == slow.missed());
    CHECK(b.counters().received == 1000 + slow_seen.size());
  });
  CHECK(slow_seen.size() >= 11);
  CHECK(slow_seen.size() <= 12);
}

TEST_CASE("broadcast: a chat of a thousand: every delivery and every drop is counted, and it ends (D16)") {
  for (const bool slow : {false, true}) {
    constexpr std::size_t clients = 1000;
    constexpr std::size_t messages = 100;
    weir::broadcast_counters counters;
    std::uint64_t received = 0;
    std::uint64_t missed = 0;
    simulate([&]() -> weir::task<> {
      broadcast<int> hub(10);
      auto client = [&](broadcast_subscription<int> mine) -> weir::task<> {
        while (auto n = co_await mine.receive()) {
          ++received;
          if (slow) co_await weir::sleep_for(20ms);
        }
        missed += mine.missed();
        mine.reset();
        mine.reset();
      };
      auto body = [&](weir::task_group& g) -> weir::task<> {
        for (std::size_t i = 0; i < clients; ++i) g.spawn(client, hub.subscribe());
        for (std::size_t n = 0; n < messages; ++n) {
          co_await hub.send(static_cast<int>(n));
          co_await weir::sleep_for(1ms);
        }
        hub.close();
        co_await g.join();
      };
      co_await weir::with_task_group(body);
      counters = hub.counters();
    });
    CHECK(counters.sent == messages);
    CHECK(counters.received == received);
    CHECK(counters.dropped == missed);
    CHECK(counters.subscribers == 0);
    CHECK(received + missed == clients * messages);
    CHECK((missed == 0) == !slow);
  }
}

// ---- wait

TEST_CASE("broadcast: a send waits for whom it has to, and until then nobody has the item") {
  in_group([](weir::task_group& g) -> weir::task<> {
    broadcast<int> b(2, slow_subscriber::wait);
    auto slow = b.subscribe();
    auto fast = b.subscribe();
    auto skips = b.subscribe(slow_subscriber::skip);
    test::log seen;
    co_await b.send(1);
    co_await b.send(2);
    CHECK(drain(fast) == std::vector{1, 2});
    g.spawn(send_and_note<int>, std::ref(b), 3, std::ref(seen), "three");
    co_await settle();
    g.spawn(send_and_note<int>, std::ref(b), 4, std::ref(seen), "four");
    co_await settle();
    CHECK(seen.empty());
    CHECK(fast.lag() == 0);
    CHECK(!b.try_send(9));
    CHECK(b.counters().sent == 2);
    CHECK(skips.lag() == 2);
    CHECK(slow.try_receive() == 1);
    co_await settle();
    CHECK(seen == test::log{"three sent"});
    CHECK(fast.lag() == 1);
    const auto two = co_await slow.receive();
    CHECK(two == 2);
    co_await g.join();
    CHECK(seen == test::log{"three sent", "four sent"});
    CHECK(drain(slow) == std::vector{3, 4});
    CHECK(drain(fast) == std::vector{3, 4});
    CHECK(drain(skips) == std::vector{1, 2});
    CHECK(skips.missed() == 2);
    CHECK(slow.missed() + fast.missed() == 0);
  });
}

TEST_CASE("broadcast: a stopped send has not touched its item, and nobody has it") {
  in_group([](weir::task_group& g) -> weir::task<> {
    broadcast<std::string> b(1, slow_subscriber::wait);
    auto full = b.subscribe();
    auto other = b.subscribe();
    co_await b.send("first");
    CHECK(other.try_receive() == "first");
    const std::string text = "an item that is long enough to be somewhere else";
    std::string item = text;
    const auto late = co_await weir::as_result(weir::with_timeout(1ms, b.send(std::move(item))));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(item == text);
    weir::cancellation_source cancelled;
    cancelled.request_cancellation();
    CHECK(full.try_receive() == "first");
    const auto before = co_await weir::as_result(weir::with_cancellation(cancelled.token(), b.send(std::move(item))));
    CHECK(before.is_cancelled());
    CHECK(item == text);
    CHECK(full.lag() == 0);
    CHECK(other.lag() == 0);

    // It has been sent before the stop.
    co_await b.send("second");
    CHECK(other.try_receive() == "second");
    weir::cancellation_source source;
    bool sent = false;
    auto sends = [&]() -> weir::task<> {
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), b.send(std::move(item))));
      sent = r.has_value() && *r;
    };
    g.spawn(sends);
    co_await settle();
    CHECK(full.try_receive() == "second");
    source.request_cancellation();
    co_await g.join();
    CHECK(sent);
    CHECK(full.try_receive() == text);
    CHECK(other.try_receive() == text);
  });
}

TEST_CASE("broadcast: who waits for a subscriber goes on when he goes, or when it is closed (D02)") {
  in_group([](weir::task_group& g) -> weir::task<> {
    broadcast<int> b(1, slow_subscriber::wait);
    auto stays = b.subscribe();
    auto goes = b.subscribe();
    test::log seen;
    co_await b.send(1);
    g.spawn(send_and_note<int>, std::ref(b), 2, std::ref(seen), "two");
    co_await settle();
    CHECK(stays.try_receive() == 1);
    co_await settle();
    CHECK(seen.empty());
    goes.reset();
    co_await settle();
    CHECK(seen == test::log{"two sent"});
    g.spawn(send_and_note<int>, std::ref(b), 3, std::ref(seen), "three");
    co_await settle();
    b.close();
    co_await g.join();
    CHECK(seen == test::log{"two sent", "three refused"});
    CHECK(drain(stays) == std::vector{2});
  });
}

// ---- copies

TEST_CASE("broadcast: an item is copied for each subscriber but the last, who gets the item itself") {
  struct counting {
    explicit counting(int* to) : copies(to) {}
    counting(const counting& other) : copies(other.copies) { ++*copies; }
    counting(counting&& other) noexcept : copies(other.copies) {}
    counting& operator=(const counting&) = delete;
    ~counting() = default;
    int* copies;
  };
  int copies = 0;
  broadcast<counting> b(2);
  auto first = b.subscribe();
  auto second = b.subscribe();
  auto third = b.subscribe();
  CHECK(b.try_send(counting(&copies)));
  CHECK(copies == 0);
  CHECK(first.try_receive().has_value());
  CHECK(second.try_receive().has_value());
  CHECK(copies == 2);
  CHECK(third.try_receive().has_value());
  CHECK(copies == 2);
}

TEST_CASE("broadcast: an item lives until its last reader has let go of it, and not longer") {
  auto item = std::make_shared<int>(1);
  broadcast<std::shared_ptr<int>> b(2);
  CHECK(b.try_send(item));
  CHECK(item.use_count() == 1);
  auto reads = b.subscribe();
  auto drops = b.subscribe(slow_subscriber::drop_oldest, 1);
  auto goes = b.subscribe();
  CHECK(b.try_send(item));
  CHECK(item.use_count() == 2);
  CHECK(reads.try_receive() == item);
  CHECK(item.use_count() == 2);
  goes.reset();
  CHECK(item.use_count() == 2);
  CHECK(b.try_send(nullptr));
  CHECK(item.use_count() == 1);
  auto full = b.subscribe(slow_subscriber::skip, 1);
  reads.reset();
  drops.reset();
  CHECK(b.try_send(nullptr));
  CHECK(b.try_send(item));
  CHECK(item.use_count() == 1);
}

TEST_CASE("broadcast: what a move throws goes to the sender, what a copy throws to the receiver; all of it is usable") {
  test::fragile::alive = 0;
  in_group([](weir::task_group& g) -> weir::task<> {
    broadcast<test::fragile> b(1, slow_subscriber::wait);
    auto one = b.subscribe();
    auto two = b.subscribe();
    test::fragile item(7);
    test::fragile::break_move(1);
    CHECK_THROWS_AS(b.try_send(std::move(item)), test::broken);
    CHECK(item.value == 7);
    CHECK(one.lag() + two.lag() == 0);
    CHECK(b.counters().sent == 0);
    CHECK(b.try_send(std::move(item)));

    test::fragile::break_move(1);
    CHECK_THROWS_AS(one.try_receive(), test::broken);
    CHECK(one.lag() == 1);
    const auto first = co_await two.receive();
    CHECK(first->value == 7);
    test::fragile::break_move(1);
    const auto failed = co_await weir::as_result(one.receive());
    CHECK(failed.exception() != nullptr);
    const auto second = co_await one.receive();
    CHECK(second->value == 7);
    CHECK(b.counters().received == 2);

    // The sender waits; its item is moved when the receiver makes room.
    CHECK(b.try_send(test::fragile(8)));
    test::log seen;
    auto sends = [&]() -> weir::task<> {
      test::fragile mine(9);
      const auto r = co_await weir::as_result(b.send(std::move(mine)));
      seen.push_back(r.exception() && mine.value == 9 ? "failed" : "sent");
      const bool again = co_await b.send(std::move(mine));
      seen.push_back(again ? "sent" : "refused");
    };
    g.spawn(sends);
    co_await settle();
    CHECK(one.try_receive()->value == 8);
    test::fragile::break_move(2);  // the first copies to its receiver
    CHECK(two.try_receive()->value == 8);
    co_await g.join();
    CHECK(seen == test::log{"failed", "sent"});
    CHECK(one.try_receive()->value == 9);
    CHECK(two.try_receive()->value == 9);
    CHECK(b.counters().dropped == 0);
  });
  CHECK(test::fragile::alive == 0);
}

namespace {

/// Calls something when it is copied, and when it is destroyed.
struct calling {
  explicit calling(int v, std::function<void()> on_copy = {}, std::function<void()> on_end = {})
      : value(v), copied(std::move(on_copy)), ended(std::move(on_end)) {}
  calling(const calling& other) : value(other.value) {
    if (other.copied) other.copied();
  }
  calling(calling&& other) noexcept
      : value(other.value), copied(std::move(other.copied)), ended(std::exchange(other.ended, nullptr)) {}
  calling& operator=(const calling&) = delete;
  ~calling() {
    if (ended) ended();
  }
  int value;
  std::function<void()> copied;
  std::function<void()> ended;
};

}  // namespace

TEST_CASE("broadcast: copies and destructors of items may use it, also when the item that is read is dropped for it") {
  for (const bool throws : {false, true}) {
    broadcast<calling> b(1, slow_subscriber::drop_oldest);
    auto reads = b.subscribe();
    auto other = b.subscribe();  // so that items are copied
    int ended = 0;
    auto on_copy = [&] {
      CHECK(b.try_send(calling(2)));
      CHECK(b.try_send(calling(3)));
      if (throws) throw test::broken();
    };
    auto on_end = [&] {
      ++ended;
      CHECK(b.counters().subscribers <= 2);
    };
    CHECK(b.try_send(calling(1, on_copy, on_end)));
    if (throws) {
      CHECK_THROWS_AS(reads.try_receive(), test::broken);
    } else {
      CHECK(reads.try_receive()->value == 1);
    }
    CHECK(ended == 1);
    CHECK(reads.lag() == 1);
    CHECK(reads.missed() == (throws ? 2 : 1));
    CHECK(reads.try_receive()->value == 3);
    CHECK(other.missed() == 2);
    CHECK(other.try_receive()->value == 3);
    CHECK(b.counters().dropped == (throws ? 4 : 3));
    CHECK(b.counters().received == (throws ? 2 : 3));
  }
}

// ---- waiting to receive

TEST_CASE("broadcast: a stop while waiting to receive loses nothing; what had come before it is delivered") {
  in_group([](weir::task_group& g) -> weir::task<> {
    broadcast<int> b(2);
    auto mine = b.subscribe();
    const auto late = co_await weir::as_result(weir::with_timeout(1ms, mine.receive()));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(b.try_send(1));
    weir::cancellation_source cancelled;
    cancelled.request_cancellation();
    const auto before = co_await weir::as_result(weir::with_cancellation(cancelled.token(), mine.receive()));
    CHECK(before.is_cancelled());
    CHECK(mine.try_receive() == 1);
    weir::cancellation_source source;
    std::optional<int> got;
    auto receives = [&]() -> weir::task<> {
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), mine.receive()));
      if (r.has_value()) got = *r;
    };
    g.spawn(receives);
    co_await settle();
    CHECK(b.try_send(2));
    source.request_cancellation();
    co_await g.join();
    CHECK(got == 2);
    CHECK(mine.lag() == 0);
  });
}

TEST_CASE("broadcast: as cases of a select a receive and a send commit or leave no trace") {
  in_group([](weir::task_group& g) -> weir::task<> {
    broadcast<std::string> b(1, slow_subscriber::wait);
    auto mine = b.subscribe();
    weir::event set(weir::reset_mode::manual, true);
    auto timed = co_await weir::select(mine.receive(), weir::sleep_for(1ms));
    CHECK(timed.index() == 1);
    CHECK(b.try_send("one"));
    auto other = co_await weir::select_ordered(set.wait(), mine.receive());
    CHECK(other.index() == 0);
    CHECK(mine.lag() == 1);
    std::string two = "two, long enough to be somewhere else than here";
    auto blocked = co_await weir::select_ordered(b.send(std::move(two)), weir::sleep_for(1ms));
    CHECK(blocked.index() == 1);
    CHECK(two.size() == 47);
    auto first = co_await weir::select_ordered(b.send(std::move(two)), mine.receive());
    CHECK(first.index() == 1);
    CHECK(first.template get<1>() == "one");
    CHECK(two.size() == 47);
    auto sent = co_await weir::select_ordered(b.send(std::move(two)), mine.receive());
    CHECK(sent.index() == 0);
    CHECK(sent.template get<0>());
    CHECK(mine.lag() == 1);

    // Both wait, and meet.
    test::log seen;
    auto sends = [&]() -> weir::task<> {
      std::string three = "three";
      auto chosen = co_await weir::select(b.send(std::move(three)), weir::sleep_for(1h));
      CHECK(chosen.index() == 0);
      seen.push_back("sent");
    };
    auto receives = [&]() -> weir::task<> {
      for (int i = 0; i < 2; ++i) {
        auto chosen = co_await weir::select(weir::sleep_for(1h), mine.receive());
        CHECK(chosen.index() == 1);
        seen.push_back(*chosen.template get<1>());
      }
    };
    g.spawn(sends);
    co_await settle();
    CHECK(seen.empty());
    g.spawn(receives);
    co_await g.join();
    std::sort(seen.begin(), seen.end());
    CHECK(seen == test::log{"sent", "three", "two, long enough to be somewhere else than here"});
    CHECK(!weir::try_select(mine.receive()).has_value());
    b.close();
    auto end = co_await weir::select(mine.receive(), weir::sleep_for(1h));
    CHECK(end.index() == 0);
    CHECK(!end.template get<0>().has_value());
  });
}

// ---- any order

TEST_CASE("broadcast: seeds: who is served gets it all, once and in order, whoever comes, goes and is cancelled") {
  const std::uint64_t seeds = test::scaled(6000, 500);
  std::uint64_t stopped = 0;
  std::uint64_t missed = 0;
  std::uint64_t disconnected = 0;
  std::uint64_t received = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    test::dice dice(seed);
    constexpr int senders = 3;
    constexpr int each = 8;
    bool wrong = false;
    std::array<weir::cancellation_source, senders> sources;
    std::vector<std::string> order;  // what was sent, as the one who is always served has it
    std::vector<std::string> done;   // sends that completed
    struct visit {
      std::vector<std::string> got;
      std::uint64_t first;
    };
    std::vector<visit> visits;
    std::uint64_t sum_received = 0;
    std::uint64_t sum_missed = 0;
    auto program = [&]() -> weir::task<> {
      broadcast<std::string> b(1 + dice.roll(3), static_cast<slow_subscriber>(dice.roll(4)));
      auto served = b.subscribe(slow_subscriber::wait, 1 + dice.roll(4));
      auto send = [&](int who) -> weir::task<> {
        for (int i = 0; i < each; ++i) {
          const std::string text = std::to_string(who * 100 + i) + ", and so on until it lies elsewhere";
          std::string item = text;
          if (dice.roll(4) == 0) {
            auto chosen = co_await weir::select(b.send(std::move(item)), weir::sleep_for(weir::duration(dice.roll(9))));
            if (chosen.index() == 0) done.push_back(text);
            wrong = wrong || (chosen.index() != 0 && item != text);
          } else {
            const bool sent = co_await b.send(std::move(item));
            wrong = wrong || !sent;
            done.push_back(text);
          }
          if (dice.roll(3) == 0) co_await weir::sleep_for(weir::duration(dice.roll(9)));
        }
      };
      auto sending = [&](int who) -> weir::task<> {
        auto& source = sources[static_cast<std::size_t>(who)];
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), send(who)));
        if (!r.has_value()) ++stopped;
      };
      auto cancel = [&](int who) -> weir::task<> {
        co_await weir::sleep_for(weir::duration(dice.roll(60)));
        sources[static_cast<std::size_t>(who)].request_cancellation();
      };
      auto main_reader = [&]() -> weir::task<> {
        while (auto text = co_await served.receive()) {
          order.push_back(std::move(*text));
          if (dice.roll(2) == 0) co_await weir::sleep_for(weir::duration(dice.roll(5)));
        }
      };
      auto visitor = [&](slow_subscriber policy) -> weir::task<> {
        co_await weir::sleep_for(weir::duration(dice.roll(20)));
        auto mine = b.subscribe(policy, 1 + dice.roll(3));
        const std::uint64_t first = b.counters().sent;
        std::vector<std::string> got;
        const bool leaves = dice.roll(3) == 0;
        for (unsigned n = 0; !leaves || n < 6; ++n) {
          const auto r = co_await weir::as_result(weir::with_timeout(weir::duration(1 + dice.roll(6)), mine.receive()));
          if (r.has_value()) {
            if (!r->has_value()) break;
            got.push_back(**r);
            ++sum_received;
          } else if (r.error() == std::errc::no_buffer_space) {
            ++disconnected;
            wrong = wrong || !mine.is_disconnected();
            break;
          }
          if (dice.roll(2) == 0) co_await weir::sleep_for(weir::duration(dice.roll(20)));
        }
        const std::uint64_t last = b.counters().sent;
        if (!mine.is_disconnected()) wrong = wrong || got.size() + mine.lag() + mine.missed() != last - first;
        if (policy == slow_subscriber::wait) wrong = wrong || mine.missed() != 0;
        sum_missed += mine.missed();
        mine.reset();
        // Everybody's items are in the order of the one who is served, which is complete once all have ended.
        visits.push_back({std::move(got), first});
      };
      auto body = [&](weir::task_group& g) -> weir::task<> {
        auto all_senders = [&](weir::task_group& s) {
          for (int who = 0; who < senders; ++who) s.spawn(sending, who);
          if (dice.roll(2) == 0) s.spawn(cancel, static_cast<int>(dice.roll(senders)));
        };
        g.spawn(main_reader);
        for (int i = 0; i < 4; ++i) g.spawn(visitor, static_cast<slow_subscriber>(dice.roll(4)));
        co_await test::together(all_senders);
        b.close();
        co_await g.join();
      };
      co_await weir::with_task_group(body);
      const weir::broadcast_counters counters = b.counters();
      wrong = wrong || counters.sent != order.size() || counters.sent != done.size();
      wrong = wrong || counters.received != order.size() + sum_received || counters.dropped != sum_missed;
      wrong = wrong || counters.subscribers != 1 || served.missed() != 0;
    };
    simulate(program, seed);
    for (const auto& [got, first] : visits) {
      auto from = order.begin() + static_cast<std::ptrdiff_t>(first);
      for (const std::string& text : got) {
        from = std::find(from, order.end(), text);
        wrong = wrong || from == order.end();
        if (from != order.end()) ++from;
      }
    }
    std::sort(order.begin(), order.end());
    std::sort(done.begin(), done.end());
    CAPTURE(seed);
    REQUIRE(!wrong);
    REQUIRE(order == done);
    missed += sum_missed;
    received += sum_received;
  }
  CHECK(stopped > seeds / 10);
  CHECK(missed > seeds);
  CHECK(disconnected > seeds / 10);
  CHECK(received > seeds);
}

TEST_CASE("broadcast: tasks of two runtimes and plain threads share one, and subscribers come and go") {
  const int rounds = test::scaled(4000, 300);
  broadcast<std::string> b(8, slow_subscriber::wait);
  std::atomic<bool> wrong{false};
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> missed{0};
  std::atomic<int> sending{3};
  auto send = [&](int who) -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      const std::string text = std::to_string(who) + ':' + std::to_string(i);
      const auto r = co_await weir::as_result(weir::with_timeout(std::chrono::seconds(60), b.send(text)));
      if (!r.has_value() || !*r) wrong = true;
    }
    if (--sending == 0) b.close();
  };
  // What each sender sends arrives in its order.
  struct order {
    std::array<int, 3> next{};
    bool add(const std::string& text, bool gaps) {
      int& expected = next.at(static_cast<std::size_t>(text[0] - '0'));
      const int n = std::stoi(text.substr(2));
      const bool right = gaps ? n >= expected : n == expected;
      expected = n + 1;
      return right;
    }
  };
  std::vector<broadcast_subscription<std::string>> subscriptions;
  for (int i = 0; i < 4; ++i) {
    subscriptions.push_back(b.subscribe(i == 3 ? slow_subscriber::drop_oldest : slow_subscriber::wait));
  }
  auto receive = [&](std::size_t i) -> weir::task<> {
    order seen;
    while (auto text = co_await subscriptions[i].receive()) {
      if (!seen.add(*text, i == 3)) wrong = true;
      ++received;
    }
    missed += subscriptions[i].missed();
  };
  auto visit = [&]() -> weir::task<> {
    while (!b.is_closed()) {
      auto mine = b.subscribe(slow_subscriber::wait, 2);
      for (int i = 0; i < 3; ++i) {
        const auto r = co_await weir::as_result(weir::with_timeout(std::chrono::microseconds(50), mine.receive()));
        if (r.has_value() && *r) ++received;
      }
      co_await weir::yield();
    }
  };
  auto first = [&]() -> weir::task<> { co_await weir::when_all(send(0), receive(0), receive(3), visit()); };
  auto second = [&]() -> weir::task<> { co_await weir::when_all(send(1), receive(1)); };
  std::vector<std::thread> threads;
  threads.emplace_back([&] { weir::run(first(), {.workers = 2}); });
  threads.emplace_back([&] { weir::run(second(), {.workers = 2}); });
  threads.emplace_back([&] {
    for (int i = 0; i < rounds; ++i) {
      if (!b.send_blocking("2:" + std::to_string(i))) wrong = true;
    }
    if (--sending == 0) b.close();
  });
  threads.emplace_back([&] {
    order seen;
    while (auto text = subscriptions[2].receive_blocking()) {
      if (!seen.add(*text, false)) wrong = true;
      ++received;
    }
  });
  for (std::thread& t : threads) t.join();
  CHECK(!wrong);
  CHECK(b.counters().sent == static_cast<std::uint64_t>(3 * rounds));
  CHECK(b.counters().received == received);
  CHECK(b.counters().dropped == missed);
  CHECK(received + missed >= static_cast<std::uint64_t>(4 * 3 * rounds));
  for (auto& s : subscriptions) CHECK(s.lag() == 0);
}

TEST_CASE("broadcast: blocking forms throw on a worker where they would have to wait") {
  simulate([]() -> weir::task<> {
    broadcast<int> b(1, slow_subscriber::wait);
    auto mine = b.subscribe();
    CHECK_THROWS_AS(static_cast<void>(mine.receive_blocking()), std::logic_error);
    CHECK(b.send_blocking(1));
    CHECK_THROWS_AS(static_cast<void>(b.send_blocking(2)), std::logic_error);
    CHECK(mine.receive_blocking() == 1);
    co_return;
  });
}

TEST_CASE("broadcast: sending and receiving allocate nothing once items lie where others have lain") {
  simulate([]() -> weir::task<> {
    broadcast<std::array<char, 100>> b(4, slow_subscriber::wait);
    const std::array<char, 100> text{};
    std::uint64_t before = 0;
    auto sends = [&]() -> weir::task<> {
      for (int i = 0; i < 200; ++i) {
        if (i == 50) before = test::allocations();
        const bool sent = co_await b.send(text);
        CHECK(sent);
      }
      CHECK(test::allocations() == before);
      b.close();
    };
    auto receives = [&](weir::duration pace) -> weir::task<> {
      auto mine = b.subscribe();
      while (auto item = co_await mine.receive()) co_await weir::sleep_for(pace);
    };
    co_await weir::when_all(receives(weir::duration(1)), receives(weir::duration(3)), sends());
  });
}

TEST_CASE("broadcast: made on a confined worker it needs no lock, and is nobody else's") {
  auto main = []() -> weir::task<> {
    broadcast<int> b(2, slow_subscriber::wait);
    auto one = b.subscribe();
    auto two = b.subscribe();
    std::vector<int> first;
    std::vector<int> second;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(receive_all<int>, std::ref(one), std::ref(first));
      g.spawn(receive_all<int>, std::ref(two), std::ref(second));
      for (int n = 1; n <= 500; ++n) co_await b.send(n);
      b.close();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(first == numbers(1, 500));
    CHECK(second == first);
  };
  weir::run(main(), confined);
  CHECK(test::last_words_of([] {
          auto misuse = []() -> weir::task<> {
            broadcast<int> b(1);
            std::thread other([&] { b.try_send(1); });
            other.join();
            co_return;
          };
          weir::run(misuse(), confined);
        }).find("made on a confined worker") != std::string::npos);
}

TEST_CASE("broadcast: destroying it under a waiter, or before a subscription, is told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  CHECK(test::last_words_of([] {
          in_group([](weir::task_group& g) -> weir::task<> {
            std::optional<broadcast<int>> b(std::in_place, 1, slow_subscriber::wait);
            auto mine = b->subscribe();
            co_await b->send(1);
            auto waits = [&]() -> weir::task<> { co_await b->send(2); };
            g.spawn(waits);
            co_await settle();
            b.reset();
          });
        }) == "weir: a broadcast was destroyed while somebody waits to send to it\n");
  CHECK(test::last_words_of([] {
          std::optional<broadcast<int>> b(std::in_place, 1);
          const auto mine = b->subscribe();
          b.reset();
        }) == "weir: a broadcast was destroyed before a subscription to it\n");
  CHECK(test::last_words_of([] {
          in_group([](weir::task_group& g) -> weir::task<> {
            broadcast<int> b(1);
            auto mine = b.subscribe();
            auto waits = [&]() -> weir::task<> { co_await mine.receive(); };
            g.spawn(waits);
            co_await settle();
            mine.reset();
          });
        }) == "weir: a subscription was destroyed while somebody receives from it\n");
  CHECK(test::last_words_of([] {
          in_group([](weir::task_group& g) -> weir::task<> {
            broadcast<int> b(1);
            auto mine = b.subscribe();
            auto waits = [&]() -> weir::task<> { co_await mine.receive(); };
            g.spawn(waits);
            co_await settle();
            co_await mine.receive();
          });
        }) == "weir: two receive from one subscription at once\n");
  CHECK(test::last_words_of([] {
          broadcast_subscription<int> none;
          none.try_receive();
        }) == "weir: a subscription is used after it was moved from or reset\n");
#endif
}
