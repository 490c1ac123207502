#include <weir/patterns/resource_pool.hpp>

#include "support.hpp"

#include <optional>

using test::simulate;
using weir::shutdown_mode;

namespace {

int elapsed() { return static_cast<int>(weir::now().time_since_epoch() / 1ms); }

/// A data base that counts its connections.
struct database {
  int opened = 0;
  int alive = 0;
  int most = 0;
  int opening = 0;
  weir::duration latency = 0ms;
  int refuse_from = 1'000'000;  // the number of the first connection that cannot be opened
  test::log closed;
  int sick = -1;  // this connection does not answer any more

  class connection {
   public:
    connection(database& to, int n) : to_(&to), number(n) { ++to_->alive; }
    connection(connection&& other) noexcept : to_(std::exchange(other.to_, nullptr)), number(other.number) {}
    connection& operator=(connection&&) = delete;
    ~connection() {
      if (!to_) return;
      --to_->alive;
      to_->closed.push_back(std::to_string(number));
    }
    weir::task<> query(weir::duration length) {
      ++queries;
      co_await weir::sleep_for(length);
    }

   private:
    database* to_;

   public:
    int number;
    int queries = 0;
  };

  auto open() {
    return [this] { return open_one(); };
  }
  weir::task<connection> open_one() {
    struct leaving {
      int& n;
      explicit leaving(int& c) : n(++c) {}
      ~leaving() { --n; }
    } here(opening);
    most = std::max(most, alive + opening);
    const int n = opened++;
    co_await weir::sleep_for(latency);
    if (n >= refuse_from) throw std::system_error(std::make_error_code(std::errc::connection_refused), "open");
    co_return connection(*this, n);
  }
  auto check() {
    return [this](connection& c) -> weir::task<bool> { return ping(c); };
  }
  weir::task<bool> ping(connection& c) {
    co_await weir::sleep_for(1ms);
    co_return c.number != sick;
  }
};

using pool = weir::resource_pool<database::connection>;

}  // namespace

TEST_CASE("resource_pool: ten workers, three connections, twenty queries (S80, P57)") {
  simulate([]() -> weir::task<> {
    database db;
    pool connections(db.open(), {.max = 3});
    int done = 0;
    auto query = [&](int id) -> weir::task<> {
      auto c = co_await connections.acquire();
      CHECK(db.alive <= 3);
      co_await c->query((100 + 10 * id) * 1ms);
      ++done;
    };
    weir::channel<int> jobs(50);
    for (int id = 0; id < 20; ++id) CHECK(jobs.try_send(id));
    jobs.close();
    co_await (weir::from(jobs) | weir::for_each(query, {.workers = 10, .buffer = 50}));
    CHECK(done == 20);
    CHECK(db.most == 3);
    CHECK(db.opened == 3);
    CHECK(elapsed() >= (20 * 100 + 10 * 190) / 3);
    const auto stats = connections.stats();
    CHECK(stats.acquired == 20);
    CHECK(stats.idle == 3);
    CHECK(stats.in_use == 0);
    CHECK(stats.waits >= 17 - 10 + 3);
    const std::size_t out = co_await connections.shutdown();
    CHECK(out == 0);
    CHECK(db.alive == 0);
  });
}

TEST_CASE("resource_pool: a free one, else one more, else the queue, first come, first served (S113, D45)") {
  simulate([]() -> weir::task<> {
    database db;
    pool connections(db.open(), {.max = 2});
    std::vector<int> order;
    auto use = [&](int id) -> weir::task<> {
      co_await weir::sleep_for(id * 1ms);
      auto c = co_await connections.acquire();
      order.push_back(id);
      co_await c->query(10ms);
    };
    co_await weir::when_all(use(0), use(1), use(2), use(3), use(4), use(5));
    CHECK(order == test::up_to(6));
    CHECK(db.opened == 2);
    CHECK(elapsed() == 31);
    // The one that was used last goes first, so that those that are not needed can expire.
    auto warm = co_await connections.acquire();
    CHECK(warm->number == 1);
    CHECK(warm->queries == 3);
  });
}

