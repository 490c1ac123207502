#include "simulated_reactor.hpp"

#include <cerrno>
#include <utility>

namespace weir::detail {

bool simulated_reactor::try_now(io_operation&, int& result) noexcept {
  result = -ENOTSUP;
  return true;
}

void simulated_reactor::submit(io_operation& op) noexcept { refused_.push_back(&op); }

void simulated_reactor::poll() noexcept {
  const std::vector<io_operation*> now = std::exchange(refused_, {});
  for (io_operation* op : now) op->completed(-ENOTSUP, 0);
}

}  // namespace weir::detail
