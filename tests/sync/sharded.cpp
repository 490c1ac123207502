#include <weir/sync/sharded.hpp>

#include <atomic>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "../skip.hpp"
#include "support.hpp"

using test::settle;
using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::sharded<int>> && !std::is_move_constructible_v<weir::sharded<int>>);
static_assert(!std::is_copy_constructible_v<weir::sharded<int, std::mutex>>);
static_assert(!std::is_copy_constructible_v<weir::shard_guard<int>>);
static_assert(std::is_nothrow_move_constructible_v<weir::shard_guard<int>>);

namespace {

/// Two keys of one shard, and one of another.
struct three_keys {
  int a = 0;
  int beside_a = 0;
  int elsewhere = 0;
};
template <class S>
three_keys pick(const S& s) {
  three_keys keys;
  while (s.shard_of(++keys.beside_a) != s.shard_of(keys.a)) {
  }
  while (s.shard_of(++keys.elsewhere) == s.shard_of(keys.a)) {
  }
  return keys;
}

struct place {
  int x;
  int y;
};
struct hash_of_place {
  std::size_t operator()(const place& p) const { return static_cast<std::size_t>(p.x * 31 + p.y); }
};

}  // namespace

TEST_CASE("S110: there are 16 shards unless told, rounded up to a power of two") {
  CHECK(weir::sharded<int>().shard_count() == 16);
  CHECK(weir::sharded<int>(20).shard_count() == 32);
  CHECK(weir::sharded<int>(1).shard_count() == 1);
  CHECK(weir::sharded<int>(0).shard_count() == 1);
  CHECK(weir::sharded<int, std::mutex>().shard_count() == 16);
  CHECK(weir::sharded<int, std::mutex>(3).shard_count() == 4);
}

TEST_CASE("sharded: keys that differ little are spread evenly, and equal ones find the same shard") {
  const weir::sharded<int> s;
  const auto even = [&](auto key_of) {
    std::vector<int> count(s.shard_count());
    for (int i = 0; i < 1600; ++i) ++count[s.shard_of(key_of(i))];
    for (const int n : count) CHECK((n > 50 && n < 150));
  };
  even([](int i) { return i; });
  even([](int i) { return i * 16; });
  even([](int i) { return static_cast<long>(i) << 32; });
  even([](int i) { return "user-" + std::to_string(i); });
  std::vector<std::unique_ptr<long>> objects;
  even([&](int) { return objects.emplace_back(std::make_unique<long>()).get(); });
  for (const char* text : {"", "a", "a longer string than fits into the object itself"}) {
    CHECK(s.shard_of(text) == s.shard_of(std::string(text)));
    CHECK(s.shard_of(text) == s.shard_of(std::string_view(text)));
  }
  const weir::sharded<int, weir::mutex, hash_of_place> places;
  CHECK(places.shard_of(place{1, 2}) == places.shard_of(place{1, 2}));
}

TEST_CASE("P35: each shard stands on cache lines of its own") {
  weir::sharded<char, std::mutex> s;
  std::vector<std::uintptr_t> addresses;
  s.for_each([&](char& c) { addresses.push_back(reinterpret_cast<std::uintptr_t>(&c)); });
  REQUIRE(addresses.size() == 16);
  for (std::size_t i = 1; i < addresses.size(); ++i) CHECK(addresses[i] - addresses[i - 1] >= 128);
}

TEST_CASE("sharded: a guard holds one shard across awaits; the others are free") {
  simulate([]() -> weir::task<> {
    weir::sharded<std::map<int, int>> s;
    const three_keys keys = pick(s);
    auto guard = co_await s.lock(keys.a);
    (*guard)[keys.a] = 1;
    CHECK(guard->size() == 1);
    {
      const auto other = co_await s.lock(keys.elsewhere);
      CHECK(other->empty());
    }
    auto none = s.try_lock(keys.beside_a);
    CHECK(!none);
    auto moved = std::move(guard);
    CHECK(!guard);
    const auto late = co_await weir::as_result(weir::with_timeout(1ms, s.lock(keys.beside_a)));
    CHECK(late.error() == std::errc::timed_out);
    moved.unlock();
    CHECK(!moved);
    none = s.try_lock(keys.beside_a);
    REQUIRE(static_cast<bool>(none));
    CHECK(none->size() == 1);
  });
}

