#pragma once

#include <cstdint>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/light_std.hpp"

namespace weir {

enum class file_type : std::uint8_t {
  unknown,
  regular,
  directory,
  symlink,
  fifo,
  socket,
  character_device,
  block_device,
};

/// What a path or an open file is, as stat(2) tells it.
struct file_status {
  using time = std::chrono::sys_time<std::chrono::nanoseconds>;

  file_type type = file_type::unknown;
  unsigned permissions = 0;     ///< the lower twelve bits: 0644, with set-user-ID and the like
  std::uint64_t size = 0;       ///< in bytes
  std::uint64_t allocated = 0;  ///< bytes on the disk: fewer than its size for a file with holes
  std::uint64_t inode = 0;
  std::uint64_t device = 0;  ///< of the file system; with `inode` it tells whether two names are one file
  std::uint64_t links = 0;   ///< how many names it has
  std::uint32_t owner = 0;
  std::uint32_t group = 0;
  time accessed{};
  time modified{};
  time changed{};  ///< its content, or what is told here
  time created{};  ///< 1970 where the file system does not know

  [[nodiscard]] bool is_regular() const noexcept { return type == file_type::regular; }
  [[nodiscard]] bool is_directory() const noexcept { return type == file_type::directory; }
  [[nodiscard]] bool is_symlink() const noexcept { return type == file_type::symlink; }
};
static_assert(detail::trivially_destructible<file_status>);

/// What to do with a path whose last part is a symbolic link. Those before it are always followed.
enum class symlinks : std::uint8_t {
  follow,  ///< it stands for what it refers to
  keep,    ///< the link itself is meant
};

}  // namespace weir
