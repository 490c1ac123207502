#pragma once

#include <cstdint>
#include <source_location>

#include "detail/config.hpp"

namespace weir {

/// What a hook is told of a task: of what was spawned, a child of when_all or when_any, or the main task. What a task
/// awaits is a part of it.
struct task_event {
  static constexpr unsigned no_worker = ~0u;

  /// Identifies the task: from `spawned` to `ended` no other one has it. (Later one may.)
  const void* task = nullptr;
  /// In `spawned`: the task that it was spawned by; null when that was no task of this runtime.
  const void* spawner = nullptr;
  /// The index of the worker on whose thread the hook is called; no_worker on other threads (in `spawned` only).
  unsigned worker = no_worker;
  /// In `spawned`: where that was, if it is known (line() is 0 otherwise). In `resumed`: the await from which the task
  /// goes on, or where its coroutine is defined when it begins.
  std::source_location where{};
};

/// How a task ended.
enum class task_end : std::uint8_t { returned, threw, stopped };

/// Functions for tracers, in runtime_options::hooks. Each may be null. They are called on the worker, in the middle of
/// its work: they must be short, and must not spawn, wake or cancel tasks. Without hooks they cost a worker one branch
/// for each turn, spawn and end.
///
/// On one worker `resumed` and `suspended` (or `ended`) alternate, and what lies between is one run of one task: to be
/// drawn as a slice on the worker's track. Of one task, `spawned` comes before everything else and `ended` after
/// everything else. But another worker may already have resumed a task when `suspended` is told: pair the two by
/// worker, not by task.
struct task_hooks {
  /// For the hooks' own use.
  void* context = nullptr;
  /// Before it can run, on the thread that spawns; inside of it current_token() and task_local::get() are the
  /// spawner's.
  void (*spawned)(void* context, const task_event& event) noexcept = nullptr;
  /// A worker begins to run it; inside of the hook task_local::get() is the task's.
  void (*resumed)(void* context, const task_event& event) noexcept = nullptr;
  /// It waits, or has let others run.
  void (*suspended)(void* context, const task_event& event) noexcept = nullptr;
  /// Its frames are gone.
  void (*ended)(void* context, const task_event& event, task_end how) noexcept = nullptr;
};
static_assert(detail::trivially_destructible<task_hooks>);

}  // namespace weir
