#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

namespace test {

/// A thread that does something at the same time as its caller.
class other_thread {
 public:
  other_thread() : thread_([this] { serve(); }) {}
  other_thread(const other_thread&) = delete;
  other_thread& operator=(const other_thread&) = delete;
  ~other_thread() {
    work_ = nullptr;
    set(state::armed);
    thread_.join();
  }

  /// Returns when the thread is about to call `work`.
  void begin(std::function<void()> work) {
    work_ = std::move(work);
    set(state::armed);
    wait_for(state::running);
  }
  /// Returns when it has.
  void end() { wait_for(state::idle); }

 private:
  enum class state : int { idle, armed, running };
  void set(state to) {
    state_.store(to);
    state_.notify_all();
  }
  void wait_for(state wanted) {
    // `running` may have passed by the time that we look.
    for (state now = state_.load(); now != wanted && now != state::idle; now = state_.load()) state_.wait(now);
  }
  void serve() {
    for (;;) {
      state_.wait(state::idle);
      if (state_.load() != state::armed) continue;
      if (!work_) return;
      set(state::running);
      work_();
      set(state::idle);
    }
  }

  std::function<void()> work_;
  std::atomic<state> state_{state::idle};
  std::thread thread_;
};

}  // namespace test
