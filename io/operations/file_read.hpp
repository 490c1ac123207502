#pragma once

#include <span>

#include "../detail/blocking_step.hpp"
#include "../detail/file_access.hpp"
#include "../detail/io_operation.hpp"

namespace weir::detail {

/// Reads from a file what one call gives: at an offset, or sequentially.
class [[nodiscard]] file_read_operation final
    : public io_awaitable<file_read_operation, std::size_t, blocking_io_leaf> {
 public:
  static constexpr const char* verb = "read";
  file_read_operation(descriptor* from, file_access how, std::span<std::byte> into, std::uint64_t offset) noexcept
      : io_awaitable(from), into_(into), offset_(offset), how_(how) {}
  file_read_operation(const file_read_operation&) = default;
  ~file_read_operation() = default;

  bool ready(const await_context& context) noexcept;
  [[nodiscard]] failure failed() const;
  std::size_t value() const noexcept { return static_cast<std::size_t>(result()); }

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override {
    return is_stream(how_) ? readiness::input : readiness::blocking;
  }
  [[nodiscard]] io_use use() const noexcept override { return is_sequential(how_) ? io_use::reading : io_use::other; }
  bool goes_on(int result) noexcept override;

  std::span<std::byte> into_;
  std::uint64_t offset_;
  file_access how_;
};

}  // namespace weir::detail
