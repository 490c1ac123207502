#include <deque>
#include <thread>

#include "../skip.hpp"
#include "support.hpp"

using test::settle;
using test::simulate;
using weir::reset_mode;

namespace {

weir::task<> pass(weir::event& gate, test::log& seen, const char* name) {
  const test::mark at_end(seen, name);
  co_await gate.wait();
}

/// Holds the one signal of an automatic event that is used as a lock, and gives it back.
class turn {
 public:
  explicit turn(weir::event& of) noexcept : event_(of) {}
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  ~turn() { event_.set(); }

 private:
  weir::event& event_;
};

}  // namespace

TEST_CASE("an event is clear unless it is made set; set and reset say what comes next") {
  weir::event gate;
  CHECK(!gate.is_set());
  gate.set();
  CHECK(gate.is_set());
  gate.set();
  CHECK(gate.is_set());
  gate.reset();
  CHECK(!gate.is_set());
  gate.reset();
  CHECK(!gate.is_set());
  CHECK(weir::event(reset_mode::manual, true).is_set());
  CHECK(weir::event(reset_mode::automatic, true).is_set());
  CHECK(!weir::event(reset_mode::automatic).is_set());
}

TEST_CASE("try_wait goes through an event that is set, and uses up the signal of an automatic one") {
  weir::event gate;
  CHECK(!gate.try_wait());
  gate.set();
  CHECK(gate.try_wait());
  CHECK(gate.try_wait());
  weir::event turnstile{reset_mode::automatic};
  CHECK(!turnstile.try_wait());
  turnstile.set();
  CHECK(turnstile.try_wait());
  CHECK(!turnstile.try_wait());
  CHECK(!turnstile.is_set());
}

TEST_CASE("waiting for an event that is set does not suspend") {
  for (const reset_mode mode : {reset_mode::manual, reset_mode::automatic}) {
    simulate([mode]() -> weir::task<> {
      weir::event e(mode, true);
      bool others_ran = false;
      auto other = [&]() -> weir::task<> {
        others_ran = true;
        co_return;
      };
      auto body = [&](weir::task_group& g) -> weir::task<> {
        g.spawn(other);
        co_await e.wait();
        CHECK(!others_ran);
      };
      co_await weir::with_task_group(body);
      CHECK(e.is_set() == (mode == reset_mode::manual));
    });
  }
}

