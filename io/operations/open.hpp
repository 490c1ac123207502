#pragma once

#include <string>
#include <utility>

#include "../detail/blocking_step.hpp"
#include "../detail/file_access.hpp"
#include "../detail/io_operation.hpp"

namespace weir {

class file;
enum class file_mode : std::uint8_t;

namespace detail {

/// Opens a file. What was opened and is not handed out is closed with the operation.
class [[nodiscard]] open_operation final : public io_awaitable<open_operation, file, blocking_io_leaf> {
 public:
  static constexpr const char* verb = "open";
  open_operation(std::string path, file_mode mode, unsigned permissions) noexcept;
  /// By the flags of open(2).
  open_operation(std::string path, int flags, unsigned permissions) noexcept;
  open_operation(open_operation&&) noexcept = default;
  ~open_operation();

  bool ready(const await_context& context) noexcept;
  [[nodiscard]] failure failed();
  file value();

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] io_use use() const noexcept override { return io_use::nothing; }
  bool goes_on(int result) noexcept override {
    opened_ = result;
    return false;
  }
  [[nodiscard]] std::string object() const override;

  std::string path_;
  int flags_;
  unsigned permissions_;
  int opened_ = -1;
  file_access sequential_ = file_access::own_position;
};

}  // namespace detail
}  // namespace weir
