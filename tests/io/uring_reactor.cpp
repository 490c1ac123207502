#include <fmt/format.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <vector>

#include "../skip.hpp"
#include "guarded_buffer.hpp"
#include "sandbox.hpp"
#include "sockets.hpp"

// The kernel may take no submissions for a while: it is out of memory (EAGAIN), or wants its completions taken first
// (EBUSY). Here it takes them only together with a wait, so that a ring of one entry is full nearly always. In a
// process of its own, because a filter of system calls is for ever.

using test::connection;
using test::guarded_buffer;
using weir::task;
using weir::task_group;
using weir::with_task_group;

namespace {

constexpr int min_complete = 2;  // the number of io_uring_enter's argument

/// What `main` returns in a runtime whose ring takes nothing without a wait.
template <class F>
std::string on_a_stubborn_ring(F main, int error) {
  return test::in_a_child([=]() -> std::string {
    try {
      weir::runtime made = weir::runtime_access::make({.workers = 1, .ring_entries = 1}, {});
      if (made.backend() != weir::backend_kind::uring) return made.why_not_uring();
      if (!test::deny(SYS_io_uring_enter, error, min_complete, 0)) return test::cannot_filter;
      return made.block_on(main());
    } catch (const std::exception& e) {
      return e.what();
    }
  });
}

task<> read_all(connection& c, guarded_buffer& into) { co_await c.stream.read_exactly(into); }

/// More readers than the ring has entries; all of them get what they wait for.
task<std::string> all_complete() {
  std::vector<connection> connections(20);
  std::vector<guarded_buffer> buffers;
  for (connection& c : connections) c = test::connect_pair();
  for (std::size_t i = 0; i < connections.size(); ++i) buffers.emplace_back(10);
  co_await with_task_group([&](task_group& group) -> task<> {
    for (std::size_t i = 0; i < connections.size(); ++i) group.spawn(read_all(connections[i], buffers[i]));
    guarded_buffer sent(10);
    test::fill_pattern(sent);
    for (const connection& c : connections) c.peer.send(sent.first(3));
    co_await weir::sleep_for(std::chrono::milliseconds(1));
    for (const connection& c : connections) c.peer.send(sent.last_from(3));
    co_await group.join();
  });
  for (const guarded_buffer& buffer : buffers) {
    if (!test::is_pattern(buffer)) co_return "wrong bytes";
  }
  co_return "ok";
}

/// All are cancelled: the ones that the kernel has, and those for which there was no entry yet; in the turn in which
/// they begin, or later. Some complete all the same, and their places are used again by others.
task<std::string> all_cancelled(int turns) {
  std::vector<connection> connections(20);
  for (connection& c : connections) c = test::connect_pair();
  guarded_buffer sent(10);
  test::fill_pattern(sent);
  std::vector<std::size_t> taken(connections.size());
  for (std::size_t round = 0; round < 20; ++round) {
    std::vector<guarded_buffer> buffers;
    for (std::size_t i = 0; i < connections.size(); ++i) buffers.emplace_back(10);
    auto ended = co_await weir::as_result(with_task_group([&](task_group& group) -> task<> {
      for (std::size_t i = 0; i < connections.size(); ++i) group.spawn(read_all(connections[i], buffers[i]));
      for (int i = 0; i < turns; ++i) co_await weir::yield();
      // Every third has its bytes by the time that it is cancelled; sometimes the first, which is in the ring.
      for (std::size_t i = round % 3; i < connections.size(); i += 3) connections[i].peer.send(sent);
      group.cancel();
      co_await weir::yield();
    }));
    if (!ended.is_cancelled()) co_return "the group was not cancelled";
    for (std::size_t i = 0; i < connections.size(); ++i) {
      connection& c = connections[i];
      taken[i] = c.stream.bytes_read();
      if (i % 3 != round % 3 && taken[i] != 0) co_return "bytes from nowhere";
      if (!test::is_pattern(buffers[i].first(taken[i]))) co_return "wrong bytes";
      if (i % 3 != round % 3) continue;
      co_await c.stream.read_exactly(buffers[i].last_from(taken[i]));
      if (!test::is_pattern(buffers[i])) co_return "bytes were lost";
    }
  }
  co_return "ok";
}

}  // namespace

TEST_CASE("uring: a kernel that takes no submissions for a while") {
  const std::string first = on_a_stubborn_ring(all_complete, EBUSY);
  if (first == test::cannot_filter) return skip(test::cannot_filter);
  if (first.starts_with("io_uring")) return skip("this kernel refuses io_uring");
  CHECK(first == "ok");
  CHECK(on_a_stubborn_ring(all_complete, EAGAIN) == "ok");
}

TEST_CASE("uring: cancellation while the kernel takes no submissions") {
  for (const int turns : {0, 1, 2, 300, 600}) {
    const auto main = [turns] { return all_cancelled(turns); };
    const std::string said = on_a_stubborn_ring(main, EBUSY);
    if (said == test::cannot_filter) return skip(test::cannot_filter);
    if (said.starts_with("io_uring")) return skip("this kernel refuses io_uring");
    CHECK(said == "ok");
  }
}
