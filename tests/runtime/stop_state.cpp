#include <thread>

#include <weir/runtime/detail/stop_state.hpp>

#include "support.hpp"

// The slot through which a stop finds what a strand is in: entering, leaving and cancelling meet in every order.

namespace {

using weir::cancellation_cause;
using weir::detail::stop_state;

class place final : public weir::detail::stoppable {
 public:
  void request_stop(cancellation_cause because) noexcept override {
    inside = true;
    cause = because;
    ++told;
    inside = false;
  }
  void visit(weir::detail::wait_visitor&) const override {}

  cancellation_cause cause = cancellation_cause::none;
  std::atomic<int> told{0};
  std::atomic<bool> inside{false};
};

class scope_state final : public stop_state {};

}  // namespace

TEST_CASE("stop state: who is inside is told once, with the cause; who comes later is refused") {
  for (bool shared : {false, true}) {
    scope_state state;
    state.set_shared(shared);
    place first;
    place second;
    CHECK(state.arm(first));
    CHECK(state.inner() == &first);
    state.disarm(first);
    CHECK(state.inner() == nullptr);
    CHECK(state.arm(second));
    CHECK(state.request(cancellation_cause::deadline));
    CHECK(!state.request(cancellation_cause::requested));
    CHECK(state.cause() == cancellation_cause::deadline);
    CHECK(first.told == 0);
    CHECK(second.told == 1);
    CHECK(state.inner() == &second);  // until it leaves
    CHECK(second.cause == cancellation_cause::deadline);
    state.disarm(second);
    CHECK(!state.arm(first));
    CHECK(state.inner() == nullptr);
  }
}

TEST_CASE("stop state: states inside states pass the stop on to the innermost") {
  class nested final : public weir::detail::stoppable {
   public:
    void request_stop(cancellation_cause because) noexcept override { state.request(because); }
    void visit(weir::detail::wait_visitor&) const override {}
    scope_state state;
  };
  scope_state outer;
  std::vector<nested> levels(100);
  place innermost;
  stop_state* around = &outer;
  for (nested& level : levels) {
    CHECK(around->arm(level));
    around = &level.state;
  }
  CHECK(around->arm(innermost));
  outer.request(cancellation_cause::shutdown);
  CHECK(innermost.told == 1);
  CHECK(innermost.cause == cancellation_cause::shutdown);
}

TEST_CASE("stop state: a request meets arm and disarm at every moment; after disarm nobody is told") {
  const int rounds = test::scaled(200'000, 30'000);
  std::atomic<scope_state*> target{nullptr};
  std::atomic<bool> through{false};
  std::atomic<bool> leave{false};
  std::thread canceller([&] {
    while (!leave) {
      if (scope_state* state = target.exchange(nullptr)) {
        state->request(cancellation_cause::requested);
        through = true;
      } else {
        std::this_thread::yield();
      }
    }
  });
  int refused = 0;
  int told = 0;
  for (int i = 0; i < rounds; ++i) {
    scope_state state;
    place inner;
    target = &state;
    for (volatile int k = 0; k < i % 60;) k = k + 1;
    const bool armed = state.arm(inner);
    for (volatile int k = 0; k < i % 7;) k = k + 1;
    if (armed) state.disarm(inner);
    const int after = inner.told;
    if (inner.inside) FAIL("it is being told after disarm");
    if (!armed) ++refused;
    told += after;
    // The state must live until its canceller is through.
    while (!through) std::this_thread::yield();
    through = false;
    if (inner.told != after) FAIL("it was told after disarm");
    if (!armed && inner.told != 0) FAIL("it was refused and told");
    if (inner.told > 1) FAIL("it was told twice");
  }
  leave = true;
  canceller.join();
  CHECK(refused + told <= rounds);
}
