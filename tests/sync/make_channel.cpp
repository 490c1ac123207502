#include <weir/sync/make_channel.hpp>

#include <thread>
#include <type_traits>

#include "../skip.hpp"
#include "support.hpp"

using test::settle;
using test::simulate;
using weir::make_channel;

static_assert(std::is_copy_constructible_v<weir::sender<int>> && std::is_copy_assignable_v<weir::sender<int>>);
static_assert(std::is_nothrow_move_constructible_v<weir::sender<int>>);
static_assert(std::is_nothrow_move_constructible_v<weir::receiver<std::unique_ptr<int>>>);
static_assert(std::is_same_v<weir::receiver<int>::value_type, int>);

namespace {

template <class F>
void in_group(F body, std::uint64_t seed = 1) {
  simulate([&body]() -> weir::task<> { co_await weir::with_task_group(body); }, seed);
}

}  // namespace

TEST_CASE("make_channel gives two ends of one channel") {
  simulate([]() -> weir::task<> {
    auto [tx, rx] = make_channel<std::string>(2);
    CHECK(tx);
    CHECK(rx);
    CHECK(tx.capacity() == 2);
    const bool sent = co_await tx.send("a");
    CHECK(sent);
    const std::string b = "b";
    const bool copied = co_await tx.send(b);
    CHECK(copied);
    CHECK(rx.size() == 2);
    CHECK(!tx.try_send("c"));
    const auto a = co_await rx.receive();
    CHECK(a == "a");
    CHECK(tx.try_send(b));
    CHECK(rx.try_receive() == b);
    CHECK(rx.receive_blocking() == b);
    CHECK(tx.send_blocking(b));
    CHECK(tx.send_blocking("d"));
    auto all = make_channel<int>(weir::unbounded);
    CHECK(all.rx.capacity() == static_cast<std::size_t>(-1));
    CHECK(!all.rx.is_closed());
    auto permit = co_await all.tx.reserve();
    CHECK(permit.send(1));
    CHECK(all.rx.try_receive() == 1);
  });
}

TEST_CASE("an end is empty when it was made so, moved from or reset; resetting again does nothing") {
  weir::sender<int> none;
  weir::receiver<int> nothing;
  CHECK(!none);
  CHECK(!nothing);
  none.reset();
  nothing.reset();
  auto [tx, rx] = make_channel<int>(1);
  weir::sender<int> moved = std::move(tx);
  CHECK(!tx);  // NOLINT(bugprone-use-after-move)
  CHECK(moved);
  tx.reset();
  CHECK(!rx.is_closed());
  moved.reset();
  moved.reset();
  CHECK(!moved);
  CHECK(rx.is_closed());
  rx.reset();
  rx.reset();
  CHECK(!rx);
}

TEST_CASE("the last sender closes: what was sent can be received, then the end") {
  simulate([]() -> weir::task<> {
    auto [tx, rx] = make_channel<int>(4);
    auto second = tx;
    CHECK(tx.try_send(1));
    tx.reset();
    CHECK(!rx.is_closed());
    CHECK(second.try_send(2));
    second.reset();
    CHECK(rx.is_closed());
    const auto one = co_await rx.receive();
    CHECK(one == 1);
    const auto two = co_await rx.receive();
    CHECK(two == 2);
    const auto end = co_await rx.receive();
    CHECK(!end);
  });
}

TEST_CASE("when the last sender goes receivers that wait are told") {
  in_group([](weir::task_group& g) -> weir::task<> {
    auto ends = make_channel<int>(0);
    int told = 0;
    auto receives = [&told](weir::receiver<int> rx) -> weir::task<> {
      const auto n = co_await rx.receive();
      if (!n) ++told;
    };
    g.spawn(receives, ends.rx);
    g.spawn(receives, ends.rx);
    co_await settle();
    CHECK(told == 0);
    ends.tx.reset();
    co_await settle();
    CHECK(told == 2);
  });
}

