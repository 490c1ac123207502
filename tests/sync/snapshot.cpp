#include <weir/sync/snapshot.hpp>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "support.hpp"

using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::snapshot<int>> && !std::is_move_constructible_v<weir::snapshot<int>>);
static_assert(std::is_nothrow_copy_constructible_v<weir::snapshot_version<int>>);
static_assert(std::is_nothrow_move_constructible_v<weir::snapshot_version<int>>);
static_assert(!std::is_assignable_v<decltype(*std::declval<weir::snapshot_version<int>&>()), int>);
static_assert(noexcept(std::declval<const weir::snapshot<int>&>().load()));

namespace {

/// Two halves that belong together, and a canary that is gone with the object.
class pair_of {
 public:
  explicit pair_of(long n) : a_(n), b_(-n) { ++alive; }
  pair_of(const pair_of& other) : a_(other.a_), b_(other.b_) { ++alive; }
  pair_of& operator=(const pair_of&) = delete;
  ~pair_of() {
    canary_ = 0;
    --alive;
    ++ended;
  }
  void next() {
    ++a_;
    --b_;
  }
  [[nodiscard]] long value() const { return a_; }
  [[nodiscard]] bool whole() const { return a_ + b_ == 0 && canary_ == alive_mark; }

  static inline std::atomic<long> alive{0};
  static inline std::atomic<long> ended{0};

 private:
  static constexpr unsigned alive_mark = 0x5eed1e55;
  long a_;
  unsigned canary_ = alive_mark;
  long b_;
};

}  // namespace

TEST_CASE("snapshot: what was stored is loaded, and what was loaded does not change") {
  weir::snapshot<std::string> s("one");
  const auto first = s.load();
  CHECK(*first == "one");
  CHECK(first->size() == 3);
  CHECK(first == s.load());
  s.store("two");
  CHECK(*first == "one");
  CHECK(*s.load() == "two");
  CHECK(first != s.load());
  s.update([](std::string& text) { text += " and a half"; });
  CHECK(*s.load() == "two and a half");
  const std::size_t length = s.update([](std::string& text) {
    text = "three";
    return text.size();
  });
  CHECK(length == 5);
  const weir::snapshot<int> by_default;
  CHECK(*by_default.load() == 0);
}

TEST_CASE("snapshot: a version ends with the last who holds it, and may outlive the snapshot") {
  test::counted::alive = 0;
  weir::snapshot_version<test::counted> kept;
  CHECK(!kept);
  CHECK(kept.get() == nullptr);
  {
    weir::snapshot<test::counted> s;
    CHECK(test::counted::alive == 1);
    auto a = s.load();
    auto b = a;
    s.store(test::counted());
    CHECK(test::counted::alive == 2);
    a = {};
    CHECK(test::counted::alive == 2);
    b = s.load();
    CHECK(test::counted::alive == 1);
    kept = std::move(b);
    CHECK(!b);
    s.store(test::counted());
    s.store(test::counted());
    CHECK(test::counted::alive == 2);
    kept = s.load();
    CHECK(test::counted::alive == 1);
    auto& same = kept;
    kept = same;
    CHECK(static_cast<bool>(kept));
  }
  CHECK(test::counted::alive == 1);
  kept = {};
  CHECK(test::counted::alive == 0);
}

TEST_CASE("snapshot: values that can only be moved are stored; what throws changes nothing") {
  weir::snapshot<std::unique_ptr<int>> moved(std::make_unique<int>(1));
  moved.store(std::make_unique<int>(2));
  CHECK(**moved.load() == 2);

  test::fragile::alive = 0;
  {
    weir::snapshot<test::fragile> s(test::fragile(1));
    const auto change = [](test::fragile& f) { f.value = 2; };
    test::fragile::break_move(1);
    CHECK_THROWS_AS(s.update(change), test::broken);
    test::fragile next(3);
    test::fragile::break_move(2);
    CHECK_THROWS_AS(s.store(next), test::broken);
    test::fragile::break_move(0);
    CHECK_THROWS_AS(s.update([](test::fragile& f) {
      f.value = 4;
      throw std::runtime_error("half done");
    }),
                    std::runtime_error);
    CHECK(s.load()->value == 1);
    CHECK(test::fragile::alive == 2);
    s.update(change);
    CHECK(s.load()->value == 2);
    CHECK(test::fragile::alive == 2);
  }
  CHECK(test::fragile::alive == 0);
}

