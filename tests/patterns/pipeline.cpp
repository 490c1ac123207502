#include <map>

#include "../skip.hpp"
#include "support.hpp"

// Pipelines as a whole: stages as values, failures and cancellations at every place and moment, what is bounded, and
// what comes out under any choice of who runs.

using test::simulate;
using weir::async_generator;
using weir::batch;
using weir::collect;
using weir::filter;
using weir::for_each;
using weir::from;
using weir::merge;
using weir::transform;

namespace {

/// Where a pipeline of all kinds of stages fails, and at which item.
struct fault {
  std::string place;
  int value = -1;

  void at(const char* here, int number) const {
    if (number == value && place == here) throw std::runtime_error(here);
  }
};

const std::vector<std::string> places{"source", "other source", "step",           "filter", "in line",
                                      "worker", "own stage",    "ordered worker", "end"};

/// Every kind of stage at once. Numbers 0 to n - 1 come from one source, n to n + n/2 - 1 from another.
class everything {
 public:
  everything(std::uint64_t seed, fault where, int n) : where_(std::move(where)), n_(n), dice_(seed) {}

  weir::task<> run() {
    auto step = [this](test::item i) {
      where_.at("step", i.value);
      return i;
    };
    auto wanted = [this](const test::item& i) {
      where_.at("filter", i.value);
      return i.value % 5 != 4;
    };
    auto in_line = [this](test::item i) -> weir::task<test::item> {
      co_await some_time();
      where_.at("in line", i.value);
      co_return std::move(i);
    };
    auto worker = [this](test::item i) -> weir::task<test::item> {
      co_await some_time();
      where_.at("worker", i.value);
      co_return std::move(i);
    };
    auto own = [this](async_generator<test::item> in) -> async_generator<test::item> {
      while (auto i = co_await in.next()) {
        where_.at("own stage", i->value);
        co_yield std::move(*i);
      }
    };
    auto ordered = [this](test::item i) -> weir::task<test::item> {
      co_await some_time();
      where_.at("ordered worker", i.value);
      co_return std::move(i);
    };
    auto end = [this](std::vector<test::item> group) -> weir::task<> {
      CHECK(!group.empty());
      CHECK(group.size() <= 4);
      co_await some_time();
      for (const test::item& i : group) {
        where_.at("end", i.value);
        out.push_back(i.value);
      }
    };
    auto one = from(source("source", 0, n_)) | transform(step) | filter(wanted) | transform(in_line) |
               transform(worker, {.workers = 3, .buffer = 2}) | own |
               transform(ordered, {.workers = 3, .buffer = 2, .ordered = true});
    auto other = from(source("other source", n_, n_ / 2));
    co_await (merge(std::move(one), std::move(other)) | batch(4, 3us) | for_each(end, {.workers = 2, .buffer = 1}));
  }

  [[nodiscard]] std::vector<int> expected() const {
    std::vector<int> all;
    for (int i = 0; i < n_; ++i) {
      if (i % 5 != 4) all.push_back(i);
    }
    for (int i = n_; i < n_ + n_ / 2; ++i) all.push_back(i);
    return all;
  }

  std::vector<int> out;

 private:
  async_generator<test::item> source(const char* name, int first, int n) {
    for (int i = first; i < first + n; ++i) {
      co_await some_time();
      where_.at(name, i);
      co_yield test::item(i);
    }
  }
  weir::task<> some_time() {
    switch (dice_.roll(3)) {
      case 0:
        co_await weir::yield();
        break;
      case 1:
        co_await weir::sleep_for(dice_.roll(4) * 1us);
        break;
      default:
        break;
    }
  }

  fault where_;
  int n_;
  test::dice dice_;
};

bool is_part_of(std::vector<int> some, std::vector<int> all) {
  std::sort(some.begin(), some.end());
  std::sort(all.begin(), all.end());
  return std::includes(all.begin(), all.end(), some.begin(), some.end());
}

/// Throws when it is moved for the n-th time; `counted` tells how many live.
class fragile {
 public:
  explicit fragile(int number) : value(number) {}
  fragile(fragile&& other) : value(other.value) {
    if (moves_left-- == 0) throw std::runtime_error("move");
  }
  fragile& operator=(fragile&&) = delete;
  fragile(const fragile&) = delete;
  ~fragile() = default;

