#include "exit_status.hpp"

#include <fmt/format.h>

#include <cstring>

namespace weir {

std::string exit_status::to_string() const {
  if (signal == 0) return fmt::format("exit code {}", code);
  const char* const what = ::sigdescr_np(signal);  // strsignal() shares its memory between threads
  return what ? fmt::format("signal {} ({})", signal, what) : fmt::format("signal {}", signal);
}

}  // namespace weir

fmt::format_context::iterator fmt::formatter<weir::exit_status>::format(const weir::exit_status& value,
                                                                        fmt::format_context& context) const {
  return fmt::formatter<std::string_view>::format(value.to_string(), context);
}
