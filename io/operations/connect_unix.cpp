#include "connect_unix.hpp"

#include <fmt/format.h>

#include "../detail/system_calls.hpp"

namespace weir::detail {

bool connect_unix_leaf::ready(const await_context& context) noexcept {
  if (context.env->is_stopped()) return false;
  if (!peer_) {
    set_result(-EDESTADDRREQ);
    return true;
  }
  const int number = system_calls::make_unix_socket(type_);
  if (number < 0) {
    set_result(number);
    return true;
  }
  socket_ = unique_descriptor(number);
  return try_io(context);
}

int connect_unix_leaf::call() noexcept { return system_calls::connect(socket_.number(), peer_); }

failure connect_unix_leaf::failed_to(const char* verb) {
  if (!has_failed()) return {};
  if (result() != -EAGAIN) return failure_of(verb);
  return {std::error_code(EAGAIN, std::generic_category()),
          fmt::format("{} {}: its queue of connections is full", verb, peer_)};
}

descriptor_handle connect_unix_leaf::take() {
  std::string name = peer_.to_string();
  return descriptor_handle(descriptor::adopt(socket_.release(), descriptor::kind::socket, std::move(name)));
}

}  // namespace weir::detail
