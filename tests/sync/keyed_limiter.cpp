#include <weir/sync/keyed_limiter.hpp>

#include <atomic>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <weir/sync/limiter_hierarchy.hpp>
#include <weir/sync/rate_limiter.hpp>
#include <weir/sync/select.hpp>
#include <weir/sync/window_limiters.hpp>

#include "support.hpp"

using test::at;
using test::settle;
using test::simulate;

namespace {

using per_user = weir::keyed_limiter<std::string, weir::rate_limiter>;
using per_number = weir::keyed_limiter<std::uint64_t, weir::rate_limiter>;

weir::rate_limiter ten_a_second() { return weir::rate_limiter(10, 1s, 5); }

}  // namespace

static_assert(!std::is_copy_constructible_v<per_user> && !std::is_copy_constructible_v<per_user::handle>);

TEST_CASE("keyed_limiter: each key has its own tokens (S101)") {
  simulate([]() -> weir::task<> {
    per_user users{ten_a_second};
    for (int i = 0; i < 5; ++i) CHECK(users.try_acquire("alice"));
    CHECK(!users.try_acquire("alice"));
    CHECK(users.try_acquire("bob"));
    co_await users.acquire("alice");
    CHECK(weir::now() == at(100ms));
    CHECK(users.size() == 2);
    CHECK(users.at("bob")->available() == 5);
    const auto r = co_await weir::as_result(users.acquire("bob", 6));
    CHECK(r.error() == std::errc::invalid_argument);
    const auto late = co_await weir::as_result(weir::with_timeout(10ms, users.acquire("alice", 5)));
    CHECK(late.error() == std::errc::timed_out);
  });
}

TEST_CASE("keyed_limiter: the key may decide what its limiter is (S102)") {
  simulate([]() -> weir::task<> {
    auto by_plan = [](const std::string& tenant) {
      if (tenant.starts_with("free")) return weir::rate_limiter(10, 1s, 10);
      if (tenant.starts_with("pro")) return weir::rate_limiter(100, 1s, 100);
      return weir::rate_limiter(1000, 1s, 1000);
    };
    weir::keyed_limiter<std::string, weir::rate_limiter> tenants{by_plan};
    CHECK(tenants.at("free-1")->most() == 10);
    CHECK(tenants.at("pro-1")->most() == 100);
    CHECK(tenants.at("enterprise")->most() == 1000);
    co_return;
  });
}

TEST_CASE("keyed_limiter: keys that are at rest are forgotten as others come, and that changes nothing (P65, D50)") {
  simulate([]() -> weir::task<> {
    per_number users{ten_a_second};
    std::size_t most = 0;
    for (std::uint64_t key = 0; key < 20000; ++key) {
      CHECK(users.try_acquire(key));
      co_await weir::sleep_for(1ms);
      most = std::max(most, users.size());
    }
    // A limiter that has given one token is at rest after 100 ms: a hundred keys are in use, sixteen parts.
    CHECK(most < 600);
    co_await weir::sleep_for(1s);
    users.forget_idle();
    CHECK(users.size() == 0);
  });
}

TEST_CASE("keyed_limiter: a key that is not at rest, or that somebody waits for, is kept") {
  simulate([]() -> weir::task<> {
    per_number users{ten_a_second};
    CHECK(users.try_acquire(1, 5));
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&]() -> weir::task<> { co_await users.acquire(1, 5); };
      g.spawn(child);
      co_await settle();
      const auto two = users.at(2);
      users.forget_idle();
      CHECK(users.size() == 2);
      co_await g.join();
      CHECK(weir::now() == at(500ms));
    };
    co_await weir::with_task_group(body);
    users.forget_idle();
    CHECK(users.size() == 1);  // it has no tokens
    CHECK(!users.try_acquire(1));
  });
}

TEST_CASE("keyed_limiter: no more keys than it may have, and the ones in use stay") {
  simulate([]() -> weir::task<> {
    per_number users{[] { return weir::rate_limiter(1, 1h, 1); }, {.most_keys = 160}};
    const auto held = users.at(123456789);
    CHECK(held->try_acquire());
    for (std::uint64_t key = 0; key < 5000; ++key) {
      CHECK(users.try_acquire(key));
      // Whoever comes all the time is not the one that was not used for longest.
      CHECK(users.try_acquire(1000000) == (key == 0));
    }
    CHECK(users.size() <= 176);
    CHECK(users.size() >= 100);
    CHECK(!users.try_acquire(123456789));
    co_return;
  });
}

TEST_CASE("keyed_limiter: when a limiter cannot be made, who came is told and the next one tries again") {
  bool broken = true;
  auto make = [&](const std::string&) {
    if (broken) throw std::runtime_error("no plan");
    return weir::sliding_window_limiter(2, 1s);
  };
  weir::keyed_limiter<std::string, weir::sliding_window_limiter> tenants{make};
  CHECK_THROWS_WITH(static_cast<void>(tenants.try_acquire("a")), "no plan");
  CHECK(tenants.size() == 0);
  broken = false;
  CHECK(tenants.try_acquire("a"));
}

TEST_CASE("keyed_limiter: works in a select and in a hierarchy") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter everybody(1, 10ms, 8);
    per_user users{ten_a_second};
    {
      const auto alice = users.at("alice");
      const weir::limiter_hierarchy levels(everybody, *alice);
      co_await levels.acquire(5);
    }
    CHECK(everybody.available() == 3);
    auto chosen = co_await weir::select(users.acquire("alice"), weir::sleep_for(50ms));
    CHECK(chosen.index() == 1);
    auto again = co_await weir::select(users.acquire("alice"), weir::sleep_for(60ms));
    CHECK(again.index() == 0);
    CHECK(weir::now() == at(100ms));
  });
}

TEST_CASE("keyed_limiter: threads and tasks: no token too many, whatever comes and goes") {
  constexpr std::uint64_t keys = 64;
  weir::keyed_limiter<std::uint64_t, weir::rate_limiter> users{[] { return weir::rate_limiter(1, 1h, 3); },
                                                               {.most_keys = 2000}};
  std::array<std::atomic<int>, keys> granted{};
  auto task = [&](std::uint64_t salt) -> weir::task<> {
    for (std::uint64_t i = 0; i < keys * 10; ++i) {
      const std::uint64_t key = (i * 7 + salt) % keys;
      if (i % 3 == 0) {
        const auto r = co_await weir::as_result(weir::with_timeout(1ms, users.acquire(key)));
        if (r.has_value()) ++granted[key];
      } else if (users.try_acquire(key)) {
        ++granted[key];
      }
      if (i % 5 == 0) co_await weir::yield();
    }
  };
  auto main = [&]() -> weir::task<> { co_await weir::when_all(task(1), task(2), task(3)); };
  {
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) threads.emplace_back([&] { weir::run(main(), {.workers = 2}); });
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; i < 500; ++i) {
        if (users.try_acquire(i % keys)) ++granted[i % keys];
        users.forget_idle();
      }
    });
    for (std::thread& t : threads) t.join();
  }
  for (std::uint64_t key = 0; key < keys; ++key) CHECK(granted[key] == 3);
}
