#include "authority.hpp"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <stdexcept>
#include <utility>

namespace test {

namespace {

template <auto free>
struct deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    free(object);
  }
};
using x509 = std::unique_ptr<X509, deleter<X509_free>>;
using key = std::unique_ptr<EVP_PKEY, deleter<EVP_PKEY_free>>;

void check(bool well) {
  if (!well) throw std::runtime_error("OpenSSL does not make the test's certificate");
}

template <class Write>
std::string pem(Write write) {
  const std::unique_ptr<BIO, deleter<BIO_free_all>> text(BIO_new(BIO_s_mem()));
  check(write(text.get()) == 1);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(text.get(), &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}
std::string pem_of(X509* certificate) {
  return pem([&](BIO* to) { return PEM_write_bio_X509(to, certificate); });
}
std::string pem_of(EVP_PKEY* of) {
  return pem([&](BIO* to) { return PEM_write_bio_PrivateKey(to, of, nullptr, nullptr, 0, nullptr, nullptr); });
}

void add_extension(X509* to, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, deleter<X509_EXTENSION_free>> made(
      X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str()));
  check(made && X509_add_ext(to, made.get(), -1) == 1);
}

bool is_address(const std::string& name) { return name.find_first_not_of("0123456789.:") == std::string::npos; }

/// Signed by `issuer`, or by itself.
x509 certificate_for(EVP_PKEY* own, const std::string& subject, const wanted_certificate& wanted, bool authority,
                     X509* issuer, EVP_PKEY* issuer_key) {
  static std::atomic<long> serial{1};
  x509 made(X509_new());
  X509* const one = made.get();
  check(one && X509_set_version(one, 2) == 1);
  check(ASN1_INTEGER_set(X509_get_serialNumber(one), serial++) == 1);
  check(X509_gmtime_adj(X509_getm_notBefore(one), 86'400L * wanted.from_day) != nullptr);
  check(X509_gmtime_adj(X509_getm_notAfter(one), 86'400L * wanted.to_day) != nullptr);
  X509_NAME* const name = X509_get_subject_name(one);
  check(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(subject.c_str()),
                                   -1, -1, 0) == 1);
  X509* const by = issuer ? issuer : one;
  check(X509_set_issuer_name(one, X509_get_subject_name(by)) == 1 && X509_set_pubkey(one, own) == 1);
  add_extension(one, by, NID_basic_constraints, authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!authority) {
    add_extension(one, by, NID_ext_key_usage, wanted.for_clients ? "clientAuth" : "serverAuth");
    std::string names;
    for (const std::string& n : wanted.names) {
      names += (names.empty() ? "" : ",") + std::string(is_address(n) ? "IP:" : "DNS:") + n;
    }
    add_extension(one, by, NID_subject_alt_name, names);
  }
  check(X509_sign(one, issuer_key ? issuer_key : own, EVP_sha256()) != 0);
  return made;
}

}  // namespace

struct authority::parts {
  key own{EVP_EC_gen("P-256")};
  x509 certificate;
};

authority::authority(const std::string& name) : parts_(std::make_unique<parts>()) {
  parts_->certificate = certificate_for(parts_->own.get(), name, {.names = {}}, true, nullptr, nullptr);
  certificate_ = pem_of(parts_->certificate.get());
}

authority::authority(std::unique_ptr<parts> made) : parts_(std::move(made)) {
  certificate_ = pem_of(parts_->certificate.get());
}

authority::~authority() = default;

credentials authority::issue(const wanted_certificate& wanted) const {
  const key own(EVP_EC_gen("P-256"));
  const x509 made =
      certificate_for(own.get(), wanted.names.front(), wanted, false, parts_->certificate.get(), parts_->own.get());
  return {.certificate = pem_of(made.get()), .key = pem_of(own.get())};
}

credentials authority::issue_through_another(const wanted_certificate& wanted) const {
  auto between = std::make_unique<parts>();
  between->certificate = certificate_for(between->own.get(), "Test Between", {.names = {}}, true,
                                         parts_->certificate.get(), parts_->own.get());
  const authority another(std::move(between));
  credentials made = another.issue(wanted);
  made.certificate += another.certificate();
  return made;
}

credentials authority::self_signed(const wanted_certificate& wanted) {
  const key own(EVP_EC_gen("P-256"));
  const x509 made = certificate_for(own.get(), wanted.names.front(), wanted, false, nullptr, nullptr);
  return {.certificate = pem_of(made.get()), .key = pem_of(own.get())};
}

const authority& common_authority() {
  static const authority one;
  return one;
}

}  // namespace test
