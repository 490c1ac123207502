#include "simulated_signals.hpp"

#include <cerrno>
#include <cstdint>

#include "simulated_kernel.hpp"

namespace weir::detail {

class simulated_signals::event_count final : public simulated_object, public std::enable_shared_from_this<event_count> {
 public:
  explicit event_count(std::vector<event_count*>& all) : all_(all) { all_.push_back(this); }
  void close() noexcept override { std::erase(all_, this); }

  std::span<signal_watch::entry> entries;
  std::uint64_t count = 0;

 private:
  std::vector<event_count*>& all_;
};

int simulated_signals::make() { return kernel_.enter(std::make_shared<event_count>(all_)); }

void simulated_signals::watch(int number, std::span<signal_watch::entry> entries) {
  if (const auto event = kernel_.find<event_count>(number)) event->entries = entries;
}

int simulated_signals::take(int number) {
  const auto event = kernel_.find<event_count>(number);
  if (!event) return -EBADF;
  if (event->count == 0) return -EAGAIN;
  --event->count;
  return sizeof event->count;
}

void simulated_signals::raise(int signal) {
  for (event_count* const event : all_) {
    for (signal_watch::entry& e : event->entries) {
      if (e.signal != signal) continue;
      e.count.fetch_add(1, std::memory_order_relaxed);
      ++event->count;
      kernel_.touch(event->shared_from_this());
    }
  }
}

}  // namespace weir::detail
