#include "limiter_hierarchy.hpp"

#include <utility>

namespace weir {

/// What was taken so far, given back unless it is kept.
class limiter_hierarchy::taken {
 public:
  explicit taken(std::uint64_t n) noexcept : n_(n) {}
  taken(const taken&) = delete;
  taken& operator=(const taken&) = delete;
  ~taken() {
    for (std::size_t i = 0; i < from_.size(); ++i) from_[i].level->give_back(from_[i].when, n_);
  }
  /// Room for it, so that add() does not throw.
  void reserve(std::size_t levels) { from_.reserve(levels); }
  void add(detail::limiter_core& level, time_point when) noexcept { from_.push_back({&level, when}); }
  void keep() noexcept { from_.clear(); }

 private:
  struct part {
    detail::limiter_core* level;
    time_point when;
  };
  std::uint64_t n_;
  std::vector<part> from_;
};

task<> limiter_hierarchy::acquire(std::uint64_t n) const { return acquire_from(levels_, n); }

task<> limiter_hierarchy::acquire_from(std::vector<limiter*> levels, std::uint64_t n) {
  taken so_far(n);
  so_far.reserve(levels.size());
  for (std::size_t i = levels.size(); i > 0; --i) {
    limiter& level = *levels[i - 1];
    auto wait = level.acquire(n);
    co_await std::move(wait);
    so_far.add(level, wait.granted_at);  // NOLINT(bugprone-use-after-move): what is awaited stays where it is
  }
  so_far.keep();
}

bool limiter_hierarchy::try_acquire(std::uint64_t n) const {
  taken so_far(n);
  so_far.reserve(levels_.size());
  for (std::size_t i = levels_.size(); i > 0; --i) {
    limiter& level = *levels_[i - 1];
    time_point when;
    if (!level.try_take(n, &when)) return false;
    so_far.add(level, when);
  }
  so_far.keep();
  return true;
}

}  // namespace weir
