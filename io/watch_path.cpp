#include "watch_path.hpp"

#include <sys/inotify.h>

#include <array>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include "operations/poll.hpp"
#include "operations/watch_path.hpp"

namespace weir {

namespace {

struct meaning {
  path_change change;
  std::uint32_t native;
};
constexpr std::array meanings = {
    meaning{path_change::created, IN_CREATE},
    meaning{path_change::removed, IN_DELETE},
    meaning{path_change::moved_from, IN_MOVED_FROM},
    meaning{path_change::moved_to, IN_MOVED_TO},
    meaning{path_change::modified, IN_MODIFY},
    meaning{path_change::written, IN_CLOSE_WRITE},
    meaning{path_change::attributes, IN_ATTRIB},
    meaning{path_change::self_moved, IN_MOVE_SELF},
    meaning{path_change::self_removed, IN_DELETE_SELF | IN_UNMOUNT},
    meaning{path_change::overflow, IN_Q_OVERFLOW},
};

std::uint32_t native(path_change wanted) noexcept {
  std::uint32_t events = IN_MOVE_SELF | IN_DELETE_SELF;
  for (const meaning& one : meanings) {
    if ((wanted & one.change) == one.change) events |= one.native & IN_ALL_EVENTS;
  }
  return events;
}

std::optional<path_event> translated(const detail::inotify_events::event& event) {
  for (const meaning& one : meanings) {
    if ((event.mask & one.native) == 0) continue;
    return path_event{.change = one.change,
                      .name = std::string(event.name),
                      .is_directory = (event.mask & IN_ISDIR) != 0,
                      .move = event.cookie};
  }
  return std::nullopt;
}

async_generator<path_event> events_of(detail::inotify_watch watched) {
  detail::inotify_events events;
  for (;;) {
    co_await detail::readiness_operation::readable(&watched.get());
    const int size = events.take(watched.get().number());
    if (size < 0 && size != -EAGAIN) {
      throw std::system_error(-size, std::generic_category(), "read events of " + watched.get().name());
    }
    while (const std::optional<detail::inotify_events::event> next = events.next()) {
      if (std::optional<path_event> event = translated(*next)) co_yield std::move(*event);
      if ((next->mask & IN_IGNORED) != 0) co_return;
    }
  }
}

}  // namespace

task<async_generator<path_event>> watch_path(std::string path, path_change wanted) {
  detail::inotify_watch watched = co_await detail::watch_path_operation(std::move(path), native(wanted));
  co_return events_of(std::move(watched));
}

}  // namespace weir
