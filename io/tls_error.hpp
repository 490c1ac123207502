#pragma once

#include <system_error>
#include <type_traits>

// Part of weir-tls, which is a library of its own: see tls.hpp.

namespace weir {

/// What goes wrong with TLS, in the category "tls". The sentence that comes with it has OpenSSL's reason.
enum class tls_errc {
  handshake_failed = 1,      ///< the two ends could not agree, or the peer went away before they had
  certificate_rejected = 2,  ///< the peer's certificate is not trusted, not valid now, or another's
  truncated = 3,             ///< the connection ended without a farewell: something may be missing at its end
  protocol_error = 4,        ///< what came is no TLS, or was changed on its way, or the peer says so of what we sent
  bad_credentials = 5,       ///< a certificate, a key or a root is none, or does not belong to the other
};

const std::error_category& tls_category() noexcept;
std::error_code make_error_code(tls_errc value) noexcept;

}  // namespace weir

template <>
struct std::is_error_code_enum<weir::tls_errc> : std::true_type {};
