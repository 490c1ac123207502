#include "simulated_disk.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "simulated_kernel.hpp"

namespace weir::detail {

class simulated_disk::open_file final : public simulated_object {
 public:
  open_file(std::shared_ptr<content> its_content, int flags) : of(std::move(its_content)), flags_(flags) {}
  void close() noexcept override {}

  [[nodiscard]] bool readable() const noexcept { return (flags_ & O_ACCMODE) != O_WRONLY; }
  [[nodiscard]] bool writable() const noexcept { return (flags_ & O_ACCMODE) != O_RDONLY; }
  [[nodiscard]] bool appends() const noexcept { return (flags_ & O_APPEND) != 0; }

  const std::shared_ptr<content> of;
  std::uint64_t position = 0;

 private:
  const int flags_;
};

namespace {

// They are in memory, holes too.
constexpr std::uint64_t biggest_file = std::uint64_t{1} << 32;

/// The offset is the caller's, not the file's.
bool is_placed(file_access how) noexcept { return how == file_access::at_offset || how == file_access::own_position; }

}  // namespace

bool simulated_disk::is_directory(const std::string& path) const {
  const std::string inside = path.ends_with('/') ? path : path + '/';
  const auto next = files_.lower_bound(inside);
  return path == "/" || path == "." || (next != files_.end() && next->first.starts_with(inside));
}

std::uint64_t simulated_disk::most_size(const content& file) const noexcept {
  const std::uint64_t size = file.bytes.size();
  const std::uint64_t most_used = std::max(kernel_.files.capacity, *used_);
  return size + std::min(most_used - *used_, UINT64_MAX - size);
}

bool simulated_disk::is_below_a_file(const std::string& path) const {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    if (files_.contains(path.substr(0, at))) return true;
  }
  return false;
}

int simulated_disk::refuse_as_file(const std::string& path) const {
  if (path.empty()) return -ENOENT;
  if (is_below_a_file(path)) return -ENOTDIR;
  if (path.ends_with('/') || is_directory(path)) return is_directory(path) ? -EISDIR : -ENOENT;
  return 0;
}

int simulated_disk::open(const std::string& path, int flags) {
  if ((flags & O_TMPFILE) == O_TMPFILE) return -EOPNOTSUPP;  // as on disks that know no file without a name
  if (const int refused = refuse_as_file(path); refused != 0) return refused;
  auto found = files_.find(path);
  if (found == files_.end()) {
    if ((flags & O_CREAT) == 0) return -ENOENT;
    found = files_.emplace(path, std::make_shared<content>(used_, ++last_inode_)).first;
  } else if ((flags & O_EXCL) != 0) {
    return -EEXIST;
  }
  const int number = kernel_.enter(std::make_shared<open_file>(found->second, flags));
  if (number >= 0 && (flags & O_TRUNC) != 0) found->second->resize(0);
  return number;
}

int simulated_disk::read(int number, file_access how, std::span<std::byte> into, std::uint64_t offset) {
  const auto file = kernel_.find<open_file>(number);
  if (!file || !file->readable()) return -EBADF;
  if (kernel_.chance(kernel_.files.error)) return -EIO;
  const std::vector<std::byte>& bytes = file->of->bytes;
  const std::uint64_t from = is_placed(how) ? offset : file->position;
  if (from >= bytes.size()) return 0;
  const std::size_t most = std::min<std::size_t>(into.size(), bytes.size() - from);
  const std::size_t size = kernel_.part_of(most, kernel_.files.partial);
  std::memcpy(into.data(), bytes.data() + from, size);
  if (!is_placed(how)) file->position = from + size;
  return static_cast<int>(size);
}

