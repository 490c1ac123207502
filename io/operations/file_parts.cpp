#include "file_parts.hpp"

#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "../detail/direct_access.hpp"
#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

namespace {

template <class Part>
const iovec* native(const Part* parts) noexcept {
  static_assert(sizeof(Part) == sizeof(iovec) && offsetof(Part, data) == offsetof(iovec, iov_base) &&
                offsetof(Part, size) == offsetof(iovec, iov_len));
  return reinterpret_cast<const iovec*>(parts);
}

}  // namespace

template <class Byte>
file_parts_leaf<Byte>::file_parts_leaf(descriptor* target, file_access how, std::span<const part> parts,
                                       std::uint64_t offset) noexcept
    : blocking_io_leaf(target), parts_(parts), offset_(offset), how_(how) {
  for (const part& one : parts) size_ += one.size();
}

template <class Byte>
bool file_parts_leaf<Byte>::begin_transfer(const await_context& context) noexcept {
  if (size_ == 0) return finish_empty(context);
  if (const int refused = refusal_of_place(how_, offset_); refused != 0) {
    set_result(refused);
    return true;
  }
  look_whether_direct();
  gather();
  return try_io(context);
}

/// Fills the window with what comes next.
template <class Byte>
void file_parts_leaf<Byte>::gather() noexcept {
  count_ = 0;
  std::size_t skipped = in_first_;
  for (const part& one : parts_) {
    const part rest = one.subspan(skipped);
    skipped = 0;
    if (rest.empty()) continue;
    // The kernel does not write where it is asked to read from.
    window_[count_++] = {const_cast<std::byte*>(rest.data()), rest.size()};
    if (count_ == most_parts) break;
  }
}

template <class Byte>
bool file_parts_leaf<Byte>::note(std::size_t moved) noexcept {
  constexpr bool writes = std::is_const_v<Byte>;
  done_ += moved;
  if (how_ == file_access::own_position) target()->position().fetch_add(moved, std::memory_order_relaxed);
  if (how_ == file_access::at_offset) offset_ += moved;
  if (is_sequential(how_)) {
    if constexpr (writes) {
      target()->set_bytes_written(done_);
    } else {
      target()->set_bytes_read(done_);
    }
  }
  if (moved == 0) keep_name();  // for failed()
  // A device that takes nothing and reports no error would be asked for ever.
  if (moved == 0 || done_ == size_) return false;
  in_first_ += moved;
  while (in_first_ >= parts_.front().size()) {
    in_first_ -= parts_.front().size();
    parts_ = parts_.subspan(1);
  }
  gather();
  return true;
}

template <class Byte>
void file_parts_leaf<Byte>::prepare(ring_entry& entry) noexcept {
  if (how_ == file_access::own_position) offset_ = target()->position().load(std::memory_order_relaxed);
  const std::uint64_t offset = has_offset(how_) ? offset_ : std::numeric_limits<std::uint64_t>::max();
  if constexpr (std::is_const_v<Byte>) {
    io_uring_prep_writev(raw(entry), fd(), native(window_.data()), count_, offset);
  } else {
    io_uring_prep_readv(raw(entry), fd(), native(window_.data()), count_, offset);
  }
}

template <class Byte>
int file_parts_leaf<Byte>::attempt() noexcept {
  if (how_ == file_access::own_position) offset_ = target()->position().load(std::memory_order_relaxed);
  const auto count = static_cast<int>(count_);
  const auto offset = static_cast<off_t>(offset_);
  ssize_t moved = 0;
  if constexpr (std::is_const_v<Byte>) {
    // Of a stream that must not be waited for, one after another.
    if (how_ == file_access::shared_stream) {
      return write_file(fd(), how_, front().data(), transfer_size(front().size()), 0);
    }
    moved = has_offset(how_) ? ::pwritev(fd(), native(window_.data()), count, offset)
                             : ::writev(fd(), native(window_.data()), count);
  } else {
    if (how_ == file_access::shared_stream) {
      return read_file(fd(), how_, front().data(), transfer_size(front().size()), 0);
    }
    moved = has_offset(how_) ? ::preadv(fd(), native(window_.data()), count, offset)
                             : ::readv(fd(), native(window_.data()), count);
  }
  return system_calls::outcome(moved);
}

template <class Byte>
int file_parts_leaf<Byte>::simulate(simulated_kernel& kernel) noexcept {
  if (how_ == file_access::own_position) offset_ = target()->position().load(std::memory_order_relaxed);
  const part some = front().first(transfer_size(front().size()));
  if constexpr (std::is_const_v<Byte>) {
    return kernel.disk().write(fd(), how_, some, offset_);
  } else {
    return kernel.disk().read(fd(), how_, some, offset_);
  }
}

template <class Byte>
readiness file_parts_leaf<Byte>::needs() const noexcept {
  if (!is_stream(how_)) return readiness::blocking;
  return std::is_const_v<Byte> ? readiness::output : readiness::input;
}

template <class Byte>
io_use file_parts_leaf<Byte>::use() const noexcept {
  if (!is_sequential(how_)) return io_use::other;
  return std::is_const_v<Byte> ? io_use::writing : io_use::reading;
}

template <class Byte>
failure file_parts_leaf<Byte>::failure_of_transfer(const char* verb) const {
  if (result() >= 0) return {};
  if (result() != -EINVAL || !is_direct()) return failure_of(verb);
  const auto odd = [](const native_part& one) { return is_misaligned(one.data, one.size); };
  const auto begin = window_.begin();
  const auto end = begin + count_;
  const auto found = std::find_if(begin, end, odd);
  const native_part& shown = found != end ? *found : *begin;
  return direct_failure(verb, object(), shown.data, shown.size, offset_);
}

template class file_parts_leaf<std::byte>;
template class file_parts_leaf<const std::byte>;

failure file_write_all_parts_operation::failed() const {
  if (result() < 0) return failure_of_transfer(verb);
  if (done() == size()) return {};
  return {std::make_error_code(std::errc::io_error),
          fmt::format("write_all {} after {} of {} bytes", object(), done(), size())};
}

}  // namespace weir::detail
