#include <doctest/doctest.h>

#include <weir/runtime/detail/operation.hpp>
#include <weir/weir.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sockets.hpp"
#include "tcp_support.hpp"

// A simulation repeats itself, tells of deadlocks, and finds bugs: one of each kind is planted here, and found.

using namespace std::chrono_literals;
using weir::as_result;
using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::tcp_listener;
using weir::tcp_stream;
using weir::with_task_group;
using weir::with_timeout;

namespace {

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// ---- programs that use everything

constexpr weir::simulation_options rough = {
    .network = {.partial = 0.2, .reset = 0.005, .refuse = 0.05, .accept_error = 0.05},
    .files = {.partial = 0.2, .error = 0.02},
};

task<> chats(weir::simulation& world) {
  // Whoever fails is not the point here.
  auto r = co_await as_result(with_timeout(1min, test::chat_many(4, 6)));
  world.network().jitter = r.has_value() ? 10us : 20us;
  auto again = co_await as_result(with_timeout(1min, test::chat_many(2, 6)));
}

task<> copies() {
  weir::channel<std::vector<std::byte>> parts(2);
  auto reads = [&]() -> task<> {
    auto from = co_await weir::file::open("from", weir::file_mode::read_write | weir::file_mode::create);
    std::vector<std::byte> all(500);
    co_await from.write_all(all);
    from.set_position(0);
    for (;;) {
      std::vector<std::byte> part(50);
      part.resize(co_await from.read_some(part));  // lint: ok (a plain number)
      if (part.empty()) break;
      co_await parts.send(std::move(part));
    }
    parts.close();
  };
  auto writes = [&]() -> task<> {
    auto to = co_await weir::file::open("to", weir::file_mode::write | weir::file_mode::create);
    while (auto part = co_await parts.receive()) {
      co_await to.write_all(*part);
      co_await to.sync();
    }
  };
  auto r = co_await as_result(weir::when_all(reads(), writes()));
}

task<> everything(weir::simulation& world) {
  auto other = [&]() -> task<> {
    weir::signal_set set{SIGTERM};
    co_await with_timeout(1h, set.wait());
  };
  auto raises = [&]() -> task<> {
    co_await weir::sleep_for(1ms);
    world.raise(SIGTERM);
  };
  co_await weir::when_all(chats(world), copies(), other(), raises());
}

std::uint64_t trace_of(std::uint64_t seed) {
  weir::simulation_options options = rough;
  options.seed = seed;
  weir::simulation world(options);
  world.run(everything(world));
  return world.trace_hash();
}

// ---- planted bugs

/// Looks first, and then goes to wait: what comes in between is lost.
class forgetful_event {
 public:
  task<> wait() {
    if (set_) co_return;
    co_await weir::yield();
    awaited_ = true;
    co_await wake_.wait();
  }
  void set() {
    set_ = true;
    if (awaited_) wake_.set();
  }

 private:
  bool set_ = false;
  bool awaited_ = false;
  weir::event wake_;
};

task<> lost_wake_up() {
  forgetful_event event;
  auto waits = [&]() -> task<> { co_await event.wait(); };
  auto sets = [&]() -> task<> {
    co_await weir::yield();
    event.set();
  };
  co_await weir::when_all(waits(), sets());
}

/// Takes an item, and then does something else before it gives it out: a cancellation there loses it.
task<std::optional<int>> careless_receive(weir::channel<int>& from, weir::mutex& statistics) {
  auto item = co_await from.receive();
  auto guard = co_await statistics.lock();
  co_return item;
}

task<> lost_item() {
  weir::channel<int> items(4);
  weir::mutex statistics;
  int received = 0;
  auto sends = [&]() -> task<> {
    for (int i = 0; i < 10; ++i) {
      co_await items.send(i);
      co_await weir::sleep_for(100us);
    }
    items.close();
  };
  auto holds = [&]() -> task<> {
    for (int i = 0; i < 10; ++i) {
      auto guard = co_await statistics.lock();
      co_await weir::sleep_for(40us);
      guard.unlock();
      co_await weir::sleep_for(60us);
    }
  };
  auto receives = [&]() -> task<> {
    for (;;) {
      auto r = co_await as_result(with_timeout(30us, careless_receive(items, statistics)));
      if (!r.has_value()) continue;
      if (!*r) break;
      ++received;
    }
  };
  co_await weir::when_all(sends(), holds(), receives());
  if (received != 10) throw std::runtime_error("an item was lost");
}

task<> lock_order() {
  weir::mutex a;
  weir::mutex b;
  auto both = [](weir::mutex& first, weir::mutex& second) -> task<> {
    auto one = co_await first.lock();
    auto other = co_await second.lock();
  };
  co_await weir::when_all(both(a, b), both(b, a));
}

/// Wakes its waiter each time it is rung: the second time it has been woken already.
class two_tone_bell {
 public:
  class wait_operation final : public weir::detail::operation_base, public weir::detail::leaf {
   public:
    using value_type = void;
    explicit wait_operation(two_tone_bell& bell) noexcept : bell_(bell) {}
    wait_operation(const wait_operation&) = default;
    ~wait_operation() = default;

