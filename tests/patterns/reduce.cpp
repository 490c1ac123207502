#include <functional>
#include <map>

#include "support.hpp"

#include <weir/patterns/map_reduce.hpp>
#include <weir/patterns/reduce.hpp>

using test::simulate;
using weir::from;
using weir::map_reduce;
using weir::reduce;

namespace {

using counts = std::map<std::string, int>;

counts count_words(const std::string& line) {
  counts all;
  std::string word;
  for (const char c : line + " ") {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      ++all[std::exchange(word, {})];
    }
  }
  return all;
}

counts add_counts(counts a, counts b) {
  for (const auto& [word, n] : b) a[word] += n;
  return a;
}

}  // namespace

TEST_CASE("reduce: one value of all items, in their order, with a plain function or a task") {
  simulate([]() -> weir::task<> {
    auto add = [](std::string so_far, test::item i) { return so_far + std::to_string(i.value); };
    auto text = co_await (from(test::items(4)) | reduce(std::string("="), add));
    CHECK(text == "=0123");
    auto slow = [](long sum, int n) -> weir::task<long> {
      co_await weir::sleep_for(1ms);
      co_return sum + n;
    };
    const long sum = co_await (from(test::numbers(5)) | reduce(0L, slow));
    CHECK(sum == 10);
    CHECK(weir::now() == test::at(5ms));
    const long none = co_await (from(test::numbers(0)) | reduce(7L, std::plus<>()));
    CHECK(none == 7);
    auto keep_last = [](std::unique_ptr<int>, int n) { return std::make_unique<int>(n); };
    auto last = co_await (from(test::numbers(5)) | reduce(std::make_unique<int>(-1), keep_last));
    CHECK(*last == 4);
    auto fails = [](int, int n) -> int { throw std::runtime_error(std::to_string(n)); };
    auto failed = co_await weir::as_result(from(test::numbers(5)) | reduce(0, fails));
    CHECK(test::unobserved::what(failed.exception()) == "0");
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("map_reduce: words of many texts, mapped on several workers and combined (S61)") {
  for (const unsigned workers : {0u, 1u, 2u, 5u}) {
    simulate([workers]() -> weir::task<> {
      auto map = [](std::string line) -> weir::task<counts> {
        co_await weir::sleep_for(10ms);
        co_return count_words(line);
      };
      std::vector<std::string> lines(100, "a weir regulates a river");
      weir::stage_counters mapped;
      auto words =
          co_await (from(lines) | map_reduce(map, counts(), add_counts, {.workers = workers, .counters = &mapped}));
      CHECK(words == counts{{"a", 200}, {"weir", 100}, {"regulates", 100}, {"river", 100}});
      CHECK(mapped.in() == 100);
      CHECK(mapped.out() == 100);
      CHECK(weir::now() == test::at(100 * 10ms / std::max(1u, workers)));
      auto none = co_await (from(std::vector<std::string>()) | map_reduce(count_words, counts(), add_counts));
      CHECK(none.empty());
    });
  }
}

TEST_CASE("map_reduce: the first failure ends it, and a stop goes through") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          const int bad = static_cast<int>(dice.roll(60));
          auto map = [&](test::item i) -> weir::task<long> {
            co_await weir::sleep_for(dice.roll(4) * 1us);
            if (i.value == bad) throw std::runtime_error("bad");
            co_return i.value;
          };
          auto all = from(test::items(40)) | map_reduce(map, 0L, std::plus<>(), {.workers = 3, .buffer = 2});
          const auto limit = std::chrono::microseconds(dice.roll(60));
          auto ended = co_await weir::as_result(weir::with_timeout(limit, std::move(all)));
          if (ended) {
            CHECK(*ended == 780);
          } else if (ended.error() != std::errc::timed_out) {
            CHECK(bad < 40);
            CHECK(test::unobserved::what(ended.exception()) == "bad");
          }
          CHECK(test::counted::alive == 0);
        },
        seed);
  }
}

TEST_CASE("map_reduce: on several threads") {
  auto main = []() -> weir::task<> {
    const int n = test::scaled(20'000, 2'000);
    auto twice = [](int i) { return 2L * i; };
    const long sum =
        co_await (from(test::numbers(n)) | map_reduce(twice, 0L, std::plus<>(), {.workers = 4, .buffer = 32}));
    CHECK(sum == static_cast<long>(n) * (n - 1));
  };
  weir::run(main(), {.workers = 2});
}
