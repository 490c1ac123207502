#include "receive_lease.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "../../runtime/detail/worker.hpp"
#include "../detail/io_reactor.hpp"
#include "../detail/lease_pool.hpp"
#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

namespace {

// What the ring says when it has no buffer to choose, and the other forms when the pool has none.
constexpr int out_of_buffers = -ENOBUFS;

}  // namespace

bool receive_lease_operation::ready(const await_context& context) noexcept {
  pool_ = io_reactor::here().leases();
  if (!pool_) {
    if (context.env->is_stopped()) return false;
    set_result(-ENOMEM);
    return true;
  }
  return try_io(context);
}

bool receive_lease_operation::has_buffer() noexcept {
  if (!buffer_) buffer_ = pool_->take();
  return static_cast<bool>(buffer_);
}

int receive_lease_operation::keep_if_filled(int result) noexcept {
  if (result <= 0) buffer_.reset();
  return result;
}

// The kernel chooses where it can. Otherwise the operation waits until there is something to read, and has a buffer
// from then on: one that was free, or for which it has waited.
void receive_lease_operation::prepare(ring_entry& entry) noexcept {
  io_uring_sqe& sqe = *raw(entry);
  const auto size = transfer_size(pool_->size());
  chosen_ = false;
  if (buffer_) {
    form_ = form::filled;
    io_uring_prep_recv(&sqe, fd(), buffer_.data(), size, MSG_DONTWAIT);
  } else if (!poll_first_ && pool_->ring_has_some()) {
    form_ = form::chosen;
    io_uring_prep_recv(&sqe, fd(), nullptr, size, 0);
    sqe.flags |= IOSQE_BUFFER_SELECT;
    sqe.buf_group = lease_pool::ring_group;
  } else {
    form_ = form::poll;
    io_uring_prep_poll_add(&sqe, fd(), POLLIN);
  }
}

int receive_lease_operation::attempt() noexcept {
  if (!has_buffer()) return out_of_buffers;
  const auto size = transfer_size(pool_->size());
  return keep_if_filled(system_calls::outcome(::recv(fd(), buffer_.data(), size, MSG_DONTWAIT)));
}

int receive_lease_operation::simulate(simulated_kernel& kernel) noexcept {
  if (!has_buffer()) return out_of_buffers;
  const std::span<std::byte> into(buffer_.data(), transfer_size(pool_->size()));
  return keep_if_filled(kernel.ask(fd(), [&](auto& socket) { return socket.receive(into); }));
}

bool receive_lease_operation::drained(int result) const noexcept {
  return result < static_cast<int>(transfer_size(pool_->size())) && target()->short_means_drained();
}

bool receive_lease_operation::goes_on(int result) noexcept {
  target()->set_bytes_read(static_cast<std::size_t>(result));
  if (result > 0) pool_->note_lease(chosen_);
  return false;
}

bool receive_lease_operation::try_again(int result) noexcept { return result == out_of_buffers; }

void receive_lease_operation::buffer_chosen(unsigned index) noexcept {
  buffer_ = pool_->taken_from_ring(index);
  chosen_ = true;
}

void receive_lease_operation::ask_again() noexcept {
  where = place::nowhere;
  submit();
}

bool receive_lease_operation::intercept(int& result, bool ending) noexcept {
  const form asked = std::exchange(form_, form::other);
  if (asked == form::poll && result >= 0) {
    poll_first_ = false;
    result = has_buffer() ? -EAGAIN : out_of_buffers;
  } else if (asked == form::filled && result == -EAGAIN) {
    poll_first_ = true;
    buffer_.reset();
  } else if (result <= 0) {
    buffer_.reset();
  }
  if (result != -EAGAIN && result != out_of_buffers) return false;
  if (ending) {
    buffer_.reset();
    result = -ECANCELED;
    return false;
  }
  // The ring may have run out in the middle of what has completed together, and have some again by now.
  if (asked == form::chosen) pool_->ring_ran_out();
  if (result == -EAGAIN || pool_->ring_has_some()) {
    ask_again();
    return true;
  }
  where = place::elsewhere;
  pool_->wait_for_buffer(*this);
  return true;
}

void receive_lease_operation::go_on_with(lease buffer) noexcept {
  buffer_ = std::move(buffer);
  ask_again();
}

void receive_lease_operation::come_back() noexcept {
  pool_->stop_waiting(*this);
  ask_again();
}

std::optional<lease> receive_lease_operation::value() noexcept {
  if (result() == 0) return std::nullopt;
  buffer_.size_ = static_cast<std::uint32_t>(result());
  return std::move(buffer_);
}

}  // namespace weir::detail
