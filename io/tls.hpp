#pragma once

// TLS on OpenSSL 3. A library of its own, weir-tls, which is there when weir was built with -Dtls; weir.hpp does not
// include it, and weir itself does not need OpenSSL.

#include "tls_connect.hpp"
#include "tls_context.hpp"
#include "tls_error.hpp"
#include "tls_stream.hpp"
