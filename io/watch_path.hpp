#pragma once

#include <cstdint>
#include <string>

#include "../runtime/async_generator.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/task.hpp"

namespace weir {

/// What has happened at a path that is watched, or what it is watched for: `path_change::created |
/// path_change::removed`.
enum class path_change : std::uint16_t {
  created = 1,      ///< a name in the directory, also of a link
  removed = 2,      ///< a name in the directory is gone
  moved_from = 4,   ///< a name in the directory was renamed, away from there or to another there
  moved_to = 8,     ///< the same, at its new name
  modified = 16,    ///< something was written, or the size set
  written = 32,     ///< a file that was open for writing was closed
  attributes = 64,  ///< permissions, times, owner, number of links
  anything = 127,
  // These are always told.
  self_moved = 128,    ///< the path that is watched has another name; what had it is watched further
  self_removed = 256,  ///< what is watched is gone, and the generator ends
  overflow = 512,      ///< events were lost: look at everything anew
};

constexpr path_change operator|(path_change a, path_change b) noexcept {
  return static_cast<path_change>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr path_change operator&(path_change a, path_change b) noexcept {
  return static_cast<path_change>(static_cast<unsigned>(a) & static_cast<unsigned>(b));
}

struct watch_options {
  /// Also what is in directories below it, those that come later included. Links are not followed.
  bool recursive = false;
};
static_assert(detail::trivially_destructible<watch_options>);

/// What watch_path() yields: one change.
struct path_event {
  path_change change = path_change::overflow;  ///< one of them
  std::string name;  ///< in the directory, with `recursive` the path below it; empty for what is watched itself
  bool is_directory = false;
  std::uint32_t move = 0;  ///< the two events of one renaming have the same number here, others 0
};

/// Watches a directory, what is in it but not what is in those below it, or a file (inotify). Completes once it is
/// watched, with the generator of what happens from then on:
///
///     auto events = co_await weir::watch_path("/etc/app", path_change::written | path_change::moved_to);
///     while (auto event = co_await events.next()) reload(event->name);
///
/// Changes made through other machines or through a memory mapping are not seen. Equal events in a row are told once,
/// and when nobody asks for next() for a long time (fs.inotify.max_queued_events) some are lost: that is an event, too.
/// Dropping the generator ends the watch, and so does a next() that is stopped, by a timeout around it as well.
///
/// Fails with std::system_error: "watch_path /ect: No such file or directory". Each watch is a descriptor. Allocates
/// recycled frames, a record, a batch of 4 KiB, and the names. In a simulation: ENOTSUP.
///
/// With `recursive` each directory below has a watch of the kernel (fs.inotify.max_user_watches), and a name in memory.
/// One that is made, or moved there, is watched some time after that. What is in it by then, at any depth, is told as
/// created; so nothing is missed, but what is made just then may be told twice. A directory that is renamed inside of
/// the tree stays watched. After an overflow all directories are looked for anew. When the watched directory itself is
/// renamed the generator ends behind self_moved. A directory below that may not be watched is a failure, of next() too.
task<async_generator<path_event>> watch_path(std::string path, path_change wanted = path_change::anything,
                                             watch_options options = {});

}  // namespace weir
