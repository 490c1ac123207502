#pragma once

#include <cstdint>

namespace weir {

/// Who is at the other end of a unix connection, as the kernel vouches for it: who had connected, listened or made the
/// pair, at that moment. By now the process may have ended, and its number may be another's.
struct unix_credentials {
  std::int32_t pid = 0;   ///< 0 when it is in a process namespace that is not seen from here
  std::uint32_t uid = 0;  ///< the effective one
  std::uint32_t gid = 0;

  friend bool operator==(const unix_credentials&, const unix_credentials&) = default;
};

}  // namespace weir
