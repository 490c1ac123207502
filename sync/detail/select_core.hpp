#pragma once

#include <cstddef>

#include "../../runtime/detail/operation.hpp"
#include "../../runtime/detail/scheduler.hpp"
#include "../../runtime/detail/selection.hpp"

namespace weir::detail {

/// One case of a select, without its type.
struct select_case {
  struct functions {
    bool (*try_commit)(void*) noexcept;
    bool (*arm)(void*, case_link) noexcept;
    void (*withdraw)(void*) noexcept;
    const void* (*object)(const void*) noexcept;
    bool lingers;
  };
  void* operation;
  const functions* of;
  std::size_t index;
};

template <selectable Op>
inline constexpr select_case::functions case_functions = {
    [](void* op) noexcept { return static_cast<Op*>(op)->try_commit(); },
    [](void* op, case_link link) noexcept { return static_cast<Op*>(op)->arm_case(link); },
    [](void* op) noexcept { static_cast<Op*>(op)->withdraw_case(); },
    [](const void* op) noexcept { return static_cast<const Op*>(op)->case_object(); },
    lingering<Op>,
};

inline constexpr std::size_t no_case = static_cast<std::size_t>(-1);

/// Commits one of the cases that can be had now: any of them with the same probability, or with `ordered` the one with
/// the lowest index. They come in the order of their indices, and are reordered. Returns its index, or no_case.
std::size_t commit_one(select_case* cases, std::size_t count, bool ordered) noexcept;

/// The part of select that does not depend on the cases' types: arms them, sees one chosen, takes the rest back.
class select_core : public leaf, protected selection {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "select"; }

 protected:
  select_core() = default;
  select_core(const select_core&) = default;
  ~select_core() = default;

  bool try_now(const await_context& context, select_case* cases, std::size_t count, bool ordered) noexcept;
  void wait(const await_context& context) noexcept;
  /// Back in the frame, with every other case taken back: the index of the one that was chosen.
  std::size_t conclude() noexcept;

  /// Arms the cases that do not linger, of which there are `brief`; they come first. False: there was no need, and the
  /// select has completed.
  bool arm_brief(std::size_t brief) noexcept;
  void request_stop(cancellation_cause) noexcept override;
  void withdraw_armed() noexcept;

  select_case* cases_ = nullptr;
  std::size_t count_ = 0;

 private:
  void go_on(bool next) noexcept override;

  std::size_t armed_ = 0;         // the first so many of cases_
  std::size_t chosen_ = no_case;  // by this select itself; otherwise the selection's winner counts
  bool ordered_ = false;
};

/// The same for a select some of whose cases linger. They are armed last, by a worker that from then on does all that
/// concerns them; whoever decides elsewhere tells it by a message. Nothing of the select goes on before they have
/// ended.
class lingering_select_core : public select_core, private message {
 protected:
  lingering_select_core() = default;
  lingering_select_core(const lingering_select_core&) = default;
  ~lingering_select_core() = default;

  void wait(const await_context& context) noexcept;

 private:
  void go_on(bool next) noexcept override;
  void request_stop(cancellation_cause) noexcept override;
  void case_ended() noexcept override;
  void deliver() noexcept override { withdraw_lingering(); }
  /// It is decided, by whomever.
  void end() noexcept;
  /// The same on the owner's thread. The select may be gone afterwards.
  void withdraw_lingering() noexcept;

  worker* owner_ = nullptr;  // who has armed the lingering cases
  bool stopping_ = false;    // what was decided is the stop
  // The owner's.
  bool ending_ = false;        // the lingering cases have been asked to end
  std::size_t brief_ = 0;      // cases that do not linger: the first so many
  std::size_t asked_for_ = 0;  // lingering cases that have been armed
  std::size_t pending_ = 0;    // of those, the ones that have not ended
};

}  // namespace weir::detail