TEST_CASE("resource_pool: try_acquire lends what lies there ready, and opens, checks and overtakes nobody") {
  simulate([]() -> weir::task<> {
    database db;
    pool connections(db.open(), {.min = 1, .max = 2, .check_after = 100ms}, db.check());
    CHECK_FALSE(connections.try_acquire());
    co_await connections.open();
    {
      auto idle = connections.try_acquire();
      REQUIRE(idle);
      CHECK(idle->number == 0);
      CHECK_FALSE(connections.try_acquire());  // there could be a second one, but it is not open
    }
    CHECK(connections.stats().acquired == 1);
    co_await weir::sleep_for(200ms);
    CHECK_FALSE(connections.try_acquire());  // to be checked first
    CHECK(connections.stats().idle == 1);
    {
      auto a = co_await connections.acquire();
      auto b = co_await connections.acquire();
      auto wait = [&]() -> weir::task<int> {
        auto c = co_await connections.acquire();
        co_return c->number;
      };
      auto waiting = weir::spawn(wait);
      co_await weir::yield();
      a.release();
      CHECK_FALSE(connections.try_acquire());  // somebody was there before
      const int got = co_await waiting.join();
      CHECK(got == 0);
      CHECK(connections.try_acquire());
    }
    CHECK(db.opened == 2);
    connections.close();
    CHECK_THROWS_AS(static_cast<void>(connections.try_acquire()), std::system_error);
  });
}

TEST_CASE("resource_pool: a wait under a deadline ends with it, and those behind go on (S138, D44)") {
  simulate([]() -> weir::task<> {
    database db;
    pool connections(db.open(), {.min = 1, .max = 1});
    co_await connections.open();  // all of them up front
    CHECK(db.alive == 1);
    auto held = co_await connections.acquire();
    auto late = co_await weir::as_result(weir::with_timeout(10ms, connections.acquire()));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(connections.stats().waiting == 0);
    auto first = [&]() -> weir::task<bool> {
      auto got = co_await weir::as_result(weir::with_timeout(10ms, connections.acquire()));
      co_return got.has_value();
    };
    auto second = [&]() -> weir::task<int> {
      auto c = co_await connections.acquire();
      co_return elapsed();
    };
    auto back = [&]() -> weir::task<> {
      co_await weir::sleep_for(20ms);
      held.release();
    };
    auto [one, two, three] = co_await weir::when_all(first(), second(), back());
    static_cast<void>(three);
    CHECK(!one);
    CHECK(two == 30);
  });
}

TEST_CASE("resource_pool: a lease goes back on every way out, and a discarded one is closed (P73)") {
  simulate([]() -> weir::task<> {
    database db;
    pool connections(db.open(), {.max = 1});
    auto fails = [&]() -> weir::task<> {
      auto c = co_await connections.acquire();
      co_await weir::sleep_for(1ms);
      throw std::runtime_error("query");
    };
    auto failed = co_await weir::as_result(fails());
    CHECK(!failed);
    auto stopped = [&]() -> weir::task<> {
      auto c = co_await connections.acquire();
      co_await test::never();
    };
    auto cut = co_await weir::as_result(weir::with_timeout(5ms, stopped()));
    CHECK(cut.error() == std::errc::timed_out);
    CHECK(connections.stats().idle == 1);
    auto c = co_await connections.acquire();
    CHECK(c->number == 0);
    CHECK(c);
    c.discard();
    CHECK(!c);
    c.release();
    CHECK(db.alive == 0);
    CHECK(connections.stats().unhealthy == 1);
    auto fresh = co_await connections.acquire();
    CHECK(fresh->number == 1);
    auto moved = std::move(fresh);
    CHECK(moved->number == 1);
    CHECK(!fresh);
  });
}

TEST_CASE("resource_pool: when one of the first cannot be opened, those that were are closed (S139)") {
  test::unobserved seen;
  test::simulate_reporting([]() -> weir::task<> {
    database db;
    db.refuse_from = 3;
    db.latency = 5ms;
    pool connections(db.open(), {.min = 5, .max = 5, .retry_pause = 1h});
    auto opened = co_await weir::as_result(connections.open());
    CHECK(opened.error() == std::errc::connection_refused);
    co_await connections.shutdown();
    CHECK(db.alive == 0);
    CHECK(connections.stats().idle == 0);
    CHECK(connections.stats().opened == connections.stats().closed);
  });
  CHECK(test::unobserved::take().size() <= 1);  // of the two that failed, one is thrown
}

