#include <map>
#include <thread>

#include "support.hpp"

// The simulation itself: it repeats, it finds deadlocks and names them. And random programs in it, for thousands of
// seeds: whatever is started ends, in the order that the documentation promises.

namespace {

/// A failure that can be told from every other.
class boom final : public std::exception {
 public:
  explicit boom(int id) noexcept : id_(id) {}
  [[nodiscard]] int id() const noexcept { return id_; }
  [[nodiscard]] const char* what() const noexcept override { return "boom"; }

 private:
  int id_;
};

/// What a random program has done and where it broke a promise.
class program {
 public:
  explicit program(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) { reports.clear(); }

  std::uint64_t below(std::uint64_t bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % bound;
  }
  weir::duration moment() { return std::chrono::microseconds(below(2000)); }
  /// False when the program is big enough.
  bool more() { return ++nodes < 400; }
  void note(std::uint64_t what) { trace.emplace_back(what, weir::now().time_since_epoch().count()); }
  void violated(const char* promise) { violations.emplace_back(promise); }
  [[noreturn]] void fail() {
    ++thrown;
    throw boom(thrown);
  }
  void see(const std::exception_ptr& exception) {
    try {
      std::rethrow_exception(exception);
    } catch (const boom& e) {
      ++seen[e.id()];
    } catch (const weir::timed_out&) {
    } catch (const weir::cancelled&) {
    } catch (...) {
      violated("an exception came from nowhere");
    }
  }
  template <class T>
  void see(const weir::result<T>& r) {
    if (!r.has_value()) see(r.exception());
  }
  static void report(const std::exception_ptr& exception) noexcept {
    try {
      std::rethrow_exception(exception);
    } catch (const boom& e) {
      ++reports[e.id()];
    } catch (...) {
    }
  }

  int nodes = 0;
  int thrown = 0;
  int alive = 0;
  std::map<int, int> seen;
  static inline std::map<int, int> reports;
  std::vector<std::pair<std::uint64_t, std::int64_t>> trace;
  test::log violations;

 private:
  std::uint64_t state_;
};

/// Lives as long as something must.
class ticket {
 public:
  explicit ticket(int& count) : count_(&count) { ++count; }
  ticket(ticket&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  ticket& operator=(ticket&&) = delete;
  ~ticket() {
    if (count_) --*count_;
  }

 private:
  int* count_;
};

/// Looks, when it dies, whether a count is zero.
class must_be_zero {
 public:
  must_be_zero(program& p, const int& count, const char* promise, bool only_unwinding = false)
      : program_(p), count_(count), promise_(promise), only_unwinding_(only_unwinding) {}
  must_be_zero(const must_be_zero&) = delete;
  must_be_zero& operator=(const must_be_zero&) = delete;
  ~must_be_zero() {
    if (count_ != 0 && (!only_unwinding_ || weir::unwinding())) program_.violated(promise_);
  }

