#include "tls_connect.hpp"

#include <utility>

namespace weir {

task<tls_stream<tcp_stream>> tls_connect(tls_context context, std::string host, std::string service,
                                         connect_options options) {
  tcp_stream connection = co_await connect(host, std::move(service), options);
  tls_stream<tcp_stream> stream(context, std::move(connection), host);
  co_await stream.handshake();
  co_return std::move(stream);
}

task<tls_stream<tcp_stream>> tls_connect(tls_context context, std::string host, std::uint16_t port,
                                         connect_options options) {
  return tls_connect(std::move(context), std::move(host), std::to_string(port), options);
}

}  // namespace weir
