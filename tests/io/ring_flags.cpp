#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>
#include <system_error>

#include "../skip.hpp"
#include "pretended_kernel.hpp"
#include "sandbox.hpp"
#include "tcp_support.hpp"

// Rings as older kernels make them: with fewer of the flags, down to none that matters.

using test::pretended_kernel;
using test::run_checked;

namespace {

/// A busy server, more operations than a small ring takes, and transfers that no socket takes at once.
void traffic() {
  for (const unsigned workers : {1u, 4u}) {
    run_checked(test::chat_many(50, 20), {.workers = workers});
    run_checked(test::chat_many(50, 10), {.workers = workers, .ring_entries = 4});
    weir::run(test::both_ways_at_once(test::small_ends(), std::size_t{1} << 20), {.workers = workers});
  }
}

/// A stop, a timeout and a wake-up from another thread find a worker that waits in the kernel.
weir::task<> interrupted_waits() {
  test::both_ends ends = co_await test::connect_both();
  std::byte byte{};
  const std::span<std::byte> one(&byte, 1);
  const auto late =
      co_await weir::as_result(weir::with_timeout(std::chrono::milliseconds(2), ends.client.read_some(one)));
  CHECK(late.error() == std::errc::timed_out);
  auto reading = weir::spawn([&]() -> weir::task<> { co_await ends.client.read_exactly(one); });
  co_await weir::offload([] {});
  reading.request_cancellation();
  const auto stopped = co_await weir::as_result(reading.join());
  CHECK(stopped.is_cancelled());
}

}  // namespace

TEST_CASE("ring flags: traffic on the rings of older kernels") {
  if (!test::ring_is_default()) return skip("io_uring is not what runs here");
  for (const test::kernel_version& version : test::older_kernels()) {
    CAPTURE(std::string(version.name));
    const pretended_kernel kernel(version.flags);
    traffic();
    run_checked(interrupted_waits());
    run_checked(interrupted_waits(), {.workers = 2});
    CHECK(kernel.flags_used() == version.flags);
  }
}

TEST_CASE("ring flags: where there is little memory the ring is smaller") {
  if (!test::ring_is_default()) return skip("io_uring is not what runs here");
  const pretended_kernel kernel(~0u, 64);
  run_checked(test::chat_many(50, 10), {.workers = 1, .ring_entries = 1024});
  CHECK(kernel.entries_used() == 64);
}

TEST_CASE("ring flags: a kernel without even the oldest of them gets epoll, and says why") {
  if (!test::ring_is_default()) return skip("io_uring is not what runs here");
  const std::string said = test::in_a_child([] {
    const pretended_kernel kernel(0);
    weir::runtime made = weir::runtime_access::make({.workers = 1}, {});
    made.block_on(test::chat_many(3, 3));
    return weir::to_string(made.backend()) + (", because of " + made.why_not_uring());
  });
  CHECK(said == "epoll, because of io_uring_setup: Invalid argument");
}

TEST_CASE("ring flags: where there is memory for the rings of some workers, all have epoll, and it is told why") {
  if (!test::ring_is_default()) return skip("io_uring is not what runs here");
  const char* const before = std::getenv("WEIR_BACKEND");
  const std::string asked = before ? before : "automatic";
  ::setenv("WEIR_BACKEND", "automatic", 1);
  for (const unsigned rings : {1u, 3u}) {
    const test::no_descriptor_leaks none;
    const pretended_kernel kernel(~0u, ~0u, ~0u, rings);
    weir::runtime made({.workers = 4});
    CHECK(made.backend() == weir::backend_kind::epoll);
    CHECK(made.why_not_uring().ends_with(rings == 1 ? "), for 3 of 4 workers" : "), for 1 of 4 workers"));
    for (const std::string& open : test::open_descriptors()) CHECK(open.find("io_uring") == std::string::npos);
    made.block_on(test::chat_many(50, 10));
  }
  ::setenv("WEIR_BACKEND", asked.c_str(), 1);
}
