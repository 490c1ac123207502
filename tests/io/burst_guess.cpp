#include <weir/io/detail/burst_guess.hpp>

#include <doctest/doctest.h>

using weir::detail::burst_guess;

namespace {

/// How many connections come by the ring until there is a trial.
int until_trial(burst_guess& guess) {
  int came = 0;
  while (!guess.likely()) {
    guess.came_by_ring();
    ++came;
  }
  return came;
}

}  // namespace

TEST_CASE("burst_guess: trials in vain become rare, up to a bound") {
  burst_guess guess;
  CHECK(!guess.likely());
  for (const int expected : {1, 2, 4, 8, 16, 16, 16}) {
    CHECK(until_trial(guess) == expected);
    guess.was_not_there();
    CHECK(!guess.likely());
  }
}

TEST_CASE("burst_guess: what finds one goes on to the end of the burst, and is followed by a trial") {
  burst_guess guess;
  for (int i = 0; i < 4; ++i) {
    until_trial(guess);
    guess.was_not_there();
  }
  until_trial(guess);
  for (int i = 0; i < 100; ++i) {
    guess.was_there();
    CHECK(guess.likely());
  }
  guess.was_not_there();
  CHECK(!guess.likely());
  CHECK(until_trial(guess) == 1);
  guess.was_not_there();
  CHECK(until_trial(guess) == 2);
}
