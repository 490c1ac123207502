#include "support.hpp"

#include <weir/patterns/or_else.hpp>
#include <weir/patterns/through.hpp>
#include <weir/patterns/within.hpp>

using test::simulate;
using weir::collect;
using weir::from;
using weir::through;
using weir::transform;
using weir::within;

namespace {

/// A wrapper that tries again, as retry policies do.
class thrice {
 public:
  template <class F>
  auto run(F work) -> std::invoke_result_t<F&> {
    for (int attempt = 1;; ++attempt) {
      ++attempts;
      auto made = co_await weir::as_result(work());
      if (made) co_return std::move(made).value();
      if (attempt == 3) std::rethrow_exception(made.exception());
      co_await weir::sleep_for(1ms);
    }
  }
  int attempts = 0;
};

}  // namespace

TEST_CASE("within: a limit for each item; one that takes longer fails the pipeline, or goes to the side") {
  simulate([]() -> weir::task<> {
    auto work = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(n * 10ms);
      co_return std::move(n);
    };
    auto quick = co_await (from(test::numbers(4)) | transform(within(50ms, work)) | collect());
    CHECK(quick == test::up_to(4));
    CHECK(weir::now() == test::at(60ms));
    auto ended = co_await weir::as_result(from(test::numbers(7)) | transform(within(55ms, work), {.workers = 9}) |
                                          weir::for_each([](int) {}));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(weir::now() == test::at(115ms));
    weir::channel<weir::failed_item<int>> late(10);
    auto rest = co_await (from(test::numbers(9)) |
                          transform(within(55ms, work), {.workers = 9, .ordered = true}).or_else(late) | collect());
    CHECK(rest == test::up_to(6));
    CHECK(late.size() == 3);
    CHECK(weir::now() == test::at(170ms));
  });
}

TEST_CASE("within: items that can only be moved, functions of nothing, and other operations than tasks") {
  simulate([]() -> weir::task<> {
    auto same = [](test::item i) -> weir::task<test::item> {
      co_await weir::sleep_for(1ms);
      co_return std::move(i);
    };
    auto all = co_await (from(test::items(3)) | transform(within(1s, same)) | collect());
    CHECK(test::values_of(all) == test::up_to(3));
    auto pause = [](int n) { return weir::sleep_for(n * 1ms); };
    auto ended = co_await weir::as_result(from(test::numbers(9)) | weir::for_each(within(5500us, pause)));
    CHECK(ended.error() == std::errc::timed_out);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("through: every item's calls go through a wrapper that is shared, or taken along") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    auto flaky = [&](const test::item& i) -> weir::task<int> {
      ++calls;
      co_await weir::sleep_for(1ms);
      if (calls % 3 != 0) throw std::runtime_error("not yet");
      co_return i.value;
    };
    thrice shared;
    auto all = co_await (from(test::items(5)) | transform(through(shared, flaky)) | collect());
    CHECK(all == test::up_to(5));
    CHECK(shared.attempts == 15);
    auto taken = co_await (from(test::items(5)) | transform(through(thrice(), flaky)) | collect());
    CHECK(taken == test::up_to(5));
    CHECK(shared.attempts == 15);
    CHECK(calls == 30);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("through: what the wrapper gives up goes to the side with its item; limits and wrappers nest") {
  simulate([]() -> weir::task<> {
    auto hangs_on_odd = [](int n) -> weir::task<int> {
      if (n % 2 == 1) co_await test::never();
      co_return std::move(n);
    };
    thrice again;
    std::vector<int> given_up;
    auto note = [&](const weir::failed_item<int>& failed) { given_up.push_back(failed.item); };
    auto even =
        co_await (from(test::numbers(6)) |
                  transform(through(again, within(10ms, hangs_on_odd)), {.workers = 6, .ordered = true}).or_else(note) |
                  collect());
    CHECK(even == std::vector{0, 2, 4});
    CHECK(test::sorted(given_up) == std::vector{1, 3, 5});
    CHECK(again.attempts == 3 + 9);
    CHECK(weir::now() == test::at(32ms));
  });
}
