#include <weir/sync/detail/waiter.hpp>

#include <thread>

#include <weir/sync/event.hpp>

#include "support.hpp"

using test::simulate;
using weir::detail::admission;
using weir::detail::state_lock;

namespace {

/// The least that an object of sync/ can be: it hands out what is put in, in order.
class counter {
 public:
  void put() noexcept {
    const auto state = lock_.lock();
    weir::detail::waiter* first = waiting_.take_first();
    lock_.unlock(first ? state : state + 1);
    if (first) first->wake_next();
  }
  void put_for_all() noexcept {
    weir::detail::intrusive_list<weir::detail::waiter> all;
    const auto state = lock_.lock();
    waiting_.take_all(all);
    lock_.unlock(state);
    while (!all.empty()) all.pop_front().wake();
  }
  unsigned left() const noexcept { return lock_.peek(); }

  admission enter(weir::detail::waiter& w) noexcept {
    const auto state = lock_.lock();
    if (w.withdrawn() || state > 0) {
      lock_.unlock(w.withdrawn() ? state : state - 1);
      return w.withdrawn() ? admission::refused : admission::passed;
    }
    waiting_.push(w);
    lock_.unlock(state);
    return admission::queued;
  }

  state_lock lock_;
  weir::detail::waiter_queue waiting_;
};

/// Calls `meanwhile` between arming and asking for admission.
class take_operation final : public weir::detail::operation_base, public weir::detail::waiting_leaf {
 public:
  using value_type = void;
  take_operation(counter& from, void (*meanwhile)(void*) noexcept, void* argument) noexcept
      : from_(from), meanwhile_(meanwhile), argument_(argument) {}
  take_operation(const take_operation&) = default;
  ~take_operation() = default;

  bool ready(const weir::detail::await_context&) noexcept { return false; }
  std::coroutine_handle<> start(const weir::detail::await_context& context) noexcept {
    return wait_for(context, [this] {
      if (meanwhile_) meanwhile_(argument_);
      return from_.enter(*this);
    });
  }
  void resume() noexcept { finish(); }
  weir::result<void> resume_result() noexcept {
    finish();
    return weir::result<void>(std::in_place);
  }
  [[nodiscard]] const char* name() const noexcept override { return "take"; }

 private:
  void request_stop(weir::cancellation_cause) noexcept override { withdraw_from(from_.waiting_, from_.lock_); }

  counter& from_;
  void (*meanwhile_)(void*) noexcept;
  void* argument_;
};

take_operation take(counter& from) { return take_operation(from, nullptr, nullptr); }
take_operation take_while(counter& from, weir::cancellation_source& cancelled) {
  return take_operation(
      from, [](void* source) noexcept { static_cast<weir::cancellation_source*>(source)->request_cancellation(); },
      &cancelled);
}

}  // namespace

TEST_CASE("a stop that comes between arming and queueing is remembered: the waiter is refused and takes nothing") {
  for (const bool full : {false, true}) {
    simulate([full]() -> weir::task<> {
      counter c;
      if (full) c.put();
      weir::cancellation_source source;
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), take_while(c, source)));
      CHECK(r.is_cancelled());
      CHECK(c.left() == (full ? 1 : 0));
      c.put();
      CHECK(c.left() == (full ? 2 : 1));
    });
  }
}

TEST_CASE("who has to suspend but need not wait is admitted, and goes on later") {
  simulate([]() -> weir::task<> {
    counter c;
    c.put();
    co_await take(c);
    CHECK(c.left() == 0);
  });
}

