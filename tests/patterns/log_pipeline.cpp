#include <map>

#include "support.hpp"

#include <weir/patterns/or_else.hpp>
#include <weir/patterns/within.hpp>

// The log pipeline of the guides: read, parse, validate, transform, write; 4, 4, 4 and 2 workers, 100 places between
// stages, a store that takes 100 microseconds. In Go it took 43.4 s for 100,000 records; the ideal is 5.0 s.

using test::simulate;
using weir::failed_item;
using weir::for_each;
using weir::from;
using weir::transform;

namespace {

struct record {
  int number;
  int user;
  bool error;
};

struct statistics {
  int written = 0;
  int errors = 0;
  std::map<int, int> users;
};

weir::async_generator<std::string> lines(int n, int bad_each) {
  for (int i = 0; i < n; ++i) {
    std::string line = std::to_string(i) + (i % 3 == 2 ? " ERROR user" : " INFO user") + std::to_string(i % 1000);
    if (bad_each != 0 && i % bad_each == bad_each - 1) line = "garbage";
    co_yield std::move(line);
  }
}

record parse(const std::string& line) {
  std::size_t digits = 0;
  const int number = std::stoi(line, &digits);  // throws std::invalid_argument
  const auto user = line.find(" user");
  return {number, std::stoi(line.substr(user + 5)), line.find("ERROR") != std::string::npos};
}
weir::task<record> validate(record r) {
  if (r.user < 0) throw std::runtime_error("no such user");
  co_return std::move(r);
}
record enrich(record r) { return r; }

/// All of it, with a store for each record.
template <class Store>
weir::task<> process(int n, int bad_each, Store store, std::vector<std::string>& skipped) {
  auto skip = [&](const failed_item<std::string>& failed) { skipped.push_back(failed.item); };
  co_await (from(lines(n, bad_each)) | transform(parse, {.workers = 4, .buffer = 100}).or_else(skip) |
            transform(validate, {.workers = 4, .buffer = 100}) | transform(enrich, {.workers = 4, .buffer = 100}) |
            for_each(store, {.workers = 2, .buffer = 100}));
}

}  // namespace

TEST_CASE("log pipeline: 100,000 records in 5.0 s, 33,333 errors, 1,000 users (S152, S45)") {
  simulate([]() -> weir::task<> {
    const int n = test::scaled(100'000, 20'000);
    statistics all;
    auto store = [&](record r) -> weir::task<> {
      co_await weir::sleep_for(100us);
      ++all.written;
      if (r.error) ++all.errors;
      ++all.users[r.user];
    };
    std::vector<std::string> skipped;
    auto whole = process(n, 0, std::ref(store), skipped);
    co_await std::move(whole);
    CHECK(all.written == n);
    CHECK(all.errors == n / 3);
    CHECK(all.users.size() == 1000);
    CHECK(skipped.empty());
    const weir::duration ideal = n / 2 * 100us;
    const weir::duration took = weir::now() - test::at(0s);
    CHECK(took >= ideal);
    CHECK(took <= ideal * 105 / 100);
  });
}

TEST_CASE("log pipeline: bad records are skipped and known, the others written; under any choice of who runs (S45)") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    simulate(
        []() -> weir::task<> {
          std::vector<int> written;
          auto store = [&](record r) -> weir::task<> {
            co_await weir::sleep_for(100us);
            written.push_back(r.number);
          };
          std::vector<std::string> skipped;
          auto whole = process(100, 10, std::ref(store), skipped);
          co_await std::move(whole);
          CHECK(written.size() == 90);
          CHECK(skipped == std::vector<std::string>(10, "garbage"));
        },
        seed);
  }
}

TEST_CASE("log pipeline: cancelled at any moment, it leaves no task behind and no record half written (S45, D11)") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          int begun = 0;
          int ended = 0;
          auto store = [&](const record&) -> weir::task<> {
            const test::counted here;
            ++begun;
            co_await weir::sleep_for(100us);
            ++ended;
          };
          std::vector<std::string> skipped;
          auto whole = process(500, 7, std::ref(store), skipped);
          auto limited = weir::with_timeout(std::chrono::microseconds(dice.roll(30'000)), std::move(whole));
          auto how = co_await weir::as_result(std::move(limited));
          CHECK((how.has_value() || how.error() == std::errc::timed_out));
          CHECK(begun - ended <= 2);
          CHECK(test::counted::alive == 0);
          if (how) CHECK(ended == 500 - 71);
        },
        seed);
  }
}
