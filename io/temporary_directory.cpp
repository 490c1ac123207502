#include "temporary_directory.hpp"

#include <exception>
#include <limits>
#include <system_error>

#include "../runtime/as_result.hpp"
#include "../runtime/detail/take.hpp"
#include "detail/path_name.hpp"
#include "detail/tree_removal.hpp"
#include "path_operations.hpp"
#include "remove_tree.hpp"

namespace weir {

task<temporary_directory> temporary_directory::make(std::string parent) {
  for (;;) {
    std::string path = detail::unique_name_in(parent);
    const result<void> made = co_await as_result(make_directory(path, 0700));
    if (made.has_value()) co_return temporary_directory(std::move(path));
    if (made.error() != std::errc::file_exists) std::rethrow_exception(made.exception());
  }
}

temporary_directory::temporary_directory(temporary_directory&& other) noexcept : path_(detail::take(other.path_)) {}

temporary_directory& temporary_directory::operator=(temporary_directory&& other) noexcept {
  temporary_directory old(std::move(*this));
  path_ = detail::take(other.path_);
  return *this;
}

std::string temporary_directory::path_of(std::string_view name) const { return path_ + "/" + std::string(name); }
std::string temporary_directory::keep() noexcept { return detail::take(path_); }

temporary_directory::~temporary_directory() {
  if (path_.empty()) return;
  try {
    detail::tree_removal removal(std::move(path_));
    while (removal.go_on(std::numeric_limits<unsigned>::max())) {
    }
  } catch (...) {  // it is somebody else's by now, or memory is out
  }
}

task<std::uint64_t> temporary_directory::remove() {
  std::string path = keep();
  if (path.empty()) co_return 0;
  co_return co_await remove_tree(std::move(path));
}

}  // namespace weir