  int value;
  static inline int moves_left = 0;

 private:
  test::counted life_;
};

async_generator<fragile> fragile_items(int n) {
  for (int i = 0; i < n; ++i) co_yield fragile(i);
}

}  // namespace

TEST_CASE("pipeline: stages are values: named, stored, copied, used in several pipelines") {
  simulate([]() -> weir::task<> {
    struct stages {
      decltype(transform(std::declval<int (*)(int)>())) step;
      decltype(batch(2)) pairs;
    };
    int (*const increment)(int) = [](int n) { return n + 1; };
    const stages named{transform(increment), batch(2)};
    const auto copy = named;
    auto one = co_await (from(test::numbers(3)) | named.step | named.step | named.pairs | collect());
    CHECK(one == std::vector<std::vector<int>>{{2, 3}, {4}});
    auto other = co_await (from(test::numbers(2)) | copy.step | copy.pairs | collect());
    CHECK(other == std::vector<std::vector<int>>{{1, 2}});
  });
}

TEST_CASE("pipeline: stages are joined before there is a source, in any grouping, up to the end") {
  simulate([]() -> weir::task<> {
    auto increment = transform([](int n) { return n + 1; });
    auto even = filter([](int n) { return n % 2 == 0; });
    auto slow = transform(
        [](int n) -> weir::task<int> {
          co_await weir::sleep_for(1ms);
          co_return std::move(n);
        },
        {.workers = 2, .ordered = true});
    auto left = (increment | even) | slow;
    auto right = increment | (even | slow);
    auto whole = left | collect();
    auto twice = left | right | collect();
    for (int round = 0; round < 2; ++round) {
      auto a = co_await (from(test::numbers(6)) | left | collect());
      auto b = co_await (from(test::numbers(6)) | right | collect());
      auto c = co_await (from(test::numbers(6)) | whole);
      CHECK(a == std::vector{2, 4, 6});
      CHECK(b == a);
      CHECK(c == a);
      auto d = co_await (from(test::numbers(6)) | twice);
      CHECK(d.empty());
    }
    int seen = 0;
    const auto end = increment | for_each([&](int n) { seen += n; });
    co_await (from(test::numbers(3)) | end);
    CHECK(seen == 6);
  });
}

TEST_CASE("pipeline: a stage of what can only be moved is moved into its pipeline, also when it was joined") {
  simulate([]() -> weir::task<> {
    auto adds = [by = std::make_unique<int>(1)](int n) { return n + *by; };
    auto below = [bound = std::make_unique<int>(3)](int n) { return n < *bound; };
    auto adding = transform(TEST_MOVE_CALLABLE(adds));
    auto bounded = filter(TEST_MOVE_CALLABLE(below));
    auto joined = std::move(adding) | std::move(bounded);
    auto all = co_await (from(test::numbers(5)) | std::move(joined) | collect());
    CHECK(all == std::vector{1, 2});
  });
}

