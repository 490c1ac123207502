#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "../tls_context.hpp"
#include "../tls_error.hpp"

// What the sources of weir-tls know of OpenSSL.

namespace weir::detail {

template <auto free>
struct openssl_deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    free(object);
  }
};
template <class T, auto free>
using openssl_ptr = std::unique_ptr<T, openssl_deleter<free>>;

inline void free_certificates(STACK_OF(X509) * all) noexcept { sk_X509_pop_free(all, X509_free); }

using ssl_ptr = openssl_ptr<SSL, SSL_free>;
using ssl_context_ptr = openssl_ptr<SSL_CTX, SSL_CTX_free>;
using session_ptr = openssl_ptr<SSL_SESSION, SSL_SESSION_free>;
using bio_ptr = openssl_ptr<BIO, BIO_free_all>;
using x509_ptr = openssl_ptr<X509, X509_free>;
using x509_list_ptr = openssl_ptr<STACK_OF(X509), free_certificates>;
using key_ptr = openssl_ptr<EVP_PKEY, EVP_PKEY_free>;
using store_ptr = openssl_ptr<X509_STORE, X509_STORE_free>;

/// The reason of the oldest error that OpenSSL has to tell on this thread; forgets all of them.
std::string take_openssl_reason();
/// Throws with that reason: "what: reason: unusable certificate or key".
[[noreturn]] void fail_credentials(const std::string& what);
/// What OpenSSL returns for a failure that can only be one of memory.
template <class T>
T* not_null(T* made) {
  if (!made) {
    ERR_clear_error();
    throw std::bad_alloc();
  }
  return made;
}

class tls_credentials {
 public:
  x509_ptr certificate;
  x509_list_ptr chain;
  key_ptr key;
};

class tls_trust {
 public:
  store_ptr store;
};

/// The sessions of a client, by host; the one that was not used for longest goes first. Any thread.
class session_cache {
 public:
  explicit session_cache(std::size_t most) : most_(most) {}

  /// What was there for the host goes.
  void put(const std::string& host, session_ptr session);
  /// A session that can be used for one connection more; one of TLS 1.3 only for this one.
  [[nodiscard]] session_ptr take(const std::string& host);
  [[nodiscard]] std::size_t size() const;

 private:
  struct entry {
    std::string host;
    session_ptr session;
  };
  const std::size_t most_;
  mutable std::mutex mutex_;
  std::list<entry> entries_;  // the latest first
  std::unordered_map<std::string_view, std::list<entry>::iterator> by_host_;
};

class tls_settings {
 public:
  tls_settings(bool is_server, tls_version minimum, bool by_kernel);
  tls_settings(const tls_settings&) = delete;
  tls_settings& operator=(const tls_settings&) = delete;
  ~tls_settings() = default;

  const bool server;
  const bool kernel;     // encrypts, where it can
  bool verifies = true;  // a client: who the server is
  ssl_context_ptr context;
  std::vector<std::shared_ptr<const tls_credentials>> certificates;
  std::string protocols;  // as ALPN writes them: each behind its length
  std::optional<session_cache> sessions;
};

/// Of the engine that an SSL belongs to: the session that a server gives its client is kept for that host.
struct session_owner {
  tls_settings* settings = nullptr;
  std::string host;
};
/// Where an SSL has its session_owner.
int session_owner_index();

}  // namespace weir::detail
