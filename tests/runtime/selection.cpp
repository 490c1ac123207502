#include <weir/runtime/detail/selection.hpp>

#include <thread>

#include <weir/sync/select.hpp>

#include "support.hpp"

using test::simulate;
using weir::detail::case_link;
using weir::detail::selection;

namespace {

/// A selection whose select is the test itself.
class by_hand final : public selection {
 public:
  using selection::armed_outcome;
  using selection::decide_stop;
  using selection::finish_arming;
  using selection::open_again;
  using selection::take_back;
  using selection::winner;

  int went_on = 0;
  bool next = false;

 private:
  void go_on(bool before_its_turn) noexcept override {
    ++went_on;
    next = before_its_turn;
  }
};
using outcome = by_hand::armed_outcome;

}  // namespace

TEST_CASE("a selection is decided once, for the first who claims it") {
  by_hand s;
  CHECK(!s.is_decided());
  CHECK(s.claim(3));
  CHECK(s.is_decided());
  CHECK(!s.claim(4));
  CHECK(!s.hold(5));
  CHECK(!s.take_back());
  CHECK(s.winner() == 3);
}

TEST_CASE("a select goes on when it is armed and fulfilled, whichever comes first") {
  {
    by_hand s;
    CHECK(s.finish_arming() == outcome::waiting);
    CHECK(s.claim(1));
    CHECK(s.went_on == 0);
    s.fulfil(true);
    CHECK(s.went_on == 1);
    CHECK(s.next);
  }
  {
    by_hand s;
    CHECK(s.claim(1));
    s.fulfil(false);
    CHECK(s.went_on == 0);
    CHECK(s.finish_arming() == outcome::fulfilled);
  }
  {
    by_hand s;
    CHECK(s.claim(1));
    CHECK(s.finish_arming() == outcome::waiting);
    s.fulfil(false);
    CHECK(s.went_on == 1);
    CHECK(!s.next);
  }
}

TEST_CASE("what is held can be dropped, for others to claim, or confirmed") {
  by_hand s;
  CHECK(s.hold(1));
  CHECK(!s.is_decided());
  s.drop();
  CHECK(s.hold(2));
  CHECK(s.finish_arming() == outcome::waiting);
  s.confirm();
  CHECK(s.is_decided());
  CHECK(!s.claim(3));
  CHECK(s.winner() == 2);
  s.fulfil(false);
  CHECK(s.went_on == 1);
}

TEST_CASE("taken back, nobody can claim; opened again, everybody can") {
  by_hand s;
  CHECK(s.take_back());
  CHECK(!s.claim(1));
  CHECK(s.open_again());
  CHECK(!s.is_decided());
  CHECK(s.claim(2));
  CHECK(!s.take_back());
}

TEST_CASE("a stop decides, if nothing else has, and is told whose business it is to complete") {
  {
    by_hand s;  // all armed: the stop's
    CHECK(s.finish_arming() == outcome::waiting);
    CHECK(s.decide_stop());
    CHECK(!s.claim(1));
  }
  {
    by_hand s;  // still arming: the select's
    CHECK(!s.decide_stop());
    CHECK(!s.claim(1));
    CHECK(!s.take_back());
    CHECK(s.finish_arming() == outcome::stopped);
  }
  {
    by_hand s;  // taken back: found when it is to be opened again
    CHECK(s.take_back());
    CHECK(!s.decide_stop());
    CHECK(!s.open_again());
    CHECK(!s.claim(1));
  }
  {
    by_hand s;  // too late
    CHECK(s.claim(1));
    CHECK(!s.decide_stop());
    s.fulfil(false);
    CHECK(s.finish_arming() == outcome::fulfilled);
  }
  {
    by_hand s;  // opened again, then stopped
    CHECK(s.take_back());
    CHECK(s.open_again());
    CHECK(!s.decide_stop());
    CHECK(s.finish_arming() == outcome::stopped);
  }
}

TEST_CASE("a default-made link is a waiting of its own, which can always be claimed") {
  const case_link alone;
  CHECK(!alone);
  CHECK(alone.claim());
  by_hand s;
  const case_link first{&s, 0};
  const case_link second{&s, 1};
  CHECK(first);
  CHECK(second.claim());
  CHECK(!first.claim());
  CHECK(s.winner() == 1);
}