TEST_CASE("sharded: who waits for a shard has it first come, first served") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::sharded<int> s(1);
    auto held = co_await s.lock(0);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      const auto locks = [&](std::string name) -> weir::task<> {
        const auto guard = co_await s.lock(name);
        seen.push_back(name);
        co_await weir::yield();
      };
      const auto uses = [&](std::string name) -> weir::task<> {
        co_await s.with(name, [&](int&) { seen.push_back(name); });
      };
      g.spawn(locks, "a");
      co_await settle();
      g.spawn(uses, "b");
      co_await settle();
      g.spawn(locks, "c");
      co_await settle();
      CHECK(seen.empty());
      held.unlock();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
  });
  CHECK(seen == test::log{"a", "b", "c"});
}

TEST_CASE("sharded: with gives back what its callable returns or throws, and releases the shard") {
  simulate([]() -> weir::task<> {
    weir::sharded<std::vector<int>> s(1);
    const std::size_t size = co_await s.with(1, [](std::vector<int>& v) {
      v.push_back(1);
      return v.size();
    });
    CHECK(size == 1);
    const auto fails = [](std::vector<int>&) -> int { throw std::runtime_error("no"); };
    const auto r = co_await weir::as_result(s.with(1, fails));
    CHECK(!r.has_value());
    auto moved = co_await s.with(1, [](std::vector<int>& v) { return std::make_unique<int>(v.at(0)); });
    CHECK(*moved == 1);
    auto kept = std::make_unique<int>(7);
    const auto taking = [&](std::vector<int>& v) { v.push_back(*kept); };
    co_await s.with(1, taking);
    CHECK(s.try_lock(1)->back() == 7);
  });
}

TEST_CASE("sharded: a stop while waiting calls nothing; what was handed over before the stop is delivered") {
  simulate([]() -> weir::task<> {
    weir::sharded<int> s(1);
    weir::cancellation_source source;
    source.request_cancellation();
    const auto add = [](int& n) { ++n; };
    const auto before = co_await weir::as_result(weir::with_cancellation(source.token(), s.with(0, add)));
    CHECK(before.is_cancelled());
    auto held = s.try_lock(0);
    const auto late = co_await weir::as_result(weir::with_timeout(1ms, s.with(0, add)));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(*held == 0);

    weir::cancellation_source at_once;
    bool delivered = false;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      const auto child = [&]() -> weir::task<> {
        const auto r = co_await weir::as_result(weir::with_cancellation(at_once.token(), s.with(0, add)));
        delivered = r.has_value();
      };
      g.spawn(child);
      co_await settle();
      held.unlock();
      at_once.request_cancellation();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(delivered);
    const auto guard = s.try_lock(0);
    CHECK(static_cast<bool>(guard));
    CHECK(*guard == 1);
  });
}

TEST_CASE("sharded: for_each visits each shard once, under its lock, and can be stopped in between") {
  simulate([]() -> weir::task<> {
    weir::sharded<int> s(8);
    int visits = 0;
    co_await s.for_each([&](int& n) { n = ++visits; });
    CHECK(visits == 8);
    const int sum = 36;
    int total = 0;
    const auto add = [&](int& n) { total += n; };
    co_await s.for_each(add);
    CHECK(total == sum);
    int before = 0;
    const auto fails = [&](int&) {
      if (++before == 3) throw std::runtime_error("no");
    };
    const auto r = co_await weir::as_result(s.for_each(fails));
    CHECK(!r.has_value());
    CHECK(before == 3);

    int key = 0;
    while (s.shard_of(key) != 4) ++key;
    auto held = s.try_lock(key);
    int until = 0;
    const auto counts = [&](int&) { ++until; };
    const auto late = co_await weir::as_result(weir::with_timeout(1ms, s.for_each(counts)));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(until == 4);
    held.unlock();
    co_await s.for_each(counts);
    CHECK(until == 12);
  });
}

