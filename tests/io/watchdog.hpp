#pragma once

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace test {

/// Ends the process with a sentence when a case takes too long: something hangs. A minute, or a fifth of
/// WEIR_TEST_TIMEOUT, which a slow machine sets.
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
    ::alarm(limit());
  }

 private:
  static unsigned limit() {
    static const unsigned seconds = [] {
      const char* whole = std::getenv("WEIR_TEST_TIMEOUT");  // NOLINT(concurrency-mt-unsafe): nobody sets it
      return whole ? std::max(60u, static_cast<unsigned>(std::strtoul(whole, nullptr, 10)) / 5) : 60u;
    }();
    return seconds;
  }
  static inline std::array<char, 256> current{};
  struct sigaction before_{};
};

}  // namespace test
