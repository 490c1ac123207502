// runtime_options::dump_signal: a process of its own gets the signal and writes its tasks to stderr.

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

#include <weir/weir.hpp>

namespace {

using namespace std::chrono_literals;

bool failed = false;

void expect(bool right, const char* what, const std::string& text) {
  if (right) return;
  failed = true;
  std::printf("FAIL %s, in:\n%s\n", what, text.c_str());
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

/// A process that runs `body` with its stderr in a pipe, and says when it may be sent a signal by a line there.
class child {
 public:
  explicit child(void (*body)()) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], STDERR_FILENO);
      body();
      ::_exit(0);
    }
    ::close(ends[1]);
    from_ = ends[0];
  }
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child() { ::close(from_); }

  void signal(int number) const { ::kill(pid_, number); }
  /// What it writes, up to and with `last`, or its end.
  std::string read_up_to(const char* last) {
    std::string text;
    char c = 0;
    while (!contains(text, last) && ::read(from_, &c, 1) == 1) text += c;
    return text;
  }
  int wait() const {
    int status = -1;
    ::waitpid(pid_, &status, 0);
    return status;
  }

 private:
  pid_t pid_ = 0;
  int from_ = -1;
};

void say(const char* text) { static_cast<void>(!::write(STDERR_FILENO, text, std::char_traits<char>::length(text))); }

weir::task<> sleeps_long() { co_await weir::sleep_for(1h); }

weir::task<> waits() {
  auto body = [](weir::task_group& g) -> weir::task<> {
    g.spawn(sleeps_long());
    co_await weir::sleep_for(1ms);  // until the other one sleeps
    say("ready\n");
    co_await weir::sleep_for(1h);
  };
  co_await weir::with_task_group(body);
}

void run_waiting() { weir::run(waits(), {.workers = 2, .dump_signal = SIGUSR1}); }

weir::task<> computes() {
  co_await weir::yield();
  say("ready\n");
  for (;;) std::this_thread::yield();
}

void run_busy() { weir::run(computes(), {.workers = 1, .dump_signal = SIGUSR1}); }

// All of the program's own threads block the signal.
void run_blocked() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  run_waiting();
}

void waiting_tasks_are_shown_again_and_again() {
  for (void (*body)() : {run_waiting, run_blocked}) {
    child process(body);
    process.read_up_to("ready\n");
    for (int i = 0; i < 2; ++i) {
      process.signal(SIGUSR1);
      std::string text = process.read_up_to("spawned at ");
      text += process.read_up_to("\n");
      expect(contains(text, "weir: tasks of process "), "the dump has a title", text);
      expect(contains(text, ", on SIGUSR1\n2 tasks on 2 workers"), "the dump names the signal and counts", text);
      expect(contains(text, "waits in sleep for "), "the dump says what is waited for", text);
      expect(contains(text, "sleeps_long()"), "the dump names the coroutine", text);
      expect(contains(text, "dump_on_signal.cpp:"), "the dump names the file", text);
    }
    process.signal(SIGKILL);
    process.wait();
  }
}

void a_worker_that_computes_is_named() {
  child process(run_busy);
  process.read_up_to("ready\n");
  process.signal(SIGUSR1);
  const std::string text = process.read_up_to("dump_on_signal.cpp:");
  expect(contains(text, "a worker has not come to the end of a task within 1000 ms"), "it is said why", text);
  expect(contains(text, "worker 0 runs a task that awaited last in"), "the worker is named", text);
  expect(contains(text, "computes()"), "the task is named", text);
  process.signal(SIGKILL);
  process.wait();
}

void the_disposition_is_put_back() {
  child process([] {
    for (int i = 0; i < 3; ++i) {
      weir::runtime one({.workers = 1, .dump_signal = SIGUSR1});
      weir::runtime other({.workers = 1, .dump_signal = SIGUSR1});
      weir::runtime third({.workers = 1, .dump_signal = SIGUSR2});
    }
    ::kill(::getpid(), SIGUSR1);  // ends the process now
    for (;;) ::pause();
  });
  const int status = process.wait();
  expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1, "SIGUSR1 ends the process again", std::to_string(status));
}

void what_cannot_be_caught_is_refused() {
  for (const int signal : {SIGKILL, SIGSTOP, SIGSEGV, 4711}) {
    std::string what;
    try {
      weir::runtime rt({.workers = 1, .dump_signal = signal});
    } catch (const std::invalid_argument& e) {
      what = e.what();
    }
    expect(what.starts_with("weir: runtime_options::dump_signal: "), "the signal is refused", what);
  }
}

}  // namespace

int main() {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  std::puts("ThreadSanitizer keeps signals from a thread that computes");
  return 77;
#endif
#endif
  waiting_tasks_are_shown_again_and_again();
  a_worker_that_computes_is_named();
  the_disposition_is_put_back();
  what_cannot_be_caught_is_refused();
  return failed ? 1 : 0;
}
