#include <weir/patterns/actor.hpp>
#include <weir/patterns/supervisor.hpp>

#include "support.hpp"

#include <map>
#include <numeric>
#include <thread>

using test::simulate;
using weir::actor;
using weir::actor_failure;
using weir::shutdown_mode;

namespace {

/// What the counters say when the actor has nothing to do.
void check_accounts(const weir::actor_counters& c) {
  CHECK(c.accepted == c.handled + c.failed + c.withdrawn + c.discarded + c.queued);
}

/// What an operation fails with.
template <class Op>
weir::task<std::string> error_of(Op op) {
  auto ended = co_await weir::as_result(std::move(op));
  if (ended) co_return std::string();
  co_return test::unobserved::what(ended.exception());
}

constexpr const char* not_answered = "weir::actor: it has ended, and did not answer: Operation canceled";

struct account {
  long balance = 0;
  std::vector<std::string> audit;
};

// Typed messages.
struct deposit {
  long amount;
  void operator()(account& a) const {
    a.balance += amount;
    a.audit.push_back("deposit " + std::to_string(amount));
  }
};
struct withdraw {
  long amount;
  bool operator()(account& a) const {
    const bool covered = a.balance >= amount;
    if (covered) a.balance -= amount;
    a.audit.push_back((covered ? "withdraw " : "refuse ") + std::to_string(amount));
    return covered;
  }
};
struct balance {
  long operator()(const account& a) const { return a.balance; }
};

}  // namespace

TEST_CASE("actor: a stateful counter: told to increment, asked for its value, in order, until it is closed (S112)") {
  simulate([]() -> weir::task<> {
    actor counter(0L);
    for (int i = 0; i < 1000; ++i) co_await counter.tell([](long& n) { ++n; });
    const long n = co_await counter.ask([](const long& now) { return now; });
    CHECK(n == 1000);
    // Read and write in one message: no other comes between.
    const long doubled = co_await counter.ask([](long& now) { return now *= 2; });
    CHECK(doubled == 2000);
    const std::size_t left = co_await counter.shutdown();
    CHECK(left == 0);
    {
      const auto got = co_await error_of(counter.ask([](long& now) { return now; }));
      CHECK(got == not_answered);
    }
    const bool told = co_await counter.tell([](long&) {});
    CHECK(!told);
    CHECK(!counter.try_tell([](long&) {}));
    CHECK(counter.counters().handled == 1002);
    CHECK(counter.counters().refused == 3);
    check_accounts(counter.counters());
  });
}

TEST_CASE("actor: 100 tasks on two workers make compound updates that wait in the middle; none is lost (S112)") {
  const auto main = []() -> weir::task<> {
    actor counter(0L, {.mailbox = 8});
    auto adds = [&]() -> weir::task<> {
      for (int i = 0; i < 20; ++i) {
        auto add = [](long& n) -> weir::task<> {
          const long read = n;
          co_await weir::yield();
          n = read + 1;
        };
        const bool told = co_await counter.tell(add);
        if (!told) FAIL("it was refused");
      }
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < 100; ++i) group.spawn(adds);
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    const long n = co_await counter.ask([](long& now) { return now; });
    CHECK(n == 2000);
    co_await counter.shutdown(shutdown_mode::drain);
    check_accounts(counter.counters());
  };
  weir::run(main(), {.workers = 2});
}

TEST_CASE("actor: mailbox, owned state, typed messages and a stop (S177)") {
  simulate([]() -> weir::task<> {
    actor<account> a(account{});
    co_await a.tell(deposit(100));
    const bool paid = co_await a.ask(withdraw(30));
    const bool overdrawn = co_await a.ask(withdraw(71));
    const long left = co_await a.ask(balance());
    CHECK(paid);
    CHECK(!overdrawn);
    CHECK(left == 70);
    co_await a.shutdown(shutdown_mode::drain, 1s);
  });
}

