#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "../runtime/detail/config.hpp"
#include "../runtime/task.hpp"

namespace weir {

struct replace_options {
  /// Of the new file, whatever the umask. 0: those of the file that is replaced, or 0666 less the umask.
  unsigned permissions = 0;
  /// Completes when content and name are on the device. Otherwise a loss of power may leave an empty file.
  bool sync = true;
};
static_assert(detail::trivially_destructible<replace_options>);

/// Gives the name `path` to a file that holds `bytes`, at once: whoever opens it finds the whole old file or the whole
/// new one. Writes a file ".weir-..." in the same directory, syncs and renames it, and syncs the directory. Owner,
/// group and extended attributes are those of a new file. A symbolic link is replaced, not what it refers to.
///
/// Fails with a sentence that names `path` and the step: "replace_file app.json (write_all ./.weir-5e0f...): No space
/// left on device". Then nothing has changed and nothing is left behind, unless it was the last step: the directory's
/// sync. Cancelled before the renaming, the same; from there on it goes on to its end, and is delivered. Only a process
/// that is killed leaves its ".weir-..." behind. `bytes` must live until it has ended. Allocates its frames, recycled,
/// and some names.
task<> replace_file(std::string path, std::span<const std::byte> bytes, replace_options options = {});

}  // namespace weir