 private:
  program& program_;
  const int& count_;
  const char* promise_;
  bool only_unwinding_;
};

weir::task<int> node(program& p, int depth);

weir::task<> leaf(program& p) {
  const ticket guard(p.alive);
  const bool stopped = weir::current_token().is_cancellation_requested();
  switch (p.below(4)) {
    case 0: {
      const weir::time_point begin = weir::now();
      const weir::duration length = p.moment();
      co_await weir::sleep_for(length);
      if (weir::now() < begin + length) p.violated("a sleep never ends early");
      break;
    }
    case 1:
      co_await weir::yield();
      break;
    case 2:
      co_await weir::checkpoint();
      break;
    default: {
      const int value = co_await weir::offload([] { return 3; });
      if (value != 3) p.violated("offload completes with the value");
      break;
    }
  }
  if (stopped) p.violated("under a cancelled token every leaf stops");
}

weir::task<> timeout_of_a_sleep(program& p) {
  const ticket guard(p.alive);
  const weir::time_point begin = weir::now();
  const weir::duration length = p.moment();
  const weir::duration limit = p.moment();
  const auto r = co_await weir::as_result(weir::with_timeout(limit, weir::sleep_for(length)));
  if (r.has_value() && weir::now() < begin + length) p.violated("a sleep in a timeout never ends early");
  if (!r.has_value() && weir::now() < begin + limit) p.violated("a timeout never comes early");
  if (!r.has_value() && r.error() != std::errc::timed_out) p.violated("a timeout throws timed_out");
}

weir::task<> group(program& p, int depth) {
  const ticket guard(p.alive);
  int children = 0;
  const must_be_zero joined(p, children, "children are joined before the scope is left");
  auto child = [](program& of, int d, ticket) -> weir::task<int> {
    const int value = co_await node(of, d);
    co_return value;
  };
  auto body = [&](weir::task_group& g) -> weir::task<int> {
    const ticket inner(p.alive);
    const must_be_zero locals(p, children, "a stopped body's locals outlive the children", true);
    std::vector<weir::join_handle<int>> handles;
    const std::uint64_t count = p.below(5);
    for (std::uint64_t i = 0; i < count; ++i) {
      handles.push_back(g.spawn(child, std::ref(p), depth - 1, ticket(children)));
      if (p.below(6) == 0) handles.back().request_cancellation();
    }
    switch (p.below(7)) {
      case 0:
        p.fail();
      case 1:
        g.cancel();
        break;
      case 2: {
        const int value = co_await node(p, depth - 1);
        static_cast<void>(value);
        break;
      }
      case 3:
        for (auto& h : handles) {
          const auto r = co_await weir::as_result(weir::with_timeout(p.moment(), h.join()));
          p.see(r);
        }
        break;
      default:
        break;
    }
    if (p.below(2) == 0) {
      co_await g.join();
      if (children != 0) p.violated("join() completes when no child is left");
    }
    co_return 1;
  };
  if (p.below(2) == 0) {
    const auto r = co_await weir::as_result(weir::with_task_group(body));
    p.see(r);
  } else {
    const auto r = co_await weir::as_result(weir::with_supervisor(body));
    p.see(r);
  }
  if (children != 0) p.violated("children are joined when the scope is left");
}

weir::task<> cleanup(program& p, int depth) {
  const ticket guard(p.alive);
  int missing = 1;
  const must_be_zero ran(p, missing, "a cleanup runs whatever happens");
  auto fn = [&](const weir::cleanup_outcome& outcome) -> weir::task<> {
    const ticket inner(p.alive);
    missing = 0;
    if (weir::current_token().is_cancellation_requested()) p.violated("a cleanup is shielded");
    if (outcome.exception() && outcome.is_stopped()) p.violated("an outcome is one thing");
    const std::uint64_t what = p.below(4);
    if (what == 0) p.fail();
    if (what == 1) {
      const int value = co_await node(p, depth - 1);
      static_cast<void>(value);
    }
    co_await weir::sleep_for(p.moment());
  };
  const auto r = co_await weir::as_result(weir::with_cleanup(node(p, depth - 1), fn, 1ms));
  p.see(r);
}

weir::task<> by_source(program& p, int depth) {
  const ticket guard(p.alive);
  weir::cancellation_source source;
  auto cancels = [&]() -> weir::task<> {
    co_await weir::sleep_for(p.moment());
    source.request_cancellation();
  };
  auto stopped = [&]() -> weir::task<> {
    const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), node(p, depth - 1)));
    p.see(r);
  };
  co_await weir::when_all(stopped(), cancels());
}

