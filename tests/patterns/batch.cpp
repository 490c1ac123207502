#include "support.hpp"

using test::simulate;
using weir::batch;
using weir::collect;
using weir::for_each;
using weir::from;

namespace {

using batches = std::vector<std::vector<int>>;

/// Yields `n` when as many milliseconds have passed since the start.
weir::async_generator<int> at(std::vector<int> moments) {
  for (int moment : moments) {
    co_await weir::sleep_until(weir::time_point(moment * 1ms));
    co_yield moment;
  }
}

/// Sends the same, then closes.
weir::task<> send_at(weir::channel<int>& to, std::vector<int> moments) {
  for (int moment : moments) {
    co_await weir::sleep_until(weir::time_point(moment * 1ms));
    co_await to.send(moment);
  }
  to.close();
}

struct delivered {
  int at_ms;
  std::vector<int> items;
  bool operator==(const delivered&) const = default;
};

auto note(std::vector<delivered>& into) {
  return [&into](std::vector<int> items) {
    into.push_back({static_cast<int>(weir::now().time_since_epoch() / 1ms), std::move(items)});
  };
}

/// What batch(size, longest) delivers of items that come at these moments, and when; from a generator or a channel.
std::vector<delivered> timed(const std::vector<int>& moments, std::size_t size, weir::duration longest, bool channel) {
  std::vector<delivered> all;
  simulate([&]() -> weir::task<> {
    if (channel) {
      weir::channel<int> items(4);
      co_await weir::when_all(send_at(items, moments), from(items) | batch(size, longest) | for_each(note(all)));
    } else {
      co_await (from(at(moments)) | batch(size, longest) | for_each(note(all)));
    }
  });
  return all;
}

}  // namespace

