#include "scenes.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include <weir/sync/barrier.hpp>
#include <weir/sync/condition_variable.hpp>
#include <weir/sync/latch.hpp>
#include <weir/sync/lazy.hpp>
#include <weir/sync/mutex.hpp>
#include <weir/sync/once.hpp>
#include <weir/sync/oneshot.hpp>
#include <weir/sync/semaphore.hpp>
#include <weir/sync/sharded.hpp>
#include <weir/sync/shared_mutex.hpp>
#include <weir/sync/wait_group.hpp>
#include <weir/sync/watch.hpp>

// Locks, and what is counted.

using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::with_cancellation;

namespace test {
namespace {

class locking_shared final : public scene {
 public:
  explicit locking_shared(bool exclusive) : exclusive_(exclusive) {}
  task<bool> attempt(cancellation_token token) override {
    if (exclusive_) {
      auto r = co_await as_result(with_cancellation(token, mutex_.lock()));
      if (!completed(r)) co_return false;
      writing_ = std::move(*r);
    } else {
      auto r = co_await as_result(with_cancellation(token, mutex_.lock_shared()));
      if (!completed(r)) co_return false;
      reading_ = std::move(*r);
    }
    co_return true;
  }
  void trigger() override { held_.unlock(); }
  task<> settle(bool completed) override {
    expect(static_cast<bool>(mutex_.try_lock()) == !completed, "it is held by nobody, or by somebody who has gone");
    writing_ = {};
    reading_ = {};
    expect(static_cast<bool>(mutex_.try_lock()), "the lock was lost");
    co_return;
  }

 private:
  const bool exclusive_;
  weir::shared_mutex mutex_;
  weir::write_guard held_ = mutex_.try_lock();
  weir::write_guard writing_;
  weir::read_guard reading_;
};

class calling_under_a_mutex final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    const auto count = [this] { ++calls_; };
    auto r = co_await as_result(with_cancellation(token, mutex_.with_lock(count)));
    co_return completed(r);
  }
  void trigger() override { held_.unlock(); }
  task<> settle(bool completed) override {
    expect(static_cast<bool>(mutex_.try_lock()), "the lock was lost");
    expect(calls_ == (completed ? 1 : 0), "it was stopped inside of the section, or was never there");
    co_return;
  }

 private:
  weir::mutex mutex_;
  weir::mutex_guard held_ = mutex_.try_lock();
  int calls_ = 0;
};

class acquiring_permits final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, semaphore_.acquire(2)));
    if (!completed(r)) co_return false;
    permit_ = std::move(*r);
    co_return true;
  }
  void trigger() override { semaphore_.release(); }
  task<> settle(bool completed) override {
    expect(semaphore_.available() == (completed ? 0 : 2), "permits were taken, or lost");
    permit_.release();
    expect(semaphore_.available() == 2, "permits were lost");
    co_return;
  }

 private:
  weir::semaphore semaphore_{1};
  weir::semaphore_permit permit_;
};

class waiting_for_a_condition final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto guard = co_await mutex_.lock();
    auto r = co_await as_result(with_cancellation(token, changed_.wait(guard)));
    expect(guard && !mutex_.try_lock(), "it came back without the mutex");
    co_return completed(r);
  }
  void trigger() override { pump(); }
  void pump() override { changed_.notify_one(); }
  task<> settle(bool) override {
    expect(static_cast<bool>(mutex_.try_lock()), "somebody still has the mutex");
    co_return;
  }

 private:
  weir::mutex mutex_;
  weir::condition_variable changed_;
};

class waiting_at_a_latch final : public scene {
 public:
  explicit waiting_at_a_latch(bool arrives) : latch_(arrives ? 2 : 1), arrives_(arrives) {}
  task<bool> attempt(cancellation_token token) override {
    if (arrives_) {
      auto r = co_await as_result(with_cancellation(token, latch_.arrive_and_wait()));
      co_return completed(r);
    }
    auto r = co_await as_result(with_cancellation(token, latch_.wait()));
    co_return completed(r);
  }
  void trigger() override { latch_.count_down(); }
  task<> settle(bool completed) override {
    expect(latch_.try_wait() == (completed || !arrives_), "an arrival was lost, or not taken back");
    co_return;
  }

 private:
  weir::latch latch_;
  const bool arrives_;
};

class waiting_for_tokens final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, group_.wait()));
    co_return completed(r);
  }
  void trigger() override { token_.done(); }
  task<> settle(bool) override {
    expect(group_.count() == 0, "a token was lost");
    co_return;
  }

 private:
  weir::wait_group group_;
  weir::wait_group_token token_ = group_.add();
};

