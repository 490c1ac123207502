#pragma once
// Connecting to a server on loopback, for the load client and the idle bench.

#include <cstddef>
#include <cstdint>

namespace bench {

/// A connected blocking socket with TCP_NODELAY. Connecting, sending and receiving each take at
/// most 5 s. Every 16,000th connection (by `index`) comes from another address, 127.0.0.2 and so
/// on, because one pair of addresses has about 28,000 ports. Throws std::runtime_error.
int connect_loopback(std::uint16_t port, std::size_t index);

/// Raises the soft limit on open files to the hard one and returns it. Children inherit it.
std::size_t raise_open_files_limit();

}  // namespace bench
