#pragma once

#include <array>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "detail/embedded_strand.hpp"
#include "detail/function.hpp"
#include "detail/group_core.hpp"
#include "detail/light_std.hpp"
#include "detail/operation.hpp"

namespace weir {
namespace detail {

/// What stands for void in a tuple or variant of results.
template <class T>
using non_void_t = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// The part of when_all that does not depend on types. The strands are started together, the first one at once on the
/// caller's worker.
class all_core : public group_core {
 protected:
  all_core() noexcept : group_core(on_failure::cancel_all) {}
  ~all_core() = default;

  void begin(const await_context& context) noexcept;
  /// `first` runs next; the others have been added.
  std::coroutine_handle<> run(strand& first, promise_base& root) noexcept;
  [[nodiscard]] failure end() noexcept;

 private:
  promise_base* drained(optional_guard<spin_lock>& guard) noexcept final;
  [[nodiscard]] const promise_base* suspended_around() const noexcept final { return frame_; }
  /// Whether every child has a result.
  [[nodiscard]] virtual bool complete() const noexcept = 0;

  promise_base* frame_ = nullptr;
  boundary* scope_ = nullptr;
};

template <class... Ts>
class [[nodiscard]] all_operation final : public operation_base, private all_core {
 public:
  using value_type = std::tuple<non_void_t<Ts>...>;

  explicit all_operation(task<Ts>&&... tasks) : children_(std::move(tasks)...) {}
  all_operation(all_operation&& other) noexcept : operation_base(), all_core(), children_(std::move(other.children_)) {}
  ~all_operation() = default;

  bool ready(const await_context&) const noexcept { return false; }
  std::coroutine_handle<> start(const await_context& context) {
    begin(context);
    return std::apply(
        [this](auto& first, auto&... rest) {
          (add(rest, rest.root()), ...);
          return run(first, first.root());
        },
        children_);
  }
  value_type resume() {
    if (failure f = end()) f.rethrow();
    return std::apply([](auto&... child) { return value_type(take(child)...); }, children_);
  }
  result<value_type> resume_result() noexcept {
    if (failure f = end()) return f;
    return capture<value_type>(
        [this] { return std::apply([](auto&... child) { return value_type(take(child)...); }, children_); });
  }

 private:
  template <class T>
  static non_void_t<T> take(embedded_strand<T>& child) {
    if constexpr (std::is_void_v<T>) {
      child.take();
      return {};
    } else {
      return child.take();
    }
  }
  [[nodiscard]] bool complete() const noexcept override {
    return std::apply([](const auto&... child) { return (child.ended() && ...); }, children_);
  }

  std::tuple<embedded_strand<Ts>...> children_;
};

template <class T>
class [[nodiscard]] all_range_operation final : public operation_base, private all_core {
 public:
  // A vector has no references.
  using element =
      std::conditional_t<std::is_reference_v<T>, std::reference_wrapper<std::remove_reference_t<T>>, non_void_t<T>>;
  using value_type = std::conditional_t<std::is_void_v<T>, void, std::vector<element>>;

  template <class R>
  explicit all_range_operation(std::in_place_t, R& tasks) : children_(embed_all<T>(tasks)) {}
  all_range_operation(all_range_operation&& other) noexcept
      : operation_base(), all_core(), children_(std::move(other.children_)) {}
  ~all_range_operation() = default;

  bool ready(const await_context&) const noexcept { return children_.empty(); }
  std::coroutine_handle<> start(const await_context& context) {
    begin(context);
    for (std::size_t i = 1; i < children_.size(); ++i) add(children_[i], children_[i].root());
    return run(children_.front(), children_.front().root());
  }
  value_type resume() {
    if (failure f = end()) f.rethrow();
    return take();
  }
  result<value_type> resume_result() noexcept {
    if (failure f = end()) return f;
    return capture<value_type>([this] { return take(); });
  }

 private:
  value_type take() {
    if constexpr (!std::is_void_v<T>) {
      value_type values;
      values.reserve(children_.size());
      for (auto& child : children_) values.push_back(child.take());
      return values;
    }
  }
  [[nodiscard]] bool complete() const noexcept override {
    for (const auto& child : children_) {
      if (!child.ended()) return false;
    }
    return true;
  }

  std::vector<embedded_strand<T>> children_;
};

}  // namespace detail

/// Runs all operations at once, each as a strand of its own, and completes with a tuple of their values (std::monostate
/// for void) when every one has ended. The first failure cancels the others, joins them and is rethrown; later failures
/// go to runtime_options::on_error. Cancelled: all are stopped and joined. Tasks need no allocation beyond their own
/// frames, other operations get a frame each.
template <detail::operation... Ops>
  requires(sizeof...(Ops) > 0 && (!std::is_lvalue_reference_v<Ops> && ...))
auto when_all(Ops&&... ops) {
  return detail::all_operation<detail::operation_value_t<Ops>...>(detail::as_task(std::move(ops))...);
}

/// The same for any number of tasks of one type, also none, in a range that is given away (`std::move(tasks)`):
/// completes with a vector of their values in the order given (std::reference_wrapper for references), or with nothing
/// for task<void>.
template <detail::range_of_tasks R>
auto when_all(R&& tasks) {
  return detail::all_range_operation<detail::task_value_of<R>>(std::in_place, tasks);
}

}  // namespace weir
