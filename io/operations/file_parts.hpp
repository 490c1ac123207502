#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "../detail/blocking_step.hpp"
#include "../detail/file_access.hpp"
#include "../detail/io_operation.hpp"

namespace weir::detail {

/// What transfers of a file into or from several buffers have in common; Byte is const for writes. One call takes the
/// next few of the buffers.
template <class Byte>
class file_parts_leaf : public blocking_io_leaf {
 protected:
  using part = std::span<Byte>;

  file_parts_leaf(descriptor* target, file_access how, std::span<const part> parts, std::uint64_t offset) noexcept;
  file_parts_leaf(const file_parts_leaf&) = default;
  ~file_parts_leaf() = default;

  bool begin_transfer(const await_context& context) noexcept;
  /// So much was moved. True while something is left.
  bool note(std::size_t moved) noexcept;
  [[nodiscard]] std::size_t done() const noexcept { return done_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] failure failure_of_transfer(const char* verb) const;

 private:
  /// As the kernel's iovec.
  struct native_part {
    void* data;
    std::size_t size;
  };
  static constexpr std::size_t most_parts = 16;

  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override;
  [[nodiscard]] io_use use() const noexcept override;
  void gather() noexcept;
  /// The next part that is not empty.
  [[nodiscard]] part front() const noexcept { return {static_cast<Byte*>(window_[0].data), window_[0].size}; }

  std::span<const part> parts_;  // the first is not done
  std::uint64_t offset_;
  std::size_t in_first_ = 0;  // so much of the first is
  std::size_t done_ = 0;
  std::size_t size_ = 0;
  std::array<native_part, most_parts> window_{};
  unsigned count_ = 0;  // of the window
  file_access how_;
};
extern template class file_parts_leaf<std::byte>;
extern template class file_parts_leaf<const std::byte>;

/// One call.
template <class Byte>
class [[nodiscard]] file_parts_operation final
    : public io_awaitable<file_parts_operation<Byte>, std::size_t, file_parts_leaf<Byte>> {
 public:
  static constexpr const char* verb = std::is_const_v<Byte> ? "write" : "read";
  file_parts_operation(descriptor* target, file_access how, std::span<const std::span<Byte>> parts,
                       std::uint64_t offset) noexcept
      : file_parts_operation::io_awaitable(target, how, parts, offset) {}
  file_parts_operation(const file_parts_operation&) = default;
  ~file_parts_operation() = default;

  bool ready(const await_context& context) noexcept { return this->begin_transfer(context); }
  std::size_t value() const noexcept { return static_cast<std::size_t>(this->result()); }
  [[nodiscard]] failure failed() const { return this->failure_of_transfer(verb); }

 private:
  bool goes_on(int result) noexcept override {
    this->note(static_cast<std::size_t>(result));
    return false;
  }
};

/// Writes everything, in as many calls as it takes.
class [[nodiscard]] file_write_all_parts_operation final
    : public io_awaitable<file_write_all_parts_operation, void, file_parts_leaf<const std::byte>> {
 public:
  static constexpr const char* verb = "write_all";
  file_write_all_parts_operation(descriptor* to, file_access how, std::span<const std::span<const std::byte>> parts,
                                 std::uint64_t offset) noexcept
      : io_awaitable(to, how, parts, offset) {}
  file_write_all_parts_operation(const file_write_all_parts_operation&) = default;
  ~file_write_all_parts_operation() = default;

  bool ready(const await_context& context) noexcept { return begin_transfer(context); }
  void value() const noexcept {}
  [[nodiscard]] failure failed() const;

 private:
  bool goes_on(int result) noexcept override { return note(static_cast<std::size_t>(result)); }
};

}  // namespace weir::detail
