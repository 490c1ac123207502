#pragma once

#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"

namespace weir {

namespace detail {
struct no_close {};
}  // namespace detail

/// Gives each worker of a pool something of its own, which it hands to every job: a connection, a parser, a buffer.
///
///     weir::worker_pool pool{query, {.workers = 4}, weir::worker_state(open_connection, close_connection)};
///     // with weir::task<row> query(connection& mine, int key); and pool.submit(key)
///
/// `open()` returns it, or a task of it, and is called when the worker starts. `close(state)`, if there is one, returns
/// nothing or a task<>; it runs when the worker ends, however that comes, shielded from what stopped it, for at most
/// options.close_limit. Then the state is destroyed.
///
/// A worker that cannot open its state ends, and stats() counts that. The others go on, and from
/// options.reopen_after on the next submit() replaces it. When it was the last one, all jobs that wait fail with its
/// error, and the next submit() tries again: a pool that cannot work says so to whoever asks, and loses no time.
template <class Open, class Close = detail::no_close>
class worker_state {
 public:
  explicit worker_state(Open opens, Close closes = {}) : open(std::move(opens)), close(std::move(closes)) {}

  Open open;
  Close close;
};

namespace detail {

template <class>
inline constexpr bool is_worker_state = false;
template <class Open, class Close>
inline constexpr bool is_worker_state<worker_state<Open, Close>> = true;

}  // namespace detail
}  // namespace weir
