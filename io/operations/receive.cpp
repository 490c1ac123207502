#include "receive.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

void receive_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_recv(raw(entry), fd(), into_.data(), transfer_size(into_.size()), 0);
}

int receive_operation::attempt() noexcept {
  return system_calls::outcome(::recv(fd(), into_.data(), transfer_size(into_.size()), MSG_DONTWAIT));
}

int receive_operation::simulate(simulated_kernel& kernel) noexcept {
  const std::span<std::byte> into = into_.first(transfer_size(into_.size()));
  return kernel.ask(fd(), [&](auto& socket) { return socket.receive(into); });
}

bool receive_operation::goes_on(int result) noexcept {
  target()->set_bytes_read(static_cast<std::size_t>(result));
  return false;
}

void receive_exactly_operation::prepare(ring_entry& entry) noexcept {
  const std::span<std::byte> rest = into_.subspan(done_);
  io_uring_prep_recv(raw(entry), fd(), rest.data(), transfer_size(rest.size()), 0);
}

int receive_exactly_operation::attempt() noexcept {
  const std::span<std::byte> rest = into_.subspan(done_);
  return system_calls::outcome(::recv(fd(), rest.data(), transfer_size(rest.size()), MSG_DONTWAIT));
}

int receive_exactly_operation::simulate(simulated_kernel& kernel) noexcept {
  const std::span<std::byte> rest = into_.subspan(done_);
  return kernel.ask(fd(), [&](auto& socket) { return socket.receive(rest.first(transfer_size(rest.size()))); });
}

bool receive_exactly_operation::goes_on(int result) noexcept {
  done_ += static_cast<std::size_t>(result);
  target()->set_bytes_read(done_);
  if (result == 0) keep_name();  // for failed()
  return result != 0 && done_ < into_.size();
}

failure receive_exactly_operation::failed() const {
  if (result() < 0) return failure_of(verb);
  if (done_ == into_.size()) return {};
  return {make_error_code(errc::end_of_stream),
          fmt::format("read_exactly {} after {} of {} bytes", object(), done_, into_.size())};
}

}  // namespace weir::detail
