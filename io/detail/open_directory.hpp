#pragma once

#include <dirent.h>

#include <memory>

namespace weir::detail {

struct close_directory {
  void operator()(DIR* stream) const noexcept { static_cast<void>(::closedir(stream)); }
};
/// Of opendir(3): for what blocks anyway.
using open_directory = std::unique_ptr<DIR, close_directory>;

}  // namespace weir::detail