int simulated_disk::write(int number, file_access how, std::span<const std::byte> from, std::uint64_t offset) {
  const auto file = kernel_.find<open_file>(number);
  if (!file || !file->writable()) return -EBADF;
  if (kernel_.chance(kernel_.files.error)) return -EIO;
  std::vector<std::byte>& bytes = file->of->bytes;
  const std::uint64_t to = file->appends() ? bytes.size() : is_placed(how) ? offset : file->position;
  // What lies behind the end of the file counts, and so does the hole before it.
  const std::uint64_t end_at_most = most_size(*file->of);
  if (to >= end_at_most) return -ENOSPC;
  if (to > biggest_file - std::min<std::uint64_t>(from.size(), biggest_file)) return -EFBIG;
  std::size_t size = std::min<std::uint64_t>(from.size(), end_at_most - to);
  size = kernel_.part_of(size, kernel_.files.partial);
  if (to + size > bytes.size()) file->of->resize(to + size);
  std::memcpy(bytes.data() + to, from.data(), size);
  if (!is_placed(how)) file->position = to + size;
  return static_cast<int>(size);
}

int simulated_disk::sync(int number) {
  if (!kernel_.find<open_file>(number)) return -EINVAL;
  return kernel_.chance(kernel_.files.error) ? -EIO : 0;
}

int simulated_disk::size(int number, std::uint64_t& bytes) {
  const auto file = kernel_.find<open_file>(number);
  if (!file) return -EBADF;
  bytes = file->of->bytes.size();
  return 0;
}

int simulated_disk::set_position(int number, std::uint64_t offset) {
  const auto file = kernel_.find<open_file>(number);
  if (!file) return -ESPIPE;
  file->position = offset;
  return 0;
}

int simulated_disk::set_size(int number, std::uint64_t bytes) {
  const auto file = kernel_.find<open_file>(number);
  if (!file) return -EBADF;
  if (!file->writable()) return -EINVAL;
  if (kernel_.chance(kernel_.files.error)) return -EIO;
  if (bytes > biggest_file) return -EFBIG;
  if (bytes > std::max<std::uint64_t>(most_size(*file->of), file->of->bytes.size())) return -ENOSPC;
  file->of->resize(bytes);
  return 0;
}

int simulated_disk::status(const std::string& path, std::uint64_t& bytes, std::uint64_t& inode) {
  bytes = inode = 0;
  if (const int refused = refuse_as_file(path); refused != 0) return refused == -EISDIR ? S_IFDIR | 0755 : refused;
  const auto found = files_.find(path);
  if (found == files_.end()) return -ENOENT;
  bytes = found->second->bytes.size();
  inode = found->second->inode;
  return S_IFREG | 0644;
}

int simulated_disk::status(int number, std::uint64_t& bytes, std::uint64_t& inode) {
  const auto file = kernel_.find<open_file>(number);
  if (!file) return -EBADF;
  bytes = file->of->bytes.size();
  inode = file->of->inode;
  return S_IFREG | 0644;
}

int simulated_disk::rename(const std::string& from, const std::string& to, bool replace) {
  if (is_directory(from)) return -ENOTSUP;  // directories are but parts of names here
  if (const int refused = refuse_as_file(from); refused != 0) return refused;
  if (const int refused = refuse_as_file(to); refused != 0) return refused;
  const auto found = files_.find(from);
  if (found == files_.end()) return -ENOENT;
  if (!replace && files_.contains(to)) return -EEXIST;
  if (kernel_.chance(kernel_.files.error)) return -EIO;
  if (from == to) return 0;
  const std::shared_ptr<content> moved = found->second;
  files_.erase(found);
  files_.insert_or_assign(to, moved);
  return 0;
}

int simulated_disk::unlink(const std::string& path) {
  if (const int refused = refuse_as_file(path); refused != 0) return refused;
  const bool may_be_a_socket = !files_.contains(path) && !path.empty() && path.size() <= unix_endpoint::longest;
  if (!files_.contains(path) && !may_be_a_socket) return -ENOENT;
  if (kernel_.chance(kernel_.files.error)) return -EIO;
  if (may_be_a_socket) return kernel_.unix_sockets().remove_file(path);
  files_.erase(path);
  return 0;
}

int simulated_disk::sync_directory(const std::string& path) {
  if (files_.contains(path) || is_below_a_file(path)) return -ENOTDIR;
  if (!is_directory(path)) return -ENOENT;
  return kernel_.chance(kernel_.files.error) ? -EIO : 0;
}

}  // namespace weir::detail
