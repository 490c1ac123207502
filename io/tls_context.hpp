#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../runtime/detail/config.hpp"

// Part of weir-tls, which is a library of its own: see tls.hpp.

namespace weir {

namespace detail {
class tls_credentials;
class tls_trust;
class tls_settings;
class tls_engine;
}  // namespace detail

/// A certificate, those that lead from it to a root, and its private key. Copies share it.
///
/// What cannot be used fails with std::system_error: "tls_certificate server.pem: No such file or directory",
/// "tls_certificate: the key is not that of the certificate: unusable certificate or key". Keys with a passphrase are
/// refused.
class tls_certificate {
 public:
  /// From PEM files: `chain` has the certificate first and then its issuers. Reads them at once, by blocking calls.
  static tls_certificate from_files(const std::string& chain, const std::string& key);
  /// From PEM texts.
  static tls_certificate from_pem(std::string_view chain, std::string_view key);

 private:
  friend class tls_context;
  explicit tls_certificate(std::shared_ptr<const detail::tls_credentials> shared) noexcept
      : shared_(std::move(shared)) {}
  std::shared_ptr<const detail::tls_credentials> shared_;
};

/// The roots: certificates whose signature is believed. Copies share them.
class tls_roots {
 public:
  /// Those of the system: OpenSSL's default directory and file, or SSL_CERT_DIR and SSL_CERT_FILE of the environment.
  /// They are read when a handshake asks for one, by blocking calls.
  static tls_roots system();
  /// Those in a PEM file, or text. Errors as tls_certificate's.
  static tls_roots from_file(const std::string& path);
  static tls_roots from_pem(std::string_view certificates);

 private:
  friend class tls_context;
  explicit tls_roots(std::shared_ptr<detail::tls_trust> shared) noexcept : shared_(std::move(shared)) {}
  std::shared_ptr<detail::tls_trust> shared_;
};

enum class tls_version : std::uint8_t { tls_1_2, tls_1_3 };

struct tls_client_options {
  /// The oldest version that is spoken.
  tls_version minimum = tls_version::tls_1_2;
  /// Of how many hosts a session is kept, by which the next connection to that host is resumed: a shorter handshake
  /// without certificates. 0: none.
  std::size_t sessions = 256;
  /// Have the kernel encrypt what is sent over a tcp_stream, where it can: see tls_stream::kernel_sends().
  bool kernel = false;
  /// Then anybody on the way can pretend to be the server, read everything and change it. For tests.
  bool accept_any_certificate_without_knowing_who_is_at_the_other_end = false;
};
static_assert(detail::trivially_destructible<tls_client_options>);

struct tls_server_options {
  /// The oldest version that is spoken.
  tls_version minimum = tls_version::tls_1_2;
  /// Whether clients may resume. Tickets hold everything that is needed, sealed by a key that this context makes for
  /// itself: the server keeps nothing, and neither another context nor another process takes them.
  bool resumption = true;
  /// Have the kernel encrypt what is sent over a tcp_stream, where it can: see tls_stream::kernel_sends().
  bool kernel = false;
};
static_assert(detail::trivially_destructible<tls_server_options>);

/// What many connections have in common: whose certificate is shown and whose are believed, versions, protocols, and
/// sessions to resume. Copies share it, on any thread. Change it before its first stream; for new certificates make a
/// new context: connections keep theirs.
class tls_context {
 public:
  /// For clients. The server's certificate is verified, its name too.
  static tls_context client(tls_client_options options = {});
  static tls_context client(const tls_roots& roots, tls_client_options options = {});
  /// For servers.
  static tls_context server(const tls_certificate& certificate, tls_server_options options = {});

  /// Of a server: one more certificate, shown to those who ask for a name that it has (SNI, wildcards too). Who asks
  /// for no name, or one that none has, is shown the first. Of a client: the certificate to show when asked for one.
  void add_certificate(const tls_certificate& certificate);
  /// The application's protocols (ALPN), the preferred one first: {"h2", "http/1.1"}. A server chooses by its own
  /// order; a client that offers some, and none of the server's, is refused. Who offers none is served without.
  void set_protocols(const std::vector<std::string>& names);
  /// Of a server: asks clients for a certificate under these roots. `required`: who has none is refused.
  void verify_clients(const tls_roots& roots, bool required = true);

  /// Of how many hosts a client keeps a session now.
  [[nodiscard]] std::size_t sessions() const;

 private:
  friend class detail::tls_engine;
  explicit tls_context(std::shared_ptr<detail::tls_settings> shared) noexcept : shared_(std::move(shared)) {}
  std::shared_ptr<detail::tls_settings> shared_;
};

}  // namespace weir
