#include <weir/sync/select.hpp>

#include <array>
#include <memory>
#include <string>
#include <thread>

#include <weir/sync/channel.hpp>
#include <weir/sync/event.hpp>

#include "support.hpp"

// Joins as cases of select.

using test::settle;
using test::simulate;
using weir::as_result;
using weir::channel;
using weir::join_handle;
using weir::select;
using weir::task;
using weir::task_group;

namespace {

task<int> value_after(weir::duration length, int value) {
  co_await weir::sleep_for(length);
  co_return value;
}

task<std::unique_ptr<int>> owned(weir::event& gate) {
  co_await gate.wait();
  co_return std::make_unique<int>(7);
}

/// In `workers` threads.
template <class F>
void run_on(unsigned workers, F body) {
  auto main = [&body]() -> task<> { co_await weir::with_task_group(body); };
  weir::run(main(), {.workers = workers});
}

}  // namespace

static_assert(weir::detail::selectable<decltype(std::declval<join_handle<int>&>().join())>);
static_assert(weir::detail::selectable<decltype(std::declval<task_group&>().join())>);

TEST_CASE("select: a join is chosen once the task has ended, with its value") {
  simulate([]() -> task<> {
    channel<int> nobody(0);
    join_handle<int> worker = weir::spawn(value_after(1s, 5));
    const auto early = co_await select(worker.join(), nobody.receive(), weir::sleep_for(1ms));
    CHECK(early.index() == 2);
    CHECK(!worker.done());
    const auto late = co_await select(worker.join(), nobody.receive(), weir::sleep_for(1h));
    REQUIRE(late.index() == 0);
    CHECK(late.get<0>() == 5);
    CHECK(weir::now() < weir::time_point() + 2s);
  });
}

TEST_CASE("select: a task that has ended is joined without waiting, by try_select too") {
  simulate([]() -> task<> {
    channel<int> nobody(0);
    weir::event gate;
    join_handle<std::unique_ptr<int>> first = weir::spawn(owned(gate));
    join_handle<std::unique_ptr<int>> second = weir::spawn(owned(gate));
    co_await settle();
    CHECK(!weir::try_select(first.join(), nobody.receive()));
    gate.set();
    co_await settle();
    auto taken = weir::try_select(first.join(), nobody.receive());
    REQUIRE(taken);
    CHECK(*std::move(*taken).get<0>() == 7);
    auto chosen = co_await weir::select_ordered(second.join(), weir::sleep_for(0s));
    REQUIRE(chosen.index() == 0);
    CHECK(*std::move(chosen).get<0>() == 7);
  });
}

TEST_CASE("select: what a task has thrown comes out of its join, and only if that is chosen") {
  simulate([]() -> task<> {
    channel<int> c(1);
    auto fails = []() -> task<> {
      co_await weir::sleep_for(1ms);
      throw std::runtime_error("broken");
    };
    join_handle<> bad = weir::spawn(fails);
    CHECK(c.try_send(1));
    const auto other = co_await select(bad.join(), c.receive());
    CHECK(other.index() == 1);
    const auto thrown = co_await as_result(select(bad.join(), c.receive()));
    REQUIRE(!thrown.has_value());
    CHECK(test::unobserved::what(thrown.exception()) == "broken");
    CHECK(!c.try_receive());
    CHECK(bad.done());
  });
}

TEST_CASE("select: a task that was stopped gives cancelled, as a plain join does") {
  for (const bool before : {false, true}) {
    simulate([before]() -> task<> {
      weir::event never;
      join_handle<std::unique_ptr<int>> worker = weir::spawn(owned(never));
      auto stops = [&]() -> task<> {
        co_await weir::sleep_for(1ms);
        worker.request_cancellation();
      };
      join_handle<> stopper = weir::spawn(stops);
      if (before) co_await stopper.join();
      const auto joined = co_await as_result(select(worker.join(), weir::sleep_for(1h)));
      REQUIRE(!joined.has_value());
      CHECK(joined.error() == std::errc::operation_canceled);
      CHECK(weir::now() < weir::time_point() + 1min);
    });
  }
}

TEST_CASE("select: a join that was not chosen leaves the handle as it was") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    simulate(
        []() -> task<> {
          channel<int> c(0);
          weir::event gate;
          join_handle<std::unique_ptr<int>> worker = weir::spawn(owned(gate));
          for (int i = 0; i < 5; ++i) {
            auto sends = [&c, i]() -> task<> { co_await c.send(i); };
            join_handle<> sender = weir::spawn(sends);
            const auto chosen = co_await select(worker.join(), c.receive());
            REQUIRE(chosen.index() == 1);
            CHECK(chosen.get<1>() == i);
            co_await sender.join();
          }
          gate.set();
          const auto value = co_await worker.join();
          CHECK(*value == 7);
        },
        seed);
  }
}

