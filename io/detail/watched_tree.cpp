#include "watched_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "open_directory.hpp"

namespace weir::detail {

namespace {

std::string path_in(const std::string& directory, std::string_view name) {
  return directory.empty() ? std::string(name) : fmt::format("{}/{}", directory, name);
}

bool is_directory(DIR* stream, const dirent& entry) noexcept {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  struct stat status{};
  return ::fstatat(::dirfd(stream), static_cast<const char*>(entry.d_name), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(status.st_mode);
}

/// What was there a moment ago may have gone, or be something else.
bool has_gone(int error) noexcept { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

}  // namespace

void watched_tree::fail(int error, const std::string& path) const {
  const char* const limit = error == ENOSPC ? " (no more watches: fs.inotify.max_user_watches)" : "";
  throw std::system_error(error, std::generic_category(), fmt::format("watch_path {}{}", full(path), limit));
}

int watched_tree::watch(const std::string& path) {
  // The root is followed as it was at first.
  const std::uint32_t links = path.empty() ? 0 : std::uint32_t{IN_DONT_FOLLOW | IN_ONLYDIR};
  const int made = ::inotify_add_watch(number_, full(path).c_str(), events_ | links);
  if (made >= 0) enter(made, path);
  if (made < 0 && !has_gone(errno)) fail(errno, path);
  return made;
}

void watched_tree::enter(int watch, const std::string& path) {
  // One inode has one watch: it may have had another path. Another inode may have had this one.
  if (const auto old = paths_.find(watch); old != paths_.end()) watches_.erase(old->second);
  if (const auto old = watches_.find(path); old != watches_.end()) paths_.erase(old->second);
  paths_[watch] = path;
  watches_[path] = watch;
}

auto watched_tree::add(const std::string& path) -> std::vector<found> {
  std::vector<found> all;
  std::vector<std::string> directories = {path};
  while (!directories.empty()) {
    const std::string directory = std::move(directories.back());
    directories.pop_back();
    // It is watched before it is read: what comes later is an event.
    if (watch(directory) < 0) continue;
    const int links = directory.empty() ? 0 : O_NOFOLLOW;
    const int opened = ::open(full(directory).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | links);
    if (opened < 0) {
      if (has_gone(errno)) continue;
      fail(errno, directory);
    }
    const open_directory stream(::fdopendir(opened));
    if (!stream) {
      const int error = errno;
      static_cast<void>(::close(opened));
      fail(error, directory);
    }
    for (;;) {
      errno = 0;
      const dirent* const entry = ::readdir(stream.get());  // NOLINT(concurrency-mt-unsafe): nobody else has the stream
      if (!entry && errno != 0 && !has_gone(errno)) fail(errno, directory);
      if (!entry) break;
      const std::string_view name = static_cast<const char*>(entry->d_name);
      if (name == "." || name == "..") continue;
      found one{.path = path_in(directory, name), .is_directory = is_directory(stream.get(), *entry)};
      if (one.is_directory) directories.push_back(one.path);
      all.push_back(std::move(one));
    }
  }
  return all;
}

std::optional<std::string> watched_tree::path_of(int watch, std::string_view name) const {
  const auto entry = paths_.find(watch);
  if (entry == paths_.end()) return std::nullopt;
  if (name.empty()) return entry->second;
  return path_in(entry->second, name);
}

bool watched_tree::is_root(int watch) const noexcept {
  const auto entry = paths_.find(watch);
  return entry != paths_.end() && entry->second.empty();
}

void watched_tree::forget(int watch) {
  const auto entry = paths_.find(watch);
  if (entry == paths_.end()) return;
  watches_.erase(entry->second);
  paths_.erase(entry);
}

std::vector<std::pair<std::string, int>> watched_tree::take(const std::string& path) {
  std::vector<std::pair<std::string, int>> taken;
  const auto is_below = [&](const std::string& other) {
    return other.size() > path.size() && other.starts_with(path) && other[path.size()] == '/';
  };
  // "a.b" stands between "a" and "a/b".
  for (auto at = watches_.lower_bound(path); at != watches_.end() && at->first.starts_with(path);) {
    if (at->first != path && !is_below(at->first)) {
      ++at;
      continue;
    }
    paths_.erase(at->second);
    taken.emplace_back(*at);
    at = watches_.erase(at);
  }
  return taken;
}

void watched_tree::move_from(std::string path, std::uint32_t cookie) {
  forget_moved();
  moved_ = std::move(path);
  cookie_ = cookie;
}

bool watched_tree::move_to(const std::string& path, std::uint32_t cookie) {
  if (!awaits(cookie)) {
    forget_moved();
    return false;
  }
  cookie_ = 0;
  const auto moved = take(moved_);
  static_cast<void>(take(path));  // an empty one that was replaced
  for (const auto& [old, watch] : moved) enter(watch, path + old.substr(moved_.size()));
  // Not yet watched when it was moved: as a new one.
  return !moved.empty();
}

void watched_tree::forget_moved() {
  if (cookie_ == 0) return;
  cookie_ = 0;
  for (const auto& [path, watch] : take(moved_)) static_cast<void>(::inotify_rm_watch(number_, watch));
}

}  // namespace weir::detail
