#include "file_write.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <limits>

#include "../detail/direct_access.hpp"
#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"

namespace weir::detail {

bool file_write_core::begin_write(const await_context& context) noexcept {
  if (from_.empty()) return finish_empty(context);
  if (const int refused = refusal_of_place(how_, offset_); refused != 0) {
    set_result(refused);
    return true;
  }
  look_whether_direct();
  return try_io(context);
}

void file_write_core::prepare(ring_entry& entry) noexcept {
  const std::span<const std::byte> rest = from_.subspan(done_);
  std::uint64_t offset = std::numeric_limits<std::uint64_t>::max();
  if (how_ == file_access::at_offset) offset = offset_ + done_;
  if (how_ == file_access::own_position) offset = target()->position().load(std::memory_order_relaxed);
  io_uring_prep_write(raw(entry), fd(), rest.data(), transfer_size(rest.size()), offset);
}

int file_write_core::attempt() noexcept {
  const std::span<const std::byte> rest = from_.subspan(done_);
  std::uint64_t offset = offset_ + done_;
  if (how_ == file_access::own_position) offset = target()->position().load(std::memory_order_relaxed);
  return write_file(fd(), how_, rest.data(), transfer_size(rest.size()), offset);
}

int file_write_core::simulate(simulated_kernel& kernel) noexcept {
  const std::span<const std::byte> rest = from_.subspan(done_);
  std::uint64_t offset = offset_ + done_;
  if (how_ == file_access::own_position) offset = target()->position().load(std::memory_order_relaxed);
  return kernel.disk().write(fd(), how_, rest.first(transfer_size(rest.size())), offset);
}

/// True while something is left to write.
bool file_write_core::note(int result) noexcept {
  const auto moved = static_cast<std::size_t>(result);
  done_ += moved;
  if (how_ == file_access::own_position) target()->position().fetch_add(moved, std::memory_order_relaxed);
  if (is_sequential(how_)) target()->set_bytes_written(done_);
  if (moved == 0) keep_name();  // for failed()
  // A device that takes nothing and reports no error would be asked for ever.
  return moved != 0 && done_ < from_.size();
}

failure file_write_core::failure_of_write(const char* verb) const {
  if (result() != -EINVAL || !is_direct()) return result() >= 0 ? failure() : failure_of(verb);
  const std::span<const std::byte> rest = from_.subspan(done_);
  return direct_failure(verb, object(), rest.data(), rest.size(), offset_ + done_);
}

failure file_write_all_operation::failed() const {
  if (result() < 0) return failure_of_write(verb);
  if (done() == size()) return {};
  return {std::make_error_code(std::errc::io_error),
          fmt::format("write_all {} after {} of {} bytes", object(), done(), size())};
}

}  // namespace weir::detail