TEST_CASE("resource_pool: after close nobody gets one, who waits is told, what comes back is closed (S139, D44)") {
  simulate([]() -> weir::task<> {
    database db;
    pool connections(db.open(), {.max = 2});
    auto out = co_await connections.acquire();
    auto idle = co_await connections.acquire();
    auto waits = [&]() -> weir::task<int> {
      auto got = co_await weir::as_result(connections.acquire());
      CHECK(got.error() == std::errc::operation_canceled);
      co_return elapsed();
    };
    auto close = [&]() -> weir::task<> {
      co_await weir::sleep_for(10ms);
      idle.release();
      connections.close();
      connections.close();
    };
    auto [one, two, three] = co_await weir::when_all(waits(), waits(), close());
    static_cast<void>(three);
    CHECK(one <= 10);
    CHECK(two == 10);
    CHECK(db.alive == 1);
    auto refused = co_await weir::as_result(connections.acquire());
    CHECK(refused.error() == std::errc::operation_canceled);
    CHECK(test::unobserved::what(refused.exception()).starts_with("weir: resource_pool: the pool is closed"));
    auto not_opened = co_await weir::as_result(connections.open());
    CHECK(!not_opened);
    co_await out->query(1ms);  // it is still good
    const std::size_t still = co_await connections.shutdown(shutdown_mode::drain, 5ms);
    CHECK(still == 1);
    CHECK(elapsed() == 16);
    const std::size_t at_once = co_await connections.shutdown(shutdown_mode::cancel);
    CHECK(at_once == 1);
    auto back = [&]() -> weir::task<> {
      co_await weir::sleep_for(3ms);
      out.release();
    };
    auto [none, nothing] = co_await weir::when_all(connections.shutdown(), back());
    static_cast<void>(nothing);
    CHECK(none == 0);
    CHECK(elapsed() == 19);
    CHECK(db.alive == 0);
  });
}

TEST_CASE("resource_pool: closed while a resource is being opened") {
  simulate([]() -> weir::task<> {
    database db;
    db.latency = 10ms;
    pool connections(db.open(), {.max = 2});
    auto opens = [&]() -> weir::task<bool> {
      auto got = co_await weir::as_result(connections.acquire());
      co_return got.has_value();
    };
    auto close = [&]() -> weir::task<> {
      co_await weir::sleep_for(5ms);
      connections.close();
    };
    auto [got, nothing] = co_await weir::when_all(opens(), close());
    static_cast<void>(nothing);
    CHECK(!got);
    CHECK(db.alive == 0);
  });
}

TEST_CASE("resource_pool: a failure to open is the caller's, and the next one tries") {
  simulate([]() -> weir::task<> {
    database db;
    db.refuse_from = 0;
    pool connections(db.open(), {.max = 1});
    auto failed = co_await weir::as_result(connections.acquire());
    CHECK(failed.error() == std::errc::connection_refused);
    CHECK(connections.stats().failed_to_open == 1);
    db.refuse_from = 1'000'000;
    auto good = co_await connections.acquire();
    CHECK(good);
    CHECK(connections.stats().opening == 0);
  });
}

