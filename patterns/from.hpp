#pragma once

#include <initializer_list>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/async_generator.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../sync/channel.hpp"
#include "../sync/make_channel.hpp"
#include "detail/flow.hpp"

namespace weir {
namespace detail {

template <class T>
class receiver_source {
 public:
  explicit receiver_source(receiver<T> items) noexcept : from_(std::move(items)) {}
  channel_puller<T> operator()(pipeline_run& run) && {
    return channel_puller<T>(channel_end_access::items(run.keep<receiver<T>>(std::move(from_))));
  }

 private:
  receiver<T> from_;
};

template <class R>
async_generator<std::ranges::range_value_t<R>> each_of(R range) {
  for (auto&& item : range) {
    if constexpr (std::ranges::view<R>) {
      co_yield std::ranges::range_value_t<R>(std::forward<decltype(item)>(item));
    } else {
      co_yield std::move(item);
    }
  }
}
template <class R>
async_generator<std::ranges::range_value_t<R>> each_in(R& range) {
  for (auto&& item : range) co_yield std::ranges::range_value_t<R>(item);
}

class from_function {
 public:
  template <class T>
  auto operator()(async_generator<T> items) const {
    return flow_from<std::remove_cvref_t<T>>(ready_source(std::move(items)));
  }
  template <class T>
  auto operator()(channel<T>& items WEIR_DETAIL_LIFETIMEBOUND) const {
    return flow_from<T>(ready_source(channel_puller<T>(items)));
  }
  template <class T>
  auto operator()(receiver<T> items) const {
    return flow_from<T>(receiver_source<T>(std::move(items)));
  }
  template <class T>
  auto operator()(std::initializer_list<T> items) const {
    return operator()(std::vector<T>(items));  // it refers to an array that may be gone before the pipeline runs
  }
  template <std::ranges::input_range R>
  auto operator()(R&& items) const {
    using T = std::ranges::range_value_t<R>;
    if constexpr (std::is_lvalue_reference_v<R> && !std::ranges::view<std::remove_cvref_t<R>>) {
      return flow_from<T>(ready_source(each_in(items)));
    } else {
      return flow_from<T>(ready_source(each_of(std::remove_cvref_t<R>(std::forward<R>(items)))));
    }
  }
};

}  // namespace detail

/// The source of a pipeline:
///
///     from(generator)    the values of an async_generator, which it owns; of one of references, copies
///     from(channel)      what is received from a channel until it is closed; the channel must outlive the pipeline
///     from(receiver)     the same, through an end that the pipeline owns: when it ends early, the senders are told
///     from(range)        copies of what is in a range that must outlive the pipeline; an rvalue is owned and moved
///     from
///
/// Nothing is read before the pipeline is awaited.
inline constexpr detail::from_function from{};

}  // namespace weir