TEST_CASE(
    "actor: every transition is logged by the task that owns the state, in the order in which it happened (S179)") {
  simulate(
      []() -> weir::task<> {
        actor<account> a(account{});
        auto moves = [&](int i) -> weir::task<> {
          co_await a.tell(deposit(i));
          static_cast<void>(co_await a.ask(withdraw(2 * i)));
        };
        auto body = [&](weir::task_group& group) -> weir::task<> {
          for (int i = 1; i <= 50; ++i) group.spawn(moves, i);
          co_await group.join();
        };
        co_await weir::with_task_group(body);
        const account end = co_await a.ask([](const account& now) { return now; });
        CHECK(end.audit.size() == 100);
        long replayed = 0;
        for (const std::string& line : end.audit) {
          const long amount = std::stol(line.substr(line.find(' ')));
          if (line.starts_with("deposit")) replayed += amount;
          if (line.starts_with("withdraw")) {
            replayed -= amount;
            CHECK(replayed >= 0);
          }
          if (line.starts_with("refuse")) CHECK(replayed < amount);
        }
        CHECK(replayed == end.balance);
        co_await a.shutdown(shutdown_mode::drain);
      },
      7);
}

TEST_CASE("actor: answers may be tasks, move-only or nothing; messages wait for room") {
  simulate([]() -> weir::task<> {
    actor<std::vector<int>> a(std::vector<int>{1, 2}, {.mailbox = 0});
    auto slow = [](std::vector<int>& v) -> weir::task<std::unique_ptr<int>> {
      co_await weir::sleep_for(5ms);
      v.push_back(3);
      co_return std::make_unique<int>(static_cast<int>(v.size()));
    };
    const std::unique_ptr<int> size = co_await a.ask(slow);
    CHECK(*size == 3);
    co_await a.ask([](std::vector<int>& v) { v.clear(); });
    auto nothing = [](std::vector<int>&) -> weir::task<> { co_await weir::sleep_for(1ms); };
    co_await a.tell(nothing);
    CHECK(!a.try_tell([](std::vector<int>&) {}));  // it is busy, and has no mailbox
    co_await a.tell([](std::vector<int>& v) { v.push_back(9); });
    const auto all = co_await a.ask([](const std::vector<int>& v) { return v; });
    CHECK(all == std::vector<int>{9});
    CHECK(weir::now() == test::at(6ms));
    co_await a.shutdown(shutdown_mode::drain);
  });
}

TEST_CASE("actor: an ask allocates nothing in a steady flow") {
  if (test::sanitized) return;
  simulate([]() -> weir::task<> {
    actor counter(0L);
    auto cost = [&](int n) -> weir::task<std::uint64_t> {
      const std::uint64_t before = test::allocations();
      for (int i = 0; i < n; ++i) {
        co_await counter.tell([](long& now) { ++now; });
        static_cast<void>(co_await counter.ask([](const long& now) { return now; }));
      }
      co_return test::allocations() - before;
    };
    co_await cost(100);
    const auto few = co_await cost(10);
    const auto many = co_await cost(1000);
    CHECK(few == 0);
    CHECK(many == 0);
    co_await counter.shutdown(shutdown_mode::cancel);
  });
}

TEST_CASE("actor: an asker that is stopped takes its message back; one whose message runs waits for it") {
  simulate([]() -> weir::task<> {
    actor a(0L);
    auto slow = [](long& n) -> weir::task<> {
      co_await weir::sleep_for(10ms);
      ++n;
    };
    co_await a.tell(slow);
    auto add = [](long& n) { return n += 100; };
    const auto queued = co_await weir::as_result(weir::with_timeout(1ms, a.ask(add)));
    CHECK(queued.error() == std::errc::timed_out);
    CHECK(weir::now() == test::at(1ms));
    // The second slow one is under way when its asker's time is over: it ends, and that is told.
    co_await weir::sleep_until(test::at(10ms));
    bool local = false;
    auto uses_the_asker = [&local](long& n) -> weir::task<long> {
      co_await weir::sleep_for(10ms);
      local = true;
      co_return ++n;
    };
    const auto under_way = co_await weir::as_result(weir::with_timeout(1ms, a.ask(uses_the_asker)));
    CHECK(under_way.value() == 2);
    CHECK(local);
    CHECK(weir::now() == test::at(20ms));
    CHECK(a.counters().withdrawn == 1);
    check_accounts(a.counters());
    co_await a.shutdown(shutdown_mode::drain);
  });
}

