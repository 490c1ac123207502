#include "domain.hpp"

#include "../../runtime/detail/config.hpp"

namespace weir::detail {

void domain::used_elsewhere() noexcept {
  fatal(
      "weir: a channel, lock or event that was made on a confined worker is used outside of that worker: "
      "make it elsewhere, or do not set runtime_options::confined");
}

}  // namespace weir::detail