    bool ready(const weir::detail::await_context&) noexcept { return false; }
    std::coroutine_handle<> start(const weir::detail::await_context& context) noexcept {
      if (begin(context)) bell_.waiting_ = this;
      return std::noop_coroutine();
    }
    void resume() noexcept {
      bell_.waiting_ = nullptr;
      finish();
    }
    weir::result<void> resume_result() noexcept {
      resume();
      return weir::result<void>(std::in_place);
    }
    [[nodiscard]] const char* name() const noexcept override { return "bell"; }
    void wake() noexcept { complete(); }

   private:
    void request_stop(weir::cancellation_cause) noexcept override {
      bell_.waiting_ = nullptr;
      complete_stopped();
    }
    two_tone_bell& bell_;
  };

  wait_operation wait() noexcept { return wait_operation(*this); }
  void ring() noexcept {
    if (waiting_) waiting_->wake();
  }

 private:
  wait_operation* waiting_ = nullptr;
};

task<> double_resume() {
  two_tone_bell bell;
  auto waits = [&]() -> task<> { co_await with_timeout(1s, bell.wait()); };
  auto rings = [&]() -> task<> {
    co_await weir::sleep_for(1ms);
    bell.ring();
  };
  co_await weir::when_all(waits(), rings(), rings());
}

/// The seed for which explore() found that the program fails, and with what.
std::pair<std::uint64_t, std::string> found_in(task<> (*program)()) {
  try {
    weir::explore(1000, program);
  } catch (const weir::exploration_failure& e) {
    return {e.seed(), e.what()};
  }
  return {1000, "nothing was found"};
}

}  // namespace

TEST_CASE("explore: the same seed gives the same run, event by event; another seed another one") {
  std::set<std::uint64_t> seen;
  std::vector<std::unique_ptr<char[]>> ballast;
  constexpr int seeds = test::scaled(200, 40);
  for (int seed = 0; seed < seeds; ++seed) {
    const std::uint64_t first = trace_of(static_cast<std::uint64_t>(seed));
    // So that nothing has the same address again.
    for (int i = 0; i < 10; ++i) ballast.push_back(std::make_unique<char[]>(static_cast<std::size_t>(64 * i + 16)));
    CHECK(first == trace_of(static_cast<std::uint64_t>(seed)));
    seen.insert(first);
  }
  CHECK(seen.size() == seeds);
}

TEST_CASE("explore: says how many schedules there were, and how long they took in virtual time") {
  int runs = 0;
  const auto program = [&]() -> task<> {
    ++runs;
    co_await weir::when_all(test::nap(1h), test::nap(1h), test::nap(1h));
  };
  const weir::exploration done = weir::explore(100, program);
  CHECK(runs == 100);
  CHECK(done.runs == 100);
  CHECK(done.schedules > 5);
  CHECK(done.schedules <= 100);
  CHECK(done.elapsed == 100h);
}

TEST_CASE("explore: the first failure names its seed, and WEIR_SEED repeats it") {
  const auto program = [](weir::simulation& world) -> task<> {
    co_await weir::yield();
    if (world.seed() % 10 == 7) throw std::invalid_argument("sevens are bad");
  };
  weir::simulation_options options;
  options.seed = 20;
  try {
    weir::explore(100, program, options);
    FAIL("nothing was found");
  } catch (const weir::exploration_failure& e) {
    CHECK(e.seed() == 27);
    CHECK(std::string(e.what()) == "seed 27: sevens are bad");
    CHECK_THROWS_AS(std::rethrow_exception(e.cause()), std::invalid_argument);
  }
  ::setenv("WEIR_SEED", "37", 1);
  CHECK_THROWS_WITH_AS(weir::explore(1, program), "seed 37: sevens are bad", weir::exploration_failure);
  ::setenv("WEIR_SEED", "38", 1);
  CHECK(weir::explore(100, program).runs == 1);
  ::setenv("WEIR_SEED", "x", 1);
  CHECK_THROWS_AS(weir::explore(100, program), std::invalid_argument);
  ::unsetenv("WEIR_SEED");
}

