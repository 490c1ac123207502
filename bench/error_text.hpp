#pragma once
// "Connection refused" for ECONNREFUSED; strerror is not safe with threads.

#include <string>
#include <system_error>

namespace bench {

inline std::string error_text(int error) { return std::system_category().message(error); }

}  // namespace bench