weir::task<int> node(program& p, int depth) {
  const ticket guard(p.alive);
  const std::uint64_t steps = 1 + p.below(3);
  for (std::uint64_t i = 0; i < steps; ++i) {
    const std::uint64_t what = depth == 0 || !p.more() ? p.below(3) : p.below(13);
    p.note(what);
    switch (what) {
      case 0:
      case 1:
        co_await leaf(p);
        break;
      case 2:
        co_await timeout_of_a_sleep(p);
        break;
      case 3:
      case 4:
        co_await group(p, depth);
        break;
      case 5: {
        const auto r = co_await weir::as_result(weir::with_timeout(p.moment(), node(p, depth - 1)));
        p.see(r);
        break;
      }
      case 6: {
        const auto r = co_await weir::as_result(weir::when_all(node(p, depth - 1), leaf(p), node(p, depth - 1)));
        p.see(r);
        break;
      }
      case 7: {
        const auto r = co_await weir::as_result(weir::when_any(node(p, depth - 1), leaf(p), node(p, depth - 1)));
        p.see(r);
        break;
      }
      case 8:
        co_await cleanup(p, depth);
        break;
      case 9: {
        const auto r = co_await weir::as_result(weir::shielded(node(p, depth - 1)));
        p.see(r);
        break;
      }
      case 10:
        co_await by_source(p, depth);
        break;
      case 11: {
        auto h = weir::spawn(node(p, depth - 1));
        if (p.below(3) == 0) break;  // dropped
        if (p.below(2) == 0) h.request_cancellation();
        const auto r = co_await weir::as_result(weir::with_timeout(p.moment(), h.join()));
        p.see(r);
        break;
      }
      default:
        if (p.below(2) == 0) p.fail();
        break;
    }
  }
  co_return static_cast<int>(depth);
}

/// Runs the program of this seed; what it broke, and its trace.
program run_program(std::uint64_t seed) {
  program p(seed);
  {
    weir::runtime world = weir::runtime_access::make({.on_error = program::report}, {.enabled = true, .seed = seed});
    auto main = [&]() -> weir::task<> {
      const auto r = co_await weir::as_result(weir::with_timeout(15 * p.moment(), node(p, 5)));
      p.see(r);
    };
    world.block_on(main());
  }
  if (p.alive != 0) p.violated("everything that was made is destroyed");
  for (int id = 1; id <= p.thrown; ++id) {
    const int reported = program::reports.contains(id) ? program::reports[id] : 0;
    if (reported > 1) p.violated("a failure is reported once at most");
    if (reported == 0 && !p.seen.contains(id)) p.violated("no failure is lost");
  }
  return p;
}

std::string deadlock_of(weir::task<> (*main)()) {
  try {
    weir::simulation world{{.seed = 3}};
    world.run(main());
  } catch (const weir::deadlock& e) {
    return e.what();
  }
  return "";
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

weir::task<> waits_for_ever(const char*) { co_await weir::sleep_until(weir::time_point::max()); }

}  // namespace

TEST_CASE("simulation: random programs keep every promise, for thousands of seeds") {
  const std::uint64_t seeds = test::scaled(4000, 500);
  long nodes = 0;
  long failures = 0;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const program p = run_program(seed);
    nodes += p.nodes;
    failures += p.thrown;
    if (!p.violations.empty()) {
      CAPTURE(seed);
      CAPTURE(p.violations.front());
      CHECK(p.violations.empty());
    }
  }
  // They are programs worth running.
  CHECK(nodes > 20 * static_cast<long>(seeds));
  CHECK(failures > static_cast<long>(seeds));
}

TEST_CASE("simulation: the same seed gives the same run; another seed another one") {
  int different = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const program first = run_program(seed);
    CHECK(first.trace == run_program(seed).trace);
  }
  auto order = []() -> weir::task<std::string> {
    std::string names;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&](char name) -> weir::task<> {
        for (int i = 0; i < 4; ++i) {
          names += name;
          co_await weir::yield();
        }
      };
      for (char name : {'a', 'b', 'c', 'd'}) g.spawn(child, name);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    co_return names;
  };
  const std::string reference = test::simulate(order, 0);
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const std::string names = test::simulate(order, seed);
    CHECK(names == test::simulate(order, seed));
    if (names != reference) ++different;
  }
  CHECK(different > 40);
}

