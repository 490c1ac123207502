#pragma once

#include <cstdint>
#include <optional>

#include "../detail/io_operation.hpp"
#include "../lease.hpp"

namespace weir::detail {

/// Reads what is there into a buffer of its worker's pool. While nothing is there it holds none.
class [[nodiscard]] receive_lease_operation final : public io_awaitable<receive_lease_operation, std::optional<lease>> {
 public:
  static constexpr const char* verb = "receive";
  explicit receive_lease_operation(descriptor* from) noexcept : io_awaitable(from) { intercept_completions(); }
  receive_lease_operation(receive_lease_operation&&) noexcept = default;
  ~receive_lease_operation() = default;

  bool ready(const await_context& context) noexcept;
  std::optional<lease> value() noexcept;

  /// The pool's: this operation does not wait for a buffer any more.
  void go_on_with(lease buffer) noexcept;

 private:
  /// How the ring is asked, by its latest entry.
  enum class form : std::uint8_t {
    other,   ///< no ring
    chosen,  ///< a read for which the kernel chooses the buffer, once it has something to read
    poll,    ///< until there is something to read
    filled,  ///< a read into the buffer that it has
  };

  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::input; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::reading; }
  [[nodiscard]] bool drained(int result) const noexcept override;
  bool goes_on(int result) noexcept override;
  [[nodiscard]] bool try_again(int result) noexcept override;
  void buffer_chosen(unsigned index) noexcept override;
  bool intercept(int& result, bool ending) noexcept override;
  void come_back() noexcept override;

  [[nodiscard]] bool has_buffer() noexcept;
  int keep_if_filled(int result) noexcept;
  void ask_again() noexcept;

  lease_pool* pool_ = nullptr;
  lease buffer_;
  form form_ = form::other;
  bool poll_first_ = false;  // nothing was there when it had a buffer
  bool chosen_ = false;      // the kernel has chosen this buffer
};

}  // namespace weir::detail
