#include "send.hpp"

#include <sys/socket.h>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

void send_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_send(raw(entry), fd(), from_.data(), transfer_size(from_.size()), MSG_NOSIGNAL);
}

int send_operation::attempt() noexcept {
  return system_calls::outcome(::send(fd(), from_.data(), transfer_size(from_.size()), MSG_DONTWAIT | MSG_NOSIGNAL));
}

int send_operation::simulate(simulated_kernel& kernel) noexcept {
  const std::span<const std::byte> from = from_.first(transfer_size(from_.size()));
  return kernel.ask(fd(), [&](auto& socket) { return socket.send(from); });
}

bool send_operation::goes_on(int result) noexcept {
  target()->set_bytes_written(static_cast<std::size_t>(result));
  return false;
}

std::span<const std::byte> send_all_leaf::rest() const noexcept { return from_.subspan(done_); }

// Short sends are normal, and MSG_WAITALL loses count of them when it is cancelled on older kernels: a loop of our own.
void send_all_leaf::prepare(ring_entry& entry) noexcept {
  io_uring_prep_send(raw(entry), fd(), rest().data(), transfer_size(rest().size()), MSG_NOSIGNAL);
}

int send_all_leaf::attempt() noexcept {
  return system_calls::outcome(::send(fd(), rest().data(), transfer_size(rest().size()), MSG_DONTWAIT | MSG_NOSIGNAL));
}

int send_all_leaf::simulate(simulated_kernel& kernel) noexcept {
  return kernel.ask(fd(), [&](auto& socket) { return socket.send(rest().first(transfer_size(rest().size()))); });
}

bool send_all_leaf::goes_on(int result) noexcept {
  done_ += static_cast<std::size_t>(result);
  target()->set_bytes_written(done_);
  return done_ < from_.size();
}

}  // namespace weir::detail
