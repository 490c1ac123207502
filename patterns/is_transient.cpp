#include "is_transient.hpp"

#include <algorithm>
#include <array>

#include "../runtime/errors.hpp"
#include "call_refused.hpp"

namespace weir {

bool is_transient(std::error_code error) noexcept {
  if (error == errc::end_of_stream) return true;
  constexpr std::array passing{
      std::errc::timed_out,
      std::errc::connection_refused,
      std::errc::connection_reset,
      std::errc::connection_aborted,
      std::errc::broken_pipe,
      std::errc::not_connected,
      std::errc::host_unreachable,
      std::errc::network_unreachable,
      std::errc::network_down,
      std::errc::network_reset,
      std::errc::address_not_available,  // no local port is free
      std::errc::no_buffer_space,
      std::errc::not_enough_memory,
      std::errc::too_many_files_open,
      std::errc::too_many_files_open_in_system,
      std::errc::device_or_resource_busy,
      std::errc::resource_unavailable_try_again,
      std::errc::operation_would_block,
      std::errc::interrupted,
  };
  return std::any_of(passing.begin(), passing.end(), [&](std::errc one) { return error == one; });
}

bool is_transient(const std::exception_ptr& error) noexcept {
  if (!error) return false;
  try {
    std::rethrow_exception(error);
  } catch (const call_refused&) {
    return false;
  } catch (const std::system_error& known) {
    return is_transient(known.code());
  } catch (...) {
    return false;
  }
}

}  // namespace weir
