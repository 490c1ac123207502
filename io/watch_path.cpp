#include "watch_path.hpp"

#include <sys/inotify.h>

#include <array>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "../runtime/offload.hpp"
#include "detail/watched_tree.hpp"
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

constexpr std::uint32_t names_come_and_go = IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO;

bool is_wanted(path_change change, path_change wanted) noexcept {
  return change >= path_change::self_moved || (wanted & change) == change;
}

std::uint32_t native(path_change wanted) noexcept {
  std::uint32_t events = IN_MOVE_SELF | IN_DELETE_SELF;
  for (const meaning& one : meanings) {
    if ((wanted & one.change) == one.change) events |= one.native & IN_ALL_EVENTS;
  }
  return events;
}

std::optional<path_event> translated(const detail::inotify_events::event& event, std::string name) {
  for (const meaning& one : meanings) {
    if ((event.mask & one.native) == 0) continue;
    return path_event{.change = one.change,
                      .name = std::move(name),
                      .is_directory = (event.mask & IN_ISDIR) != 0,
                      .move = event.cookie};
  }
  return std::nullopt;
}

/// As inotify_events::take().
int take_batch(const detail::inotify_watch& watched, detail::inotify_events& events) {
  const int size = events.take(watched.get().number());
  if (size < 0 && size != -EAGAIN) {
    throw std::system_error(-size, std::generic_category(), "read events of " + watched.get().name());
  }
  return size;
}

async_generator<path_event> events_of(detail::inotify_watch watched) {
  detail::inotify_events events;
  for (;;) {
    co_await detail::readiness_operation::readable(&watched.get());
    static_cast<void>(take_batch(watched, events));
    while (const std::optional<detail::inotify_events::event> next = events.next()) {
      if (std::optional<path_event> event = translated(*next, std::string(next->name))) co_yield std::move(*event);
      if ((next->mask & IN_IGNORED) != 0) co_return;
    }
  }
}

/// `entries` have come with a directory that was not watched before.
std::vector<path_event> as_created(std::vector<detail::watched_tree::found> entries) {
  std::vector<path_event> all;
  all.reserve(entries.size());
  for (detail::watched_tree::found& one : entries) {
    all.push_back({.change = path_change::created, .name = std::move(one.path), .is_directory = one.is_directory});
  }
  return all;
}

async_generator<path_event> events_below(detail::inotify_watch watched, detail::watched_tree tree, path_change wanted) {
  detail::inotify_events events;
  for (;;) {
    if (take_batch(watched, events) == -EAGAIN) {
      // Half of a renaming whose other half does not follow at once has led out of the tree.
      tree.forget_moved();
      co_await detail::readiness_operation::readable(&watched.get());
      continue;
    }
    while (const std::optional<detail::inotify_events::event> next = events.next()) {
      if (!tree.awaits(next->cookie)) tree.forget_moved();
      const std::optional<std::string> path = tree.path_of(next->watch, next->name);
      const bool of_root = tree.is_root(next->watch);
      const bool overflow = (next->mask & IN_Q_OVERFLOW) != 0;
      if (!path && !overflow) continue;  // of a directory that is not the tree's any more
      std::optional<path_event> event = translated(*next, path.value_or(std::string()));
      // Of a directory below, what happens to itself is told by the one above it.
      const bool told_above = next->name.empty() && !of_root && !overflow;
      const bool ends = of_root && (next->mask & (IN_IGNORED | IN_MOVE_SELF)) != 0;
      std::vector<path_event> more;
      if ((next->mask & IN_ISDIR) != 0 && (next->mask & names_come_and_go) != 0) {
        if ((next->mask & IN_MOVED_FROM) != 0) {
          tree.move_from(*path, next->cookie);
        } else if ((next->mask & IN_CREATE) != 0 || !tree.move_to(*path, next->cookie)) {
          const auto look = [&tree, &path] { return tree.add(*path); };
          more = as_created(co_await offload(look));
        }
      }
      if ((next->mask & IN_IGNORED) != 0) tree.forget(next->watch);
      if (overflow) {
        const auto look = [&tree] { return tree.add({}); };
        static_cast<void>(co_await offload(look));
      }
      if (event && !told_above && is_wanted(event->change, wanted)) co_yield std::move(*event);
      if (!is_wanted(path_change::created, wanted)) more.clear();
      for (path_event& found : more) co_yield std::move(found);
      if (ends) co_return;
    }
  }
}

}  // namespace

task<async_generator<path_event>> watch_path(std::string path, path_change wanted, watch_options options) {
  if (!options.recursive) {
    detail::inotify_watch watched = co_await detail::watch_path_operation(std::move(path), native(wanted));
    co_return events_of(std::move(watched));
  }
  const std::uint32_t events = native(wanted) | names_come_and_go;
  detail::inotify_watch watched = co_await detail::watch_path_operation(path, events);
  detail::watched_tree tree(watched.get().number(), std::move(path), events);
  const auto look = [&tree] { return tree.add({}); };
  static_cast<void>(co_await offload(look));
  co_return events_below(std::move(watched), std::move(tree), wanted);
}

}  // namespace weir
