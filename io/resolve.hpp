#pragma once

#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include "../runtime/task.hpp"
#include "endpoint.hpp"

namespace weir {

/// Completes with the addresses of `host` with the port of `service` ("http" or "80"), at least one, in the order of
/// preference in which getaddrinfo(3) gives them; one that is named twice is kept where it was first. What the system's
/// configuration says is used: /etc/hosts, name servers, /etc/services.
///
///     const std::vector<weir::endpoint> addresses = co_await weir::resolve("localhost", 80);
///
/// Throws std::system_error: "resolve no.such.name: Name or service not known", with a code of resolve_category(), or
/// the system's own. getaddrinfo blocks, on a thread as offload_abandonable() has them; a numeric address with a
/// numeric port is answered at once, without one. Cancelled: the stop is immediate, and a late answer is dropped. In a
/// simulation only numeric ones are answered; names fail with std::errc::not_supported.
[[nodiscard]] task<std::vector<endpoint>> resolve(std::string host, std::string service);
[[nodiscard]] task<std::vector<endpoint>> resolve(std::string host, std::uint16_t port);

/// Of the errors of getaddrinfo: EAI_NONAME, EAI_SERVICE, ... EAI_AGAIN, a name server that does not answer now, equals
/// std::errc::resource_unavailable_try_again, and so is_transient() says yes.
const std::error_category& resolve_category() noexcept;

}  // namespace weir
