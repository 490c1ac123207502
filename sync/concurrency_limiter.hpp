#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/detail/take.hpp"
#include "../runtime/detail/wrapped_operation.hpp"
#include "detail/domain_lock.hpp"
#include "semaphore.hpp"

namespace weir {

class concurrency_limiter;

/// How a concurrency_limiter moves its limit.
enum class concurrency_control : std::uint8_t {
  /// One more for each round of successes that used at least half of it, and a part of it less for each overload. (Chiu
  /// and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance", 1989.)
  aimd,
  /// By how much slower the calls of a round are than those when there is no queue on the other side: what waits in
  /// queues there shows as latency before it shows as errors. (The rule of Netflix's concurrency-limits, "Gradient",
  /// 2018. How long calls take without a queue is found as BBR does it, Cardwell et al. 2016: now and then, for some
  /// rounds with a quarter of the limit.)
  gradient,
};

struct concurrency_options {
  std::size_t initial = 20;
  std::size_t least = 1;
  std::size_t most = 1000;
  concurrency_control control = concurrency_control::gradient;
  double decrease = 0.9;  ///< by which an overload multiplies the limit; more than 0, less than 1
  double tolerance =
      1.5;  ///< gradient: so many times the latency without a queue is no reason to slow down; at least 1
  /// A success that took longer is an overload. 0: however long.
  std::chrono::nanoseconds slow{0};
};

/// The right to be one of those at work; gives it back at the end of its life, and says nothing about the call then.
/// Move-only. The limiter must outlive it.
class [[nodiscard]] concurrency_permit {
 public:
  concurrency_permit() = default;
  concurrency_permit(concurrency_permit&& other) noexcept
      : owner_(detail::take(other.owner_)), held_(std::move(other.held_)), since_(other.since_) {}
  concurrency_permit& operator=(concurrency_permit&& other) noexcept {
    release();
    owner_ = detail::take(other.owner_);
    held_ = std::move(other.held_);
    since_ = other.since_;
    return *this;
  }
  ~concurrency_permit() { release(); }

  explicit operator bool() const noexcept { return owner_ != nullptr; }

  /// The call came back well: how long it took, since the permit was had, is a sample. Gives the permit back.
  void succeeded() noexcept;
  /// The call was refused or timed out because there is too much of it. Gives the permit back.
  void overloaded() noexcept;
  /// Gives the permit back without a word: for calls that say nothing about the load. Idempotent.
  void release() noexcept;

 private:
  friend class concurrency_limiter;
  friend class concurrency_acquire_operation;
  concurrency_permit(concurrency_limiter& owner, semaphore_permit held) noexcept
      : owner_(&owner), held_(std::move(held)), since_(clock::now()) {}

  concurrency_limiter* owner_ = nullptr;
  semaphore_permit held_;
  time_point since_{};
};

/// What concurrency_limiter::acquire() returns.
class [[nodiscard]] concurrency_acquire_operation final
    : public detail::wrapped_operation<detail::semaphore_acquire_operation> {
 public:
  using value_type = concurrency_permit;

  explicit concurrency_acquire_operation(concurrency_limiter& owner) noexcept;

  concurrency_permit resume() noexcept { return {owner_, inner_.resume()}; }
  result<concurrency_permit> resume_result() noexcept { return {std::in_place, resume()}; }

 private:
  concurrency_limiter& owner_;
};

/// So many at work at a time as the other side can bear, which it finds out by itself from how long the calls take and
/// which of them are refused. A semaphore whose number moves.
///
///     weir::concurrency_limiter limiter({.most = 200});
///     auto permit = co_await limiter.acquire();
///     const auto answer = co_await call();
///     if (answer.status == 503) permit.overloaded(); else permit.succeeded();
///
/// First come, first served. When the limit falls nobody is interrupted: the next ones wait until so many have ended.
/// Any task of any runtime and any plain thread may use it, unless it was made on a confined worker. Allocates nothing.
/// It must outlive its permits and all who wait.
class concurrency_limiter {
 public:
  /// Throws std::invalid_argument when the options make no sense.
  explicit concurrency_limiter(const concurrency_options& options = {});
  concurrency_limiter(const concurrency_limiter&) = delete;
  concurrency_limiter& operator=(const concurrency_limiter&) = delete;

  /// Completes with a permit, as semaphore::acquire does.
  [[nodiscard]] concurrency_acquire_operation acquire() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return concurrency_acquire_operation(*this);
  }
  /// A permit if that takes no waiting; otherwise one that is false.
  concurrency_permit try_acquire() noexcept WEIR_DETAIL_LIFETIMEBOUND;

  /// How many may be at work now.
  [[nodiscard]] std::size_t limit() noexcept;
  /// How many are.
  [[nodiscard]] std::size_t in_flight() noexcept;

 private:
  friend class concurrency_permit;
  friend class concurrency_acquire_operation;
  void sample(duration took, bool overload) noexcept;
  void end_round(double latency, bool used) noexcept;
  void begin_probe() noexcept;
  void move_to(double wanted) noexcept;
  void give_back(semaphore_permit& held) noexcept;

  const concurrency_options options_;
  detail::domain_lock lock_;
  double limit_;
  std::size_t whole_;     // as many permits are there, held or not, but for those owed
  std::size_t owed_ = 0;  // permits that go nowhere when they come back
  // gradient: the present round, one call for each that the limit allows, and what is known from those before.
  // Latencies in nanoseconds.
  double round_sum_ = 0;
  std::size_t round_count_ = 0;
  std::size_t round_busy_ = 0;  // the most that were at work
  double without_queue_ = 0;    // 0: not known
  double limit_before_probe_ = 0;
  unsigned rounds_ = 0;
  unsigned probing_ = 0;  // rounds left
  semaphore permits_;
};

inline concurrency_acquire_operation::concurrency_acquire_operation(concurrency_limiter& owner) noexcept
    : wrapped_operation(owner.permits_.acquire()), owner_(owner) {}

}  // namespace weir
