#include <weir/sync/channel.hpp>

#include <string>
#include <thread>
#include <type_traits>

#include "../skip.hpp"
#include "support.hpp"

using test::fragile;
using test::settle;
using test::simulate;
using weir::channel;

static_assert(!std::is_copy_constructible_v<channel<int>> && !std::is_move_constructible_v<channel<int>>);
static_assert(!std::is_copy_constructible_v<weir::send_permit<int>>);
static_assert(std::is_nothrow_move_constructible_v<weir::send_permit<int>>);
static_assert(std::is_nothrow_move_assignable_v<weir::send_permit<int>>);

namespace {

constexpr int the_end = -1;

/// Writes down what it receives, and the end.
weir::task<> drain(channel<int>& from, std::vector<int>& to) {
  while (auto n = co_await from.receive()) to.push_back(*n);
  to.push_back(the_end);
}

weir::task<> receive_one(channel<int>& from, test::log& seen, const char* name) {
  const auto n = co_await from.receive();
  seen.push_back(name + (n ? std::to_string(*n) : std::string("-")));
}

weir::task<> send_one(channel<int>& to, test::log& seen, int n) {
  const bool sent = co_await to.send(n);
  seen.push_back(std::to_string(n) + (sent ? "" : "-"));
}

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

}  // namespace

// ---- without waiting

TEST_CASE("a channel knows its capacity, what lies in it, and whether it is closed") {
  channel<int> three(3);
  CHECK(three.capacity() == 3);
  CHECK(three.empty());
  CHECK(!three.is_closed());
  CHECK(three.try_send(1));
  CHECK(three.try_send(2));
  CHECK(three.size() == 2);
  CHECK(!three.empty());
  three.close();
  CHECK(three.is_closed());
  CHECK(three.size() == 2);
  const channel<int>& read_only = three;
  CHECK(read_only.size() == 2);

  CHECK(channel<int>(0).capacity() == 0);
  CHECK(channel<int>(weir::unbounded).capacity() == static_cast<std::size_t>(-1));
}

TEST_CASE("an unbounded channel has to be asked for by name") {
  CHECK_THROWS_WITH_AS(channel<int>(static_cast<std::size_t>(-1)), "weir::channel: use `unbounded`",
                       std::invalid_argument);
  CHECK_THROWS_AS(channel<int>(static_cast<std::size_t>(-2)), std::bad_alloc);
}

TEST_CASE("try_send and try_receive: as far as there is room, and in order") {
  channel<int> two(2);
  CHECK(!two.try_receive());
  CHECK(two.try_send(1));
  CHECK(two.try_send(2));
  CHECK(!two.try_send(3));
  CHECK(two.try_receive() == 1);
  CHECK(two.try_send(4));
  CHECK(two.try_receive() == 2);
  CHECK(two.try_receive() == 4);
  CHECK(!two.try_receive());

  channel<int> meeting(0);
  CHECK(!meeting.try_send(1));
  CHECK(!meeting.try_receive());

  channel<int> all(weir::unbounded);
  for (int i = 0; i < 10'000; ++i) CHECK(all.try_send(i));
  CHECK(all.size() == 10'000);
  for (int i = 0; i < 10'000; ++i) CHECK(all.try_receive() == i);
}

TEST_CASE("try_send leaves its item untouched where it does not send") {
  auto item = std::make_unique<int>(1);
  channel<std::unique_ptr<int>> meeting(0);
  CHECK(!meeting.try_send(std::move(item)));
  CHECK(item);
  channel<std::unique_ptr<int>> one(1);
  CHECK(one.try_send(std::make_unique<int>(0)));
  CHECK(!one.try_send(std::move(item)));
  CHECK(item);
  one.close();
  CHECK(!one.try_send(std::move(item)));
  CHECK(*item == 1);
}

TEST_CASE("an lvalue is copied, an rvalue is moved") {
  simulate([]() -> weir::task<> {
    channel<std::string> c(10);
    std::string item = "long enough to live on the heap, and so to be empty once it was moved";
    const std::string same = item;
    CHECK(c.try_send(item));
    CHECK(item == same);
    const bool copied = co_await c.send(item);
    CHECK(copied);
    CHECK(item == same);
    const bool moved = co_await c.send(std::move(item));
    CHECK(moved);
    CHECK(item.empty());  // NOLINT(bugprone-use-after-move)
    for (int i = 0; i < 3; ++i) CHECK(c.try_receive() == same);
  });
}

TEST_CASE("items that can only be moved, and items that are optionals or references in disguise") {
  simulate([]() -> weir::task<> {
    channel<std::unique_ptr<int>> owners(1);
    const bool sent = co_await owners.send(std::make_unique<int>(7));
    CHECK(sent);
    const auto owner = co_await owners.receive();
    REQUIRE(owner);
    CHECK(**owner == 7);

    channel<std::optional<int>> maybes(2);
    CHECK(maybes.try_send(std::nullopt));
    const auto nothing = co_await maybes.receive();
    REQUIRE(nothing);
    CHECK(!*nothing);

    int n = 1;
    channel<std::reference_wrapper<int>> references(1);
    const bool lent = co_await references.send(std::ref(n));
    CHECK(lent);
    const auto reference = co_await references.receive();
    reference->get() = 2;
    CHECK(n == 2);
  });
}

TEST_CASE("what is left in a channel dies with it") {
  {
    channel<test::counted> c(10);
    channel<test::counted> all(weir::unbounded);
    for (int i = 0; i < 5; ++i) CHECK((c.try_send(test::counted()) && all.try_send(test::counted())));
    CHECK(test::counted::alive == 10);
  }
  CHECK(test::counted::alive == 0);
}

// ---- waiting

TEST_CASE("a send that finds room and a receive that finds an item do not suspend") {
  in_real_group([](weir::task_group& g) -> weir::task<> {
    bool others_ran = false;
    auto other = [&]() -> weir::task<> {
      others_ran = true;
      co_return;
    };
    g.spawn(other);
    channel<int> c(1);
    for (int i = 0; i < 10; ++i) {
      const bool sent = co_await c.send(i);
      CHECK(sent);
      const auto n = co_await c.receive();
      CHECK(n == i);
    }
    CHECK(!others_ran);
    co_await g.join();
  });
}

TEST_CASE("a task that always finds room, or items, still lets others run") {
  for (const bool sending : {false, true}) {
    in_group([sending](weir::task_group& g) -> weir::task<> {
      channel<int> c(weir::unbounded);
      bool stop = false;
      auto other = [&]() -> weir::task<> {
        stop = true;
        co_return;
      };
      g.spawn(other);
      int rounds = 0;
      while (!stop && rounds < 1'000'000) {
        ++rounds;
        if (sending) {
          co_await c.send(1);
        } else {
          CHECK(c.try_send(1));
          co_await c.receive();
        }
      }
      CHECK(stop);
      CHECK(c.size() == (sending ? rounds : 0));
    });
  }
}

TEST_CASE("receivers are served in the order in which they came") {
  for (const std::size_t capacity : {0, 1, 10}) {
    in_group([capacity](weir::task_group& g) -> weir::task<> {
      channel<int> c(capacity);
      test::log seen;
      for (const char* name : {"a", "b", "c", "d"}) {
        g.spawn(receive_one, std::ref(c), std::ref(seen), name);
        co_await settle();
      }
      for (int i = 1; i <= 4; ++i) {
        const bool sent = co_await c.send(i);
        CHECK(sent);
        CHECK(c.empty());  // handed over directly
        co_await settle();
      }
      CHECK(seen == test::log{"a1", "b2", "c3", "d4"});
    });
  }
}

TEST_CASE("senders are served in the order in which they came") {
  for (const std::size_t capacity : {0, 1, 3}) {
    in_group([capacity](weir::task_group& g) -> weir::task<> {
      channel<int> c(capacity);
      test::log seen;
      for (int i = 1; i <= 6; ++i) {
        g.spawn(send_one, std::ref(c), std::ref(seen), i);
        co_await settle();
      }
      CHECK(seen.size() == capacity);
      for (int i = 1; i <= 6; ++i) {
        CHECK(c.try_receive() == i);
        co_await settle();
        CHECK(seen.size() == std::min<std::size_t>(6, capacity + static_cast<std::size_t>(i)));
      }
      CHECK(seen == test::log{"1", "2", "3", "4", "5", "6"});
    });
  }
}

TEST_CASE("at a rendezvous a send completes when somebody has the item, whoever comes first") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(0);
    test::log seen;
    g.spawn(send_one, std::ref(c), std::ref(seen), 1);
    co_await settle();
    CHECK(seen.empty());
    CHECK(c.empty());
    const auto first = co_await c.receive();
    CHECK(first == 1);
    co_await settle();
    CHECK(seen == test::log{"1"});

    g.spawn(receive_one, std::ref(c), std::ref(seen), "a");
    co_await settle();
    CHECK(seen.size() == 1);
    const bool sent = co_await c.send(2);
    CHECK(sent);
    co_await settle();
    CHECK(seen == test::log{"1", "a2"});
  });
}

