#include "file_read.hpp"

#include <cerrno>
#include <limits>

#include "../detail/direct_access.hpp"
#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"

namespace weir::detail {

bool file_read_operation::ready(const await_context& context) noexcept {
  if (into_.empty()) return finish_empty(context);
  if (const int refused = refusal_of_place(how_, offset_); refused != 0) {
    set_result(refused);
    return true;
  }
  look_whether_direct();
  return try_io(context);
}

failure file_read_operation::failed() const {
  if (result() != -EINVAL || !is_direct()) return result() >= 0 ? failure() : failure_of(verb);
  return direct_failure(verb, object(), into_.data(), into_.size(), offset_);
}

void file_read_operation::prepare(ring_entry& entry) noexcept {
  if (how_ == file_access::own_position) offset_ = target()->position().load(std::memory_order_relaxed);
  io_uring_prep_read(raw(entry), fd(), into_.data(), transfer_size(into_.size()),
                     has_offset(how_) ? offset_ : std::numeric_limits<std::uint64_t>::max());
}

int file_read_operation::attempt() noexcept {
  if (how_ == file_access::own_position) offset_ = target()->position().load(std::memory_order_relaxed);
  return read_file(fd(), how_, into_.data(), transfer_size(into_.size()), offset_);
}

int file_read_operation::simulate(simulated_kernel& kernel) noexcept {
  if (how_ == file_access::own_position) offset_ = target()->position().load(std::memory_order_relaxed);
  return kernel.disk().read(fd(), how_, into_.first(transfer_size(into_.size())), offset_);
}

bool file_read_operation::goes_on(int result) noexcept {
  const auto moved = static_cast<std::size_t>(result);
  if (how_ == file_access::own_position) target()->position().fetch_add(moved, std::memory_order_relaxed);
  if (is_sequential(how_)) target()->set_bytes_read(moved);
  return false;
}

}  // namespace weir::detail
