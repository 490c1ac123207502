#pragma once

#include <string>
#include <utility>

#include "../detail/blocking_step.hpp"
#include "../detail/io_operation.hpp"

namespace weir::detail {

/// What calls with paths have in common. On the ring where the kernel has them there.
class path_leaf : public blocking_io_leaf {
 protected:
  explicit path_leaf(std::string path, std::string second = {}) noexcept
      : blocking_io_leaf(nullptr), path_(std::move(path)), second_(std::move(second)) {
    ask_probe();
  }
  /// Of an open file.
  explicit path_leaf(descriptor* target) noexcept : blocking_io_leaf(target), open_(true) { ask_probe(); }
  path_leaf(path_leaf&&) noexcept = default;
  ~path_leaf() = default;

  bool begin_with_paths(const await_context& context) noexcept;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::string& second() const noexcept { return second_; }
  [[nodiscard]] bool is_of_open_file() const noexcept { return open_; }
  [[nodiscard]] std::string object() const override;

 private:
  [[nodiscard]] io_use use() const noexcept override { return open_ ? io_use::other : io_use::nothing; }

  std::string path_;
  std::string second_;
  bool open_ = false;
};

enum class path_call : std::uint8_t {
  rename,
  rename_new,  // fails where there is one already
  exchange,
  link,
  symlink,
  unlink,
  remove_directory,
  make_directory,
  sync_directory,
};

/// A call with one path or two that gives nothing back but whether it succeeded.
class [[nodiscard]] path_operation final : public io_awaitable<path_operation, void, path_leaf> {
 public:
  static constexpr const char* verb = "path call";  // name() says which
  path_operation(path_call call, std::string path, std::string second) noexcept
      : io_awaitable(std::move(path), std::move(second)), call_(call) {}
  path_operation(path_call call, std::string path, unsigned permissions = 0) noexcept
      : io_awaitable(std::move(path)), call_(call), permissions_(permissions) {}
  path_operation(path_operation&&) noexcept = default;
  ~path_operation() = default;

  bool ready(const await_context& context) noexcept { return begin_with_paths(context); }
  void value() const noexcept {}
  [[nodiscard]] const char* name() const noexcept override;

 private:
  [[nodiscard]] std::uint8_t ring_opcode() const noexcept override;
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] std::string object() const override;

  path_call call_;
  unsigned permissions_ = 0;
};

}  // namespace weir::detail
