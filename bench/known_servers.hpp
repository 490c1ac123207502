#pragma once
// The servers that can be compared, by name.

#include "server_process.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

enum class needs { nothing, ring, deferred_ring, program };

struct known_server {
  std::string_view name;   // for --servers and JSON
  std::string_view title;  // for tables
  server_command command;
  needs required;
  std::string_view install = {};  // what Debian calls what its program needs: it is built where that is
};

/// A sentence, or nothing when it can run here.
std::string why_not(const known_server& server);

std::span<const known_server> known_servers();

/// Throws std::invalid_argument with the names that exist.
const known_server& find_server(std::string_view name);

/// Those of `names` that can run here, in that order; one sentence is printed for what cannot.
std::vector<const known_server*> runnable_servers(const std::vector<std::string>& names);

}  // namespace bench