TEST_CASE("actor: what a message throws goes to its asker, or is reported; the state stays, begins anew, or ends") {
  test::unobserved errors;
  test::simulate_reporting([]() -> weir::task<> {
    auto breaks = [](long& n) -> long {
      n = -1;
      throw std::runtime_error("broken");
    };
    auto breaks_unheard = [](long& n) {
      n = -2;
      throw std::runtime_error("unheard");
    };
    auto read = [](long& n) { return n; };
    {
      actor a(5L);
      {
        const auto got = co_await error_of(a.ask(breaks));
        CHECK(got == "broken");
      }
      {
        const auto got = co_await a.ask(read);
        CHECK(got == -1);
      }
      co_await a.tell(breaks_unheard);
      {
        const auto got = co_await a.ask(read);
        CHECK(got == -2);
      }
      co_await a.shutdown(shutdown_mode::drain);
    }
    {
      actor a(5L, {.on_failure = actor_failure::restart});
      {
        const auto got = co_await error_of(a.ask(breaks));
        CHECK(got == "broken");
      }
      {
        const auto got = co_await a.ask(read);
        CHECK(got == 5);
      }
      co_await a.tell(breaks_unheard);
      {
        const auto got = co_await a.ask(read);
        CHECK(got == 5);
      }
      CHECK(a.counters().restarts == 2);
      CHECK(a.counters().failed == 2);
      co_await a.shutdown(shutdown_mode::drain);
      check_accounts(a.counters());
    }
    {
      actor a(5L, {.on_failure = actor_failure::stop});
      {
        const auto got = co_await error_of(a.ask(breaks));
        CHECK(got == "broken");
      }
      {
        const auto got = co_await error_of(a.ask(read));
        CHECK(got == not_answered);
      }
      {
        const auto got = co_await error_of(a.shutdown(shutdown_mode::drain));
        CHECK(got == "broken");
      }
      co_await a.shutdown(shutdown_mode::drain);  // it was thrown once
    }
  });
  CHECK(errors.take() == test::log{"unheard", "unheard"});
}

TEST_CASE("actor: a state that is made by a function, and one that cannot be made again") {
  simulate([]() -> weir::task<> {
    int made = 0;
    auto make = [&made] { return std::make_unique<int>(++made); };
    actor<std::unique_ptr<int>> a(make, {.on_failure = actor_failure::restart});
    CHECK(made == 0);
    auto breaks = [](std::unique_ptr<int>&) { throw std::runtime_error("broken"); };
    {
      const auto got = co_await error_of(a.ask(breaks));
      CHECK(got == "broken");
    }
    const int value = co_await a.ask([](std::unique_ptr<int>& p) { return *p; });
    CHECK(value == 2);
    co_await a.shutdown(shutdown_mode::drain);
    using fixed = actor<std::unique_ptr<int>>;
    CHECK_THROWS_AS(fixed(std::make_unique<int>(1), {.on_failure = actor_failure::restart}), std::invalid_argument);
    CHECK_THROWS_AS(fixed(std::make_unique<int>(1), {.supervised = true}), std::invalid_argument);
    fixed once(std::make_unique<int>(4));
    const int four = co_await once.ask([](std::unique_ptr<int>& p) { return *p; });
    CHECK(four == 4);
  });
}

