#include "watch_path.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "../detail/close_elsewhere.hpp"

namespace weir::detail {

watch_path_operation::~watch_path_operation() {
  if (made_ >= 0) close_elsewhere(made_);
}

int watch_path_operation::attempt() noexcept {
  const int number = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (number < 0) return -errno;
  if (::inotify_add_watch(number, path().c_str(), events_) >= 0) return number;
  const int error = errno;
  static_cast<void>(::close(number));
  return -error;
}

failure watch_path_operation::failed() const {
  if (result() >= 0) return {};
  const failure plain = failure_of(verb);
  const char* limit = nullptr;
  if (result() == -ENOSPC) limit = "no more watches: fs.inotify.max_user_watches";
  if (result() == -EMFILE) limit = "no more descriptors, or fs.inotify.max_user_instances";
  return limit ? failure(plain.code(), std::string(verb) + " " + object() + " (" + limit + ")") : plain;
}

inotify_watch watch_path_operation::value() {
  return inotify_watch(descriptor_handle(descriptor::adopt(std::exchange(made_, -1), descriptor::kind::file, path())));
}

// The kernel waits there until nobody looks at the watch any more: 16 ms, measured on Linux 6.18.
inotify_watch::~inotify_watch() {
  if (const int number = handle_.release(); number >= 0) close_elsewhere(number);
}

int inotify_events::take(int number) noexcept {
  at_ = filled_ = 0;
  ssize_t size = 0;
  do {
    size = ::read(number, batch_.get(), batch_size);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return -errno;
  filled_ = static_cast<std::size_t>(size);
  return static_cast<int>(size);
}

std::optional<inotify_events::event> inotify_events::next() noexcept {
  if (at_ == filled_) return std::nullopt;
  inotify_event header{};
  std::memcpy(&header, batch_.get() + at_, sizeof header);
  // The name is filled up with zero bytes.
  const char* const name = reinterpret_cast<const char*>(batch_.get() + at_ + sizeof header);
  at_ += sizeof header + header.len;
  return event{header.wd, header.mask, header.cookie, std::string_view(name, ::strnlen(name, header.len))};
}

}  // namespace weir::detail