TEST_CASE("a chain of channels carries everything in order, for every capacity and seed") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const std::size_t capacity = seed % 5;
    in_group(
        [capacity](weir::task_group& g) -> weir::task<> {
          channel<int> first(capacity);
          channel<int> second(weir::unbounded);
          std::vector<int> seen;
          auto produce = [&]() -> weir::task<> {
            for (int i = 0; i < 100; ++i) co_await first.send(i);
            first.close();
          };
          auto forward = [&]() -> weir::task<> {
            while (auto n = co_await first.receive()) co_await second.send(*n);
            second.close();
          };
          g.spawn(produce);
          g.spawn(forward);
          g.spawn(drain, std::ref(second), std::ref(seen));
          co_await g.join();
          REQUIRE(seen.size() == 101);
          for (int i = 0; i < 100; ++i) CHECK(seen[static_cast<std::size_t>(i)] == i);
        },
        seed);
  }
}

TEST_CASE("the room that a bounded channel bounds is the whole room: no more than capacity items lie in it") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    in_group(
        [](weir::task_group& g) -> weir::task<> {
          channel<int> c(3);
          std::size_t most = 0;
          auto produce = [&]() -> weir::task<> {
            for (int i = 0; i < 50; ++i) {
              co_await c.send(i);
              most = std::max(most, c.size());
            }
          };
          for (int i = 0; i < 3; ++i) g.spawn(produce);
          for (int i = 0; i < 150; ++i) co_await c.receive();
          CHECK(most == 3);
        },
        seed);
  }
}

// ---- closing

TEST_CASE("once closed nothing can be sent; what lies there is received, then the end, for ever") {
  simulate([]() -> weir::task<> {
    channel<int> c(3);
    CHECK(c.try_send(1));
    CHECK(c.try_send(2));
    c.close();
    c.close();
    int item = 3;
    const bool sent = co_await c.send(std::move(item));
    CHECK(!sent);
    CHECK(!c.try_send(3));
    const auto permit = co_await c.reserve();
    CHECK(!permit);
    const auto one = co_await c.receive();
    CHECK(one == 1);
    CHECK(c.try_receive() == 2);
    for (int i = 0; i < 3; ++i) {
      const auto end = co_await c.receive();
      CHECK(!end);
      CHECK(!c.try_receive());
    }
    c.close();
    CHECK(c.is_closed());
  });
}

TEST_CASE("close lets waiting receivers go, in order") {
  for (const std::size_t capacity : {0, 3}) {
    in_group([capacity](weir::task_group& g) -> weir::task<> {
      channel<int> c(capacity);
      test::log seen;
      for (const char* name : {"a", "b", "c"}) {
        g.spawn(receive_one, std::ref(c), std::ref(seen), name);
        co_await settle();
      }
      c.close();
      c.close();
      co_await settle();
      std::sort(seen.begin(), seen.end());  // they were let go at once: the seed picks
      CHECK(seen == test::log{"a-", "b-", "c-"});
    });
  }
}

TEST_CASE("close lets waiting senders go with their items") {
  for (const std::size_t capacity : {0, 2}) {
    in_group([capacity](weir::task_group& g) -> weir::task<> {
      channel<std::unique_ptr<int>> c(capacity);
      for (std::size_t i = 0; i < capacity; ++i) CHECK(c.try_send(std::make_unique<int>(0)));
      int told = 0;
      auto sends = [&]() -> weir::task<> {
        auto item = std::make_unique<int>(1);
        const bool sent = co_await c.send(std::move(item));
        CHECK(!sent);
        CHECK(item);  // NOLINT(bugprone-use-after-move)
        ++told;
      };
      for (int i = 0; i < 3; ++i) g.spawn(sends);
      auto reserves = [&]() -> weir::task<> {
        const auto permit = co_await c.reserve();
        CHECK(!permit);
        ++told;
      };
      if (capacity != 0) g.spawn(reserves);
      co_await settle();
      CHECK(told == 0);
      c.close();
      co_await settle();
      CHECK(told == (capacity != 0 ? 4 : 3));
      CHECK(c.size() == capacity);
    });
  }
}

