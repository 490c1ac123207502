#pragma once

#include <atomic>
#include <stdexcept>
#include <utility>

#include "../../runtime/cancellation.hpp"
#include "../../runtime/current.hpp"
#include "../../runtime/shielded.hpp"
#include "../../runtime/sleep.hpp"
#include "../../runtime/task.hpp"
#include "../../sync/event.hpp"

// How objects run that are run by their user's task, and end in an order of their own.

namespace weir::detail {

/// As long as it lives the flag is set. Throws std::logic_error with `sentence` where it was set before.
class running_alone {
 public:
  running_alone(std::atomic<bool>& flag, const char* sentence) : flag_(flag) {
    if (flag.exchange(true)) throw std::logic_error(sentence);
  }
  running_alone(const running_alone&) = delete;
  running_alone& operator=(const running_alone&) = delete;
  ~running_alone() { flag_ = false; }

 private:
  std::atomic<bool>& flag_;
};

/// Runs `work` hidden from the cancellation that the caller inherits; that sets `told` instead, so that `work` can end
/// in an order of its own. Once it has ended the caller stops, if it was to, and otherwise completes with its value.
template <class T>
task<T> end_orderly(event& told, task<T> work) {
  auto tell = [&told]() noexcept { told.set(); };
  const cancellation_callback on_stop(current_token(), tell);
  if constexpr (std::is_void_v<T>) {
    co_await shielded(std::move(work));
    co_await checkpoint();
  } else {
    T value = co_await shielded(std::move(work));
    co_await checkpoint();
    co_return std::move(value);
  }
}

}  // namespace weir::detail
