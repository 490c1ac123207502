// The part of wave_client.hpp that needs OpenSSL. BENCH_TLS=0: built without it.

#include "wave_client.hpp"

#if BENCH_TLS

#include "byte_pattern.hpp"
#include "loopback.hpp"

#include <fmt/format.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <unistd.h>
#include <array>
#include <csignal>
#include <cstdio>
#include <memory>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {
namespace {

[[noreturn]] void fail_tls(std::string_view what) {
  std::array<char, 256> reason{};
  ERR_error_string_n(ERR_get_error(), reason.data(), reason.size());
  throw std::runtime_error(fmt::format("{}: {}", what, reason.data()));
}

template <auto Release>
struct releasing {
  template <class T>
  void operator()(T* object) const {
    Release(object);
  }
};
template <class T, auto Release>
using owned = std::unique_ptr<T, releasing<Release>>;

class connection {
 public:
  connection(SSL_CTX* context, std::uint16_t port, std::size_t index)
      : descriptor_(connect_loopback(port, index)), tls_(SSL_new(context)) {
    SSL_set_fd(tls_.get(), descriptor_);
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), "127.0.0.1");
    if (SSL_connect(tls_.get()) != 1) {
      close(descriptor_);
      fail_tls("handshake");
    }
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection() {
    SSL_shutdown(tls_.get());  // says that this was all
    close(descriptor_);
  }

  void send(std::span<const std::byte> message) {
    if (SSL_write(tls_.get(), message.data(), static_cast<int>(message.size())) != static_cast<int>(message.size()))
      fail_tls("sending over TLS");
  }
  void receive(std::span<std::byte> answer) {
    for (std::size_t come = 0; come < answer.size();) {
      const int n = SSL_read(tls_.get(), answer.data() + come, static_cast<int>(answer.size() - come));
      if (n <= 0) fail_tls("no answer over TLS");
      come += static_cast<std::size_t>(n);
    }
  }

 private:
  int descriptor_;
  owned<SSL, SSL_free> tls_;
};

class tls_waves final : public wave_client {
 public:
  tls_waves(std::uint16_t port, std::size_t size, const std::string& certificate)
      : context_(SSL_CTX_new(TLS_client_method())), pattern_(size), answer_(size) {
    constexpr std::size_t connections = 64;
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes with write(2)
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    if (SSL_CTX_load_verify_locations(context_.get(), certificate.c_str(), nullptr) != 1) fail_tls(certificate);
    for (std::size_t i = 0; i < connections; ++i) {
      connections_.push_back(std::make_unique<connection>(context_.get(), port, i));
      positions_.push_back(pattern_.start(i));
    }
  }

  unsigned ask() override {
    for (std::size_t i = 0; i < connections_.size(); ++i)
      connections_[i]->send(pattern_.from(positions_[i], answer_.size()));
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      connections_[i]->receive(answer_);
      if (!pattern_.matches(positions_[i], answer_))
        throw std::runtime_error(fmt::format("connection {}: the answer differs from what was sent", i));
      positions_[i] = pattern_.advance(positions_[i], answer_.size());
    }
    return static_cast<unsigned>(connections_.size());
  }

 private:
  owned<SSL_CTX, SSL_CTX_free> context_;
  byte_pattern pattern_;
  std::vector<std::byte> answer_;
  std::vector<std::unique_ptr<connection>> connections_;
  std::vector<std::size_t> positions_;
};

template <class Write>
void write_pem(const std::string& path, Write write) {
  std::FILE* const file = std::fopen(path.c_str(), "w");
  const bool written = file != nullptr && write(file) == 1;
  if (file == nullptr || std::fclose(file) != 0 || !written) throw std::runtime_error("cannot write " + path);
}

}  // namespace

const bool has_tls = true;

std::unique_ptr<wave_client> tls_client(std::uint16_t port, std::size_t size, const std::string& certificate) {
  return std::make_unique<tls_waves>(port, size, certificate);
}

void make_certificate(const std::string& certificate, const std::string& key) {
  constexpr long seconds = 86'400;
  const owned<EVP_PKEY, EVP_PKEY_free> pair(EVP_EC_gen("P-256"));
  const owned<X509, X509_free> made(X509_new());
  if (!pair || !made) fail_tls("making a key");
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -seconds);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), seconds);
  X509_set_pubkey(made.get(), pair.get());
  X509_NAME* const name = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("weir bench"), -1, -1, 0);
  X509_set_issuer_name(made.get(), name);
  for (const auto& [extension, value] :
       {std::pair(NID_subject_alt_name, "IP:127.0.0.1"), std::pair(NID_basic_constraints, "critical,CA:TRUE")}) {
    const owned<X509_EXTENSION, X509_EXTENSION_free> more(X509V3_EXT_conf_nid(nullptr, nullptr, extension, value));
    if (!more || X509_add_ext(made.get(), more.get(), -1) != 1) fail_tls("making a certificate");
  }
  if (X509_sign(made.get(), pair.get(), EVP_sha256()) == 0) fail_tls("signing a certificate");
  write_pem(certificate, [&](std::FILE* file) { return PEM_write_X509(file, made.get()); });
  write_pem(key, [&](std::FILE* file) {
    return PEM_write_PrivateKey(file, pair.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

}  // namespace bench

#else

#include <stdexcept>

namespace bench {

const bool has_tls = false;

std::unique_ptr<wave_client> tls_client(std::uint16_t, std::size_t, const std::string&) {
  throw std::runtime_error("built without OpenSSL");
}
void make_certificate(const std::string&, const std::string&) { throw std::runtime_error("built without OpenSSL"); }

}  // namespace bench

#endif