TEST_CASE("close_and_clear destroys what lies there, and lets everybody go") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<test::counted> c(2);
    CHECK(c.try_send(test::counted()));
    CHECK(c.try_send(test::counted()));
    bool told = false;
    auto sends = [&]() -> weir::task<> {
      const test::counted item;
      const bool sent = co_await c.send(item);
      told = !sent;
    };
    g.spawn(sends);
    co_await settle();
    c.close_and_clear();
    co_await settle();
    CHECK(told);
    CHECK(test::counted::alive == 0);
    CHECK(c.empty());
    const auto end = co_await c.receive();
    CHECK(!end);
    c.close_and_clear();
    c.close();

    channel<int> meeting(0);
    std::vector<int> seen;
    g.spawn(drain, std::ref(meeting), std::ref(seen));
    co_await settle();
    meeting.close_and_clear();
    co_await settle();
    CHECK(seen == std::vector<int>{the_end});
  });
}

TEST_CASE("what closes is done without the lock: destructors of items may use the channel") {
  struct closes {
    explicit closes(channel<closes>& c) : in(&c) {}
    closes(closes&& other) noexcept : in(std::exchange(other.in, nullptr)) {}
    closes& operator=(closes&&) = delete;
    ~closes() {
      if (in) in->close();
    }
    channel<closes>* in;
  };
  channel<closes> c(weir::unbounded);
  for (int i = 0; i < 100; ++i) CHECK(c.try_send(closes(c)));
  c.close_and_clear();
  CHECK(c.is_closed());
}

TEST_CASE("close after close_and_clear, and clearing after close, and closing an unbounded one that has grown") {
  channel<test::counted> all(weir::unbounded);
  for (int i = 0; i < 5000; ++i) CHECK(all.try_send(test::counted()));
  all.close();
  for (int i = 0; i < 2500; ++i) CHECK(all.try_receive());
  all.close_and_clear();
  CHECK(test::counted::alive == 0);
  CHECK(!all.try_receive());
  CHECK(!all.try_send(test::counted()));
  CHECK(all.empty());
}

// ---- permits

TEST_CASE("a permit is room that is kept: sending with it does not wait, and others find less room") {
  simulate([]() -> weir::task<> {
    channel<int> c(2);
    auto permit = co_await c.reserve();
    REQUIRE(permit);
    CHECK(c.empty());
    CHECK(c.try_send(1));
    CHECK(!c.try_send(2));
    CHECK(permit.send(3));
    CHECK(!permit);
    CHECK(c.try_receive() == 1);
    CHECK(c.try_receive() == 3);
  });
}

TEST_CASE("reserve waits for room in one queue with the senders") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(1);
    CHECK(c.try_send(0));
    test::log seen;
    g.spawn(send_one, std::ref(c), std::ref(seen), 1);
    co_await settle();
    auto reserves = [&]() -> weir::task<> {
      auto permit = co_await c.reserve();
      seen.emplace_back("reserved");
      co_await weir::sleep_for(1ms);
      CHECK(permit.send(2));
    };
    g.spawn(reserves);
    co_await settle();
    g.spawn(send_one, std::ref(c), std::ref(seen), 3);
    co_await settle();
    CHECK(seen.empty());
    CHECK(c.try_receive() == 0);
    co_await settle();
    CHECK(seen == test::log{"1"});
    CHECK(c.try_receive() == 1);
    co_await settle();
    CHECK(seen == test::log{"1", "reserved"});
    co_await weir::sleep_for(1ms);
    co_await settle();
    CHECK(seen == test::log{"1", "reserved"});
    CHECK(c.try_receive() == 2);
    co_await settle();
    CHECK(seen == test::log{"1", "reserved", "3"});
    CHECK(c.try_receive() == 3);
  });
}

TEST_CASE("a permit that is dropped unused lets the next sender in, also when another is assigned to it") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(1);
    test::log seen;
    {
      const auto permit = co_await c.reserve();
      g.spawn(send_one, std::ref(c), std::ref(seen), 1);
      co_await settle();
      CHECK(seen.empty());
    }
    co_await settle();
    CHECK(seen == test::log{"1"});
    CHECK(c.try_receive() == 1);

    auto permit = co_await c.reserve();
    auto moved = std::move(permit);
    CHECK(!permit);  // NOLINT(bugprone-use-after-move)
    CHECK(moved);
    auto& same = moved;
    moved = std::move(same);
    CHECK(moved);
    CHECK(!c.try_send(2));
    moved = weir::send_permit<int>();
    CHECK(!moved);
    CHECK(c.try_send(2));
  });
}

TEST_CASE("with a permit one can send after the close, and receivers wait for it") {
  in_group([](weir::task_group& g) -> weir::task<> {
    for (const bool used : {true, false}) {
      channel<int> c(2);
      std::vector<int> seen;
      std::optional permit(co_await c.reserve());
      g.spawn(drain, std::ref(c), std::ref(seen));
      g.spawn(drain, std::ref(c), std::ref(seen));
      co_await settle();
      c.close();
      CHECK(!c.try_send(0));
      co_await settle();
      CHECK(seen.empty());
      if (used) {
        CHECK(permit->send(1));
        co_await settle();
        std::sort(seen.begin(), seen.end());
        CHECK(seen == std::vector<int>{the_end, the_end, 1});
      } else {
        permit.reset();
        co_await settle();
        CHECK(seen == std::vector<int>{the_end, the_end});
      }
      permit.reset();
    }
  });
}

TEST_CASE("receivers that come after the close wait for permits too, and items before the end") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(3);
    CHECK(c.try_send(1));
    auto first = co_await c.reserve();
    auto second = co_await c.reserve();
    c.close();
    std::vector<int> seen;
    g.spawn(drain, std::ref(c), std::ref(seen));
    co_await settle();
    CHECK(seen == std::vector<int>{1});
    CHECK(first.send(2));
    co_await settle();
    CHECK(seen == std::vector<int>{1, 2});
    CHECK(second.send(3));
    co_await settle();
    CHECK(seen == std::vector<int>{1, 2, 3, the_end});
  });
}

TEST_CASE("on a channel that was cleared permits are refused, and leave the item untouched") {
  simulate([]() -> weir::task<> {
    channel<std::unique_ptr<int>> c(3);
    auto used = co_await c.reserve();
    auto dropped = co_await c.reserve();
    c.close_and_clear();
    auto item = std::make_unique<int>(1);
    CHECK(!used.send(std::move(item)));
    CHECK(item);
    CHECK(!used);
    const auto end = co_await c.receive();
    CHECK(!end);
    dropped = weir::send_permit<std::unique_ptr<int>>();
  });
}

