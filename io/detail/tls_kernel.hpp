#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

/// Kernel TLS: a TCP socket to which the keys were given encrypts what is written to it, also what sendfile(2) writes.
/// For good: it cannot be told other keys before Linux 6.14, nor to stop. None of these calls waits; each returns what
/// the call returns, or -errno. Simulated sockets have no such thing: -ENOTSUP.
namespace weir::detail::tls_kernel {

/// The kernel has said that it has no TLS. It is not asked again: of a process that may load modules each time would
/// start a modprobe.
extern std::atomic<bool> absent;

/// What the kernel encrypts as: the content type of TLS's records.
enum class content : std::uint8_t { alert = 21, handshake = 22, data = 23 };

/// Sends bytes as they are, before the socket has keys.
int send_plain(int number, std::span<const std::byte> bytes) noexcept;
/// Makes it a socket that can have keys; it goes on as before. -ENOENT where the kernel has no TLS.
int prepare(int number) noexcept;
/// Gives it the keys for sending. `keys` begins with a tls_crypto_info of linux/tls.h. When that fails, -EINVAL for
/// what the kernel does not know, the socket goes on as before.
int give_keys(int number, const void* keys) noexcept;
/// Sends a part of a message that is no data, at most 16 KiB; how much was taken.
int send_message(int number, content type, std::span<const std::byte> bytes) noexcept;

}  // namespace weir::detail::tls_kernel
