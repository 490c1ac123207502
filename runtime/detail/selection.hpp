#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "operation.hpp"

// The selectable protocol: how select() in sync/ waits for operations of any room without knowing them.
//
// A selectable operation has, beside ready(), start() and resume():
//
//   bool try_commit() noexcept;        completes now, as if alone, if that takes no waiting
//   bool arm_case(case_link) noexcept; waits as a case: true. False when it need not wait; then nothing has happened.
//   void withdraw_case() noexcept;     ends the waiting of arm_case, whether it was decided or not. Any thread.
//   const void* case_object() const noexcept;  what it waits at: cases are armed in the order of these addresses, those
//                                              of one object in the order in which the select has them; null for what
//                                              no other select can wait at
//
// While armed, whoever has what the case waits for asks case_link::claim(). True: exactly this case goes on; he commits
// it (puts the value where its resume() will find it) and calls fulfil(). False: another case, or a stop, was faster;
// the waiting is dead and to be passed over.
//
// A select commits a case by itself only when none of its cases is armed. So nobody ever has to claim two selections at
// once, and two selects that meet cannot wait for one another. Should a case become available while the others are
// being armed, it is first taken back from everywhere, and tries again.
//
// A case may need time to be withdrawn, because the kernel has it. Such an operation says
//
//   static constexpr bool lingers = true;
//
// and is armed last, by the worker whose task waits. There arm_case always waits: what it finds at once, an error say,
// it claims for itself. withdraw_case is called once on the same worker and only asks for an early end. For each
// arm_case there is one call of selection::case_ended(), on that worker too, maybe from inside arm_case and
// withdraw_case: it is the operation's last word, after which it is not touched by anybody but its select. Where it
// claims the selection, it calls fulfil() before that; such a selection may be touched until case_ended(). The select
// goes on, or stops, when all of its lingering cases have ended.

namespace weir::detail {

/// Which case of a select was chosen, if any has been: one word that decides between all who offer something.
class selection {
 public:
  selection() = default;
  selection(const selection&) noexcept {}
  selection& operator=(const selection&) = delete;

  /// Decides for `index`. False when something else was decided. Waits while another one holds it.
  bool claim(std::size_t index) noexcept {
    if (!decide(decided)) return false;
    winner_ = index;
    return true;
  }
  /// For commits that may throw: like claim(), but drop() can take it back, and confirm() makes it final. Everybody
  /// else waits meanwhile.
  bool hold(std::size_t index) noexcept {
    if (!decide(held)) return false;
    winner_ = index;
    return true;
  }
  void drop() noexcept { word_.fetch_and(static_cast<std::uint8_t>(~held), std::memory_order_acq_rel); }
  void confirm() noexcept { word_.fetch_xor(held | decided, std::memory_order_acq_rel); }

  /// The case that was claimed has been committed: its task goes on, at once if `next`. Not to be touched afterwards.
  void fulfil(bool next) noexcept {
    if ((word_.fetch_or(fulfilled, std::memory_order_acq_rel) & armed) != 0) go_on(next);
  }

  /// A case that lingers has come to its end. Not to be touched by it afterwards.
  virtual void case_ended() noexcept {}

  /// Nobody can be given anything through this any more.
  [[nodiscard]] bool is_decided() const noexcept { return (word_.load(std::memory_order_acquire) & decided) != 0; }

 protected:
  ~selection() = default;

  [[nodiscard]] std::size_t winner() const noexcept { return winner_; }

  // For the select itself.

  enum class armed_outcome : std::uint8_t { waiting, fulfilled, stopped };
  /// All cases are armed, or it has been decided meanwhile. `waiting`: go_on() or stop_now() will be called.
  armed_outcome finish_arming() noexcept {
    const std::uint8_t before = word_.fetch_or(armed, std::memory_order_acq_rel);
    if ((before & stopped) != 0) return armed_outcome::stopped;
    return (before & fulfilled) != 0 ? armed_outcome::fulfilled : armed_outcome::waiting;
  }
  /// While arming: keeps everybody else out, so that the cases can be taken back. False: it was decided before.
  bool take_back() noexcept { return decide(decided); }
  /// After take_back(): lets others decide again. False: a stop has been asked for meanwhile; it stays decided.
  bool open_again() noexcept {
    std::uint8_t mine = decided;
    return word_.compare_exchange_strong(mine, 0, std::memory_order_acq_rel);
  }
  /// A stop. True: nothing was decided before and all cases are armed; take them back and complete as stopped.
  /// Otherwise finish_arming() or open_again() will tell, or it came too late.
  bool decide_stop() noexcept;

 private:
  virtual void go_on(bool next) noexcept = 0;

  bool decide(std::uint8_t bit) noexcept {
    std::uint8_t open = word_.load(std::memory_order_relaxed);
    if ((open & (decided | held)) == 0 &&
        word_.compare_exchange_strong(open, static_cast<std::uint8_t>(open | bit), std::memory_order_acq_rel)) {
      return true;
    }
    return decide_slow(bit);
  }
  bool decide_slow(std::uint8_t bit) noexcept;

  static constexpr std::uint8_t decided = 1;
  static constexpr std::uint8_t held = 2;
  static constexpr std::uint8_t armed = 4;
  static constexpr std::uint8_t fulfilled = 8;
  static constexpr std::uint8_t asked_to_stop = 16;
  static constexpr std::uint8_t stopped = 32;  // what was decided is the stop

  std::atomic<std::uint8_t> word_{0};
  std::size_t winner_ = 0;  // written by who decides, read once it is fulfilled
};

/// A case's place in its select. Default-made: the operation waits alone.
struct case_link {
  selection* in = nullptr;
  std::size_t index = 0;

  explicit operator bool() const noexcept { return in != nullptr; }
  [[nodiscard]] bool claim() const noexcept { return !in || in->claim(index); }
};

template <class Op>
concept selectable = operation<Op> && requires(std::remove_cvref_t<Op>& op, case_link link) {
  { op.try_commit() } noexcept -> std::same_as<bool>;
  { op.arm_case(link) } noexcept -> std::same_as<bool>;
  { op.withdraw_case() } noexcept;
  { op.case_object() } noexcept -> std::same_as<const void*>;
};

/// Its withdrawal takes time.
template <class Op>
concept lingering = selectable<Op> && requires { requires std::remove_cvref_t<Op>::lingers; };

}  // namespace weir::detail
