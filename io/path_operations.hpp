#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "../runtime/task.hpp"
#include "file_status.hpp"
#include "operations/path_call.hpp"
#include "operations/stat.hpp"

// Names of files and directories: made, changed, removed, looked at.
//
// Each completes with nothing unless it says so, or throws std::system_error with a sentence that names the call and
// its paths: "rename a to b: No such file or directory". They go to the ring where the kernel has them there, else to
// the threads of offload. Cancelled before it was begun, a call does nothing; what was begun is waited for and
// delivered. Paths are relative to the process's directory. Allocate nothing but their paths, and a failure's sentence.
//
// In a simulation there are rename (of files), unlink and stat; the others fail with ENOTSUP. Some are overloads of
// names of POSIX: beside `using namespace weir`, a literal means that one, so write weir::rename.

namespace weir {

enum class rename_mode : std::uint8_t {
  replace,     ///< what has the new name already is gone, at once: there is no moment without one
  no_replace,  ///< EEXIST when something has the new name; EINVAL on the few file systems that cannot promise it
};

/// Gives `from` the name `to`, in the same file system (EXDEV). A directory replaces only an empty one.
[[nodiscard]] inline detail::path_operation rename(std::string from, std::string to,
                                                   rename_mode mode = rename_mode::replace) {
  const bool replaces = mode == rename_mode::replace;
  return {replaces ? detail::path_call::rename : detail::path_call::rename_new, std::move(from), std::move(to)};
}
/// What has one name gets the other, at once. Both exist.
[[nodiscard]] inline detail::path_operation exchange(std::string one, std::string other) {
  return {detail::path_call::exchange, std::move(one), std::move(other)};
}

/// Gives a file a further name; EEXIST when something has it. A symbolic link is not followed.
[[nodiscard]] inline detail::path_operation link(std::string existing, std::string name) {
  return {detail::path_call::link, std::move(existing), std::move(name)};
}
/// Makes the symbolic link `name`, which says `target`: any text, relative to where `name` is.
[[nodiscard]] inline detail::path_operation symlink(std::string target, std::string name) {
  return {detail::path_call::symlink, std::move(target), std::move(name)};
}
/// Removes a name that is no directory's (EISDIR), and the file with its last one once nobody has it open.
[[nodiscard]] inline detail::path_operation unlink(std::string path) {
  return {detail::path_call::unlink, std::move(path)};
}

/// `permissions` are less the process's umask. EEXIST when something has the name.
[[nodiscard]] inline detail::path_operation make_directory(std::string path, unsigned permissions = 0777) {
  return {detail::path_call::make_directory, std::move(path), permissions};
}
/// Makes it and those above it that are missing; nothing when it is there. Stopped or failed: those it has made stay.
task<> make_directories(std::string path, unsigned permissions = 0777);
/// An empty one (ENOTEMPTY).
[[nodiscard]] inline detail::path_operation remove_directory(std::string path) {
  return {detail::path_call::remove_directory, std::move(path)};
}
/// Completes when the names in a directory are on the device: what was made, renamed or removed there before is so
/// after a loss of power, too.
[[nodiscard]] inline detail::path_operation sync_directory(std::string path) {
  return {detail::path_call::sync_directory, std::move(path)};
}

/// Completes with a file_status: what has that name. Whoever opens it next may find something else.
[[nodiscard]] inline detail::stat_operation stat(std::string path, symlinks last = symlinks::follow) {
  return {std::move(path), last};
}

}  // namespace weir
