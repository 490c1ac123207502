#include "remove_tree.hpp"

#include <cerrno>
#include <functional>
#include <system_error>
#include <utility>

#include "../runtime/offload.hpp"
#include "detail/simulated_kernel.hpp"
#include "detail/tree_removal.hpp"

namespace weir {

task<std::uint64_t> remove_tree(std::string path) {
  constexpr unsigned names_at_a_time = 256;
  if (detail::simulated_kernel::here()) {
    throw std::system_error(ENOTSUP, std::generic_category(), "remove_tree " + path);
  }
  detail::tree_removal removal(std::move(path));
  const auto step = [&removal] { return removal.go_on(names_at_a_time); };
  for (bool more = true; more;) more = co_await offload(step);
  co_return removal.removed();
}

}  // namespace weir