TEST_CASE("select: several joins, the first to end is chosen and the others can be joined afterwards") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    simulate(
        []() -> task<> {
          std::array<join_handle<int>, 3> all;
          for (int i = 0; i < 3; ++i)
            all[static_cast<std::size_t>(i)] = weir::spawn(value_after(1s * ((i + 1) % 3), i));
          const auto first = co_await select(all[0].join(), all[1].join(), all[2].join());
          REQUIRE(first.index() == 2);
          CHECK(first.get<2>() == 2);
          const auto second = co_await select(all[0].join(), all[1].join());
          REQUIRE(second.index() == 0);
          CHECK(second.get<0>() == 0);
          const int last = co_await all[1].join();
          CHECK(last == 1);
        },
        seed);
  }
}

TEST_CASE("select: cancelled while it waits for a join, the task goes on and can be joined") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    simulate(
        []() -> task<> {
          channel<int> nobody(0);
          join_handle<int> worker = weir::spawn(value_after(3ns, 5));
          bool went_on = false;
          auto joins = [&]() -> task<> {
            const auto chosen = co_await select(worker.join(), nobody.receive());
            went_on = true;
            CHECK(chosen.index() == 0);
          };
          // Before it begins, while it waits, as the task ends, and after that.
          for (int delay = 0; delay < 5; ++delay) {
            went_on = false;
            if (worker.done()) worker = weir::spawn(value_after(3ns, 5));
            join_handle<> joiner = weir::spawn(joins);
            co_await weir::sleep_for(std::chrono::nanoseconds(delay));
            joiner.request_cancellation();
            const auto ended = co_await as_result(joiner.join());
            CHECK(ended.has_value() == went_on);
            if (went_on) {
              worker = weir::spawn(value_after(3ns, 5));
              continue;
            }
            const int value = co_await worker.join();
            CHECK(value == 5);
            worker = weir::spawn(value_after(3ns, 5));
          }
          static_cast<void>(co_await as_result(worker.join()));
        },
        seed);
  }
}

TEST_CASE("select: two joins of one handle at once are told") {
  const std::string words = test::last_words_of([] {
    auto main = []() -> task<> {
      join_handle<int> worker = weir::spawn(value_after(1s, 1));
      static_cast<void>(co_await select(worker.join(), worker.join()));
    };
    weir::run(main(), {.workers = 1});
  });
  CHECK(words.find("two tasks join the same join_handle at once") != std::string::npos);
}

TEST_CASE("select: a join of an empty handle is told") {
  const std::string words = test::last_words_of([] {
    join_handle<int> none;
    static_cast<void>(weir::try_select(none.join(), weir::sleep_for(1h)));
  });
  CHECK(words.find("join() of an empty join_handle") != std::string::npos);
}

TEST_CASE("select: a group's join is chosen when no child is left, and otherwise the children go on") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    simulate(
        []() -> task<> {
          channel<int> c(0);
          int ended = 0;
          auto body = [&](task_group& group) -> task<> {
            auto child = [&](int n) -> task<> {
              co_await weir::sleep_for(1s * n);
              co_await c.send(n);
              ++ended;
            };
            for (int n = 1; n <= 3; ++n) group.spawn(child, n);
            int received = 0;
            for (;;) {
              const auto chosen = co_await select(group.join(), c.receive(), weir::sleep_for(1h));
              REQUIRE(chosen.index() != 2);
              if (chosen.index() == 0) break;
              ++received;
            }
            CHECK(received == 3);
            CHECK(group.size() == 0);
            const auto again = weir::try_select(group.join());
            CHECK(again);
          };
          co_await weir::with_task_group(body);
          CHECK(ended == 3);
        },
        seed);
  }
}

