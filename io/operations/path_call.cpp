#include "path_call.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "../detail/path_name.hpp"
#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

namespace {

unsigned rename_flags(path_call call) noexcept {
  if (call == path_call::rename_new) return RENAME_NOREPLACE;
  return call == path_call::exchange ? RENAME_EXCHANGE : 0;
}

int sync_directory(const char* path) noexcept {
  const int number = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (number < 0) return -errno;
  const int result = system_calls::outcome(::fsync(number));
  static_cast<void>(::close(number));
  return result;
}

}  // namespace

bool path_leaf::begin_with_paths(const await_context& context) noexcept {
  if (is_cut_short(path_) || is_cut_short(second_)) {
    set_result(-EINVAL);
    return true;
  }
  return try_io(context);
}

std::string path_leaf::object() const { return open_ ? io_leaf::object() : shown(path_); }

const char* path_operation::name() const noexcept {
  switch (call_) {
    case path_call::rename:
    case path_call::rename_new:
      return "rename";
    case path_call::exchange:
      return "exchange";
    case path_call::link:
      return "link";
    case path_call::symlink:
      return "symlink";
    case path_call::unlink:
      return "unlink";
    case path_call::remove_directory:
      return "remove_directory";
    case path_call::make_directory:
      return "make_directory";
    case path_call::sync_directory:
      return "sync_directory";
  }
  return verb;
}

std::string path_operation::object() const {
  switch (call_) {
    case path_call::rename:
    case path_call::rename_new:
      return fmt::format("{} to {}", shown(path()), shown(second()));
    case path_call::exchange:
      return fmt::format("{} and {}", shown(path()), shown(second()));
    case path_call::link:
    case path_call::symlink:
      return fmt::format("{} as {}", shown(path()), shown(second()));
    default:
      return path_leaf::object();
  }
}

std::uint8_t path_operation::ring_opcode() const noexcept {
  switch (call_) {
    case path_call::rename:
    case path_call::rename_new:
    case path_call::exchange:
      return IORING_OP_RENAMEAT;
    case path_call::link:
      return IORING_OP_LINKAT;
    case path_call::symlink:
      return IORING_OP_SYMLINKAT;
    case path_call::unlink:
    case path_call::remove_directory:
      return IORING_OP_UNLINKAT;
    case path_call::make_directory:
      return IORING_OP_MKDIRAT;
    case path_call::sync_directory:
      break;
  }
  return in_no_ring;
}

void path_operation::prepare(ring_entry& entry) noexcept {
  switch (call_) {
    case path_call::rename:
    case path_call::rename_new:
    case path_call::exchange:
      io_uring_prep_renameat(raw(entry), AT_FDCWD, path().c_str(), AT_FDCWD, second().c_str(), rename_flags(call_));
      break;
    case path_call::link:
      io_uring_prep_linkat(raw(entry), AT_FDCWD, path().c_str(), AT_FDCWD, second().c_str(), 0);
      break;
    case path_call::symlink:
      io_uring_prep_symlinkat(raw(entry), path().c_str(), AT_FDCWD, second().c_str());
      break;
    case path_call::unlink:
      io_uring_prep_unlinkat(raw(entry), AT_FDCWD, path().c_str(), 0);
      break;
    case path_call::remove_directory:
      io_uring_prep_unlinkat(raw(entry), AT_FDCWD, path().c_str(), AT_REMOVEDIR);
      break;
    case path_call::make_directory:
      io_uring_prep_mkdirat(raw(entry), AT_FDCWD, path().c_str(), permissions_);
      break;
    case path_call::sync_directory:
      break;  // it comes to no ring
  }
}

int path_operation::attempt() noexcept {
  switch (call_) {
    case path_call::rename:
    case path_call::rename_new:
    case path_call::exchange:
      return system_calls::outcome(
          ::renameat2(AT_FDCWD, path().c_str(), AT_FDCWD, second().c_str(), rename_flags(call_)));
    case path_call::link:
      return system_calls::outcome(::link(path().c_str(), second().c_str()));
    case path_call::symlink:
      return system_calls::outcome(::symlink(path().c_str(), second().c_str()));
    case path_call::unlink:
      return system_calls::outcome(::unlink(path().c_str()));
    case path_call::remove_directory:
      return system_calls::outcome(::rmdir(path().c_str()));
    case path_call::make_directory:
      return system_calls::outcome(::mkdir(path().c_str(), permissions_));
    case path_call::sync_directory:
      return sync_directory(path().c_str());
  }
  return -EINVAL;
}

int path_operation::simulate(simulated_kernel& kernel) noexcept {
  switch (call_) {
    case path_call::rename:
      return kernel.disk().rename(path(), second(), true);
    case path_call::rename_new:
      return kernel.disk().rename(path(), second(), false);
    case path_call::unlink:
      return kernel.disk().unlink(path());
    case path_call::sync_directory:
      return kernel.disk().sync_directory(path());
    default:
      return -ENOTSUP;
  }
}

}  // namespace weir::detail