TEST_CASE("a task that finds an event set again and again still lets others run") {
  simulate([]() -> weir::task<> {
    weir::event gate(reset_mode::manual, true);
    bool stop = false;
    auto other = [&]() -> weir::task<> {
      stop = true;
      co_return;
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(other);
      int rounds = 0;
      while (!stop && rounds < 1'000'000) {
        co_await gate.wait();
        ++rounds;
      }
      CHECK(stop);
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("a manual event lets everybody through, and who comes later, until reset") {
  simulate([]() -> weir::task<> {
    weir::event gate;
    test::log seen;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(pass, std::ref(gate), std::ref(seen), "a");
      g.spawn(pass, std::ref(gate), std::ref(seen), "b");
      g.spawn(pass, std::ref(gate), std::ref(seen), "c");
      co_await settle();
      CHECK(seen.empty());
      gate.set();
      co_await settle();
      CHECK(seen.size() == 3);
      g.spawn(pass, std::ref(gate), std::ref(seen), "d");
      co_await settle();
      CHECK(seen.size() == 4);
      gate.reset();
      g.spawn(pass, std::ref(gate), std::ref(seen), "e");
      co_await settle();
      CHECK(seen.size() == 4);
      gate.set();
      co_await settle();
      CHECK(seen.size() == 5);
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("reset does not stop whom set has let through, even before it has run") {
  for (const reset_mode mode : {reset_mode::manual, reset_mode::automatic}) {
    simulate([mode]() -> weir::task<> {
      weir::event e(mode);
      test::log seen;
      auto body = [&](weir::task_group& g) -> weir::task<> {
        g.spawn(pass, std::ref(e), std::ref(seen), "a");
        co_await settle();
        e.set();
        e.reset();
        CHECK(seen.empty());
        co_await settle();
        CHECK(seen == test::log{"a"});
        CHECK(!e.is_set());
      };
      co_await weir::with_task_group(body);
    });
  }
}

TEST_CASE("an automatic event lets one through for each set, first come, first served") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    auto main = []() -> weir::task<> {
      weir::event turnstile{reset_mode::automatic};
      test::log seen;
      auto body = [&](weir::task_group& g) -> weir::task<> {
        for (const char* name : {"a", "b", "c", "d", "e"}) {
          g.spawn(pass, std::ref(turnstile), std::ref(seen), name);
          co_await settle();
        }
        turnstile.set();
        co_await settle();
        CHECK(seen == test::log{"a"});
        // Two before anybody has run are for two, not for one.
        turnstile.set();
        turnstile.set();
        CHECK(!turnstile.is_set());
        co_await settle();
        CHECK(seen.size() == 3);
        turnstile.set();
        co_await settle();
        CHECK(seen.back() == "d");
        turnstile.set();
        co_await settle();
        CHECK(seen.back() == "e");
        CHECK(!turnstile.is_set());
      };
      co_await weir::with_task_group(body);
    };
    simulate(main, seed);
  }
}

TEST_CASE("a signal that nobody waits for is kept, one at most") {
  simulate([]() -> weir::task<> {
    weir::event turnstile{reset_mode::automatic};
    turnstile.set();
    turnstile.set();
    test::log seen;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(pass, std::ref(turnstile), std::ref(seen), "first");
      co_await settle();
      CHECK(seen.size() == 1);
      g.spawn(pass, std::ref(turnstile), std::ref(seen), "second");
      co_await settle();
      CHECK(seen.size() == 1);
      turnstile.set();
    };
    co_await weir::with_task_group(body);
    CHECK(seen.size() == 2);
  });
}

TEST_CASE("on one worker a manual event makes its waiters ready in the order in which they came") {
  test::log seen;
  auto main = [&]() -> weir::task<> {
    weir::event gate;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      for (const char* name : {"a", "b", "c", "d"}) {
        g.spawn(pass, std::ref(gate), std::ref(seen), name);
        co_await weir::yield();
      }
      gate.set();
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), {.workers = 1});
  CHECK(seen == test::log{"a", "b", "c", "d"});
}

TEST_CASE("a cancelled waiter leaves the queue and uses up no signal") {
  simulate([]() -> weir::task<> {
    weir::event turnstile{reset_mode::automatic};
    test::log seen;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto a = g.spawn(pass, std::ref(turnstile), std::ref(seen), "a");
      co_await settle();
      auto b = g.spawn(pass, std::ref(turnstile), std::ref(seen), "b");
      co_await settle();
      a.request_cancellation();
      co_await settle();
      CHECK(seen == test::log{"a!"});
      turnstile.set();
      co_await settle();
      CHECK(seen == test::log{"a!", "b"});
      auto c = g.spawn(pass, std::ref(turnstile), std::ref(seen), "c");
      co_await settle();
      c.request_cancellation();
      co_await settle();
      // The queue is empty again: the next signal is kept.
      turnstile.set();
      CHECK(turnstile.is_set());
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("under a token that is cancelled already a wait stops, set or not, and uses up no signal") {
  for (const reset_mode mode : {reset_mode::manual, reset_mode::automatic}) {
    for (const bool set : {false, true}) {
      simulate([mode, set]() -> weir::task<> {
        weir::event e(mode, set);
        weir::cancellation_source source;
        source.request_cancellation();
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), e.wait()));
        CHECK(r.is_cancelled());
        CHECK(e.is_set() == set);
      });
    }
  }
}

TEST_CASE("a signal that was handed over before the cancellation is delivered") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    auto main = []() -> weir::task<> {
      weir::event turnstile{reset_mode::automatic};
      weir::cancellation_source source;
      bool delivered = false;
      auto waits = [&]() -> weir::task<> {
        co_await weir::with_cancellation(source.token(), turnstile.wait());
        delivered = true;
      };
      auto body = [&](weir::task_group& g) -> weir::task<> {
        g.spawn(waits);
        co_await settle();
        turnstile.set();
        source.request_cancellation();
      };
      co_await weir::with_task_group(body);
      CHECK(delivered);
      CHECK(!turnstile.is_set());
    };
    simulate(main, seed);
  }
}

TEST_CASE("a cancellation before the signal: the signal goes to the next, or is kept") {
  for (const bool another : {false, true}) {
    simulate([another]() -> weir::task<> {
      weir::event turnstile{reset_mode::automatic};
      test::log seen;
      auto body = [&](weir::task_group& g) -> weir::task<> {
        auto a = g.spawn(pass, std::ref(turnstile), std::ref(seen), "a");
        co_await settle();
        if (another) g.spawn(pass, std::ref(turnstile), std::ref(seen), "b");
        co_await settle();
        weir::cancellation_source source;
        // On a worker the request is delivered at its next turn; here it must be before the signal.
        a.request_cancellation();
        co_await settle();
        turnstile.set();
        CHECK(turnstile.is_set() == !another);
      };
      co_await weir::with_task_group(body);
      CHECK(seen.size() == (another ? 2u : 1u));
    });
  }
}

TEST_CASE("a wait may have a time limit") {
  simulate([]() -> weir::task<> {
    weir::event gate;
    const auto r = co_await weir::as_result(weir::with_timeout(5ms, gate.wait()));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(weir::now().time_since_epoch() == 5ms);
    gate.set();
    co_await weir::with_timeout(5ms, gate.wait());
    CHECK(weir::now().time_since_epoch() == 5ms);
  });
}

TEST_CASE("set from a destructor during a stop lets others through") {
  simulate([]() -> weir::task<> {
    weir::event e{reset_mode::automatic};
    test::log seen;
    auto holder = [&]() -> weir::task<> {
      const turn last(e);
      co_await weir::sleep_until(weir::time_point::max());
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto h = g.spawn(holder);
      g.spawn(pass, std::ref(e), std::ref(seen), "a");
      co_await settle();
      h.request_cancellation();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(seen == test::log{"a"});
  });
}

TEST_CASE("set from a cancellation callback lets others through") {
  simulate([]() -> weir::task<> {
    weir::event gate;
    test::log seen;
    weir::cancellation_source source;
    const weir::cancellation_callback sets(source.token(), [&] { gate.set(); });
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(pass, std::ref(gate), std::ref(seen), "a");
      co_await settle();
      source.request_cancellation();
    };
    co_await weir::with_task_group(body);
    CHECK(seen == test::log{"a"});
  });
}

TEST_CASE("whom set lets through may destroy the event") {
  simulate([]() -> weir::task<> {
    auto gate = std::make_unique<weir::event>();
    auto waits = [&]() -> weir::task<> {
      co_await gate->wait();
      gate.reset();
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(waits);
      co_await settle();
      gate->set();
    };
    co_await weir::with_task_group(body);
    CHECK(!gate);
  });
}

TEST_CASE("the report of a deadlock says that a task waits in event::wait") {
  std::string report;
  try {
    simulate([]() -> weir::task<> {
      weir::event never;
      co_await never.wait();
    });
  } catch (const weir::deadlock& e) {
    report = e.what();
  }
  CHECK(report.find("event::wait") != std::string::npos);
}

TEST_CASE("waiting and setting allocate nothing") {
  simulate([]() -> weir::task<> {
    weir::event ping{reset_mode::automatic};
    weir::event pong{reset_mode::automatic};
    bool ends = false;
    auto answers = [&]() -> weir::task<> {
      while (!ends) {
        co_await ping.wait();
        pong.set();
      }
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(answers);
      ping.set();
      co_await pong.wait();
      const std::uint64_t before = test::allocations();
      for (int i = 0; i < 1000; ++i) {
        ping.set();
        co_await pong.wait();
      }
      CHECK(test::allocations() == before);
      ends = true;
      ping.set();
    };
    co_await weir::with_task_group(body);
  });
}

// The signal of an automatic event, used as a lock: if it were lost the simulation would be deadlocked, if it were
// doubled two would be inside.
TEST_CASE("seeds: no signal is lost or doubled, and the order is kept, whenever waiters are cancelled") {
  struct visitor {
    weir::cancellation_source source;
    bool waits = false;
  };
  long entered = 0;
  long stopped = 0;
  const std::uint64_t seeds = test::scaled(20000, 2000);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    constexpr unsigned tasks = 6;
    test::dice dice(seed);
    weir::event turnstile(reset_mode::automatic, true);
    std::array<visitor, tasks> visitors;
    std::deque<visitor*> queue;
    int inside = 0;
    bool wrong = false;

    auto visit = [&](visitor& self) -> weir::task<> {
      for (unsigned n = dice.roll(3); n > 0; --n) co_await weir::yield();
      queue.push_back(&self);
      co_await turnstile.wait();
      const turn held(turnstile);
      // Who stands before it has been cancelled, and only has not unwound yet.
      while (queue.front() != &self) {
        wrong = wrong || !queue.front()->source.is_cancellation_requested();
        queue.pop_front();
      }
      queue.pop_front();
      wrong = wrong || inside != 0;
      ++inside;
      ++entered;
      struct leave {
        int& count;
        ~leave() { --count; }
      } const leaves{inside};
      if (dice.roll(2) != 0) {
        co_await weir::sleep_for(weir::duration(dice.roll(4)));
      } else {
        co_await weir::yield();
      }
    };
    auto again_and_again = [&](visitor& self) -> weir::task<> {
      for (int n = 0; n < 4; ++n) {
        const auto r = co_await weir::as_result(weir::with_cancellation(self.source.token(), visit(self)));
        if (r.has_value()) continue;
        ++stopped;
        std::erase(queue, &self);
        break;
      }
    };
    auto cancels = [&](visitor& other, unsigned delay) -> weir::task<> {
      for (; delay > 0; --delay) co_await weir::yield();
      if (dice.roll(2) != 0) co_await weir::sleep_for(weir::duration(dice.roll(20)));
      other.source.request_cancellation();
    };
    auto body = [&](weir::task_group& g) {
      for (visitor& v : visitors) g.spawn(again_and_again, std::ref(v));
      for (unsigned i = 0; i < tasks / 2; ++i) g.spawn(cancels, std::ref(visitors[dice.roll(tasks)]), dice.roll(30));
    };
    simulate([&] { return test::together(body); }, seed);
    CAPTURE(seed);
    REQUIRE(!wrong);
    REQUIRE(inside == 0);
    REQUIRE(turnstile.is_set());
  }
  // Both happen often, or the test shows nothing.
  CHECK(entered > static_cast<long>(5 * seeds));
  CHECK(stopped > static_cast<long>(seeds / 2));
}

