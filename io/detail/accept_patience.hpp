#pragma once

#include <exception>
#include <system_error>

#include "../../runtime/clock.hpp"
#include "../../runtime/detail/light_std.hpp"

namespace weir::detail {

/// How an accept loop outlasts that descriptors or memory are short.
class accept_patience {
 public:
  /// How long to wait before the next try. The first of a row of failures is reported; what no waiting helps against is
  /// thrown.
  duration after(const std::error_code& error, const std::exception_ptr& failed);
  /// A connection was accepted.
  void renew() noexcept { pause_ = shortest; }

 private:
  static constexpr duration shortest = std::chrono::milliseconds(5);
  static constexpr duration longest = std::chrono::seconds(1);
  duration pause_ = shortest;
};

}  // namespace weir::detail
