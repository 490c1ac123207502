#pragma once

#include <vector>

#include "../endpoint.hpp"

namespace weir::detail {

/// IPv6 and IPv4 in turn, beginning with that of the first address, so that a family that does not work holds up only
/// every other attempt; otherwise in the order given. O(n).
std::vector<endpoint> alternate_families(const std::vector<endpoint>& addresses);

}  // namespace weir::detail