TEST_CASE("all waiters can be claimed at once; a stop that comes then finds them gone") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    auto main = []() -> weir::task<> {
      counter c;
      int through = 0;
      std::array<weir::cancellation_source, 5> sources;
      auto takes = [&](weir::cancellation_source& source) -> weir::task<> {
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), take(c)));
        through += r.has_value();
      };
      auto body = [&](weir::task_group& g) -> weir::task<> {
        for (auto& source : sources) g.spawn(takes, std::ref(source));
        co_await test::settle();
        sources[1].request_cancellation();
        c.put_for_all();
        sources[2].request_cancellation();
        sources[4].request_cancellation();
        CHECK(through == 0);
      };
      co_await weir::with_task_group(body);
      CHECK(through == 4);
    };
    simulate(main, seed);
  }
}

TEST_CASE("state_lock: the state changes with the unlock, and not under the holder") {
  state_lock lock(5);
  CHECK(lock.peek() == 5);
  CHECK(lock.lock() == 5);
  CHECK(lock.peek() == (5 | state_lock::held));
  state_lock::state seen = 5;
  CHECK(!lock.change(seen, 6));
  CHECK(seen == (5 | state_lock::held));
  lock.unlock(7);
  CHECK(lock.peek() == 7);
  seen = 7;
  CHECK(lock.change(seen, 8));
  CHECK(lock.peek() == 8);
}

TEST_CASE("stress: state_lock lets one in at a time, and no change gets lost") {
  state_lock lock;
  long plain = 0;
  const int rounds = test::scaled(200'000, 20'000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        if ((i + t) % 2 == 0) {
          const auto state = lock.lock();
          ++plain;
          lock.unlock(state + 1);
          continue;
        }
        state_lock::state seen = lock.peek();
        do {
          seen &= ~state_lock::held;
        } while (!lock.change(seen, seen + 1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(plain == 2L * rounds);
  CHECK(lock.peek() == static_cast<state_lock::state>(4 * rounds));
}

// As nearly at the same moment as chance has it: a task begins to wait, and a thread cancels it and sets the event, in
// either order. Either the wait is stopped and the signal is still there, or it has got the signal.
TEST_CASE("stress: cancellation and signal race with the start of the wait") {
  const int rounds = test::scaled(5'000, 1'500);
  struct bout {
    weir::event event{weir::reset_mode::automatic};
    weir::cancellation_source source;
  };
  std::unique_ptr<bout> present;
  std::atomic<int> begun{0};
  std::atomic<int> acted{0};
  const auto until = [](const std::atomic<int>& counter, int value) {
    for (int looks = 0; counter.load() < value; ++looks) {
      if (looks > 1000) std::this_thread::yield();
    }
  };
  const auto hesitate = [&](unsigned looks) {
    for (; looks > 0; --looks) static_cast<void>(begun.load(std::memory_order_relaxed));
  };
  std::thread other([&] {
    test::dice dice(1);
    for (int round = 1; round <= rounds; ++round) {
      until(begun, round);
      hesitate(dice.roll(200));
      const bool cancels_first = dice.roll(2) != 0;
      if (cancels_first) present->source.request_cancellation();
      if (dice.roll(4) == 0) hesitate(200);
      present->event.set();
      if (!cancels_first) present->source.request_cancellation();
      ++acted;
    }
  });
  int got = 0;
  int wrong = 0;
  std::atomic<bool> ends{false};
  auto keeps_awake = [&]() -> weir::task<> {  // a worker that sleeps comes too late
    while (!ends) co_await weir::yield();
  };
  auto waits = [&]() -> weir::task<> {
    test::dice dice(2);
    for (int round = 1; round <= rounds; ++round) {
      present = std::make_unique<bout>();
      begun.store(round);
      hesitate(dice.roll(400));
      const auto r = co_await weir::as_result(weir::with_cancellation(present->source.token(), present->event.wait()));
      until(acted, round);
      got += r.has_value();
      wrong += r.has_value() == present->event.is_set();
    }
    ends = true;
  };
  auto main = [&]() -> weir::task<> { co_await weir::when_all(keeps_awake(), waits()); };
  weir::run(main(), {.workers = 2});
  other.join();
  CHECK(wrong == 0);
  CHECK(got > 0);
  CHECK(got < rounds);
}