TEST_CASE("batch by size: the last one may be shorter, none is empty, order is kept") {
  simulate([]() -> weir::task<> {
    auto seven = co_await (from(test::numbers(7)) | batch(3) | collect());
    CHECK(seven == batches{{0, 1, 2}, {3, 4, 5}, {6}});
    auto six = co_await (from(test::numbers(6)) | batch(3) | collect());
    CHECK(six == batches{{0, 1, 2}, {3, 4, 5}});
    auto ones = co_await (from(test::numbers(2)) | batch(1) | collect());
    CHECK(ones == batches{{0}, {1}});
    auto all = co_await (from(test::numbers(5)) | batch(1'000'000'000) | collect());
    CHECK(all == batches{{0, 1, 2, 3, 4}});
    auto none = co_await (from(test::numbers(0)) | batch(3) | collect());
    CHECK(none.empty());
    auto refused = co_await (from(test::numbers(9)) | weir::filter([](int) { return false; }) | batch(3) | collect());
    CHECK(refused.empty());
  });
}

TEST_CASE("batch: a size of 0 is refused") {
  CHECK_THROWS_WITH_AS(batch(0), "weir::batch: a batch has at least one item", std::invalid_argument);
  CHECK_THROWS_AS(batch(0, 1s), std::invalid_argument);
}

TEST_CASE("batch with a time: an empty source gives no batch, whatever time passes") {
  for (const bool channel : {false, true}) {
    CHECK(timed({}, 3, 10ms, channel).empty());
    CHECK(timed({100}, 3, 10ms, channel) == std::vector<delivered>{{100, {100}}});
  }
}

TEST_CASE("batch with a time: the time counts from a batch's first item") {
  for (const bool channel : {false, true}) {
    CAPTURE(channel);
    CHECK(timed({0, 4, 9, 25, 28, 40}, 100, 10ms, channel) ==
          std::vector<delivered>{{10, {0, 4, 9}}, {35, {25, 28}}, {40, {40}}});
    CHECK(timed({5, 100}, 2, 10ms, channel) == std::vector<delivered>{{15, {5}}, {100, {100}}});
  }
}

TEST_CASE("batch with a time: a full one goes at once, and the next begins a time of its own") {
  for (const bool channel : {false, true}) {
    CAPTURE(channel);
    CHECK(timed({0, 1, 2, 8, 9, 17, 30}, 3, 10ms, channel) ==
          std::vector<delivered>{{2, {0, 1, 2}}, {17, {8, 9, 17}}, {30, {30}}});
  }
}

TEST_CASE("batch with a time: the end of the source sends on what there is, without waiting for the time") {
  for (const bool channel : {false, true}) {
    CHECK(timed({1, 2}, 100, 1h, channel) == std::vector<delivered>{{2, {1, 2}}});
  }
}

TEST_CASE("batch with the longest time that there is, is a batch by size") {
  for (const bool channel : {false, true}) {
    CHECK(timed({0, 1, 2, 500}, 3, weir::duration::max(), channel) ==
          std::vector<delivered>{{2, {0, 1, 2}}, {500, {500}}});
  }
}

TEST_CASE("batch with no time: what is there at once makes a batch") {
  simulate([]() -> weir::task<> {
    weir::channel<int> items(10);
    for (int i = 0; i < 5; ++i) CHECK(items.try_send(i));
    std::vector<delivered> all;
    auto later = [&]() -> weir::task<> {
      co_await weir::sleep_for(7ms);
      co_await items.send(5);
      items.close();
    };
    co_await weir::when_all(from(items) | batch(100, 0ms) | for_each(note(all)), later());
    CHECK(all == std::vector<delivered>{{0, {0, 1, 2, 3, 4}}, {7, {5}}});
  });
}

// The source is never waited for here, so that a select between it and the clock would not come to the clock.
TEST_CASE("batch with a time: a source that always has something, of which all is dropped, does not hold up an item") {
  auto main = []() -> weir::task<> {
    weir::channel<int> items(4000);
    for (int i = 0; i < 4000; ++i) CHECK(items.try_send(i));
    items.close();
    int asked = 0;
    auto first_only = [&](int n) {
      ++asked;
      const auto until = weir::now() + 50us;  // the real clock: in a simulation no time passes here
      while (weir::now() < until) {
      }
      return n == 0;
    };
    auto end = [&](std::vector<int> one) {
      CHECK(one == std::vector{0});
      CHECK(asked < 4000);
    };
    co_await (from(items) | weir::filter(first_only) | batch(8, 1ms) | for_each(end));
  };
  weir::run(main(), {.workers = 1});
}

TEST_CASE("batch: what it waits for is read no further ahead than a batch is long") {
  simulate([]() -> weir::task<> {
    for (const int size : {1, 3, 200}) {
      int made = 0;
      auto stalls = [](std::vector<test::item>) -> weir::task<> { co_await test::never(); };
      auto by_size =
          from(test::counted_items(made, 1'000'000)) | batch(static_cast<std::size_t>(size)) | for_each(stalls);
      const auto by_size_ended = co_await weir::as_result(weir::with_timeout(1h, std::move(by_size)));
      CHECK(by_size_ended.error() == std::errc::timed_out);
      CHECK(made == size);
      made = 0;
      auto by_time =
          from(test::counted_items(made, 1'000'000)) | batch(static_cast<std::size_t>(size), 1s) | for_each(stalls);
      const auto by_time_ended = co_await weir::as_result(weir::with_timeout(1h, std::move(by_time)));
      CHECK(by_time_ended.error() == std::errc::timed_out);
      CHECK(made == size + std::min(size, 64) + 1);
      CHECK(test::counted::alive == 0);
    }
  });
}

TEST_CASE("batch: no item that came before a failure is delivered as if the source had ended") {
  for (const bool by_time : {false, true}) {
    for (const bool workers : {false, true}) {
      simulate([=]() -> weir::task<> {
        std::vector<std::size_t> sizes;
        auto end = [&](std::vector<test::item> all) { sizes.push_back(all.size()); };
        auto same = [](test::item i) { return i; };
        const weir::duration longest = by_time ? weir::duration(1h) : weir::duration::max();
        std::string how;
        if (workers) {
          how = co_await test::how_it_ends(from(test::items_then_failure(8, "source")) |
                                           weir::transform(same, {.workers = 2}) | batch(3, longest) | for_each(end));
        } else {
          how = co_await test::how_it_ends(from(test::items_then_failure(8, "source")) | batch(3, longest) |
                                           for_each(end));
        }
        CHECK(how == "source");
        for (const std::size_t size : sizes) CHECK(size == 3);
        if (!workers && !by_time) CHECK(sizes.size() == 2);
        CHECK(test::counted::alive == 0);
      });
    }
  }
}

TEST_CASE("batch: cancelled, it destroys what it has gathered and delivers nothing more") {
  for (const bool channel : {false, true}) {
    simulate([channel]() -> weir::task<> {
      std::vector<delivered> all;
      weir::channel<int> items(4);
      const std::vector<int> moments{0, 30, 60};
      auto run = [&]() -> weir::task<> {
        if (channel) {
          auto fed = from(items) | batch(100, 20ms) | for_each(note(all));
          co_await weir::when_all(send_at(items, moments), std::move(fed));
        } else {
          co_await (from(at(moments)) | batch(100, 20ms) | for_each(note(all)));
        }
      };
      const auto ended = co_await weir::as_result(weir::with_timeout(40ms, run()));
      CHECK(ended.error() == std::errc::timed_out);
      CHECK(all == std::vector<delivered>{{20, {0}}});
    });
  }
}

TEST_CASE("batch: while an end is busy with one, the time of the next does not run") {
  simulate([]() -> weir::task<> {
    std::vector<delivered> all;
    auto slow = [&](std::vector<int> items) -> weir::task<> {
      note(all)(std::move(items));
      co_await weir::sleep_for(100ms);
    };
    const std::vector<int> moments{0, 1, 2, 3, 4, 90, 108};
    co_await (from(at(moments)) | batch(2, 10ms) | for_each(slow));
    CHECK(all == std::vector<delivered>{{1, {0, 1}}, {101, {2, 3}}, {201, {4, 90}}, {301, {108}}});
  });
}

TEST_CASE("batch counts items that came and batches that went") {
  simulate([]() -> weir::task<> {
    weir::stage_counters by_size{"by size"};
    weir::stage_counters by_time;
    auto flat = [](std::vector<int> all) { return all.front(); };
    co_await (from(test::numbers(10)) | batch(3, by_size) | weir::transform(flat) | batch(3, 1s, by_time) |
              for_each([](std::vector<int>) {}));
    CHECK(by_size.in() == 10);
    CHECK(by_size.out() == 4);
    CHECK(by_time.in() == 4);
    CHECK(by_time.out() == 2);
    CHECK(by_time.queued() == 0);
  });
}

TEST_CASE("batch: each item is in exactly one batch, in order, none late, none empty, for any times and sizes") {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(300, 60)); ++seed) {
    test::dice dice(seed);
    std::vector<int> moments;
    for (int t = 0; moments.size() < 40; t += static_cast<int>(dice.roll(6))) moments.push_back(t);
    const std::size_t size = 1 + dice.roll(6);
    const int longest = static_cast<int>(dice.roll(12));
    const auto all = timed(moments, size, longest * 1ms, seed % 2 == 0);
    std::vector<int> joined;
    for (const delivered& one : all) {
      CHECK(!one.items.empty());
      CHECK(one.items.size() <= size);
      CHECK(one.at_ms - one.items.front() <= longest);
      const bool last = joined.size() + one.items.size() == moments.size();
      if (one.items.size() < size && !last) CHECK(one.at_ms == one.items.front() + longest);
      joined.insert(joined.end(), one.items.begin(), one.items.end());
    }
    CHECK(joined == moments);
  }
}

