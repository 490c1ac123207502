#pragma once

#include <concepts>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/task.hpp"
#include "../sync/channel.hpp"
#include "../sync/make_channel.hpp"
#include "detail/flow.hpp"
#include "detail/stage_function.hpp"
#include "stage_counters.hpp"

namespace weir {

struct into_options {
  /// Close the channel when all is in it. With a sender it is the last one of them that closes, whatever this says.
  bool close = true;
  /// To be read while the pipeline runs; must outlive it.
  stage_counters* counters = nullptr;
};
static_assert(detail::trivially_destructible<into_options>);

namespace detail {

template <class T>
class lent_channel {
 public:
  using item = T;
  explicit lent_channel(channel<T>& to) noexcept : to_(&to) {}
  [[nodiscard]] auto send(T&& one) noexcept { return to_->send(std::move(one)); }
  void close() noexcept { to_->close(); }

 private:
  channel<T>* to_;
};
template <class T>
class owned_sender {
 public:
  using item = T;
  explicit owned_sender(sender<T> to) noexcept : to_(std::move(to)) {}
  [[nodiscard]] auto send(T&& one) noexcept { return to_.send(std::move(one)); }
  void close() noexcept { to_.reset(); }

 private:
  sender<T> to_;
};

template <class To>
class into_sink {
 public:
  using value_type = bool;
  into_sink(To to, const into_options& options) : to_(std::move(to)), options_(options) {}

  template <class Puller, class Steps>
  task<bool> consume(segment<Puller, Steps> items, pipeline_run&) {
    stage_tally tally(options_.counters);
    while (auto next = co_await items.source.next()) {
      auto item = items.steps(item_of(next));
      if (!item) continue;
      tally.count_in();
      counted_hand_on hand_on(tally);
      const bool taken = co_await to_.send(std::move(*item));
      if (!taken) {
        tally.count_dropped();
        co_return false;
      }
      hand_on.done();
    }
    if (options_.close) to_.close();
    co_return true;
  }

 private:
  To to_;
  into_options options_;
};

template <class To>
class into_stage : public stage_base {
 public:
  into_stage(To to, const into_options& options) : to_(std::move(to)), options_(options) {}

  template <class Self, class Flow>
  static task<bool> attach(Self&& self, Flow upstream) {
    static_assert(std::same_as<typename Flow::value_type, typename To::item>,
                  "into: the channel must be one of the items of this pipeline");
    const into_options options = self.options_;
    return run_pipeline(std::move(upstream), into_sink<To>(std::forward<Self>(self).to_, options));
  }

 private:
  To to_;
  into_options options_;
};

class into_function {
 public:
  template <class T>
  auto operator()(channel<T>& to WEIR_DETAIL_LIFETIMEBOUND, const into_options& options = {}) const {
    return into_stage<lent_channel<T>>(lent_channel<T>(to), options);
  }
  template <class T>
  auto operator()(sender<T> to, const into_options& options = {}) const {
    return into_stage<owned_sender<T>>(owned_sender<T>(std::move(to)), options);
  }
};

}  // namespace detail

/// The end of a pipeline that feeds something else:
///
///     into(channel)                      sends all items there, in order, and closes it behind them
///     into(channel, {.close = false})    leaves it open, for others that send too
///     into(std::move(sender))            owns its end, which goes with the pipeline, however that ends
///
/// Completes with true when the source has ended and every item is in the channel. Completes with false when the
/// channel was closed, or its receivers have gone, before that: the source is not read any further, and the item that
/// was refused is destroyed. A channel must outlive the pipeline, and is not closed by one that fails or is cancelled:
/// nobody may take that for the end. Of a stage that is named and used again, each pipeline has a copy of its sender.
inline constexpr detail::into_function into{};

}  // namespace weir
