#include "support.hpp"

using test::simulate;
using weir::async_generator;
using weir::collect;
using weir::for_each;
using weir::from;
using weir::transform;

namespace {

async_generator<int> without_repetitions(async_generator<int> in) {
  std::optional<int> last;
  while (auto n = co_await in.next()) {
    if (last == n) continue;
    last = n;
    co_yield *n;
  }
}

async_generator<test::item> twice(async_generator<test::item> in) {
  while (auto i = co_await in.next()) {
    test::item copy(i->value);
    co_yield std::move(*i);
    co_yield std::move(copy);
  }
}

async_generator<int> first(int count, async_generator<int> in) {
  for (int i = 0; i < count; ++i) {
    auto n = co_await in.next();
    if (!n) break;
    co_yield *n;
  }
}

weir::task<long> sum(async_generator<int> in) {
  long total = 0;
  while (auto n = co_await in.next()) total += *n;
  co_return std::move(total);
}

async_generator<int> noting_end(test::log& seen) {
  const test::mark here(seen, "source");
  for (int i = 0;; ++i) {
    co_await weir::sleep_for(1ms);
    co_yield i;
  }
}

}  // namespace

TEST_CASE("a stage of one's own is a function of a generator, between others") {
  simulate([]() -> weir::task<> {
    auto halved = co_await (from(test::numbers(10)) | transform([](int n) { return n / 2; }) | without_repetitions |
                            transform([](int n) { return 10 * n; }) | collect());
    CHECK(halved == std::vector{0, 10, 20, 30, 40});
    auto pairs = co_await (from(test::items(2)) | twice | collect());
    CHECK(test::values_of(pairs) == std::vector{0, 0, 1, 1});
    auto behind_workers =
        co_await (from(test::numbers(10)) | transform([](int n) { return n / 2; }, {.workers = 3, .ordered = true}) |
                  without_repetitions | weir::batch(2) | collect());
    CHECK(behind_workers == std::vector<std::vector<int>>{{0, 1}, {2, 3}, {4}});
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("a stage of one's own as a lambda, a generic one, and one that refers to what is around it") {
  simulate([]() -> weir::task<> {
    auto doubled = [](auto in) -> async_generator<long> {
      while (auto n = co_await in.next()) co_yield 2L * *n;
    };
    auto all = co_await (from(test::numbers(3)) | doubled | collect());
    CHECK(all == std::vector<long>{0, 2, 4});
    int asked = 0;
    auto counting = [&asked](async_generator<int> in) -> async_generator<int> {
      while (auto n = co_await in.next()) {
        ++asked;
        co_yield *n;
      }
    };
    co_await (from(test::numbers(5)) | counting | for_each([](int) {}));
    CHECK(asked == 5);
  });
}

TEST_CASE("a stage of one's own: a lambda's captures live as long as its generator") {
  simulate([]() -> weir::task<> {
    {
      auto adding = [by = std::make_unique<int>(100),
                     held = test::item(1)](async_generator<int> in) -> async_generator<int> {
        while (auto n = co_await in.next()) {
          co_await weir::sleep_for(1ms);
          co_yield *n + *by;
        }
        CHECK(held.value == 1);
      };
      auto flow = from(test::numbers(3)) | TEST_MOVE_CALLABLE(adding);
      auto all =
          co_await (std::move(flow) | transform([](int n) { return n; }, {.workers = 2, .ordered = true}) | collect());
      CHECK(all == std::vector{100, 101, 102});
    }
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("a stage of one's own of references: what it yields is copied") {
  simulate([]() -> weir::task<> {
    auto kept = [](async_generator<std::string> in) -> async_generator<std::string&> {
      while (auto s = co_await in.next()) {
        std::string here = std::move(*s);
        co_yield here;
        CHECK(here.size() > 20);
      }
    };
    std::vector<std::string> words{"a string too long to be stored in place", "another one, as long as that"};
    auto take = [](std::string s) { return s; };
    auto all = co_await (from(words) | kept | transform(take) | collect());
    CHECK(all == words);
  });
}

TEST_CASE("an end of one's own is a function of a generator that returns a task") {
  simulate([]() -> weir::task<> {
    const long total = co_await (from(test::numbers(5)) | sum);
    CHECK(total == 10);
    auto behind = from(test::numbers(5)) | transform([](int n) { return 2 * n; }, {.workers = 3}) | sum;
    const long doubled = co_await std::move(behind);
    CHECK(doubled == 20);
    int seen = 0;
    auto quiet = [&](async_generator<test::item> in) -> weir::task<> {
      while (auto i = co_await in.next()) seen += i->value;
    };
    co_await (from(test::items(4)) | quiet);
    CHECK(seen == 6);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("stages and ends of one's own can be joined to others before there is a source") {
  simulate([]() -> weir::task<> {
    auto half = transform([](int n) { return n / 2; });
    auto distinct = half | without_repetitions;
    auto total = distinct | sum;
    auto led = without_repetitions | collect();
    for (int round = 0; round < 2; ++round) {
      auto all = co_await (from(test::numbers(6)) | distinct | collect());
      CHECK(all == test::up_to(3));
      const long added = co_await (from(test::numbers(6)) | total);
      CHECK(added == 3);
      const std::vector<int> repeated{1, 1, 2};
      auto plain = co_await (from(repeated) | led);
      CHECK(plain == std::vector{1, 2});
    }
  });
}

TEST_CASE("a stage of one's own that ends early ends the pipeline in good order, whatever feeds it") {
  simulate([]() -> weir::task<> {
    auto three = [](async_generator<int> in) { return first(3, std::move(in)); };
    auto all = co_await (from(test::numbers(1'000'000)) | three | collect());
    CHECK(all == test::up_to(3));
    test::log seen;
    auto endless = co_await (from(noting_end(seen)) | three | collect());
    CHECK(endless == test::up_to(3));
    CHECK(seen == test::log{"source"});
  });
}

// Behind workers there are tasks that would go on for ever.
TEST_CASE("a stage of one's own that ends early stops the workers and sources before it") {
  simulate([]() -> weir::task<> {
    auto three = [](async_generator<int> in) { return first(3, std::move(in)); };
    auto same = [](int n) { return n; };
    for (const bool ordered : {false, true}) {
      test::log seen;
      auto all =
          co_await (from(noting_end(seen)) | transform(same, {.workers = 3, .ordered = ordered}) | three | collect());
      CHECK(all == test::up_to(3));
      CHECK(seen == test::log{"source!"});
      auto merged = co_await (weir::merge(from(noting_end(seen)), from(noting_end(seen))) | three | collect());
      CHECK(merged.size() == 3);
      CHECK(seen.size() == 3);
    }
  });
}

TEST_CASE("a stage of one's own: what it throws, as a coroutine or before it is one, ends the pipeline") {
  simulate([]() -> weir::task<> {
    auto late = [](async_generator<test::item> in) -> async_generator<test::item> {
      while (auto i = co_await in.next()) {
        if (i->value == 3) throw std::runtime_error("late");
        co_yield std::move(*i);
      }
    };
    bool refuses = true;
    auto early = [&](async_generator<test::item> in) -> async_generator<test::item> {
      if (refuses) throw std::runtime_error("early");
      return in;
    };
    auto same = [](test::item i) { return i; };
    auto how = co_await test::how_it_ends(from(test::items(9)) | late | for_each([](test::item) {}));
    CHECK(how == "late");
    how = co_await test::how_it_ends(from(test::items(9)) | transform(same, {.workers = 2}) | early |
                                     for_each([](test::item) {}));
    CHECK(how == "early");
    CHECK(test::counted::alive == 0);
  });
}
