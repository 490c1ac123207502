#include "lease_pool.hpp"

#include <liburing.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <mutex>
#include <new>
#include <utility>

#include "../../runtime/detail/worker.hpp"
#include "../operations/receive_lease.hpp"

namespace weir::detail {

namespace {

// From one buffer to the next. Buffers that are a whole number of pages apart compete for the same lines of the cache:
// a line more costs less.
constexpr std::size_t line = 64;
constexpr std::size_t stride_for(std::size_t size) noexcept { return (size + line - 1) / line * line + line; }

// So many are in the kernel's ring at first. It takes them in turn, and those that it has had are what takes memory and
// cache: no more than are in use at once should be.
constexpr unsigned first_in_ring = 16;

void* map(std::size_t bytes) noexcept {
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}

std::size_t bytes_of_ring(unsigned entries) noexcept { return entries * sizeof(io_uring_buf); }

}  // namespace

lease_pool* lease_pool::make(reactor_counters& counters, unsigned buffers, std::size_t size) noexcept {
  auto* const made = new (std::nothrow) lease_pool(*current_worker(), counters, buffers, size);
  if (made && !made->allocate()) {
    delete made;
    return nullptr;
  }
  return made;
}

lease_pool::lease_pool(worker& owner, reactor_counters& counters, unsigned buffers, std::size_t size) noexcept
    : counters_(counters),
      size_(size),
      stride_(stride_for(size)),
      buffers_(buffers),
      ring_entries_(std::bit_ceil(buffers)),
      owner_(&owner) {}

bool lease_pool::allocate() noexcept {
  next_.reset(new (std::nothrow) std::uint32_t[buffers_]);
  if (!next_) return false;
  memory_ = static_cast<std::byte*>(map(buffers_ * stride_));
  if (!memory_) return false;
  for (unsigned i = buffers_; i != 0; --i) next_[i - 1] = i == buffers_ ? none : i;
  free_ = 0;
  return true;
}

lease_pool::~lease_pool() {
  if (ring_) static_cast<void>(::munmap(ring_, bytes_of_ring(ring_entries_)));
  if (memory_) static_cast<void>(::munmap(memory_, buffers_ * stride_));
}

// ---- buffers

unsigned lease_pool::pop_free() noexcept { return std::exchange(free_, next_[free_]); }

lease lease_pool::take_free() noexcept {
  const unsigned index = pop_free();
  counters_.buffers_taken.add();
  return {*this, at(index), index};
}

lease lease_pool::take() noexcept {
  if (!waiting_.empty()) return {};
  if (free_ == none) collect();
  return free_ == none ? lease() : take_free();
}

void lease_pool::give_back(unsigned index) noexcept {
  worker* owner = owner_.load(std::memory_order_relaxed);
  if (owner && owner == current_worker()) {
    counters_.buffers_returned.add();
    put(index);
    return;
  }
  std::unique_lock guard(lock_);
  owner = owner_.load(std::memory_order_relaxed);
  if (owner) {
    next_[index] = brought_.load(std::memory_order_relaxed);
    brought_.store(index, std::memory_order_relaxed);
    counters_.buffers_brought.add();
    // Under the lock: the worker is there for as long as it has not gone through end().
    if (wanted_ && !std::exchange(posted_, true)) post(*owner, *this);
    return;
  }
  if (--left_ != 0) return;
  guard.unlock();
  delete this;
}

void lease_pool::put(unsigned index) noexcept {
  next_[index] = free_;
  free_ = index;
  if (!waiting_.empty()) {
    serve_soon();
  } else {
    fill_ring();
  }
}

void lease_pool::collect() noexcept {
  if (brought_.load(std::memory_order_relaxed) == none) return;
  std::unique_lock guard(lock_);
  std::uint32_t index = brought_.load(std::memory_order_relaxed);
  brought_.store(none, std::memory_order_relaxed);
  guard.unlock();
  while (index != none) put(std::exchange(index, next_[index]));
}

void lease_pool::note_lease(bool by_ring) noexcept {
  counters_.leases.add();
  if (by_ring) counters_.ring_leases.add();
}

// ---- who waits

void lease_pool::wait_for_buffer(receive_lease_operation& op) noexcept {
  counters_.lease_waits.add();
  waiting_.push(op);
  {
    const std::lock_guard guard(lock_);
    wanted_ = true;
  }
  collect();  // what has come before that was said
  if (free_ != none) serve_soon();
}

void lease_pool::stop_waiting(receive_lease_operation& op) noexcept { waiting_.remove(op); }

void lease_pool::serve_soon() noexcept {
  if (serving_) return;
  const std::lock_guard guard(lock_);
  if (!std::exchange(posted_, true)) post(*owner_.load(std::memory_order_relaxed), *this);
}

void lease_pool::deliver() noexcept {
  {
    const std::lock_guard guard(lock_);
    posted_ = false;
  }
  if (serving_) return;
  serving_ = true;
  collect();
  // An operation that finds nothing to read after all gives its buffer back at once, for the next one.
  while (!waiting_.empty() && free_ != none) {
    static_cast<receive_lease_operation&>(*waiting_.pop()).go_on_with(take_free());
  }
  serving_ = false;
  if (!waiting_.empty()) return;
  {
    const std::lock_guard guard(lock_);
    wanted_ = false;
  }
  fill_ring();
}

// ---- the kernel's ring of buffers

void* lease_pool::make_ring() noexcept {
  ring_ = static_cast<io_uring_buf_ring*>(map(bytes_of_ring(ring_entries_)));
  return ring_;
}

void lease_pool::use_ring() noexcept {
  uses_ring_ = true;
  wanted_in_ring_ = std::min(first_in_ring, buffers_);
  fill_ring();
}

void lease_pool::fill_ring() noexcept {
  while (in_ring_ < wanted_in_ring_ && free_ != none && waiting_.empty()) {
    const unsigned index = pop_free();
    io_uring_buf_ring_add(ring_, at(index), static_cast<unsigned>(size_), static_cast<unsigned short>(index),
                          static_cast<int>(ring_entries_ - 1), 0);
    io_uring_buf_ring_advance(ring_, 1);
    ++in_ring_;
  }
}

void lease_pool::ring_ran_out() noexcept {
  if (free_ == none) return;
  wanted_in_ring_ = std::min(2 * wanted_in_ring_, buffers_);
  fill_ring();
}

bool lease_pool::ring_has_some() noexcept {
  if (!uses_ring_) return false;
  if (in_ring_ == 0) collect();
  return in_ring_ != 0;
}

lease lease_pool::taken_from_ring(unsigned index) noexcept {
  --in_ring_;
  counters_.buffers_taken.add();
  if (free_ == none) collect();
  fill_ring();
  return {*this, at(index), index};
}

// ---- the end

void lease_pool::end() noexcept {
  std::unique_lock guard(lock_);
  owner_.store(nullptr, std::memory_order_relaxed);
  left_ = counters_.buffers_taken.read() - counters_.buffers_returned.read() - counters_.buffers_brought.read();
  if (left_ != 0) return;
  guard.unlock();
  delete this;
}

}  // namespace weir::detail

namespace weir {

std::span<std::byte> lease::bytes() const noexcept { return {bytes_, size_}; }

void lease::go_home() noexcept {
  bytes_ = nullptr;
  size_ = 0;
  std::exchange(pool_, nullptr)->give_back(index_);
}

}  // namespace weir