TEST_CASE("P34: to look and to act in one section computes a missing value once") {
  long twice_apart = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    int computed = 0;
    int apart = 0;
    simulate(
        [&]() -> weir::task<> {
          weir::sharded<std::map<std::string, int>> cache;
          const auto asks = [&](std::string key) -> weir::task<> {
            const int value = co_await cache.with(key, [&](auto& map) {
              const auto [at, fresh] = map.try_emplace(key, 0);
              if (fresh) at->second = ++computed;
              return at->second;
            });
            CHECK(value == 1);
          };
          // What is wrong: others come in between.
          const auto asks_in_two_sections = [&](std::string key) -> weir::task<> {
            const bool there = co_await cache.with(key, [&](auto& map) { return map.contains(key); });
            if (there) co_return;
            co_await weir::yield();
            co_await cache.with(key, [&](auto& map) { map[key] = ++apart; });
          };
          co_await weir::when_all(asks("a"), asks("a"), asks("a"), asks("a"));
          co_await weir::when_all(asks_in_two_sections("b"), asks_in_two_sections("b"), asks_in_two_sections("b"));
        },
        seed);
    CAPTURE(seed);
    REQUIRE(computed == 1);
    twice_apart += apart - 1;
  }
  CHECK(twice_apart > 0);  // so the first half could have failed
}

TEST_CASE("P34: a value that takes an await to compute is computed once while the guard is held") {
  simulate([]() -> weir::task<> {
    weir::sharded<std::map<int, int>> cache;
    int computed = 0;
    const auto asks = [&]() -> weir::task<> {
      auto shard = co_await cache.lock(5);
      if (!shard->contains(5)) {
        co_await weir::sleep_for(1ms);
        shard->emplace(5, ++computed);
      }
    };
    co_await weir::when_all(asks(), asks(), asks());
    CHECK(computed == 1);
  });
}

TEST_CASE("sharded: seeds: no two are inside of one shard, none is lost, whoever is stopped") {
  long inside_twice = 0;
  long together = 0;
  long stops = 0;
  const std::uint64_t seeds = test::scaled(3000, 300);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    test::dice dice(seed);
    struct room {
      int inside = 0;
      long visits = 0;
    };
    weir::sharded<room> s(4);
    std::vector<weir::cancellation_source> sources(5);
    int inside = 0;
    long visits = 0;
    struct resident {
      int& here;
      int& all;
      resident(int& h, int& a) : here(h), all(a) { ++here, ++all; }
      resident(const resident&) = delete;
      resident& operator=(const resident&) = delete;
      ~resident() { --here, --all; }
    };
    auto stays = [&]() -> weir::task<> {
      const unsigned key = dice.roll(12);
      if (dice.roll(3) == 0) {
        co_await s.with(key, [&](room& r) {
          if (r.inside != 0) ++inside_twice;
          ++r.visits;
          ++visits;
        });
      } else {
        auto guard = co_await s.lock(key);
        const resident here(guard->inside, inside);
        if (guard->inside != 1) ++inside_twice;
        if (inside > 1) ++together;
        ++guard->visits;
        ++visits;
        co_await weir::sleep_for(weir::duration(dice.roll(3)));
      }
    };
    auto comes = [&](weir::cancellation_source& source) -> weir::task<> {
      for (int i = 0; i < 4; ++i) {
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), stays()));
        if (!r.has_value()) ++stops;
      }
    };
    auto cancels = [&](weir::cancellation_source& other) -> weir::task<> {
      co_await weir::sleep_for(weir::duration(dice.roll(6)));
      other.request_cancellation();
    };
    auto body = [&](weir::task_group& g) {
      for (auto& source : sources) g.spawn(comes, std::ref(source));
      g.spawn(cancels, std::ref(sources[dice.roll(5)]));
    };
    simulate([&] { return test::together(body); }, seed);
    long counted = 0;
    for (int key = 0; key < 100; ++key) {
      auto guard = s.try_lock(key);
      REQUIRE(static_cast<bool>(guard));
      counted += std::exchange(guard->visits, 0);
    }
    CAPTURE(seed);
    REQUIRE(counted == visits);
  }
  CHECK(inside_twice == 0);
  CHECK(together > static_cast<long>(seeds / 2));
  CHECK(stops > static_cast<long>(seeds / 2));
}

