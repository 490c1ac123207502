#pragma once

#include <cstddef>
#include <cstdint>

#include "../runtime/clock.hpp"
#include "../runtime/result.hpp"

namespace weir {

/// What came of a job, as the stream of a pool tells it: see worker_pool::results().
template <class R>
struct job_result {
  static constexpr std::size_t nobody = static_cast<std::size_t>(-1);

  std::uint64_t id = 0;         ///< job_ticket::id()
  std::size_t worker = nobody;  ///< which of the pool's workers did it, from 0; `nobody`: it was not begun
  duration took{};              ///< from its beginning to its end
  result<R> outcome;
};

}  // namespace weir