TEST_CASE("a permit hands over directly to a receiver that waits, and the room goes to the next sender") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(1);
    test::log seen;
    auto permit = co_await c.reserve();
    g.spawn(receive_one, std::ref(c), std::ref(seen), "a");
    co_await settle();
    auto reserves = [&]() -> weir::task<> {
      const auto next = co_await c.reserve();
      seen.emplace_back("reserved");
    };
    g.spawn(reserves);
    co_await settle();
    CHECK(seen.empty());
    CHECK(permit.send(1));
    CHECK(c.empty());
    co_await settle();
    std::sort(seen.begin(), seen.end());
    CHECK(seen == test::log{"a1", "reserved"});
  });
}

TEST_CASE("while all room is reserved items still go from senders to receivers, whoever comes first") {
  for (const bool receiver_first : {true, false}) {
    in_group([receiver_first](weir::task_group& g) -> weir::task<> {
      channel<int> c(1);
      test::log seen;
      const auto permit = co_await c.reserve();
      if (receiver_first) {
        g.spawn(receive_one, std::ref(c), std::ref(seen), "a");
        co_await settle();
        g.spawn(send_one, std::ref(c), std::ref(seen), 1);
      } else {
        g.spawn(send_one, std::ref(c), std::ref(seen), 1);
        co_await settle();
        g.spawn(receive_one, std::ref(c), std::ref(seen), "a");
      }
      co_await settle();
      std::sort(seen.begin(), seen.end());
      CHECK(seen == test::log{"1", "a1"});
    });
  }
}

TEST_CASE("no sender overtakes another one while all room is reserved") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(1);
    test::log seen;
    std::optional permit(co_await c.reserve());
    auto reserves = [&]() -> weir::task<> {
      const auto next = co_await c.reserve();
      seen.emplace_back("reserved");
    };
    g.spawn(reserves);
    co_await settle();
    g.spawn(send_one, std::ref(c), std::ref(seen), 1);
    co_await settle();
    g.spawn(send_one, std::ref(c), std::ref(seen), 2);
    co_await settle();
    g.spawn(receive_one, std::ref(c), std::ref(seen), "a");
    co_await settle();
    CHECK(!c.try_send(3));
    CHECK(c.try_receive() == 2);
    co_await settle();
    std::sort(seen.begin(), seen.end());
    CHECK(seen == test::log{"1", "2", "a1"});
    permit.reset();
    co_await settle();
    CHECK(seen.back() == "reserved");
    CHECK(c.try_send(3));
  });
}

TEST_CASE("permits of an unbounded channel are always to be had") {
  simulate([]() -> weir::task<> {
    channel<int> c(weir::unbounded);
    std::vector<weir::send_permit<int>> permits;
    for (int i = 0; i < 100; ++i) permits.push_back(co_await c.reserve());
    for (int i = 0; i < 50; ++i) CHECK(permits[static_cast<std::size_t>(i)].send(i));
    const int copied = 50;
    CHECK(permits[50].send(copied));
    permits.clear();
    for (int i = 0; i < 51; ++i) CHECK(c.try_receive() == i);
    CHECK(c.empty());
  });
}

TEST_CASE("a rendezvous channel has no room to give") {
  simulate([]() -> weir::task<> {
    channel<int> c(0);
    for (const bool closed : {false, true}) {
      if (closed) c.close();
      std::string what;
      std::error_code code;
      try {
        const auto permit = co_await c.reserve();
        CHECK(closed);
        CHECK(!permit);
      } catch (const std::system_error& e) {
        what = e.what();
        code = e.code();
      }
      if (closed) continue;
      CHECK(code == std::errc::invalid_argument);
      CHECK(what == "reserve: a rendezvous channel has no room to give: Invalid argument");
    }
    const auto r = co_await weir::as_result(c.reserve());
    CHECK(r.has_value());
  });
}

// ---- cancellation

namespace {

/// A channel in which a send or reserve (or, with the other name, a receive) has to wait.
struct full_channel : channel<int> {
  full_channel() : channel<int>(1) { CHECK(try_send(0)); }
};

}  // namespace

TEST_CASE("under a token that is cancelled already every operation stops, whether it would have to wait or not") {
  simulate([]() -> weir::task<> {
    weir::cancellation_source source;
    source.request_cancellation();
    for (const std::size_t items : {0, 1}) {
      channel<int> c(1);
      for (std::size_t i = 0; i < items; ++i) CHECK(c.try_send(7));
      int item = 1;
      const auto sent = co_await weir::as_result(weir::with_cancellation(source.token(), c.send(std::move(item))));
      CHECK(sent.is_cancelled());
      const auto copied = co_await weir::as_result(weir::with_cancellation(source.token(), c.send(item)));
      CHECK(copied.is_cancelled());
      const auto received = co_await weir::as_result(weir::with_cancellation(source.token(), c.receive()));
      CHECK(received.is_cancelled());
      const auto reserved = co_await weir::as_result(weir::with_cancellation(source.token(), c.reserve()));
      CHECK(reserved.is_cancelled());
      CHECK(c.size() == items);
      if (items == 0) CHECK(c.try_send(1));  // no permit was left behind
      c.close();
      const auto late = co_await weir::as_result(weir::with_cancellation(source.token(), c.receive()));
      CHECK(late.is_cancelled());
    }
  });
}

TEST_CASE("a send that is cancelled while it waits leaves the queue, and its item untouched") {
  for (const std::size_t capacity : {0, 1}) {
    in_group([capacity](weir::task_group& g) -> weir::task<> {
      channel<std::unique_ptr<int>> c(capacity);
      if (capacity != 0) CHECK(c.try_send(std::make_unique<int>(0)));
      auto item = std::make_unique<int>(1);
      auto sends = [&]() -> weir::task<> { co_await c.send(std::move(item)); };
      auto other = [&]() -> weir::task<> { co_await c.send(std::make_unique<int>(2)); };
      auto first = g.spawn(sends);
      co_await settle();
      auto second = g.spawn(other);
      co_await settle();
      first.request_cancellation();
      co_await settle();
      CHECK(item);
      if (capacity != 0) CHECK(**c.try_receive() == 0);
      const auto got = c.try_receive();
      REQUIRE(got);
      CHECK(**got == 2);
      CHECK(!c.try_receive());
    });
  }
}

