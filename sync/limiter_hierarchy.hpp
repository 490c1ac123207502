#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../runtime/task.hpp"
#include "limiter.hpp"

namespace weir {

/// Several limiters, of all of which one needs tokens at once: the whole service's, the tenant's, the user's.
///
///     weir::limiter_hierarchy levels(everybody, tenant, user);
///     co_await levels.acquire();
///
/// All or nothing: what was taken from some is given back when another one refuses, fails, or the wait is cancelled. It
/// begins with the last one, so put the widest first: who waits for his own tokens holds none of everybody's. Refers to
/// the limiters, which must outlive it; copy it as you like.
class limiter_hierarchy {
 public:
  template <std::derived_from<limiter>... Limiters>
    requires(sizeof...(Limiters) > 0)
  explicit limiter_hierarchy(Limiters&... levels) : levels_{&static_cast<limiter&>(levels)...} {}

  /// Completes when `n` tokens of each have been taken. Fails as limiter::acquire does, of whichever level; then, and
  /// when it is cancelled, nothing is taken.
  [[nodiscard]] task<> acquire(std::uint64_t n = 1) const;
  /// `n` of each at once, or nothing. Throws as limiter::try_acquire does. Never waits.
  [[nodiscard]] bool try_acquire(std::uint64_t n = 1) const;

 private:
  class taken;
  static task<> acquire_from(std::vector<limiter*> levels, std::uint64_t n);

  std::vector<limiter*> levels_;
};

}  // namespace weir
