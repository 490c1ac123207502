#include "buffered_write.hpp"

#include <fmt/format.h>

#include <system_error>

namespace weir::detail {

failure two_writers(const char* verb, const writer_core& writer) {
  return {std::make_error_code(std::errc::device_or_resource_busy),
          fmt::format("{} {}: another task is writing to it at the same time", verb, writer.stream_name())};
}

void fail_stuck(const std::string& name) {
  throw std::system_error(std::make_error_code(std::errc::io_error),
                          fmt::format("write {}: it takes no more bytes", name));
}

}  // namespace weir::detail
