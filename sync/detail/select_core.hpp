#pragma once

#include <cstddef>

#include "../../runtime/detail/operation.hpp"
#include "../../runtime/detail/selection.hpp"

namespace weir::detail {

/// One case of a select, without its type.
struct select_case {
  struct functions {
    bool (*try_commit)(void*) noexcept;
    bool (*arm)(void*, case_link) noexcept;
    void (*withdraw)(void*) noexcept;
    const void* (*object)(const void*) noexcept;
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
};

inline constexpr std::size_t no_case = static_cast<std::size_t>(-1);

/// Commits one of the cases that can be had now: any of them with the same probability, or with `ordered` the one with
/// the lowest index. Returns its index, or no_case. Reorders them; the order in which they come does not matter.
std::size_t commit_one(select_case* cases, std::size_t count, bool ordered) noexcept;

/// The part of select that does not depend on the cases' types: arms them, sees one chosen, takes the rest back.
class select_core : public leaf, private selection {
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

 private:
  void go_on(bool next) noexcept override;
  void request_stop(cancellation_cause) noexcept override;
  void withdraw_armed() noexcept;

  select_case* cases_ = nullptr;
  std::size_t count_ = 0;
  std::size_t armed_ = 0;         // the first so many of cases_
  std::size_t chosen_ = no_case;  // by this select itself; otherwise the selection's winner counts
  bool ordered_ = false;
};

}  // namespace weir::detail
