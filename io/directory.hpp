#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>

#include "../runtime/async_generator.hpp"
#include "../runtime/detail/config.hpp"
#include "file_status.hpp"

namespace weir {

/// What list_directory() yields.
struct directory_entry {
  std::string name;
  file_type type = file_type::unknown;  ///< of a symbolic link: symlink
  std::uint64_t inode = 0;
};

/// What a directory has in it, but "." and "..", in the order in which the file system keeps it:
///
///     auto entries = weir::list_directory("/var/log");
///     while (auto entry = co_await entries.next()) use(entry->name);
///
/// Read in batches of 16 KiB by the threads of offload, of which one is held, so that a directory of any size can be
/// listed. What is made or removed meanwhile may be among them or not; everything else is there once. Fails with
/// std::system_error: "read_directory /var/lgo: No such file or directory". Cancelled: the generator has ended; what
/// was begun is waited for. Allocates its frame, recycled, a batch and the names. In a simulation: ENOTSUP.
async_generator<directory_entry> list_directory(std::string path);

/// Of a walk that meets a directory that cannot be read.
enum class walk_errors : std::uint8_t {
  fail,    ///< the walk fails
  report,  ///< it is an entry with `error`, and the walk goes on; the one that it begins with fails all the same
};

struct walk_options {
  /// How far down: 0 is what list_directory() has.
  unsigned max_depth = std::numeric_limits<unsigned>::max();
  /// With follow a symbolic link counts as what it refers to. One that leads to a directory around it is an error
  /// (ELOOP), one that leads nowhere an entry of type symlink.
  symlinks links = symlinks::keep;
  walk_errors errors = walk_errors::fail;
};
static_assert(detail::trivially_destructible<walk_options>);

/// What a walk yields.
struct walk_entry {
  std::string path;  ///< that of the walk, and below it
  file_type type = file_type::unknown;
  unsigned depth = 0;     ///< 0: it is in the directory of the walk
  std::error_code error;  ///< set: `path` is a directory that could not be read, or not to its end

  [[nodiscard]] std::string_view name() const noexcept { return std::string_view(path).substr(path.rfind('/') + 1); }
};

/// What is in a directory and in those below it, each directory before what is in it:
///
///     auto tree = weir::walk_directory("src", {.max_depth = 3});
///     while (auto entry = co_await tree.next()) use(entry->path);
///
/// Holds a descriptor and a batch of 16 KiB for each level where it is. Otherwise as list_directory(). A directory that
/// is renamed or replaced meanwhile is read as it is found; links are never followed unless that is asked for.
async_generator<walk_entry> walk_directory(std::string path, walk_options options = {});

}  // namespace weir
