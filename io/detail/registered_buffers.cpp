#include "registered_buffers.hpp"

#include <algorithm>
#include <mutex>

#include "../../runtime/detail/fork.hpp"
#include "../../runtime/detail/reactor.hpp"

namespace weir::detail {

namespace {

// Guarded by process_mutex<everything>().
struct everything {
  std::vector<registered_buffers::buffer> buffers;  // by address
  struct follower {
    reactor* ring;
    unsigned generation;  // of forks: a child has nothing to tell its parent's
  };
  std::vector<follower> followers;
};

// Buffers may have static storage, and go after all that is destroyed.
everything& all() {
  static auto* const made = new everything;
  return *made;
}

std::vector<registered_buffers::buffer>::iterator place_of(everything& in, const void* begin) {
  return std::lower_bound(in.buffers.begin(), in.buffers.end(), reinterpret_cast<std::uintptr_t>(begin),
                          [](const registered_buffers::buffer& b, std::uintptr_t at) { return b.begin < at; });
}

}  // namespace

constinit std::atomic<std::uint64_t> registered_buffers::changes_{0};

void registered_buffers::add(const void* begin, std::size_t size) {
  everything& in = all();
  const std::lock_guard guard(process_mutex<everything>());
  const auto at = reinterpret_cast<std::uintptr_t>(begin);
  in.buffers.insert(place_of(in, begin), buffer{at, at + size, changes() + 1});
  changes_.store(changes() + 1, std::memory_order_relaxed);
}

void registered_buffers::remove(const void* begin) noexcept {
  everything& in = all();
  const std::lock_guard guard(process_mutex<everything>());
  in.buffers.erase(place_of(in, begin));
  changes_.store(changes() + 1, std::memory_order_relaxed);
  for (const everything::follower& one : in.followers) {
    if (one.generation == fork_generation) one.ring->wake();
  }
}

std::uint64_t registered_buffers::copy_to(std::vector<buffer>& into) {
  everything& in = all();
  const std::lock_guard guard(process_mutex<everything>());
  into = in.buffers;
  return changes();
}

void registered_buffers::join(reactor& ring) {
  everything& in = all();
  const std::lock_guard guard(process_mutex<everything>());
  in.followers.push_back({&ring, fork_generation});
}

void registered_buffers::leave(reactor& ring) noexcept {
  everything& in = all();
  const std::lock_guard guard(process_mutex<everything>());
  std::erase_if(in.followers, [&](const everything::follower& one) { return one.ring == &ring; });
}

}  // namespace weir::detail
