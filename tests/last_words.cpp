#include "runtime/support.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

namespace test {

int fork_alone() {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  const auto pool_has_threads = [] {
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
      std::string name;
      std::ifstream(thread.path() / "comm") >> name;
      if (name == "weir/offload") return true;
    }
    return false;
  };
  for (int i = 0; i < 2000 && pool_has_threads(); ++i) std::this_thread::sleep_for(10ms);
#endif
#endif
  return fork();
}

std::string all_last_words_of(void (*body)()) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork_alone();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    std::signal(SIGABRT, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
    body();
    _exit(0);
  }
  close(ends[1]);
  std::string words;
  char buffer[512];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) words.append(buffer, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? words : std::string();
}

std::string last_words_of(void (*body)()) {
  std::string words = all_last_words_of(body);
  // The seed of a simulation is one test's business.
  const std::size_t seed = words.find("weir: this was in a simulation with seed ");
  if (seed != std::string::npos) words.erase(seed, words.find('\n', seed) + 1 - seed);
  return words;
}

}  // namespace test
