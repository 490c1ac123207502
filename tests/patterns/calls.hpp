#pragma once

#include "support.hpp"

#include <optional>
#include <system_error>

// What the tests of wrappers around calls share.

namespace test {

inline std::system_error reset(const char* sentence = "call") {
  return std::system_error(std::make_error_code(std::errc::connection_reset), sentence);
}
inline std::system_error denied(const char* sentence = "call") {
  return std::system_error(std::make_error_code(std::errc::permission_denied), sentence);
}

template <class E>
bool holds(const std::exception_ptr& error) {
  if (!error) return false;
  try {
    std::rethrow_exception(error);
  } catch (const E&) {
    return true;
  } catch (...) {
    return false;
  }
}
/// Whether it failed with an E.
template <class E, class T>
bool failed_with(const weir::result<T>& ended) {
  return holds<E>(ended.exception());
}

/// How `call` ends when it is stopped from outside after so long.
template <class T>
weir::task<weir::result<T>> stopped_after(weir::duration when, weir::task<T> call) {
  weir::cancellation_source stop;
  std::optional<weir::result<T>> ended;
  auto cancels = [&]() -> weir::task<> {
    co_await weir::sleep_for(when);
    stop.request_cancellation();
  };
  auto body = [&](weir::task_group& group) -> weir::task<> {
    group.spawn(cancels);
    auto outcome = co_await weir::as_result(weir::with_cancellation(stop.token(), std::move(call)));
    ended.emplace(std::move(outcome));
    group.cancel();
  };
  co_await weir::with_task_group(body);
  co_return std::move(*ended);
}

}  // namespace test
