#include <weir/patterns/gather.hpp>

#include "support.hpp"

#include <tuple>

using test::simulate;

namespace {

weir::task<std::string> service(std::string name, weir::duration latency) {
  co_await weir::sleep_for(latency);
  co_return "data from " + name;
}

weir::task<std::string> broken_service(weir::duration latency) {
  co_await weir::sleep_for(latency);
  throw std::system_error(std::make_error_code(std::errc::connection_refused), "connect 10.0.0.7:80");
}

/// Milliseconds since the simulation began.
int elapsed() { return static_cast<int>(weir::now().time_since_epoch() / 1ms); }

// ---- an order in dependent phases, as microservices take it

struct order_world {
  bool token_good = true;
  bool in_stock = true;
  bool funds = true;
  bool can_ship = true;
  int reserved = 0;
  int charged = 0;
  int shipped = 0;
  test::log calls;
};

weir::task<> check_token(order_world& w) {
  w.calls.push_back("auth");
  co_await weir::sleep_for(100ms);
  if (!w.token_good) throw std::runtime_error("bad token");
}
weir::task<std::string> load_user(order_world& w) {
  w.calls.push_back("user");
  co_await weir::sleep_for(150ms);
  co_return "ann";
}
weir::task<> reserve_stock(order_world& w) {
  w.calls.push_back("inventory");
  co_await weir::sleep_for(120ms);
  if (!w.in_stock) throw std::runtime_error("no stock");
  ++w.reserved;
}
weir::task<> release_stock(order_world& w) {
  w.calls.push_back("release");
  co_await weir::sleep_for(20ms);
  --w.reserved;
}
weir::task<> charge(order_world& w) {
  w.calls.push_back("payment");
  co_await weir::sleep_for(200ms);
  if (!w.funds) throw std::runtime_error("declined");
  ++w.charged;
}
weir::task<> refund(order_world& w) {
  w.calls.push_back("refund");
  co_await weir::sleep_for(30ms);
  --w.charged;
}
weir::task<> ship(order_world& w) {
  w.calls.push_back("shipping");
  co_await weir::sleep_for(180ms);
  if (!w.can_ship) throw std::runtime_error("no carrier");
  ++w.shipped;
}

/// A saga: "" when the order was placed, otherwise the first thing that went wrong; then all that was done is undone.
weir::task<std::string> place_order(order_world& w) {
  auto [token, user, stock] = co_await weir::gather(1s, check_token(w), load_user(w), reserve_stock(w));
  if (!token || !user || !stock) {
    if (stock) co_await release_stock(w);
    if (!token) co_return test::unobserved::what(token.exception());
    if (!user) co_return test::unobserved::what(user.exception());
    co_return test::unobserved::what(stock.exception());
  }
  auto [paid, sent] = co_await weir::gather(1s, charge(w), ship(w));
  if (!paid || !sent) {
    // What was done is undone whatever becomes of who ordered.
    auto take_back = [](order_world& world, bool pay, bool send) -> weir::task<> {
      if (send) --world.shipped;
      if (pay) co_await refund(world);
      co_await release_stock(world);
    };
    auto compensation = take_back(w, paid.has_value(), sent.has_value());
    co_await weir::shielded(std::move(compensation));
    if (!paid) co_return test::unobserved::what(paid.exception());
    co_return test::unobserved::what(sent.exception());
  }
  co_return std::string();
}

}  // namespace

TEST_CASE("gather: what came in time, and what did not (S43, S145, D15)") {
  simulate([]() -> weir::task<> {
    test::log log;
    auto third = [&]() -> weir::task<std::string> {
      const test::mark gone(log, "third");
      co_return co_await service("C", 5s);
    };
    auto [a, b, c] = co_await weir::gather(1s, service("A", 100ms), service("B", 200ms), third());
    CHECK(elapsed() == 1000);
    CHECK(a.value() == "data from A");
    CHECK(b.value() == "data from B");
    CHECK(!c.has_value());
    CHECK(c.error() == std::errc::timed_out);
    CHECK(c.cause() == weir::cancellation_cause::deadline);
    CHECK(log == test::log{"third!"});  // stopped, and joined before gather completed
  });
}

TEST_CASE("gather: the acceptance program's part of it") {
  simulate([]() -> weir::task<> {
    auto [a, b, c] = co_await weir::gather(100ms, service("A", 10ms), service("B", 20ms), service("C", 5s));
    CHECK((a.has_value() && *a == "data from A"));
    CHECK(b.has_value());
    CHECK((!c.has_value() && c.error() == std::errc::timed_out));
  });
}

