#include "scenes.hpp"

#include <array>
#include <atomic>
#include <coroutine>
#include <csignal>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <weir/io/until_signal.hpp>
#include <weir/sync/event.hpp>

// Scopes, groups and what else runs tasks. What they run waits for a gate, and is counted.

using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::task_group;
using weir::with_cancellation;

namespace test {
namespace {

class gated : public scene {
 public:
  void trigger() override { gate_.set(); }
  task<> settle(bool /*completed*/) override {
    expect(begun_ == expected_, "not everything ran up to its first leaf");
    expect(inside_ == 0, "a frame was left behind");
    co_return;
  }

 protected:
  /// `tasks` of them begin, whatever happens.
  explicit gated(int tasks) : expected_(tasks) {}

  task<int> waits() {
    const resident here(inside_);
    ++begun_;
    co_await gate_.wait();
    ++ended_;
    co_return 42;
  }
  task<> waits_for_nothing() {
    const int value = co_await waits();
    expect(value == 42, "another value came");
  }

  weir::event gate_;
  const int expected_;
  std::atomic<int> begun_{0};
  std::atomic<int> ended_{0};  // by themselves
  std::atomic<int> inside_{0};

 private:
  class resident {
   public:
    explicit resident(std::atomic<int>& count) noexcept : count_(count) { ++count_; }
    resident(const resident&) = delete;
    resident& operator=(const resident&) = delete;
    ~resident() { --count_; }

   private:
    std::atomic<int>& count_;
  };
};

class awaiting_a_task final : public gated {
 public:
  awaiting_a_task() : gated(1) {}
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, waits()));
    if (!completed(r)) co_return false;
    expect(*r == 42, "another value came");
    co_return true;
  }
  task<> settle(bool completed) override {
    expect(ended_ == (completed ? 1 : 0), "it ended by itself and was stopped, or neither");
    co_await gated::settle(completed);
  }
};

enum class group_kind : std::uint8_t { task_group, supervisor };

/// The body waits, too, or has returned before its children.
class running_a_group final : public gated {
 public:
  running_a_group(group_kind kind, bool body_waits) : gated(body_waits ? 3 : 2), kind_(kind), body_waits_(body_waits) {}
  task<bool> attempt(cancellation_token token) override {
    const auto body = [this](task_group& group) -> task<int> {
      for (int i = 0; i < 2; ++i) group.spawn([this] { return waits(); });
      int value = 42;
      if (body_waits_) value = co_await waits();
      co_return value;
    };
    if (kind_ == group_kind::task_group) {
      auto r = co_await as_result(with_cancellation(token, weir::with_task_group(body)));
      co_return holds(r);
    }
    auto r = co_await as_result(with_cancellation(token, weir::with_supervisor(body)));
    co_return holds(r);
  }
  task<> settle(bool completed) override {
    if (completed) expect(ended_ == expected_, "it completed before its children");
    co_await gated::settle(completed);
  }

 private:
  bool holds(const weir::result<int>& r) {
    expect(inside_ == 0, "it was left before its children had ended");
    if (!completed(r)) return false;
    expect(*r == 42, "another value came");
    return true;
  }

  const group_kind kind_;
  const bool body_waits_;
};

/// The child of a group that is not asked for: stopped by its handle.
class stopping_a_child final : public gated {
 public:
  stopping_a_child() : gated(1) {}
  task<bool> attempt(cancellation_token token) override {
    auto child = weir::spawn(waits());
    const auto stop = [&child] { child.request_cancellation(); };
    const weir::cancellation_callback on_token(token, stop);
    const weir::cancellation_callback on_stop(weir::current_token(), stop);
    auto r = co_await as_result(weir::shielded(child.join()));
    expect(child.done(), "it was joined and has not ended");
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    expect(ended_ == (completed ? 1 : 0), "its result was lost, or it has one although it was stopped");
    co_await gated::settle(completed);
  }
};

