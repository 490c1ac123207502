#pragma once

#include <dirent.h>
#include <doctest/doctest.h>

#include <stdexcept>

namespace test {

/// How many descriptors this process has open.
inline int open_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (!directory) throw std::runtime_error("/proc/self/fd cannot be read");
  int count = 0;
  while (const dirent* entry = ::readdir(directory)) {  // NOLINT(concurrency-mt-unsafe): a directory of our own
    if (entry->d_name[0] != '.') ++count;
  }
  ::closedir(directory);
  return count - 1;  // the directory's own
}

/// Fails the test when there are more, or fewer, open descriptors at its end than at its beginning.
class no_descriptor_leaks {
 public:
  no_descriptor_leaks() = default;
  no_descriptor_leaks(const no_descriptor_leaks&) = delete;
  no_descriptor_leaks& operator=(const no_descriptor_leaks&) = delete;
  ~no_descriptor_leaks() { CHECK(open_descriptors() == before_); }

 private:
  const int before_ = open_descriptors();
};

}  // namespace test
