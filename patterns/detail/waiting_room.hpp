#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

#include "../../runtime/task.hpp"
#include "../../sync/semaphore.hpp"
#include "protected_call.hpp"
#include "tally.hpp"

namespace weir::detail {

/// Places for so many at work, and seats for so many who wait for one. Who has a seat keeps it until he goes on, so
/// that there are never more than that between their coming and their beginning.
class waiting_room {
 public:
  waiting_room(std::size_t places, std::size_t seats) noexcept : most_(places), seats_(seats), places_(places) {}

  class [[nodiscard]] seat {
   public:
    explicit seat(waiting_room& in) noexcept : in_(&in) {
      if (in.waiting_.fetch_add(1, std::memory_order_relaxed) < in.seats_) return;
      in.waiting_.fetch_sub(1, std::memory_order_relaxed);
      in_ = nullptr;
    }
    seat(const seat&) = delete;
    seat& operator=(const seat&) = delete;
    ~seat() {
      if (in_) in_->waiting_.fetch_sub(1, std::memory_order_relaxed);
    }
    explicit operator bool() const noexcept { return in_ != nullptr; }

   private:
    waiting_room* in_;
  };

  /// A place if that takes no waiting, and nobody is passed by it.
  semaphore_permit try_take() noexcept { return places_.try_acquire(); }
  /// For who has a seat: completes with a place, first come, first served.
  [[nodiscard]] auto turn() noexcept { return places_.acquire(); }

  [[nodiscard]] std::size_t busy() noexcept { return most_ - places_.available(); }
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.load(std::memory_order_relaxed); }

 private:
  const std::size_t most_;
  const std::size_t seats_;
  semaphore places_;
  std::atomic<std::size_t> waiting_{0};
};

/// Calls that need a place: what is common to those who decide otherwise about who waits.
class call_gate {
 public:
  call_gate(const call_gate&) = delete;
  call_gate& operator=(const call_gate&) = delete;

 protected:
  call_gate(std::size_t places, std::size_t seats) noexcept : room_(places, seats) {}
  ~call_gate() = default;

  template <class F>
  task<call_value_t<F>> run_kept(F function) {
    semaphore_permit place = room_.try_take();
    if (place) {
      need_not_wait();
    } else {
      auto turn = co_await wait_turn();
      place = std::move(turn);
    }
    admitted_.add();
    auto call = start_call(function);
    co_return co_await std::move(call);
  }

  /// Completes with a place, or throws what refuses the call.
  virtual task<semaphore_permit> wait_turn() = 0;
  virtual void need_not_wait() noexcept {}

  waiting_room room_;
  tally admitted_, refused_;
};

}  // namespace weir::detail
