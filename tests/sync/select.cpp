#include <weir/sync/select.hpp>

#include <sys/select.h>

#include <array>
#include <cmath>
#include <map>
#include <thread>

#include <weir/sync/channel.hpp>
#include <weir/sync/event.hpp>
#include <weir/sync/make_channel.hpp>

#include "support.hpp"

using test::fragile;
using test::settle;
using test::simulate;
using weir::channel;
using weir::reset_mode;
using weir::select;

namespace {

/// Runs `body(group)`, a coroutine, in a simulation, and joins what it has spawned.
template <class F>
void in_group(F body, std::uint64_t seed = 1) {
  simulate([&body]() -> weir::task<> { co_await weir::with_task_group(body); }, seed);
}

/// The same on a real worker, which interrupts nobody before the budget is used up, and whose queue allocates nothing.
template <class F>
void in_real_group(F body) {
  auto main = [&body]() -> weir::task<> { co_await weir::with_task_group(body); };
  weir::run(main(), {.workers = 1});
}

/// Nobody waits at `c`, which has no items: neither an item nor a demand finds anybody.
bool is_left_alone(channel<int>& c) {
  if (c.capacity() != 0) return c.empty();
  return !c.try_send(0) && !c.try_receive();
}

/// Every one of `counts` is what `total` fair choices give, to within five standard deviations.
template <std::size_t n>
void check_fair(const std::array<int, n>& counts, int total) {
  const double expected = static_cast<double>(total) / n;
  const double deviation = std::sqrt(expected * (1 - 1.0 / n));
  for (const int count : counts) CHECK(std::abs(count - expected) < 5 * deviation);
}

}  // namespace

// ---- what can be had at once

TEST_CASE("select takes what can be had without suspending, and tells what it was") {
  in_real_group([](weir::task_group& g) -> weir::task<> {
    bool others_ran = false;
    auto other = [&]() -> weir::task<> {
      others_ran = true;
      co_return;
    };
    g.spawn(other);
    channel<int> full(1);
    channel<int> empty(1);
    channel<std::string> words(0);
    CHECK(full.try_send(7));

    const auto received = co_await select(words.receive(), full.receive(), weir::sleep_for(1h));
    REQUIRE(received.index() == 1);
    CHECK(received.get<1>() == 7);
    const auto sent = co_await select(words.receive(), empty.send(8));
    REQUIRE(sent.index() == 1);
    CHECK(sent.get<1>());
    CHECK(empty.try_receive() == 8);
    auto reserved = co_await select(empty.receive(), words.receive(), empty.reserve());
    REQUIRE(reserved.index() == 2);
    CHECK(reserved.get<2>().send(9));
    CHECK(empty.try_receive() == 9);
    const auto slept = co_await select(empty.receive(), weir::sleep_for(0s));
    REQUIRE(slept.index() == 1);
    static_assert(std::is_void_v<decltype(slept.get<1>())>);
    CHECK(!others_ran);
    co_await g.join();
  });
}

TEST_CASE("a select of one case is that case") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(0);
    auto sends = [&]() -> weir::task<> {
      const auto sent = co_await select(c.send(3));
      CHECK(sent.get<0>());
    };
    g.spawn(sends);
    const auto got = co_await select(c.receive());
    CHECK(got.get<0>() == 3);
  });
}

TEST_CASE("the operations that were not chosen have not been started: their items are untouched") {
  for (const bool wait : {false, true}) {
    in_group([wait](weir::task_group& g) -> weir::task<> {
      channel<std::unique_ptr<int>> full(1);
      CHECK(full.try_send(nullptr));
      channel<std::unique_ptr<int>> nobody(0);
      channel<int> numbers(1);
      auto a = std::make_unique<int>(1);
      auto b = std::make_unique<int>(2);
      auto gives = [&]() -> weir::task<> {
        co_await weir::sleep_for(1ms);
        CHECK(numbers.try_send(5));
      };
      if (wait) {
        g.spawn(gives);
      } else {
        CHECK(numbers.try_send(5));
      }
      const auto chosen = co_await select(full.send(std::move(a)), nobody.send(std::move(b)), numbers.receive());
      REQUIRE(chosen.index() == 2);
      CHECK(chosen.get<2>() == 5);
      CHECK(*a == 1);  // NOLINT(bugprone-use-after-move)
      CHECK(*b == 2);  // NOLINT(bugprone-use-after-move)
      CHECK(!nobody.try_receive());
      CHECK(full.try_receive());
      CHECK(!full.try_receive());
    });
  }
}

TEST_CASE("of cases that can be had at once each has the same chance") {
  constexpr int total = 12'000;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    std::array<int, 4> chosen{};
    std::array<int, 2> of_two{};
    auto main = [&]() -> weir::task<> {
      channel<int> gone(0);
      gone.close();
      channel<int> room(weir::unbounded);
      const weir::event open(reset_mode::manual, true);
      channel<int> nobody(0);
      for (int i = 0; i < total; ++i) {
        const auto first =
            co_await select(gone.receive(), room.send(1), weir::sleep_for(0s), const_cast<weir::event&>(open).wait());
        ++chosen[first.index()];
        // Cases that cannot be had do not change the chances of the others.
        const auto second = co_await select(nobody.receive(), gone.receive(), nobody.send(1), room.send(1));
        REQUIRE(second.index() % 2 == 1);
        ++of_two[second.index() / 2];
      }
    };
    simulate(main, seed);
    check_fair(chosen, total);
    check_fair(of_two, total);
  }
}

TEST_CASE("try_select is fair as well, in a task and outside of all runtimes") {
  channel<int> gone(0);
  gone.close();
  channel<int> room(weir::unbounded);
  constexpr int total = 10'000;
  auto choose = [&](std::array<int, 2>& of_two) {
    for (int i = 0; i < total; ++i) {
      const auto chosen = weir::try_select(gone.receive(), room.send(1));
      REQUIRE(chosen);
      ++of_two[chosen->index()];
    }
  };
  std::array<int, 2> here{};
  choose(here);
  check_fair(here, total);
  std::array<int, 2> there{};
  simulate([&]() -> weir::task<> {
    choose(there);
    co_return;
  });
  check_fair(there, total);
}

