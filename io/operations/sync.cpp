#include "sync.hpp"

#include <unistd.h>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"

namespace weir::detail {

void sync_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_fsync(raw(entry), fd(), data_only_ ? IORING_FSYNC_DATASYNC : 0);
}

int sync_operation::attempt() noexcept {
  const int result = data_only_ ? ::fdatasync(fd()) : ::fsync(fd());
  return result == 0 ? 0 : -errno;
}

int sync_operation::simulate(simulated_kernel& kernel) noexcept { return kernel.disk().sync(fd()); }

}  // namespace weir::detail
