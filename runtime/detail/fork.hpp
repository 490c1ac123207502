#pragma once

#include <pthread.h>

#include <mutex>

namespace weir::detail {

/// How many forks lie between this process and the first of its ancestors that made a runtime. Changed only where a
/// process has one thread: in a child, by the handler that watch_forks() has registered.
inline constinit unsigned fork_generation = 0;

/// From the first call on a forked child knows that it is one: runtimes made before are its parent's, whose threads it
/// does not have and whose rings it must not touch. The worker on which it was forked, if that was one, forgets what it
/// had to do, and says a sentence when the task that has forked waits for something. Throws std::system_error.
void watch_forks();

/// From the first call on each fork holds the mutex that `mutex()` returns while it copies the process: what that
/// guards is whole in the child, and the mutex free. For what belongs to the whole process; to be called before anybody
/// locks it. Returns what pthread_atfork does. `mutex` takes no other mutex that is held across forks.
template <auto mutex>
int hold_across_forks() noexcept {
  static const int failed = pthread_atfork([] { mutex().lock(); }, [] { mutex().unlock(); }, [] { mutex().unlock(); });
  return failed;
}

/// The mutex of all of this process's `What`, held across forks; never destroyed.
template <class What>
std::mutex& process_mutex() {
  static auto* const mutex = new std::mutex;
  static_cast<void>(hold_across_forks<process_mutex<What>>());
  return *mutex;
}

/// Ends the program with a sentence.
[[noreturn]] void refuse_in_forked_child() noexcept;

}  // namespace weir::detail
