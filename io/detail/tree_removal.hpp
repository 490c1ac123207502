#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../unique_descriptor.hpp"

namespace weir::detail {

/// Removes a tree in steps. Each directory is opened in the one above, without following links, so that names cannot
/// lead out of the tree. For one thread at a time; blocks.
class tree_removal {
 public:
  explicit tree_removal(std::string path);
  tree_removal(tree_removal&&) noexcept;
  tree_removal& operator=(tree_removal&&) = delete;
  ~tree_removal();

  /// Removes up to `most` names; false when nothing is left. Throws std::system_error.
  bool go_on(unsigned most);
  [[nodiscard]] std::uint64_t removed() const noexcept { return removed_; }

 private:
  struct level;

  void begin();
  /// Removes the name, or opens the directory that has it.
  void take(int directory, std::string name);
  /// Removes the innermost directory, which was read to its end.
  void leave();
  [[nodiscard]] std::string path_of(const std::string& name) const;
  [[noreturn]] void fail(int error, const std::string& name) const;

  std::string path_;
  unique_descriptor parent_;  // of the root
  std::vector<level> levels_;
  std::uint64_t removed_ = 0;
  bool begun_ = false;
};

}  // namespace weir::detail
