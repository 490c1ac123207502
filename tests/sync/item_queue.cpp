#include <weir/sync/detail/item_queue.hpp>

#include <string>

#include "support.hpp"

using test::fragile;
using weir::detail::item_queue;

namespace {

template <class T>
T take(item_queue<T>& from) {
  T item = std::move(from.front());
  from.pop_front();
  return item;
}

}  // namespace

TEST_CASE("a ring of any capacity keeps its items in order, round and round") {
  for (const std::size_t capacity : {1u, 2u, 3u, 7u, 64u}) {
    item_queue<std::string> q(capacity);
    int in = 0;
    int out = 0;
    for (unsigned fill = 1; fill <= capacity; ++fill) {
      for (int round = 0; round < 5; ++round) {
        while (q.size() < fill) q.push_back(std::to_string(in++));
        while (q.size() > fill / 2) CHECK(take(q) == std::to_string(out++));
      }
    }
    while (!q.empty()) CHECK(take(q) == std::to_string(out++));
    CHECK(in == out);
  }
}

TEST_CASE("a chain keeps its items in order while it grows and shrinks over many blocks") {
  item_queue<std::string> q(item_queue<std::string>::unlimited);
  int in = 0;
  int out = 0;
  for (const std::size_t high : {1u, 100u, 1000u, 63u, 64u, 65u, 128u, 5000u}) {
    while (q.size() < high) q.push_back(std::to_string(in++));
    while (q.size() > high / 3) REQUIRE(take(q) == std::to_string(out++));
  }
  while (!q.empty()) REQUIRE(take(q) == std::to_string(out++));
  CHECK(in == out);
}

TEST_CASE("large items are chained as well") {
  struct large {
    explicit large(int n) : number(n) {}
    int number;
    std::byte rest[5000]{};
  };
  item_queue<large> q(item_queue<large>::unlimited);
  for (int i = 0; i < 50; ++i) q.push_back(large(i));
  for (int i = 0; i < 50; ++i) REQUIRE(take(q).number == i);
  CHECK(q.empty());
}

TEST_CASE("items lie where their alignment wants them") {
  struct alignas(16) wide {
    explicit wide(int n) : number(n) {}
    int number;
  };
  for (const std::size_t capacity : {std::size_t{3}, item_queue<wide>::unlimited}) {
    item_queue<wide> q(capacity);
    for (int i = 0; i < 500; ++i) {
      q.push_back(wide(i));
      CHECK(reinterpret_cast<std::uintptr_t>(&q.front()) % 16 == 0);
      CHECK(take(q).number == i);
    }
  }
}

TEST_CASE("a chain that goes up and down by less than a block does not allocate") {
  item_queue<int> q(item_queue<int>::unlimited);
  constexpr int some = 500;
  std::uint64_t before = 0;
  for (int round = 0; round < 100; ++round) {
    if (round == 2) before = test::allocations();  // it has its two blocks
    for (int i = 0; i < some; ++i) q.push_back(i);
    for (int i = 0; i < some; ++i) REQUIRE(take(q) == i);
  }
  CHECK(test::allocations() == before);
}

TEST_CASE("a chain that was long gives its blocks back, all but two") {
  item_queue<test::counted> q(item_queue<test::counted>::unlimited);
  const std::uint64_t before = test::frees();
  for (int i = 0; i < 100'000; ++i) q.push_back(test::counted());
  CHECK(test::frees() == before);
  const std::uint64_t grown = test::allocations();
  while (!q.empty()) q.pop_front();
  if (!test::sanitized) CHECK(test::frees() - before >= 40);
  CHECK(test::allocations() == grown);
  CHECK(test::counted::alive == 0);
}

TEST_CASE("what is left in a queue dies with it, and with what it was moved to") {
  for (const std::size_t capacity : {std::size_t{1000}, item_queue<test::counted>::unlimited}) {
    {
      item_queue<test::counted> q(capacity);
      for (int i = 0; i < 900; ++i) q.push_back(test::counted());
      for (int i = 0; i < 300; ++i) q.pop_front();
      CHECK(test::counted::alive == 600);
      const item_queue<test::counted> other(std::move(q));
      CHECK(other.size() == 600);
      CHECK(q.empty());  // NOLINT(bugprone-use-after-move)
      CHECK(test::counted::alive == 600);
    }
    CHECK(test::counted::alive == 0);
  }
}

TEST_CASE("a constructor that throws leaves the queue as it was, wherever in a block that happens") {
  for (const std::size_t capacity : {std::size_t{5}, item_queue<fragile>::unlimited}) {
    item_queue<fragile> q(capacity);
    int in = 0;
    int out = 0;
    for (int i = 0; i < 3000; ++i) {
      fragile item(in);
      if (i % 3 == 0) {
        fragile::break_move(1);
        CHECK_THROWS_AS(q.push_back(std::move(item)), test::broken);
        CHECK(item.value == in);
      }
      q.push_back(std::move(item));
      ++in;
      if (q.size() == 4 || i % 2 == 0) CHECK(take(q).value == out++);
    }
    while (!q.empty()) CHECK(take(q).value == out++);
    CHECK(in == out);
  }
  CHECK(fragile::alive == 0);
}

TEST_CASE("nothing leaks when the constructor throws for the first item of a block, and the queue is then destroyed") {
  const std::uint64_t before = test::allocations() - test::frees();
  for (const bool drained : {false, true}) {
    for (std::size_t size = 0; size < 4096 / sizeof(fragile); ++size) {
      item_queue<fragile> q(item_queue<fragile>::unlimited);
      for (std::size_t i = 0; i < size; ++i) q.push_back(fragile(1));
      while (drained && !q.empty()) q.pop_front();
      fragile item(1);
      fragile::break_move(1);
      CHECK_THROWS_AS(q.push_back(std::move(item)), test::broken);
      CHECK(q.size() == (drained ? 0 : size));
    }
  }
  CHECK(fragile::alive == 0);
  CHECK(test::allocations() - test::frees() == before);
}

TEST_CASE("without room for as many items as are asked for there is no queue") {
  CHECK_THROWS_AS(item_queue<int>(static_cast<std::size_t>(-1) / 2), std::bad_alloc);
  CHECK_THROWS_AS(item_queue<std::string>(static_cast<std::size_t>(-1) / sizeof(std::string)), std::bad_alloc);
}