class generating final : public gated {
 public:
  generating() : gated(1) {}
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, values_.next()));
    if (!completed(r)) co_return false;
    expect(*r == 42, "another value came");
    co_return true;
  }
  task<> settle(bool completed) override {
    if (completed) {
      expect(inside_ == 0, "the awaited task has not ended");
      const auto next = co_await values_.next();
      expect(next == 43, "the generator does not go on");
    }
    const auto end = co_await values_.next();
    expect(!end, "the generator has not ended");
    co_await gated::settle(completed);
  }

 private:
  weir::async_generator<int> two_values() {
    const int first = co_await waits();
    co_yield first;
    co_yield first + 1;
  }
  weir::async_generator<int> values_ = two_values();
};

class awaiting_all final : public gated {
 public:
  awaiting_all() : gated(3) {}
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::when_all(waits(), waits_for_nothing(), waits())));
    expect(inside_ == 0, "it was left before its operands had ended");
    if (!completed(r)) co_return false;
    expect(std::get<0>(*r) == 42 && std::get<2>(*r) == 42, "another value came");
    co_return true;
  }
  task<> settle(bool completed) override {
    expect(completed == (ended_ == 3), "all had ended and it was stopped, or it completed without one");
    co_await gated::settle(completed);
  }
};

class awaiting_a_vector final : public gated {
 public:
  awaiting_a_vector() : gated(3) {}
  task<bool> attempt(cancellation_token token) override {
    std::vector<task<int>> tasks;
    for (int i = 0; i < expected_; ++i) tasks.push_back(waits());
    auto r = co_await as_result(with_cancellation(token, weir::when_all(std::move(tasks))));
    expect(inside_ == 0, "it was left before its operands had ended");
    if (!completed(r)) co_return false;
    expect(*r == std::vector<int>(3, 42), "another value came");
    co_return true;
  }
  task<> settle(bool completed) override {
    expect(completed == (ended_ == 3), "all had ended and it was stopped, or it completed without one");
    co_await gated::settle(completed);
  }
};

class awaiting_any final : public gated {
 public:
  awaiting_any() : gated(3) {}
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::when_any(waits(), waits_for_nothing(), waits())));
    expect(inside_ == 0, "it was left before its operands had ended");
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    expect(completed == (ended_ != 0), "one had ended and it was stopped, or it completed without one");
    co_await gated::settle(completed);
  }
};

class awaiting_any_of_a_vector final : public gated {
 public:
  awaiting_any_of_a_vector() : gated(3) {}
  task<bool> attempt(cancellation_token token) override {
    std::vector<task<int>> tasks;
    for (int i = 0; i < expected_; ++i) tasks.push_back(waits());
    auto r = co_await as_result(with_cancellation(token, weir::when_any(std::move(tasks))));
    expect(inside_ == 0, "it was left before its operands had ended");
    if (!completed(r)) co_return false;
    expect(r->value == 42, "another value came");
    co_return true;
  }
  task<> settle(bool completed) override {
    expect(completed == (ended_ != 0), "one had ended and it was stopped, or it completed without one");
    co_await gated::settle(completed);
  }
};

enum class scope_kind : std::uint8_t { timeout, deadline, cancellation, result, local };

weir::task_local<int> local_number;

/// Inside a scope that does not end it: the stop from outside goes past.
class inside_a_scope final : public gated {
 public:
  explicit inside_a_scope(scope_kind kind) : gated(1), kind_(kind) {}
  task<bool> attempt(cancellation_token token) override {
    switch (kind_) {
      case scope_kind::timeout: {
        auto r = co_await as_result(with_cancellation(token, weir::with_timeout(24h, waits())));
        co_return completed(r);
      }
      case scope_kind::deadline: {
        auto r = co_await as_result(with_cancellation(token, weir::with_deadline(weir::now() + 24h, waits())));
        co_return completed(r);
      }
      case scope_kind::cancellation: {
        auto r = co_await as_result(with_cancellation(token, with_cancellation(never_.token(), waits())));
        co_return completed(r);
      }
      case scope_kind::result: {
        auto r = co_await as_result(with_cancellation(token, as_result(waits())));
        if (r.has_value()) expect(r->has_value(), "it has swallowed the cancellation");
        co_return completed(r);
      }
      case scope_kind::local: {
        auto r = co_await as_result(with_cancellation(token, local_number.with(7, waits())));
        expect(!local_number.get(), "the value is still there behind it");
        co_return completed(r);
      }
    }
    co_return false;
  }
  task<> settle(bool completed) override {
    expect(ended_ == (completed ? 1 : 0), "it ended by itself and was stopped, or neither");
    co_await gated::settle(completed);
  }

