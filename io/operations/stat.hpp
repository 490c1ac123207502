#pragma once

#include <array>
#include <cstddef>

#include "../file_status.hpp"
#include "path_call.hpp"

namespace weir::detail {

/// Of the kernel's st_mode and its like.
file_type type_of_mode(unsigned mode) noexcept;

/// What a path or an open file is.
class [[nodiscard]] stat_operation final : public io_awaitable<stat_operation, file_status, path_leaf> {
 public:
  static constexpr const char* verb = "stat";
  stat_operation(std::string path, symlinks last) noexcept : io_awaitable(std::move(path)), last_(last) {}
  explicit stat_operation(descriptor* target) noexcept : io_awaitable(target) {}
  stat_operation(stat_operation&&) noexcept = default;
  ~stat_operation() = default;

  bool ready(const await_context& context) noexcept { return begin_with_paths(context); }
  [[nodiscard]] file_status value() const noexcept;

 private:
  [[nodiscard]] std::uint8_t ring_opcode() const noexcept override;
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] int flags() const noexcept;
  [[nodiscard]] int base() const noexcept;

  symlinks last_ = symlinks::follow;
  alignas(8) std::array<std::byte, 256> answer_{};  // the kernel's struct statx
};

}  // namespace weir::detail
