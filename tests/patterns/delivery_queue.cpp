#include "calls.hpp"

#include <weir/patterns/delivery_queue.hpp>
#include <weir/patterns/retry.hpp>

using test::elapsed;
using test::simulate;

namespace {

template <class T>
void adds_up(weir::delivery_queue<T>& queue) {
  const weir::delivery_queue_stats s = queue.stats();
  CHECK(s.sent == s.acknowledged + s.dead + s.rejected + s.queued + s.in_flight);
}

}  // namespace

TEST_CASE("delivery_queue: success acks, transient requeues, malformed and permanent reject (S122)") {
  simulate([]() -> weir::task<> {
    weir::dead_letter_queue<std::string> dead;
    weir::delivery_queue<std::string> queue("orders", {.most_deliveries = 4}, &dead);
    for (const char* text : {"well", "flaky", "malformed", "permanent", "always busy"}) {
      const bool sent = co_await queue.send(std::string(text));
      CHECK(sent);
    }
    queue.close();
    test::log seen;
    while (auto d = co_await queue.receive()) {
      const std::string& text = d->message();
      seen.push_back(text);
      if (text == "malformed") {
        d->reject("cannot be read");
      } else if (text == "permanent") {
        d->reject("no such customer");
      } else if (text == "always busy" || (text == "flaky" && d->number() < 3)) {
        d->requeue("busy");
      } else {
        d->ack();
      }
    }
    CHECK(seen == test::log{"well", "flaky", "malformed", "permanent", "always busy", "flaky", "always busy", "flaky",
                            "always busy", "always busy"});
    CHECK(queue.stats().acknowledged == 2);
    CHECK(queue.stats().dead == 3);
    CHECK(queue.stats().requeued == 5);
    adds_up(queue);
    auto letter = dead.take();
    REQUIRE(letter);
    CHECK(letter->message == "malformed");
    CHECK(letter->reason == "cannot be read");
    CHECK(letter->origin == "orders");
    CHECK(letter->attempts == 1);
    letter = dead.take();
    letter = dead.take();
    REQUIRE(letter);
    CHECK(letter->message == "always busy");
    CHECK(letter->attempts == 4);
  });
}

TEST_CASE("delivery_queue: a message that never succeeds is delivered so many times and no more (S122, P53, D38)") {
  simulate([]() -> weir::task<> {
    weir::dead_letter_queue<int> dead;
    weir::delivery_queue<int> queue("x", {}, &dead);
    CHECK(queue.try_send(1));
    queue.close();
    int deliveries = 0;
    while (auto d = co_await queue.receive()) {
      ++deliveries;
      d->requeue("always");
    }
    CHECK(deliveries == 5);
    CHECK(dead.size() == 1);

    weir::delivery_queue<int> without("y", {.most_deliveries = 2});
    CHECK(without.try_send(1));
    without.close();
    while (auto d = co_await without.receive()) d->requeue();
    CHECK(without.stats().rejected == 1);
    adds_up(without);
  });
}

TEST_CASE("delivery: settled once: a second time is an error, and none at all puts the message back (S122, P54)") {
  simulate([]() -> weir::task<> {
    weir::delivery_queue<int> queue("x");
    CHECK(queue.try_send(1));
    {
      auto d = co_await queue.receive();
      REQUIRE(d);
      CHECK(d->number() == 1);
      auto moved = std::move(*d);
      CHECK(d->settled());
      CHECK(!moved.settled());
    }  // dropped
    CHECK(queue.stats().requeued == 1);
    auto again = co_await queue.receive();
    REQUIRE(again);
    CHECK(again->number() == 2);
    again->ack();
    CHECK(again->settled());
    CHECK_THROWS_AS(again->ack(), std::logic_error);
    CHECK_THROWS_AS(again->requeue(), std::logic_error);
    CHECK_THROWS_AS(again->reject(), std::logic_error);
    CHECK(queue.stats().acknowledged == 1);
    CHECK(queue.stats().queued == 0);
    adds_up(queue);
  });
}

