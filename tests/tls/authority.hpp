#pragma once

#include <memory>
#include <string>
#include <vector>

#include <weir/io/tls.hpp>

// Certificates, made while the tests run: none of them is for anybody else, or runs out.

namespace test {

/// PEM texts.
struct credentials {
  std::string certificate;
  std::string key;
  [[nodiscard]] weir::tls_certificate loaded() const { return weir::tls_certificate::from_pem(certificate, key); }
};

struct wanted_certificate {
  std::vector<std::string> names = {"server.test"};  // host names and addresses
  int from_day = -1;                                 // relative to today
  int to_day = 30;
  bool for_clients = false;
};

/// Somebody who signs certificates.
class authority {
 public:
  explicit authority(const std::string& name = "Test Root");
  ~authority();
  authority(const authority&) = delete;
  authority& operator=(const authority&) = delete;

  [[nodiscard]] credentials issue(const wanted_certificate& wanted = {}) const;
  /// Signed by an authority in between, whose certificate is in the chain.
  [[nodiscard]] credentials issue_through_another(const wanted_certificate& wanted = {}) const;
  [[nodiscard]] const std::string& certificate() const noexcept { return certificate_; }
  [[nodiscard]] weir::tls_roots roots() const { return weir::tls_roots::from_pem(certificate_); }

  /// A server's certificate that nobody but itself has signed.
  static credentials self_signed(const wanted_certificate& wanted = {});

 private:
  struct parts;
  explicit authority(std::unique_ptr<parts> made);
  std::unique_ptr<parts> parts_;
  std::string certificate_;
};

/// One for all tests: its key takes time to make.
const authority& common_authority();

}  // namespace test