TEST_CASE("of threads that claim, hold, take back and stop at once exactly one decides") {
  for (int round = 0; round < test::scaled(2000, 300); ++round) {
    by_hand s;
    const bool armed = round % 2 == 0;
    if (armed) CHECK(s.finish_arming() == outcome::waiting);
    std::atomic<int> decided{0};
    std::atomic<int> start{0};
    auto together = [&start] {
      ++start;
      while (start < 4) std::this_thread::yield();
    };
    std::thread claims([&] {
      together();
      if (s.claim(1)) {
        ++decided;
        s.fulfil(false);
      }
    });
    std::thread holds([&] {
      together();
      for (int i = 0; i < 3; ++i) {
        if (!s.hold(2)) return;
        s.drop();
      }
      if (!s.hold(2)) return;
      s.confirm();
      ++decided;
      s.fulfil(false);
    });
    std::thread stops([&] {
      together();
      s.decide_stop();
    });
    bool mine = false;
    bool stopped = false;
    together();
    if (!armed) {
      while (!mine && !stopped && s.take_back()) {
        if (round % 4 == 1) {
          mine = true;
        } else {
          stopped = !s.open_again();
        }
        std::this_thread::yield();
      }
    }
    claims.join();
    holds.join();
    stops.join();
    REQUIRE(s.is_decided());
    if (mine) {
      CHECK(decided == 0);
    } else if (!armed && !stopped) {
      // A stop that was found while arming is told now.
      CHECK((s.finish_arming() == outcome::stopped) == (decided == 0));
    } else {
      CHECK(decided <= 1);
    }
    if (armed) CHECK(s.went_on == decided);
  }
}

// ---- whatever follows the protocol can be selected

namespace {

/// A cell that one operation can wait for.
template <class T>
struct cell {
  explicit cell(T initial) : value(std::move(initial)) {}
  T value;
  bool full = false;
  case_link waiting;

  void put() {
    if (waiting && waiting.claim()) {
      std::exchange(waiting, {}).in->fulfil(false);
    } else {
      full = true;
    }
  }
};

template <class T>
class take_operation final : public weir::detail::operation_base {
 public:
  using value_type = T&;
  explicit take_operation(cell<T>& from) noexcept : from_(from) {}

  bool ready(const weir::detail::await_context&) noexcept { return true; }
  std::coroutine_handle<> start(const weir::detail::await_context&) noexcept { return std::noop_coroutine(); }
  T& resume() noexcept { return from_.value; }
  weir::result<T&> resume_result() noexcept { return weir::result<T&>(std::in_place, from_.value); }

  bool try_commit() noexcept { return std::exchange(from_.full, false); }
  bool arm_case(case_link link) noexcept {
    if (from_.full) return false;
    from_.waiting = link;
    return true;
  }
  void withdraw_case() noexcept { from_.waiting = {}; }
  [[nodiscard]] const void* case_object() const noexcept { return &from_; }

 private:
  cell<T>& from_;
};
static_assert(weir::detail::selectable<take_operation<int>>);
static_assert(weir::detail::selectable<decltype(weir::sleep_for(1s))>);
static_assert(weir::detail::selectable<decltype(std::declval<weir::interval&>().tick())>);
static_assert(!weir::detail::selectable<decltype(weir::yield())>);
static_assert(!weir::detail::selectable<weir::task<int>>);
static_assert(!weir::detail::selectable<int>);

}  // namespace

TEST_CASE("an operation with a reference for its value is selected as such") {
  simulate([]() -> weir::task<> {
    cell<int> a(1);
    cell<std::string> b("b");
    b.full = true;
    auto at_once = co_await weir::select(take_operation(a), take_operation(b));
    REQUIRE(at_once.index() == 1);
    static_assert(std::is_same_v<decltype(at_once.get<1>()), std::string&>);
    CHECK(&at_once.get<1>() == &b.value);
    CHECK(!b.full);
    CHECK(!weir::try_select(take_operation(a), take_operation(b)));
    a.full = true;
    auto tried = weir::try_select(take_operation(a), take_operation(b));
    REQUIRE(tried);
    CHECK(&tried->get<0>() == &a.value);

    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto puts = [&]() -> weir::task<> {
        co_await weir::sleep_for(1ms);
        a.put();
      };
      g.spawn(puts);
      auto waited = co_await weir::select(take_operation(a), take_operation(b), weir::sleep_for(1s));
      REQUIRE(waited.index() == 0);
      CHECK(&waited.get<0>() == &a.value);
      CHECK(!b.waiting);
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("sleeps and ticks can be selected without anything of sync/") {
  simulate([]() -> weir::task<> {
    weir::interval every(3ms);
    co_await every.tick();
    const auto slept = co_await weir::select(every.tick(), weir::sleep_for(2ms));
    CHECK(slept.index() == 1);
    const auto ticked = co_await weir::select(every.tick(), weir::sleep_for(2ms));
    REQUIRE(ticked.index() == 0);
    CHECK(ticked.get<0>() == weir::now());
    CHECK(!weir::try_select(every.tick(), weir::sleep_for(1ns)));
    CHECK(weir::try_select(every.tick(), weir::sleep_until(weir::now())));
  });
}
