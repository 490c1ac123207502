#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "../runtime/task.hpp"

namespace weir {

/// A new directory that nobody else has, and that is removed with all that is in it by the destructor. Move-only.
class temporary_directory {
 public:
  temporary_directory() = default;
  /// Makes one in `parent`, with a name of 64 random bits, for this user alone (0700). Throws std::system_error:
  /// "make_directory /tpm/.weir-83...: No such file or directory". Cancelled: nothing is left. Allocates its path and
  /// recycled frames. In a simulation: ENOTSUP.
  static task<temporary_directory> make(std::string parent = "/tmp");

  temporary_directory(temporary_directory&& other) noexcept;
  temporary_directory& operator=(temporary_directory&& other) noexcept;
  /// Removes it on the spot, and holds up its worker meanwhile: for more than some hundred files await remove() before.
  /// What cannot be removed stays, and nobody is told.
  ~temporary_directory();

  /// Empty when there is none, or none any more.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// Of what is called `name` in it.
  [[nodiscard]] std::string path_of(std::string_view name) const;
  /// As remove_tree(); whatever comes of it, the destructor has nothing to do then.
  task<std::uint64_t> remove();
  /// It is to stay. Returns its path.
  std::string keep() noexcept;

 private:
  explicit temporary_directory(std::string path) noexcept : path_(std::move(path)) {}

  std::string path_;
};

}  // namespace weir
