#pragma once

#include <cstddef>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "detail/embedded_strand.hpp"
#include "detail/group_core.hpp"
#include "detail/operation.hpp"
#include "indexed_result.hpp"

namespace weir {

/// Which of a range of tasks was first, and its value: what when_any of a range completes with.
template <class T>
struct first_result {
  std::size_t index;  ///< in the order given, from 0
  T value;            ///< a reference when the tasks have one
};
/// The same of tasks without a value.
template <>
struct first_result<void> {
  std::size_t index;
};

namespace detail {

class any_core : public group_core {
 protected:
  any_core() noexcept : group_core(on_failure::first_decides) {}
  ~any_core() = default;

  void begin(const await_context& context) noexcept;
  std::coroutine_handle<> run(strand& first, promise_base& root) noexcept;
  void end() noexcept;

  [[nodiscard]] const strand* winner() const noexcept { return winner_; }

 private:
  bool child_ended(strand& child, bool stopped) noexcept final;
  promise_base* drained(optional_guard<spin_lock>& guard) noexcept final;
  [[nodiscard]] const promise_base* suspended_around() const noexcept final { return frame_; }

  promise_base* frame_ = nullptr;
  boundary* scope_ = nullptr;
  strand* winner_ = nullptr;  // guarded by lock_ until drained
};

template <class... Ts>
class [[nodiscard]] any_operation final : public operation_base, private any_core {
 public:
  using value_type = indexed_result<Ts...>;

  explicit any_operation(task<Ts>&&... tasks) : children_(std::move(tasks)...) {}
  any_operation(any_operation&& other) noexcept : operation_base(), any_core(), children_(std::move(other.children_)) {}
  ~any_operation() = default;

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
    end();
    return take<0>();
  }
  result<value_type> resume_result() noexcept {
    return capture<value_type>([this] { return resume(); });
  }

 private:
  template <std::size_t I>
  value_type take() {
    using T = std::tuple_element_t<I, std::tuple<Ts...>>;
    auto& child = std::get<I>(children_);
    if constexpr (I + 1 < sizeof...(Ts)) {
      if (&child != winner()) return take<I + 1>();
    }
    if constexpr (std::is_void_v<T>) {
      child.take();
      return value_type(std::in_place_index<I>);
    } else if constexpr (std::is_reference_v<T>) {
      return value_type(std::in_place_index<I>, std::addressof(child.take()));
    } else {
      return value_type(std::in_place_index<I>, child.take());
    }
  }

  std::tuple<embedded_strand<Ts>...> children_;
};

template <class T>
class [[nodiscard]] any_range_operation final : public operation_base, private any_core {
 public:
  using value_type = first_result<T>;

  template <class R>
  explicit any_range_operation(std::in_place_t, R& tasks) : children_(embed_all<T>(tasks)) {
    if (children_.empty()) throw std::invalid_argument("weir: when_any of no tasks, of which none can ever be first");
  }
  any_range_operation(any_range_operation&& other) noexcept
      : operation_base(), any_core(), children_(std::move(other.children_)) {}
  ~any_range_operation() = default;

  bool ready(const await_context&) const noexcept { return false; }
  std::coroutine_handle<> start(const await_context& context) {
    begin(context);
    for (std::size_t i = 1; i < children_.size(); ++i) add(children_[i], children_[i].root());
    return run(children_.front(), children_.front().root());
  }
  value_type resume() {
    end();
    const auto index = static_cast<std::size_t>(static_cast<const embedded_strand<T>*>(winner()) - children_.data());
    if constexpr (std::is_void_v<T>) {
      children_[index].take();
      return value_type{index};
    } else {
      return value_type{index, children_[index].take()};
    }
  }
  result<value_type> resume_result() noexcept {
    return capture<value_type>([this] { return resume(); });
  }

 private:
  std::vector<embedded_strand<T>> children_;
};

}  // namespace detail

/// Runs all operations at once, each as a strand of its own. The first to end, by value or by exception, decides: the
/// others are stopped and joined, then it completes with an indexed_result that tells which it was, or rethrows. The
/// losers' values are destroyed; their late failures go to runtime_options::on_error. To lose nothing that was
/// received, use select. Cancelled: all are stopped and joined.
template <detail::operation... Ops>
  requires(sizeof...(Ops) > 0 && (!std::is_lvalue_reference_v<Ops> && ...))
auto when_any(Ops&&... ops) {
  return detail::any_operation<detail::operation_value_t<Ops>...>(detail::as_task(std::move(ops))...);
}

/// The same for any number of tasks of one type, in a range that is given away (`std::move(tasks)`): completes with a
/// first_result. Throws std::invalid_argument when there is none. Allocates one block for all of them.
template <detail::range_of_tasks R>
auto when_any(R&& tasks) {
  return detail::any_range_operation<detail::task_value_of<R>>(std::in_place, tasks);
}

}  // namespace weir