TEST_CASE("delivery: who fails or is stopped with a message in hand puts it back (P54)") {
  simulate([]() -> weir::task<> {
    weir::delivery_queue<test::item> queue("x");
    CHECK(queue.try_send(test::item(7)));
    auto fails = [&]() -> weir::task<> {
      auto d = co_await queue.receive();
      throw test::reset();
    };
    auto ended = co_await weir::as_result(fails());
    CHECK(!ended);
    auto hangs = [&]() -> weir::task<> {
      auto d = co_await queue.receive();
      co_await test::never();
    };
    ended = co_await test::stopped_after(1s, hangs());
    CHECK(ended.is_cancelled());
    auto third = co_await queue.receive();
    REQUIRE(third);
    CHECK(third->message().value == 7);
    CHECK(third->number() == 3);
    third->ack();
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE(
    "delivery_queue: senders wait for room until messages are settled; a close tells them, the message untouched") {
  simulate([]() -> weir::task<> {
    weir::delivery_queue<test::item> queue("x", {.capacity = 2});
    test::item kept(9);
    auto sends = [&]() -> weir::task<> {
      for (int i = 0; i < 3; ++i) {
        const bool sent = co_await queue.send(test::item(i));
        CHECK(sent);
      }
      CHECK(elapsed() == 1s);
      const bool sent = co_await queue.send(std::move(kept));
      CHECK(!sent);
      CHECK(kept.value == 9);
      CHECK(elapsed() == 2s);
      test::item other(8);
      CHECK(!queue.try_send(std::move(other)));
      CHECK(other.value == 8);
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      group.spawn(sends);
      auto first = co_await queue.receive();
      co_await weir::sleep_for(1s);
      CHECK(queue.stats().in_flight == 1);
      first->ack();
      co_await weir::sleep_for(1s);
      queue.close();
      queue.close();
      int left = 0;
      while (auto d = co_await queue.receive()) {
        ++left;
        d->ack();
      }
      CHECK(left == 2);
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    adds_up(queue);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("delivery_queue: closed, it ends when the last message is settled, not before") {
  simulate([]() -> weir::task<> {
    weir::delivery_queue<int> queue("x");
    CHECK(queue.try_send(1));
    auto held = co_await queue.receive();
    queue.close();
    int received = 0;
    auto waits = [&]() -> weir::task<> {
      while (auto d = co_await queue.receive()) {
        ++received;
        d->ack();
      }
      CHECK(elapsed() == 1s);
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      group.spawn(waits);
      group.spawn(waits);
      co_await weir::sleep_for(1s);
      CHECK(received == 0);
      held->requeue();
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(received == 1);
    weir::delivery_queue<int> empty("y");
    empty.close();
    auto none = co_await empty.receive();
    CHECK(!none);
  });
}

TEST_CASE("delivery_queue: receive can be a case of a select, and a copy can be sent") {
  simulate([]() -> weir::task<> {
    weir::delivery_queue<std::string> queue("x");
    auto first = co_await weir::select(queue.receive(), weir::sleep_for(1s));
    CHECK(first.index() == 1);
    const std::string text = "text";
    const bool sent = co_await queue.send(text);
    CHECK(sent);
    CHECK(text == "text");
    auto second = co_await weir::select(queue.receive(), weir::sleep_for(1s));
    REQUIRE(second.index() == 0);
    auto d = std::move(second).get<0>();
    REQUIRE(d);
    d->ack();
  });
}

TEST_CASE(
    "delivery_queue and dead_letter_queue: a replay has its deliveries anew, and its attempts go on (S121, S122)") {
  simulate([]() -> weir::task<> {
    weir::dead_letter_queue<int> dead({.most_replays = 2});
    weir::delivery_queue<int> queue("x", {.most_deliveries = 3}, &dead);
    auto works = [&]() -> weir::task<> {
      while (auto d = co_await queue.receive()) d->requeue("busy");
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      group.spawn(works);
      const bool sent = co_await queue.send(1);
      CHECK(sent);
      auto again = [&](weir::dead_letter<int>& l) { return queue.send_again(l); };
      for (int i = 0; i < 5; ++i) {
        co_await weir::sleep_for(1min);
        const std::size_t n = co_await dead.replay(again);
        CHECK(n == (i < 2 ? 1 : 0));
      }
      queue.close();
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    auto left = dead.take();
    REQUIRE(left);
    CHECK(left->attempts == 9);
    CHECK(left->replays == 2);
    CHECK(left->first == test::at(0s));
    CHECK(left->last == test::at(2min));
  });
}

TEST_CASE("delivery_queue: a pool with retries and dead letters: every job has one outcome (S91, D53)") {
  simulate([]() -> weir::task<> {
    weir::dead_letter_queue<int> dead;
    weir::delivery_queue<int> jobs("jobs", {.capacity = 20, .most_deliveries = 2}, &dead);
    weir::retry_policy again({.attempts = 3, .initial_delay = 100ms, .jitter = weir::retry_jitter::none});
    std::vector<int> calls(100);
    int done = 0;
    auto worker = [&]() -> weir::task<> {
      while (auto job = co_await jobs.receive()) {
        const int n = job->message();
        auto process = [&]() -> weir::task<> {
          const int call = ++calls[static_cast<std::size_t>(n)];
          co_await weir::sleep_for(10ms);
          if (n % 10 == 1) throw test::denied("never");      // permanent
          if (n % 10 == 2) throw test::reset("always");      // passing, but it does not pass
          if (n % 10 == 3 && call < 3) throw test::reset();  // passes
        };
        auto ended = co_await weir::as_result(again.run(process));
        if (ended) {
          job->ack();
          ++done;
        } else if (weir::is_transient(ended.error())) {
          job->requeue(ended.error().message());
        } else {
          job->reject(ended.error().message());
        }
      }
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < 4; ++i) group.spawn(worker);
      for (int n = 0; n < 100; ++n) {
        const bool sent = co_await jobs.send(n);
        CHECK(sent);
      }
      jobs.close();
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(done == 80);
    CHECK(dead.size() == 20);
    dead.for_each([&](const weir::dead_letter<int>& l) {
      const bool permanent = l.message % 10 == 1;
      CHECK(l.attempts == (permanent ? 1 : 2));
      CHECK(calls[static_cast<std::size_t>(l.message)] == (permanent ? 1 : 6));
    });
    CHECK(calls[3] == 3);
    adds_up(jobs);
  });
}

TEST_CASE(
    "delivery_queue: under many seeds, with stops, failures and drops, every message ends exactly once (P53, P54)") {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(1000, 150)); ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          weir::dead_letter_queue<test::item> dead;
          weir::delivery_queue<test::item> queue("x", {.capacity = 3, .most_deliveries = 3}, &dead);
          std::vector<int> ends(10);
          auto worker = [&]() -> weir::task<> {
            while (auto d = co_await queue.receive()) {
              CHECK(d->number() <= 3);
              const auto n = static_cast<std::size_t>(d->message().value);
              co_await weir::sleep_for(dice.roll(3) * 1ms);
              switch (dice.roll(5)) {
                case 0:
                  d->requeue();
                  break;
                case 1:
                  d->reject();
                  break;
                case 2:
                  break;
                default:
                  d->ack();
                  ++ends[n];
              }
            }
          };
          auto is_stopped = [&]() -> weir::task<> {
            for (int i = 0; i < 5; ++i) {
              auto ended = co_await test::stopped_after(weir::duration(dice.roll(4) * 1ms), worker());
              static_cast<void>(ended.has_value());
            }
          };
          int sent = 0;
          auto sends = [&]() -> weir::task<> {
            for (int n = 0; n < 10; ++n) {
              test::item message(n);
              auto ended = co_await test::stopped_after(weir::duration((1 + dice.roll(3)) * 1ms),
                                                        queue.send(std::move(message)));
              const bool gone = ended && *ended;
              CHECK(message.value == (gone ? test::item::moved : n));
              if (gone) {
                ++sent;
              } else {
                ++ends[static_cast<std::size_t>(n)];
              }
            }
          };
          auto body = [&](weir::task_group& group) -> weir::task<> {
            group.spawn(worker);
            co_await weir::when_all(sends(), is_stopped());
            queue.close();
            co_await group.join();
          };
          co_await weir::with_task_group(body);
          dead.for_each(
              [&](const weir::dead_letter<test::item>& l) { ++ends[static_cast<std::size_t>(l.message.value)]; });
          CHECK(ends == std::vector<int>(10, 1));
          CHECK(queue.stats().sent == static_cast<std::uint64_t>(sent));
          CHECK(queue.stats().queued == 0);
          CHECK(queue.stats().in_flight == 0);
          adds_up(queue);
        },
        seed);
    CHECK(test::counted::alive == 0);
  }
}

TEST_CASE("delivery_queue: shared by several workers") {
  weir::dead_letter_queue<int> dead;
  weir::delivery_queue<int> queue("x", {.capacity = 8, .most_deliveries = 2}, &dead);
  std::atomic<int> acked{0};
  weir::runtime world({.workers = 2});
  auto main = [&]() -> weir::task<> {
    auto worker = [&]() -> weir::task<> {
      while (auto d = co_await queue.receive()) {
        co_await weir::yield();
        if (d->message() % 3 == 0) continue;  // dropped, and dead after the second time
        d->ack();
        ++acked;
      }
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < 4; ++i) group.spawn(worker);
      for (int n = 0; n < 999; ++n) {
        const bool sent = co_await queue.send(n);
        CHECK(sent);
      }
      queue.close();
      co_await group.join();
    };
    co_await weir::with_task_group(body);
  };
  world.block_on(main());
  CHECK(acked == 666);
  CHECK(dead.size() == 333);
  adds_up(queue);
}