 private:
  const scope_kind kind_;
  weir::cancellation_source never_;
};

class cleaning_up final : public gated {
 public:
  cleaning_up() : gated(1) {}
  task<bool> attempt(cancellation_token token) override {
    const auto cleanup = [this](const weir::cleanup_outcome& outcome) -> task<> {
      const bool stopped = outcome.is_stopped();
      expect(inside_ == 0, "the operation still lives when its cleanup runs");
      co_await weir::yield();  // a leaf that would stop, were it not shielded
      ++(stopped ? cleaned_after_stop_ : cleaned_after_value_);
    };
    auto r = co_await as_result(with_cancellation(token, weir::with_cleanup(waits(), cleanup, 1h)));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    expect(cleaned_after_value_ == (completed ? 1 : 0), "the cleanup after a value did not run, or without one");
    expect(cleaned_after_stop_ == (completed ? 0 : 1), "the cleanup after a stop did not run, or without one");
    co_await gated::settle(completed);
  }

 private:
  std::atomic<int> cleaned_after_value_{0};
  std::atomic<int> cleaned_after_stop_{0};
};

class shielding final : public gated {
 public:
  shielding() : gated(1) {}
  [[nodiscard]] bool ignores_stops() const override { return true; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::shielded(waits())));
    co_return completed(r);
  }
};

class serving_until_a_signal final : public gated {
 public:
  serving_until_a_signal() : gated(1) {}
  task<bool> attempt(cancellation_token token) override {
    const auto serve = [this](cancellation_token stopping) -> task<> {
      co_await waits_for_nothing();
      expect(!stopping.is_cancellation_requested(), "there was no signal");
    };
    const weir::until_signal_options options{.signals = {SIGUSR1}};
    auto r = co_await as_result(with_cancellation(token, weir::until_signal(serve, options)));
    expect(inside_ == 0, "it was left before the server had ended");
    if (!completed(r)) co_return false;
    expect(r->signal == 0, "a signal came that nobody sent");
    co_return true;
  }
  task<> settle(bool completed) override {
    if (completed) expect(ended_ == 1, "it completed before the server");
    co_await gated::settle(completed);
  }
};

class checking final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::checkpoint()));
    co_return completed(r);
  }
};

/// Not weir's: it keeps whoever waits until somebody opens it, on any thread.
class door {
 public:
  class awaiter {
   public:
    explicit awaiter(door& of) noexcept : door_(of) {}
    [[nodiscard]] bool await_ready() const noexcept { return door_.state_.load() == &door_; }
    bool await_suspend(std::coroutine_handle<> waiting) const noexcept {
      void* closed = nullptr;
      return door_.state_.compare_exchange_strong(closed, waiting.address());
    }
    int await_resume() const noexcept { return 42; }

   private:
    door& door_;
  };
  awaiter operator co_await() noexcept { return awaiter(*this); }
  void open() {
    void* const waiting = state_.exchange(this);
    if (waiting && waiting != this) std::coroutine_handle<>::from_address(waiting).resume();
  }

 private:
  std::atomic<void*> state_{nullptr};
};

class awaiting_what_is_foreign final : public scene {
 public:
  [[nodiscard]] bool ignores_stops() const override { return true; }
  task<bool> attempt(cancellation_token token) override {
    const auto waits = [this]() -> task<int> {
      const int value = co_await door_;
      co_return value;
    };
    auto r = co_await as_result(with_cancellation(token, waits()));
    if (!completed(r)) co_return false;
    expect(*r == 42, "another value came");
    co_return true;
  }
  void trigger() override { door_.open(); }

 private:
  door door_;
};

