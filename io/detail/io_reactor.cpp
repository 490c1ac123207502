#include "io_reactor.hpp"

#include <utility>

#include "../../runtime/detail/worker.hpp"
#include "lease_pool.hpp"

namespace weir::detail {

io_reactor& io_reactor::here() noexcept { return static_cast<io_reactor&>(current_worker()->io()); }

lease_pool* io_reactor::make_leases() noexcept {
  leases_ = lease_pool::make(counters_, lease_buffers_, lease_size_);
  if (leases_) publish_leases(*leases_);
  return leases_;
}

void io_reactor::end_leases() noexcept {
  if (leases_) std::exchange(leases_, nullptr)->end();
}

}  // namespace weir::detail