TEST_CASE("gather: parallel calls, each with an error of its own, a failed part is no failure of all (S41, D12)") {
  simulate([]() -> weir::task<> {
    const std::string user = co_await service("user", 100ms);
    auto [profile, posts] = co_await weir::gather(service("profile", 150ms), service("posts", 100ms));
    CHECK(elapsed() == 250);
    CHECK(profile.has_value());
    CHECK(posts.has_value());
    auto [one, two] = co_await weir::gather(broken_service(30ms), service("posts", 100ms));
    CHECK(elapsed() == 350);  // the failure has not ended the other
    CHECK(one.error() == std::errc::connection_refused);
    CHECK(test::unobserved::what(one.exception()).starts_with("connect 10.0.0.7:80"));
    CHECK(two.value() == "data from posts");
    // All failed: nothing to divide by, and every one is accounted for.
    auto [three, four] = co_await weir::gather(broken_service(1ms), broken_service(2ms));
    CHECK(!three.has_value());
    CHECK(!four.has_value());
  });
}

TEST_CASE("gather: the core of GET /users/{id}, user first, then profile and posts at once (S142)") {
  auto handle = [](int id) -> weir::task<std::string> {
    if (id != 1) co_return "404 User not found";
    const std::string user = co_await service("user", 100ms);
    auto [profile, posts] = co_await weir::gather(service("profile", 150ms), service("posts", 100ms));
    std::string page = user;
    if (profile) page += ", " + *profile;
    if (posts) page += ", " + *posts;
    co_return page;
  };
  simulate([&]() -> weir::task<> {
    const std::string page = co_await weir::with_timeout(5s, handle(1));
    CHECK(page == "data from user, data from profile, data from posts");
    CHECK(elapsed() == 250);
    const std::string none = co_await handle(2);
    CHECK(none == "404 User not found");
    // Thousands at once take as long as one.
    std::vector<weir::task<std::string>> requests;
    for (int i = 0; i < 2000; ++i) requests.push_back(handle(1));
    auto pages = co_await weir::gather(5s, std::move(requests));
    CHECK(pages.size() == 2000);
    CHECK(elapsed() == 500);
    CHECK(std::all_of(pages.begin(), pages.end(), [](const auto& p) { return p.has_value(); }));
    // A client that goes cancels all of it.
    weir::cancellation_source client;
    auto leave = [&]() -> weir::task<> {
      co_await weir::sleep_for(120ms);
      client.request_cancellation();
    };
    auto [gone, left] = co_await weir::gather(weir::with_cancellation(client.token(), handle(1)), leave());
    CHECK(gone.is_cancelled());
    CHECK(left.has_value());
    CHECK(elapsed() == 620);
  });
}

TEST_CASE("gather: dependent phases, of which the first that fails keeps the next from starting (S42, S147)") {
  simulate([]() -> weir::task<> {
    order_world w;
    const std::string ended = co_await place_order(w);
    CHECK(ended.empty());
    CHECK(elapsed() == 350);  // 150 and 200, not 750
    CHECK(w.charged == 1);
    CHECK(w.shipped == 1);
    CHECK(w.reserved == 1);
  });
  struct way {
    const char* what;
    bool order_world::* broken;
    test::log calls;
  };
  for (const way& one : {way{"bad token", &order_world::token_good, {"auth", "user", "inventory", "release"}},
                         way{"no stock", &order_world::in_stock, {"auth", "user", "inventory"}}}) {
    simulate([&]() -> weir::task<> {
      order_world w;
      w.*one.broken = false;
      const std::string ended = co_await place_order(w);
      CHECK(ended == one.what);
      CHECK(w.calls == one.calls);  // no payment, no shipping
      CHECK(w.reserved == 0);
    });
  }
}

TEST_CASE("gather: a saga takes back what its other half has done (S147, D14)") {
  simulate([]() -> weir::task<> {
    order_world w;
    w.can_ship = false;
    const std::string ended = co_await place_order(w);
    CHECK(ended == "no carrier");
    CHECK(w.charged == 0);  // refunded
    CHECK(w.reserved == 0);
    CHECK(w.calls == test::log{"auth", "user", "inventory", "payment", "shipping", "refund", "release"});
  });
  simulate([]() -> weir::task<> {
    order_world w;
    w.funds = false;
    const std::string ended = co_await place_order(w);
    CHECK(ended == "declined");
    CHECK(w.shipped == 0);
    CHECK(w.reserved == 0);
    CHECK(w.calls == test::log{"auth", "user", "inventory", "payment", "shipping", "release"});
  });
}

TEST_CASE("gather: sleeps in a phase obey a cancellation from outside (D14)") {
  simulate([]() -> weir::task<> {
    order_world w;
    auto ended = co_await weir::as_result(weir::with_timeout(250ms, place_order(w)));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(elapsed() == 250);  // in the middle of the second phase
    CHECK(w.charged == 0);
    CHECK(w.shipped == 0);
  });
}

TEST_CASE("gather: an operation bounded by a deadline ends at the earlier of the two (S59)") {
  simulate([]() -> weir::task<> {
    auto [quick] = co_await weir::gather(100ms, service("A", 99ms));
    CHECK(quick.has_value());
    CHECK(elapsed() == 99);
    auto [slow] = co_await weir::gather(100ms, service("A", 101ms));
    CHECK(slow.error() == std::errc::timed_out);
    CHECK(elapsed() == 199);
    // A completion beats a deadline that is due in the same turn, or the deadline comes first: the seed decides, and
    // the caller sees which.
    auto [same] = co_await weir::gather(100ms, service("A", 100ms));
    CHECK(elapsed() == 299);
    CHECK((same.has_value() || same.error() == std::errc::timed_out));
  });
}

