#include "tls_error.hpp"

#include <string>

namespace weir {
namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "tls"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<tls_errc>(value)) {
      case tls_errc::handshake_failed:
        return "TLS handshake failed";
      case tls_errc::certificate_rejected:
        return "certificate rejected";
      case tls_errc::truncated:
        return "stream was cut off";
      case tls_errc::protocol_error:
        return "TLS protocol error";
      case tls_errc::bad_credentials:
        return "unusable certificate or key";
    }
    return "unknown error";
  }
};

}  // namespace

const std::error_category& tls_category() noexcept {
  static const category instance;
  return instance;
}

std::error_code make_error_code(tls_errc value) noexcept { return {static_cast<int>(value), tls_category()}; }

}  // namespace weir
