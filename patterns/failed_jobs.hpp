#pragma once

#include <utility>

namespace weir {

/// Tells a pool what to do with jobs that have failed for good, beside telling whoever submitted them: dead letters.
///
///     auto keep = [&](const order& job, const std::exception_ptr& why) { dead.push(job, why); };
///     weir::worker_pool pool{charge, {.workers = 8}, weir::failed_jobs(keep), retry};
///
/// `call(arguments..., error)` returns nothing or a task<>, which the worker awaits; only then the ticket completes.
/// It is called for each job that a worker has taken and that threw, timed out or had expired, after all middleware;
/// not for jobs that were cancelled. What it throws goes to runtime_options::on_error. The arguments are those that the
/// job was submitted with: the pool's function gets copies, or references.
template <class Call>
class failed_jobs {
 public:
  explicit failed_jobs(Call calls) : call(std::move(calls)) {}

  Call call;
};

namespace detail {

template <class>
inline constexpr bool is_failed_jobs = false;
template <class Call>
inline constexpr bool is_failed_jobs<failed_jobs<Call>> = true;

}  // namespace detail
}  // namespace weir