class arriving_at_a_barrier final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, barrier_.arrive_and_wait()));
    co_return completed(r);
  }
  void trigger() override { barrier_.drop(); }
  task<> settle(bool) override {
    const bool last = co_await barrier_.arrive_and_wait();
    expect(last, "an arrival was not taken back, or counted in the next round");
  }

 private:
  weir::barrier barrier_{2};
};

class receiving_once final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, ends_.receiver.receive()));
    if (!completed(r)) co_return false;
    expect(*r == 7, "another value came");
    co_return true;
  }
  void trigger() override { expect(ends_.sender.send(7), "nobody wants the value"); }
  task<> settle(bool completed) override {
    expect(ends_.receiver.try_receive().has_value() == !completed, "the value was lost, or is there twice");
    co_return;
  }

 private:
  weir::oneshot_ends<int> ends_ = weir::make_oneshot<int>();
};

class being_abandoned final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, ends_.sender.abandoned()));
    co_return completed(r);
  }
  void trigger() override { ends_.receiver.reset(); }
  task<> settle(bool) override {
    expect(ends_.sender.is_abandoned(), "the sender was not told");
    co_return;
  }

 private:
  weir::oneshot_ends<int> ends_ = weir::make_oneshot<int>();
};

enum class watch_wait : std::uint8_t { changed, next, condition };

class watching_a_value final : public scene {
 public:
  explicit watching_a_value(watch_wait how) : how_(how) {}
  task<bool> attempt(cancellation_token token) override {
    if (how_ == watch_wait::changed) {
      auto r = co_await as_result(with_cancellation(token, observer_.changed()));
      if (!completed(r)) co_return false;
      expect(*r && value_.get() == 2, "nothing has changed");
      co_return true;
    }
    if (how_ == watch_wait::next) {
      auto r = co_await as_result(with_cancellation(token, observer_.next()));
      if (!completed(r)) co_return false;
      expect(*r == 2, "another value came");
      co_return true;
    }
    const auto is_two = [](const int& n) { return n == 2; };
    auto r = co_await as_result(with_cancellation(token, observer_.wait_for(is_two)));
    if (!completed(r)) co_return false;
    expect(*r == 2, "another value came");
    co_return true;
  }
  void trigger() override { expect(value_.set(2), "it is closed"); }
  task<> settle(bool completed) override {
    expect(observer_.has_changed() == !completed, "the change is marked as seen and was not, or the other way round");
    co_return;
  }

 private:
  const watch_wait how_;
  weir::watch<int> value_{1};
  weir::watch_observer<int> observer_ = value_.observe();
};

/// Runs it, or waits for somebody who does.
class calling_once final : public scene {
 public:
  explicit calling_once(bool waits) : waits_(waits) {}
  task<> open() override {
    if (!waits_) co_return;
    other_ = weir::spawn([this] { return comes(); });
    while (runs_ == 0) co_await weir::yield();
  }
  task<bool> attempt(cancellation_token token) override {
    const auto run = [this] { return this->run(); };
    auto r = co_await as_result(with_cancellation(token, once_.call(run)));
    co_return completed(r);
  }
  void trigger() override { gate_.set(); }
  task<> settle(bool completed) override {
    if (waits_) co_await other_.join();
    expect(inside_ == 0, "a frame was left behind");
    expect(once_.is_done() == (completed || waits_), "it was done by nobody, or is not done");
    const int before = runs_;
    co_await comes();
    expect(runs_ == before + (completed || waits_ ? 0 : 1), "it was done twice, or is left undone");
    expect(once_.is_done(), "the turn was lost");
  }

 private:
  task<> run() {
    struct resident {
      std::atomic<int>& count;
      ~resident() { --count; }
    };
    ++inside_;
    const resident here{inside_};
    ++runs_;
    co_await gate_.wait();
  }
  task<> comes() {
    const auto run = [this] { return this->run(); };
    co_await once_.call(run);
  }

  const bool waits_;
  weir::once once_;
  weir::event gate_;
  std::atomic<int> runs_{0};
  std::atomic<int> inside_{0};
  weir::join_handle<> other_;
};

class getting_what_is_lazy final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, lazy_.get()));
    if (!completed(r)) co_return false;
    expect(*r == 7, "another value came");
    co_return true;
  }
  void trigger() override { gate_.set(); }
  task<> settle(bool completed) override {
    expect((lazy_.try_get() != nullptr) == completed, "the value is not there, or was made by nobody");
    const int& value = co_await lazy_.get();
    expect(value == 7, "another value came");
  }

 private:
  task<int> make() {
    co_await gate_.wait();
    co_return 7;
  }

  weir::event gate_;
  weir::lazy<int> lazy_{[this] { return make(); }};
};

