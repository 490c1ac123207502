#pragma once

#include <string>
#include <vector>

#include "../../runtime/detail/function.hpp"
#include "../../runtime/task.hpp"
#include "../endpoint.hpp"

struct addrinfo;

namespace weir::detail {

/// The addresses in the list that getaddrinfo gives, in its order, each once.
std::vector<endpoint> endpoints_of(const addrinfo* list);

/// getaddrinfo(3). Blocks. Throws std::system_error.
std::vector<endpoint> look_up(const std::string& host, const std::string& service);

using lookup = std::function<std::vector<endpoint>(const std::string&, const std::string&)>;

/// resolve() with another way to look up, which may be left behind on its thread.
task<std::vector<endpoint>> resolve_by(lookup how, std::string host, std::string service);

}  // namespace weir::detail