TEST_CASE("select_ordered takes the first that can be had") {
  simulate([]() -> weir::task<> {
    channel<int> a(10);
    channel<int> b(10);
    channel<int> nobody(0);
    for (int i = 0; i < 300; ++i) {  // more than a budget
      if (a.size() < 10 && i % 3 != 0) CHECK(a.try_send(1));
      CHECK(b.try_send(2));
      const bool has_a = !a.empty();
      const auto chosen = co_await weir::select_ordered(nobody.receive(), a.receive(), b.receive());
      REQUIRE(chosen.index() == (has_a ? 1 : 2));
      if (has_a) CHECK(b.try_receive() == 2);
      const auto other = co_await weir::select_ordered(b.send(1), a.send(1));
      REQUIRE(other.index() == 0);
      CHECK(b.try_receive());
    }
  });
}

TEST_CASE("try_select does not wait, and leaves everything as it was where nothing can be had") {
  channel<int> nobody(0);
  channel<std::unique_ptr<int>> full(1);
  CHECK(full.try_send(nullptr));
  auto item = std::make_unique<int>(1);
  weir::event never;
  weir::event signal(reset_mode::automatic);
  for (int i = 0; i < 10; ++i) {
    CHECK(!weir::try_select(nobody.receive(), nobody.send(1), full.send(std::move(item)), full.reserve(),
                            weir::sleep_for(1h), never.wait(), signal.wait()));
  }
  CHECK(item);
  CHECK(is_left_alone(nobody));
  CHECK(full.size() == 1);
  signal.set();
  const auto chosen = weir::try_select(nobody.receive(), signal.wait());
  REQUIRE(chosen);
  CHECK(chosen->index() == 1);
  CHECK(!signal.is_set());
  const auto received = weir::try_select(full.receive());
  REQUIRE(received);
  CHECK(received->get<0>());
  const auto passed = weir::try_select(weir::sleep_for(0s));
  CHECK(passed);
}

TEST_CASE("try_select meets tasks that wait, alone or in a select") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(0);
    channel<int> d(0);
    int got = 0;
    auto selects = [&]() -> weir::task<> {
      const auto chosen = co_await select(c.receive(), d.receive());
      got = chosen.index() == 0 ? *chosen.get<0>() : -*chosen.get<1>();
    };
    g.spawn(selects);
    co_await settle();
    const auto sent = weir::try_select(d.send(4), d.receive());
    REQUIRE(sent);
    CHECK(sent->index() == 0);
    CHECK(!weir::try_select(c.send(5), d.send(5)));
    co_await settle();
    CHECK(got == -4);
  });
}

// ---- waiting

TEST_CASE("a select that waits takes what comes first, and is gone from everywhere else") {
  for (std::size_t capacity : {0, 1}) {
    for (int which = 0; which < 3; ++which) {
      in_group([capacity, which](weir::task_group& g) -> weir::task<> {
        channel<int> a(capacity);
        channel<int> b(capacity);
        channel<int> full(capacity);
        if (capacity != 0) CHECK(full.try_send(0));
        std::size_t index = 9;
        auto selects = [&]() -> weir::task<> {
          const auto chosen = co_await select(a.receive(), b.receive(), full.send(7), weir::sleep_for(1h));
          index = chosen.index();
          if (index == 0) CHECK(chosen.get<0>() == 5);
          if (index == 1) CHECK(chosen.get<1>() == 5);
          if (index == 2) CHECK(chosen.get<2>());
        };
        g.spawn(selects);
        co_await settle();
        CHECK(index == 9);
        if (which == 0) CHECK(a.try_send(5));
        if (which == 1) CHECK(b.try_send(5));
        if (which == 2) CHECK(full.try_receive() == (capacity != 0 ? 0 : 7));
        // Decided, though it has not gone on: nobody else is served by it.
        if (capacity == 0) CHECK((!a.try_send(6) && !b.try_send(6) && !full.try_receive()));
        co_await settle();
        CHECK(index == static_cast<std::size_t>(which));
        if (capacity != 0 && which == 2) CHECK(full.try_receive() == 7);
        if (capacity != 0 && which != 2) CHECK(full.try_receive() == 0);
        CHECK((is_left_alone(a) && is_left_alone(b) && is_left_alone(full)));
        co_await g.join();
        CHECK(weir::now() < weir::time_point() + 1min);
      });
    }
  }
}

TEST_CASE("cases of selects and tasks that wait alone stand in one queue") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    in_group(
        [](weir::task_group& g) -> weir::task<> {
          channel<int> c(0);
          channel<int> other(0);
          std::vector<int> order;
          auto alone = [&](int id) -> weir::task<> {
            const auto n = co_await c.receive();
            order.push_back(id * 10 + *n);
          };
          auto selects = [&](int id) -> weir::task<> {
            const auto chosen = co_await select(other.receive(), c.receive());
            order.push_back(id * 10 + (chosen.index() == 1 ? *chosen.get<1>() : 9));
          };
          g.spawn(alone, 1);
          co_await settle();
          g.spawn(selects, 2);
          co_await settle();
          g.spawn(selects, 3);
          co_await settle();
          g.spawn(alone, 4);
          co_await settle();
          CHECK(other.try_send(0));  // to the second
          for (int n = 1; n <= 3; ++n) {
            CHECK(c.try_send(n));
            co_await settle();
          }
          std::sort(order.begin(), order.end());
          CHECK(order == std::vector<int>{11, 29, 32, 43});
          CHECK(is_left_alone(c));
        },
        seed);
  }
}

TEST_CASE("one channel in two cases of a select: one of them is served, once") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(0);
    channel<int> d(1);
    int served = 0;
    auto selects = [&]() -> weir::task<> {
      const auto chosen = co_await select(c.receive(), c.receive(), c.receive());
      CHECK(chosen.index() < 3);
      ++served;
    };
    g.spawn(selects);
    co_await settle();
    CHECK(c.try_send(1));
    CHECK(!c.try_send(2));
    co_await settle();
    CHECK(served == 1);

    CHECK(d.try_send(0));
    int first = 1;
    int second = 2;
    std::size_t index = 9;
    auto sends = [&]() -> weir::task<> {
      const auto chosen = co_await select(d.send(std::move(first)), d.send(std::move(second)));
      index = chosen.index();
    };
    g.spawn(sends);
    co_await settle();
    CHECK(d.try_receive() == 0);
    co_await settle();
    CHECK(index < 2);
    CHECK(d.try_receive() == static_cast<int>(index + 1));
    CHECK(!d.try_receive());

    CHECK(d.try_send(7));
    const auto at_once = co_await select(d.receive(), d.receive());
    CHECK(d.empty());
    CHECK(at_once.index() < 2);
  });
}