TEST_CASE("resource_pool: what does not pass its check is not lent out (S113)") {
  simulate([]() -> weir::task<> {
    database db;
    pool connections(db.open(), {.max = 2, .check_after = 100ms}, db.check());
    {
      auto a = co_await connections.acquire();
      auto b = co_await connections.acquire();
    }
    db.sick = 0;
    {
      auto soon = co_await connections.acquire();  // not idle for so long
      CHECK(elapsed() == 0);
      CHECK(soon->number == 0);
    }
    co_await weir::sleep_for(200ms);
    auto checked = co_await connections.acquire();
    CHECK(checked->number == 1);
    CHECK(elapsed() == 202);
    CHECK(db.closed == test::log{"0"});
    auto fresh = co_await connections.acquire();
    CHECK(fresh->number == 2);
    CHECK(connections.stats().unhealthy == 1);
    // A check that throws, or is stopped in the middle of it: that one is closed too.
    auto throws = [](database::connection&) -> bool { throw std::runtime_error("broken pipe"); };
    pool strict(db.open(), {.max = 1}, throws);
    {
      auto first = co_await strict.acquire();
    }
    auto second = co_await strict.acquire();
    CHECK(second->number == 4);
    // Without any time in the options every one is asked, also the first.
    database other;
    pool asked(other.open(), {.min = 1, .max = 1}, other.check());
    co_await asked.open();
    other.sick = 0;
    auto well = co_await asked.acquire();
    CHECK(well->number == 1);
    pool slow(db.open(), {.max = 1}, db.check());
    {
      auto first = co_await slow.acquire();
    }
    auto cut = co_await weir::as_result(weir::with_timeout(0s, slow.acquire()));
    CHECK(!cut);
    CHECK(slow.stats().unhealthy == 1);
    CHECK(slow.stats().opening == 0);
  });
}

TEST_CASE("resource_pool: idle ones expire down to `min`, old ones whatever they do, and `min` is kept (S113)") {
  simulate([]() -> weir::task<> {
    database db;
    pool connections(db.open(), {.min = 1, .max = 4, .idle_timeout = 100ms, .max_lifetime = 1s});
    co_await connections.open();
    CHECK(db.alive == 1);
    {
      std::vector<pool::lease> all;
      for (int i = 0; i < 4; ++i) {
        auto one = co_await connections.acquire();
        all.push_back(std::move(one));
      }
      co_await weir::sleep_for(50ms);
    }
    CHECK(db.alive == 4);
    co_await weir::sleep_for(99ms);
    CHECK(db.alive == 4);
    co_await weir::sleep_for(2ms);
    CHECK(db.alive == 1);
    CHECK(connections.stats().expired == 3);
    co_await weir::sleep_for(700ms);
    CHECK(db.alive == 1);
    const int before = db.opened;
    co_await weir::sleep_for(200ms);  // its life is over, and another one is opened in its place
    CHECK(db.alive == 1);
    CHECK(db.opened == before + 1);
    {
      auto used = co_await connections.acquire();
      co_await weir::sleep_for(1200ms);
      CHECK(db.alive == 1);  // not while it is in use
    }
    co_await weir::sleep_for(1ms);
    CHECK(db.opened == before + 2);
    co_await connections.shutdown();
    CHECK(db.alive == 0);
  });
}

TEST_CASE("resource_pool: what is missing of `min` is tried again after a pause") {
  simulate([]() -> weir::task<> {
    database db;
    db.refuse_from = 0;
    pool connections(db.open(), {.min = 2, .max = 4, .retry_pause = 10ms});
    auto failed = co_await weir::as_result(connections.acquire());
    CHECK(!failed);
    co_await weir::sleep_for(95ms);
    CHECK(db.opened <= 12);
    CHECK(db.opened >= 9);
    db.refuse_from = 1'000'000;
    co_await weir::sleep_for(10ms);
    CHECK(db.alive == 2);
    CHECK(connections.stats().idle == 2);
  });
}

TEST_CASE("resource_pool: a lease that is out when the pool goes is told, and stays good (P73)") {
  test::unobserved seen;
  test::simulate_reporting([]() -> weir::task<> {
    database db;
    {
      pool::lease left;
      {
        pool connections(db.open(), {.max = 2});
        auto out = co_await connections.acquire();
        left = std::move(out);
      }
      CHECK(left->number == 0);
      CHECK(db.alive == 1);
    }
    CHECK(db.alive == 0);
  });
  const test::log told = test::unobserved::take();
  REQUIRE(told.size() == 1);
  CHECK(told[0].starts_with("weir: a resource_pool was destroyed while leases of it are out, which were taken at "));
  CHECK(told[0].find("resource_pool.cpp:") != std::string::npos);
}