TEST_CASE("a receive that is cancelled while it waits leaves the queue and takes nothing") {
  for (const std::size_t capacity : {0, 1}) {
    in_group([capacity](weir::task_group& g) -> weir::task<> {
      channel<int> c(capacity);
      test::log seen;
      auto a = g.spawn(receive_one, std::ref(c), std::ref(seen), "a");
      co_await settle();
      auto b = g.spawn(receive_one, std::ref(c), std::ref(seen), "b");
      co_await settle();
      a.request_cancellation();
      co_await settle();
      CHECK(c.try_send(1));
      co_await settle();
      CHECK(seen == test::log{"b1"});
      auto d = g.spawn(receive_one, std::ref(c), std::ref(seen), "d");
      co_await settle();
      d.request_cancellation();
      // Not even unwound yet, and out of the queue.
      CHECK(c.try_send(2) == (capacity != 0));
      co_await settle();
      CHECK(seen == test::log{"b1"});
    });
  }
}

TEST_CASE("a reserve that is cancelled while it waits leaves the queue and keeps no room") {
  in_group([](weir::task_group& g) -> weir::task<> {
    full_channel c;
    auto reserves = [&]() -> weir::task<> {
      const auto permit = co_await c.reserve();
      CHECK(false);
    };
    auto h = g.spawn(reserves);
    co_await settle();
    h.request_cancellation();
    co_await settle();
    CHECK(c.try_receive() == 0);
    CHECK(c.try_send(1));
  });
}

TEST_CASE("what was handed over before the cancellation is delivered, even if the task has not gone on yet") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    in_group(
        [](weir::task_group& g) -> weir::task<> {
          channel<int> c(1);
          std::optional<int> got;
          bool sent = false;
          bool reserved = false;
          auto receives = [&]() -> weir::task<> {
            got = co_await c.receive();
            co_await weir::checkpoint();
            CHECK(false);
          };
          auto sends = [&]() -> weir::task<> {
            sent = co_await c.send(2);
            co_await weir::checkpoint();
            CHECK(false);
          };
          auto reserves = [&]() -> weir::task<> {
            auto permit = co_await c.reserve();
            reserved = permit.send(3);
            co_await weir::checkpoint();
            CHECK(false);
          };
          auto h = g.spawn(receives);
          co_await settle();
          CHECK(c.try_send(1));
          h.request_cancellation();
          CHECK(!got);
          co_await settle();
          CHECK(got == 1);

          CHECK(c.try_send(0));
          auto s = g.spawn(sends);
          co_await settle();
          CHECK(c.try_receive() == 0);
          s.request_cancellation();
          CHECK(!sent);
          co_await settle();
          CHECK(sent);

          auto r = g.spawn(reserves);
          co_await settle();
          CHECK(c.try_receive() == 2);
          r.request_cancellation();
          CHECK(!reserved);
          co_await settle();
          CHECK(reserved);
          CHECK(c.try_receive() == 3);
        },
        seed);
  }
}

TEST_CASE("who was told of the close before the cancellation is told") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<int> c(0);
    int told = 0;
    auto receives = [&]() -> weir::task<> {
      const auto n = co_await c.receive();
      if (!n) ++told;
    };
    auto h = g.spawn(receives);
    co_await settle();
    c.close();
    h.request_cancellation();
    co_await settle();
    CHECK(told == 1);
  });
}

TEST_CASE("a timeout and an item in the same instant: either the value comes or nothing was taken") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    in_group(
        [seed](weir::task_group& g) -> weir::task<> {
          channel<int> c(seed % 2);
          int taken = 0;
          int timeouts = 0;
          int given = 0;
          auto receives = [&]() -> weir::task<> {
            for (int i = 0; i < 10; ++i) {
              const auto r = co_await weir::as_result(weir::with_timeout(1ms, c.receive()));
              if (r.has_value()) ++taken;
              if (r.error() == std::errc::timed_out) ++timeouts;
            }
          };
          auto sends = [&]() -> weir::task<> {
            for (int i = 0; i < 10; ++i) {
              co_await weir::sleep_for(1ms);
              int item = 1;
              const auto r = co_await weir::as_result(weir::with_timeout(i % 2 * 1ms, c.send(std::move(item))));
              if (r.has_value() && *r) ++given;
            }
          };
          g.spawn(receives);
          g.spawn(sends);
          co_await g.join();
          CHECK(taken + timeouts == 10);
          CHECK(taken + static_cast<int>(c.size()) == given);
        },
        seed);
  }
}

TEST_CASE("with_timeout of zero completes where no waiting is needed, and otherwise takes nothing") {
  simulate([]() -> weir::task<> {
    channel<int> c(1);
    const auto sent = co_await weir::with_timeout(0s, c.send(1));
    CHECK(sent);
    const auto full = co_await weir::as_result(weir::with_timeout(0s, c.send(2)));
    CHECK(full.error() == std::errc::timed_out);
    const auto got = co_await weir::with_timeout(0s, c.receive());
    CHECK(got == 1);
    const auto none = co_await weir::as_result(weir::with_timeout(0s, c.receive()));
    CHECK(none.error() == std::errc::timed_out);
  });
}

TEST_CASE("a cancellation that comes when the budget is used up loses nothing") {
  // Every operation would be done at once; now and then one has to go to the back of the queue first.
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    in_group(
        [](weir::task_group& g) -> weir::task<> {
          channel<int> c(weir::unbounded);
          int sent = 0;
          int received = 0;
          auto sends = [&]() -> weir::task<> {
            for (;;) {
              const bool ok = co_await c.send(sent);
              CHECK(ok);
              ++sent;
            }
          };
          auto receives = [&]() -> weir::task<> {
            for (;;) {
              const auto n = co_await c.receive();
              CHECK(n == received);
              ++received;
            }
          };
          auto s = g.spawn(sends);
          auto r = g.spawn(receives);
          for (int i = 0; i < 10; ++i) co_await weir::yield();
          s.request_cancellation();
          for (int i = 0; i < 3; ++i) co_await weir::yield();
          r.request_cancellation();
          co_await g.join();
          CHECK(sent > 100);
          CHECK(sent == received + static_cast<int>(c.size()));
        },
        seed);
  }
}

