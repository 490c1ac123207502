#include "tls_context.hpp"

#include <fmt/format.h>
#include <openssl/pem.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "detail/tls_openssl_impl.hpp"

namespace weir {

namespace detail {

std::string take_openssl_reason() {
  const unsigned long error = ERR_get_error();
  std::string reason = "no reason was given";
  if (ERR_SYSTEM_ERROR(error)) {
    reason = std::generic_category().message(ERR_GET_REASON(error));
  } else if (const char* text = ERR_reason_error_string(error)) {
    reason = text;
  }
  ERR_clear_error();
  return reason;
}

void fail_credentials(const std::string& what) {
  throw std::system_error(make_error_code(tls_errc::bad_credentials), what + ": " + take_openssl_reason());
}

// ---- sessions

void session_cache::put(const std::string& host, session_ptr session) {
  if (most_ == 0) return;
  const std::lock_guard guard(mutex_);
  const auto known = by_host_.find(host);
  if (known != by_host_.end()) {
    known->second->session = std::move(session);
    entries_.splice(entries_.begin(), entries_, known->second);
    return;
  }
  entries_.push_front({host, std::move(session)});
  by_host_.emplace(entries_.front().host, entries_.begin());
  if (entries_.size() > most_) {
    by_host_.erase(entries_.back().host);
    entries_.pop_back();
  }
}

session_ptr session_cache::take(const std::string& host) {
  const std::lock_guard guard(mutex_);
  const auto known = by_host_.find(host);
  if (known == by_host_.end()) return nullptr;
  SSL_SESSION* const session = known->second->session.get();
  // A ticket of TLS 1.3 that is shown twice lets who listens tell that both are the same client (RFC 8446, C.4).
  if (SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION && SSL_SESSION_is_resumable(session) == 1) {
    SSL_SESSION_up_ref(session);
    entries_.splice(entries_.begin(), entries_, known->second);
    return session_ptr(session);
  }
  session_ptr taken = std::move(known->second->session);
  const auto place = known->second;
  by_host_.erase(known);
  entries_.erase(place);
  if (SSL_SESSION_is_resumable(taken.get()) != 1) return nullptr;
  return taken;
}

std::size_t session_cache::size() const {
  const std::lock_guard guard(mutex_);
  return entries_.size();
}

int session_owner_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// ---- what OpenSSL asks

namespace {

/// A client has a new session. 1: we keep it.
int keep_session(SSL* ssl, SSL_SESSION* session) {
  const auto* owner = static_cast<const session_owner*>(SSL_get_ex_data(ssl, session_owner_index()));
  if (!owner || owner->host.empty()) return 0;
  session_ptr kept(session);
  try {
    owner->settings->sessions->put(owner->host, std::move(kept));
  } catch (...) {
    static_cast<void>(kept);  // without memory nothing is kept; the session is ours all the same
  }
  return 1;
}

void use(SSL* ssl, const tls_credentials& credentials) {
  SSL_use_cert_and_key(ssl, credentials.certificate.get(), credentials.key.get(), credentials.chain.get(), 1);
}

/// A server is about to show its certificate.
int choose_certificate(SSL* ssl, void* argument) {
  const auto& settings = *static_cast<const tls_settings*>(argument);
  const char* const wanted = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (!wanted) return 1;
  for (const auto& one : settings.certificates) {
    if (X509_check_host(one->certificate.get(), wanted, 0, 0, nullptr) != 1) continue;
    if (one != settings.certificates.front()) use(ssl, *one);
    break;
  }
  ERR_clear_error();
  return 1;
}

int accept_name(SSL* /*ssl*/, int* /*alert*/, void* /*argument*/) { return SSL_TLSEXT_ERR_OK; }

/// A client offers protocols.
int choose_protocol(SSL* /*ssl*/, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                    unsigned int size, void* argument) {
  const std::string& ours = static_cast<const tls_settings*>(argument)->protocols;
  unsigned char* found = nullptr;
  const int how = SSL_select_next_proto(&found, length, reinterpret_cast<const unsigned char*>(ours.data()),
                                        static_cast<unsigned int>(ours.size()), offered, size);
  if (how != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

/// A key with a passphrase is none that can be used; nobody is asked on the terminal.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*argument*/) { return -1; }

std::string content_of(const std::string& path, const char* what) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string content(std::istreambuf_iterator<char>(file), {});
  if (!file.is_open() || file.bad()) {
    throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(), fmt::format("{} {}", what, path));
  }
  return content;
}

bio_ptr reader_of(std::string_view text) {
  return bio_ptr(not_null(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))));
}

/// The next certificate, or nothing when there is no more.
x509_ptr next_certificate(BIO* from, const std::string& what) {
  x509_ptr one(PEM_read_bio_X509(from, nullptr, no_passphrase, nullptr));
  if (!one && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) fail_credentials(what);
  ERR_clear_error();
  return one;
}

[[noreturn]] void fail_without(const std::string& what, const char* missing) {
  throw std::system_error(make_error_code(tls_errc::bad_credentials), fmt::format("{}: it has no {}", what, missing));
}

std::shared_ptr<const tls_credentials> read_credentials(std::string_view chain, const std::string& chain_name,
                                                        std::string_view key, const std::string& key_name) {
  ERR_clear_error();
  auto made = std::make_shared<tls_credentials>();
  const bio_ptr certificates = reader_of(chain);
  made->certificate = next_certificate(certificates.get(), chain_name);
  if (!made->certificate) fail_without(chain_name, "certificate in PEM");
  made->chain.reset(not_null(sk_X509_new_null()));
  while (x509_ptr issuer = next_certificate(certificates.get(), chain_name)) {
    if (sk_X509_push(made->chain.get(), issuer.get()) == 0) throw std::bad_alloc();
    X509_up_ref(issuer.get());  // the chain's own
  }
  const bio_ptr keys = reader_of(key);
  made->key.reset(PEM_read_bio_PrivateKey(keys.get(), nullptr, no_passphrase, nullptr));
  if (!made->key) {
    if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) {
      ERR_clear_error();
      fail_without(key_name, "private key in PEM");
    }
    fail_credentials(key_name);
  }
  if (X509_check_private_key(made->certificate.get(), made->key.get()) != 1) {
    ERR_clear_error();
    throw std::system_error(make_error_code(tls_errc::bad_credentials),
                            chain_name + ": the key is not that of the certificate");
  }
  return made;
}