TEST_CASE("when the last receiver goes senders are told, and what lies there is destroyed") {
  in_group([](weir::task_group& g) -> weir::task<> {
    auto ends = make_channel<test::counted>(2);
    int told = 0;
    auto sends = [&told](weir::sender<test::counted> tx) -> weir::task<> {
      for (;;) {
        const bool sent = co_await tx.send(test::counted());
        if (!sent) break;
      }
      ++told;
    };
    g.spawn(sends, ends.tx);
    g.spawn(sends, ends.tx);
    co_await settle();
    auto reserves = [&told](weir::sender<test::counted> tx) -> weir::task<> {
      const auto permit = co_await tx.reserve();
      if (!permit) ++told;
    };
    g.spawn(reserves, ends.tx);
    auto second = ends.rx;
    co_await settle();
    CHECK(told == 0);
    CHECK(ends.rx.size() == 2);
    ends.rx.reset();
    co_await settle();
    CHECK(told == 0);
    second.reset();
    co_await settle();
    CHECK(told == 3);
    CHECK(test::counted::alive == 0);
    CHECK(ends.tx.is_closed());
    CHECK(ends.tx.size() == 0);
    CHECK(!ends.tx.try_send(test::counted()));
  });
}

TEST_CASE("a permit of a channel without receivers is refused, and leaves its item") {
  simulate([]() -> weir::task<> {
    auto [tx, rx] = make_channel<std::unique_ptr<int>>(2);
    auto permit = co_await tx.reserve();
    rx.reset();
    auto item = std::make_unique<int>(1);
    CHECK(!permit.send(std::move(item)));
    CHECK(item);
  });
}

TEST_CASE("close on either end closes for all") {
  for (const bool by_receiver : {false, true}) {
    auto [tx, rx] = make_channel<int>(2);
    CHECK(tx.try_send(1));
    if (by_receiver) {
      rx.close();
      rx.close();
    } else {
      tx.close();
    }
    CHECK(tx.is_closed());
    CHECK(!tx.try_send(2));
    CHECK(rx.try_receive() == 1);
    CHECK(!rx.try_receive());
  }
}

TEST_CASE("ends are counted through copies, moves and assignments, also to themselves") {
  auto [tx, rx] = make_channel<int>(1);
  {
    weir::sender<int> a = tx;
    weir::sender<int> b = std::move(a);
    a = b;
    auto& same = a;
    a = same;
    a = std::move(same);
    CHECK(a);
    tx = std::move(b);
    b = tx;
    CHECK(b);
    auto other = make_channel<int>(1);
    b = other.tx;
    other.tx = a;
    CHECK(!other.rx.is_closed());
    b = a;  // the last sender of the other channel
    CHECK(other.rx.is_closed());
  }
  CHECK(!rx.is_closed());
  tx = weir::sender<int>();
  CHECK(rx.is_closed());

  auto third = make_channel<int>(1);
  weir::receiver<int> r = third.rx;
  auto& same = r;
  r = same;
  third.rx = std::move(r);
  CHECK(!third.tx.is_closed());
  third.rx = rx;
  CHECK(third.tx.is_closed());
}

TEST_CASE("the channel lives as long as one of its ends, and no longer") {
  const std::uint64_t before = test::allocations() - test::frees();
  {
    auto ends = make_channel<test::counted>(2);
    CHECK(ends.tx.try_send(test::counted()));
    ends.tx.reset();
    CHECK(test::counted::alive == 1);
    CHECK(ends.rx.try_receive());
    ends.rx.reset();
    CHECK(test::allocations() - test::frees() == before);
  }
  {
    auto ends = make_channel<test::counted>(weir::unbounded);
    for (int i = 0; i < 3000; ++i) CHECK(ends.tx.try_send(test::counted()));
    ends.rx.reset();
    CHECK(test::counted::alive == 0);
    ends.tx.reset();
    CHECK(test::allocations() - test::frees() == before);
  }
  CHECK(test::allocations() - test::frees() == before);
}

