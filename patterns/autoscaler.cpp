#include "autoscaler.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace weir {

autoscaler::autoscaler(const autoscaler_options& options) : options_(options) {
  if (options.most == 0 || options.least > options.most) {
    throw std::invalid_argument("weir::autoscaler: there must be at least one worker, and `least` not above `most`");
  }
  const bool sensible = options.up_factor >= 1 && options.down_fraction > 0 && options.down_fraction <= 1 &&
                        options.queued_per_worker >= 0 && options.cpu >= 0 && options.memory >= 0;
  if (!sensible) throw std::invalid_argument("weir::autoscaler: a factor or a target makes no sense");
}

unsigned autoscaler::recommend(unsigned workers, const load_signal& load) const {
  const double count = workers;
  double desired = 0;
  bool known = false;
  const auto ask_for = [&](double wanted) {
    const bool near = count > 0 && std::abs(wanted / count - 1) <= options_.tolerance;
    constexpr double rounding = 1e-9;  // 10 * 0.84 / 0.7 is 12
    desired = std::max(desired, near ? count : std::ceil(wanted - rounding));
    known = true;
  };
  if (options_.queued_per_worker > 0) ask_for(static_cast<double>(load.queued) / options_.queued_per_worker);
  if (options_.cpu > 0) ask_for(count * load.cpu / options_.cpu);
  if (options_.memory > 0) ask_for(count * load.memory / options_.memory);
  if (!known) return workers;
  return static_cast<unsigned>(
      std::clamp(desired, static_cast<double>(std::max(1u, options_.least)), static_cast<double>(options_.most)));
}

/// How many there were when the last `period` began, or as long ago as it remembers.
unsigned autoscaler::workers_before(time_point at, duration period, unsigned workers) const {
  for (auto i = had_.rbegin(); i != had_.rend(); ++i) {
    workers = i->workers;
    if (at - i->since >= period) break;
  }
  return workers;
}

unsigned autoscaler::operator()(time_point at, unsigned workers, const load_signal& load) {
  if (load.queued != 0 || load.cpu > 0 || !last_work_) last_work_.emplace(at);
  const unsigned wanted = recommend(workers, load);
  if (recommended_.empty()) recommended_.push_back({at, workers});  // so that the first window, too, has to pass
  std::erase_if(recommended_, [&](const number& one) { return at - one.since > options_.down_after; });
  while (!recommended_.empty() && recommended_.back().workers <= wanted) recommended_.pop_back();
  recommended_.push_back({at, wanted});
  const duration longest = std::max(options_.up_period, options_.down_period);
  while (had_.size() > 1 && at - had_[1].since >= longest) had_.erase(had_.begin());
  if (had_.empty() || had_.back().workers != workers) had_.push_back({at, workers});

  const unsigned answer = decide(at, workers, wanted, load);
  if (answer != workers) had_.push_back({at, answer});
  return answer;
}

unsigned autoscaler::decide(time_point at, unsigned workers, unsigned wanted, const load_signal& load) const {
  if (workers == 0 && load.queued == 0) return options_.least;
  if (options_.least == 0 && load.queued == 0 && at - *last_work_ >= options_.idle) return 0;
  if (wanted > workers) {
    const double base = workers_before(at, options_.up_period, workers);
    const double limit = std::max(base * options_.up_factor, base + options_.up_step);
    return std::max(workers, static_cast<unsigned>(std::min<double>(wanted, limit)));
  }
  const unsigned stable = std::min(workers, recommended_.front().workers);
  const double base = workers_before(at, options_.down_period, workers);
  const double limit = std::ceil(base * (1 - options_.down_fraction));
  return std::min(workers, std::max(stable, static_cast<unsigned>(limit)));
}

}  // namespace weir