TEST_CASE("actor: shutdown drains, or cancels, or drains until its limit; who waits for an answer is told") {
  for (const int how : {0, 1, 2}) {
    simulate([how]() -> weir::task<> {
      actor a(0L);
      int done = 0;
      auto work = [&done](long&) -> weir::task<> {
        co_await weir::sleep_for(10ms);
        ++done;
      };
      std::vector<std::string> ends;
      auto asks = [&]() -> weir::task<> { ends.push_back(co_await error_of(a.ask(work))); };
      auto body = [&](weir::task_group& group) -> weir::task<> {
        for (int i = 0; i < 5; ++i) group.spawn(asks);
        co_await weir::sleep_for(25ms);
        std::size_t left = 0;
        if (how == 0) left = co_await a.shutdown();
        if (how == 1) left = co_await a.shutdown(shutdown_mode::cancel);
        if (how == 2) left = co_await a.shutdown(shutdown_mode::drain, 10ms);
        CHECK(left == std::array<std::size_t, 3>{0, 3, 2}[static_cast<std::size_t>(how)]);
        co_await group.join();
        const std::size_t again = co_await a.shutdown(shutdown_mode::cancel);
        CHECK(again == left);
      };
      co_await weir::with_task_group(body);
      const int expected = std::array{5, 2, 3}[static_cast<std::size_t>(how)];
      CHECK(done == expected);
      CHECK(std::count(ends.begin(), ends.end(), "") == expected);
      CHECK(std::count(ends.begin(), ends.end(), not_answered) == 5 - expected);
      CHECK(a.counters().discarded == static_cast<std::uint64_t>(5 - expected));
      check_accounts(a.counters());
    });
  }
}

TEST_CASE("actor: dropped without shutdown, and never used") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    {
      const actor never(0L);
    }
    {
      actor unused(0L);
      co_await unused.shutdown(shutdown_mode::drain);
    }
    {
      actor a(test::counted{});
      auto stuck = [&seen](test::counted&) { return test::stuck(seen, "message"); };
      co_await a.tell(stuck);
      co_await a.tell(stuck);
      co_await weir::sleep_for(1ms);
    }
    co_await weir::sleep_for(1ms);
    CHECK(seen == test::log{"message!"});
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("actor: a message may close its own actor; what lies behind it is still handled") {
  simulate([]() -> weir::task<> {
    actor a(0L);
    auto closes = [&a](long&) { a.close(); };
    co_await a.tell(closes);
    co_await a.tell([](long& n) { ++n; });
    const std::size_t left = co_await a.shutdown();
    CHECK(left == 0);
    CHECK(a.counters().handled == 2);
  });
}

TEST_CASE("actor: supervised: a failure is the supervisor's, who starts it anew; the mailbox outlives that") {
  test::unobserved errors;
  test::simulate_reporting([]() -> weir::task<> {
    weir::actor<long> a(7L, {.on_failure = actor_failure::stop, .supervised = true});
    weir::supervisor children({.first_delay = 5ms});
    children.add("counter", [&a] { return a.serve(); }, {.restart = weir::child_restart::transient});
    std::string first;
    long second = 0;
    auto user = [&]() -> weir::task<> {
      auto breaks = [](long& n) -> weir::task<> {
        n = 0;
        co_await weir::sleep_for(1ms);
        throw std::runtime_error("broken");
      };
      auto asks = [&]() -> weir::task<> { first = co_await error_of(a.ask(breaks)); };
      auto then = [&]() -> weir::task<> { second = co_await a.ask([](long& n) { return n; }); };
      co_await weir::when_all(asks(), then());
      co_await a.shutdown(shutdown_mode::drain);
    };
    co_await weir::when_all(children.run(), user());  // it ends because serve() does
    CHECK(first == "broken");
    CHECK(second == 7);
    CHECK(children.restarts() == 1);
    CHECK(weir::now() == test::at(6ms));
    check_accounts(a.counters());
  });
  CHECK(errors.take() == test::log{"broken"});
  simulate([]() -> weir::task<> {
    weir::actor<long> unserved(0L, {.supervised = true});
    std::string end;
    auto asks = [&]() -> weir::task<> { end = co_await error_of(unserved.ask([](long& n) { return n; })); };
    auto ends = [&]() -> weir::task<> {
      co_await weir::sleep_for(1ms);
      co_await unserved.shutdown(shutdown_mode::drain);
    };
    co_await weir::when_all(asks(), ends());
    CHECK(end == not_answered);
    weir::actor<long> own(0L);
    {
      const auto got = co_await error_of(own.serve());
      CHECK(got == "weir::actor: serve() is for those with .supervised = true");
    }
  });
}

