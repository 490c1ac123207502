#include "simulated_kernel.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <system_error>
#include <utility>

#include "../../runtime/detail/fork.hpp"
#include "../../runtime/detail/worker.hpp"
#include "simulated_reactor.hpp"

namespace weir::detail {

namespace {

constexpr std::size_t most_numbers = std::size_t{1} << 20;
constexpr std::size_t most_simulations = 2000;

/// One of the simulations of this process.
struct place {
  std::atomic<simulated_kernel*> owner{nullptr};
  std::size_t left_open =
      0;  // numbers that have outlived their simulation: until they are closed nobody gets the place
};
constinit std::array<place, most_simulations> places{};
std::mutex& places_mutex() { return process_mutex<place>(); }

std::size_t place_of(int number) noexcept {
  return static_cast<std::size_t>(number - simulated_kernel::first_number) / most_numbers;
}

std::size_t enter_place(simulated_kernel& kernel) {
  const std::lock_guard lock(places_mutex());
  for (std::size_t i = 0; i < most_simulations; ++i) {
    if (places[i].owner.load(std::memory_order_relaxed) || places[i].left_open != 0) continue;
    places[i].owner.store(&kernel, std::memory_order_release);
    return i;
  }
  throw std::system_error(EMFILE, std::generic_category(),
                          "simulation: 2000 others have not ended, or have left descriptors open");
}

}  // namespace

struct simulated_kernel::later {
  bool operator()(const event& a, const event& b) const noexcept {
    return a.due != b.due ? a.due > b.due : a.sequence > b.sequence;
  }
};

simulated_kernel::simulated_kernel(runtime_core& world, std::uint64_t seed)
    : world_(world), random_(seed ^ 0x6a09e667f3bcc909), slot_(enter_place(*this)) {}

simulated_kernel::~simulated_kernel() {
  const std::lock_guard lock(places_mutex());
  places[slot_].left_open = open_;
  places[slot_].owner.store(nullptr, std::memory_order_relaxed);
}

simulated_kernel* simulated_kernel::here() noexcept {
  worker* const here = current_worker();
  if (!here || !here->core().simulation().enabled) return nullptr;
  return &static_cast<simulated_reactor&>(here->io()).kernel();
}

simulated_kernel* simulated_kernel::of(int number) noexcept {
  return places[place_of(number)].owner.load(std::memory_order_acquire);
}

void simulated_kernel::close(int number) noexcept {
  if (simulated_kernel* const kernel = of(number)) {
    kernel->release(number);
    return;
  }
  const std::lock_guard lock(places_mutex());
  std::size_t& left = places[place_of(number)].left_open;
  if (left != 0) --left;
}

// ---- numbers

std::uint64_t simulated_kernel::index_of(int number) noexcept {
  return is_simulated(number) ? static_cast<std::uint64_t>(number - first_number) % most_numbers : most_numbers;
}

int simulated_kernel::enter(std::shared_ptr<simulated_object> object) {
  std::size_t index = first_free_;
  while (index < objects_.size() && objects_[index]) ++index;
  if (index == most_numbers) return -EMFILE;
  if (index == objects_.size()) objects_.emplace_back();
  objects_[index] = std::move(object);
  first_free_ = index + 1;
  ++open_;
  return first_number + static_cast<int>(slot_ * most_numbers + index);
}

std::shared_ptr<simulated_object> simulated_kernel::at(int number) const noexcept {
  const std::uint64_t index = index_of(number);
  return index < objects_.size() && place_of(number) == slot_ ? objects_[index] : nullptr;
}

void simulated_kernel::release(int number) noexcept {
  const std::shared_ptr<simulated_object> object = at(number);
  if (!object) return;
  const std::size_t index = index_of(number);
  objects_[index] = nullptr;
  first_free_ = std::min(first_free_, index);
  --open_;
  // Operations of streams have ended before; who waits for a lent number hears that it has gone.
  touch(object);
  object->close();
}

unsigned simulated_object::ready() const { return POLLIN | POLLOUT; }

int simulated_kernel::poll(int number, std::uint32_t events) {
  const std::shared_ptr<simulated_object> object = at(number);
  if (!object) return -EBADF;
  const std::uint32_t holds = object->ready() & (events | POLLERR | POLLHUP);
  return holds != 0 ? static_cast<int>(holds) : -EAGAIN;
}

// ---- dice

bool simulated_kernel::chance(double probability) noexcept {
  if (probability <= 0) return false;
  return static_cast<double>(random_.next() >> 11) < probability * 0x1p53;
}

duration simulated_kernel::delay(duration least, duration jitter) noexcept {
  if (jitter <= duration::zero()) return std::max(least, duration::zero());
  const auto more = static_cast<duration::rep>(random_.next() % (static_cast<std::uint64_t>(jitter.count()) + 1));
  return std::max(least, duration::zero()) + duration(more);
}

std::size_t simulated_kernel::part_of(std::size_t most, double partial) noexcept {
  if (most < 2 || !chance(partial)) return most;
  return 1 + random_.next() % (most - 1);
}

// ---- time

time_point simulated_kernel::now() const noexcept { return world_.now(); }

run_trace& simulated_kernel::trace() noexcept { return world_.trace(); }

void simulated_kernel::schedule(time_point due, std::function<void()> then) {
  events_.push_back({due, scheduled_++, std::move(then)});
  std::push_heap(events_.begin(), events_.end(), later());
}

void simulated_kernel::run_events() {
  while (!events_.empty() && events_.front().due <= now()) {
    std::pop_heap(events_.begin(), events_.end(), later());
    const event due = std::move(events_.back());
    events_.pop_back();
    trace().note(run_trace::step::event, due.sequence);
    due.then();
  }
}

// ---- what has changed

void simulated_kernel::touch(const std::shared_ptr<simulated_object>& object) {
  if (object->touched || object->waiting.empty()) return;
  object->touched = true;
  touched_.push_back(object);
}

std::vector<std::shared_ptr<simulated_object>> simulated_kernel::take_touched() noexcept {
  for (const auto& object : touched_) object->touched = false;
  return std::exchange(touched_, {});
}

}  // namespace weir::detail