TEST_CASE("making a channel with its ends costs one allocation beside the room for the items") {
  const std::uint64_t before = test::allocations();
  const auto ends = make_channel<int>(16);
  CHECK(test::allocations() - before <= 2);
  const auto copy = ends;
  CHECK(test::allocations() - before <= 2);
  CHECK_THROWS_AS(static_cast<void>(make_channel<int>(static_cast<std::size_t>(-2))), std::bad_alloc);
}

TEST_CASE("items that own the ends of their own channel end with its last outer end") {
  struct link {
    weir::sender<link> back;
    test::counted here;
  };
  auto [tx, rx] = make_channel<link>(weir::unbounded);
  for (int i = 0; i < 100; ++i) CHECK(tx.try_send(link{tx, {}}));
  tx.reset();
  CHECK(!rx.is_closed());  // those in the channel still count
  CHECK(test::counted::alive == 100);
  rx.reset();
  CHECK(test::counted::alive == 0);
}

TEST_CASE("a pipeline of tasks that own their ends closes from the front to the back, for every seed") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    in_group(
        [](weir::task_group& g) -> weir::task<> {
          auto produce = [](weir::sender<int> tx) -> weir::task<> {
            for (int i = 0; i < 20; ++i) co_await tx.send(i);
          };
          auto forward = [](weir::receiver<int> rx, weir::sender<int> tx) -> weir::task<> {
            while (auto n = co_await rx.receive()) co_await tx.send(*n + 1000);
          };
          auto first = make_channel<int>(1);
          auto second = make_channel<int>(0);
          for (int i = 0; i < 3; ++i) g.spawn(produce, first.tx);
          for (int i = 0; i < 2; ++i) g.spawn(forward, first.rx, second.tx);
          first = {};
          second.tx.reset();
          int sum = 0;
          while (auto n = co_await second.rx.receive()) sum += *n;
          CHECK(sum == 3 * (190 + 20'000));
        },
        seed);
  }
}

TEST_CASE("a pipeline whose sink goes away ends from the back to the front, for every seed") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    in_group(
        [seed](weir::task_group& g) -> weir::task<> {
          int ended = 0;
          auto produce = [&ended](weir::sender<int> tx) -> weir::task<> {
            for (;;) {
              const bool sent = co_await tx.send(1);
              if (!sent) break;
            }
            ++ended;
          };
          auto forward = [&ended](weir::receiver<int> rx, weir::sender<int> tx) -> weir::task<> {
            while (auto n = co_await rx.receive()) {
              const bool sent = co_await tx.send(*n);
              if (!sent) break;
            }
            ++ended;
          };
          auto first = make_channel<int>(seed % 3);
          auto second = make_channel<int>(seed % 2);
          for (int i = 0; i < 3; ++i) g.spawn(produce, first.tx);
          for (int i = 0; i < 2; ++i) g.spawn(forward, first.rx, second.tx);
          first = {};
          second.tx.reset();
          for (int i = 0; i < 10; ++i) co_await second.rx.receive();
          second.rx.reset();
          co_await g.join();
          CHECK(ended == 5);
        },
        seed);
  }
}

TEST_CASE("ends go away on several threads at once: the last of each kind acts, once") {
  for (int round = 0; round < test::scaled(300, 50); ++round) {
    auto [tx, rx] = make_channel<int>(1);
    std::atomic<int> received{0};
    std::atomic<int> sent{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&sent, mine = tx]() mutable {
        for (int n = 0; n < 20; ++n) {
          if (mine.send_blocking(n)) ++sent;
        }
      });
      threads.emplace_back([&received, round, i, mine = rx]() mutable {
        while (mine.receive_blocking()) {
          ++received;
          if (round % 2 != 0 && i == 0) break;
        }
      });
    }
    tx.reset();
    rx.reset();
    for (std::thread& t : threads) t.join();
    if (round % 2 == 0) CHECK(received == 40);
    CHECK(sent >= received);
  }
}

TEST_CASE("using an end that was moved from is told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  CHECK(test::last_words_of([] {
          weir::sender<int> none;
          none.try_send(1);
        }) == "weir: a channel's end is used after it was moved from or reset\n");
#endif
}
