#include "support.hpp"

using test::simulate;
using weir::collect;
using weir::for_each;
using weir::from;
using weir::transform;

namespace {

weir::async_generator<int> logged_numbers(test::log& seen, int n) {
  for (int i = 0; i < n; ++i) {
    seen.push_back("make " + std::to_string(i));
    co_yield i;
  }
}

/// A function of an int that notes its calls.
auto noting(test::log& seen, const char* name) {
  return [&seen, name](int i) {
    seen.push_back(name + std::to_string(i));
    return i;
  };
}

int doubled(int n) { return 2 * n; }

weir::task<int> doubled_later(int n) {
  co_await weir::sleep_for(1ms);
  co_return 2 * n;
}

struct record {
  std::string name;
  int size() const { return static_cast<int>(name.size()); }
};

/// Waits 1 ms; `first` waits `longer`.
auto slow_at(int first, weir::duration longer) {
  return [first, longer](int n) -> weir::task<int> {
    const weir::duration length = n == first ? longer : 1ms;
    co_await weir::sleep_for(length);
    co_return std::move(n);
  };
}

/// How many items are made of an endless source before everything stands still, because no item is let out.
template <class Stage>
int made_before_a_stalled_end(Stage stage) {
  int made = 0;
  simulate([&]() -> weir::task<> {
    auto stalls = [](test::item) -> weir::task<> { co_await test::never(); };
    auto pipeline = from(test::counted_items(made, 1'000'000)) | std::move(stage) | for_each(stalls);
    auto ended = co_await weir::as_result(weir::with_timeout(1h, std::move(pipeline)));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);
  });
  return made;
}

}  // namespace

TEST_CASE("transform without options: item by item in one task, nothing is read ahead") {
  simulate([]() -> weir::task<> {
    test::log seen;
    co_await (from(logged_numbers(seen, 2)) | transform(noting(seen, "a")) | transform(noting(seen, "b")) |
              for_each(noting(seen, "c")));
    CHECK(seen == test::log{"make 0", "a0", "b0", "c0", "make 1", "a1", "b1", "c1"});
  });
}

TEST_CASE("transform without options: no other task gets a turn between source and end") {
  auto main = []() -> weir::task<> {
    bool others_ran = false;
    auto other = [&]() -> weir::task<> {
      others_ran = true;
      co_return;
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(other);
      auto identity = [](int n) -> weir::task<int> { co_return std::move(n); };
      auto all = co_await (from(test::numbers(20)) | transform(doubled) | transform(identity) |
                           weir::filter([](int) { return true; }) | weir::batch(5) | collect());
      CHECK(all.size() == 4);
      CHECK(!others_ran);
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), {.workers = 1});  // in a simulation the seed may give others a turn at any await
}

