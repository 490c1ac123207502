#include "directory.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "../runtime/as_result.hpp"
#include "operations/read_directory.hpp"
#include "path_operations.hpp"

namespace weir {

namespace {

using detail::directory_stream;
using open_directories = std::vector<std::unique_ptr<directory_stream>>;  // one in the other

std::string path_in(const std::string& directory, std::string_view name) {
  std::string path;
  path.reserve(directory.size() + 1 + name.size());
  path = directory;
  if (!path.ends_with('/')) path += '/';
  path += name;
  return path;
}

bool is_around_itself(const open_directories& open) noexcept {
  const auto inner = open.end() - 1;
  return std::any_of(open.begin(), inner, [inner](const auto& outer) { return outer->is_same(**inner); });
}

/// Reads on in the innermost directory; false at its end.
task<bool> read_on(const open_directories& open) {
  const bool more = co_await detail::read_directory_operation(*open.back());
  if (is_around_itself(open)) {
    throw std::system_error(ELOOP, std::generic_category(), "read_directory " + open.back()->path());
  }
  co_return more;
}

task<file_type> type_behind(std::string link) {
  const result<file_status> target = co_await as_result(stat(std::move(link)));
  co_return target.has_value() ? target->type : file_type::symlink;
}

}  // namespace

async_generator<directory_entry> list_directory(std::string path) {
  directory_stream from(std::move(path), symlinks::follow);
  for (;;) {
    const bool more = co_await detail::read_directory_operation(from);
    if (!more) co_return;
    while (const std::optional<directory_stream::entry> next = from.next()) {
      directory_entry entry{.name = std::string(next->name), .type = next->type, .inode = next->inode};
      co_yield std::move(entry);
    }
  }
}

async_generator<walk_entry> walk_directory(std::string path, walk_options options) {
  open_directories open;
  open.push_back(std::make_unique<directory_stream>(std::move(path), symlinks::follow));
  while (!open.empty()) {
    const auto depth = static_cast<unsigned>(open.size() - 1);
    const std::optional<directory_stream::entry> next = open.back()->next();
    if (!next) {
      const result<bool> more = co_await as_result(read_on(open));
      if (more.has_value()) {
        if (!*more) open.pop_back();
        continue;
      }
      if (depth == 0 || options.errors == walk_errors::fail) std::rethrow_exception(more.exception());
      walk_entry failed{
          .path = open.back()->path(), .type = file_type::directory, .depth = depth - 1, .error = more.error()};
      open.pop_back();
      co_yield std::move(failed);
      continue;
    }
    walk_entry entry{.path = path_in(open.back()->path(), next->name), .type = next->type, .depth = depth, .error = {}};
    if (entry.type == file_type::symlink && options.links == symlinks::follow) {
      const file_type target = co_await type_behind(entry.path);
      entry.type = target;
    }
    if (entry.type == file_type::directory && depth < options.max_depth) {
      open.push_back(std::make_unique<directory_stream>(entry.path, options.links));
    }
    co_yield std::move(entry);
  }
}

}  // namespace weir
