#pragma once

#include <cstddef>
#include <cstdint>

#include "../detail/blocking_step.hpp"
#include "../detail/copy_end.hpp"
#include "../detail/io_operation.hpp"

namespace weir::detail {

/// What one call has copied.
struct copy_step {
  std::size_t moved;  // 0 at the end of the file, and where the other end is full
  bool full;
};

/// Copies from a file, where it stands, into another one or into something that does not block, without the bytes
/// passing through memory of ours. One call.
///
/// The other end must be held meanwhile (descriptor::hold).
class [[nodiscard]] copy_file_operation final : public io_awaitable<copy_file_operation, copy_step, blocking_io_leaf> {
 public:
  static constexpr const char* verb = "copy";
  copy_file_operation(const copy_end& from, const copy_end& to) noexcept
      : io_awaitable(from.target), from_(from), to_(to) {
    ask_probe();  // no ring has any of the calls
  }
  copy_file_operation(const copy_file_operation&) = default;
  ~copy_file_operation() = default;

  [[nodiscard]] failure failed() const;
  [[nodiscard]] copy_step value() const noexcept { return {static_cast<std::size_t>(result()), full_}; }

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  [[nodiscard]] io_use use() const noexcept override { return io_use::reading; }
  bool goes_on(int result) noexcept override;
  /// Of one call, so that it can be stopped between them.
  static constexpr std::size_t most() noexcept { return std::size_t{4} << 20; }

  copy_end from_;
  copy_end to_;
  bool full_ = false;
};

}  // namespace weir::detail
