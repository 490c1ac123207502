#include "fork.hpp"

#include <pthread.h>

#include <system_error>

#include "offload_pool.hpp"
#include "reactor.hpp"
#include "record_heap.hpp"
#include "worker.hpp"

namespace weir::detail {

namespace {

/// In place of the one that belongs to the parent.
class parents_reactor final : public reactor {
 public:
  bool try_now(io_operation&, int&) noexcept override { refuse_in_forked_child(); }
  void submit(io_operation&) noexcept override { refuse_in_forked_child(); }
  void cancel(io_operation&) noexcept override { refuse_in_forked_child(); }
  void poll() noexcept override { refuse_in_forked_child(); }
  void wait(time_point) noexcept override { refuse_in_forked_child(); }
  void wake() noexcept override {}
  [[nodiscard]] std::size_t in_flight() const noexcept override { refuse_in_forked_child(); }
  [[nodiscard]] backend_kind kind() const noexcept override { return backend_kind::automatic; }
};

// Never destroyed: a child may leave in any way.
constinit parents_reactor* in_place_of_ours = nullptr;

void in_child() noexcept {
  ++fork_generation;
  leave_abandonable_pool();
  if (worker* const here = current_worker()) here->core().abandon(*here, *in_place_of_ours);
}

}  // namespace

void watch_forks() {
  static const int failed = [] {
    in_place_of_ours = new parents_reactor;
    const int heap = record_heap::watch_forks();
    return heap != 0 ? heap : pthread_atfork(nullptr, nullptr, in_child);
  }();
  if (failed != 0) throw std::system_error(failed, std::generic_category(), "pthread_atfork");
}

void refuse_in_forked_child() noexcept {
  fatal(
      "weir: a forked child has used its parent's runtime, whose threads it does not have: let it make a runtime of "
      "its "
      "own, execute a program, or leave with _exit");
}

}  // namespace weir::detail
