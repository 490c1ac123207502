#pragma once
// Clients that ask a server many things at once and wait for all answers before they ask again. Each answer is checked.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace bench {

class wave_client {
 public:
  wave_client() = default;
  wave_client(const wave_client&) = delete;
  wave_client& operator=(const wave_client&) = delete;
  virtual ~wave_client() = default;

  /// Returns how many answers came. Throws std::runtime_error with a sentence for one that is wrong or did not come
  /// within 5 s.
  virtual unsigned ask() = 0;
};

/// 64 sockets, or 8 for what is longer than 1,500 bytes, a datagram of that size from each, which has to come back.
std::unique_ptr<wave_client> datagram_client(std::uint16_t port, std::size_t size);

/// 32 connections at once, which the server has to close; then they are reset, so that none lingers.
std::unique_ptr<wave_client> connecting_client(std::uint16_t port);

/// Whether this program was built with OpenSSL. Without it the next two throw.
extern const bool has_tls;

/// 64 connections over TLS, the server's certificate verified; a message of that size on each, which has to come back.
std::unique_ptr<wave_client> tls_client(std::uint16_t port, std::size_t size, const std::string& certificate);

/// Writes a certificate for 127.0.0.1, signed by itself, and its key.
void make_certificate(const std::string& certificate, const std::string& key);

}  // namespace bench
