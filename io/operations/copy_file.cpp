#include "copy_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <cerrno>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

namespace {

/// Where a file stands, as these calls take it: null for the position that the kernel keeps.
class offset_of {
 public:
  explicit offset_of(const copy_end& of) noexcept : ours_(of.how == file_access::own_position) {
    if (ours_) offset_ = static_cast<off_t>(of.target->position().load(std::memory_order_relaxed));
  }
  [[nodiscard]] off_t* get() noexcept { return ours_ ? &offset_ : nullptr; }

 private:
  bool ours_;
  off_t offset_ = 0;
};

}  // namespace

// There is no ring form: see ring_opcode(). IORING_OP_SPLICE, the nearest, runs on a thread of the kernel's as this
// does on one of the pool's, but in pieces of a pipe's size.
void copy_file_operation::prepare(ring_entry& entry) noexcept { io_uring_prep_nop(raw(entry)); }

int copy_file_operation::attempt() noexcept {
  offset_of in(from_);
  offset_of out(to_);
  ssize_t moved = 0;
  switch (to_.what) {
    case copy_end::kind::file:
      moved = ::copy_file_range(fd(), in.get(), to_.target->number(), out.get(), most(), 0);
      break;
    case copy_end::kind::stream:
      // Some kernels' sendfile() waits for room in a pipe all the same.
      moved = ::splice(fd(), in.get(), to_.target->number(), nullptr, most(), SPLICE_F_NONBLOCK);
      break;
    case copy_end::kind::socket:
      moved = ::sendfile(to_.target->number(), fd(), in.get(), most());
      break;
    case copy_end::kind::other:
      return -EINVAL;
  }
  const int result = system_calls::outcome(moved);
  full_ = result == -EAGAIN;
  return full_ ? 0 : result;
}

bool copy_file_operation::goes_on(int result) noexcept {
  const auto moved = static_cast<std::size_t>(result);
  if (from_.how == file_access::own_position) target()->position().fetch_add(moved, std::memory_order_relaxed);
  if (to_.what == copy_end::kind::file && to_.how == file_access::own_position) {
    to_.target->position().fetch_add(moved, std::memory_order_relaxed);
  }
  target()->set_bytes_read(moved);
  to_.target->set_bytes_written(moved);
  return false;
}

failure copy_file_operation::failed() const {
  if (result() >= 0) return {};
  if (result() == -EBUSY || result() == -ECANCELED) return failure_of("read");
  return {std::error_code(-result(), std::generic_category()),
          fmt::format("copy {} to {}", object(), to_.target->name())};
}

}  // namespace weir::detail
