#include <algorithm>
#include <list>
#include <map>
#include <random>

#include <weir/runtime/detail/timer_wheel.hpp>

#include "support.hpp"

// The wheel alone, against the obvious model: a sorted map.

namespace {

using weir::detail::timer_cancel;
using weir::detail::timer_wheel;

class probe final : public weir::detail::timer {
 public:
  probe() = default;
  probe(std::vector<int>& fired, int name) : fired_(&fired), name_(name) {}
  std::function<void()> then;

 private:
  void fire() noexcept override {
    if (fired_) fired_->push_back(name_);
    if (then) then();
    settle();
  }
  std::vector<int>* fired_ = nullptr;
  int name_ = 0;
};

weir::time_point at(std::int64_t ns) { return weir::time_point(weir::duration(ns)); }

/// The microsecond, counted from the epoch, at which a timer is due: rounded up, and never before the next one.
std::int64_t tick_of(weir::time_point due, weir::time_point epoch, std::int64_t elapsed) {
  const std::int64_t ns = (due - epoch).count();
  return std::max(ns <= 0 ? 0 : (ns + 999) / 1000, elapsed + 1);
}

}  // namespace

TEST_CASE("timer wheel: one timer fires once, not before its time") {
  for (std::int64_t ns : {1LL, 999LL, 1000LL, 1001LL, 63'000LL, 64'000LL, 65'000LL, 4'095'999LL, 4'096'000LL,
                          3'600'000'000'000LL, 86'400'000'000'000LL * 365}) {
    CAPTURE(ns);
    std::vector<int> fired;
    timer_wheel wheel(at(5), false);
    probe t(fired, 1);
    CHECK(wheel.empty());
    CHECK(wheel.next_due() == weir::detail::no_deadline);
    CHECK(wheel.arm(t, at(5 + ns)));
    CHECK(!wheel.empty());
    const std::int64_t due = 5 + (ns + 999) / 1000 * 1000;
    wheel.advance(at(due - 1));
    CHECK(fired.empty());
    CHECK(wheel.next_due() <= at(due));
    CHECK(wheel.next_due() > at(5));
    wheel.advance(at(due));
    CHECK(fired == std::vector<int>{1});
    CHECK(wheel.empty());
    wheel.advance(at(due + 1'000'000));
    CHECK(fired.size() == 1);
  }
}

TEST_CASE("timer wheel: deadlines in the past fire at the next advance, deadlines of 'never' do not") {
  std::vector<int> fired;
  timer_wheel wheel(at(0), false);
  wheel.advance(at(1'000'000));
  probe past(fired, 1);
  probe never(fired, 2);
  CHECK(wheel.arm(past, at(3)));
  CHECK(wheel.arm(never, weir::detail::no_deadline));
  wheel.advance(at(1'001'000));
  CHECK(fired == std::vector<int>{1});
  CHECK(wheel.empty());
  CHECK(timer_wheel::cancel(never) == timer_cancel::removed);
  CHECK(timer_wheel::cancel(past) == timer_cancel::too_late);
}

TEST_CASE("timer wheel: cancelled before it was armed, while it is, and after it fired") {
  std::vector<int> fired;
  timer_wheel wheel(at(0), true);
  probe early(fired, 1);
  CHECK(timer_wheel::cancel(early) == timer_cancel::withdrawn);
  CHECK(!wheel.arm(early, at(1000)));
  probe early_never(fired, 1);
  CHECK(timer_wheel::cancel(early_never) == timer_cancel::withdrawn);
  CHECK(!wheel.arm(early_never, weir::detail::no_deadline));
  probe armed(fired, 2);
  CHECK(wheel.arm(armed, at(1000)));
  CHECK(timer_wheel::cancel(armed) == timer_cancel::removed);
  CHECK(wheel.empty());
  probe late(fired, 3);
  CHECK(wheel.arm(late, at(1000)));
  wheel.advance(at(1000));
  CHECK(timer_wheel::cancel(late) == timer_cancel::too_late);
  CHECK(fired == std::vector<int>{3});
}

