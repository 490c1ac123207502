#pragma once

#include <exception>
#include <utility>

#include "../task.hpp"
#include "group_core.hpp"

namespace weir::detail {

/// A strand that stands in the frame of who awaits it, with its result: a child of when_all and when_any.
template <class T>
class embedded_strand final : public strand {
 public:
  explicit embedded_strand(task<T>&& body) noexcept : body_(std::move(body)) {}
  embedded_strand(embedded_strand&& other) noexcept : strand(), body_(std::move(other.body_)) {}

  [[nodiscard]] promise_base& root() noexcept override {
    if (!body_) fatal("weir: when_all/when_any of a task that was moved from or already awaited");
    return body_.root();
  }
  [[nodiscard]] bool ended() const noexcept { return ended_; }
  T take() { return body_.resume(); }
  result<T> take_result() noexcept { return body_.resume_result(); }

 private:
  std::exception_ptr harvest() noexcept override {
    ended_ = true;
    return body_.exception();
  }
  void harvest_stopped() noexcept override {}
  void release() noexcept override {
    if (!ended_ || failure_kept()) return;
    if (const std::exception_ptr exception = body_.exception()) report_unobserved(exception);
  }

  task<T> body_;
  bool ended_ = false;  // by return or throw: there is something to take
};

}  // namespace weir::detail
