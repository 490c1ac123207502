#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "../../runtime/detail/invoke.hpp"
#include "../../runtime/detail/promise_base.hpp"
#include "../../runtime/detail/take.hpp"
#include "../../runtime/task.hpp"
#include "../../sync/event.hpp"
#include "stage_function.hpp"

// What lies in an actor's mailbox: a function of the state, and who waits for what it returns.

namespace weir::detail {

/// What a message returns, a task or not.
template <class F, class State>
using message_result_t = typename unwrapped_task<std::invoke_result_t<F&, State&>>::type;

template <class State>
class letter {
 public:
  letter(const letter&) = delete;
  letter& operator=(const letter&) = delete;
  // Messages come and go: their memory is recycled as frames are.
  static void* operator new(std::size_t size) { return allocate_record(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { release_record(memory, size); }

  /// False: whoever sent it wants it no more. Otherwise it will be opened.
  virtual bool claim() noexcept { return true; }
  /// Calls the function. What is returned, unless it is empty, is still to be awaited.
  virtual task<> open(State& state) = 0;
  /// It was opened, and how that ended. True when somebody sees the failure.
  virtual bool answer(const std::exception_ptr& failure) noexcept = 0;
  /// It will not be opened, or was stopped meanwhile.
  virtual void discard() noexcept {}

 protected:
  explicit letter(unsigned owners) noexcept : owners_(owners) {}
  virtual ~letter() = default;

 private:
  template <class>
  friend class letter_owner;
  std::atomic<unsigned> owners_;
};

/// One of those who hold a letter.
template <class L>
class letter_owner {
 public:
  explicit letter_owner(L* held) noexcept : held_(held) {}
  letter_owner(letter_owner&& other) noexcept : held_(detail::take(other.held_)) {}
  letter_owner& operator=(letter_owner&& other) noexcept {
    letter_owner taken(std::move(other));
    detail::trade(held_, taken.held_);
    return *this;
  }
  ~letter_owner() {
    if (held_ && held_->owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete held_;
  }
  explicit operator bool() const noexcept { return held_ != nullptr; }
  L* operator->() const noexcept { return held_; }

 private:
  L* held_;
};

/// Numbers of messages.
struct actor_tally {
  using number = std::atomic<std::uint64_t>;
  number accepted{0}, refused{0}, handled{0}, failed{0}, withdrawn{0}, discarded{0}, restarts{0};
};

/// A letter in the mailbox, or in the hands of the actor. When it goes without an answer the letter is discarded.
template <class State>
class posted_letter {
 public:
  posted_letter(letter<State>* posted, actor_tally& tally) noexcept : letter_(posted), tally_(&tally) {}
  posted_letter(posted_letter&&) noexcept = default;
  posted_letter& operator=(posted_letter&&) = delete;
  ~posted_letter() {
    if (!letter_) return;
    tally_->discarded.fetch_add(1, std::memory_order_relaxed);
    letter_->discard();
  }
  letter<State>* operator->() const noexcept { return letter_.operator->(); }
  /// It was not posted, or is wanted no more.
  void take_back() noexcept { const letter_owner<letter<State>> gone = std::move(letter_); }
  bool answer(const std::exception_ptr& failure) noexcept {
    const letter_owner<letter<State>> answered = std::move(letter_);
    return answered->answer(failure);
  }

 private:
  letter_owner<letter<State>> letter_;
  actor_tally* tally_;
};

/// One that is being sent: what the mailbox has not taken was never posted.
template <class State>
class outgoing_letter {
 public:
  outgoing_letter(letter<State>* posted, actor_tally& tally) noexcept : item(posted, tally) {}
  outgoing_letter(const outgoing_letter&) = delete;
  outgoing_letter& operator=(const outgoing_letter&) = delete;
  ~outgoing_letter() { item.take_back(); }
  posted_letter<State> item;
};

/// Fire and forget.
template <class State, class F>
class told_letter final : public letter<State> {
  static_assert(std::is_void_v<message_result_t<F, State>>,
                "actor::tell: nobody would see what this message returns: use ask, or return nothing");

 public:
  explicit told_letter(F&& function) : letter<State>(1), function_(std::move(function)) {}

  task<> open(State& state) override {
    if constexpr (is_task<std::invoke_result_t<F&, State&>>) {
      return detail::invoke(function_, state);
    } else {
      detail::invoke(function_, state);
      return {};
    }
  }
  bool answer(const std::exception_ptr&) noexcept override { return false; }

 private:
  F function_;
};

/// The asker and the mailbox own it. While it has not been claimed the asker may take it back.
template <class State, class F>
class asked_letter final : public letter<State> {
 public:
  using value_type = message_result_t<F, State>;
  static_assert(!std::is_reference_v<value_type>,
                "actor::ask: a reference into the state must not leave the actor: return a copy");

  explicit asked_letter(F&& function) : letter<State>(2), function_(std::move(function)) {}

  bool claim() noexcept override { return leave_queue(phase::claimed); }
  task<> open(State& state) override {
    if constexpr (is_task<std::invoke_result_t<F&, State&>>) {
      return relay(*this, detail::invoke(function_, state));
    } else if constexpr (std::is_void_v<value_type>) {
      detail::invoke(function_, state);
      return {};
    } else {
      value_.value.emplace(detail::invoke(function_, state));
      return {};
    }
  }
  bool answer(const std::exception_ptr& failure) noexcept override {
    failure_ = failure;
    ended_ = failure ? end::failed : end::answered;
    done_.set();
    return true;
  }
  void discard() noexcept override { done_.set(); }

  // For the asker.

  void withdraw() noexcept {
    if (leave_queue(phase::withdrawn)) done_.set();
  }
  [[nodiscard]] bool is_withdrawn() const noexcept {
    return phase_.load(std::memory_order_relaxed) == phase::withdrawn;
  }
  event& done() noexcept { return done_; }
  /// Once it is done. False: the actor has ended before.
  [[nodiscard]] bool is_answered() const {
    if (ended_ == end::failed) std::rethrow_exception(failure_);
    return ended_ == end::answered;
  }
  value_type take() {
    if constexpr (!std::is_void_v<value_type>) return std::move(*value_.value);
  }

 private:
  enum class phase : std::uint8_t { queued, claimed, withdrawn };
  enum class end : std::uint8_t { discarded, answered, failed };

  static task<> relay(asked_letter& self, task<value_type> work) {
    if constexpr (std::is_void_v<value_type>) {
      co_await std::move(work);
    } else {
      auto&& value = co_await std::move(work);
      self.value_.value.emplace(std::forward<decltype(value)>(value));
    }
  }
  bool leave_queue(phase to) noexcept {
    phase expected = phase::queued;
    return phase_.compare_exchange_strong(expected, to, std::memory_order_acq_rel);
  }

  F function_;
  std::atomic<phase> phase_{phase::queued};
  end ended_ = end::discarded;
  std::exception_ptr failure_;
  [[no_unique_address]] result_storage<value_type> value_;
  event done_;
};

}  // namespace weir::detail