TEST_CASE("timer wheel: a timer that has fired or was removed can be armed again, for a time or for never") {
  std::vector<int> fired;
  timer_wheel wheel(at(0), false);
  probe t(fired, 1);
  for (int i = 1; i <= 10; ++i) {
    CHECK(wheel.arm(t, at(i * 1000)));
    wheel.advance(at(i * 1000));
  }
  CHECK(fired.size() == 10);
  CHECK(wheel.arm(t, weir::detail::no_deadline));
  CHECK(timer_wheel::cancel(t) == timer_cancel::removed);
  CHECK(wheel.arm(t, at(20'000)));
  CHECK(timer_wheel::cancel(t) == timer_cancel::removed);
  CHECK(wheel.arm(t, at(30'000)));
  wheel.advance(at(30'000));
  CHECK(fired.size() == 11);
}

TEST_CASE("timer wheel: timers of the same microsecond fire in the order in which they were armed") {
  std::vector<int> fired;
  timer_wheel wheel(at(0), false);
  std::list<probe> timers;
  // The same deadline, armed from ever nearer: they wait on every level of the wheel.
  const weir::time_point due = at(90'000'000'000);
  weir::time_point now = at(0);
  for (int i = 0; i < 200; ++i) {
    timers.emplace_back(fired, i);
    CHECK(wheel.arm(timers.back(), due));
    now += (due - now) / 3;
    wheel.advance(now);
  }
  CHECK(fired.empty());
  wheel.advance(due);
  REQUIRE(fired.size() == 200);
  CHECK(std::is_sorted(fired.begin(), fired.end()));
}

TEST_CASE("timer wheel: a firing timer may arm others and cancel those that are due with it") {
  std::vector<int> fired;
  timer_wheel wheel(at(0), false);
  probe first(fired, 1);
  probe second(fired, 2);
  probe third(fired, 3);
  first.then = [&] {
    CHECK(timer_wheel::cancel(second) == timer_cancel::removed);
    CHECK(wheel.arm(third, at(1000)));  // past already: the next microsecond
  };
  wheel.arm(first, at(1000));
  wheel.arm(second, at(1000));
  wheel.advance(at(1000));
  CHECK(fired == std::vector<int>{1});
  wheel.advance(at(2000));
  CHECK(fired == std::vector<int>{1, 3});
  CHECK(wheel.empty());
}

TEST_CASE("timer wheel: random operations agree with a sorted map") {
  const int seeds = test::scaled(60, 15);
  for (int seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(static_cast<std::uint64_t>(seed));
    const auto below = [&](std::uint64_t bound) { return static_cast<std::int64_t>(random() % bound); };
    // Spans from nanoseconds to far beyond the wheel's nine years.
    const auto span = [&] { return below(std::uint64_t{1} << below(62)) + 1; };
    const weir::time_point epoch = at(below(1'000'000'000));
    timer_wheel wheel(epoch, seed % 2 == 0);
    std::vector<int> fired;
    std::list<probe> timers;
    std::map<int, probe*> armed;
    std::map<std::pair<std::int64_t, int>, int> model;  // (tick, order of arming) -> name
    std::map<int, std::pair<std::int64_t, int>> where;
    std::int64_t now = epoch.time_since_epoch().count();
    std::int64_t elapsed = 0;
    std::size_t wrong = 0;
    for (int name = 0; name < 2000; ++name) {
      switch (below(4)) {
        case 0:
        case 1: {
          timers.emplace_back(fired, name);
          const std::int64_t length = std::min(span() - below(3), std::int64_t{1} << 61);
          const weir::time_point due = at(std::min(now, std::int64_t{1} << 62) + length);
          if (!wheel.arm(timers.back(), due)) ++wrong;
          const std::pair<std::int64_t, int> key(tick_of(due, epoch, elapsed), name);
          model[key] = name;
          where[name] = key;
          armed[name] = &timers.back();
          break;
        }
        case 2: {
          if (armed.empty()) break;
          auto victim = std::next(armed.begin(), below(armed.size()));
          if (timer_wheel::cancel(*victim->second) != timer_cancel::removed) ++wrong;
          model.erase(where[victim->first]);
          armed.erase(victim);
          break;
        }
        default: {
          const std::int64_t step = std::min(span(), std::int64_t{1} << 58);
          if (now > (std::int64_t{1} << 61)) break;
          now += step;
          std::vector<int> expected;
          const std::int64_t target = (now - epoch.time_since_epoch().count()) / 1000;
          if (!model.empty()) {
            const weir::time_point first = epoch + weir::duration(model.begin()->first.first * 1000);
            if (wheel.next_due() > first) ++wrong;
          }
          while (!model.empty() && model.begin()->first.first <= target) {
            expected.push_back(model.begin()->second);
            armed.erase(model.begin()->second);
            model.erase(model.begin());
          }
          fired.clear();
          const std::size_t count = wheel.advance(at(now));
          if (count != expected.size() || fired != expected) ++wrong;
          elapsed = std::max(elapsed, target);
          break;
        }
      }
      if (wheel.empty() != model.empty()) ++wrong;
    }
    CHECK(wrong == 0);
    for (auto& [name, t] : armed) CHECK(timer_wheel::cancel(*t) == timer_cancel::removed);
    CHECK(wheel.empty());
  }
}

TEST_CASE("timer wheel: next_due leads to the first timer in few steps") {
  timer_wheel wheel(at(0), false);
  probe t;
  wheel.arm(t, at(86'400'000'000'000));
  int steps = 0;
  while (!wheel.empty()) {
    wheel.advance(wheel.next_due());
    ++steps;
  }
  CHECK(steps <= 8);
}
