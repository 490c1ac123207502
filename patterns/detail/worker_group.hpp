#pragma once

#include <cstddef>

#include "../../runtime/task.hpp"

namespace weir::detail {

/// Makes the task of a worker from what all of them work on.
using worker_function = task<> (*)(void* shared, std::size_t number);

/// Runs `workers` tasks in a group of their own, and completes once all have ended. The first failure stops the others
/// and is rethrown. `shared` is given to `make` and must outlive the task; its type is forgotten here, so that the
/// group and its coroutines are compiled once.
task<> run_workers(std::size_t workers, void* shared, worker_function make);

}  // namespace weir::detail
