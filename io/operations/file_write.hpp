#pragma once

#include <span>

#include "../detail/blocking_step.hpp"
#include "../detail/file_access.hpp"
#include "../detail/io_operation.hpp"

namespace weir::detail {

/// What the writes to a file have in common.
class file_write_core : public blocking_io_leaf {
 protected:
  file_write_core(descriptor* to, file_access how, std::span<const std::byte> from, std::uint64_t offset) noexcept
      : blocking_io_leaf(to), from_(from), offset_(offset), how_(how) {}
  file_write_core(const file_write_core&) = default;
  ~file_write_core() = default;

  bool begin_write(const await_context& context) noexcept;
  bool note(int result) noexcept;
  [[nodiscard]] failure failure_of_write(const char* verb) const;
  [[nodiscard]] std::size_t done() const noexcept { return done_; }
  [[nodiscard]] std::size_t size() const noexcept { return from_.size(); }

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override {
    return is_stream(how_) ? readiness::output : readiness::blocking;
  }
  [[nodiscard]] io_use use() const noexcept override { return is_sequential(how_) ? io_use::writing : io_use::other; }

  std::span<const std::byte> from_;
  std::uint64_t offset_;
  std::size_t done_ = 0;
  file_access how_;
};

/// Writes to a file what one call takes: at an offset, or sequentially.
class [[nodiscard]] file_write_operation final
    : public io_awaitable<file_write_operation, std::size_t, file_write_core> {
 public:
  static constexpr const char* verb = "write";
  file_write_operation(descriptor* to, file_access how, std::span<const std::byte> from, std::uint64_t offset) noexcept
      : io_awaitable(to, how, from, offset) {}
  file_write_operation(const file_write_operation&) = default;
  ~file_write_operation() = default;

  bool ready(const await_context& context) noexcept { return begin_write(context); }
  std::size_t value() const noexcept { return static_cast<std::size_t>(result()); }
  [[nodiscard]] failure failed() const { return failure_of_write(verb); }

 private:
  bool goes_on(int result) noexcept override {
    note(result);
    return false;
  }
};

/// Writes everything, in as many calls as it takes.
class [[nodiscard]] file_write_all_operation final
    : public io_awaitable<file_write_all_operation, void, file_write_core> {
 public:
  static constexpr const char* verb = "write_all";
  file_write_all_operation(descriptor* to, file_access how, std::span<const std::byte> from,
                           std::uint64_t offset) noexcept
      : io_awaitable(to, how, from, offset) {}
  file_write_all_operation(const file_write_all_operation&) = default;
  ~file_write_all_operation() = default;

  bool ready(const await_context& context) noexcept { return begin_write(context); }
  void value() const noexcept {}
  [[nodiscard]] failure failed() const;

 private:
  bool goes_on(int result) noexcept override { return note(result); }
};

}  // namespace weir::detail
