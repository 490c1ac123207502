#include "buffered_read.hpp"

#include <fmt/format.h>

#include <system_error>

#include "counted_read.hpp"
#include "delimited_read.hpp"

namespace weir::detail {

failure two_readers(const char* verb, const reader_core& reader) {
  return {std::make_error_code(std::errc::device_or_resource_busy),
          fmt::format("{} {}: another task is reading from it at the same time", verb, reader.stream_name())};
}

failure beyond_bound(const char* verb, const char* what, const reader_core& reader) {
  return {std::make_error_code(std::errc::message_size),
          fmt::format("{} {}: {} is longer than {} bytes", verb, reader.stream_name(), what, reader.bound)};
}

std::span<std::byte> buffered_read_exactly::room() {
  if (into_.size() <= buffer().limit()) return buffer().room(into_.size(), 0);
  direct_ = true;
  if (done_ == 0) done_ = buffer().take(into_);
  return into_.subspan(done_);
}
void buffered_read_exactly::abandoned() noexcept {
  if (direct_) buffer().put_back(into_.first(done_));
}

std::string buffered_read_string::value() {
  std::string made(buffer().text().substr(0, wanted_));
  buffer().consume(wanted_);
  return made;
}

failure more_than_bound(const char* verb, std::size_t wanted, const reader_core& reader) {
  return {std::make_error_code(std::errc::message_size),
          fmt::format("{} {}: {} bytes in one piece are more than the bound of {}", verb, reader.stream_name(), wanted,
                      reader.bound)};
}

failure ended_after(const char* verb, const std::string& name, std::size_t got, std::size_t wanted) {
  return {make_error_code(errc::end_of_stream), fmt::format("{} {} after {} of {} bytes", verb, name, got, wanted)};
}

}  // namespace weir::detail