TEST_CASE("pipeline: a source is named and moved on") {
  simulate([]() -> weir::task<> {
    auto source = from(test::items(3));
    auto behind = std::move(source) | transform([](test::item i) { return i.value; });
    auto pipeline = std::move(behind) | collect();
    auto all = co_await std::move(pipeline);
    CHECK(all == test::up_to(3));
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("pipeline: one that is never awaited destroys what it was given, and has read nothing") {
  {
    std::vector<test::item> given;
    given.emplace_back(1);
    auto held = [owned = test::item(2)](const test::item& i) { return i.value == owned.value; };
    auto source = from(std::move(given)) | filter(TEST_MOVE_CALLABLE(held)) |
                  transform([](test::item i) { return i; }, {.workers = 2});
    auto task = std::move(source) | for_each([](test::item) { FAIL("ran"); });
    CHECK(static_cast<bool>(task));
  }
  CHECK(test::counted::alive == 0);
}

TEST_CASE("pipeline: one inside the stage of another") {
  simulate([]() -> weir::task<> {
    auto sum_up_to = [](int n) -> weir::task<int> {
      int total = 0;
      co_await (from(test::numbers(n + 1)) | transform([](int i) { return i; }, {.workers = 2}) |
                for_each([&](int i) { total += i; }));
      co_return std::move(total);
    };
    auto all = co_await (from(test::numbers(6)) | transform(sum_up_to, {.workers = 3, .ordered = true}) | collect());
    CHECK(all == std::vector{0, 1, 3, 6, 10, 15});
  });
}

TEST_CASE("pipeline: whatever stage fails, the others end, nothing is left alive, and the failure comes out") {
  for (const std::string& place : places) {
    for (const int value : {0, 1, 7, 12, 20, 25}) {
      for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(12, 3)); ++seed) {
        CAPTURE(place);
        CAPTURE(value);
        CAPTURE(seed);
        const test::unobserved none;
        std::string how;
        everything pipeline(seed, {place, value}, 20);
        test::simulate_reporting(
            [&]() -> weir::task<> {
              how = co_await test::how_it_ends(pipeline.run());
              CHECK(test::counted::alive == 0);
            },
            seed);
        const bool met = place == "other source" ? value >= 20 : place == "end" ? true : value < 20;
        CHECK(how == (met ? place : std::string()));
        CHECK(is_part_of(pipeline.out, pipeline.expected()));
        CHECK(test::counted::alive == 0);
        CHECK(test::unobserved::take().empty());
      }
    }
  }
}

TEST_CASE("pipeline: cancelled at any moment, it stops, and nothing is left alive") {
  int stopped = 0;
  int completed = 0;
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(8, 2)); ++seed) {
    for (int moment = 0; moment < 90; ++moment) {
      everything pipeline(seed, {}, 20);
      simulate(
          [&]() -> weir::task<> {
            auto ended = co_await weir::as_result(weir::with_timeout(moment * 1us, pipeline.run()));
            if (ended) {
              ++completed;
              CHECK(test::sorted(pipeline.out) == pipeline.expected());
            } else {
              ++stopped;
              CHECK(ended.error() == std::errc::timed_out);
              CHECK(weir::now().time_since_epoch() == moment * 1us);
              CHECK(is_part_of(pipeline.out, pipeline.expected()));
            }
            CHECK(test::counted::alive == 0);
          },
          seed);
    }
  }
  CHECK(stopped > 0);
  CHECK(completed > 0);
}

TEST_CASE("pipeline: cancelled between any two steps of anybody") {
  for (int steps = 0; steps < 400; ++steps) {
    everything pipeline(7, {}, 8);
    simulate(
        [&]() -> weir::task<> {
          weir::cancellation_source source;
          auto counts_down = [&]() -> weir::task<> {
            for (int i = 0; i < steps; ++i) co_await weir::yield();
            source.request_cancellation();
          };
          auto body = [&](weir::task_group& g) -> weir::task<> {
            g.spawn(counts_down);
            const auto ended = co_await weir::as_result(weir::with_cancellation(source.token(), pipeline.run()));
            if (ended) CHECK(test::sorted(pipeline.out) == pipeline.expected());
            CHECK(test::counted::alive == 0);
            g.cancel();
          };
          co_await weir::with_task_group(body);
        },
        static_cast<std::uint64_t>(steps));
  }
}

TEST_CASE("pipeline: every item comes out once, whoever runs when") {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(400, 80)); ++seed) {
    everything pipeline(seed, {}, 40);
    simulate([&]() -> weir::task<> { co_await pipeline.run(); }, seed);
    CHECK(test::sorted(pipeline.out) == pipeline.expected());
  }
  CHECK(test::counted::alive == 0);
}

