#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
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

 private:
  using content = std::vector<std::byte>;
  class open_file;

  [[nodiscard]] bool is_directory(const std::string& path) const;
  [[nodiscard]] bool is_below_a_file(const std::string& path) const;

  simulated_kernel& kernel_;
  std::map<std::string, std::shared_ptr<content>> files_;
  std::uint64_t used_ = 0;  // bytes of all files
};

}  // namespace weir::detail