TEST_CASE("send and receive of one channel in one select do not meet each other") {
  for (const bool throwing_moves : {false, true}) {
    in_group([throwing_moves](weir::task_group& g) -> weir::task<> {
      auto check = [&g]<class T>(channel<T>& c) -> weir::task<> {
        std::size_t index = 9;
        int got = -1;
        auto both = [&]() -> weir::task<> {
          auto chosen = co_await select(c.send(T(1)), c.receive());
          index = chosen.index();
          if (index == 1) got = static_cast<const T&>(*chosen.template get<1>()).value;
        };
        g.spawn(both);
        co_await settle();
        CHECK(index == 9);
        CHECK(c.try_send(T(2)));
        co_await settle();
        CHECK(index == 1);
        CHECK(got == 2);
        g.spawn(both);
        co_await settle();
        const auto one = c.try_receive();
        REQUIRE(one);
        CHECK(one->value == 1);
        co_await settle();
        CHECK(index == 0);
        CHECK(!c.try_receive());
        CHECK(!c.try_send(T(3)));
        // Two of them meet one another, once each.
        index = 9;
        g.spawn(both);
        g.spawn(both);
        co_await settle();
        CHECK(index != 9);
        CHECK(got == 1);
        CHECK(!c.try_receive());
        CHECK(!c.try_send(T(3)));
      };
      struct plain {
        explicit plain(int v) : value(v) {}
        int value;
      };
      channel<plain> plain_items(0);
      channel<fragile> fragile_items(0);
      if (throwing_moves) {
        co_await check(fragile_items);
      } else {
        co_await check(plain_items);
      }
    });
  }
  CHECK(fragile::alive == 0);
}

TEST_CASE("send and receive of a buffered channel in one select: the buffer is between them") {
  simulate([]() -> weir::task<> {
    channel<int> c(1);
    for (int round = 0; round < 10; ++round) {
      const auto sent = co_await select(c.send(1), c.receive());
      REQUIRE(sent.index() == 0);
      const auto received = co_await select(c.send(2), c.receive());
      REQUIRE(received.index() == 1);
      CHECK(received.get<1>() == 1);
    }
  });
}

TEST_CASE("send and receive of a channel whose room is all reserved do not meet in one select") {
  in_group([](weir::task_group& g) -> weir::task<> {
    for (const bool sends : {false, true}) {
      channel<int> c(1);
      std::optional permit(co_await c.reserve());
      std::size_t index = 9;
      auto both = [&]() -> weir::task<> {
        const auto chosen = co_await select(c.send(1), c.receive(), c.reserve());
        index = chosen.index();
      };
      g.spawn(both);
      co_await settle();
      CHECK(index == 9);
      if (sends) {
        CHECK(permit->send(5));
        co_await settle();
        CHECK(index == 1);
      } else {
        permit.reset();
        co_await settle();
        CHECK((index == 0 || index == 2));
      }
      CHECK(c.size() == (index == 0 ? 1 : 0));
      c.close();
    }
  });
}

TEST_CASE("selects meet selects: at one rendezvous, and on crossed channels, without a deadlock") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    in_group(
        [](weir::task_group& g) -> weir::task<> {
          channel<int> x(0);
          channel<int> y(0);
          int sent_x = 0;
          int sent_y = 0;
          int received_x = 0;
          int received_y = 0;
          auto left = [&]() -> weir::task<> {
            const auto chosen = co_await select(x.send(1), y.receive());
            ++(chosen.index() == 0 ? sent_x : received_y);
          };
          auto right = [&]() -> weir::task<> {
            const auto chosen = co_await select(y.send(1), x.receive());
            ++(chosen.index() == 0 ? sent_y : received_x);
          };
          for (int i = 0; i < 5; ++i) {
            g.spawn(left);
            g.spawn(right);
          }
          co_await g.join();
          CHECK(sent_x == received_x);
          CHECK(sent_y == received_y);
          CHECK(sent_x + sent_y == 5);
        },
        seed);
  }
}

TEST_CASE("a ring of selects, each with its neighbours, always finds partners") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    in_group(
        [](weir::task_group& g) -> weir::task<> {
          constexpr std::size_t n = 6;
          std::array<std::optional<channel<int>>, n> between;
          for (auto& c : between) c.emplace(0);
          int met = 0;
          auto philosopher = [&](std::size_t at) -> weir::task<> {
            channel<int>& to = *between[at];
            channel<int>& from = *between[(at + 1) % n];
            const auto chosen = co_await select(to.send(1), from.receive(), weir::sleep_for(1s));
            if (chosen.index() != 2) ++met;
          };
          for (std::size_t i = 0; i < n; ++i) g.spawn(philosopher, i);
          co_await g.join();
          CHECK(met >= 4);  // nobody is left beside another who is left
          CHECK(met % 2 == 0);
        },
        seed);
  }
}

TEST_CASE("a select of many cases") {
  in_group([](weir::task_group& g) -> weir::task<> {
    std::array<std::optional<channel<int>>, 20> c;
    for (auto& one : c) one.emplace(0);
    int sum = 0;
    auto selects = [&]() -> weir::task<> {
      for (int i = 0; i < 20; ++i) {
        const auto chosen =
            co_await select(c[0]->receive(), c[1]->receive(), c[2]->receive(), c[3]->receive(), c[4]->receive(),
                            c[5]->receive(), c[6]->receive(), c[7]->receive(), c[8]->receive(), c[9]->receive(),
                            c[10]->receive(), c[11]->receive(), c[12]->receive(), c[13]->receive(), c[14]->receive(),
                            c[15]->receive(), c[16]->receive(), c[17]->receive(), c[18]->receive(), c[19]->receive());
        sum += static_cast<int>(chosen.index());
      }
    };
    g.spawn(selects);
    for (auto& one : c) co_await one->send(1);
    co_await g.join();
    CHECK(sum == 190);
  });
}

// ---- closed channels