TEST_CASE("resource_pool: what makes no sense is refused") {
  database db;
  CHECK_THROWS_AS(pool(db.open(), {.max = 0}), std::invalid_argument);
  CHECK_THROWS_AS(pool(db.open(), {.min = 3, .max = 2}), std::invalid_argument);
  CHECK_THROWS_AS(pool(db.open(), {.idle_timeout = -1s}), std::invalid_argument);
}

TEST_CASE("resource_pool: seeds: never more than max in use or being opened, and every one is closed once") {
  for (std::uint64_t seed = 0; seed < test::scaled(1000, 50); ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          database db;
          const std::size_t max = 1 + dice.roll(3);
          const std::size_t min = dice.roll(static_cast<unsigned>(max) + 1);
          int made = 0;
          int most = 0;
          int now = 0;
          auto open = [&]() -> weir::task<database::connection> {
            struct leaving {
              int& n;
              explicit leaving(int& c) : n(++c) {}
              ~leaving() { --n; }
            } here(now);
            most = std::max(most, now + db.alive);
            co_await weir::sleep_for(dice.roll(3) * 1ms);
            if (dice.roll(5) == 0) throw std::runtime_error("refused");
            co_return database::connection(db, made++);
          };
          auto check = [&](database::connection&) -> weir::task<bool> {
            co_await weir::sleep_for(dice.roll(2) * 1ms);
            co_return dice.roll(6) != 0;
          };
          pool connections(open, {.min = min, .max = max, .idle_timeout = 3ms, .max_lifetime = 9ms, .retry_pause = 1ms},
                           check);
          int in_use = 0;
          auto user = [&]() -> weir::task<> {
            for (int i = 0; i < 5; ++i) {
              co_await weir::sleep_for(dice.roll(3) * 1ms);
              auto got = co_await weir::as_result(weir::with_timeout((1 + dice.roll(5)) * 1ms, connections.acquire()));
              if (!got) continue;
              ++in_use;
              CHECK(static_cast<std::size_t>(in_use) <= max);
              co_await weir::sleep_for(dice.roll(3) * 1ms);
              --in_use;
              if (dice.roll(5) == 0) got->discard();
            }
          };
          auto end = [&]() -> weir::task<> {
            co_await weir::sleep_for(dice.roll(40) * 1ms);
            if (dice.roll(2) == 0) connections.close();
          };
          co_await weir::when_all(user(), user(), user(), user(), user(), end());
          const std::size_t out = co_await connections.shutdown();
          CHECK(out == 0);
          CHECK(static_cast<std::size_t>(most) <= max);
          CHECK(db.alive == 0);
          CHECK(static_cast<int>(db.closed.size()) == made);
          const auto stats = connections.stats();
          CHECK(stats.opening == 0);
          CHECK(stats.waiting == 0);
          CHECK(stats.idle == 0);
        },
        seed);
  }
}

TEST_CASE("resource_pool: on two workers") {
  auto main = []() -> weir::task<> {
    std::atomic<int> alive{0};
    std::atomic<int> in_use{0};
    std::atomic<bool> too_many{false};
    struct thing {
      explicit thing(std::atomic<int>& in) : alive(&in) { ++in; }
      thing(thing&& other) noexcept : alive(std::exchange(other.alive, nullptr)) {}
      thing& operator=(thing&&) = delete;
      ~thing() {
        if (alive) --*alive;
      }
      std::atomic<int>* alive;
    };
    auto open = [&]() -> weir::task<thing> {
      co_await weir::yield();
      co_return thing(alive);
    };
    weir::resource_pool<thing> things(open, {.min = 1, .max = 3, .idle_timeout = 1ms});
    auto user = [&](int n) -> weir::task<> {
      for (int i = 0; i < test::scaled(3000, 200); ++i) {
        auto one = co_await things.acquire();
        if (++in_use > 3) too_many = true;
        co_await weir::yield();
        --in_use;
        if ((i + n) % 16 == 0) one.discard();
      }
    };
    co_await weir::when_all(user(0), user(1), user(2), user(3), user(4), user(5));
    CHECK(!too_many);
    const std::size_t out = co_await things.shutdown();
    CHECK(out == 0);
    CHECK(alive == 0);
  };
  weir::run(main(), {.workers = 2});
}
