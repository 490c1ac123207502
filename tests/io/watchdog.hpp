#pragma once

#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace test {

/// Ends the process with a sentence when a case takes too long: something hangs.
class watchdog {
 public:
  watchdog() {
    struct sigaction action{};
    action.sa_handler = [](int) {
      static_cast<void>(!::write(STDERR_FILENO, current.data(), std::strlen(current.data())));
      ::abort();
    };
    ::sigaction(SIGALRM, &action, &before_);
  }
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;
  ~watchdog() {
    ::alarm(0);
    ::sigaction(SIGALRM, &before_, nullptr);
  }
  static void watch(const std::string& label) {
    ::alarm(0);
    std::snprintf(current.data(), current.size(), "it hangs: %s\n", label.c_str());
    ::alarm(60);
  }

 private:
  static inline std::array<char, 256> current{};
  struct sigaction before_{};
};

}  // namespace test
