#include <weir/sync/detail/completion.hpp>

#include <thread>

#include "support.hpp"

using weir::detail::completion;
using weir::detail::completion_wait_operation;

namespace {

/// What two share, as a pool's job and its ticket do.
struct shared {
  completion done;
  test::counted life;

  void happen() {
    if (done.happen()) delete this;
  }
  void let_go() {
    if (done.let_go()) delete this;
  }
};

weir::task<> waits(shared& s) {
  co_await completion_wait_operation(s.done, "test");
  CHECK(s.done.happened());
}

}  // namespace

TEST_CASE("completion: the last of the two is told, in either order") {
  auto* const first = new shared;
  CHECK(!first->done.happened());
  first->happen();
  CHECK(first->done.happened());
  first->let_go();
  CHECK(test::counted::alive == 0);
  auto* const second = new shared;
  second->let_go();
  CHECK(test::counted::alive == 1);
  second->happen();
  CHECK(test::counted::alive == 0);
}

TEST_CASE("completion: waits, cancelled waits, selects, and the last of them destroys") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const auto main = [seed]() -> weir::task<> {
      test::dice dice(seed);
      auto* const s = new shared;
      const auto holder = [&]() -> weir::task<> {
        if (dice.roll(2) == 0) {
          auto r = co_await weir::as_result(weir::with_timeout(2ns, waits(*s)));
          if (r.has_value()) CHECK(s->done.happened());
        }
        if (dice.roll(2) == 0) {
          auto chosen = co_await weir::select(completion_wait_operation(s->done, "test"), weir::sleep_for(1ns));
          if (chosen.index() == 0) CHECK(s->done.happened());
        }
        if (dice.roll(2) == 0) co_await waits(*s);
        s->let_go();
      };
      const auto maker = [&]() -> weir::task<> {
        for (unsigned n = dice.roll(5); n != 0; --n) co_await weir::yield();
        if (dice.roll(2) == 0) co_await weir::sleep_for(2ns);
        s->happen();
      };
      auto spawns = [&](weir::task_group& group) {
        group.spawn(holder);
        group.spawn(maker);
      };
      co_await test::together(spawns);
      CHECK(test::counted::alive == 0);
    };
    test::simulate(main, seed);
  }
}

TEST_CASE("completion: between two threads, each way round") {
  for (int n = 0; n < test::scaled(5'000, 500); ++n) {
    auto* const s = new shared;
    std::thread other([s] { s->happen(); });
    s->let_go();
    other.join();
  }
  CHECK(test::counted::alive == 0);
  weir::runtime rt{{.workers = 2}};
  const auto main = []() -> weir::task<> {
    for (int n = 0; n < test::scaled(5'000, 500); ++n) {
      auto* const s = new shared;
      const auto make = [](shared* made) -> weir::task<> {
        made->happen();
        co_return;
      };
      auto made = weir::spawn(make, s);
      co_await waits(*s);
      s->let_go();
      co_await made.join();
    }
  };
  rt.block_on(main());
  CHECK(test::counted::alive == 0);
}