TEST_CASE("explore: a lost wake-up is found") {
  const auto [seed, what] = found_in(lost_wake_up);
  INFO(what);
  CHECK(seed < 50);
  CHECK(contains(what, "deadlock"));
  CHECK(contains(what, "waits in event::wait"));
  CHECK(contains(what, "forgetful_event::wait"));
}

TEST_CASE("explore: an item that is lost when its receiver is cancelled is found") {
  const auto [seed, what] = found_in(lost_item);
  INFO(what);
  CHECK(seed < 50);
  CHECK(contains(what, "an item was lost"));
}

TEST_CASE("explore: locks that are taken in two orders are found") {
  const auto [seed, what] = found_in(lock_order);
  INFO(what);
  CHECK(seed < 50);
  CHECK(contains(what, "deadlock"));
  CHECK(contains(what, "waits in mutex::lock"));
}

TEST_CASE("explore: a task that would be resumed twice is found, and the seed is named") {
  const std::string words = test::all_last_words_of([] { weir::explore(100, double_resume); });
  INFO(words);
  CHECK(contains(words, "it would be resumed twice"));
  CHECK(contains(words, "in a simulation with seed "));
}

TEST_CASE("explore: without the bug nothing is found") {
  const auto program = []() -> task<> {
    weir::event event(weir::reset_mode::automatic);
    auto waits = [&]() -> task<> { co_await event.wait(); };
    auto sets = [&]() -> task<> {
      co_await weir::yield();
      event.set();
    };
    co_await weir::when_all(waits(), sets());
  };
  CHECK(weir::explore(1000, program).runs == 1000);
}

TEST_CASE("simulation: who waits for the network in vain is named, with what it waits for") {
  weir::simulation world;
  auto main = []() -> task<> {
    auto listener = tcp_listener::bind(endpoint::loopback(7000));
    auto stream = co_await tcp_stream::connect(endpoint::loopback(7000));
    auto accepts = [&]() -> task<> {
      auto first = co_await listener.accept();
      auto second = co_await listener.accept();
    };
    auto reads = [&]() -> task<> {
      std::array<std::byte, 4> into;
      co_await stream.read_exactly(into);
    };
    co_await weir::when_all(accepts(), reads());
  };
  try {
    world.run(main());
    FAIL("no deadlock was found");
  } catch (const weir::deadlock& e) {
    const std::string report = e.what();
    INFO(report);
    CHECK(contains(report, "waits in accept 127.0.0.1:7000:"));
    CHECK(contains(report, "waits in read_exactly 127.0.0.1:7000:"));
    CHECK(contains(report, "explore.cpp"));
  }
  CHECK(world.open_descriptors() == 0);
}

TEST_CASE("simulation: other threads are refused with a sentence") {
  // Each of them in a process of its own. What they touch is outside of their task, so that it can be reached.
  const std::string by_event = test::all_last_words_of([] {
    static weir::event event;
    weir::simulation world({.seed = 99});
    auto main = []() -> task<> {
      auto waits = []() -> task<> { co_await event.wait(); };
      auto waiting = weir::spawn(waits);
      co_await weir::sleep_for(1s);
      std::thread([] { event.set(); }).join();
      co_await waiting.join();
    };
    world.run(main());
  });
  CHECK(contains(by_event, "another thread has touched a task of a simulation"));
  const std::string by_spawn = test::all_last_words_of([] {
    static weir::runtime world = weir::runtime_access::make({}, {.enabled = true, .seed = 1});
    std::thread([] { world.spawn(test::nap(1s)); }).join();
  });
  CHECK(contains(by_spawn, "another thread has touched a task of a simulation"));
}

TEST_CASE("simulation: between two runs its own thread may wake and cancel") {
  weir::simulation world;
  weir::event event;
  weir::join_handle<> waiting;
  weir::join_handle<> stuck;
  auto begin = [&]() -> task<> {
    auto waits = [&]() -> task<> { co_await event.wait(); };
    waiting = weir::spawn(waits);
    stuck = weir::spawn(test::nap(24h));
    co_await weir::sleep_for(1s);
  };
  world.run(begin());
  event.set();
  stuck.request_cancellation();
  auto end = [&]() -> task<> {
    co_await waiting.join();
    auto r = co_await as_result(stuck.join());
    CHECK(r.is_cancelled());
  };
  world.run(end());
  CHECK(world.now() < weir::time_point() + 2s);
}

TEST_CASE("simulation: the backend `simulated` is for simulations only") {
  const auto make = [] { weir::runtime plain({.workers = 1, .backend = weir::backend_kind::simulated}); };
  CHECK_THROWS_AS(make(), std::system_error);
}
