#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/as_result.hpp"
#include "../runtime/cancellation.hpp"
#include "../runtime/result.hpp"
#include "../runtime/task.hpp"
#include "../runtime/when_all.hpp"
#include "../runtime/when_any.hpp"
#include "../runtime/with_cancellation.hpp"
#include "gather.hpp"

namespace weir {

/// One of a quorum's operations that failed.
struct quorum_failure {
  std::size_t index;             ///< in the order given, from 0
  std::error_code error;         ///< as result::error()
  std::exception_ptr exception;  ///< never null
};

/// What quorum() completes with.
template <class T>
struct quorum_result {
  /// As many as were needed, in the order in which they came.
  std::vector<first_result<T>> values;
  /// Those that had failed by then.
  std::vector<quorum_failure> failures;
};

/// Thrown by quorum() when so many have failed that there cannot be enough any more. what() names each failure.
class quorum_not_reached : public std::runtime_error {
 public:
  quorum_not_reached(std::size_t needed, std::size_t count, std::vector<quorum_failure> failures);
  /// In the order in which they came.
  [[nodiscard]] const std::vector<quorum_failure>& failures() const noexcept { return *failures_; }

 private:
  std::shared_ptr<const std::vector<quorum_failure>> failures_;
};

namespace detail {

/// Throws std::invalid_argument when `count` can never give `needed`, or none is needed.
void require_quorum(std::size_t needed, std::size_t count);

/// The votes of a quorum. The first that decides cancels the others.
template <class T>
class quorum_count {
 public:
  quorum_count(std::size_t needed, std::size_t count) : needed_(needed), count_(count) {
    so_far_.values.reserve(needed);
    so_far_.failures.reserve(count - needed + 1);
  }

  /// Named here, so that what is done with votes waits for somebody who wants a quorum.
  using vote_task = task<>;
  vote_task vote(std::size_t index, task<T> op) {
    auto ended = co_await as_result(with_cancellation(decided_.token(), std::move(op)));
    note(index, ended);
  }

  /// Once all have voted.
  quorum_result<T> take() {
    if (so_far_.values.size() < needed_) throw quorum_not_reached(needed_, count_, std::move(so_far_.failures));
    return std::move(so_far_);
  }

 private:
  void note(std::size_t index, result<T>& ended) {
    bool late = false;
    bool decides = false;
    {
      const std::lock_guard guard(mutex_);
      late = over_;
      if (!late && ended) {
        add_value(index, ended);
        decides = over_ = so_far_.values.size() == needed_;
      } else if (!late) {
        so_far_.failures.push_back({index, ended.error(), ended.exception()});
        decides = over_ = so_far_.failures.size() > count_ - needed_;
      }
    }
    if (decides) decided_.request_cancellation();
    if (late && !ended && !ended.is_cancelled()) report_unobserved(ended.exception());
  }
  void add_value(std::size_t index, result<T>& ended) {
    if constexpr (std::is_void_v<T>) {
      so_far_.values.push_back({index});
    } else if constexpr (std::is_reference_v<T>) {
      so_far_.values.push_back({index, *ended});
    } else {
      so_far_.values.push_back({index, std::move(*ended)});
    }
  }

  const std::size_t needed_;
  const std::size_t count_;
  std::mutex mutex_;
  bool over_ = false;        // guarded by mutex_
  quorum_result<T> so_far_;  // the same
  cancellation_source decided_;
};

template <class T>
task<quorum_result<T>> quorum_of(std::size_t needed, std::vector<task<T>> tasks) {
  quorum_count<T> count(needed, tasks.size());
  std::vector<typename quorum_count<T>::vote_task> votes;
  votes.reserve(tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) votes.push_back(count.vote(i, std::move(tasks[i])));
  co_await when_all(std::move(votes));
  co_return count.take();
}

}  // namespace detail

/// Completes as soon as `needed` of the operations, which have values of one type, have succeeded: with those values,
/// and with the failures up to then.
///
///     auto written = co_await weir::quorum(2, write(a, record), write(b, record), write(c, record));
///
/// All run at once, each as a strand of its own. When it is decided, the others are stopped and joined first; a value
/// that comes late all the same is destroyed, a late failure goes to runtime_options::on_error. When more have failed
/// than may, it does not wait for the rest either: throws quorum_not_reached, which has every failure up to then. The
/// call itself throws std::invalid_argument when none is needed, or more than there are.
///
/// Cancelled: all are stopped and joined. Put it into with_timeout() for a limit. Four allocations, and two frames for
/// each operation beside its own; O(operations).
template <detail::operation Op, detail::operation... Ops>
  requires(!std::is_lvalue_reference_v<Op> && (!std::is_lvalue_reference_v<Ops> && ...))
auto quorum(std::size_t needed, Op&& op, Ops&&... ops) {
  using T = detail::operation_value_t<Op>;
  static_assert((std::is_same_v<T, detail::operation_value_t<Ops>> && ...),
                "quorum: the operations must have values of one type");
  detail::require_quorum(needed, 1 + sizeof...(Ops));
  std::vector<task<T>> tasks;
  tasks.reserve(1 + sizeof...(Ops));
  tasks.push_back(detail::as_task(std::move(op)));
  (tasks.push_back(detail::as_task(std::move(ops))), ...);
  return detail::quorum_of<T>(needed, std::move(tasks));
}

/// The same for any number of tasks of one type, in a range that is given away (`std::move(tasks)`).
template <detail::range_of_tasks R>
auto quorum(std::size_t needed, R&& tasks) {
  auto all = detail::vector_of(tasks);
  detail::require_quorum(needed, all.size());
  return detail::quorum_of<detail::task_value_of<R>>(needed, std::move(all));
}

}  // namespace weir
