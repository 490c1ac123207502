#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "file_access.hpp"

namespace weir::detail {

class simulated_kernel;

/// The files of a simulation, by path. Directories are there when a file is below them. What each call returns is what
/// the system call returns, or -errno.
class simulated_disk {
 public:
  explicit simulated_disk(simulated_kernel& kernel) noexcept : kernel_(kernel) {}

  /// `flags` as those of open(2).
  int open(const std::string& path, int flags);
  int read(int number, file_access how, std::span<std::byte> into, std::uint64_t offset);
  int write(int number, file_access how, std::span<const std::byte> from, std::uint64_t offset);
  int sync(int number);
  int size(int number, std::uint64_t& bytes);
  int set_position(int number, std::uint64_t offset);
  int set_size(int number, std::uint64_t bytes);
  /// The mode that stat(2) gives.
  int status(const std::string& path, std::uint64_t& bytes, std::uint64_t& inode);
  int status(int number, std::uint64_t& bytes, std::uint64_t& inode);
  int rename(const std::string& from, const std::string& to, bool replace);
  int unlink(const std::string& path);
  int sync_directory(const std::string& path);

 private:
  /// A file, which may have lost its name.
  struct content {
    content(std::shared_ptr<std::uint64_t> counter, std::uint64_t number) noexcept
        : used(std::move(counter)), inode(number) {}
    content(const content&) = delete;
    content& operator=(const content&) = delete;
    ~content() { *used -= bytes.size(); }
    void resize(std::uint64_t size) {
      *used += size - bytes.size();
      bytes.resize(size);
    }
    const std::shared_ptr<std::uint64_t> used;
    const std::uint64_t inode;
    std::vector<std::byte> bytes;
  };
  class open_file;

  [[nodiscard]] bool is_directory(const std::string& path) const;
  [[nodiscard]] bool is_below_a_file(const std::string& path) const;

  simulated_kernel& kernel_;
  /// Where `path` would be a file: 0, or why it cannot be one.
  [[nodiscard]] int refuse_as_file(const std::string& path) const;

  /// The size with which it would fill the disk.
  [[nodiscard]] std::uint64_t most_size(const content& file) const noexcept;

  // Bytes of all files; of those that are still open it may outlive this object.
  std::shared_ptr<std::uint64_t> used_ = std::make_shared<std::uint64_t>(0);
  std::uint64_t last_inode_ = 0;
  std::map<std::string, std::shared_ptr<content>> files_;
};

}  // namespace weir::detail