// ---- threads

TEST_CASE("a thread may set an event that a task waits for") {
  for (const unsigned workers : {1u, 4u}) {
    for (int round = 0; round < test::scaled(200, 50); ++round) {
      weir::event gate;
      int published = 0;
      int read = 0;
      auto waits = [&]() -> weir::task<> {
        co_await gate.wait();
        read = published;
      };
      std::thread other([&] {
        if (round % 2 != 0) std::this_thread::yield();
        published = 1;
        gate.set();
      });
      weir::run(waits(), {.workers = workers});
      other.join();
      REQUIRE(read == 1);
    }
  }
}

TEST_CASE("wait_blocking blocks a thread until the event is set") {
  weir::event gate;
  gate.set();
  gate.wait_blocking();
  gate.reset();
  std::atomic<int> through{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      gate.wait_blocking();
      ++through;
    });
  }
  auto sets = [&]() -> weir::task<> {
    co_await weir::sleep_for(5ms);
    CHECK(through == 0);
    gate.set();
  };
  weir::run(sets(), {.workers = 1});
  for (std::thread& thread : threads) thread.join();
  CHECK(through == 3);
}

TEST_CASE("on a worker wait_blocking is told, unless it need not wait") {
  simulate([]() -> weir::task<> {
    weir::event gate;
    CHECK_THROWS_WITH_AS(gate.wait_blocking(),
                         "weir: event::wait_blocking would block a worker of a runtime, and all its tasks: co_await "
                         "wait() instead",
                         std::logic_error);
    gate.set();
    gate.wait_blocking();
    co_return;
  });
}

