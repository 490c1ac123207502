#include "tree_removal.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

#include "open_directory.hpp"
#include "path_name.hpp"

namespace weir::detail {

namespace {

// How often a directory is read again that was filled while it was emptied.
constexpr unsigned most_rounds = 100;
// How often a name may change between a file and a directory while it is looked at.
constexpr unsigned most_tries = 100;

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

}  // namespace

struct tree_removal::level {
  open_directory stream;
  std::string name;
  unsigned rounds = 0;
};

tree_removal::tree_removal(std::string path) : path_(without_slashes(std::move(path))) {}
tree_removal::tree_removal(tree_removal&&) noexcept = default;
tree_removal::~tree_removal() = default;

std::string tree_removal::path_of(const std::string& name) const {
  std::string path = path_;
  // The first level is path_ itself.
  for (std::size_t i = 1; i < levels_.size(); ++i) path += '/' + levels_[i].name;
  if (!levels_.empty()) path += '/' + name;
  return path;
}

void tree_removal::fail(int error, const std::string& name) const {
  throw std::system_error(error, std::generic_category(),
                          fmt::format("remove_tree {} (remove {})", shown(path_), shown(path_of(name))));
}

void tree_removal::begin() {
  begun_ = true;
  if (path_.empty()) fail(ENOENT, path_);
  if (is_cut_short(path_)) fail(EINVAL, path_);
  const std::string name = path_.substr(path_.rfind('/') + 1);
  // What has no name in a directory above it cannot be removed.
  if (name.empty() || name == "." || name == "..") fail(EINVAL, path_);
  parent_ = unique_descriptor(::open(directory_of(path_).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent_) {
    if (errno == ENOENT) return;
    fail(errno, path_);
  }
  take(parent_.number(), name);
}

void tree_removal::take(int directory, std::string name) {
  int error = 0;
  for (unsigned tries = 0; tries < most_tries; ++tries) {
    if (::unlinkat(directory, name.c_str(), 0) == 0) {
      ++removed_;
      return;
    }
    if (errno == ENOENT) return;
    // Of a directory Linux says EISDIR, and some file systems EPERM.
    if (errno != EISDIR && errno != EPERM) fail(errno, name);
    error = errno;
    const int opened = ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (opened >= 0) {
      unique_descriptor owned(opened);
      DIR* const stream = ::fdopendir(opened);
      if (!stream) fail(errno, name);
      static_cast<void>(owned.release());
      levels_.push_back({.stream = open_directory(stream), .name = std::move(name)});
      return;
    }
    if (errno == ENOENT) return;
    if (errno == ENOTDIR || errno == ELOOP) continue;  // it was a directory a moment ago
    const int why = errno;
    // One that cannot be read may be empty.
    if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0) fail(why, name);
    ++removed_;
    return;
  }
  fail(error, name);
}

void tree_removal::leave() {
  level& last = levels_.back();
  const int above = levels_.size() == 1 ? parent_.number() : ::dirfd((levels_.end() - 2)->stream.get());
  if (::unlinkat(above, last.name.c_str(), AT_REMOVEDIR) == 0) {
    ++removed_;
  } else if (errno == ENOTEMPTY || errno == EEXIST) {
    // Something was added, or passed over because others were removed.
    if (++last.rounds < most_rounds) {
      ::rewinddir(last.stream.get());
      return;
    }
    const int error = errno;
    const std::string name = std::move(last.name);
    levels_.pop_back();
    fail(error, name);
  } else if (errno != ENOENT) {
    const int error = errno;
    const std::string name = std::move(last.name);
    levels_.pop_back();
    fail(error, name);
  }
  levels_.pop_back();
}

bool tree_removal::go_on(unsigned most) {
  const std::uint64_t enough = removed_ + most;
  if (!begun_) begin();
  while (!levels_.empty() && removed_ < enough) {
    DIR* const stream = levels_.back().stream.get();
    errno = 0;
    const dirent* const entry = ::readdir(stream);  // NOLINT(concurrency-mt-unsafe): nobody else has the stream
    if (!entry) {
      if (errno != 0) fail(errno, ".");
      leave();
      continue;
    }
    const std::string_view name = static_cast<const char*>(entry->d_name);
    if (name != "." && name != "..") take(::dirfd(stream), std::string(name));
  }
  return !levels_.empty();
}

}  // namespace weir::detail