enum class shard_use : std::uint8_t { lock, with, for_each };

class using_a_shard final : public scene {
 public:
  explicit using_a_shard(shard_use how) : how_(how) {}
  task<bool> attempt(cancellation_token token) override {
    const auto add = [](int& n) { ++n; };
    if (how_ == shard_use::lock) {
      auto r = co_await as_result(with_cancellation(token, sharded_.lock(1)));
      if (!completed(r)) co_return false;
      ++**r;
      co_return true;
    }
    if (how_ == shard_use::with) {
      auto r = co_await as_result(with_cancellation(token, sharded_.with(1, add)));
      co_return completed(r);
    }
    auto r = co_await as_result(with_cancellation(token, sharded_.for_each(add)));
    co_return completed(r);
  }
  void trigger() override { held_.unlock(); }
  task<> settle(bool completed) override {
    auto guard = sharded_.try_lock(1);
    expect(static_cast<bool>(guard), "the lock was lost");
    expect(*guard == (completed ? 1 : 0), "it was stopped inside of the shard, or was never there");
    co_return;
  }

 private:
  const shard_use how_;
  weir::sharded<int> sharded_{1};
  weir::shard_guard<int> held_ = sharded_.try_lock(1);
};

constexpr const char* shared_mutex_row = "`shared_mutex::lock()`, `lock_shared()`";
constexpr const char* watch_row = "`watch_observer::changed()`, `next()`";
constexpr const char* once_row = "`once::call(fn, args...)`";
constexpr const char* zero_row = "`latch::wait()`, `wait_group::wait()`";

constexpr std::array kinds = {
    kind_of_operation{shared_mutex_row, "shared_mutex::lock", make_scene<locking_shared, true>, true},
    kind_of_operation{shared_mutex_row, "shared_mutex::lock_shared", make_scene<locking_shared, false>, true},
    kind_of_operation{"`mutex::with_lock(fn)`", "mutex::with_lock", make_scene<calling_under_a_mutex>, true},
    kind_of_operation{"`semaphore::acquire(n)`", "semaphore::acquire", make_scene<acquiring_permits>, true},
    kind_of_operation{"`condition_variable::wait(guard)`", "condition_variable::wait",
                      make_scene<waiting_for_a_condition>, true},
    kind_of_operation{zero_row, "latch::wait", make_scene<waiting_at_a_latch, false>, true},
    kind_of_operation{zero_row, "wait_group::wait", make_scene<waiting_for_tokens>, true},
    kind_of_operation{"`latch::arrive_and_wait()`", "latch::arrive_and_wait", make_scene<waiting_at_a_latch, true>,
                      true},
    kind_of_operation{"`barrier::arrive_and_wait()`", "barrier::arrive_and_wait", make_scene<arriving_at_a_barrier>,
                      true},
    kind_of_operation{"`oneshot_receiver::receive()`", "oneshot_receiver::receive", make_scene<receiving_once>, true},
    kind_of_operation{"`oneshot_sender::abandoned()`", "oneshot_sender::abandoned", make_scene<being_abandoned>, true},
    kind_of_operation{once_row, "once::call that runs it", make_scene<calling_once, false>, true},
    kind_of_operation{once_row, "once::call that waits", make_scene<calling_once, true>, true},
    kind_of_operation{"`lazy::get()`", "lazy::get", make_scene<getting_what_is_lazy>, true},
    kind_of_operation{"`sharded::lock(key)`", "sharded::lock", make_scene<using_a_shard, shard_use::lock>, true},
    kind_of_operation{"`sharded::with(key, fn)`", "sharded::with", make_scene<using_a_shard, shard_use::with>, true},
    kind_of_operation{"`sharded::for_each(fn)`", "sharded::for_each", make_scene<using_a_shard, shard_use::for_each>,
                      true},
    kind_of_operation{watch_row, "watch_observer::changed", make_scene<watching_a_value, watch_wait::changed>, true},
    kind_of_operation{watch_row, "watch_observer::next", make_scene<watching_a_value, watch_wait::next>, true},
    kind_of_operation{"`watch_observer::wait_for(condition)`", "watch_observer::wait_for",
                      make_scene<watching_a_value, watch_wait::condition>, true},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_locks() { return kinds; }

}  // namespace test
