#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "../../runtime/detail/owned.hpp"
#include "../detail/blocking_step.hpp"
#include "../detail/io_operation.hpp"
#include "../file_status.hpp"

namespace weir::detail {

/// A directory that is read in batches. One batch is held; the descriptor is closed at the end.
class directory_stream {
 public:
  struct entry {
    std::string_view name;  // until the next batch
    file_type type;
    std::uint64_t inode;
  };

  directory_stream(std::string path, symlinks last) noexcept : path_(std::move(path)), last_(last) {}
  directory_stream(const directory_stream&) = delete;
  directory_stream& operator=(const directory_stream&) = delete;
  ~directory_stream();

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// The next entry of the batch, "." and ".." left out; none when the batch is used up.
  std::optional<entry> next() noexcept;
  /// Opens it the first time, and reads the next batch: its size, 0 at the end, or -errno. May block.
  int fill() noexcept;
  /// The same directory, also by another path. Both have been opened.
  [[nodiscard]] bool is_same(const directory_stream& other) const noexcept {
    return device_ == other.device_ && inode_ == other.inode_;
  }

 private:
  static constexpr std::size_t batch_size = 16'384;

  int open() noexcept;
  void find_unknown_types() noexcept;

  std::string path_;
  symlinks last_;
  int number_ = -1;
  bool ended_ = false;
  std::size_t filled_ = 0;
  std::size_t at_ = 0;
  owned_array<std::byte> batch_;
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
};

/// Reads the next batch: whether there was one. On the offload pool; rings do not have it.
class [[nodiscard]] read_directory_operation final
    : public io_awaitable<read_directory_operation, bool, blocking_io_leaf> {
 public:
  static constexpr const char* verb = "read_directory";
  explicit read_directory_operation(directory_stream& from) noexcept : io_awaitable(nullptr), from_(&from) {
    ask_probe();
  }
  read_directory_operation(const read_directory_operation&) = default;
  ~read_directory_operation() = default;

  bool ready(const await_context& context) noexcept;
  [[nodiscard]] bool value() const noexcept { return result() > 0; }

 private:
  void prepare(ring_entry&) noexcept override {}  // it comes to no ring
  int attempt() noexcept override { return from_->fill(); }
  [[nodiscard]] io_use use() const noexcept override { return io_use::nothing; }
  [[nodiscard]] std::string object() const override;

  directory_stream* from_;
};

}  // namespace weir::detail
