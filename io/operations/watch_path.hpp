#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "../../runtime/detail/owned.hpp"
#include "path_call.hpp"

namespace weir::detail {

/// Owns an inotify descriptor. Destroyed when nothing is in flight.
class inotify_watch {
 public:
  explicit inotify_watch(descriptor_handle handle) noexcept : handle_(std::move(handle)) {}
  inotify_watch(inotify_watch&&) noexcept = default;
  inotify_watch& operator=(inotify_watch&&) = delete;
  ~inotify_watch();
  [[nodiscard]] descriptor& get() const noexcept { return *handle_.get(); }

 private:
  descriptor_handle handle_;
};

/// Makes an inotify descriptor that watches one path. What was made and is not handed out is closed.
class [[nodiscard]] watch_path_operation final : public io_awaitable<watch_path_operation, inotify_watch, path_leaf> {
 public:
  static constexpr const char* verb = "watch_path";
  /// `events` as those of inotify(7).
  watch_path_operation(std::string path, std::uint32_t events) noexcept
      : io_awaitable(std::move(path)), events_(events) {}
  watch_path_operation(watch_path_operation&&) noexcept = default;
  ~watch_path_operation();

  bool ready(const await_context& context) noexcept { return begin_with_paths(context); }
  [[nodiscard]] failure failed() const;
  [[nodiscard]] inotify_watch value();

 private:
  void prepare(ring_entry&) noexcept override {}  // it comes to no ring
  int attempt() noexcept override;
  bool goes_on(int result) noexcept override {
    made_ = result;
    return false;
  }

  std::uint32_t events_;
  int made_ = -1;
};

/// The events of an inotify descriptor, read in batches, of which one is held.
class inotify_events {
 public:
  struct event {
    int watch;  // which of the descriptor's
    std::uint32_t mask;
    std::uint32_t cookie;
    std::string_view name;  // until the next batch
  };

  /// Takes what there is, without waiting: its size, -EAGAIN when there is nothing, or -errno.
  int take(int number) noexcept;
  /// The next one; none when the batch is used up.
  std::optional<event> next() noexcept;

 private:
  static constexpr std::size_t batch_size = 4096;  // fifteen of the longest names

  owned_array<std::byte> batch_{new std::byte[batch_size]{}};
  std::size_t filled_ = 0;
  std::size_t at_ = 0;
};

}  // namespace weir::detail