TEST_CASE("a closed channel can always be had: nothing is received, false is sent, the permit is false") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> gone(1);
    channel<int> nobody(0);
    gone.close();
    const auto received = co_await select(gone.receive(), nobody.receive());
    REQUIRE(received.index() == 0);
    CHECK(!received.get<0>());
    const auto sent = co_await select(nobody.receive(), gone.send(1));
    REQUIRE(sent.index() == 1);
    CHECK(!sent.get<1>());
    const auto reserved = co_await select(gone.reserve(), nobody.receive());
    REQUIRE(reserved.index() == 0);
    CHECK(!reserved.get<0>());

    // While they wait.
    channel<int> c(1);
    channel<int> full(1);
    CHECK(full.try_send(1));
    int told = 0;
    auto receives = [&]() -> weir::task<> {
      const auto chosen = co_await select(nobody.receive(), c.receive());
      if (chosen.index() == 1 && !chosen.get<1>()) ++told;
    };
    auto sends = [&]() -> weir::task<> {
      int item = 5;
      const auto chosen = co_await select(nobody.receive(), full.send(std::move(item)));
      if (chosen.index() == 1 && !chosen.get<1>()) ++told;
    };
    auto reserves = [&]() -> weir::task<> {
      const auto chosen = co_await select(full.reserve(), nobody.receive());
      if (chosen.index() == 0 && !chosen.get<0>()) ++told;
    };
    g.spawn(receives);
    g.spawn(sends);
    g.spawn(reserves);
    co_await settle();
    c.close();
    full.close();
    co_await settle();
    CHECK(told == 3);
    CHECK(is_left_alone(nobody));
  });
}

TEST_CASE("closing all channels of a select at once tells it of one of them") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> a(0);
    channel<int> b(0);
    int told = 0;
    auto receives = [&]() -> weir::task<> {
      const auto chosen = co_await select(a.receive(), b.receive());
      told += chosen.index() == 0 ? !chosen.get<0>() : !chosen.get<1>();
    };
    g.spawn(receives);
    co_await settle();
    a.close();
    b.close();
    co_await settle();
    CHECK(told == 1);
  });
}

TEST_CASE("a rendezvous channel in a select still has no room to reserve") {
  simulate([]() -> weir::task<> {
    channel<int> c(0);
    bool told = false;
    try {
      co_await select(c.reserve(), weir::sleep_for(1s));
    } catch (const std::system_error& e) {
      told = e.code() == std::errc::invalid_argument;
    }
    CHECK(told);
  });
}

// ---- permits

TEST_CASE("a permit that was not chosen keeps no room") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(1);
    channel<int> d(0);
    CHECK(c.try_send(0));
    bool done = false;
    auto selects = [&]() -> weir::task<> {
      const auto chosen = co_await select(c.reserve(), d.receive());
      CHECK(chosen.index() == 1);
      done = true;
    };
    g.spawn(selects);
    co_await settle();
    CHECK(d.try_send(1));
    CHECK(c.try_receive() == 0);  // the waiting is dead: the room is nobody's
    CHECK(c.try_send(1));
    co_await settle();
    CHECK(done);
  });
}

TEST_CASE("a permit can be chosen while it waits, and closing tells it") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(1);
    CHECK(c.try_send(0));
    auto selects = [&]() -> weir::task<> {
      auto chosen = co_await select(weir::sleep_for(1s), c.reserve());
      REQUIRE(chosen.index() == 1);
      CHECK(chosen.get<1>().send(4));
    };
    g.spawn(selects);
    co_await settle();
    CHECK(c.try_receive() == 0);
    CHECK(!c.try_send(3));
    co_await settle();
    CHECK(c.try_receive() == 4);
  });
}

// ---- time

TEST_CASE("a sleep in a select is a timeout, never early, and leaves no timer behind") {
  simulate([]() -> weir::task<> {
    channel<int> nobody(0);
    const weir::time_point start = weir::now();
    const auto chosen = co_await select(nobody.receive(), weir::sleep_for(5ms), weir::sleep_for(1h));
    CHECK(chosen.index() == 1);
    CHECK(weir::now() - start == 5ms);
    const auto until = co_await select(weir::sleep_until(start + 7ms), nobody.receive());
    CHECK(until.index() == 0);
    CHECK(weir::now() - start == 7ms);
    const auto passed = co_await select(weir::sleep_until(start), nobody.receive());
    CHECK(passed.index() == 0);
    CHECK(weir::now() - start == 7ms);
    const auto never = co_await select(weir::sleep_until(weir::time_point::max()), weir::sleep_for(1ms));
    CHECK(never.index() == 1);
  });
}

TEST_CASE("a sleep that is used in many rounds of one loop is made anew for each") {
  simulate([]() -> weir::task<> {
    channel<int> c(1);
    int timeouts = 0;
    const weir::time_point start = weir::now();
    for (int i = 0; i < 300; ++i) {
      if (i % 3 == 0) CHECK(c.try_send(i));
      const auto chosen = co_await select(c.receive(), weir::sleep_for(1ms));
      timeouts += static_cast<int>(chosen.index());
    }
    CHECK(timeouts == 200);
    CHECK(weir::now() - start == 200ms);
  });
}

TEST_CASE("of sleeps that are due at once a select takes the first") {
  simulate([]() -> weir::task<> {
    for (int i = 0; i < 300; ++i) {
      const auto chosen = co_await weir::select_ordered(weir::sleep_for(1ms), weir::sleep_for(1ms));
      REQUIRE(chosen.index() == 0);
      const weir::time_point due = weir::now() + 1ms;
      const auto again = co_await weir::select_ordered(weir::sleep_until(due), weir::sleep_until(due));
      REQUIRE(again.index() == 0);
    }
  });
}

TEST_CASE("an item and a sleep in the same instant: exactly one of them is chosen") {
  int slept = 0;
  int received = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    in_group(
        [&, seed](weir::task_group& g) -> weir::task<> {
          channel<int> c(seed % 2);
          int given = 0;
          auto sends = [&]() -> weir::task<> {
            for (int i = 0; i < 10; ++i) {
              co_await weir::sleep_for(1ms);
              if (c.try_send(1)) ++given;
            }
          };
          if (seed % 3 == 0) g.spawn(sends);
          int taken = 0;
          auto receives = [&]() -> weir::task<> {
            for (int i = 0; i < 10; ++i) {
              const auto chosen = co_await select(c.receive(), weir::sleep_for(1ms));
              ++(chosen.index() == 0 ? taken : slept);
            }
          };
          g.spawn(receives);
          if (seed % 3 != 0) g.spawn(sends);
          co_await g.join();
          CHECK(taken + static_cast<int>(c.size()) == given);
          received += taken;
        },
        seed);
  }
  CHECK(slept > 0);
  CHECK(received > 0);
}