TEST_CASE("tasks of two runtimes and a thread take turns at one event") {
  constexpr int rounds = 2000;
  weir::event first(reset_mode::automatic, true);
  weir::event second(reset_mode::automatic);
  weir::event third(reset_mode::automatic);
  std::vector<int> order;
  order.reserve(3 * rounds);
  auto turns = [&](weir::event& mine, weir::event& next, int name) -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      co_await mine.wait();
      order.push_back(name);
      next.set();
    }
  };
  std::thread blocking([&] {
    for (int i = 0; i < rounds; ++i) {
      third.wait_blocking();
      order.push_back(3);
      first.set();
    }
  });
  weir::runtime one({.workers = 1});
  weir::runtime two({.workers = 2});
  auto a = one.spawn(turns(first, second, 1));
  auto ends = [&]() -> weir::task<> { co_await turns(second, third, 2); };
  two.block_on(ends());
  blocking.join();
  weir::event done;
  auto joins = [&]() -> weir::task<> { co_await a.join(); };
  one.block_on(joins());
  bool right = order.size() == 3 * rounds;
  for (std::size_t i = 0; right && i < order.size(); ++i) right = order[i] == static_cast<int>(i % 3) + 1;
  CHECK(right);
}

TEST_CASE("stress: the last one through destroys the event while set is still under way") {
  std::atomic<int> destroyed{0};
  const int rounds = test::scaled(20000, 1500);
  std::atomic<weir::event*> published{nullptr};
  std::atomic<bool> ends{false};
  std::thread setter([&] {
    while (!ends) {
      if (weir::event* gate = published.exchange(nullptr)) gate->set();
    }
  });
  auto main = [&]() -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      auto* gate = new weir::event;
      std::atomic<int> left{4};
      auto waits = [&](int name) -> weir::task<> {
        if ((name + i) % 3 == 0) co_await weir::yield();
        co_await gate->wait();
        if (left.fetch_sub(1) != 1) co_return;
        delete gate;
        ++destroyed;
      };
      auto body = [&](weir::task_group& g) {
        for (int name = 0; name < 4; ++name) g.spawn(waits, name);
        published.store(gate);
      };
      co_await test::together(body);
    }
  };
  weir::run(main(), {.workers = 4});
  ends = true;
  setter.join();
  CHECK(destroyed == rounds);
}

