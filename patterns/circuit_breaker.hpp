#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/as_result.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/take.hpp"
#include "../runtime/task.hpp"
#include "../sync/detail/domain_lock.hpp"
#include "call_refused.hpp"
#include "detail/protected_call.hpp"

namespace weir {

enum class circuit_state : std::uint8_t {
  closed,     ///< calls are made
  open,       ///< calls are refused
  half_open,  ///< a few calls are made, to see
};

/// "closed", "open", "half-open".
const char* to_string(circuit_state state) noexcept;

/// Thrown in place of a call while the circuit is open, or half-open with all its trial calls at work. retry_after() is
/// how long it will stay open.
class circuit_open : public call_refused {
 public:
  using call_refused::call_refused;
};

struct circuit_breaker_options {
  /// So many failures in a row open it; 0: that rule is off.
  std::uint64_t consecutive_failures = 0;
  /// This part of the calls in the window open it, when they fail, and when there are at least `least_calls` of them.
  /// Above 1: that rule is off.
  double failure_ratio = 0.5;
  std::uint64_t least_calls = 10;
  /// What the ratio looks at: it moves on by a slice at a time. With one slice the counts are cleared at the end of
  /// each window. 1 to 16 slices.
  duration window{10'000'000'000};
  unsigned slices = 10;
  /// A call that comes back well, but after longer than this, counts as a failure. 0: however long.
  duration slow{0};
  /// How long it refuses all calls, before it tries again.
  duration open_for{60'000'000'000};
  /// So many trial calls are made then, at most at once; when all have succeeded it closes. At least 1.
  unsigned trials = 3;
};
static_assert(detail::trivially_destructible<circuit_breaker_options>);

/// What a circuit_breaker has done so far, in all its states.
struct circuit_stats {
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;   ///< slow ones included
  std::uint64_t slow = 0;     ///< that came back well but late
  std::uint64_t ignored = 0;  ///< ended without saying anything: stopped, or cancelled
  std::uint64_t refused = 0;
  std::uint64_t opened = 0;  ///< times that it has opened
};

class circuit_breaker;

/// The right to make one call, and the duty to say how that ended; when it ends without, the call counts neither way.
/// Move-only. The breaker must outlive it.
class [[nodiscard]] circuit_permit {
 public:
  circuit_permit(circuit_permit&& other) noexcept
      : owner_(detail::take(other.owner_)), since_(other.since_), generation_(other.generation_) {}
  circuit_permit& operator=(circuit_permit&&) = delete;
  ~circuit_permit() { end(outcome::ignored); }

  void succeeded() noexcept { end(outcome::success); }
  void failed() noexcept { end(outcome::failure); }

 private:
  friend class circuit_breaker;
  enum class outcome : std::uint8_t { success, failure, ignored };
  circuit_permit(circuit_breaker& owner, time_point since, std::uint64_t generation) noexcept
      : owner_(&owner), since_(since), generation_(generation) {}
  void end(outcome how) noexcept;

  circuit_breaker* owner_;
  time_point since_;
  std::uint64_t generation_;
};

/// Stops calling who fails all the time: that spares him the load and the callers the wait.
///
///     weir::circuit_breaker breaker("orders", {.consecutive_failures = 5});
///     auto answer = co_await breaker.run(call);  // throws circuit_open while it is open
///
/// Closed, it counts the calls as they end. A failure that makes one of its rules true opens it. Open, it refuses every
/// call at once. After `open_for` the next call makes it half-open, and `trials` calls are made: when all of them have
/// succeeded it closes, with all counts at zero; the first that fails opens it again. (Nygard, "Release It!", 2007;
/// with the settings of a ratio, a minimum, one slice and 3 trials it acts as Sony's gobreaker does.) Calls that began
/// before the last change of state have no say.
///
/// A call that is stopped, that throws `cancelled`, or that somebody inside has refused (call_refused) counts neither
/// way, and gives its trial back. Every other exception is a failure, unless count_as_failure() says otherwise. A trial
/// call that never ends keeps it half-open: put a timeout inside.
///
/// Any task of any runtime and any thread may use it, unless it was made on a confined worker. It must outlive them.
/// Nothing runs in the background. O(1); allocates nothing but the error of a refusal.
class circuit_breaker {
 public:
  /// `name` is for errors and callbacks. Throws std::invalid_argument when the options make no sense.
  explicit circuit_breaker(std::string name, const circuit_breaker_options& options = {});
  circuit_breaker(const circuit_breaker&) = delete;
  circuit_breaker& operator=(const circuit_breaker&) = delete;

  /// Called at each change, on the thread that brings it about, one after the other and in the order of the changes. It
  /// may use the breaker, and must not throw. Set it before the first call.
  using state_callback = std::function<void(const std::string& name, circuit_state from, circuit_state to)>;
  void on_state_change(state_callback callback);

  /// Which exceptions are failures; the others, such as "no such order", are successes, for the service has answered.
  /// Not asked about cancelled and refused calls. It must not throw. Set it before the first call.
  void count_as_failure(std::function<bool(const std::exception_ptr&)> predicate);

  /// Completes with what `function()` completes with. Throws circuit_open, and does not call it, while the circuit is
  /// open. A stop goes through. A frame, and another for a call that is no task.
  template <detail::protectable F>
  task<detail::call_value_t<std::decay_t<F>>> run(F&& function) WEIR_DETAIL_LIFETIMEBOUND {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return run_kept<std::decay_t<F>>(std::forward<F>(function));
  }

  /// The same in two steps, for what is no function. Throws circuit_open.
  circuit_permit enter() WEIR_DETAIL_LIFETIMEBOUND;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// As it is now: one whose time is over is half-open.
  [[nodiscard]] circuit_state state() noexcept;
  [[nodiscard]] circuit_stats stats() noexcept;

  /// By hand: closes it with all counts at zero; opens it for `open_for`.
  void reset() noexcept;
  void trip() noexcept;

 private:
  friend class circuit_permit;
  struct slice {
    std::uint64_t calls = 0;
    std::uint64_t failures = 0;
  };
  struct change {
    circuit_state from;
    circuit_state to;
  };

  template <class F>
  task<detail::call_value_t<F>> run_kept(F function) {
    circuit_permit permit = enter();
    auto call = detail::start_call(function);
    auto outcome = co_await as_result(std::move(call));
    if (outcome) {
      permit.succeeded();
      co_return std::move(outcome).value();
    }
    const std::exception_ptr error = outcome.exception();
    judge(error, permit);
    std::rethrow_exception(error);
  }

  void judge(const std::exception_ptr& error, circuit_permit& permit) const noexcept;
  void end(circuit_permit& permit, circuit_permit::outcome how) noexcept;

  // Under the lock.
  void refresh(time_point now) noexcept;
  void move_on(time_point now) noexcept;
  void count(time_point now, bool failure) noexcept;
  void change_to(circuit_state next, time_point now) noexcept;
  [[nodiscard]] bool must_open() const noexcept;

  /// Calls the callback for what has changed. Without the lock.
  void tell() noexcept;

  static constexpr unsigned most_slices = 16;

  const std::string name_;
  const circuit_breaker_options options_;
  const duration slice_length_;
  state_callback on_change_;
  std::function<bool(const std::exception_ptr&)> is_failure_;

  detail::domain_lock lock_;
  // Everything below is guarded by lock_.
  circuit_state state_ = circuit_state::closed;
  std::uint64_t generation_ = 0;  // of the state: permits of an earlier one have no say
  time_point since_;              // when the state began
  // closed: what has ended in the slices up to the newest
  std::array<slice, most_slices> slices_{};
  std::uint64_t newest_ = 0;  // slices since the state began
  std::uint64_t in_a_row_ = 0;
  // half-open
  unsigned trials_begun_ = 0;  // at work, or succeeded
  unsigned trials_well_ = 0;
  circuit_stats stats_;
  std::vector<change> changes_;  // not yet told
  bool telling_ = false;         // somebody is at it
};

}  // namespace weir