TEST_CASE("snapshot: store_if stores what was computed from the current version only") {
  weir::snapshot<int> s(1);
  const auto seen = s.load();
  s.store(1);
  CHECK(!s.store_if(seen, 10));
  CHECK(*s.load() == 1);
  CHECK(s.store_if(s.load(), 11));
  CHECK(*s.load() == 11);
  CHECK(!s.store_if({}, 12));
}

TEST_CASE("P37: a snapshot has one type: another one is refused by the compiler") {
  using of_int = weir::snapshot<int>;
  static_assert(!std::is_invocable_v<decltype(&of_int::store), of_int&, std::string>);
  static_assert(!std::is_convertible_v<decltype(std::declval<of_int&>().load()), weir::snapshot_version<long>>);
  static_assert(std::is_same_v<decltype(*std::declval<of_int&>().load()), const int&>);
}

TEST_CASE("P28: values that belong together change in one step, and are seen so across awaits") {
  simulate([]() -> weir::task<> {
    struct limits {
      int low;
      int high;
    };
    weir::snapshot<limits> s({0, 10});
    bool wrong = false;
    const auto reads = [&]() -> weir::task<> {
      for (int i = 0; i < 100; ++i) {
        const auto now = s.load();
        const int low = now->low;
        co_await weir::yield();
        wrong = wrong || now->low != low || now->high - low != 10;
      }
    };
    const auto writes = [&]() -> weir::task<> {
      for (int i = 0; i < 100; ++i) {
        s.update([](limits& l) {
          ++l.low;
          ++l.high;
        });
        co_await weir::yield();
      }
    };
    co_await weir::when_all(reads(), reads(), writes());
    CHECK(!wrong);
    CHECK(s.load()->low == 100);
  });
}

TEST_CASE("S109: a value computed outside of the lock is written back only if nobody else was faster") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    int lost = 0;
    simulate(
        [&]() -> weir::task<> {
          weir::snapshot<int> total(0);
          int again = 0;
          const auto adds = [&]() -> weir::task<> {
            for (int i = 0; i < 10; ++i) {
              for (;;) {
                const auto seen = total.load();
                co_await weir::yield();  // the computation, during which others write
                if (total.store_if(seen, *seen + 1)) break;
                ++again;
              }
            }
          };
          co_await weir::when_all(adds(), adds(), adds());
          lost = 30 - *total.load();
          CHECK(again > 0);
        },
        seed);
    CAPTURE(seed);
    REQUIRE(lost == 0);
  }
}

TEST_CASE("snapshot: threads: readers see whole values that live, no update is lost, each version ends once") {
  pair_of::alive = 0;
  pair_of::ended = 0;
  const long updates = test::scaled(20000, 1500);
  std::atomic<int> wrong{0};
  std::atomic<long> reads{0};
  {
    weir::snapshot<pair_of> s(pair_of(0));
    std::atomic<int> writers{2};
    const auto read = [&] {
      long last = 0;
      weir::snapshot_version<pair_of> kept;
      for (long i = 0; writers.load(std::memory_order_relaxed) != 0 || i < 100; ++i) {
        auto now = s.load();
        if (!now->whole() || now->value() < last) ++wrong;
        last = now->value();
        if (i % 7 == 0) kept = now;
        if (kept && !kept->whole()) ++wrong;
        ++reads;
      }
    };
    const auto write = [&] {
      for (long i = 0; i < updates; ++i) s.update([](pair_of& p) { p.next(); });
      --writers;
    };
    std::vector<std::thread> threads;
    threads.emplace_back(read);
    threads.emplace_back(read);
    threads.emplace_back(write);
    threads.emplace_back(write);
    for (std::thread& t : threads) t.join();
    CHECK(s.load()->value() == 2 * updates);
    CHECK(pair_of::alive == 1);
  }
  CHECK(wrong == 0);
  CHECK(reads >= 200);
  CHECK(pair_of::alive == 0);
  CHECK(pair_of::ended > 2 * updates);
}

