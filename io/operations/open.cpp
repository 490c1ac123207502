#include "open.hpp"

#include <fcntl.h>

#include "../detail/path_name.hpp"
#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"
#include "../file.hpp"

namespace weir::detail {

namespace {

/// The flags of open(2), or -1 for a combination that means nothing.
///
/// Non-blocking, so that a FIFO without another end, or a terminal without a carrier, does not hold up a thread.
int native(file_mode mode) noexcept {
  const auto has = [mode](file_mode part) { return (mode & part) == part; };
  int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  if (has(file_mode::read_write)) {
    flags |= O_RDWR;
  } else if (has(file_mode::write)) {
    flags |= O_WRONLY;
  } else if (has(file_mode::read)) {
    if (has(file_mode::truncate)) return -1;
    flags |= O_RDONLY;
  } else {
    return -1;
  }
  if (has(file_mode::append)) flags |= O_APPEND;
  if (has(file_mode::create)) flags |= O_CREAT;
  if (has(file_mode::exclusive)) flags |= O_EXCL;
  if (has(file_mode::truncate)) flags |= O_TRUNC;
  if (has(file_mode::direct)) flags |= O_DIRECT;
  if (has(file_mode::synced)) flags |= O_DSYNC;
  return flags;
}

}  // namespace

open_operation::open_operation(std::string path, file_mode mode, unsigned permissions) noexcept
    : io_awaitable(nullptr), path_(std::move(path)), flags_(native(mode)), permissions_(permissions) {}

open_operation::open_operation(std::string path, int flags, unsigned permissions) noexcept
    : io_awaitable(nullptr), path_(std::move(path)), flags_(flags | O_CLOEXEC), permissions_(permissions) {}

open_operation::~open_operation() {
  if (opened_ >= 0) system_calls::close(opened_);
}

bool open_operation::ready(const await_context& context) noexcept {
  if (flags_ < 0 || is_cut_short(path_)) {
    set_result(-EINVAL);
    return true;
  }
  return try_io(context);
}

void open_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_openat(raw(entry), AT_FDCWD, path_.c_str(), flags_, permissions_);
}

int open_operation::attempt() noexcept { return system_calls::outcome(::open(path_.c_str(), flags_, permissions_)); }

int open_operation::simulate(simulated_kernel& kernel) noexcept { return kernel.disk().open(path_, flags_); }

std::string open_operation::object() const { return shown(path_); }

failure open_operation::failed() {
  if (opened_ >= 0) {
    // Where every write goes to the end, only the kernel knows the position afterwards.
    const file_access kept = (flags_ & O_APPEND) != 0 ? file_access::kernel_position : file_access::own_position;
    const int wrong = classify(opened_, kept, file_access::stream, sequential_);
    if (wrong != 0) {
      // open(2) refuses a directory only for writing; reading it would fail later and say less.
      system_calls::close(std::exchange(opened_, -1));
      set_result(wrong);
    } else if (!is_stream(sequential_)) {
      static_cast<void>(system_calls::set_status_flags(opened_, flags_ & ~O_NONBLOCK));
    }
  }
  if (result() >= 0) return {};
  return failure_of(verb);
}

file open_operation::value() {
  if ((flags_ & O_TMPFILE) == O_TMPFILE) path_.insert(0, "a temporary file in ");
  file made = file::take(std::exchange(opened_, -1), std::move(path_), sequential_);
  if ((flags_ & O_DIRECT) != 0) made.handle_.get()->set_direct();
  return made;
}

}  // namespace weir::detail
