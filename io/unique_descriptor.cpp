#include "unique_descriptor.hpp"

#include "detail/system_calls.hpp"

namespace weir {

void unique_descriptor::reset() noexcept {
  if (number_ >= 0) detail::system_calls::close(release());
}

}  // namespace weir