TEST_CASE("batch: 10 items or 100 ms from the first; one is stored while the next fills; the last too (S140)") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    simulate(
        []() -> weir::task<> {
          weir::channel<int> items(100);
          std::vector<int> stored;
          std::vector<std::size_t> sizes;
          auto store = [&](std::vector<int> all) -> weir::task<> {
            co_await weir::sleep_for(50ms);
            sizes.push_back(all.size());
            stored.insert(stored.end(), all.begin(), all.end());
          };
          auto add = [&]() -> weir::task<> {
            for (int i = 0; i < 25; ++i) CHECK(items.try_send(i));
            co_await weir::sleep_for(40ms);
            for (int i = 25; i < 28; ++i) CHECK(items.try_send(i));  // while the first batch is stored
            co_await weir::sleep_for(460ms);
            CHECK(stored.size() == 28);
            for (int i = 28; i < 30; ++i) CHECK(items.try_send(i));
            items.close();
          };
          co_await weir::when_all(from(items) | batch(10, 100ms) | for_each(store), add());
          CHECK(sizes == std::vector<std::size_t>{10, 10, 8, 2});
          CHECK(stored == test::up_to(30));
          CHECK(weir::now() == weir::time_point(550ms));
        },
        seed);
  }
  simulate([]() -> weir::task<> {
    auto fails = [](const std::vector<int>&) { throw std::runtime_error("store"); };
    auto how = co_await test::how_it_ends(from(test::numbers(3)) | batch(10, 100ms) | for_each(fails));
    CHECK(how == "store");  // an error reaches someone
  });
}
