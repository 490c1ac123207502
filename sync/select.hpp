#pragma once

#include <array>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../runtime/detail/operation.hpp"
#include "../runtime/detail/selection.hpp"
#include "../runtime/indexed_result.hpp"
#include "detail/select_core.hpp"

namespace weir {
namespace detail {

template <class... Ops>
using select_result = indexed_result<operation_value_t<Ops>...>;

template <std::size_t I = 0, class... Ops>
select_result<Ops...> take_case(std::tuple<Ops...>& cases, std::size_t index) {
  if constexpr (I + 1 < sizeof...(Ops)) {
    if (index != I) return take_case<I + 1>(cases, index);
  }
  auto& chosen = std::get<I>(cases);
  using T = operation_value_t<decltype(chosen)>;
  if constexpr (std::is_void_v<T>) {
    chosen.resume();
    return select_result<std::remove_reference_t<Ops>...>(std::in_place_index<I>);
  } else if constexpr (std::is_reference_v<T>) {
    return select_result<std::remove_reference_t<Ops>...>(std::in_place_index<I>, std::addressof(chosen.resume()));
  } else {
    return select_result<std::remove_reference_t<Ops>...>(std::in_place_index<I>, chosen.resume());
  }
}

template <class... Ops>
std::array<select_case, sizeof...(Ops)> erase_cases(std::tuple<Ops...>& cases) noexcept {
  return std::apply(
      [](auto&... op) {
        std::size_t index = 0;
        return std::array<select_case, sizeof...(Ops)>{
            select_case{&op, &case_functions<std::remove_reference_t<decltype(op)>>, index++}...};
      },
      cases);
}

template <class... Ops>
using select_core_for = std::conditional_t<(lingering<Ops> || ...), lingering_select_core, select_core>;

template <bool ordered, class... Ops>
class [[nodiscard]] select_operation final : public operation_base, public select_core_for<Ops...> {
  using core = select_core_for<Ops...>;

 public:
  using value_type = select_result<Ops...>;

  explicit select_operation(Ops&&... cases) : operations_(std::move(cases)...) {}
  select_operation(select_operation&& other) noexcept((std::is_nothrow_move_constructible_v<Ops> && ...))
      : operation_base(), core(other), operations_(std::move(other.operations_)) {}
  ~select_operation() = default;

  bool ready(const await_context& context) noexcept {
    cases_ = erase_cases(operations_);
    return this->try_now(context, cases_.data(), cases_.size(), ordered);
  }
  std::coroutine_handle<> start(const await_context& context) noexcept {
    this->wait(context);
    return std::noop_coroutine();
  }
  value_type resume() { return take_case(operations_, this->conclude()); }
  result<value_type> resume_result() noexcept {
    const std::size_t index = this->conclude();
    return capture<value_type>([this, index] { return take_case(operations_, index); });
  }

 private:
  std::tuple<Ops...> operations_;
  std::array<select_case, sizeof...(Ops)> cases_;
};

template <class... Ops>
constexpr bool check_cases() noexcept {
  static_assert(
      (selectable<Ops> && ...),
      "select takes sends, receives, permits, sleeps, ticks, events, joins and the readiness of descriptors. "
      "A read or write is not selectable, because one that was not chosen may have moved bytes: use when_any, "
      "or readable(), writable() or poll() and then the read or write");
  return true;
}

}  // namespace detail

/// Waits for several operations at once, none of which has been started, and completes with the value of exactly one of
/// them: an indexed_result that tells which.
///
///     auto chosen = co_await weir::select(requests.receive(), results.send(std::move(r)), weir::sleep_for(1s));
///     if (chosen.index() == 0) ...chosen.get<0>()...
///
/// The other operations leave no trace: nothing was received by them, and what they would have sent has not been
/// touched. When several can be had at once, each of them has the same chance; to prefer the first ones use
/// select_ordered. (Of sleeps with one deadline the first ends first, as anywhere.) A closed channel can always be had:
/// its receive completes with nothing.
///
/// Takes channel sends, receives and permits, sleeps, ticks, events, joins of tasks and groups, and the readiness of
/// streams, listeners and other descriptors (readable(), writable(), poll()). What the chosen operation throws is
/// thrown here. Cancelled while waiting: all of them are withdrawn and it stops; if one had been chosen before, it
/// completes with that. What the operations refer to must live until it has ended. Allocates nothing. O(n log n) for n
/// operations. Readiness that was not chosen is given back by the kernel before the select goes on: a turn of the
/// worker; and each such case is asked for with a system call first.
///
///     auto chosen = co_await weir::select(worker.join(), stream.readable(), orders.receive());
///
/// Select and its meaning: Hoare, "Communicating Sequential Processes", 1978; of several selects that meet, each
/// commits by itself only while nobody can choose for it, so that no two claims have to be made at once.
template <detail::operation... Ops>
  requires(sizeof...(Ops) > 0 && (!std::is_lvalue_reference_v<Ops> && ...))
auto select(Ops&&... cases) {
  static_assert(detail::check_cases<Ops...>());
  return detail::select_operation<false, Ops...>(std::move(cases)...);
}

/// The same, but of those that can be had at once the first one is taken.
template <detail::operation... Ops>
  requires(sizeof...(Ops) > 0 && (!std::is_lvalue_reference_v<Ops> && ...))
auto select_ordered(Ops&&... cases) {
  static_assert(detail::check_cases<Ops...>());
  return detail::select_operation<true, Ops...>(std::move(cases)...);
}

/// select() without waiting: nothing when none of them can be had now. Any thread.
///
///     if (auto chosen = weir::try_select(requests.receive(), results.send(std::move(r)))) ...
template <detail::operation... Ops>
  requires(sizeof...(Ops) > 0 && (!std::is_lvalue_reference_v<Ops> && ...))
std::optional<detail::select_result<Ops...>> try_select(Ops&&... cases) {
  static_assert(detail::check_cases<Ops...>());
  std::tuple<Ops&...> operations(cases...);
  auto erased = detail::erase_cases(operations);
  const std::size_t index = detail::commit_one(erased.data(), erased.size(), false);
  if (index == detail::no_case) return std::nullopt;
  return detail::take_case(operations, index);
}

}  // namespace weir
