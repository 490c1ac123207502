#include "direct_access.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

namespace weir::detail {

namespace {

// Of any device: it may ask for more.
constexpr std::uint64_t least_block = 512;

bool is_odd(std::uint64_t number) noexcept { return number % least_block != 0; }

}  // namespace

bool is_misaligned(const void* address, std::size_t size) noexcept {
  return is_odd(reinterpret_cast<std::uintptr_t>(address)) || is_odd(size);
}

failure direct_failure(const char* verb, const std::string& object, const void* address, std::size_t size,
                       std::uint64_t offset) {
  std::string odd;
  const auto add = [&odd](const std::string& what) { odd += (odd.empty() ? "" : ", ") + what; };
  if (is_odd(reinterpret_cast<std::uintptr_t>(address))) add("the buffer's address");
  if (is_odd(size)) add(fmt::format("the size {}", size));
  if (is_odd(offset)) add(fmt::format("the offset {}", offset));
  const std::string rule =
      odd.empty() ? "its device has blocks of more than 512 bytes" : "no multiple of its device's block size: " + odd;
  return {std::error_code(EINVAL, std::generic_category()),
          fmt::format("{} {}, which is open for direct I/O ({})", verb, object, rule)};
}

}  // namespace weir::detail
