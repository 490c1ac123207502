#include <weir/patterns/autoscaler.hpp>

#include "support.hpp"

using test::at;
using weir::autoscaler;

namespace {

/// The guides' own: 3 to 50 by 30 queued for each, 70 % of the processor, 80 % of the memory.
constexpr weir::autoscaler_options guide = {.least = 3, .most = 50, .queued_per_worker = 30, .cpu = 0.7, .memory = 0.8};

/// How many there are after each `step`, with this load.
template <class Load>
std::vector<unsigned> course(autoscaler& scale, unsigned& workers, weir::duration& now, weir::duration step, int n,
                             Load load) {
  std::vector<unsigned> all;
  for (int i = 0; i < n; ++i) {
    now += step;
    workers = scale(at(now), workers, load(workers));
    all.push_back(workers);
  }
  return all;
}

using counts = std::vector<unsigned>;

}  // namespace

TEST_CASE(
    "autoscaler: 3 to 50 workers: up at once, by double or four in 15 s; down after 300 s, by half in 60 s (S163)") {
  autoscaler scale(guide);
  unsigned workers = 3;
  weir::duration now{};
  const auto flood = [](unsigned) { return weir::load_signal{.queued = 3000}; };
  CHECK(course(scale, workers, now, 15s, 5, flood) == counts{7, 14, 28, 50, 50});
  const auto calm = [](unsigned) { return weir::load_signal{.queued = 0}; };
  // The greatest recommendation of the last 300 s was 50, at 75 s.
  CHECK(course(scale, workers, now, 15s, 20, calm) == counts(20, 50));
  CHECK(course(scale, workers, now, 15s, 13, calm) == counts{25, 25, 25, 25, 13, 13, 13, 13, 7, 7, 7, 7, 4});
  CHECK(course(scale, workers, now, 60s, 2, calm) == counts{3, 3});
}

TEST_CASE("autoscaler: within 15 s the growth is bounded however often it is asked") {
  autoscaler scale(guide);
  unsigned workers = 10;
  weir::duration now{};
  const auto flood = [](unsigned) { return weir::load_signal{.queued = 3000}; };
  CHECK(course(scale, workers, now, 1s, 3, flood) == counts{20, 20, 20});
  CHECK(course(scale, workers, now, 13s, 1, flood) == counts{40});
}

TEST_CASE("autoscaler: what asks for most counts; near the target nothing changes (S163)") {
  unsigned workers = 10;
  weir::duration now{};
  autoscaler by_cpu(guide);
  CHECK(course(by_cpu, workers, now, 15s, 1,
               [](unsigned) { return weir::load_signal{.queued = 10, .cpu = 0.75, .memory = 0.82}; }) == counts{10});
  CHECK(course(by_cpu, workers, now, 15s, 1,
               [](unsigned) { return weir::load_signal{.queued = 10, .cpu = 0.84, .memory = 0.2}; }) == counts{12});
  CHECK(course(by_cpu, workers, now, 15s, 1,
               [](unsigned) { return weir::load_signal{.queued = 10, .cpu = 0.1, .memory = 1.0}; }) == counts{15});
  autoscaler nothing({.least = 1, .most = 50});
  CHECK(nothing(at(0s), 7, {.queued = 1'000'000}) == 7);
}

TEST_CASE("autoscaler: to zero when idle for 300 s, asked every 30 s, and back with the first message (S163)") {
  autoscaler scale({.least = 0, .most = 50, .queued_per_worker = 30});
  unsigned workers = 1;
  weir::duration now{};
  const auto idle = [](unsigned) { return weir::load_signal{}; };
  const auto one = [](unsigned) { return weir::load_signal{.queued = 1}; };
  CHECK(course(scale, workers, now, 30s, 3, one) == counts{1, 1, 1});
  CHECK(course(scale, workers, now, 30s, 9, idle) == counts(9, 1));
  CHECK(course(scale, workers, now, 30s, 2, idle) == counts{0, 0});
  CHECK(course(scale, workers, now, 30s, 1, one) == counts{1});
}

TEST_CASE("autoscaler: options that make no sense are refused") {
  CHECK_THROWS_AS(autoscaler({.least = 5, .most = 4}), std::invalid_argument);
  CHECK_THROWS_AS(autoscaler({.least = 0, .most = 0}), std::invalid_argument);
  CHECK_THROWS_AS(autoscaler({.up_factor = 0.5}), std::invalid_argument);
  CHECK_THROWS_AS(autoscaler({.down_fraction = 0}), std::invalid_argument);
}