TEST_CASE("a tick that was not chosen is not used up") {
  simulate([]() -> weir::task<> {
    channel<int> c(1);
    weir::interval every(10ms);
    const weir::time_point start = weir::now();
    const auto first = co_await select(every.tick(), c.receive());
    CHECK(first.index() == 0);
    CHECK(first.get<0>() == start);
    for (int i = 0; i < 5; ++i) {
      CHECK(c.try_send(i));
      const auto other = co_await select(every.tick(), c.receive());
      CHECK(other.index() == 1);
    }
    const auto timed = co_await select(every.tick(), weir::sleep_for(4ms));
    CHECK(timed.index() == 1);
    const auto second = co_await select(c.receive(), every.tick());
    REQUIRE(second.index() == 1);
    CHECK(second.get<1>() == start + 10ms);
    CHECK(weir::now() == start + 10ms);
    co_await weir::sleep_for(25ms);
    // Due and not chosen is not used up either.
    CHECK(c.try_send(1));
    const auto preferred = co_await weir::select_ordered(c.receive(), every.tick());
    CHECK(preferred.index() == 0);
    const auto third = co_await weir::select_ordered(c.receive(), every.tick());
    REQUIRE(third.index() == 1);
    CHECK(third.get<1>() == start + 20ms);
  });
}

TEST_CASE("a tick whose select is cancelled is not used up") {
  simulate([]() -> weir::task<> {
    weir::interval every(10ms);
    co_await every.tick();
    channel<int> nobody(0);
    const auto r = co_await weir::as_result(weir::with_timeout(3ms, select(every.tick(), nobody.receive())));
    CHECK(r.error() == std::errc::timed_out);
    const weir::time_point tick = co_await every.tick();
    CHECK(tick == weir::now());
    CHECK(tick == weir::time_point() + 10ms);
  });
}

// ---- events

TEST_CASE("an event in a select: a manual one stays set, an automatic one is used up only when it was chosen") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(1);
    weir::event gate;
    weir::event signal(reset_mode::automatic);
    std::size_t index = 9;
    auto selects = [&]() -> weir::task<> {
      const auto chosen = co_await weir::select_ordered(c.receive(), gate.wait(), signal.wait());
      index = chosen.index();
    };
    g.spawn(selects);
    co_await settle();
    signal.set();
    CHECK(!signal.is_set());
    co_await settle();
    CHECK(index == 2);

    g.spawn(selects);
    co_await settle();
    CHECK(c.try_send(1));
    signal.set();
    CHECK(signal.is_set());  // whoever waits for it is decided already
    co_await settle();
    CHECK(index == 0);
    CHECK(signal.is_set());

    CHECK(c.try_send(2));
    co_await selects();
    CHECK(index == 0);
    CHECK(signal.is_set());
    co_await selects();
    CHECK(index == 2);
    CHECK(!signal.is_set());

    g.spawn(selects);
    co_await settle();
    gate.set();
    co_await settle();
    CHECK(index == 1);
    CHECK(gate.is_set());
    co_await selects();
    CHECK(index == 1);
  });
}

TEST_CASE("a signal passes over a select that is decided, to who waits behind it") {
  in_group([](weir::task_group& g) -> weir::task<> {
    weir::event signal(reset_mode::automatic);
    channel<int> c(0);
    bool through = false;
    auto selects = [&]() -> weir::task<> { co_await select(c.receive(), signal.wait()); };
    auto waits = [&]() -> weir::task<> {
      co_await signal.wait();
      through = true;
    };
    g.spawn(selects);
    co_await settle();
    g.spawn(waits);
    co_await settle();
    CHECK(c.try_send(1));
    signal.set();
    CHECK(!signal.is_set());
    co_await settle();
    CHECK(through);
  });
}

TEST_CASE("seeds: signals and items are neither lost nor doubled when selects compete with plain waits") {
  for (std::uint64_t seed = 1; seed <= static_cast<std::uint64_t>(test::scaled(2000, 200)); ++seed) {
    test::dice dice(seed);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      weir::event signal(reset_mode::automatic);
      channel<int> c(dice.roll(2));
      int signals = 0;
      int items = 0;
      int timeouts = 0;
      auto plain = [&]() -> weir::task<> {
        co_await signal.wait();
        ++signals;
      };
      auto selects = [&]() -> weir::task<> {
        const auto chosen = co_await select(signal.wait(), c.receive(), weir::sleep_for(weir::duration(dice.roll(4))));
        ++(chosen.index() == 0 ? signals : chosen.index() == 1 ? items : timeouts);
      };
      int set = 0;
      int sent = 0;
      for (int i = 0; i < 4; ++i) {
        if (dice.roll(3) == 0) {
          g.spawn(plain);
        } else {
          g.spawn(selects);
        }
        if (dice.roll(2) == 0) co_await weir::yield();
      }
      for (int i = 0; i < 8; ++i) {
        if (dice.roll(2) == 0) {
          if (!signal.is_set()) {
            signal.set();
            ++set;
          }
        } else if (c.try_send(1)) {
          ++sent;
        }
        if (dice.roll(2) == 0) co_await weir::sleep_for(weir::duration(dice.roll(2)));
      }
      co_await weir::sleep_for(1ms);
      CHECK(signals + (signal.is_set() ? 1 : 0) == set);
      CHECK(items + static_cast<int>(c.size()) == sent);
      g.cancel();
    };
    CAPTURE(seed);
    in_group(body, seed);
  }
}

// ---- cancellation

namespace {

/// The channels of the tests below, and a select over them that counts how it ends.
struct scene {
  channel<int> in{0};
  channel<std::unique_ptr<int>> out{1};
  channel<int> room{1};
  weir::event signal{reset_mode::automatic};
  weir::interval every{1h};
  std::unique_ptr<int> item = std::make_unique<int>(1);
  int completed = 0;
  std::size_t index = 9;

  scene() {
    CHECK(out.try_send(nullptr));
    CHECK(room.try_send(0));
  }
  weir::task<> run() {
    const auto chosen = co_await select(in.receive(), out.send(std::move(item)), room.reserve(), signal.wait(),
                                        weir::sleep_for(1s), every.tick());
    index = chosen.index();
    ++completed;
  }
  /// Nothing has happened to any of them.
  void check_untouched() {
    CHECK(completed == 0);
    REQUIRE(item);
    CHECK(!in.try_send(1));
    CHECK(out.try_receive());
    CHECK(!out.try_receive());
    CHECK(room.try_receive() == 0);
    CHECK(room.try_send(1));
    signal.set();
    CHECK(signal.is_set());
  }
};

}  // namespace

