#include <sys/time.h>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <utility>

#include "sockets.hpp"
#include "tcp_support.hpp"

using test::both_ends;
using test::run_checked;
using weir::task;

namespace {

std::atomic<int> interruptions{0};

/// A signal every now and then whose handler does nothing, but interrupts what the kernel waits in.
class interrupting_timer {
 public:
  interrupting_timer() {
    struct sigaction action{};
    action.sa_handler = [](int) { interruptions.fetch_add(1, std::memory_order_relaxed); };
    REQUIRE(sigaction(SIGALRM, &action, &before_) == 0);
    const itimerval often{.it_interval = {.tv_sec = 0, .tv_usec = 150}, .it_value = {.tv_sec = 0, .tv_usec = 150}};
    REQUIRE(setitimer(ITIMER_REAL, &often, nullptr) == 0);
  }
  interrupting_timer(const interrupting_timer&) = delete;
  interrupting_timer& operator=(const interrupting_timer&) = delete;
  ~interrupting_timer() {
    const itimerval never{};
    setitimer(ITIMER_REAL, &never, nullptr);
    sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  struct sigaction before_{};
};

task<> chat_while_interrupted() {
  for (const int before = interruptions; interruptions < before + 200;) co_await test::chat_many(3, 100);
}

}  // namespace

TEST_CASE("tcp: five hundred connections at once") {
  run_checked(test::chat_many(500, 4), {.workers = 1});
  run_checked(test::chat_many(500, 4), {.workers = 4});
}

TEST_CASE("tcp: more operations than the ring has entries") {
  for (const unsigned entries : {1u, 4u}) {
    run_checked(test::chat_many(100, 10), {.workers = 1, .ring_entries = entries});
    run_checked(test::chat_many(100, 4), {.workers = 2, .ring_entries = entries});
  }
}

TEST_CASE("tcp: signals interrupt nothing") {
  both_ends ends = test::small_ends();
  const interrupting_timer often;
  run_checked(chat_while_interrupted());
  weir::run(test::both_ways_at_once(std::move(ends), std::size_t{1} << 20), {.workers = 1});
}
