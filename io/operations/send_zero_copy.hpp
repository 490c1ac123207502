#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "send.hpp"

namespace weir::detail {

/// Writes everything, from the caller's memory where the kernel can. It ends when the kernel has let go of that memory:
/// the ring then completes twice, and the reactor hands on the second completion with the result of the first.
class [[nodiscard]] send_zero_copy_operation final
    : public io_awaitable<send_zero_copy_operation, void, send_all_leaf> {
 public:
  static constexpr const char* verb = "write_all_zero_copy";
  send_zero_copy_operation(descriptor* to, std::span<const std::byte> from) noexcept : io_awaitable(to, from) {
    intercept_completions();
  }
  send_zero_copy_operation(const send_zero_copy_operation&) = default;
  ~send_zero_copy_operation() = default;

  bool ready(const await_context& context) noexcept { return is_empty() ? finish_empty(context) : try_io(context); }
  void value() const noexcept {}

 private:
  enum class form : std::uint8_t {
    plain,
    zero_copy,
    reporting,  // the same, and the kernel tells whether it has copied after all
  };

  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  bool intercept(int& result, bool ending) noexcept override;
  bool try_again(int result) noexcept override;
  [[nodiscard]] bool is_refusal(int result) const noexcept;

  form asked_ = form::plain;
  bool refused_ = false;  // for this socket, or at this time
};

}  // namespace weir::detail