TEST_CASE("a select under a token that is cancelled already stops, though something could be had") {
  simulate([]() -> weir::task<> {
    scene s;
    co_await s.every.tick();
    weir::cancellation_source source;
    source.request_cancellation();
    const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), s.run()));
    CHECK(r.is_cancelled());
    s.check_untouched();  // the signal is set now
    s.item = nullptr;
    const auto again = co_await weir::as_result(
        weir::with_cancellation(source.token(), select(s.signal.wait(), s.room.receive(), weir::sleep_for(0s))));
    CHECK(again.is_cancelled());
    CHECK(s.signal.is_set());
    CHECK(s.room.size() == 1);
  });
}

TEST_CASE("a select that is cancelled while it waits leaves no trace") {
  in_group([](weir::task_group& g) -> weir::task<> {
    scene s;
    co_await s.every.tick();
    auto runs = [&s]() -> weir::task<> { co_await s.run(); };
    auto h = g.spawn(runs);
    co_await settle();
    h.request_cancellation();
    // It has not unwound yet and can be given nothing any more.
    CHECK(!s.in.try_send(1));
    co_await settle();
    s.check_untouched();
    co_await g.join();
    CHECK(weir::now() < weir::time_point() + 100ms);
  });
}

TEST_CASE("a select that was decided before its cancellation completes") {
  for (int which = 0; which < 4; ++which) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      in_group(
          [which](weir::task_group& g) -> weir::task<> {
            scene s;
            co_await s.every.tick();
            auto runs = [&s]() -> weir::task<> {
              co_await s.run();
              co_await weir::checkpoint();
              CHECK(false);
            };
            auto h = g.spawn(runs);
            co_await settle();
            if (which == 0) CHECK(s.in.try_send(5));
            if (which == 1) CHECK(s.out.try_receive());
            if (which == 2) CHECK(s.room.try_receive());
            if (which == 3) s.signal.set();
            h.request_cancellation();
            CHECK(s.completed == 0);
            co_await settle();
            CHECK(s.completed == 1);
            CHECK(s.index == static_cast<std::size_t>(which));
            CHECK((s.item == nullptr) == (which == 1));
            CHECK(s.room.size() == (which == 2 ? 0 : 1));
          },
          seed);
    }
  }
}

TEST_CASE("a select and a timeout around it in the same instant: one of them, and nothing is lost") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    in_group(
        [seed](weir::task_group& g) -> weir::task<> {
          channel<int> a(0);
          channel<int> b(seed % 2);
          int given = 0;
          int taken = 0;
          auto sends = [&](channel<int>& to) -> weir::task<> {
            for (int i = 0; i < 10; ++i) {
              co_await weir::sleep_for(1ms);
              if (to.try_send(1)) ++given;
            }
          };
          auto receives = [&]() -> weir::task<> {
            for (int i = 0; i < 10; ++i) {
              const auto r = co_await weir::as_result(
                  weir::with_timeout(1ms, select(a.receive(), b.receive(), weir::sleep_for(1ms))));
              if (r.has_value() && r->index() != 2) ++taken;
            }
          };
          g.spawn(receives);
          g.spawn(sends, std::ref(a));
          g.spawn(sends, std::ref(b));
          co_await g.join();
          CHECK(taken + static_cast<int>(b.size()) == given);
        },
        seed);
  }
}

TEST_CASE("a select whose budget is used up, cancelled or not, loses nothing") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    in_group(
        [](weir::task_group& g) -> weir::task<> {
          channel<int> a(weir::unbounded);
          channel<int> b(weir::unbounded);
          int sent = 0;
          int received = 0;
          bool others_ran = false;
          auto other = [&]() -> weir::task<> {
            others_ran = true;
            co_return;
          };
          auto sends = [&]() -> weir::task<> {
            for (;;) {
              co_await select(a.send(1), b.send(1));
              ++sent;
            }
          };
          auto receives = [&]() -> weir::task<> {
            for (;;) {
              co_await select(a.receive(), b.receive());
              ++received;
            }
          };
          auto s = g.spawn(sends);
          auto r = g.spawn(receives);
          g.spawn(other);
          for (int i = 0; i < 10; ++i) co_await weir::yield();
          s.request_cancellation();
          for (int i = 0; i < 3; ++i) co_await weir::yield();
          r.request_cancellation();
          co_await g.join();
          CHECK(sent > 100);
          CHECK(others_ran);
          CHECK(sent == received + static_cast<int>(a.size() + b.size()));
        },
        seed);
  }
}

TEST_CASE("select inside scopes") {
  simulate([]() -> weir::task<> {
    channel<int> c(1);
    channel<int> nobody(0);
    weir::cancellation_source source;
    CHECK(c.try_send(1));
    const auto timed = co_await weir::with_timeout(1s, select(nobody.receive(), c.receive()));
    CHECK(timed.get<1>() == 1);
    CHECK(c.try_send(2));
    const auto shielded =
        co_await weir::shielded(weir::with_cancellation(source.token(), select(nobody.receive(), c.receive())));
    CHECK(shielded.get<1>() == 2);
    const auto r = co_await weir::as_result(select(nobody.receive(), weir::sleep_for(1ms)));
    CHECK(r->index() == 1);
    bool timed_out = false;
    try {
      co_await weir::with_timeout(1ms, select(nobody.receive(), c.receive()));
    } catch (const weir::timed_out&) {
      timed_out = true;
    }
    CHECK(timed_out);
  });
}

// ---- items whose moves throw

TEST_CASE("a hand-over to a select that throws is the sender's: the select goes on waiting, at its place") {
  for (std::size_t capacity : {0, 1}) {
    in_group([capacity](weir::task_group& g) -> weir::task<> {
      channel<fragile> c(capacity);
      channel<int> d(0);
      std::vector<int> seen;
      auto selects = [&](int id) -> weir::task<> {
        const auto chosen = co_await select(d.receive(), c.receive());
        seen.push_back(id * 10 + (chosen.index() == 0 ? 9 : chosen.get<1>()->value));
      };
      g.spawn(selects, 1);
      co_await settle();
      g.spawn(selects, 2);
      co_await settle();
      fragile item(5);
      for (int i = 0; i < 3; ++i) {
        fragile::break_move(1);
        CHECK_THROWS_AS(c.try_send(std::move(item)), test::broken);
        CHECK(item.value == 5);
      }
      co_await settle();
      CHECK(seen.empty());
      CHECK(c.try_send(std::move(item)));
      co_await settle();
      CHECK(seen == std::vector<int>{15});
      fragile::break_move(1);
      CHECK_THROWS_AS(c.try_send(fragile(6)), test::broken);
      CHECK(d.try_send(0));
      CHECK(c.try_send(fragile(7)) == (capacity != 0));  // nobody waits any more
      co_await settle();
      CHECK(seen == std::vector<int>{15, 29});
    });
    CHECK(fragile::alive == 0);
  }
}

