#include "stat.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

file_type type_of_mode(unsigned mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return file_type::regular;
    case S_IFDIR:
      return file_type::directory;
    case S_IFLNK:
      return file_type::symlink;
    case S_IFIFO:
      return file_type::fifo;
    case S_IFSOCK:
      return file_type::socket;
    case S_IFCHR:
      return file_type::character_device;
    case S_IFBLK:
      return file_type::block_device;
    default:
      return file_type::unknown;
  }
}

namespace {

file_status::time time_of(const struct statx_timestamp& stamp) noexcept {
  return file_status::time(std::chrono::seconds(stamp.tv_sec) + std::chrono::nanoseconds(stamp.tv_nsec));
}

constexpr unsigned wanted_fields = STATX_BASIC_STATS | STATX_BTIME;

}  // namespace

std::uint8_t stat_operation::ring_opcode() const noexcept { return IORING_OP_STATX; }

int stat_operation::flags() const noexcept {
  if (is_of_open_file()) return AT_EMPTY_PATH;
  return last_ == symlinks::keep ? AT_SYMLINK_NOFOLLOW : 0;
}

int stat_operation::base() const noexcept { return is_of_open_file() ? fd() : AT_FDCWD; }

void stat_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_statx(raw(entry), base(), path().c_str(), flags(), wanted_fields,
                      reinterpret_cast<struct statx*>(answer_.data()));
}

int stat_operation::attempt() noexcept {
  static_assert(sizeof(struct statx) == sizeof answer_ && alignof(struct statx) <= 8);
  return system_calls::outcome(
      ::statx(base(), path().c_str(), flags(), wanted_fields, reinterpret_cast<struct statx*>(answer_.data())));
}

int stat_operation::simulate(simulated_kernel& kernel) noexcept {
  std::uint64_t size = 0;
  std::uint64_t inode = 0;
  const int kind =
      is_of_open_file() ? kernel.disk().status(fd(), size, inode) : kernel.disk().status(path(), size, inode);
  if (kind < 0) return kind;
  struct statx answer{};
  answer.stx_mode = static_cast<std::uint16_t>(kind);
  answer.stx_size = size;
  answer.stx_blocks = (size + 511) / 512;
  answer.stx_ino = inode;
  answer.stx_nlink = 1;
  std::memcpy(answer_.data(), &answer, sizeof answer);
  return 0;
}

file_status stat_operation::value() const noexcept {
  struct statx answer{};
  std::memcpy(&answer, answer_.data(), sizeof answer);
  file_status told;
  told.type = type_of_mode(answer.stx_mode);
  told.permissions = answer.stx_mode & 07777u;
  told.size = answer.stx_size;
  told.allocated = answer.stx_blocks * 512;
  told.inode = answer.stx_ino;
  told.device = ::makedev(answer.stx_dev_major, answer.stx_dev_minor);
  told.links = answer.stx_nlink;
  told.owner = answer.stx_uid;
  told.group = answer.stx_gid;
  told.accessed = time_of(answer.stx_atime);
  told.modified = time_of(answer.stx_mtime);
  told.changed = time_of(answer.stx_ctime);
  if ((answer.stx_mask & STATX_BTIME) != 0) told.created = time_of(answer.stx_btime);
  return told;
}

}  // namespace weir::detail
