#include "accept_patience.hpp"

#include <algorithm>
#include <utility>

#include "../../runtime/detail/group_core.hpp"

namespace weir::detail {

namespace {

bool will_pass(const std::error_code& error) noexcept {
  return error == std::errc::too_many_files_open || error == std::errc::too_many_files_open_in_system ||
         error == std::errc::no_buffer_space || error == std::errc::not_enough_memory;
}

}  // namespace

duration accept_patience::after(const std::error_code& error, const std::exception_ptr& failed) {
  if (!will_pass(error)) std::rethrow_exception(failed);
  if (pause_ == shortest) report_unobserved(failed);
  return std::exchange(pause_, std::min(2 * pause_, longest));
}

}  // namespace weir::detail