TEST_CASE("transform without options allocates nothing for an item") {
  if (test::sanitized) return;
  simulate([]() -> weir::task<> {
    auto cost = [](int n) -> weir::task<std::uint64_t> {
      long sum = 0;
      const std::uint64_t before = test::allocations();
      co_await (from(test::numbers(n)) | transform(doubled) | weir::filter([](int i) { return i % 3 != 0; }) |
                transform([](int i) { return i + 1L; }) | for_each([&](long i) { sum += i; }));
      CHECK(sum > 0);
      co_return test::allocations() - before;
    };
    co_await cost(10);
    const auto few = co_await cost(10);
    const auto many = co_await cost(10'000);
    CHECK(many == few);
    const auto tasks = [](int n) -> weir::task<std::uint64_t> {
      const std::uint64_t before = test::allocations();
      co_await (from(test::numbers(n)) | transform(doubled_later) | for_each([](int) {}));
      co_return test::allocations() - before;
    };
    co_await tasks(10);
    const auto few_tasks = co_await tasks(10);
    const auto many_tasks = co_await tasks(1'000);
    CHECK(many_tasks == few_tasks);  // their frames are recycled
  });
}

TEST_CASE("transform with workers allocates nothing for an item either") {
  if (test::sanitized) return;
  for (const bool ordered : {false, true}) {
    simulate([ordered]() -> weir::task<> {
      auto cost = [ordered](int n) -> weir::task<std::uint64_t> {
        const std::uint64_t before = test::allocations();
        co_await (from(test::numbers(n)) | transform(doubled_later, {.workers = 3, .buffer = 4, .ordered = ordered}) |
                  for_each([](int) {}, {.workers = 2}));
        co_return test::allocations() - before;
      };
      co_await cost(10);
      const auto few = co_await cost(10);
      const auto many = co_await cost(1'000);
      CHECK(many == few);
    });
  }
}

TEST_CASE("transform with a function that returns a task: one after the other, in order") {
  simulate([]() -> weir::task<> {
    int at_once = 0;
    auto slow = [&](int n) -> weir::task<int> {
      ++at_once;
      CHECK(at_once == 1);
      co_await weir::sleep_for((10 - n) * 1ms);
      --at_once;
      co_return std::move(n);
    };
    auto all = co_await (from(test::numbers(10)) | transform(slow) | collect());
    CHECK(all == test::up_to(10));
    CHECK(weir::now().time_since_epoch() == 55ms);
  });
}

TEST_CASE("transform takes functions, members, generic lambdas and what converts") {
  simulate([]() -> weir::task<> {
    std::vector<record> records{{"one"}, {"three"}};
    auto names = co_await (from(records) | transform(&record::name) | collect());
    CHECK(names == std::vector<std::string>{"one", "three"});
    auto sizes = co_await (from(records) | transform(&record::size) | collect());
    CHECK(sizes == std::vector{3, 5});
    auto longs = co_await (from(test::numbers(3)) | transform([](long n) { return n; }) | collect());
    CHECK(longs == std::vector<long>{0, 1, 2});
    auto generic = co_await (from(test::numbers(3)) | transform([](auto n) { return n + 0.5; }) | collect());
    CHECK(generic == std::vector{0.5, 1.5, 2.5});
    auto truths = co_await (from(test::numbers(3)) | transform([](int n) { return n == 1; }) | collect());
    CHECK(truths == std::vector{false, true, false});
    auto maybe = [](int n) { return n == 1 ? std::optional<int>() : std::optional<int>(n); };
    auto optionals = co_await (from(test::numbers(3)) | transform(maybe) | collect());  // a value like any other
    CHECK(optionals == std::vector<std::optional<int>>{0, std::nullopt, 2});
    auto across = co_await (from(test::numbers(3)) | transform(maybe, {.workers = 1, .ordered = true}) | collect());
    CHECK(across == optionals);
  });
}

TEST_CASE("transform copies what a function returns by reference") {
  simulate([]() -> weir::task<> {
    std::vector<std::string> table{"zero", "one", "two"};
    auto look_up = [&](int n) -> std::string& { return table[static_cast<std::size_t>(n)]; };
    auto look_up_later = [&](int n) -> weir::task<std::string&> { co_return table[static_cast<std::size_t>(n)]; };
    const auto expected = table;
    auto found = co_await (from(test::numbers(3)) | transform(look_up) | collect());
    CHECK(found == expected);
    auto later = co_await (from(test::numbers(3)) | transform(look_up_later) | collect());
    CHECK(later == expected);
    auto on_workers = co_await (from(test::numbers(3)) | transform(look_up_later, {.ordered = true}) | collect());
    CHECK(on_workers == expected);
    CHECK(table == expected);
  });
}

TEST_CASE("transform moves items in and results on") {
  for (const bool ordered : {false, true}) {
    simulate([ordered]() -> weir::task<> {
      auto next = [](test::item i) {
        ++i.value;
        return i;
      };
      auto next_later = [](test::item i) -> weir::task<test::item> {
        co_await weir::sleep_for(1ms);
        ++i.value;
        co_return std::move(i);
      };
      auto all =
          co_await (from(test::items(5)) | transform(next) | transform(next_later) |
                    transform(next, {.ordered = ordered}) | transform(next_later, {.ordered = ordered}) | collect());
      CHECK(test::values_of(all) == std::vector{4, 5, 6, 7, 8});
      auto taken = co_await (from(test::items(3)) | transform([](test::item&& i) { return i.value; }) | collect());
      CHECK(taken == test::up_to(3));
    });
    CHECK(test::counted::alive == 0);
  }
}

TEST_CASE("transform keeps its function: one that can only be moved, and a lambda whose captures a coroutine uses") {
  simulate([]() -> weir::task<> {
    auto add = [by = std::make_unique<int>(10)](int n) { return n + *by; };
    auto stage = transform(TEST_MOVE_CALLABLE(add));
    auto all = co_await (from(test::numbers(3)) | std::move(stage) | collect());
    CHECK(all == std::vector{10, 11, 12});
    auto later = [by = std::make_unique<int>(20)](int n) -> weir::task<int> {
      co_await weir::sleep_for(1ms);
      co_return n + *by;
    };
    auto pipeline =
        from(test::numbers(3)) | transform(TEST_MOVE_CALLABLE(later), {.workers = 2, .ordered = true}) | collect();
    auto results = co_await std::move(pipeline);
    CHECK(results == std::vector{20, 21, 22});
    std::function<int(int)> function = [text = std::string(100, 'x')](int n) {
      return n + static_cast<int>(text.size());
    };
    auto sizes = co_await (from(test::numbers(2)) | transform(function) | collect());
    CHECK(sizes == std::vector{100, 101});
  });
}

TEST_CASE("transform: all workers call one function object") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    auto count = [mine = 0, &calls](int n) mutable {
      calls = ++mine;
      return n;
    };
    co_await (from(test::numbers(50)) | transform(count, {.workers = 5}) | collect());
    CHECK(calls == 50);
  });
}

