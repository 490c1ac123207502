#pragma once

#include <atomic>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string>

namespace weir::detail {

/// The signals of one set: counted by the process's handler, taken by waiting tasks.
class signal_watch {
 public:
  /// Throws std::system_error with a sentence. `event_number` is a counting eventfd (EFD_SEMAPHORE, non-blocking), open
  /// until stop().
  signal_watch(std::initializer_list<int> signals, int event_number);
  signal_watch(const signal_watch&) = delete;
  signal_watch& operator=(const signal_watch&) = delete;
  ~signal_watch() { stop(); }

  /// Watches no longer; afterwards no handler touches this object or its eventfd. Idempotent.
  void stop() noexcept;

  /// One of those that have come. For who has read the eventfd, which counts no more than have come.
  [[nodiscard]] int take() noexcept;

  /// One signal of one set, in the list of all that watch this signal. The handler walks that list.
  struct entry {
    int signal = 0;
    int event_number = -1;
    std::atomic<unsigned> count{0};
    std::atomic<entry*> next{nullptr};
  };

 private:
  std::unique_ptr<entry[]> entries_;
  std::size_t size_ = 0;
  std::size_t watched_ = 0;            // the first so many are in their lists
  std::atomic<std::size_t> start_{0};  // where take() looks first, so that no signal starves another
};

/// "SIGINT, SIGTERM"
std::string signal_names(std::initializer_list<int> signals);

}  // namespace weir::detail