TEST_CASE("select: a group's join that was not chosen does not keep the body's end from joining") {
  simulate([]() -> task<> {
    bool ended = false;
    auto body = [&](task_group& group) -> task<> {
      auto child = [&]() -> task<> {
        co_await weir::sleep_for(1s);
        ended = true;
      };
      group.spawn(child);
      const auto chosen = co_await select(group.join(), weir::sleep_for(1ms));
      CHECK(chosen.index() == 1);
      CHECK(!weir::try_select(group.join()));
    };
    co_await weir::with_task_group(body);
    CHECK(ended);
    // The same when the group is cancelled while it waits in the select.
    auto stopped = [&](task_group& group) -> task<> {
      auto cancels = [&group]() -> task<> {
        co_await weir::sleep_for(1ms);
        group.cancel();
      };
      group.spawn(cancels);
      group.spawn(test::nap(1h));
      co_await select(group.join(), weir::sleep_for(2h));
      FAIL("it went on");
    };
    const auto cut = co_await as_result(weir::with_task_group(stopped));
    CHECK(cut.error() == std::errc::operation_canceled);
    CHECK(weir::now() < weir::time_point() + 1min);
  });
}

TEST_CASE("select: joins race with channels on several workers, and no value is lost") {
  constexpr int rounds = test::scaled(2'000, 300);
  for (const unsigned workers : {1U, 3U}) {
    std::atomic<int> joined{0};
    std::atomic<int> received{0};
    run_on(workers, [&](task_group& group) -> task<> {
      auto racer = [&]() -> task<> {
        for (int i = 0; i < rounds; ++i) {
          channel<int> c(1);
          auto ends = [i]() -> task<int> {
            if (i % 2 == 0) co_await weir::yield();
            co_return i;
          };
          auto sends = [&c, i]() -> task<> {
            if (i % 3 == 0) co_await weir::yield();
            static_cast<void>(c.try_send(i));
          };
          join_handle<int> worker = weir::spawn(ends);
          join_handle<> sender = weir::spawn(sends);
          const auto chosen = co_await select(worker.join(), c.receive());
          if (chosen.index() == 0) {
            ++joined;
            if (chosen.get<0>() != i) throw std::runtime_error("another value");
          } else {
            ++received;
            const int value = co_await worker.join();
            if (value != i) throw std::runtime_error("another value");
          }
          co_await sender.join();
          if (c.try_receive().has_value() != (chosen.index() == 0)) throw std::runtime_error("an item was lost");
        }
      };
      for (int i = 0; i < 4; ++i) group.spawn(racer);
      co_await group.join();
    });
    CHECK(joined + received == 4 * rounds);
  }
}

TEST_CASE("select: joins race with stops on several workers") {
  constexpr int rounds = test::scaled(2'000, 300);
  run_on(3, [&](task_group& group) -> task<> {
    auto racer = [&]() -> task<> {
      for (int i = 0; i < rounds; ++i) {
        auto ends = [i]() -> task<int> {
          if (i % 2 == 0) co_await weir::yield();
          co_return i;
        };
        join_handle<int> worker = weir::spawn(ends);
        bool chosen = false;
        auto waits = [&]() -> task<> {
          channel<int> nobody(0);
          const auto got = co_await select(worker.join(), nobody.receive());
          chosen = got.index() == 0 && got.get<0>() == i;
        };
        join_handle<> waiter = weir::spawn(waits);
        if (i % 3 == 0) co_await weir::yield();
        waiter.request_cancellation();
        const auto ended = co_await as_result(waiter.join());
        if (ended.has_value() != chosen) throw std::runtime_error("stopped and chosen");
        if (chosen) continue;
        const int value = co_await worker.join();
        if (value != i) throw std::runtime_error("another value");
      }
    };
    for (int i = 0; i < 4; ++i) group.spawn(racer);
    co_await group.join();
  });
}

TEST_CASE("select: groups' joins race with channels on several workers") {
  constexpr int rounds = test::scaled(2'000, 300);
  std::atomic<int> joined{0};
  run_on(3, [&](task_group& group) -> task<> {
    auto racer = [&]() -> task<> {
      for (int i = 0; i < rounds; ++i) {
        channel<int> c(2);
        auto body = [&](task_group& inner) -> task<> {
          auto sends = [&c](int n) -> task<> {
            co_await weir::yield();
            co_await c.send(n);
          };
          inner.spawn(sends, 1);
          inner.spawn(sends, 2);
          for (;;) {
            const auto chosen = co_await select(inner.join(), c.receive());
            if (chosen.index() == 0) break;
          }
          if (inner.size() != 0) throw std::runtime_error("a child is left");
        };
        co_await weir::with_task_group(body);
        ++joined;
      }
    };
    for (int i = 0; i < 4; ++i) group.spawn(racer);
    co_await group.join();
  });
  CHECK(joined == 4 * rounds);
}
