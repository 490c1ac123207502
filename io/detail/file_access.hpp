#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::detail {

/// Where in a file a transfer takes place, and whether it has to wait for readiness.
enum class file_access : std::uint8_t {
  unplaced,         ///< an offset was given for something that has none: ESPIPE
  at_offset,        ///< of a file with offsets: where the caller says
  own_position,     ///< of a file with offsets: where descriptor::position says
  kernel_position,  ///< of a file with offsets: where the open file itself stands, which others may share
  stream,           ///< no offsets (pipe, terminal, device), opened non-blocking
  shared_stream,    ///< the same, but it may be blocking: whom we have it from shares that flag, so it stays
};

constexpr bool is_stream(file_access how) noexcept { return how >= file_access::stream; }
constexpr bool is_sequential(file_access how) noexcept { return how > file_access::at_offset; }

constexpr bool has_offset(file_access how) noexcept {
  return how == file_access::at_offset || how == file_access::own_position;
}

/// Whether a transfer may begin there: 0 or the error. The ring would read and write a pipe whatever the offset, and
/// takes the largest offset for "where the file stands".
int refusal_of_place(file_access how, std::uint64_t offset) noexcept;

/// How the file behind an open descriptor is read and written sequentially; `kept` is for files with offsets. -errno
/// when it cannot be told, -EISDIR for a directory.
int classify(int number, file_access kept, file_access streaming, file_access& how) noexcept;

/// One transfer without a ring, -errno on failure. Streams give -EAGAIN instead of waiting; the rest may block.
int read_file(int number, file_access how, std::byte* into, unsigned size, std::uint64_t offset) noexcept;
int write_file(int number, file_access how, const std::byte* from, unsigned size, std::uint64_t offset) noexcept;

}  // namespace weir::detail
