#include "io_reactor.hpp"

#include <cerrno>
#include <utility>

#include "../../runtime/detail/worker.hpp"
#include "io_operation.hpp"
#include "lease_pool.hpp"

namespace weir::detail {

io_reactor& io_reactor::here() noexcept { return static_cast<io_reactor&>(current_worker()->io()); }

int io_reactor::attempt(io_leaf& op) noexcept {
  int result = 0;
  do {
    counters_.calls.add();
    result = op.attempt();
  } while (result == -EINTR);
  return result;
}

void io_reactor::note_copied(copy_path how, std::uint64_t bytes) noexcept {
  switch (how) {
    case copy_path::range:
      counters_.copied_by_range.add(bytes);
      break;
    case copy_path::sendfile:
      counters_.copied_by_sendfile.add(bytes);
      break;
    case copy_path::splice:
      counters_.copied_by_splice.add(bytes);
      break;
    case copy_path::buffer:
      counters_.copied_by_buffer.add(bytes);
      break;
  }
}

lease_pool* io_reactor::make_leases() noexcept {
  leases_ = lease_pool::make(counters_, lease_buffers_, lease_size_);
  if (leases_) publish_leases(*leases_);
  return leases_;
}

void io_reactor::end_leases() noexcept {
  if (leases_) std::exchange(leases_, nullptr)->end();
}

}  // namespace weir::detail