std::shared_ptr<tls_trust> read_roots(std::string_view text, const std::string& what) {
  ERR_clear_error();
  auto made = std::make_shared<tls_trust>();
  made->store.reset(not_null(X509_STORE_new()));
  const bio_ptr from = reader_of(text);
  bool any = false;
  while (const x509_ptr root = next_certificate(from.get(), what)) {
    if (X509_STORE_add_cert(made->store.get(), root.get()) != 1) fail_credentials(what);
    any = true;
  }
  if (!any) fail_without(what, "certificate in PEM");
  return made;
}

void trust(SSL_CTX* context, const tls_trust& roots) { SSL_CTX_set1_cert_store(context, roots.store.get()); }

}  // namespace

tls_settings::tls_settings(bool is_server, tls_version minimum, bool by_kernel)
    : server(is_server),
      kernel(by_kernel),
      context(not_null(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method()))) {
  SSL_CTX* const made = context.get();
  SSL_CTX_set_min_proto_version(made, minimum == tls_version::tls_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  // Nobody may ask for another handshake: what it was for, TLS 1.3 does otherwise, and it made attacks possible.
  SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  if (kernel) SSL_CTX_set_options(made, SSL_OP_ENABLE_KTLS);
  SSL_CTX_set_mode(made,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
}

}  // namespace detail

// ---- certificates and roots

tls_certificate tls_certificate::from_files(const std::string& chain, const std::string& key) {
  const std::string certificates = detail::content_of(chain, "tls_certificate");
  const std::string private_key = detail::content_of(key, "tls_certificate");
  return tls_certificate(
      detail::read_credentials(certificates, "tls_certificate " + chain, private_key, "tls_certificate " + key));
}

tls_certificate tls_certificate::from_pem(std::string_view chain, std::string_view key) {
  return tls_certificate(detail::read_credentials(chain, "tls_certificate", key, "tls_certificate"));
}

tls_roots tls_roots::system() {
  auto made = std::make_shared<detail::tls_trust>();
  made->store.reset(detail::not_null(X509_STORE_new()));
  if (X509_STORE_set_default_paths(made->store.get()) != 1) detail::fail_credentials("tls_roots of the system");
  ERR_clear_error();  // a default file that is not there is no error
  return tls_roots(std::move(made));
}

tls_roots tls_roots::from_file(const std::string& path) {
  return tls_roots(detail::read_roots(detail::content_of(path, "tls_roots"), "tls_roots " + path));
}

tls_roots tls_roots::from_pem(std::string_view certificates) {
  return tls_roots(detail::read_roots(certificates, "tls_roots"));
}

// ---- contexts

tls_context tls_context::client(tls_client_options options) { return client(tls_roots::system(), options); }

tls_context tls_context::client(const tls_roots& roots, tls_client_options options) {
  auto made = std::make_shared<detail::tls_settings>(false, options.minimum, options.kernel);
  SSL_CTX* const context = made->context.get();
  made->verifies = !options.accept_any_certificate_without_knowing_who_is_at_the_other_end;
  detail::trust(context, *roots.shared_);
  SSL_CTX_set_verify(context, made->verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  made->sessions.emplace(options.sessions);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, detail::keep_session);
  return tls_context(std::move(made));
}

tls_context tls_context::server(const tls_certificate& certificate, tls_server_options options) {
  auto made = std::make_shared<detail::tls_settings>(true, options.minimum, options.kernel);
  SSL_CTX* const context = made->context.get();
  // With an identity of their own, sessions are not refused when clients show certificates.
  static constexpr unsigned char identity[] = "weir";
  SSL_CTX_set_session_id_context(context, identity, sizeof identity - 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_tlsext_servername_callback(context, detail::accept_name);
  SSL_CTX_set_cert_cb(context, detail::choose_certificate, made.get());
  if (!options.resumption) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
  }
  tls_context server(std::move(made));
  server.add_certificate(certificate);
  return server;
}

void tls_context::add_certificate(const tls_certificate& certificate) {
  const detail::tls_credentials& credentials = *certificate.shared_;
  if (!shared_->server || shared_->certificates.empty()) {
    if (SSL_CTX_use_cert_and_key(shared_->context.get(), credentials.certificate.get(), credentials.key.get(),
                                 credentials.chain.get(), 1) != 1) {
      detail::fail_credentials("tls_context");
    }
  }
  shared_->certificates.push_back(certificate.shared_);
}

void tls_context::set_protocols(const std::vector<std::string>& names) {
  std::string written;
  for (const std::string& name : names) {
    if (name.empty() || name.size() > 255) {
      throw std::invalid_argument(
          fmt::format("set_protocols: \"{}\" has {} bytes, and not 1 to 255", name, name.size()));
    }
    written += static_cast<char>(static_cast<unsigned char>(name.size()));
    written += name;
  }
  shared_->protocols = std::move(written);
  const std::string& all = shared_->protocols;
  if (shared_->server) {
    SSL_CTX_set_alpn_select_cb(shared_->context.get(), all.empty() ? nullptr : detail::choose_protocol, shared_.get());
  } else if (SSL_CTX_set_alpn_protos(shared_->context.get(), reinterpret_cast<const unsigned char*>(all.data()),
                                     static_cast<unsigned int>(all.size())) != 0) {
    throw std::bad_alloc();
  }
}

void tls_context::verify_clients(const tls_roots& roots, bool required) {
  if (!shared_->server) throw std::invalid_argument("verify_clients: this is a client's context");
  detail::trust(shared_->context.get(), *roots.shared_);
  SSL_CTX_set_verify(shared_->context.get(),
                     SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE), nullptr);
}

std::size_t tls_context::sessions() const { return shared_->sessions ? shared_->sessions->size() : 0; }

}  // namespace weir
