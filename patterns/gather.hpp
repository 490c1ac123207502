#pragma once

#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/as_result.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/result.hpp"
#include "../runtime/task.hpp"
#include "../runtime/when_all.hpp"
#include "../runtime/with_timeout.hpp"

namespace weir {
namespace detail {

/// How `op` has ended by `due`.
template <operation Op>
task<result<operation_value_t<Op>>> answer_by(time_point due, Op op) {
  co_return co_await as_result(with_deadline(due, std::move(op)));
}

template <operation... Ops>
task<std::tuple<result<operation_value_t<Ops>>...>> gather_all(duration limit, Ops... ops) {
  const time_point due = add_saturated(now(), limit);
  co_return co_await when_all(answer_by<Ops>(due, std::move(ops))...);
}

template <class T>
task<std::vector<result<T>>> gather_range(duration limit, std::vector<task<T>> tasks) {
  const time_point due = add_saturated(now(), limit);
  std::vector<task<result<T>>> answers;
  answers.reserve(tasks.size());
  for (task<T>& one : tasks) answers.push_back(answer_by(due, std::move(one)));
  co_return co_await when_all(std::move(answers));
}

/// The tasks of a range that is given away.
template <range_of_tasks R>
std::vector<task<task_value_of<R>>> vector_of(R& tasks) {
  std::vector<task<task_value_of<R>>> all;
  if constexpr (std::ranges::sized_range<R>) all.reserve(std::ranges::size(tasks));
  for (auto& one : tasks) all.push_back(std::move(one));
  return all;
}

}  // namespace detail

/// Asks several at once and takes what has come when the time is up: a tuple of one result<T> for each operation, in
/// the order given.
///
///     auto [user, orders, advice] = co_await weir::gather(100ms, find(id), orders_of(id), advise(id));
///     if (!advice) log("no advice: {}", advice.error().message());  // std::errc::timed_out, or what it failed with
///
/// Each operation runs as a strand of its own. A failure touches no other operation and is in its result. What has not
/// ended within `limit`, counted from when this is awaited, is stopped; it is joined before this completes, so that
/// nothing goes on behind the caller's back, and its result has the error std::errc::timed_out. A value that comes late
/// all the same is delivered. Never throws but for want of memory.
///
/// Cancelled: all are stopped and joined. One frame, and one for each operation beside its own; O(operations).
template <class Rep, class Period, detail::operation... Ops>
  requires(sizeof...(Ops) > 0 && (!std::is_lvalue_reference_v<Ops> && ...))
auto gather(std::chrono::duration<Rep, Period> limit, Ops&&... ops) {
  return detail::gather_all<Ops...>(detail::to_duration(limit), std::move(ops)...);
}

/// The same for any number of tasks of one type, also none, in a range that is given away (`std::move(tasks)`):
/// completes with a vector of their results in the order given. How many there are at a time is not bounded here: see
/// scatter_gather().
template <class Rep, class Period, detail::range_of_tasks R>
auto gather(std::chrono::duration<Rep, Period> limit, R&& tasks) {
  return detail::gather_range(detail::to_duration(limit), detail::vector_of(tasks));
}

/// Without a limit: completes when all have ended. Unlike when_all() no failure ends the others.
template <detail::operation... Ops>
  requires(sizeof...(Ops) > 0 && (!std::is_lvalue_reference_v<Ops> && ...))
auto gather(Ops&&... ops) {
  return detail::gather_all<Ops...>(duration::max(), std::move(ops)...);
}
template <detail::range_of_tasks R>
auto gather(R&& tasks) {
  return detail::gather_range(duration::max(), detail::vector_of(tasks));
}

}  // namespace weir
