#pragma once

#include <cstddef>

#include "../detail/io_operation.hpp"

namespace weir::detail {

/// Moves what is there between something that does not block and a pipe of our own, which is never what is waited for:
/// it is empty before it is filled. The pipe's number stays open until the operation has ended.
///
/// It makes its system call itself when its turn has come, and the ring waits for the descriptor or carries an empty
/// request: IORING_OP_SPLICE would run on a thread of the kernel's, which a slow peer holds for as long.
class splice_leaf : public io_leaf {
 protected:
  splice_leaf(descriptor* target, int pipe, std::size_t most, readiness way) noexcept
      : io_leaf(target), pipe_(pipe), way_(way), most_(most) {
    intercept_completions();
  }
  splice_leaf(const splice_leaf&) = default;
  ~splice_leaf() = default;

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return way_; }
  [[nodiscard]] io_use use() const noexcept override {
    return way_ == readiness::input ? io_use::reading : io_use::writing;
  }
  bool intercept(int& result, bool ending) noexcept override;
  bool goes_on(int result) noexcept override;
  [[nodiscard]] bool has_to_wait() const noexcept;

  int pipe_;
  readiness way_;
  int answer_ = 0;  // of the latest call
  std::size_t most_;
};

/// From `from` into the pipe: 0 at the end.
class [[nodiscard]] splice_in_operation final : public io_awaitable<splice_in_operation, std::size_t, splice_leaf> {
 public:
  static constexpr const char* verb = "read";
  splice_in_operation(descriptor* from, int pipe, std::size_t most) noexcept
      : io_awaitable(from, pipe, most, readiness::input) {}
  splice_in_operation(const splice_in_operation&) = default;
  ~splice_in_operation() = default;

  [[nodiscard]] std::size_t value() const noexcept { return static_cast<std::size_t>(result()); }
};

/// From the pipe into `to`: at least one byte of what is in it.
class [[nodiscard]] splice_out_operation final : public io_awaitable<splice_out_operation, std::size_t, splice_leaf> {
 public:
  static constexpr const char* verb = "write";
  splice_out_operation(descriptor* to, int pipe, std::size_t most) noexcept
      : io_awaitable(to, pipe, most, readiness::output) {}
  splice_out_operation(const splice_out_operation&) = default;
  ~splice_out_operation() = default;

  [[nodiscard]] std::size_t value() const noexcept { return static_cast<std::size_t>(result()); }
};

}  // namespace weir::detail
