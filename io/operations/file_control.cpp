#include "file_control.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

namespace {

constexpr std::uint8_t op_ftruncate = 55;  // Linux 6.9; Debian 12's headers do not know it
constexpr std::uint64_t largest_offset = std::numeric_limits<std::int64_t>::max();

}  // namespace

bool file_control_operation::ready(const await_context& context) noexcept {
  if (offset_ > largest_offset || length_ > largest_offset - offset_) {
    set_result(-EINVAL);
    return true;
  }
  return try_io(context);
}

const char* file_control_operation::name() const noexcept {
  switch (what_) {
    case file_control::allocate:
      return "allocate";
    case file_control::deallocate:
      return "deallocate";
    case file_control::set_size:
      return "set_size";
    case file_control::set_permissions:
      return "set_permissions";
    case file_control::advise:
      return "advise";
  }
  return verb;
}

std::uint8_t file_control_operation::ring_opcode() const noexcept {
  switch (what_) {
    case file_control::allocate:
    case file_control::deallocate:
      return IORING_OP_FALLOCATE;
    case file_control::set_size:
      return op_ftruncate;
    case file_control::advise:
      // The ring takes 32 bits for the length, as for transfers.
      return length_ <= std::numeric_limits<std::uint32_t>::max() ? std::uint8_t{IORING_OP_FADVISE} : in_no_ring;
    case file_control::set_permissions:
      break;
  }
  return in_no_ring;
}

int file_control_operation::mode() const noexcept {
  return what_ == file_control::deallocate ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0;
}

int file_control_operation::native_advice() const noexcept {
  switch (advice_) {
    case file_advice::normal:
      return POSIX_FADV_NORMAL;
    case file_advice::sequential:
      return POSIX_FADV_SEQUENTIAL;
    case file_advice::random:
      return POSIX_FADV_RANDOM;
    case file_advice::will_need:
      return POSIX_FADV_WILLNEED;
    case file_advice::dont_need:
      return POSIX_FADV_DONTNEED;
  }
  return -1;
}

void file_control_operation::prepare(ring_entry& entry) noexcept {
  if (what_ == file_control::advise) {
    io_uring_prep_fadvise(raw(entry), fd(), offset_, static_cast<off_t>(length_), native_advice());
  } else if (what_ == file_control::set_size) {
    io_uring_prep_rw(op_ftruncate, raw(entry), fd(), nullptr, 0, offset_);
  } else {
    io_uring_prep_fallocate(raw(entry), fd(), mode(), static_cast<off_t>(offset_), static_cast<off_t>(length_));
  }
}

int file_control_operation::attempt() noexcept {
  const auto offset = static_cast<off_t>(offset_);
  const auto length = static_cast<off_t>(length_);
  switch (what_) {
    case file_control::allocate:
    case file_control::deallocate:
      return system_calls::outcome(::fallocate(fd(), mode(), offset, length));
    case file_control::set_size:
      return system_calls::outcome(::ftruncate(fd(), offset));
    case file_control::set_permissions:
      return system_calls::outcome(::fchmod(fd(), static_cast<mode_t>(offset_)));
    case file_control::advise:
      return -::posix_fadvise(fd(), offset, length, native_advice());
  }
  return -EINVAL;
}

int file_control_operation::simulate(simulated_kernel& kernel) noexcept {
  switch (what_) {
    case file_control::allocate: {
      std::uint64_t size = 0;
      const int failed = kernel.disk().size(fd(), size);
      return failed != 0 || size >= offset_ + length_ ? failed : kernel.disk().set_size(fd(), offset_ + length_);
    }
    case file_control::set_size:
      return kernel.disk().set_size(fd(), offset_);
    case file_control::set_permissions:
    case file_control::advise:
      return 0;
    case file_control::deallocate:
      break;
  }
  return -ENOTSUP;
}

}  // namespace weir::detail