TEST_CASE("gather: work that cannot be stopped is told from work that is late, and joined (S60, D20)") {
  simulate([]() -> weir::task<> {
    // At most two at a time, of work that nothing stops: its place is its own as long as it runs, also when nobody
    // waits for it any more.
    weir::semaphore places(2);
    int running = 0;
    int most = 0;
    int done = 0;
    auto crunch = [&](weir::semaphore_permit place) -> weir::task<std::unique_ptr<test::counted>> {
      most = std::max(most, ++running);
      co_await weir::shielded(weir::sleep_for(100ms));
      --running;
      ++done;
      place.release();
      co_return std::make_unique<test::counted>();
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < 4; ++i) {
        auto place = co_await places.acquire();
        auto job = group.spawn(crunch, std::move(place));
        auto [slow] = co_await weir::gather(5ms, job.join());
        CHECK(slow.error() == std::errc::timed_out);
      }
      CHECK(elapsed() >= 100);
      CHECK(done < 4);
      auto free = co_await places.acquire();
      auto in_time = group.spawn(crunch, std::move(free));
      auto [quick] = co_await weir::gather(5s, in_time.join());
      CHECK(quick.has_value());
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(most == 2);
    CHECK(done == 5);
    CHECK(running == 0);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("gather: values of every kind, leaves, and a value that comes late all the same") {
  simulate([]() -> weir::task<> {
    int number = 7;
    auto reference = [&]() -> weir::task<int&> { co_return number; };
    auto late = []() -> weir::task<std::unique_ptr<int>> {
      co_await weir::shielded(weir::sleep_for(50ms));
      co_return std::make_unique<int>(5);
    };
    weir::event never;
    auto [nothing, ref, moved, event] =
        co_await weir::gather(20ms, weir::sleep_for(10ms), reference(), late(), never.wait());
    CHECK(nothing.has_value());
    CHECK(&*ref == &number);
    CHECK(**moved == 5);
    CHECK(event.error() == std::errc::timed_out);
    CHECK(elapsed() == 50);
  });
}

TEST_CASE("gather: none and one in a range, and results in its order") {
  simulate([]() -> weir::task<> {
    std::vector<weir::task<int>> tasks;
    auto none = co_await weir::gather(1s, std::move(tasks));
    CHECK(none.empty());
    std::vector<weir::task<int>> three;
    three.push_back(test::after(30ms, 1));
    three.push_back(test::fail_after(10ms, "two"));
    three.push_back(test::after(2s, 3));
    auto results = co_await weir::gather(1s, std::move(three));
    REQUIRE(results.size() == 3);
    CHECK(*results[0] == 1);
    CHECK(test::unobserved::what(results[1].exception()) == "two");
    CHECK(results[2].error() == std::errc::timed_out);
    std::vector<weir::task<int>> unlimited;
    unlimited.push_back(test::after(1h, 1));
    auto all = co_await weir::gather(std::move(unlimited));
    CHECK(*all[0] == 1);
    // A limit that has passed: what need not wait is there all the same.
    auto at_once = []() -> weir::task<int> { co_return 1; };
    auto [ready, not_ready] = co_await weir::gather(0s, at_once(), test::after(1ms, 2));
    CHECK(*ready == 1);
    CHECK(not_ready.error() == std::errc::timed_out);
  });
}

TEST_CASE("gather: a cancellation from outside goes past it, all are stopped and joined") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    simulate(
        [&]() -> weir::task<> {
          test::log log;
          auto ended = co_await weir::as_result(weir::with_timeout(
              10ms, weir::gather(1s, test::stuck(log, "a"), test::stuck(log, "b"), service("C", 5ms))));
          CHECK(ended.error() == std::errc::timed_out);
          CHECK(test::sorted({static_cast<int>(log.size())}) == std::vector{2});
          CHECK(elapsed() == 10);
        },
        seed);
  }
}

TEST_CASE("gather: on two workers") {
  auto main = []() -> weir::task<> {
    for (int round = 0; round < test::scaled(200, 20); ++round) {
      std::vector<weir::task<int>> tasks;
      for (int i = 0; i < 10; ++i) {
        auto one = [](int n) -> weir::task<int> {
          co_await weir::yield();
          if (n % 3 == 0) throw std::runtime_error("three");
          co_return n;
        };
        tasks.push_back(one(i));
      }
      auto results = co_await weir::gather(10s, std::move(tasks));
      for (int i = 0; i < 10; ++i) CHECK(results[static_cast<std::size_t>(i)].has_value() == (i % 3 != 0));
    }
  };
  weir::run(main(), {.workers = 2});
}
