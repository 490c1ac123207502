#include "signal_watch.hpp"

#include <fmt/format.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <system_error>

#include "../../runtime/detail/fork.hpp"
#include "../../runtime/detail/spin_lock.hpp"
#include "simulated_kernel.hpp"

namespace weir::detail {

namespace {

constexpr int signal_limit = NSIG;

struct watched_signal {
  std::atomic<signal_watch::entry*> first{nullptr};
  struct sigaction before{};  // set while `first` is not null, before the handler is in place
};

// What the handler reads. It must outlive every thread, so nothing destroys it.
constinit std::array<watched_signal, signal_limit> watched{};
constinit std::atomic<unsigned> handlers_running{0};
constinit std::atomic<pid_t> watching_process{0};

// Changes of the lists.
std::mutex& list_mutex() { return process_mutex<watched_signal>(); }

// On any thread, at any place: atomics and system calls only.
void on_signal(int number) {
  const int saved = errno;
  watched_signal& here = watched[static_cast<std::size_t>(number)];
  if (::getpid() != watching_process.load(std::memory_order_relaxed)) {
    // A forked child that has not executed a program yet: its parent's tasks are not to hear of its signals, and it
    // must stay killable. It behaves as if nobody watched; the signal comes again when this handler has returned.
    ::sigaction(number, &here.before, nullptr);
    ::raise(number);
    errno = saved;
    return;
  }
  handlers_running.fetch_add(1, std::memory_order_seq_cst);
  for (signal_watch::entry* e = here.first.load(std::memory_order_seq_cst); e;
       e = e->next.load(std::memory_order_seq_cst)) {
    e->count.fetch_add(1, std::memory_order_release);
    const std::uint64_t one = 1;
    static_cast<void>(!::write(e->event_number, &one, sizeof one));
  }
  handlers_running.fetch_sub(1, std::memory_order_seq_cst);
  errno = saved;
}

std::string name_of(int signal) {
  const char* const name = signal > 0 && signal < signal_limit ? sigabbrev_np(signal) : nullptr;
  return name ? fmt::format("SIG{}", name) : fmt::format("signal {}", signal);
}

[[noreturn]] void refuse(int signal, const char* why) {
  throw std::system_error(EINVAL, std::generic_category(), fmt::format("signal_set: {} {}", name_of(signal), why));
}

void check(int signal) {
  switch (signal) {
    case SIGKILL:
    case SIGSTOP:
      refuse(signal, "cannot be caught");
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
      refuse(signal, "tells of a fault of this program and cannot be waited for");
    default:
      break;
  }
  if (signal < 1 || signal >= signal_limit) refuse(signal, "does not exist");
}

void watch(signal_watch::entry& e) {
  watched_signal& here = watched[static_cast<std::size_t>(e.signal)];
  signal_watch::entry* const first = here.first.load(std::memory_order_relaxed);
  e.next.store(first, std::memory_order_relaxed);
  if (!first && ::sigaction(e.signal, nullptr, &here.before) != 0) {
    refuse(e.signal, "is reserved by the C library");
  }
  here.first.store(&e, std::memory_order_seq_cst);
  if (first) return;
  struct sigaction ours{};
  ours.sa_handler = on_signal;
  ours.sa_flags = SA_RESTART | SA_ONSTACK;
  sigfillset(&ours.sa_mask);
  if (::sigaction(e.signal, &ours, nullptr) != 0) {
    here.first.store(nullptr, std::memory_order_seq_cst);
    refuse(e.signal, "cannot be caught");
  }
}

void unwatch(signal_watch::entry& e) noexcept {
  watched_signal& here = watched[static_cast<std::size_t>(e.signal)];
  signal_watch::entry* const first = here.first.load(std::memory_order_relaxed);
  signal_watch::entry* const next = e.next.load(std::memory_order_relaxed);
  if (first == &e && !next) {
    // Before the list is empty, so that no signal falls between two stools. A handler that somebody else has put in
    // place of ours stays.
    struct sigaction current{};
    if (::sigaction(e.signal, nullptr, &current) == 0 && (current.sa_flags & SA_SIGINFO) == 0 &&
        current.sa_handler == on_signal) {
      ::sigaction(e.signal, &here.before, nullptr);
    }
  }
  if (first == &e) {
    here.first.store(next, std::memory_order_seq_cst);
    return;
  }
  signal_watch::entry* before = first;
  while (before->next.load(std::memory_order_relaxed) != &e) before = before->next.load(std::memory_order_relaxed);
  before->next.store(next, std::memory_order_seq_cst);
}

/// Returns when no handler can hold what has been taken out of its list before.
void wait_for_handlers() noexcept {
  backoff wait;
  while (handlers_running.load(std::memory_order_seq_cst) != 0) wait.pause();
}

}  // namespace

std::string signal_names(std::initializer_list<int> signals) {
  std::string names;
  for (int signal : signals) names += (names.empty() ? "" : ", ") + name_of(signal);
  return names;
}

signal_watch::signal_watch(std::initializer_list<int> signals, int event_number)
    : entries_(std::make_unique<entry[]>(signals.size())) {
  for (int signal : signals) {
    check(signal);
    const auto same = [signal](const entry& e) { return e.signal == signal; };
    if (std::any_of(entries_.get(), entries_.get() + size_, same)) continue;
    entries_[size_].signal = signal;
    entries_[size_].event_number = event_number;
    ++size_;
  }
  if (size_ == 0) throw std::system_error(EINVAL, std::generic_category(), "signal_set: no signal is named");
  if (simulated_kernel::is_simulated(event_number)) {
    simulated_kernel::of(event_number)->signals().watch(event_number, {entries_.get(), size_});
    return;
  }
  try {
    const std::lock_guard lock(list_mutex());
    watching_process.store(::getpid(), std::memory_order_relaxed);
    for (; watched_ < size_; ++watched_) watch(entries_[watched_]);
  } catch (...) {
    stop();
    throw;
  }
}

void signal_watch::stop() noexcept {
  if (size_ != 0 && simulated_kernel::is_simulated(entries_[0].event_number)) {
    simulated_kernel* const kernel = simulated_kernel::of(entries_[0].event_number);
    if (kernel) kernel->signals().unwatch(entries_[0].event_number);
    return;
  }
  if (watched_ == 0) return;
  const std::lock_guard lock(list_mutex());
  while (watched_ != 0) unwatch(entries_[--watched_]);
  wait_for_handlers();
}

int signal_watch::take() noexcept {
  for (;;) {
    // The counts are raised before the eventfd, so one of them is there for us, though another reader of the eventfd
    // may take the one that we look at.
    const std::size_t start = start_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < size_; ++i) {
      entry& e = entries_[(start + i) % size_];
      unsigned count = e.count.load(std::memory_order_acquire);
      while (count != 0) {
        if (!e.count.compare_exchange_weak(count, count - 1, std::memory_order_acq_rel)) continue;
        start_.store((start + i + 1) % size_, std::memory_order_relaxed);
        return e.signal;
      }
    }
  }
}

}  // namespace weir::detail
