#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/as_result.hpp"
#include "../runtime/cancellation.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/result.hpp"
#include "../runtime/sleep.hpp"
#include "../runtime/task.hpp"
#include "../runtime/task_group.hpp"
#include "../runtime/with_cancellation.hpp"
#include "../sync/event.hpp"
#include "../sync/select.hpp"

namespace weir {

struct hedge_history_options {
  /// A request that has taken longer than this share of them is sent once more. More than 0, less than 1.
  double percentile = 0.95;
  /// Further requests for each first one, on average: the load that hedging may add. 0 to 1.
  double extra = 0.1;
  /// Further requests that may be sent at once after a quiet time. At least 1.
  double burst = 10;
  /// Latencies that must be known before the percentile counts.
  std::size_t fewest = 20;
};
static_assert(detail::trivially_destructible<hedge_history_options>);

/// What a hedge_history has seen so far.
struct hedge_stats {
  std::uint64_t calls = 0;    ///< of hedge()
  std::uint64_t extra = 0;    ///< requests beyond the first one of a call
  std::uint64_t won = 0;      ///< calls that one of those has won
  std::uint64_t refused = 0;  ///< that were not sent, because there had been too many
};

/// What calls of one kind have in common: how long their first requests took, the latest 512 of them, and how many
/// further ones may be sent. For any number of calls at once, on any thread; must outlive them.
///
/// A first request that was cut short because another one won counts with the time that it had run: that is longer than
/// the percentile which it had passed, so the percentile stays what it is. Failures do not count. (After Dean and
/// Barroso, "The Tail at Scale", 2013. Tokens for further requests as in Finagle's RetryBudget.)
class hedge_history {
 public:
  /// Throws std::invalid_argument when the options make no sense.
  explicit hedge_history(const hedge_history_options& options = {});
  hedge_history(const hedge_history&) = delete;
  hedge_history& operator=(const hedge_history&) = delete;

  /// The percentile, or `otherwise` while too little is known. O(1).
  [[nodiscard]] duration delay(duration otherwise) const;
  [[nodiscard]] hedge_stats stats() const;

  // For those who do what hedge() does.
  void note_call();
  /// Amortised O(window / 16): the percentile is found anew with every 32nd one.
  void note_latency(duration took);
  [[nodiscard]] bool allow_extra();
  void note_won();

 private:
  const hedge_history_options options_;
  mutable std::mutex mutex_;
  std::vector<duration> latest_;   // a ring; guarded by mutex_, as all that follows
  std::vector<duration> scratch_;  // of the same size
  std::size_t noted_ = 0;
  duration percentile_{};
  double tokens_;
  hedge_stats stats_;
};

struct hedge_options {
  /// How long a request may take before it is sent once more; with a history, until that knows enough.
  duration after = std::chrono::milliseconds(50);
  /// Requests in all, at least one.
  unsigned most = 2;
  /// Measures, and bounds the load. Must outlive the call.
  hedge_history* history = nullptr;
};
static_assert(detail::trivially_destructible<hedge_options>);

namespace detail {

/// Throws std::invalid_argument when they make no sense.
void require_hedge(const hedge_options& options);

/// The requests of one call. The first success ends it, or the failure of the last one that runs.
template <class T, class F>
class hedge_race {
 public:
  hedge_race(F& function, hedge_history* history) noexcept : function_(function), history_(history) {}

  /// Counts a request in that is about to be sent. False: it is over.
  bool begin() {
    const std::lock_guard guard(mutex_);
    if (over_) return false;
    ++running_;
    return true;
  }
  task<> request(bool first) {
    const time_point begun = now();
    std::optional<result<T>> ended;
    try {
      auto call = detail::invoke(function_);
      auto answer = co_await as_result(with_cancellation(won_.token(), std::move(call)));
      ended.emplace(std::move(answer));
    } catch (...) {
      ended.emplace(failure(std::current_exception()));
    }
    const bool lost = ended->is_cancelled() && won_.is_cancellation_requested();
    if (history_ && first && (*ended || lost)) history_->note_latency(now() - begun);
    if (!lost) end(std::move(ended), first);
  }
  [[nodiscard]] auto over() noexcept { return settled_.wait(); }
  T take() { return std::move(*outcome_).value(); }

 private:
  void end(std::optional<result<T>> ended, bool first) {
    std::optional<result<T>> unseen;  // an earlier failure of a call that succeeds, or one that is not the first
    bool ends = false;
    {
      const std::lock_guard guard(mutex_);
      --running_;
      const bool success = ended->has_value();
      if (over_) {
        if (!success) unseen = std::move(ended);
      } else if (success) {
        unseen = std::move(outcome_);
        outcome_.emplace(std::move(*ended));
        ends = over_ = true;
      } else {
        if (outcome_) {
          unseen = std::move(ended);
        } else {
          outcome_.emplace(std::move(*ended));
        }
        ends = over_ = running_ == 0;
      }
    }
    if (ends) {
      if (history_ && !first && outcome_->has_value()) history_->note_won();
      won_.request_cancellation();
      settled_.set();
    }
    if (unseen) report_unobserved(unseen->exception());
  }

  F& function_;
  hedge_history* const history_;
  std::mutex mutex_;
  unsigned running_ = 0;              // guarded by mutex_
  bool over_ = false;                 // the same
  std::optional<result<T>> outcome_;  // the same until it is over: the first failure so far, or the success
  event settled_;
  cancellation_source won_;
};

template <class F>
task<typename std::invoke_result_t<F&>::value_type> hedge_call(hedge_options options, F function) {
  hedge_race<typename std::invoke_result_t<F&>::value_type, F> race(function, options.history);
  duration delay = options.after;
  if (options.history) {
    options.history->note_call();
    delay = options.history->delay(options.after);
  }
  auto send_all = [&](task_group& group) -> task<> {
    for (unsigned sent = 0; race.begin();) {
      group.spawn(race.request(sent == 0));
      if (++sent == options.most) break;
      auto waited = co_await select_ordered(race.over(), sleep_for(delay));
      if (waited.index() == 0) break;
      if (options.history && !options.history->allow_extra()) break;
    }
    co_await group.join();
  };
  co_await with_task_group(send_all);
  co_return race.take();
}

class hedge_function {
 public:
  template <class F>
  auto operator()(const hedge_options& options, F&& function) const {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    static_assert(is_task<std::invoke_result_t<std::decay_t<F>&>>,
                  "hedge: the function takes nothing and returns a task");
    require_hedge(options);
    return hedge_call<std::decay_t<F>>(options, std::forward<F>(function));
  }
};

}  // namespace detail

/// Sends a request, by calling `function()`, which returns a task, and once more when no answer has come `after` so
/// long, and so on up to `most`. The first success wins; the others are stopped and joined before this completes with
/// it. For requests that may be sent twice without harm.
///
///     auto page = co_await weir::hedge({.after = 50ms}, [&] { return fetch(any_replica()); });
///
///     weir::hedge_history lookups({.percentile = 0.95, .extra = 0.05});  // one for all calls of this kind
///     auto user = co_await weir::hedge({.history = &lookups}, look_up);
///
/// A failure does not win while another request runs. When the last one that runs has failed no other is sent (to try
/// again is what retry is for): the first failure is thrown. Failures that are not thrown go to
/// runtime_options::on_error. With a history the delay is a measured percentile, and further requests are sent only as
/// far as it allows.
///
/// Cancelled: all are stopped and joined. The call itself throws std::invalid_argument for options that make no sense.
/// Allocates two frames and a record for each request beside its own, and two frames for the call, all recycled.
inline constexpr detail::hedge_function hedge{};

}  // namespace weir