TEST_CASE("actor: 500 seeds of tells, asks with limits, failures and an end at any time: every message has one fate") {
  test::unobserved errors;
  for (std::uint64_t seed = 1; seed <= static_cast<std::uint64_t>(test::scaled(500, 50)); ++seed) {
    test::simulate_reporting(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          const auto policy = static_cast<actor_failure>(dice.roll(3));
          actor<int> a(0, {.mailbox = dice.roll(4), .on_failure = policy});
          std::uint64_t answered = 0, told = 0, refused = 0, stopped = 0, failed = 0;
          std::uint64_t ran = 0;
          auto user = [&]() -> weir::task<> {
            for (int i = 0; i < 6; ++i) {
              const auto pause = dice.roll(3) * 1ms;
              const bool breaks = dice.roll(10) == 0;
              auto work = [&ran, pause, breaks](int& n) -> weir::task<> {
                ++n;
                co_await weir::sleep_for(pause);
                if (breaks) throw std::runtime_error("broken");
                ++ran;
              };
              if (dice.roll(3) == 0) {
                const bool sent = co_await a.tell(work);
                ++(sent ? told : refused);
                continue;
              }
              auto end = co_await weir::as_result(weir::with_timeout((1 + dice.roll(5)) * 1ms, a.ask(work)));
              if (end) {
                ++answered;
              } else if (end.error() == std::errc::timed_out) {
                ++stopped;
              } else if (end.error() == std::errc::operation_canceled) {
                ++refused;
              } else {
                ++failed;
              }
            }
          };
          auto ends = [&]() -> weir::task<> {
            co_await weir::sleep_for(dice.roll(12) * 1ms);
            const auto mode = dice.roll(2) == 0 ? shutdown_mode::drain : shutdown_mode::cancel;
            const auto limit = dice.roll(6) * 1ms;
            auto ended = co_await weir::as_result(a.shutdown(mode, limit));
            if (!ended) CHECK(test::unobserved::what(ended.exception()) == "broken");
          };
          co_await weir::when_all(user(), user(), user(), ends());
          const auto c = a.counters();
          CHECK(c.queued == 0);
          check_accounts(c);
          CHECK(c.handled == ran);
          CHECK(answered + told + refused + stopped + failed == 18);
          CHECK(answered <= c.handled);
        },
        seed);
  }
  errors.take();
}

TEST_CASE("actor: 1,000 asks with limits on two workers, and one that is closed under them") {
  const auto main = []() -> weir::task<> {
    for (int round = 0; round < 20; ++round) {
      actor<long> a(0L, {.mailbox = 4});
      std::atomic<int> answered{0};
      std::atomic<int> others{0};
      auto asks = [&]() -> weir::task<> {
        for (int i = 0; i < 25; ++i) {
          auto add = [](long& n) -> weir::task<long> {
            co_await weir::yield();
            co_return ++n;
          };
          auto end = co_await weir::as_result(weir::with_timeout(20us, a.ask(add)));
          ++(end ? answered : others);
        }
      };
      auto body = [&](weir::task_group& group) -> weir::task<> {
        for (int i = 0; i < 8; ++i) group.spawn(asks);
        co_await weir::sleep_for(round * 10us);
        const auto mode = round % 2 == 0 ? shutdown_mode::drain : shutdown_mode::cancel;
        co_await a.shutdown(mode);
        co_await group.join();
      };
      co_await weir::with_task_group(body);
      CHECK(answered + others == 200);
      const auto c = a.counters();
      check_accounts(c);
      CHECK(c.handled >= static_cast<std::uint64_t>(answered.load()));
    }
  };
  weir::run(main(), {.workers = 2});
}

TEST_CASE("actor: threads outside of the runtime tell it, and none of what they tell is lost") {
  long sum = 0;
  const auto main = [&]() -> weir::task<> {
    actor<long> a(0L, {.mailbox = 10'000});
    co_await a.ask([](long&) {});  // it belongs to this runtime
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&a] {
        for (int i = 0; i < 1000; ++i) {
          if (!a.try_tell([](long& n) { ++n; })) FAIL("it was refused");
        }
      });
    }
    co_await weir::offload([&] {
      for (std::thread& t : threads) t.join();
    });
    sum = co_await a.ask([](long& n) { return n; });
    co_await a.shutdown(shutdown_mode::drain);
  };
  weir::run(main(), {.workers = 2});
  CHECK(sum == 3000);
}

