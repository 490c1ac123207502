#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>

#include <weir/runtime/detail/hash_table.hpp>
#include <weir/runtime/detail/owned.hpp>

namespace {

using weir::detail::hash_chains;
using weir::detail::hash_link;
using weir::detail::hash_table;
using weir::detail::owned;

template <class Key>
struct entry : hash_link {
  entry(Key of, int holds) : key(std::move(of)), value(std::make_unique<int>(holds)) {}
  const Key key;
  std::unique_ptr<int> value;  // so that a leak is seen
};
template <class Key, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
using table = hash_table<entry<Key>, Hash, Equal>;

template <class Table, class Key>
void put(Table& in, const Key& key, int value) {
  in.insert(owned<entry<Key>>(new entry<Key>(key, value)), in.hash_of(key));
}

// Checks that `tested` has what `expected` has, whichever way one looks.
template <class Table, class Key>
void check_same(const Table& tested, const std::unordered_map<Key, int>& expected) {
  REQUIRE(tested.size() == expected.size());
  for (const auto& [key, value] : expected) {
    const entry<Key>* const found = tested.find(key);
    REQUIRE(found);
    CHECK(*found->value == value);
  }
  std::size_t seen = 0;
  for (const entry<Key>* one = tested.first(); one; one = tested.after(*one)) {
    CHECK(expected.contains(one->key));
    ++seen;
  }
  CHECK(seen == expected.size());
}

struct same_for_all {
  std::size_t operator()(int /*of*/) const { return 7; }
};

}  // namespace

TEST_CASE("hash_table: it has what was inserted and not erased, like std::unordered_map") {
  std::mt19937 random(1);
  const auto run = [&](auto&& tested) {
    std::unordered_map<int, int> expected;
    for (int step = 0; step < 4000; ++step) {
      const int key = static_cast<int>(random() % (step < 1000 ? 5 : 200));  // first in one chain
      if (entry<int>* const found = tested.find(key)) {
        CHECK(expected.erase(key) == 1);
        tested.erase(*found);
      } else {
        CHECK(expected.emplace(key, step).second);
        put(tested, key, step);
      }
      if (step % 100 == 0) check_same(tested, expected);
    }
    check_same(tested, expected);
  };
  SUBCASE("") { run(table<int>()); }
  SUBCASE("with the same hash for all") { run(table<int, same_for_all>()); }
}

TEST_CASE("hash_table: an empty one has nothing, nor one whose entries were all erased") {
  table<std::string> names;
  CHECK(!names.find(std::string("a")));
  CHECK(!names.first());
  put(names, std::string("a"), 1);
  names.erase(*names.find(std::string("a")));
  CHECK(names.size() == 0);
  CHECK(!names.find(std::string("a")));
  CHECK(!names.first());
}

TEST_CASE("hash_table: entries stay where they are while it grows") {
  table<int> numbers;
  put(numbers, -1, 5);
  const entry<int>* const first = numbers.find(-1);
  for (int i = 0; i < 1000; ++i) put(numbers, i, i);
  CHECK(numbers.find(-1) == first);
}

TEST_CASE("hash_table: swap_entries() hands all of them over") {
  table<int> full;
  for (int i = 0; i < 20; ++i) put(full, i, i);
  table<int> other;
  other.swap_entries(full);
  CHECK(full.size() == 0);
  CHECK(!full.find(3));
  CHECK(other.size() == 20);
  CHECK(*other.find(3)->value == 3);
  put(full, 3, 4);
  CHECK(*full.find(3)->value == 4);
}

TEST_CASE("hash_table: numbers with a common step are spread over the chains") {
  // Of 4096 chains for as many random numbers the longest has about seven.
  for (const std::uint64_t shift : {0, 4, 12, 20, 32, 48}) {
    std::size_t most = 0;
    std::unordered_map<std::uint64_t, std::size_t> chains;
    for (std::uint64_t i = 0; i < 4096; ++i) {
      most = std::max(most, ++chains[hash_chains::mixed(i << shift) % 4096]);
    }
    CHECK(most <= 12);
  }
}
