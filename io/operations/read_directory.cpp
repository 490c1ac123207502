#include "read_directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "../detail/path_name.hpp"
#include "stat.hpp"

namespace weir::detail {

namespace {

// The kernel's struct linux_dirent64: inode and offset, then the size of the record, the type, and the name.
constexpr std::size_t size_at = 16;
constexpr std::size_t type_at = 18;
constexpr std::size_t name_at = 19;

template <class T>
T load(const std::byte* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

std::size_t size_of(const std::byte* record) noexcept { return load<std::uint16_t>(record + size_at); }
const char* entry_name(const std::byte* record) noexcept { return reinterpret_cast<const char*>(record + name_at); }

}  // namespace

directory_stream::~directory_stream() {
  if (number_ >= 0) static_cast<void>(::close(number_));
}

std::optional<directory_stream::entry> directory_stream::next() noexcept {
  while (at_ < filled_) {
    const std::byte* const record = batch_.get() + at_;
    at_ += size_of(record);
    const std::string_view name = entry_name(record);
    if (name != "." && name != "..") {
      return entry{name, type_of_mode(DTTOIF(load<std::uint8_t>(record + type_at))), load<std::uint64_t>(record)};
    }
  }
  return std::nullopt;
}

int directory_stream::open() noexcept {
  batch_.reset(new (std::nothrow) std::byte[batch_size]);
  if (!batch_) return -ENOMEM;
  const int links = last_ == symlinks::keep ? O_NOFOLLOW : 0;
  number_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | links);
  if (number_ < 0) return -errno;
  struct stat status{};
  if (::fstat(number_, &status) != 0) return -errno;
  device_ = status.st_dev;
  inode_ = status.st_ino;
  return 0;
}

int directory_stream::fill() noexcept {
  at_ = filled_ = 0;
  if (ended_) return 0;
  if (number_ < 0) {
    if (const int failed = open(); failed != 0) return failed;
  }
  // Not through libc, which would allocate a buffer of its own.
  const long size = ::syscall(SYS_getdents64, number_, batch_.get(), batch_size);
  if (size < 0) return -errno;
  if (size == 0) {
    ended_ = true;
    static_cast<void>(::close(std::exchange(number_, -1)));
    return 0;
  }
  filled_ = static_cast<std::size_t>(size);
  find_unknown_types();
  return static_cast<int>(size);
}

/// Some file systems do not keep the type beside the name.
void directory_stream::find_unknown_types() noexcept {
  for (std::size_t at = 0; at < filled_;) {
    std::byte* const record = batch_.get() + at;
    at += size_of(record);
    struct stat status{};
    if (load<std::uint8_t>(record + type_at) == DT_UNKNOWN &&
        ::fstatat(number_, entry_name(record), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      record[type_at] = static_cast<std::byte>(IFTODT(status.st_mode));
    }
  }
}

bool read_directory_operation::ready(const await_context& context) noexcept {
  if (is_cut_short(from_->path())) {
    set_result(-EINVAL);
    return true;
  }
  return try_io(context);
}

std::string read_directory_operation::object() const { return shown(from_->path()); }

}  // namespace weir::detail