TEST_CASE("as_result of each operation") {
  simulate([]() -> weir::task<> {
    channel<int> c(1);
    const auto sent = co_await weir::as_result(c.send(1));
    CHECK(sent.value());
    const auto got = co_await weir::as_result(c.receive());
    CHECK(got.value() == 1);
    auto permit = co_await weir::as_result(c.reserve());
    CHECK(permit.value());
    CHECK(permit.value().send(2));
    channel<fragile> items(1);
    CHECK(items.try_send(fragile(1)));
    fragile::break_move(1);
    const auto failed = co_await weir::as_result(items.receive());
    CHECK(!failed.has_value());
    CHECK_THROWS_AS(std::rethrow_exception(failed.exception()), test::broken);
    CHECK(items.size() == 1);
  });
}

// ---- items whose moves throw

namespace {

/// What an operation that is expected to throw broken ended with.
template <class Op>
weir::task<bool> breaks(Op op) {
  const auto r = co_await weir::as_result(std::move(op));
  if (r.has_value()) co_return false;
  CHECK(test::unobserved::what(r.exception()) == "broken");
  co_return true;
}

weir::task<> receive_value(channel<fragile>& from, std::vector<int>& to) {
  try {
    const auto item = co_await from.receive();
    to.push_back(item ? item->value : the_end);
  } catch (const test::broken&) {
    to.push_back(-2);
  }
}
weir::task<> send_value(channel<fragile>& to, std::vector<int>& seen, int n) {
  fragile item(n);
  try {
    const bool sent = co_await to.send(std::move(item));
    CHECK(item.value == (sent ? -1 : n));  // NOLINT(bugprone-use-after-move)
    seen.push_back(n);
  } catch (const test::broken&) {
    CHECK(item.value == n);
    seen.push_back(-n);
  }
}

}  // namespace

TEST_CASE("a move into the buffer that throws is the sender's, who keeps the item") {
  simulate([]() -> weir::task<> {
    for (const bool bounded : {true, false}) {
      std::optional<channel<fragile>> made;
      if (bounded) {
        made.emplace(2);
      } else {
        made.emplace(weir::unbounded);
      }
      channel<fragile>& c = *made;
      fragile item(1);
      fragile::break_move(1);
      const bool broke = co_await breaks(c.send(std::move(item)));
      CHECK(broke);
      CHECK(item.value == 1);
      fragile::break_move(1);
      CHECK_THROWS_AS(c.try_send(std::move(item)), test::broken);
      CHECK(item.value == 1);
      fragile::break_move(1);
      CHECK_THROWS_AS(c.send_blocking(std::move(item)), test::broken);
      CHECK(c.empty());
      CHECK(c.try_send(std::move(item)));
      CHECK(c.try_receive()->value == 1);
    }
    CHECK(fragile::alive == 0);
  });
}

TEST_CASE("a copy that throws is thrown where send is called") {
  simulate([]() -> weir::task<> {
    channel<fragile> c(2);
    const fragile item(1);
    fragile::break_move(1);
    CHECK_THROWS_AS(static_cast<void>(c.send(item)), test::broken);
    fragile::break_move(1);
    CHECK_THROWS_AS(c.try_send(item), test::broken);
    fragile::break_move(1);
    CHECK_THROWS_AS(c.send_blocking(item), test::broken);
    auto permit = co_await c.reserve();
    fragile::break_move(1);
    CHECK_THROWS_AS(permit.send(item), test::broken);
    CHECK(permit);
    CHECK(c.empty());
    // The copy that was made is moved when the send commits.
    fragile::break_move(2);
    bool broke = false;
    try {
      co_await c.send(item);
    } catch (const test::broken&) {
      broke = true;
    }
    CHECK(broke);
    CHECK(c.empty());
  });
  CHECK(fragile::alive == 0);
}

TEST_CASE("an operation whose copy cannot be moved into a scope throws; nobody dies of it") {
  simulate([]() -> weir::task<> {
    channel<fragile> c(2);
    const fragile item(1);
    weir::cancellation_source source;
    for (int nth = 1; nth <= 8; ++nth) {
      // Not all of these are moves, and which they are is up to the scopes.
      fragile::break_move(nth);
      try {
        co_await weir::with_timeout(1s, weir::with_cancellation(source.token(), c.send(item)));
      } catch (const test::broken&) {
      }
      fragile::break_move(nth);
      try {
        co_await weir::with_cancellation(source.token(), weir::shielded(weir::with_timeout(1s, c.send(item))));
      } catch (const test::broken&) {
      }
      fragile::break_move(0);
      c.try_receive();
      c.try_receive();
    }
    CHECK(fragile::alive == 1);
  });
}

TEST_CASE("a hand-over that throws is the sender's; the receiver goes on waiting") {
  for (const std::size_t capacity : {0, 2}) {
    in_group([capacity](weir::task_group& g) -> weir::task<> {
      channel<fragile> c(capacity);
      std::vector<int> seen;
      g.spawn(receive_value, std::ref(c), std::ref(seen));
      co_await settle();
      fragile item(1);
      fragile::break_move(1);
      const bool broke = co_await breaks(c.send(std::move(item)));
      CHECK(broke);
      CHECK(item.value == 1);
      co_await settle();
      CHECK(seen.empty());
      CHECK(c.try_send(std::move(item)));
      co_await settle();
      CHECK(seen == std::vector<int>{1});
    });
    CHECK(fragile::alive == 0);
  }
}

TEST_CASE("a move out of the buffer that throws is the receiver's; the item stays") {
  simulate([]() -> weir::task<> {
    channel<fragile> c(2);
    CHECK(c.try_send(fragile(1)));
    CHECK(c.try_send(fragile(2)));
    fragile::break_move(1);
    const bool broke = co_await breaks(c.receive());
    CHECK(broke);
    CHECK(c.size() == 2);
    fragile::break_move(1);
    CHECK_THROWS_AS(c.try_receive(), test::broken);
    fragile::break_move(1);
    CHECK_THROWS_AS(c.receive_blocking(), test::broken);
    CHECK(c.size() == 2);
    CHECK(c.try_receive()->value == 1);
    CHECK(c.try_receive()->value == 2);
  });
  CHECK(fragile::alive == 0);
}

TEST_CASE("the last move, to who awaits, may throw too: the channel goes on") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<fragile> c(2);
    std::vector<int> seen;
    CHECK(c.try_send(fragile(1)));
    fragile::break_move(2);
    co_await receive_value(c, seen);
    CHECK(seen == std::vector<int>{-2});
    g.spawn(receive_value, std::ref(c), std::ref(seen));
    co_await settle();
    fragile::break_move(2);
    CHECK(c.try_send(fragile(2)));
    co_await settle();
    CHECK(seen == std::vector<int>{-2, -2});
    CHECK(c.empty());
    CHECK(c.try_send(fragile(3)));
    CHECK(c.try_receive()->value == 3);
  });
  CHECK(fragile::alive == 0);
}