TEST_CASE("transform: as many calls at a time as there are workers, at least one") {
  for (const unsigned workers : {0u, 1u, 3u, 8u}) {
    for (const bool ordered : {false, true}) {
      simulate([workers, ordered]() -> weir::task<> {
        int now = 0;
        int most = 0;
        auto slow = [&](int n) -> weir::task<int> {
          most = std::max(most, ++now);
          co_await weir::sleep_for(1s);
          --now;
          co_return std::move(n);
        };
        auto all =
            co_await (from(test::numbers(24)) | transform(slow, {.workers = workers, .ordered = ordered}) | collect());
        CHECK(test::sorted(all) == test::up_to(24));
        const int expected = std::max(1, static_cast<int>(workers));
        CHECK(most == expected);
        CHECK(weir::now().time_since_epoch() == 24s / expected);
      });
    }
  }
}

TEST_CASE("transform with several workers: who is ready first goes on first") {
  simulate([]() -> weir::task<> {
    auto all = co_await (from(test::numbers(4)) | transform(slow_at(0, 10ms), {.workers = 4}) | collect());
    CHECK(all.back() == 0);
    CHECK(test::sorted(all) == test::up_to(4));
  });
}

// A slot of an item that is still being worked on must not be given to one that comes a whole round later.
TEST_CASE("transform, ordered: a slow item keeps its place however far the others could get") {
  simulate([]() -> weir::task<> {
    for (const unsigned workers : {1u, 2u, 5u}) {
      for (const std::size_t buffer : {0u, 1u, 2u, 64u}) {
        auto all =
            co_await (from(test::numbers(30)) |
                      transform(slow_at(3, 1s), {.workers = workers, .buffer = buffer, .ordered = true}) | collect());
        CHECK(all == test::up_to(30));
      }
    }
  });
}

TEST_CASE("transform, ordered: the order of the items for any times and any choice of who runs") {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(300, 60)); ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          const unsigned workers = 1 + dice.roll(6);
          const std::size_t buffer = dice.roll(5);
          auto some_time = [&](int n) -> weir::task<int> {
            for (unsigned i = dice.roll(3); i > 0; --i) co_await weir::yield();
            co_await weir::sleep_for(dice.roll(20) * 1us);
            co_return std::move(n);
          };
          auto all =
              co_await (from(test::numbers(60)) |
                        transform(some_time, {.workers = workers, .buffer = buffer, .ordered = true}) | collect());
          CHECK(all == test::up_to(60));
        },
        seed);
  }
}

TEST_CASE("transform, ordered: while one item takes long, no more than workers + buffer are under way") {
  for (const unsigned workers : {1u, 2u, 4u}) {
    for (const unsigned buffer : {0u, 1u, 5u}) {
      simulate([workers, buffer]() -> weir::task<> {
        int begun = 0;
        int made = 0;
        auto slow = [&](test::item i) -> weir::task<int> {
          ++begun;
          const weir::duration length = i.value == 0 ? 1h : 1ms;
          co_await weir::sleep_for(length);
          if (i.value == 0) {
            CHECK(made == static_cast<int>(workers + buffer));
            CHECK(begun <= made);
            CHECK(begun >= static_cast<int>(workers));
          }
          co_return i.value;
        };
        auto all = co_await (from(test::counted_items(made, 100)) |
                             transform(slow, {.workers = workers, .buffer = buffer, .ordered = true}) | collect());
        CHECK(all == test::up_to(100));
      });
    }
  }
}

