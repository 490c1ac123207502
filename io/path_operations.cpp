#include "path_operations.hpp"

#include <cstdint>
#include <string_view>
#include <system_error>
#include <vector>

#include "../runtime/as_result.hpp"

namespace weir {

namespace {

/// Where the name of the directory ends that `path` is in; 0 when it is in none that could be made.
std::size_t end_of_parent(std::string_view path) noexcept {
  while (path.ends_with('/')) path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return 0;
  path = path.substr(0, slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  return path.size();
}

enum class parent : std::uint8_t { may_be_missing, must_be_there };

/// Whether it is there now; false when the one above it is missing, and may be.
task<bool> make_one(std::string path, unsigned permissions, parent above) {
  const result<void> made = co_await as_result(make_directory(path, permissions));
  if (made.error() == std::errc::no_such_file_or_directory && above == parent::may_be_missing &&
      end_of_parent(path) != 0) {
    co_return false;
  }
  if (made.error() == std::errc::file_exists) {
    const file_status there = co_await stat(path);
    if (there.is_directory()) co_return true;
  }
  made.value();
  co_return true;
}

}  // namespace

task<> make_directories(std::string path, unsigned permissions) {
  std::vector<std::size_t> missing;  // where their names end, the longest first
  std::size_t end = path.size();
  for (;;) {
    const bool there = co_await make_one(path.substr(0, end), permissions, parent::may_be_missing);
    if (there) break;
    missing.push_back(end);
    end = end_of_parent(std::string_view(path).substr(0, end));
  }
  for (; !missing.empty(); missing.pop_back()) {
    co_await make_one(path.substr(0, missing.back()), permissions, parent::must_be_there);
  }
}

}  // namespace weir
