#pragma once

#include <source_location>

#include "clock.hpp"
#include "detail/config.hpp"

namespace weir {

/// A task that holds up its worker: what runtime_options::on_stall is told.
struct stall {
  /// Where the task had awaited last, or where its coroutine begins if it has awaited nothing yet.
  std::source_location where;
  /// How long it has run since, at least.
  duration length{};
  /// Which worker, counted from 0, of the runtime of that name; empty if it has none. The name lives as long as the
  /// runtime.
  unsigned worker = 0;
  const char* runtime_name = "";
};
static_assert(detail::trivially_destructible<stall>);

}  // namespace weir