/// The function runs while it is cancelled, and is left to itself.
class offloading_what_may_hang final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    const auto function = [may_end = may_end_] {
      while (!*may_end) std::this_thread::yield();
      return 42;
    };
    auto r = co_await as_result(with_cancellation(token, weir::offload_abandonable(function)));
    if (!completed(r)) co_return false;
    expect(*r == 42, "another value came");
    co_return true;
  }
  void trigger() override { *may_end_ = true; }

 private:
  std::shared_ptr<std::atomic<bool>> may_end_ = std::make_shared<std::atomic<bool>>(false);
};

class ticking final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<> open() override {
    every_.emplace(50us);
    first_ = co_await every_->tick();
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, every_->tick()));
    if (!completed(r)) co_return false;
    expect(*r == first_ + 50us, "another tick came");
    co_return true;
  }
  task<> settle(bool completed) override {
    const weir::time_point next = co_await every_->tick();
    expect(next == first_ + (completed ? 100us : 50us), "a tick was lost, or came twice");
  }

 private:
  std::optional<weir::interval> every_;
  weir::time_point first_;
};

constexpr const char* group_row = "`with_task_group(body)`";
constexpr const char* supervisor_row = "`with_supervisor(body)`";
constexpr const char* timeout_row = "`with_timeout`, `with_deadline`";

constexpr std::array kinds = {
    kind_of_operation{"`task<T>`", "task", make_scene<awaiting_a_task>, true},
    kind_of_operation{group_row, "with_task_group", make_scene<running_a_group, group_kind::task_group, true>, true},
    kind_of_operation{group_row, "with_task_group whose body has returned",
                      make_scene<running_a_group, group_kind::task_group, false>, true},
    kind_of_operation{supervisor_row, "with_supervisor", make_scene<running_a_group, group_kind::supervisor, true>,
                      true},
    kind_of_operation{supervisor_row, "with_supervisor whose body has returned",
                      make_scene<running_a_group, group_kind::supervisor, false>, true},
    kind_of_operation{"`generator.next()`", "async_generator::next", make_scene<generating>, true},
    kind_of_operation{"`group.spawn`, `weir::spawn`, `weir::spawn_on`: not awaited", "spawn",
                      make_scene<stopping_a_child>, true},
    kind_of_operation{"`when_all(ops...)`", "when_all", make_scene<awaiting_all>, true},
    kind_of_operation{"`when_all(ops...)`", "when_all of a vector", make_scene<awaiting_a_vector>, true},
    kind_of_operation{"`when_any(ops...)`", "when_any", make_scene<awaiting_any>, true},
    kind_of_operation{"`when_any(ops...)`", "when_any of a vector", make_scene<awaiting_any_of_a_vector>, true},
    kind_of_operation{timeout_row, "with_timeout", make_scene<inside_a_scope, scope_kind::timeout>, true},
    kind_of_operation{timeout_row, "with_deadline", make_scene<inside_a_scope, scope_kind::deadline>, true},
    kind_of_operation{"`with_cancellation(token, op)`", "with_cancellation",
                      make_scene<inside_a_scope, scope_kind::cancellation>, true},
    kind_of_operation{"`task_local::with(value, op)`", "task_local::with",
                      make_scene<inside_a_scope, scope_kind::local>, true},
    kind_of_operation{"`as_result(op)`", "as_result", make_scene<inside_a_scope, scope_kind::result>, true},
    kind_of_operation{"`with_cleanup(op, fn, limit)`", "with_cleanup", make_scene<cleaning_up>, true},
    kind_of_operation{"`shielded(op)`", "shielded", make_scene<shielding>, true},
    kind_of_operation{"`until_signal(serve)`", "until_signal", make_scene<serving_until_a_signal>, true},
    kind_of_operation{"`checkpoint()`", "checkpoint", make_scene<checking>, true},
    kind_of_operation{"an awaitable of another library", "a foreign awaitable", make_scene<awaiting_what_is_foreign>,
                      true},
    kind_of_operation{"`offload_abandonable(fn)`", "offload_abandonable", make_scene<offloading_what_may_hang>},
    kind_of_operation{"`interval::tick()`", "interval::tick", make_scene<ticking>, true},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_tasks() { return kinds; }

}  // namespace test