TEST_CASE("a waiting sender whose item throws when room comes up fails alone; the next one is let in") {
  in_group([](weir::task_group& g) -> weir::task<> {
    channel<fragile> c(1);
    std::vector<int> sent;
    CHECK(c.try_send(fragile(10)));
    for (int i = 1; i <= 2; ++i) {
      g.spawn(send_value, std::ref(c), std::ref(sent), i);
      co_await settle();
    }
    // The first move is out of the buffer, the second is the first waiting sender's.
    fragile::break_move(2);
    CHECK(c.try_receive()->value == 10);
    co_await settle();
    std::sort(sent.begin(), sent.end());
    CHECK(sent == std::vector<int>{-1, 2});
    CHECK(c.try_receive()->value == 2);
    CHECK(!c.try_receive());
  });
  CHECK(fragile::alive == 0);
}

TEST_CASE("at a rendezvous a sender whose item throws fails alone; the receiver takes the next one's, or waits") {
  for (const int senders : {1, 2}) {
    in_group([senders](weir::task_group& g) -> weir::task<> {
      channel<fragile> c(0);
      std::vector<int> sent;
      std::vector<int> received;
      for (int i = 1; i <= senders; ++i) {
        g.spawn(send_value, std::ref(c), std::ref(sent), i);
        co_await settle();
      }
      fragile::break_move(1);
      g.spawn(receive_value, std::ref(c), std::ref(received));
      co_await settle();
      std::sort(sent.begin(), sent.end());
      if (senders == 2) {
        CHECK(sent == std::vector<int>{-1, 2});
        CHECK(received == std::vector<int>{2});
        co_return;
      }
      CHECK(sent == std::vector<int>{-1});
      CHECK(received.empty());
      CHECK(c.try_send(fragile(3)));
      co_await settle();
      CHECK(received == std::vector<int>{3});
    });
    CHECK(fragile::alive == 0);
  }
}

TEST_CASE("a permit is kept when moving the item throws") {
  in_group([](weir::task_group& g) -> weir::task<> {
    for (const bool received : {true, false}) {
      channel<fragile> c(1);
      std::vector<int> seen;
      auto permit = co_await c.reserve();
      if (received) g.spawn(receive_value, std::ref(c), std::ref(seen));
      co_await settle();
      fragile item(1);
      fragile::break_move(1);
      CHECK_THROWS_AS(permit.send(std::move(item)), test::broken);
      CHECK(item.value == 1);
      REQUIRE(permit);
      CHECK(!c.try_send(fragile(2)) == !received);
      co_await settle();
      c.close();
      CHECK(permit.send(std::move(item)));
      if (received) {
        co_await settle();
        CHECK(seen == std::vector<int>{2});
      }
      CHECK(c.try_receive()->value == 1);
      CHECK(!c.try_receive());
    }
  });
  CHECK(fragile::alive == 0);
}

// ---- threads

TEST_CASE("threads send and receive among tasks, in order") {
  for (const std::size_t capacity : {0, 1, 16}) {
    channel<int> there(capacity);
    channel<int> back(capacity);
    constexpr int count = test::scaled(2000, 300);
    std::thread echo([&] {
      while (auto n = there.receive_blocking()) CHECK(back.send_blocking(*n));
      back.close();
    });
    int next = 0;
    auto main = [&]() -> weir::task<> {
      auto body = [&](weir::task_group& g) -> weir::task<> {
        auto sends = [&]() -> weir::task<> {
          for (int i = 0; i < count; ++i) co_await there.send(i);
          there.close();
        };
        g.spawn(sends);
        while (auto n = co_await back.receive()) {
          if (*n != next) break;
          ++next;
        }
        co_await g.join();
      };
      co_await weir::with_task_group(body);
    };
    weir::run(main(), {.workers = 2});
    echo.join();
    CHECK(next == count);
  }
}

TEST_CASE("threads alone: blocked senders and receivers are released by the close") {
  channel<int> full(1);
  CHECK(full.try_send(0));
  channel<int> empty(0);
  std::atomic<int> released{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      int item = 5;
      if (!full.send_blocking(std::move(item))) ++released;
    });
    threads.emplace_back([&] {
      if (!empty.receive_blocking()) ++released;
    });
  }
  // Whether they wait already does not matter.
  full.close();
  empty.close();
  for (std::thread& t : threads) t.join();
  CHECK(released == 6);
  CHECK(full.receive_blocking() == 0);
  CHECK(!full.receive_blocking());
}

TEST_CASE("the blocking forms do what needs no waiting on a worker, and refuse the rest in a sentence") {
  simulate([]() -> weir::task<> {
    channel<int> c(1);
    CHECK(c.send_blocking(1));
    int item = 2;
    CHECK_THROWS_WITH_AS(c.send_blocking(std::move(item)),
                         "weir: channel::send_blocking would block a worker of a runtime, and all its tasks: "
                         "co_await send() instead",
                         std::logic_error);
    CHECK(c.receive_blocking() == 1);
    CHECK_THROWS_WITH_AS(c.receive_blocking(),
                         "weir: channel::receive_blocking would block a worker of a runtime, and all its tasks: "
                         "co_await receive() instead",
                         std::logic_error);
    c.close();
    CHECK(!c.send_blocking(3));
    CHECK(!c.receive_blocking());
    co_return;
  });
}

