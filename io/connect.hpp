#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/task.hpp"
#include "endpoint.hpp"
#include "tcp.hpp"

namespace weir {

struct connect_options {
  /// How long one address has to answer before the next one is tried beside it.
  duration attempt_delay = std::chrono::milliseconds(250);
};
static_assert(detail::trivially_destructible<connect_options>);

/// Completes with a connection to the first of several addresses that answers ("happy eyeballs", RFC 8305). They are
/// tried in their order, but IPv6 and IPv4 in turn; the next one when the one before has failed, or has not answered
/// for `attempt_delay`. Once there is a connection the other attempts are cancelled, and what they have made is closed.
///
/// Throws std::system_error when all have failed, with the code of the first: "connect to one of 2 addresses
/// ([::1]:80: Connection refused; 127.0.0.1:80: Connection refused): Connection refused". Cancelled: stops when all
/// attempts have; nothing stays open. Allocates frames and a list; O(1) for each attempt. How long it may take in all
/// is for with_timeout.
[[nodiscard]] task<tcp_stream> connect(std::vector<endpoint> addresses, connect_options options = {});

/// The same for the addresses that resolve() gives, with its errors.
///
///     weir::tcp_stream stream = co_await weir::with_timeout(10s, weir::connect("example.org", "https"));
///
/// Overloads of connect(2)'s name.
[[nodiscard]] task<tcp_stream> connect(std::string host, std::string service, connect_options options = {});
[[nodiscard]] task<tcp_stream> connect(std::string host, std::uint16_t port, connect_options options = {});

}  // namespace weir
