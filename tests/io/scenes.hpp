#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <weir/weir.hpp>

#include "sockets.hpp"

namespace test {

/// When an operation completes.
enum class completion : std::uint8_t {
  when_triggered,
  by_itself,
  never,
};

/// One operation, ready to be awaited once.
class scene {
 public:
  scene() = default;
  scene(const scene&) = delete;
  scene& operator=(const scene&) = delete;
  virtual ~scene() = default;

  [[nodiscard]] virtual completion completes() const { return completion::when_triggered; }
  /// Once it has begun, the operation is waited for; trigger() has to come.
  [[nodiscard]] virtual bool outlasts_its_stop() const { return false; }

  /// No stop reaches it: trigger() has to come, and it completes.
  [[nodiscard]] virtual bool ignores_stops() const { return false; }

  /// Makes what attempt() needs.
  virtual weir::task<> open() { co_return; }
  /// Awaits the operation directly under a scope with `token`: did it complete?
  virtual weir::task<bool> attempt(weir::cancellation_token token) = 0;
  /// Lets it complete. Any thread.
  virtual void trigger() {}
  /// Until it has completed, after trigger().
  virtual void pump() {}
  /// After attempt() and trigger(): is everything accounted for?
  virtual weir::task<> settle(bool /*completed*/) { co_return; }

  void trigger_once() {
    if (!std::exchange(triggered_, true)) trigger();
  }
  void go_on() {
    if (triggered_) pump();
  }
  void expect(bool as_it_should_be, const std::string& what) const {
    CHECK_MESSAGE(as_it_should_be, label << ": " << what);
  }
  std::string label;
  int yields_per_turn = 600;  // after so many the reactor has been asked, too

 protected:
  /// What attempt() returns for this result: anything but a value has to be the cancellation.
  template <class T>
  bool completed(const weir::result<T>& r) const {
    if (r.has_value()) return true;
    expect(r.is_cancelled(), sentence_of(r));
    return false;
  }

 private:
  bool triggered_ = false;
};

struct kind_of_operation {
  const char* row;  // of docs/contracts.md, by its first column
  const char* name;
  std::unique_ptr<scene> (*make)();
  bool simulable = false;  // it needs nothing that is not there in a simulation
  bool slow = false;       // it takes milliseconds, or a process: tried at each moment, but less often
};

template <class Scene, auto... arguments>
std::unique_ptr<scene> make_scene() {
  return std::make_unique<Scene>(arguments...);
}

/// All of them.
std::span<const kind_of_operation> kinds_of_operations();
/// Its parts: what comes to a reactor, or has always been there; streams and files; datagrams; unix sockets; pipes;
/// processes and hosts; paths, and what else is done with files; tasks and scopes; channels; locks; limiters.
std::span<const kind_of_operation> basic_kinds();
std::span<const kind_of_operation> kinds_of_streams();
std::span<const kind_of_operation> kinds_of_datagrams();
std::span<const kind_of_operation> kinds_of_unix_sockets();
std::span<const kind_of_operation> kinds_of_pipes();
std::span<const kind_of_operation> kinds_of_processes();
std::span<const kind_of_operation> kinds_of_files();
std::span<const kind_of_operation> kinds_of_tasks();
std::span<const kind_of_operation> kinds_of_sync();
std::span<const kind_of_operation> kinds_of_locks();
std::span<const kind_of_operation> kinds_of_limits();

/// A few nanoseconds for each step.
inline void pass_time(unsigned steps) {
  static std::atomic<unsigned> sink{0};
  for (unsigned i = 0; i < steps; ++i) sink.store(i, std::memory_order_relaxed);
}

}  // namespace test
