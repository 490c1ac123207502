#pragma once

#include <dirent.h>
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <vector>

namespace test {

/// Every descriptor that this process has open, with what it stands for: "7 socket:[123]".
inline std::vector<std::string> open_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (!directory) throw std::runtime_error("/proc/self/fd cannot be read");
  std::vector<std::string> open;
  while (const dirent* entry = ::readdir(directory)) {  // NOLINT(concurrency-mt-unsafe): a directory of our own
    const std::string number = entry->d_name;
    if (number[0] == '.' || number == std::to_string(::dirfd(directory))) continue;
    std::array<char, 256> target{};
    const ssize_t n = ::readlinkat(::dirfd(directory), number.c_str(), target.data(), target.size());
    open.push_back(number + " " + std::string(target.data(), n > 0 ? static_cast<std::size_t>(n) : 0));
  }
  ::closedir(directory);
  std::sort(open.begin(), open.end());
  return open;
}

/// Fails the test when there are other open descriptors at its end than at its beginning.
class no_descriptor_leaks {
 public:
  no_descriptor_leaks() = default;
  no_descriptor_leaks(const no_descriptor_leaks&) = delete;
  no_descriptor_leaks& operator=(const no_descriptor_leaks&) = delete;
  ~no_descriptor_leaks() {
    const std::vector<std::string> after = open_descriptors();
    if (after == before_) return;
    for (const std::string& d : before_) {
      if (!std::binary_search(after.begin(), after.end(), d)) ADD_FAIL_CHECK_AT(__FILE__, __LINE__, "closed: " << d);
    }
    for (const std::string& d : after) {
      if (!std::binary_search(before_.begin(), before_.end(), d))
        ADD_FAIL_CHECK_AT(__FILE__, __LINE__, "left open: " << d);
    }
  }

 private:
  const std::vector<std::string> before_ = open_descriptors();
};

}  // namespace test