TEST_CASE("stress: one signal goes round tasks, threads and cancelled waiters, and is never lost or doubled") {
  weir::event turnstile(reset_mode::automatic, true);
  std::atomic<int> inside{0};
  std::atomic<bool> wrong{false};
  std::atomic<long> timed_out{0};
  long entered = 0;  // guarded by the signal
  const int rounds = test::scaled(30000, 2000);
  const auto use = [&] {
    if (inside.fetch_add(1) != 0) wrong = true;
    ++entered;
    inside.fetch_sub(1);
  };
  auto visits = [&](unsigned name) -> weir::task<> {
    test::dice dice(name);
    for (int i = 0; i < rounds; ++i) {
      const weir::duration limit = weir::duration(1000 * dice.roll(40));
      const bool stays = dice.roll(8) == 0;
      auto visit = [&]() -> weir::task<> {
        co_await turnstile.wait();
        const turn held(turnstile);
        use();
        if (stays) co_await weir::yield();
      };
      const auto r = co_await weir::as_result(weir::with_timeout(limit, visit()));
      if (!r.has_value()) ++timed_out;
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        turnstile.wait_blocking();
        const turn held(turnstile);
        use();
      }
    });
  }
  auto body = [&](weir::task_group& g) {
    for (unsigned i = 0; i < 8; ++i) g.spawn(visits, i);
  };
  auto main = [&]() -> weir::task<> { co_await test::together(body); };
  weir::run(main(), {.workers = 4});
  for (std::thread& thread : threads) thread.join();
  CHECK(!wrong);
  CHECK(turnstile.is_set());
  CHECK(entered + timed_out >= 10 * rounds);
  CHECK(entered >= 2 * rounds);
}

TEST_CASE("stress: a manual event opens and closes while tasks come, and nobody is left behind") {
  weir::event gate;
  std::atomic<bool> ends{false};
  std::thread other([&] {
    while (!ends) {
      gate.set();
      std::this_thread::yield();
      gate.reset();
    }
    gate.set();
  });
  std::atomic<long> through{0};
  const int rounds = test::scaled(20000, 1500);
  auto passes = [&]() -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      co_await gate.wait();
      ++through;
      if (i % 16 == 0) co_await weir::yield();
    }
  };
  auto body = [&](weir::task_group& g) {
    for (int i = 0; i < 8; ++i) g.spawn(passes);
  };
  auto main = [&]() -> weir::task<> { co_await test::together(body); };
  weir::run(main(), {.workers = 4});
  ends = true;
  other.join();
  CHECK(through == 8L * rounds);
}

// ---- misuse

TEST_CASE("destroying an event under a waiter is told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  const std::string told = test::last_words_of([] {
    simulate([]() -> weir::task<> {
      auto gate = std::make_unique<weir::event>();
      auto waits = [&]() -> weir::task<> { co_await gate->wait(); };
      auto body = [&](weir::task_group& g) -> weir::task<> {
        g.spawn(waits);
        co_await settle();
        gate.reset();
      };
      co_await weir::with_task_group(body);
    });
  });
  CHECK(told == "weir: an event was destroyed while somebody waits for it\n");
#endif
}
