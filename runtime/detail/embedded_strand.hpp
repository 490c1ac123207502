#pragma once

#include <exception>
#include <utility>
#include <vector>

#include "../task.hpp"
#include "group_core.hpp"
#include "light_std.hpp"

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
  const std::exception_ptr* harvest() noexcept override {
    ended_ = true;
    return body_.thrown();
  }
  void harvest_stopped() noexcept override {}
  void release() noexcept override {
    if (!ended_ || failure_kept()) return;
    if (const std::exception_ptr* exception = body_.thrown()) report_unobserved(*exception);
  }

  task<T> body_;
  bool ended_ = false;  // by return or throw: there is something to take
};

/// A container of tasks that is given away: an rvalue, and no view of what belongs to somebody else.
template <class R>
concept range_of_tasks = std::ranges::input_range<R> && !std::is_lvalue_reference_v<R> && !std::ranges::view<R> &&
                         is_task<std::ranges::range_value_t<R>>;
template <range_of_tasks R>
using task_value_of = typename std::ranges::range_value_t<R>::value_type;

template <class T, class R>
std::vector<embedded_strand<T>> embed_all(R& tasks) {
  std::vector<embedded_strand<T>> children;
  if constexpr (std::ranges::sized_range<R>) children.reserve(std::ranges::size(tasks));
  for (task<T>& t : tasks) children.emplace_back(std::move(t));
  return children;
}

}  // namespace weir::detail
