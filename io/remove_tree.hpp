#pragma once

#include <cstdint>
#include <string>

#include "../runtime/task.hpp"

namespace weir {

/// Removes what has that name, and of a directory all that is in it. Completes with how many names were removed: 0 when
/// there was nothing.
///
/// Symbolic links are removed and never followed, below `path` and as its last part; whoever replaces a directory by a
/// link meanwhile leads nothing astray, because each directory is opened in the one above it and emptied through its
/// descriptor. Nobody else needs to keep still: what others remove first does not matter, and what they add is removed
/// too, unless they go on for ever (ENOTEMPTY). Other file systems that are mounted below it are entered.
///
/// The first failure ends it with std::system_error, which names the path: "remove_tree a (remove a/b/c): Permission
/// denied"; what was removed is gone. Stopped: the same, in the middle. Done by the threads of offload, a few hundred
/// names at a time. Holds a descriptor for each level where it is; allocates recycled frames, names, and what
/// opendir(3) does for each directory. In a simulation: ENOTSUP.
task<std::uint64_t> remove_tree(std::string path);

}  // namespace weir