TEST_CASE("S110: a cache of 16 shards, used by tasks of two runtimes and by threads at once") {
  weir::sharded<std::unordered_map<int, long>> cache;
  const int rounds = test::scaled(4000, 300);
  constexpr int keys = 50;
  const auto add = [](int key) { return [key](auto& map) { ++map[key]; }; };
  auto task = [&](int first) -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      const int key = (first + i) % keys;
      if (i % 5 == 0) {
        auto guard = co_await cache.lock(key);
        const long before = (*guard)[key];
        co_await weir::yield();
        (*guard)[key] = before + 1;
      } else {
        const auto one = add(key);
        co_await cache.with(key, one);
      }
    }
  };
  auto main = [&]() -> weir::task<> { co_await weir::when_all(task(0), task(7), task(31)); };
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) threads.emplace_back([&] { weir::run(main(), {.workers = 2}); });
  threads.emplace_back([&] {
    for (int i = 0; i < rounds; ++i) ++(*cache.lock_blocking(i % keys))[i % keys];
  });
  for (std::thread& t : threads) t.join();
  long sum = 0;
  for (int key = 0; key < keys; ++key) sum += (*cache.try_lock(key))[key];
  CHECK(sum == 7L * rounds);
}

TEST_CASE("P35: sharded with std::mutex: plain calls from tasks and threads lose nothing") {
  weir::sharded<std::map<std::string, long>, std::mutex> hits;
  const int rounds = test::scaled(5000, 500);
  const auto uses = [&](int first) {
    for (int i = 0; i < rounds; ++i) {
      const std::string path = "/" + std::to_string((first + i) % 40);
      hits.with(path, [&](auto& map) { ++map[path]; });
    }
  };
  auto main = [&]() -> weir::task<> {
    const auto task = [&](int first) -> weir::task<> {
      uses(first);
      co_return;
    };
    co_await weir::when_all(task(0), task(3));
  };
  std::thread other([&] { uses(11); });
  weir::run(main(), {.workers = 2});
  other.join();
  long sum = 0;
  std::set<std::string> seen;
  hits.for_each([&](const auto& map) {
    for (const auto& [path, n] : map) {
      sum += n;
      CHECK(seen.insert(path).second);
    }
  });
  CHECK(sum == 3L * rounds);
  CHECK(seen.size() == 40);
  CHECK(hits.with("/1", [](auto& map) { return map.size(); }) > 0);
  CHECK_THROWS_AS(hits.with("/1", [](auto&) { throw std::runtime_error("no"); }), std::runtime_error);
  hits.with("/1", [](auto& map) { map.clear(); });
}

TEST_CASE("sharded: lock_blocking on a worker throws where it would have to wait") {
  simulate([]() -> weir::task<> {
    weir::sharded<int> s;
    auto held = s.lock_blocking(1);
    CHECK_THROWS_AS(static_cast<void>(s.lock_blocking(1)), std::logic_error);
    held.unlock();
    co_await s.with(1, [](int&) {});
  });
}

TEST_CASE("sharded: using it allocates nothing") {
  simulate([]() -> weir::task<> {
    weir::sharded<int> s(2);
    const std::uint64_t before = test::allocations();
    for (int i = 0; i < 100; ++i) {
      const auto guard = co_await s.lock(i);
      ++*guard;
    }
    for (int i = 0; i < 100; ++i) co_await s.with(i, [](int& n) { ++n; });
    CHECK(test::allocations() == before);
  });
}

TEST_CASE("sharded: one that was made on a confined worker serves its tasks, and nobody else") {
  auto main = []() -> weir::task<> {
    weir::sharded<int> s(1);
    const auto adds = [&]() -> weir::task<> {
      for (int i = 0; i < 50; ++i) {
        auto guard = co_await s.lock(i);
        const int before = *guard;
        co_await weir::yield();
        *guard = before + 1;
      }
    };
    co_await weir::when_all(adds(), adds());
    CHECK(*s.try_lock(0) == 100);
  };
  weir::run(main(), {.workers = 1, .confined = true});
  CHECK(test::last_words_of([] {
          auto misuse = []() -> weir::task<> {
            weir::sharded<int> s;
            std::thread other([&] { static_cast<void>(s.try_lock(1)); });
            other.join();
            co_return;
          };
          weir::run(misuse(), {.workers = 1, .confined = true});
        }).find("made on a confined worker") != std::string::npos);
}

TEST_CASE("sharded: locking a shard again, and destroying one that is held, are told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            weir::sharded<int> s;
            const auto guard = co_await s.lock(1);
            const auto again = co_await s.lock(1);
          });
        }).find("a task locks a mutex that it already holds") != std::string::npos);
  CHECK(test::last_words_of([] {
          auto s = std::make_unique<weir::sharded<int>>();
          const auto guard = s->try_lock(1);
          s.reset();
        }).find("a mutex was destroyed while somebody holds it") != std::string::npos);
#endif
}
