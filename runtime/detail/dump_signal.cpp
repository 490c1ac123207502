#include "dump_signal.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "fork.hpp"
#include "worker.hpp"

namespace weir::detail {

namespace {

/// A runtime as the handler knows it.
struct listener {
  std::atomic<int> signal{0};  // 0: nobody's
  sem_t asked{};
  bool made = false;  // the semaphore stays for good: a handler may still be about to post it
};

constexpr std::size_t most_listeners = 64;

// What the handler reads. It must outlive every thread, so nothing destroys it.
constinit std::array<listener, most_listeners> listeners{};
constinit std::atomic<pid_t> listening_process{0};

// Changes of the listeners and of dispositions.
std::mutex& listeners_mutex() { return process_mutex<listener>(); }
std::array<struct sigaction, NSIG> previous_actions{};  // of the signals that have a listener

// On any thread, at any place: atomics, sem_post and system calls only.
void on_signal(int number) {
  const int saved = errno;
  if (::getpid() != listening_process.load(std::memory_order_relaxed)) {
    // A forked child that has not executed a program yet: nobody answers here. It behaves as if nobody listened.
    ::sigaction(number, &previous_actions[static_cast<std::size_t>(number)], nullptr);
    ::raise(number);
  } else {
    for (listener& l : listeners) {
      if (l.signal.load(std::memory_order_acquire) == number) ::sem_post(&l.asked);
    }
  }
  errno = saved;
}

bool anybody_for(int signal) noexcept {
  for (const listener& l : listeners) {
    if (l.signal.load(std::memory_order_relaxed) == signal) return true;
  }
  return false;
}

std::string name_of(int signal) {
  const char* const name = signal > 0 && signal < NSIG ? sigabbrev_np(signal) : nullptr;
  return name ? fmt::format("SIG{}", name) : fmt::format("signal {}", signal);
}

void write_all(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n < 0 && errno != EINTR) return;
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

void dump_signal::check(int signal) {
  const auto refuse = [signal](const char* why) {
    throw std::invalid_argument(fmt::format("weir: runtime_options::dump_signal: {} {}", name_of(signal), why));
  };
  switch (signal) {
    case SIGKILL:
    case SIGSTOP:
      refuse("cannot be caught");
      break;
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
      refuse("tells of a fault of this program");
      break;
    default:
      break;
  }
  struct sigaction current{};
  if (signal < 1 || signal >= NSIG || ::sigaction(signal, nullptr, &current) != 0) refuse("does not exist");
}

dump_signal::dump_signal(int signal, runtime_core& core) : signal_(signal), core_(core) {
  const std::lock_guard lock(listeners_mutex());
  while (place_ < most_listeners && listeners[place_].signal.load(std::memory_order_relaxed) != 0) ++place_;
  if (place_ == most_listeners) {
    throw std::system_error(EAGAIN, std::generic_category(), "runtime_options::dump_signal in so many runtimes");
  }
  listener& l = listeners[place_];
  if (!l.made) ::sem_init(&l.asked, 0, 0);
  l.made = true;
  while (::sem_trywait(&l.asked) == 0) {
  }
  thread_ = std::thread([this] { serve(); });
  listening_process.store(::getpid(), std::memory_order_relaxed);
  const bool first = !anybody_for(signal);
  if (first) ::sigaction(signal, nullptr, &previous_actions[static_cast<std::size_t>(signal)]);
  l.signal.store(signal, std::memory_order_release);
  if (!first) return;
  struct sigaction ours{};
  ours.sa_handler = on_signal;
  ours.sa_flags = SA_RESTART | SA_ONSTACK;
  sigfillset(&ours.sa_mask);
  ::sigaction(signal, &ours, nullptr);
}

dump_signal::~dump_signal() {
  {
    const std::lock_guard lock(listeners_mutex());
    listener& l = listeners[place_];
    ending_.store(true, std::memory_order_release);
    // The place is still taken: only its own thread waits at the semaphore.
    ::sem_post(&l.asked);
  }
  thread_.join();
  const std::lock_guard lock(listeners_mutex());
  listeners[place_].signal.store(0, std::memory_order_release);
  if (anybody_for(signal_)) return;
  // A handler that somebody else has put in place of ours stays.
  struct sigaction current{};
  if (::sigaction(signal_, nullptr, &current) == 0 && (current.sa_flags & SA_SIGINFO) == 0 &&
      current.sa_handler == on_signal) {
    ::sigaction(signal_, &previous_actions[static_cast<std::size_t>(signal_)], nullptr);
  }
}

void dump_signal::serve() noexcept {
  // The program's own threads may all block the signal: this one does not.
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, signal_);
  pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
  for (;;) {
    while (::sem_wait(&listeners[place_].asked) != 0) {
    }
    if (ending_.load(std::memory_order_acquire)) return;
    try {
      write_all(fmt::format("weir: tasks of process {}, on {}\n{}", ::getpid(), name_of(signal_),
                            core_.describe_tasks(std::chrono::seconds(1))));
    } catch (const std::exception& e) {
      write_all("weir: the tasks cannot be shown: ");
      write_all(e.what());
      write_all("\n");
    }
  }
}

}  // namespace weir::detail
