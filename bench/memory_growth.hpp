#pragma once
// By how much this process has grown at most, in resident memory, since the object was made.

#include <cstdint>
#include <fstream>
#include <limits>
#include <string>

namespace bench {

class memory_growth {
 public:
  /// From /proc/self/status.
  [[nodiscard]] std::uint64_t bytes() const {
    const std::uint64_t peak = read("VmHWM:");
    return peak > before_ ? peak - before_ : 0;
  }

 private:
  static std::uint64_t read(const std::string& wanted) {
    std::ifstream status("/proc/self/status");
    std::string key;
    std::uint64_t kilobytes = 0;
    while (status >> key) {
      if (key == wanted && status >> kilobytes) return 1024 * kilobytes;
      status.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    }
    return 0;
  }
  std::uint64_t before_ = read("VmRSS:");
};

}  // namespace bench