TEST_CASE("a select whose item throws, ends with that exception; the receiver goes on") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<fragile> c(0);
    channel<int> d(0);
    fragile item(1);
    int broke = 0;
    auto selects = [&]() -> weir::task<> {
      try {
        co_await select(d.receive(), c.send(std::move(item)));
      } catch (const test::broken&) {
        ++broke;
      }
    };
    // At once.
    int got = 0;
    auto receives = [&]() -> weir::task<> {
      const auto one = co_await c.receive();
      got = one->value;
    };
    g.spawn(receives);
    co_await settle();
    fragile::break_move(1);
    co_await selects();
    CHECK(broke == 1);
    CHECK(item.value == 1);
    CHECK(got == 0);
    co_await selects();
    co_await settle();
    CHECK(broke == 1);
    CHECK(got == 1);

    // When it waits: the receiver finds nothing more and waits.
    fragile other(2);
    auto sends = [&]() -> weir::task<> {
      try {
        co_await select(d.receive(), c.send(std::move(other)));
      } catch (const test::broken&) {
        ++broke;
      }
    };
    g.spawn(sends);
    co_await settle();
    fragile::break_move(1);
    CHECK(!c.try_receive());
    co_await settle();
    CHECK(broke == 2);
    CHECK(other.value == 2);
    CHECK(is_left_alone(d));
  });
  CHECK(fragile::alive == 0);
}

TEST_CASE("two selects meet and the move throws: the sending one ends, the receiving one waits on") {
  in_group([](weir::task_group& g) -> weir::task<> {
    for (const bool receiver_first : {true, false}) {
      channel<fragile> c(0);
      channel<int> d(0);
      int broke = 0;
      int received = 0;
      auto sends = [&]() -> weir::task<> {
        fragile item(1);
        try {
          co_await select(c.send(std::move(item)), d.receive());
        } catch (const test::broken&) {
          ++broke;
        }
        CHECK(item.value == 1);
      };
      auto receives = [&]() -> weir::task<> {
        const auto chosen = co_await select(d.receive(), c.receive());
        if (chosen.index() == 1) received = chosen.get<1>()->value;
      };
      if (receiver_first) {
        g.spawn(receives);
        co_await settle();
        fragile::break_move(1);
        g.spawn(sends);
      } else {
        g.spawn(sends);
        co_await settle();
        fragile::break_move(1);
        g.spawn(receives);
      }
      co_await settle();
      CHECK(broke == 1);
      CHECK(received == 0);
      CHECK(c.try_send(fragile(3)));
      co_await settle();
      CHECK(received == 3);
    }
  });
  CHECK(fragile::alive == 0);
}

TEST_CASE("receiving in a select: a move out of the buffer that throws leaves the item there") {
  simulate([]() -> weir::task<> {
    channel<fragile> c(2);
    channel<int> d(0);
    CHECK(c.try_send(fragile(1)));
    fragile::break_move(1);
    const auto r = co_await weir::as_result(select(d.receive(), c.receive()));
    CHECK(!r.has_value());
    CHECK(c.size() == 1);
    fragile::break_move(1);
    CHECK_THROWS_AS(static_cast<void>(weir::try_select(d.receive(), c.receive())), test::broken);
    CHECK(c.size() == 1);
    const auto again = co_await select(d.receive(), c.receive());
    CHECK(again.get<1>()->value == 1);
  });
  CHECK(fragile::alive == 0);
}

TEST_CASE("a select whose copy cannot be moved into a scope throws; nobody dies of it") {
  simulate([]() -> weir::task<> {
    channel<fragile> c(2);
    channel<int> d(0);
    const fragile item(1);
    weir::cancellation_source source;
    int thrown = 0;
    for (int nth = 1; nth <= 8; ++nth) {
      fragile::break_move(nth);
      try {
        co_await weir::with_timeout(1s, weir::with_cancellation(source.token(), select(d.receive(), c.send(item))));
      } catch (const test::broken&) {
        ++thrown;
      }
      fragile::break_move(0);
      c.try_receive();
    }
    CHECK(thrown >= 4);
    CHECK(fragile::alive == 1);
  });
}

// ---- threads and runtimes

TEST_CASE("selects on four workers: everything that is sent arrives once") {
  constexpr int count = test::scaled(5000, 800);
  channel<int> a(0);
  channel<int> b(1);
  channel<int> c(weir::unbounded);
  std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count) * 4);
  std::atomic<int> left{4};
  auto sends = [&](int id) -> weir::task<> {
    for (int i = 0; i < count; ++i) {
      const int item = id * count + i;
      const auto sent = co_await select(a.send(item), b.send(item));
      const bool ok = sent.index() == 0 ? sent.get<0>() : sent.get<1>();
      if (!ok) co_return;
    }
    if (--left == 0) {
      a.close();
      b.close();
    }
  };
  auto receives = [&]() -> weir::task<> {
    for (;;) {
      const auto got = co_await select(a.receive(), b.receive(), c.receive());
      std::optional<int> n;
      if (got.index() == 0) n = got.get<0>();
      if (got.index() == 1) n = got.get<1>();
      if (!n) break;
      ++seen[static_cast<std::size_t>(*n)];
    }
    // What is left after the first end that it saw.
    while (auto n = co_await a.receive()) ++seen[static_cast<std::size_t>(*n)];
    while (auto n = co_await b.receive()) ++seen[static_cast<std::size_t>(*n)];
  };
  auto body = [&](weir::task_group& g) {
    for (int i = 0; i < 4; ++i) g.spawn(sends, i);
    for (int i = 0; i < 3; ++i) g.spawn(receives);
  };
  auto main = [&]() -> weir::task<> { co_await test::together(body); };
  weir::run(main(), {.workers = 4});
  for (const auto& n : seen) REQUIRE(n == 1);
}

