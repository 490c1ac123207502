#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "../../runtime/clock.hpp"
#include "../../runtime/detail/function.hpp"
#include "../../runtime/detail/light_std.hpp"
#include "../../runtime/detail/local_value.hpp"
#include "../../runtime/detail/promise_base.hpp"
#include "../../runtime/detail/slot.hpp"
#include "../../runtime/errors.hpp"
#include "../../runtime/result.hpp"
#include "../../sync/detail/completion.hpp"

namespace weir::detail {

enum class job_ending : std::uint8_t {
  none,       ///< it has not ended
  value,      ///< it returned
  failed,     ///< it has an error
  cancelled,  ///< it was stopped or never begun, because the pool was
  streamed,   ///< what came of it went to the pool's stream
};

/// A job from submit() on, until it has ended and its ticket has gone. The pool and the ticket share it; which of them
/// is the last, and so frees it, is told by `ended`. Its memory is recycled as frames are.
class pool_job {
 public:
  pool_job() = default;
  pool_job(const pool_job&) = delete;
  pool_job& operator=(const pool_job&) = delete;
  virtual ~pool_job() { local_value::release(locals); }

  static void* operator new(std::size_t size) { return allocate_record(size); }
  static void operator delete(void* record, std::size_t size) noexcept { release_record(record, size); }

  static constexpr time_point not_timed = time_point::min();

  completion ended;
  // The pool's until `ended` has happened, then the ticket's.
  job_ending ending = job_ending::none;
  cancellation_cause cause = cancellation_cause::none;  // with `cancelled`
  bool has_token = false;                               // of options.submit_rate
  bool taken = false;                                   // its arguments have been moved into a call
  std::exception_ptr error;                             // with `failed`

  std::uint64_t id = 0;
  std::int64_t key = 0;  // where jobs are ordered: the least first
  time_point submitted = not_timed;
  time_point deadline = no_deadline;
  const local_value* locals = nullptr;  // the submitter's; holds a reference

  // The ticket's wait. It lies here so that a ticket may be moved and costs no more than a pointer.
  slot<completion_wait_operation> wait;
};

template <class R>
struct job_value {
  using type = R;
};
template <class R>
struct job_value<R&> {
  using type = std::reference_wrapper<R>;
};
template <>
struct job_value<void> {
  using type = std::monostate;
};

/// With what it returns.
template <class R>
class pool_job_of : public pool_job {
  static_assert(alignof(typename job_value<R>::type) <= 16,
                "over-aligned results do not fit a job's record: return a std::unique_ptr");

 public:
  /// Once it has ended.
  result<R> take_result() {
    switch (ending) {
      case job_ending::value:
        if constexpr (std::is_void_v<R>) {
          return result<R>(std::in_place);
        } else if constexpr (std::is_reference_v<R>) {
          return result<R>(std::in_place, value->get());
        } else {
          return result<R>(std::in_place, std::move(*value));
        }
      case job_ending::failed:
        return failure(std::move(error));
      case job_ending::cancelled:
        return failure::cancellation(cause);
      case job_ending::none:
      case job_ending::streamed:
        break;
    }
    return failure(std::make_exception_ptr(
        std::logic_error("weir::worker_pool: the results of this pool go to its stream, and tickets have none")));
  }
  R take() {
    if (ending != job_ending::value) return take_result().value();
    if constexpr (std::is_void_v<R>) {
      return;
    } else if constexpr (std::is_reference_v<R>) {
      return value->get();
    } else {
      return std::move(*value);
    }
  }

  void fail(std::exception_ptr why) noexcept {
    ending = job_ending::failed;
    error = std::move(why);
  }

  std::optional<typename job_value<R>::type> value;
};

/// With what it works on.
template <class R, class... Args>
class pool_record final : public pool_job_of<R> {
  static_assert(((alignof(Args) <= 16) && ...), "over-aligned arguments do not fit a job's record");

 public:
  template <class... Us>
  explicit pool_record(std::in_place_t, Us&&... us) : arguments(std::in_place, std::forward<Us>(us)...) {}

  std::optional<std::tuple<Args...>> arguments;  // until it has ended
};

}  // namespace weir::detail
