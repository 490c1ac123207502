#pragma once

#include <cstdint>
#include <string>

#include "../runtime/task.hpp"
#include "connect.hpp"
#include "tcp.hpp"
#include "tls_context.hpp"
#include "tls_stream.hpp"

// Part of weir-tls, which is a library of its own: see tls.hpp.

namespace weir {

/// Completes with a connection to `host` over which the handshake is done: connect(), then tls_stream::handshake(),
/// with the errors of both. Cancelled: stops, and nothing stays open.
///
///     auto stream = co_await weir::with_timeout(10s, weir::tls_connect(context, "example.org", "https"));
[[nodiscard]] task<tls_stream<tcp_stream>> tls_connect(tls_context context, std::string host, std::string service,
                                                       connect_options options = {});
[[nodiscard]] task<tls_stream<tcp_stream>> tls_connect(tls_context context, std::string host, std::uint16_t port,
                                                       connect_options options = {});

}  // namespace weir
