#include "explore.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace weir {

namespace {

std::string text_of(const std::exception_ptr& cause) {
  try {
    std::rethrow_exception(cause);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

/// WEIR_SEED, if it is set.
std::optional<std::uint64_t> only_seed() {
  const char* const text = std::getenv("WEIR_SEED");  // NOLINT(concurrency-mt-unsafe): read before anything runs
  if (!text || *text == '\0') return std::nullopt;
  const std::string_view digits(text);
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seed);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    throw std::invalid_argument(fmt::format("WEIR_SEED={}: expected a number", digits));
  }
  return seed;
}

}  // namespace

exploration_failure::exploration_failure(std::uint64_t seed, std::exception_ptr cause)
    : std::runtime_error(fmt::format("seed {}: {}", seed, text_of(cause))), seed_(seed), cause_(std::move(cause)) {}

namespace detail {

exploration explore_seeds(std::uint64_t seeds, weir::simulation_options options,
                          const std::function<void(simulation&)>& run_program) {
  if (const auto only = only_seed()) {
    seeds = 1;
    options.seed = *only;
  }
  exploration done;
  std::unordered_set<std::uint64_t> schedules;
  for (; done.runs < seeds; ++done.runs, ++options.seed) {
    try {
      simulation world(options);
      run_program(world);
      schedules.insert(world.trace_hash());
      done.elapsed += world.now().time_since_epoch();
    } catch (...) {
      std::fprintf(stderr, "weir: explore failed with seed %" PRIu64 " (WEIR_SEED=%" PRIu64 " runs it alone)\n",
                   options.seed, options.seed);
      throw exploration_failure(options.seed, std::current_exception());
    }
  }
  done.schedules = schedules.size();
  return done;
}

}  // namespace detail
}  // namespace weir
