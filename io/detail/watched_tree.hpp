#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace weir::detail {

/// Which directories of a tree an inotify descriptor watches, and where they are. Paths are those below the root, which
/// itself is "". For one thread at a time.
class watched_tree {
 public:
  struct found {
    std::string path;
    bool is_directory;
  };

  /// `events` as those of inotify(7).
  watched_tree(int number, std::string root, std::uint32_t events)
      : number_(number), root_(std::move(root)), events_(events) {}

  /// Watches a directory and those below it; returns what is in them, each directory before what is in it. Nothing when
  /// it has gone already. Blocks. Throws std::system_error.
  std::vector<found> add(const std::string& path);
  /// Where `name` is in the directory of that watch, itself if it is empty; none for what is not watched any more.
  [[nodiscard]] std::optional<std::string> path_of(int watch, std::string_view name) const;
  [[nodiscard]] bool is_root(int watch) const noexcept;
  /// The watch has ended.
  void forget(int watch);

  /// A directory has lost its name. If it has another one in the tree, move_to() with the same cookie follows.
  void move_from(std::string path, std::uint32_t cookie);
  /// Whether the event with that cookie is the other half of what move_from() has told of.
  [[nodiscard]] bool awaits(std::uint32_t cookie) const noexcept { return cookie_ != 0 && cookie == cookie_; }
  /// False: it was not in the tree before.
  bool move_to(const std::string& path, std::uint32_t cookie);
  /// What move_from() has told of has left the tree: nobody watches it.
  void forget_moved();

 private:
  /// The watch of that directory, or -1 when it has gone.
  int watch(const std::string& path);
  void enter(int watch, const std::string& path);
  [[noreturn]] void fail(int error, const std::string& path) const;
  [[nodiscard]] std::string full(const std::string& path) const { return path.empty() ? root_ : root_ + '/' + path; }
  /// Takes out the directory and all below it.
  std::vector<std::pair<std::string, int>> take(const std::string& path);

  int number_;
  std::string root_;
  std::uint32_t events_;
  std::unordered_map<int, std::string> paths_;
  std::map<std::string, int> watches_;  // the same, by path
  std::string moved_;
  std::uint32_t cookie_ = 0;  // of moved_; 0: there is none
};

}  // namespace weir::detail