TEST_CASE("snapshot: tasks on several workers read and write one that is made anywhere") {
  for (const weir::runtime_options& options :
       {weir::runtime_options{.workers = 3}, weir::runtime_options{.workers = 1, .confined = true}}) {
    std::atomic<int> wrong{0};
    const int rounds = test::scaled(2000, 200);
    auto main = [&]() -> weir::task<> {
      weir::snapshot<pair_of> s(pair_of(0));
      std::thread outside([&] {
        for (int i = 0; i < rounds; ++i) s.update([](pair_of& p) { p.next(); });
      });
      const auto uses = [&]() -> weir::task<> {
        for (int i = 0; i < rounds; ++i) {
          const auto now = s.load();
          if (i % 4 == 0) s.update([](pair_of& p) { p.next(); });
          co_await weir::yield();
          if (!now->whole()) ++wrong;
        }
      };
      co_await weir::when_all(uses(), uses(), uses());
      outside.join();
      if (s.load()->value() != rounds + 3 * ((rounds + 3) / 4)) ++wrong;
    };
    weir::run(main(), options);
    CHECK(wrong == 0);
  }
}

// ---- the count in the link

namespace {

class linked_object final : public weir::detail::counted_object {
 public:
  explicit linked_object(std::atomic<long>& alive) : alive_(alive) { ++alive_; }
  ~linked_object() {
    mark = 0;
    --alive_;
  }
  static constexpr unsigned living = 0xcafe;
  unsigned mark = living;

 private:
  std::atomic<long>& alive_;
};

void end_if(weir::detail::replaced_object old) {
  if (old.unheld) delete static_cast<linked_object*>(old.object);
}

}  // namespace

TEST_CASE_TEMPLATE("snapshot: the count moves to the object whenever it reaches its limit, and stays right", Link,
                   weir::detail::counted_link<1>, weir::detail::counted_link<2>, weir::detail::counted_link<5>) {
  std::atomic<long> alive{0};
  for (int holders = 0; holders < 100; ++holders) {
    for (int after : {0, 1, holders / 2, holders}) {
      if (after > holders) continue;
      Link link(*new linked_object(alive));
      std::vector<linked_object*> held;
      for (int i = 0; i < holders; ++i) held.push_back(static_cast<linked_object*>(&link.hold()));
      // `after` of them go when it was replaced, the others before.
      while (held.size() > static_cast<std::size_t>(after)) {
        REQUIRE(!held.back()->release());
        held.pop_back();
      }
      end_if(link.replace(*new linked_object(alive)));
      REQUIRE(alive == (held.empty() ? 1 : 2));
      while (!held.empty()) {
        const bool last = held.back()->release();
        REQUIRE(last == (held.size() == 1));
        if (last) delete held.back();
        held.pop_back();
      }
      end_if(link.end());
      REQUIRE(alive == 0);
    }
  }
}

TEST_CASE("snapshot: the count moves while others load and replace, and each object ends once") {
  std::atomic<long> alive{0};
  std::atomic<int> wrong{0};
  const int rounds = test::scaled(100000, 5000);
  {
    weir::detail::counted_link<1> link(*new linked_object(alive));
    const auto read = [&] {
      std::array<linked_object*, 5> held{};
      for (int i = 0; i < rounds; ++i) {
        linked_object*& place = held[static_cast<std::size_t>(i) % held.size()];
        if (place && place->release()) delete place;
        place = static_cast<linked_object*>(&link.hold());
        if (place->mark != linked_object::living) ++wrong;
      }
      for (linked_object* object : held) {
        if (object && object->release()) delete object;
      }
    };
    const auto write = [&] {
      for (int i = 0; i < rounds / 4; ++i) end_if(link.replace(*new linked_object(alive)));
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) threads.emplace_back(read);
    threads.emplace_back(write);
    for (std::thread& t : threads) t.join();
    CHECK(alive == 1);
    end_if(link.end());
  }
  CHECK(alive == 0);
  CHECK(wrong == 0);
}

TEST_CASE("snapshot: more loads than the count has room for") {
  test::counted::alive = 0;
  {
    weir::snapshot<test::counted> s;
    const int loads = test::scaled(1 << 24, 1 << 22) + 5;
    for (int i = 0; i < loads; ++i) static_cast<void>(s.load());
    CHECK(test::counted::alive == 1);
    const auto held = s.load();
    s.store(test::counted());
    CHECK(test::counted::alive == 2);
  }
  CHECK(test::counted::alive == 0);
}