TEST_CASE("selects of two runtimes and blocked threads meet on crossed rendezvous channels") {
  constexpr int count = test::scaled(2000, 400);
  channel<int> x(0);
  channel<int> y(0);
  std::atomic<long> sent{0};
  std::atomic<long> received{0};
  auto selects = [&](bool crossed) -> weir::task<> {
    for (int i = 0; i < count; ++i) {
      channel<int>& first = crossed ? x : y;
      channel<int>& second = crossed ? y : x;
      const auto chosen = co_await select(first.send(1), second.receive());
      if (chosen.index() == 0) {
        if (chosen.get<0>()) ++sent;
      } else if (chosen.get<1>()) {
        ++received;
      }
    }
  };
  std::vector<std::thread> threads;
  std::atomic<int> running{2};
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&, r] {
      auto body = [&](weir::task_group& g) {
        for (int i = 0; i < 3; ++i) g.spawn(selects, i % 2 == r);
      };
      auto main = [&]() -> weir::task<> { co_await test::together(body); };
      weir::run(main(), {.workers = static_cast<unsigned>(r + 1)});
      if (--running == 0) {
        x.close();
        y.close();
      }
    });
  }
  // Partners for whoever is left alone.
  threads.emplace_back([&] {
    while (x.receive_blocking()) ++received;
  });
  threads.emplace_back([&] {
    while (y.receive_blocking()) ++received;
  });
  threads.emplace_back([&] {
    while (x.send_blocking(1)) ++sent;
  });
  threads.emplace_back([&] {
    while (y.send_blocking(1)) ++sent;
  });
  for (std::thread& t : threads) t.join();
  CHECK(sent == received);
}

TEST_CASE("selects with sleeps and cancellations on four workers lose nothing") {
  constexpr int count = test::scaled(3000, 500);
  channel<int> a(1);
  channel<int> b(0);
  std::atomic<long> sent{0};
  std::atomic<long> received{0};
  auto sends = [&](std::uint64_t seed) -> weir::task<> {
    test::dice dice(seed);
    for (int i = 0; i < count; ++i) {
      const auto r = co_await weir::as_result(
          weir::with_timeout(std::chrono::microseconds(dice.roll(60)),
                             select(a.send(1), b.send(1), weir::sleep_for(std::chrono::microseconds(dice.roll(60))))));
      if (r.has_value() && r->index() != 2) ++sent;
    }
  };
  auto receives = [&](std::uint64_t seed) -> weir::task<> {
    test::dice dice(seed);
    for (int i = 0; i < count; ++i) {
      const auto r = co_await weir::as_result(weir::with_timeout(
          std::chrono::microseconds(dice.roll(60)),
          select(a.receive(), weir::sleep_for(std::chrono::microseconds(dice.roll(60))), b.receive())));
      if (r.has_value() && r->index() != 1) ++received;
    }
  };
  auto body = [&](weir::task_group& g) {
    for (std::uint64_t i = 0; i < 4; ++i) {
      g.spawn(sends, 2 * i);
      g.spawn(receives, 2 * i + 1);
    }
  };
  auto main = [&]() -> weir::task<> { co_await test::together(body); };
  weir::run(main(), {.workers = 4});
  CHECK(sent == received + static_cast<long>(a.size()));
  CHECK(received > 0);
}

TEST_CASE("selects on a confined worker, also when a thread cancels") {
  auto main = []() -> weir::task<> {
    auto body = [](weir::task_group& g) -> weir::task<> {
      channel<int> a(0);
      channel<int> b(1);
      auto sends = [&]() -> weir::task<> {
        for (int i = 0; i < 500; ++i) co_await select(a.send(i), b.send(i));
        a.close();
      };
      g.spawn(sends);
      int received = 0;
      for (;;) {
        const auto chosen = co_await select(a.receive(), b.receive());
        if (chosen.index() == 0 && !chosen.get<0>()) break;
        ++received;
      }
      CHECK(received + static_cast<int>(b.size()) == 500);
      while (b.try_receive()) {
      }
      weir::cancellation_source source;
      std::thread cancels([&] { source.request_cancellation(); });
      const auto r = co_await weir::as_result(
          weir::with_cancellation(source.token(), select(b.receive(), b.receive(), weir::sleep_for(1h))));
      cancels.join();
      CHECK(r.is_cancelled());
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), {.confined = true});
}

// ---- the rest

TEST_CASE("a run with a seed does not depend on where its channels lie") {
  auto choices = [](bool turned) {
    std::vector<std::size_t> chosen;
    auto main = [&]() -> weir::task<> {
      std::array<channel<int>, 3> lie{channel<int>(weir::unbounded), channel<int>(weir::unbounded),
                                      channel<int>(weir::unbounded)};
      channel<int>& a = turned ? lie[2] : lie[0];
      channel<int>& b = lie[1];
      channel<int>& c = turned ? lie[0] : lie[2];
      for (int i = 0; i < 2000; ++i) {  // many budgets
        const auto one = co_await select(a.send(1), b.send(1), c.send(1));
        chosen.push_back(one.index());
      }
    };
    simulate(main);
    return chosen;
  };
  CHECK(choices(false) == choices(true));
}

TEST_CASE("waiting in a select allocates nothing") {
  in_real_group([](weir::task_group& g) -> weir::task<> {
    channel<int> there(0);
    channel<int> back(0);
    channel<int> never(0);
    auto echo = [&]() -> weir::task<> {
      for (;;) {
        const auto got = co_await select(never.receive(), there.receive(), weir::sleep_for(1h));
        if (got.index() != 1 || !got.get<1>()) break;
        co_await select(back.send(*got.get<1>()), never.receive());
      }
    };
    g.spawn(echo);
    co_await there.send(0);
    co_await back.receive();
    const std::uint64_t before = test::allocations();
    for (int i = 0; i < 1000; ++i) {
      co_await there.send(i);
      co_await back.receive();
    }
    CHECK(test::allocations() == before);
    there.close();
    co_await g.join();
  });
}

TEST_CASE("the report of a deadlock says that a task waits in select") {
  std::string report;
  try {
    simulate([]() -> weir::task<> {
      channel<int> a(0);
      channel<int> b(0);
      co_await select(a.receive(), b.send(1));
    });
  } catch (const weir::deadlock& e) {
    report = e.what();
  }
  CHECK(report.find("waits in select:") != std::string::npos);
}

TEST_CASE("select of POSIX can be called beside it") {
  using namespace weir;  // NOLINT(google-build-using-namespace)
  timeval none{};
  CHECK(select(0, nullptr, nullptr, nullptr, &none) == 0);
}