TEST_CASE("pipeline: any sizes, any numbers of workers, against what a loop makes") {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(400, 80)); ++seed) {
    test::dice dice(seed);
    const int n = static_cast<int>(dice.roll(60));
    const weir::transform_options first{.workers = dice.roll(5), .buffer = dice.roll(4), .ordered = dice.roll(2) == 0};
    const weir::transform_options second{.workers = dice.roll(5), .buffer = dice.roll(4), .ordered = dice.roll(2) == 0};
    const unsigned size = 1 + dice.roll(7);
    const weir::for_each_options end{.workers = dice.roll(4), .buffer = dice.roll(3)};
    const weir::duration longest = dice.roll(2) == 0 ? weir::duration::max() : weir::duration(dice.roll(5) * 1us);
    std::map<int, int> expected;
    for (int i = 0; i < n; ++i) {
      if ((i * 7) % 3 != 0) ++expected[(i * 7) % 11];
    }
    std::map<int, int> seen;
    int most_alive = 0;
    simulate(
        [&]() -> weir::task<> {
          auto times_seven = [&](test::item i) -> weir::task<test::item> {
            most_alive = std::max(most_alive, test::counted::alive.load());
            co_await weir::sleep_for(dice.roll(5) * 1us);
            co_return test::item(i.value * 7);
          };
          auto modulo = [](test::item i) { return test::item(i.value % 11); };
          auto count = [&](std::vector<test::item> all) -> weir::task<> {
            co_await weir::sleep_for(dice.roll(9) * 1us);
            for (const test::item& i : all) ++seen[i.value];
          };
          co_await (from(test::items(n)) | transform(times_seven, first) |
                    filter([](const test::item& i) { return i.value % 3 != 0; }) | transform(modulo, second) |
                    batch(size, longest) | for_each(count, end));
        },
        seed);
    CHECK(seen == expected);
    // A queue or less before and behind each stage, hands of workers (item and result), the tasks between, batches.
    const auto stage = [](const weir::transform_options& o) {
      return static_cast<int>(2 * (std::max(1u, o.workers) + o.buffer) + o.buffer + 4);
    };
    const auto batches = static_cast<int>(size * (std::max(1u, end.workers) + end.buffer + 3));
    CHECK(most_alive <= stage(first) + stage(second) + batches);
  }
  CHECK(test::counted::alive == 0);
}

TEST_CASE("pipeline: an item that throws when it is moved, at any move, fails it and leaks nothing") {
#if defined(__clang__) && !defined(__OPTIMIZE__)
  return skip("Clang 19 at -O0 uses a coroutine's frame after freeing it, where moving a parameter throws");
#endif
  int failed = 0;
  bool completed = false;
  for (int moves = 0; !completed; ++moves) {
    REQUIRE(moves < 5000);
    fragile::moves_left = moves;
    simulate(
        [&]() -> weir::task<> {
          auto same = [](fragile i) { return i; };
          auto later = [](fragile i) -> weir::task<fragile> {
            co_await weir::yield();
            co_return std::move(i);
          };
          auto own = [](async_generator<fragile> in) -> async_generator<fragile> {
            while (auto i = co_await in.next()) co_yield std::move(*i);
          };
          std::vector<int> out;
          auto end = [&](std::vector<fragile> all) {
            for (const fragile& i : all) out.push_back(i.value);
          };
          auto one = from(fragile_items(4)) | transform(same) | filter([](const fragile&) { return true; }) |
                     transform(later) | transform(same, {.workers = 2, .buffer = 1}) |
                     transform(later, {.workers = 2, .buffer = 0}) | own |
                     transform(later, {.workers = 2, .buffer = 1, .ordered = true});
          auto pipeline = merge(std::move(one), from(fragile_items(2))) | batch(3, 1ms) | for_each(end, {.workers = 2});
          const auto how = co_await test::how_it_ends(std::move(pipeline));
          CHECK(test::counted::alive == 0);
          if (how.empty()) {
            completed = true;
            CHECK(test::sorted(out) == std::vector{0, 0, 1, 1, 2, 3});
          } else {
            ++failed;
            CHECK(how == "move");
          }
        },
        3);
    CHECK(test::counted::alive == 0);
  }
  CHECK(failed > 20);
}

TEST_CASE("pipeline: on one confined worker") {
  auto main = []() -> weir::task<> {
    everything pipeline(1, {}, 100);
    co_await pipeline.run();
    CHECK(test::sorted(pipeline.out) == pipeline.expected());
  };
  weir::run(main(), {.workers = 1, .confined = true});
  CHECK(test::counted::alive == 0);
}

