#include "path_name.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <atomic>
#include <cstdint>

#include "simulated_kernel.hpp"

namespace weir::detail {

namespace {

std::uint64_t random_bits() noexcept {
  if (simulated_kernel* const kernel = simulated_kernel::here()) {
    const std::uint64_t high = kernel->below(UINT32_MAX);
    return high << 32 | kernel->below(UINT32_MAX);
  }
  // Where the kernel has no random bits yet, a name that is taken leads to the next one.
  static std::atomic<std::uint64_t> count{0};
  std::uint64_t bits = 0;
  static_cast<void>(::getrandom(&bits, sizeof bits, GRND_NONBLOCK) < 0);
  return bits ^ count.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

bool is_cut_short(const std::string& text) noexcept { return text.find('\0') != std::string::npos; }

std::string shown(const std::string& path) {
  std::string text = path;
  for (std::size_t at = 0; (at = text.find('\0', at)) != std::string::npos; at += 2) text.replace(at, 1, "\\0");
  return text;
}

std::string unique_name_in(const std::string& directory) {
  const char* const between = directory.ends_with('/') ? "" : "/";
  return fmt::format("{}{}.weir-{:016x}", directory, between, random_bits());
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace weir::detail
