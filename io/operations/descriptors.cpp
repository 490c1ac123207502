#include "descriptors.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

namespace {

msghdr* message_at(void* header) noexcept { return std::launder(static_cast<msghdr*>(header)); }

constexpr std::size_t most_at_once = 253;  // SCM_MAX_FD of the kernel

/// Exactly so much that no descriptor more has room: the kernel would use what alignment adds.
constexpr std::size_t control_size(std::size_t count) noexcept {
  return count == 0 ? 0 : CMSG_LEN(count * sizeof(int));
}

/// The only ones that get ENOTSUP: the kernel has no such answer to them.
failure not_simulated(const char* verb, const std::string& object) {
  return {std::error_code(ENOTSUP, std::generic_category()),
          fmt::format("{} {}: descriptors are not passed on in a simulation", verb, object)};
}

}  // namespace

// ---- receive

receive_descriptors_operation::~receive_descriptors_operation() {
  for (std::size_t i = 0; i < count_; ++i) system_calls::close(numbers_[i]);
}

bool receive_descriptors_operation::ready(const await_context& context) noexcept {
  if (context.env->is_stopped()) return false;
  if (use_ == io_use::reading && into_.empty()) return finish_empty(context);
  const std::size_t most = std::min(most_, most_at_once);
  if (most != 0) {
    numbers_.reset(new (std::nothrow) int[most]);
    control_.reset(new (std::nothrow) std::byte[CMSG_SPACE(most * sizeof(int))]);
    if (!numbers_ || !control_) {
      set_result(-ENOMEM);
      return true;
    }
  }
  return try_io(context);
}

void* receive_descriptors_operation::header() noexcept {
  return header_.begin(into_, {}, {control_.get(), control_size(std::min(most_, most_at_once))});
}

int receive_descriptors_operation::flags() const noexcept {
  return MSG_CMSG_CLOEXEC | (use_ == io_use::reading ? 0 : MSG_TRUNC);
}

void receive_descriptors_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_recvmsg(raw(entry), fd(), message_at(header()), static_cast<unsigned>(flags()));
}

int receive_descriptors_operation::attempt() noexcept {
  return system_calls::outcome(::recvmsg(fd(), message_at(header()), flags() | MSG_DONTWAIT));
}

bool receive_descriptors_operation::goes_on(int result) noexcept {
  if (use_ == io_use::reading) target()->set_bytes_read(static_cast<std::size_t>(result));
  msghdr& told = *message_at(header_.get());
  truncated_ = (told.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&told); part; part = CMSG_NXTHDR(&told, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t size = part->cmsg_len - CMSG_LEN(0);
    std::memcpy(&numbers_[count_], CMSG_DATA(part), size);
    count_ += size / sizeof(int);
  }
  if (truncated_) keep_name();  // for failed()
  return false;
}

failure receive_descriptors_operation::failed() const {
  if (result() == -ENOTSUP) return not_simulated(verb, object());
  if (result() < 0) return failure_of(verb);
  if (!truncated_) return {};
  // Those that the kernel did not hand over it has closed.
  const bool too_many = count_ == std::min(most_, most_at_once);
  const std::string why = too_many ? fmt::format("more than {} came", most_) : "there is no room for all that came";
  return {std::error_code(too_many ? EMSGSIZE : EMFILE, std::generic_category()),
          fmt::format("{} {}: {}", verb, object(), why)};
}

received_descriptors receive_descriptors_operation::value() {
  const auto size = static_cast<std::size_t>(result());
  received_descriptors all{.size = std::min(size, into_.size()), .sent_size = size, .descriptors = {}};
  all.descriptors.reserve(count_);
  for (std::size_t i = 0; i < count_; ++i) all.descriptors.emplace_back(numbers_[i]);
  count_ = 0;
  return all;
}

// ---- send

bool send_descriptors_operation::ready(const await_context& context) noexcept {
  if (context.env->is_stopped()) return false;
  if (bytes_.empty() || numbers_.size() > most_at_once) {
    set_result(-EINVAL);
    return true;
  }
  if (!numbers_.empty()) {
    const std::size_t room = CMSG_SPACE(numbers_.size_bytes());
    control_.reset(new (std::nothrow) std::byte[room]{});
    if (!control_) {
      set_result(-ENOMEM);
      return true;
    }
    auto* const part = new (control_.get()) cmsghdr{};
    part->cmsg_len = CMSG_LEN(numbers_.size_bytes());
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    std::memcpy(CMSG_DATA(part), numbers_.data(), numbers_.size_bytes());
  }
  return try_io(context);
}

int send_descriptors_operation::call() noexcept {
  while (done_ < bytes_.size()) {
    message_header header;
    const std::size_t control = done_ == 0 ? control_size(numbers_.size()) : 0;
    void* const rest = header.begin(bytes_.subspan(done_), {}, {control_.get(), control});
    const ssize_t n = ::sendmsg(fd(), message_at(rest), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return -errno;
    done_ += static_cast<std::size_t>(n);
    if (use_ == io_use::writing) target()->set_bytes_written(done_);
  }
  return 0;
}

failure send_descriptors_operation::failed() {
  if (!has_failed()) return {};
  if (result() == -ENOTSUP) return not_simulated(verb, object());
  if (result() != -EINVAL) return failure_of(verb);
  const char* why = "";
  if (bytes_.empty()) why = ": at least one byte has to go with them";
  if (numbers_.size() > most_at_once) why = ": at most 253 go at once";
  return {std::error_code(EINVAL, std::generic_category()), fmt::format("{} {}{}", verb, object(), why)};
}

}  // namespace weir::detail
