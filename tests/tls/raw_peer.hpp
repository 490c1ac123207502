#pragma once

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include <weir/weir.hpp>

#include "../io/sockets.hpp"
#include "authority.hpp"

namespace test {

/// An end that is OpenSSL and nothing else, over a socket of weir: it does what weir's own ends never do. It verifies
/// nothing.
template <class Stream>
class basic_raw_peer {
 public:
  /// A client.
  explicit basic_raw_peer(Stream stream, int version = TLS1_3_VERSION)
      : stream_(std::move(stream)), context_(SSL_CTX_new(TLS_method())), ssl_(SSL_new(context_)) {
    SSL_set_min_proto_version(ssl_, version);
    SSL_set_max_proto_version(ssl_, version);
    SSL_set_connect_state(ssl_);
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  }
  basic_raw_peer(const basic_raw_peer&) = delete;
  basic_raw_peer& operator=(const basic_raw_peer&) = delete;
  ~basic_raw_peer() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }

  /// A server instead, which asks for a certificate.
  void serve(const credentials& own) {
    SSL_set_accept_state(ssl_);
    const std::unique_ptr<BIO, decltype(&BIO_free)> certificate(reader_of(own.certificate), BIO_free);
    const std::unique_ptr<BIO, decltype(&BIO_free)> key(reader_of(own.key), BIO_free);
    X509* const shown = PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr);
    EVP_PKEY* const secret = PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr);
    SSL_use_cert_and_key(ssl_, shown, secret, nullptr, 1);
    X509_free(shown);
    EVP_PKEY_free(secret);
    SSL_set_verify(ssl_, SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
    SSL_set_session_id_context(ssl_, reinterpret_cast<const unsigned char*>("raw"), 3);
  }

  /// `hold`: what OpenSSL says last is left in pending().
  weir::task<> handshake(bool hold = false) {
    for (;;) {
      const int result = SSL_do_handshake(ssl_);
      if (result == 1 && hold) co_return;
      co_await flush();
      if (result == 1) co_return;
      if (SSL_get_error(ssl_, result) != SSL_ERROR_WANT_READ) throw std::runtime_error("the raw peer's handshake");
      co_await fill();
    }
  }
  weir::task<> send_bytes(std::string bytes) { co_await stream_.write_all(bytes_of(bytes)); }
  /// What is in OpenSSL's hands goes to the socket.
  weir::task<> flush() {
    const std::string bytes = pending();
    co_await stream_.write_all(bytes_of(bytes));
  }
  /// Takes it instead.
  std::string pending() {
    BIO* const out = SSL_get_wbio(ssl_);
    std::string bytes(BIO_ctrl_pending(out), '?');
    if (!bytes.empty()) BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  void write(const std::string& text) {
    if (SSL_write(ssl_, text.data(), static_cast<int>(text.size())) <= 0) throw std::runtime_error("SSL_write");
  }
  weir::task<std::string> read() {
    std::string text(1000, '?');
    for (;;) {
      const int result = SSL_read(ssl_, text.data(), static_cast<int>(text.size()));
      if (result > 0) {
        text.resize(static_cast<std::size_t>(result));
        co_return text;
      }
      if (SSL_get_error(ssl_, result) == SSL_ERROR_ZERO_RETURN) co_return std::string();
      if (SSL_get_error(ssl_, result) != SSL_ERROR_WANT_READ) throw std::runtime_error("SSL_read");
      co_await fill();
    }
  }
  /// New keys, and the other end is to change its own.
  void update_keys() {
    if (SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(ssl_) != 1) {
      throw std::runtime_error("SSL_key_update");
    }
  }
  SSL* ssl() { return ssl_; }
  Stream& socket() { return stream_; }

 private:
  static BIO* reader_of(const std::string& text) { return BIO_new_mem_buf(text.data(), static_cast<int>(text.size())); }
  weir::task<> fill() {
    std::string bytes(20'000, '?');
    const std::size_t n = co_await stream_.read_some(std::as_writable_bytes(std::span(bytes)));
    if (n == 0) throw std::runtime_error("the raw peer's connection has ended");
    BIO_write(SSL_get_rbio(ssl_), bytes.data(), static_cast<int>(n));
  }

  Stream stream_;
  SSL_CTX* context_;
  SSL* ssl_;
};
using raw_peer = basic_raw_peer<weir::unix_stream>;

}  // namespace test
