#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "../runtime/detail/invoke.hpp"
#include "../runtime/task.hpp"
#include "../runtime/task_group.hpp"
#include "worker_pool.hpp"

namespace weir {
namespace detail {

template <class Pool, class Body>
using pool_body_result_t = typename std::invoke_result_t<std::decay_t<Body>&, Pool&>::value_type;

template <class Body, class Pool>
concept pool_body =
    std::invocable<std::decay_t<Body>&, Pool&> && is_task<std::invoke_result_t<std::decay_t<Body>&, Pool&>>;

/// `Parts` are what the pool is made of, references where they are lent.
template <class Pool, class Body, class... Parts>
task<pool_body_result_t<Pool, Body>> run_with_pool(Body body, Parts... parts) {
  using T = pool_body_result_t<Pool, Body>;
  const auto inside = [&](task_group& group) -> task<T> {
    const pool_group in{&group};
    Pool pool(in, std::forward<Parts>(parts)...);
    auto running = detail::invoke(body, pool);
    if constexpr (std::is_void_v<T>) {
      co_await std::move(running);
      co_await pool.shutdown();
    } else {
      auto&& value = co_await std::move(running);
      co_await pool.shutdown();
      co_return std::forward<T>(value);
    }
  };
  co_return co_await with_task_group(inside);
}

}  // namespace detail

/// A worker pool for as long as `body(pool)`, a function that returns a task, runs: completes with its value once all
/// jobs are done and the workers joined. So jobs may refer to whatever is around the call. (Not to the body's own
/// locals, unless the body ends with `co_await pool.shutdown()`.)
///
///     co_await weir::with_worker_pool(fetch, {.workers = 50}, [&](auto& pool) -> weir::task<> {
///       for (const auto& url : urls) (void)co_await pool.submit(url);
///     });
///
/// When `body` fails, or the calling task is cancelled, the jobs that wait are answered with `cancelled`, those that
/// run are stopped and joined, and then the failure or the stop goes on. A job that fails tells its ticket and nobody
/// else. Jobs have the caller's token and deadline. `function`, `options` and what may follow: see worker_pool.
template <class F, class Body, class... Extras>
  requires detail::pool_body<Body, worker_pool<detail::pool_signature<F, Extras...>>>
auto with_worker_pool(F&& function, const worker_pool_options& options, Body&& body, Extras&&... extras) {
  WEIR_DETAIL_REQUIRE_NAMED(F);
  WEIR_DETAIL_REQUIRE_NAMED(Body);
  using pool = worker_pool<detail::pool_signature<F, Extras...>>;
  return detail::run_with_pool<pool, std::decay_t<Body>, std::decay_t<F>, worker_pool_options, Extras...>(
      std::forward<Body>(body), std::forward<F>(function), options, std::forward<Extras>(extras)...);
}
/// The same for a pool of closures that return R.
template <class R, class Body, class... Extras>
  requires detail::pool_body<Body, worker_pool<R()>>
auto with_worker_pool(const worker_pool_options& options, Body&& body, Extras&&... extras) {
  WEIR_DETAIL_REQUIRE_NAMED(Body);
  return detail::run_with_pool<worker_pool<R()>, std::decay_t<Body>, worker_pool_options, Extras...>(
      std::forward<Body>(body), options, std::forward<Extras>(extras)...);
}

}  // namespace weir
