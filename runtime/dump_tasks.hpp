#pragma once

#include <string>

namespace weir {

/// What every task of the calling task's runtime does now, as text for people: the tree of tasks with where each was
/// spawned, what it waits for and for how long (to a few milliseconds), and its chain of awaits, innermost first. Empty
/// outside of tasks: there, runtime::dump_tasks().
///
/// The workers stop between two tasks while it is made, so it is consistent. It takes time in proportion to the number
/// of tasks, and allocates; while nobody calls it, it costs a few instructions for each turn of a worker. When a worker
/// does not come to the end of a task within a second, that task is named and the others are left out.
std::string dump_tasks();

}  // namespace weir