TEST_CASE("pipeline: on several threads every item comes out once") {
  auto main = []() -> weir::task<> {
    const int n = test::scaled(20'000, 3'000);
    for (int round = 0; round < 5; ++round) {
      weir::stage_counters squares{"squares"};
      weir::stage_counters ordered{"ordered"};
      weir::stage_counters end{"end"};
      std::atomic<long> total{0};
      std::atomic<int> seen{0};
      auto square = [](test::item i) { return test::item(i.value % 100); };
      auto sometimes_waits = [](test::item i) -> weir::task<test::item> {
        if (i.value % 16 == 0) co_await weir::yield();
        co_return std::move(i);
      };
      auto add = [&](std::vector<test::item> all) {
        for (const test::item& i : all) total += i.value;
        seen += static_cast<int>(all.size());
      };
      std::atomic<bool> over{false};
      auto watch = [&]() -> weir::task<> {
        while (!over) {
          CHECK(squares.out() <= static_cast<std::uint64_t>(2 * n));
          CHECK(end.busy() <= 3);
          co_await weir::sleep_for(100us);
        }
      };
      auto work = [&]() -> weir::task<> {
        co_await (merge(from(test::items(n)) | transform(square, {.workers = 4, .buffer = 16, .counters = &squares}),
                        from(test::items(n)) | transform(square, squares)) |
                  transform(sometimes_waits, {.workers = 4, .buffer = 8, .ordered = true, .counters = &ordered}) |
                  batch(32, 1ms) | for_each(add, {.workers = 3, .counters = &end}));
        over = true;
      };
      co_await weir::when_all(work(), watch());
      long expected = 0;
      for (int i = 0; i < n; ++i) expected += 2 * (i % 100);
      CHECK(total == expected);
      CHECK(seen == 2 * n);
      CHECK(squares.in() == static_cast<std::uint64_t>(2 * n));
      CHECK(squares.out() == static_cast<std::uint64_t>(2 * n));
      CHECK(ordered.out() == static_cast<std::uint64_t>(2 * n));
      CHECK(ordered.busy() == 0);
      CHECK(end.in() == end.out());
      CHECK(test::counted::alive == 0);
    }
  };
  weir::run(main(), {.workers = 4});
}

TEST_CASE("pipeline: on several threads, order is kept where it was asked for") {
  auto main = []() -> weir::task<> {
    auto sometimes_waits = [](int n) -> weir::task<int> {
      if (n % 7 == 0) co_await weir::yield();
      if (n % 1000 == 3) co_await weir::sleep_for(1ms);
      co_return std::move(n);
    };
    const int n = test::scaled(30'000, 5'000);
    auto all = co_await (from(test::numbers(n)) |
                         transform(sometimes_waits, {.workers = 6, .buffer = 5, .ordered = true}) | collect());
    CHECK(all == test::up_to(n));
  };
  weir::run(main(), {.workers = 4});
}

TEST_CASE("pipeline: on several threads, failures and cancellations at any moment leave nothing") {
  auto main = []() -> weir::task<> {
    test::dice dice(5);
    for (int round = 0; round < test::scaled(600, 120); ++round) {
      const bool undisturbed = round % 10 == 0;
      const int bad = !undisturbed && dice.roll(2) == 0 ? static_cast<int>(dice.roll(400)) : -1;
      const weir::duration limit = undisturbed ? weir::duration(1h) : std::chrono::microseconds(dice.roll(2000));
      auto risky = [bad](test::item i) -> weir::task<test::item> {
        if (i.value % 5 == 0) co_await weir::yield();
        if (i.value == bad) throw std::runtime_error("bad");
        co_return std::move(i);
      };
      auto run = [&]() -> weir::task<> {
        co_await (merge(from(test::items(200)), from(test::items(100)) | transform(risky)) |
                  transform(risky, {.workers = 3, .buffer = 2}) |
                  transform(risky, {.workers = 3, .buffer = 2, .ordered = round % 2 == 0}) | batch(7, 100us) |
                  for_each([](std::vector<test::item>) {}, {.workers = 2, .buffer = 1}));
      };
      const auto ended = co_await weir::as_result(weir::with_timeout(limit, run()));
      if (undisturbed) CHECK(ended.has_value());
      if (!ended && ended.error() != std::errc::timed_out) CHECK(test::unobserved::what(ended.exception()) == "bad");
      CHECK(test::counted::alive == 0);
    }
  };
  weir::run(main(), {.workers = 4, .on_error = test::unobserved::hook});
  for (const std::string& late : test::unobserved::take()) CHECK(late == "bad");
}