TEST_CASE("transform: an end that stalls stops the source, at the number of items that is documented") {
  auto same = [](test::item i) { return i; };
  CHECK(made_before_a_stalled_end(transform(same)) == 1);
  for (const unsigned workers : {1u, 4u}) {
    for (const unsigned buffer : {0u, 1u, 10u}) {
      // Before the stage, behind it, in each hand, in that of the one who fills the queue, and at the end.
      const auto bound = static_cast<int>(buffer + buffer + workers + 1 + 1);
      CHECK(made_before_a_stalled_end(transform(same, {.workers = workers, .buffer = buffer})) == bound);
      // With places for all that is under way, and one at the end.
      const auto places = static_cast<int>(workers + buffer);
      const int ordered =
          made_before_a_stalled_end(transform(same, {.workers = workers, .buffer = buffer, .ordered = true}));
      CHECK(ordered <= places + 1);
      CHECK(ordered >= places);
    }
  }
}

TEST_CASE("transform: a second stage with workers takes from the room behind the first one") {
  auto same = [](test::item i) { return i; };
  auto two = transform(same, {.workers = 2, .buffer = 3}) | transform(same, {.workers = 4, .buffer = 5});
  const int before_and_in_first = 3 + 2 + 1;
  const int between = 3;
  const int in_second_and_behind = 4 + 5;
  CHECK(made_before_a_stalled_end(two) == before_and_in_first + between + in_second_and_behind + 1);
}

TEST_CASE("transform: what the function throws ends the pipeline and comes out once all is joined") {
  for (const bool on_workers : {false, true}) {
    for (const bool ordered : {false, true}) {
      for (const bool later : {false, true}) {
        simulate([=]() -> weir::task<> {
          test::unobserved none;
          auto throws = [](test::item i) {
            if (i.value == 5) throw std::runtime_error("function");
            return i;
          };
          auto throws_later = [](test::item i) -> weir::task<test::item> {
            co_await weir::sleep_for(1ms);
            if (i.value == 5) throw std::runtime_error("function");
            co_return std::move(i);
          };
          std::vector<int> seen;
          auto end = [&](test::item i) { seen.push_back(i.value); };
          const weir::transform_options options{.workers = 2, .buffer = 1, .ordered = ordered};
          std::string how;
          if (on_workers && later) {
            how = co_await test::how_it_ends(from(test::items(20)) | transform(throws_later, options) | for_each(end));
          } else if (on_workers) {
            how = co_await test::how_it_ends(from(test::items(20)) | transform(throws, options) | for_each(end));
          } else if (later) {
            how = co_await test::how_it_ends(from(test::items(20)) | transform(throws_later) | for_each(end));
          } else {
            how = co_await test::how_it_ends(from(test::items(20)) | transform(throws) | for_each(end));
          }
          CHECK(how == "function");
          CHECK(test::counted::alive == 0);
          CHECK(std::count(seen.begin(), seen.end(), 5) == 0);
          if (!on_workers || ordered) CHECK(std::is_sorted(seen.begin(), seen.end()));
        });
      }
    }
  }
}

TEST_CASE("transform: a slow call is stopped when another one fails") {
  simulate([]() -> weir::task<> {
    test::log seen;
    auto call = [&](int n) -> weir::task<int> {
      const test::mark here(seen, std::to_string(n));
      const weir::duration length = n == 1 ? 1ms : 1h;
      co_await weir::sleep_for(length);
      throw std::runtime_error("one");
    };
    auto how =
        co_await test::how_it_ends(from(test::numbers(3)) | transform(call, {.workers = 3}) | for_each([](int) {}));
    CHECK(how == "one");
    std::sort(seen.begin(), seen.end());
    CHECK(seen == test::log{"0!", "1", "2!"});
    CHECK(weir::now().time_since_epoch() == 1ms);
  });
}

TEST_CASE("transform counts exactly, in every form") {
  simulate([]() -> weir::task<> {
    weir::stage_counters plain{"plain"};
    weir::stage_counters in_line;
    weir::stage_counters unordered;
    weir::stage_counters ordered;
    co_await (from(test::numbers(40)) | transform(doubled, plain) | transform(doubled_later, in_line) |
              transform(doubled, {.workers = 3, .counters = &unordered}) |
              transform(doubled_later, {.workers = 3, .ordered = true, .counters = &ordered}) | for_each([](int) {}));
    for (const weir::stage_counters* c : {&plain, &in_line, &unordered, &ordered}) {
      CHECK(c->in() == 40);
      CHECK(c->out() == 40);
      CHECK(c->errors() == 0);
      CHECK(c->dropped() == 0);
      CHECK(c->busy() == 0);
      CHECK(c->blocked() == 0);
      CHECK(c->queued() == 0);
    }
    CHECK(plain.name() == "plain");
  });
}
