#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <utility>

#include "../../sync/make_channel.hpp"
#include "../job_result.hpp"
#include "pool_job.hpp"
#include "worker_pool_core.hpp"

namespace weir::detail {

/// A pool as whoever submits sees it: what jobs take and return, but not what they do.
template <class R, class... Args>
class pool_jobs : public worker_pool_core {
 public:
  using record = pool_record<R, Args...>;
  using worker_pool_core::worker_pool_core;

  receiver<job_result<R>> results() {
    if (this->has_started()) throw std::logic_error("weir::worker_pool: results() comes before the first job");
    if (stream_) throw std::logic_error("weir::worker_pool: results() is called once; receivers can be copied");
    auto ends = make_channel<job_result<R>>(unbounded);
    stream_.emplace(std::move(ends.tx));
    this->track_each();
    return std::move(ends.rx);
  }

 protected:
  void finish(record& job, std::size_t worker, duration took) noexcept {
    job.arguments.reset();
    if (stream_) {
      job_result<R> told{job.id, worker, took, job.take_result()};
      job.ending = job_ending::streamed;
      stream_->try_send(std::move(told));  // refused when nobody reads any more
    }
    if (job.ended.happen()) delete &job;
  }

 private:
  void settle(pool_job& job) noexcept final { finish(static_cast<record&>(job), job_result<R>::nobody, {}); }
  void on_ended() noexcept final {
    if (stream_) stream_->close();
  }

  std::optional<sender<job_result<R>>> stream_;  // before the first job
};

}  // namespace weir::detail
