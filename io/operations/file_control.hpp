#pragma once

#include <cstdint>

#include "../detail/blocking_step.hpp"
#include "../detail/io_operation.hpp"

namespace weir {

/// How a part of a file is going to be used.
enum class file_advice : std::uint8_t {
  normal,
  sequential,  ///< from the front to the end: more is read ahead
  random,      ///< nothing is read ahead
  will_need,   ///< begin to read it now
  dont_need,   ///< it need not stay in memory; what was written and not synced stays all the same
};

namespace detail {

enum class file_control : std::uint8_t { allocate, deallocate, set_size, set_permissions, advise };

/// What changes an open file beside writing, or says something about it.
class [[nodiscard]] file_control_operation final : public io_awaitable<file_control_operation, void, blocking_io_leaf> {
 public:
  static constexpr const char* verb = "control";  // name() says what
  /// `offset` is the new size or the new permissions where there is only one number.
  file_control_operation(descriptor* target, file_control what, std::uint64_t offset, std::uint64_t length = 0,
                         file_advice advice = file_advice::normal) noexcept
      : io_awaitable(target), offset_(offset), length_(length), what_(what), advice_(advice) {
    ask_probe();
  }
  file_control_operation(const file_control_operation&) = default;
  ~file_control_operation() = default;

  bool ready(const await_context& context) noexcept;
  void value() const noexcept {}
  [[nodiscard]] const char* name() const noexcept override;

 private:
  [[nodiscard]] std::uint8_t ring_opcode() const noexcept override;
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] io_use use() const noexcept override { return io_use::other; }
  [[nodiscard]] int mode() const noexcept;
  [[nodiscard]] int native_advice() const noexcept;

  std::uint64_t offset_;
  std::uint64_t length_;
  file_control what_;
  file_advice advice_;
};

}  // namespace detail
}  // namespace weir