// ---- the chat of the guides

namespace {

struct chat_message {
  int from = 0;
  int to = 0;  // 0: everybody else
  int number = 0;
};

/// The hub's state. It is an actor's, so it needs no lock.
class chat_hub {
 public:
  using line = std::shared_ptr<weir::channel<chat_message>>;

  line enter(int id) {
    line& made = clients_[id];
    made = std::make_shared<weir::channel<chat_message>>(10);
    return made;
  }
  /// Again, or for somebody who never came: nothing happens.
  void leave(int id) {
    const auto found = clients_.find(id);
    if (found == clients_.end()) return;
    found->second->close();
    clients_.erase(found);
  }
  void send(const chat_message& m) {
    for (auto& [id, client] : clients_) {
      if (id == m.from || (m.to != 0 && id != m.to)) continue;
      ++(client->try_send(m) ? delivered : dropped);
    }
  }
  void close_all() {
    for (auto& [id, client] : clients_) client->close();
    clients_.clear();
  }
  std::uint64_t delivered = 0;
  std::uint64_t dropped = 0;

 private:
  std::map<int, line> clients_;
};

struct chat_result {
  std::uint64_t delivered = 0;
  std::uint64_t dropped = 0;
  std::uint64_t read = 0;
  std::uint64_t direct = 0;
};

/// `clients` join; the first sends `messages` to all, one each `pause`, then each of the second half one to the first.
weir::task<chat_result> chat(int clients, int messages, weir::duration pause, weir::duration slowness) {
  chat_result result;
  actor<chat_hub> hub([] { return chat_hub(); }, {.mailbox = 100});
  auto client = [&](int id) -> weir::task<> {
    auto enter = [id](chat_hub& h) { return h.enter(id); };
    const chat_hub::line mine = co_await hub.ask(enter);
    while (auto m = co_await mine->receive()) {
      ++(m->to == 0 ? result.read : result.direct);
      if (slowness != 0ms) co_await weir::sleep_for(slowness);
    }
  };
  auto body = [&](weir::task_group& group) -> weir::task<> {
    for (int id = 1; id <= clients; ++id) group.spawn(client, id);
    co_await test::settle();
    for (int n = 0; n < messages; ++n) {
      const chat_message m{.from = 1, .to = 0, .number = n};
      auto send = [m](chat_hub& h) { h.send(m); };
      co_await hub.tell(send);
      co_await weir::sleep_for(pause);
    }
    const chat_message direct{.from = 2, .to = 1, .number = 0};
    auto send = [direct](chat_hub& h) { h.send(direct); };
    co_await hub.tell(send);
    for (int twice = 0; twice < 2; ++twice) co_await hub.tell([](chat_hub& h) { h.leave(1); });
    auto count = [&result](const chat_hub& h) {
      result.delivered = h.delivered;
      result.dropped = h.dropped;
    };
    co_await hub.ask(count);
    co_await hub.tell([](chat_hub& h) { h.close_all(); });
    co_await hub.shutdown(shutdown_mode::drain, 1s);
    co_await group.join();
  };
  co_await weir::with_task_group(body);
  co_return std::move(result);
}

}  // namespace

TEST_CASE(
    "actor: a chat: 1,000 clients, 100 messages to all but the sender: 99,900 deliveries, and a clean end (S149, "
    "D16)") {
  const chat_result fast = simulate([] { return chat(1000, 100, 1ms, 0ms); });
  CHECK(fast.delivered == 99'900 + 1);
  CHECK(fast.dropped == 0);
  CHECK(fast.read == 99'900);
  CHECK(fast.direct == 1);
  // Clients that take 5 ms for each message lose some: what was delivered and what was not are both counted.
  const chat_result slow = simulate([] { return chat(1000, 100, 1ms, 5ms); });
  CHECK(slow.delivered + slow.dropped == 99'900 + 1);
  CHECK(slow.dropped > 0);
  CHECK(slow.read == slow.delivered - slow.direct);
}