TEST_CASE("tasks of two runtimes and threads share a channel: everything arrives once, each sender's in order") {
  struct item {
    int sender;
    int number;
  };
  channel<item> c(4);
  constexpr int senders = 4;
  constexpr int count = test::scaled(3000, 500);
  std::mutex mutex;
  std::vector<std::vector<int>> seen(senders);
  std::atomic<int> sending{senders};
  std::atomic<bool> disordered{false};
  auto take = [&](const item& one) {
    const std::lock_guard guard(mutex);
    seen[static_cast<std::size_t>(one.sender)].push_back(one.number);
  };
  auto sends = [&](int id) -> weir::task<> {
    for (int i = 0; i < count; ++i) co_await c.send({id, i});  // lint: ok (an aggregate of two ints)
    if (--sending == 0) c.close();
  };
  auto receives = [&]() -> weir::task<> {
    std::vector<int> last(senders, -1);
    while (auto one = co_await c.receive()) {
      // What one receiver sees of one sender is in order.
      if (one->number <= last[static_cast<std::size_t>(one->sender)]) disordered = true;
      last[static_cast<std::size_t>(one->sender)] = one->number;
      take(*one);
    }
  };
  std::vector<std::thread> threads;
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&, r] {
      auto main = [&]() -> weir::task<> {
        auto body = [&](weir::task_group& g) -> weir::task<> {
          g.spawn(sends, r);
          g.spawn(receives);
          co_await g.join();
        };
        co_await weir::with_task_group(body);
      };
      weir::run(main(), {.workers = static_cast<unsigned>(r + 1)});
    });
    threads.emplace_back([&, r] {
      for (int i = 0; i < count; ++i) CHECK(c.send_blocking({2 + r, i}));
      if (--sending == 0) c.close();
    });
  }
  threads.emplace_back([&] {
    while (auto one = c.receive_blocking()) take(*one);
  });
  for (std::thread& t : threads) t.join();
  CHECK(!disordered);
  for (auto& numbers : seen) {
    std::sort(numbers.begin(), numbers.end());
    REQUIRE(numbers.size() == count);
    for (int i = 0; i < count; ++i) REQUIRE(numbers[static_cast<std::size_t>(i)] == i);
  }
}

// ---- cost, reports, misuse

TEST_CASE("sending and receiving allocate nothing, buffered or met") {
  for (const std::size_t capacity : {0, 1, 8}) {
    in_real_group([capacity](weir::task_group& g) -> weir::task<> {
      channel<int> there(capacity);
      channel<int> back(capacity);
      auto echo = [&]() -> weir::task<> {
        while (auto n = co_await there.receive()) co_await back.send(*n);
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
}

TEST_CASE("the report of a deadlock says who waits to send, to receive and to reserve") {
  std::string report;
  try {
    in_group([](weir::task_group& g) -> weir::task<> {
      channel<int> c(1);
      channel<int> d(0);
      CHECK(c.try_send(0));
      auto sends = [&]() -> weir::task<> { co_await c.send(1); };
      auto reserves = [&]() -> weir::task<> { const auto permit = co_await c.reserve(); };
      auto receives = [&]() -> weir::task<> { co_await d.receive(); };
      g.spawn(sends);
      g.spawn(reserves);
      g.spawn(receives);
      co_await g.join();
    });
  } catch (const weir::deadlock& e) {
    report = e.what();
  }
  CHECK(report.find("channel::send:") != std::string::npos);
  CHECK(report.find("channel::receive:") != std::string::npos);
  CHECK(report.find("channel::reserve:") != std::string::npos);
}

TEST_CASE("destroying a channel under a waiter, or before its permits, is told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  CHECK(test::last_words_of([] {
          in_group([](weir::task_group& g) -> weir::task<> {
            std::optional<channel<int>> c(std::in_place, 0);
            auto waits = [&]() -> weir::task<> { co_await c->receive(); };
            g.spawn(waits);
            co_await settle();
            c.reset();
          });
        }) == "weir: a channel was destroyed while somebody waits at it\n");
  CHECK(test::last_words_of([] {
          in_group([](weir::task_group& g) -> weir::task<> {
            std::optional<channel<int>> c(std::in_place, 0);
            auto waits = [&]() -> weir::task<> { co_await c->send(1); };
            g.spawn(waits);
            co_await settle();
            c.reset();
          });
        }) == "weir: a channel was destroyed while somebody waits at it\n");
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            std::optional<channel<int>> c(std::in_place, 1);
            const auto permit = co_await c->reserve();
            c.reset();
          });
        }) == "weir: a channel was destroyed before a permit that it had given\n");
  CHECK(test::last_words_of([] {
          weir::send_permit<int> none;
          none.send(1);
        }) == "weir: send() with a permit that was used or never granted\n");
#endif
}

// ---- confined

TEST_CASE("a confined runtime has one worker") {
  CHECK_THROWS_WITH_AS(weir::runtime({.workers = 2, .confined = true}),
                       "weir: a confined runtime has one worker: runtime_options::workers must be 0 or 1",
                       std::invalid_argument);
  CHECK(weir::runtime({.confined = true}).workers() == 1);
}

TEST_CASE("a channel made on a confined worker works there, and can be left by a cancellation from elsewhere") {
  auto main = []() -> weir::task<> {
    auto body = [](weir::task_group& g) -> weir::task<> {
      channel<int> c(2);
      channel<int> never(0);
      auto sends = [&]() -> weir::task<> {
        for (int i = 0; i < 1000; ++i) co_await c.send(i);
        c.close();
      };
      g.spawn(sends);
      int next = 0;
      while (auto n = co_await c.receive()) CHECK(*n == next++);
      CHECK(next == 1000);

      weir::cancellation_source source;
      std::thread cancels([&] { source.request_cancellation(); });
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), never.receive()));
      cancels.join();
      CHECK(r.is_cancelled());
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), {.confined = true});
}

TEST_CASE("a channel made elsewhere may be used on a confined worker and by threads at once") {
  channel<int> c(1);
  std::thread receives([&] {
    int next = 0;
    while (auto n = c.receive_blocking()) CHECK(*n == next++);
    CHECK(next == 100);
  });
  auto main = [&]() -> weir::task<> {
    for (int i = 0; i < 100; ++i) co_await c.send(i);
    c.close();
  };
  weir::run(main(), {.confined = true});
  receives.join();
}

TEST_CASE("a channel made on a confined worker ends the program when another thread uses it") {
  const std::string sentence =
      "weir: a channel, lock or event that was made on a confined worker is used outside of that worker: "
      "make it elsewhere, or do not set runtime_options::confined\n";
  CHECK(test::last_words_of([] {
          auto main = []() -> weir::task<> {
            channel<int> c(2);
            std::thread other([&] { c.try_send(1); });
            other.join();
            co_return;
          };
          weir::run(main(), {.confined = true});
        }) == sentence);
  CHECK(test::last_words_of([] {
          auto make = []() -> weir::task<std::unique_ptr<channel<int>>> {
            co_return std::make_unique<channel<int>>(2);
          };
          const auto c = weir::run(make(), {.confined = true});
          static_cast<void>(c->size());
        }) == sentence);
  CHECK(test::last_words_of([] {
          auto main = []() -> weir::task<> {
            channel<int> c(2);
            weir::runtime other({.workers = 1});
            auto uses = [&]() -> weir::task<> { co_await c.receive(); };
            auto handle = other.spawn(uses);
            std::this_thread::sleep_for(1s);
            co_return;
          };
          weir::run(main(), {.confined = true});
        }) == sentence);
}
