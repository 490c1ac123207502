#pragma once

#include <atomic>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "../../runtime/detail/owned.hpp"
#include "../../runtime/task.hpp"
#include "../../runtime/when_all.hpp"
#include "../../sync/channel.hpp"
#include "flow.hpp"

// One flow of items into several sub-pipelines, each of which reads a channel of its own.

namespace weir::detail {

template <class T>
class branches {
 public:
  branches(std::size_t number, std::size_t buffer) {
    channels_.reserve(number);
    for (std::size_t i = 0; i < number; ++i) channels_.emplace_back(new channel<T>(buffer));
  }
  [[nodiscard]] std::size_t size() const noexcept { return channels_.size(); }
  channel<T>& operator[](std::size_t i) noexcept { return *channels_[i]; }
  void close() noexcept {
    for (const owned<channel<T>>& c : channels_) c->close();
  }

 private:
  std::vector<owned<channel<T>>> channels_;
};

/// A stage, or an end, behind a channel: a flow, or a task.
template <class T, class S>
auto attach_branch(S&& next, channel<T>& items) {
  return attach_stage(as_stage(std::forward<S>(next)), flow_from<T>(ready_source(channel_puller<T>(items))));
}
template <class T, class S>
using branch_t = decltype(attach_branch<T>(std::declval<S&>(), std::declval<channel<T>&>()));

/// The items of a branch, or the value of its task.
template <class Branch>
struct branch_value {
  using type = typename Branch::value_type;
};

/// Runs the task that reads a branch. Once it has had enough, nothing more is kept for it.
template <class T, class R>
task<R> read_branch(channel<T>& items, task<R> reader) {
  if constexpr (std::is_void_v<R>) {
    co_await std::move(reader);
    items.close_and_clear();
  } else {
    auto made = co_await std::move(reader);
    items.close_and_clear();
    co_return std::move(made);
  }
}

/// Opens a branch that is a stage: its items go on into `merged`, from a task of its own.
template <class T, class Flow>
void open_branch(pipeline_run& run, channel<T>& items, Flow branch, pumped_channel<typename Flow::value_type>& merged) {
  auto opened = std::move(branch).open(run);
  auto reader = pump(std::move(opened.source), std::move(opened.steps), merged, nullptr);
  run.spawn(read_branch(items, std::move(reader)));
}

}  // namespace weir::detail