TEST_CASE("simulation: time is virtual, starts at zero and goes on from run to run") {
  const auto begin = std::chrono::steady_clock::now();
  weir::simulation world{{.seed = 1}};
  auto year = []() -> weir::task<weir::time_point> {
    co_await weir::sleep_for(24h * 365);
    co_return weir::now();
  };
  CHECK(world.run(year()) == weir::time_point() + 24h * 365);
  CHECK(world.run(year()) == weir::time_point() + 2 * 24h * 365);
  CHECK(std::chrono::steady_clock::now() - begin < 10s);
}

TEST_CASE("simulation: when every task waits and no timer is left, the report names each, its awaits and its leaf") {
  const std::string report = deadlock_of([]() -> weir::task<> {
    auto body = [](weir::task_group& g) -> weir::task<> {
      g.spawn(waits_for_ever("a child"));
      co_await weir::with_timeout(std::chrono::hours::max(), g.join());
    };
    auto spawned = []() -> weir::task<> { co_await waits_for_ever("spawned"); };
    auto h = weir::spawn(spawned);
    co_await weir::sleep_for(1h);
    co_await weir::with_task_group(body);
  });
  INFO(report);
  CHECK(contains(report, "deadlock: 3 tasks wait and no timer is left"));
  CHECK(contains(report, "simulation.cpp"));
  CHECK(contains(report, "waits in sleep"));
  CHECK(contains(report, "waits in task_group::join"));
  CHECK(contains(report, "waits_for_ever"));
}

TEST_CASE("P32: the report of a deadlock tells which task holds what the others wait for") {
  const std::string report = deadlock_of([]() -> weir::task<> {
    weir::mutex a;
    weir::mutex b;
    auto both = [](weir::mutex& first, weir::mutex& second) -> weir::task<> {
      const auto one = co_await first.lock();
      co_await weir::sleep_for(1s);
      const auto other = co_await second.lock();
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(both, std::ref(a), std::ref(b));
      g.spawn(both, std::ref(b), std::ref(a));
      co_await g.join();
    };
    co_await weir::with_task_group(body);
  });
  INFO(report);
  CHECK(contains(report, "task 2 waits in mutex::lock (held by task 3):"));
  CHECK(contains(report, "task 3 waits in mutex::lock (held by task 2):"));
}

TEST_CASE("simulation: at a deadlock all are cancelled (cause: deadlock) and joined, cleanups run") {
  static test::log seen;
  seen.clear();
  const std::string report = deadlock_of([]() -> weir::task<> {
    auto cleanup = [](const weir::cleanup_outcome& outcome) -> weir::task<> {
      co_await weir::sleep_for(1s);
      seen.push_back(outcome.is_stopped() ? "cleaned" : "?");
    };
    auto note = [] { seen.push_back(weir::to_string(weir::current_token().cause())); };
    class last_look {
     public:
      explicit last_look(void (*f)()) : f_(f) {}
      last_look(const last_look&) = delete;
      last_look& operator=(const last_look&) = delete;
      ~last_look() { f_(); }

     private:
      void (*f_)();
    };
    const last_look look(note);
    co_await weir::with_cleanup(waits_for_ever("main"), cleanup, 2s);
  });
  CHECK(contains(report, "1 task waits"));
  CHECK(seen == test::log{"cleaned", "deadlock"});
}

TEST_CASE("simulation: run() inside a task is told, and so is a task that is none") {
  test::simulate([]() -> weir::task<> {
    bool told = false;
    try {
      weir::simulation inner;
      inner.run(test::nap(1ms));
    } catch (const std::logic_error& e) {
      told = contains(e.what(), "inside a task");
    }
    CHECK(told);
    co_await weir::sleep_for(1ms);
  });
  weir::simulation world;
  CHECK_THROWS_AS(world.run(weir::task<>()), std::invalid_argument);
}

TEST_CASE("simulation: a stopped main makes run throw cancelled") {
  weir::simulation world;
  weir::task<> (*main)() = []() -> weir::task<> {
    auto stops_itself = []() -> weir::task<> {
      weir::cancellation_source source;
      source.request_cancellation();
      co_await weir::with_cancellation(source.token(), test::nap(1h));
    };
    co_await stops_itself();
  };
  CHECK_THROWS_AS(world.run(main()), weir::cancelled);
}
