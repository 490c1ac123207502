#include "file.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <limits>
#include <system_error>

#include "../runtime/as_result.hpp"
#include "../runtime/shielded.hpp"
#include "detail/path_name.hpp"
#include "detail/system_calls.hpp"
#include "path_operations.hpp"

namespace weir {

namespace {

[[noreturn]] void fail(int error, const char* verb, const std::string& object) {
  throw std::system_error(error, std::generic_category(), fmt::format("{} {}", verb, object));
}

}  // namespace

file file::take(int number, std::string path, detail::file_access sequential) {
  return {detail::descriptor_handle(detail::descriptor::adopt(number, detail::descriptor::kind::file, std::move(path))),
          sequential};
}

file file::adopt(int number, std::string name) {
  detail::file_access sequential{};
  const int wrong =
      detail::classify(number, detail::file_access::kernel_position, detail::file_access::shared_stream, sequential);
  if (wrong != 0) fail(-wrong, "adopt", name.empty() ? fmt::format("fd {}", number) : name);
  return take(number, std::move(name), sequential);
}

task<file> file::temporary(std::string directory) {
  constexpr unsigned only_ours = 0600;
  result<file> nameless = co_await as_result(detail::open_operation(directory, O_TMPFILE | O_RDWR, only_ours));
  if (nameless.error() != std::errc::operation_not_supported) co_return std::move(nameless).value();
  // A file system that knows only files with names.
  for (;;) {
    const std::string name = detail::unique_name_in(directory);
    result<file> named = co_await as_result(open(name, file_mode::read_write | file_mode::exclusive, only_ours));
    if (named.error() == std::errc::file_exists) continue;
    file made = std::move(named).value();
    co_await shielded(unlink(name));
    co_return made;
  }
}

std::uint64_t file::size() const {
  if (!handle_) fail(EBADF, "size of", "a closed file");
  std::uint64_t bytes = 0;
  const int result = detail::system_calls::size_of_file(handle_.number(), bytes);
  if (result != 0) fail(-result, "size of", handle_.get()->name());
  return bytes;
}

std::uint64_t file::position() const noexcept {
  return handle_ ? handle_.get()->position().load(std::memory_order_relaxed) : 0;
}

void file::set_position(std::uint64_t offset) {
  if (!handle_) fail(EBADF, "set_position of", "a closed file");
  if (sequential_ != detail::file_access::own_position) fail(ESPIPE, "set_position of", handle_.get()->name());
  if (offset > std::numeric_limits<std::int64_t>::max()) fail(EINVAL, "set_position of", handle_.get()->name());
  handle_.get()->position().store(offset, std::memory_order_relaxed);
}

int file::release() noexcept {
  if (handle_ && sequential_ == detail::file_access::own_position) {
    static_cast<void>(detail::system_calls::set_position(handle_.number(), position()));
  }
  return handle_.release();
}

}  // namespace weir
