#include "load_client.hpp"

#include "json.hpp"
#include "load_session.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace bench {

load_result run_load(const load_options& options) {
  if (options.connections == 0 || options.size == 0 || options.depth == 0)
    throw std::invalid_argument("connections, size and depth must be at least 1");
  load_session session(options);
  if (options.engine != load_engine::epoll) {
    if (load_uring(session)) return session.result("uring");
    if (options.engine == load_engine::uring)
      throw std::runtime_error("load client: this kernel does not offer the io_uring that it needs (Linux 6.1)");
  }
  load_epoll(session);
  return session.result("epoll");
}

std::string to_json(const load_result& r) {
  return fmt::format(
      R"({{"engine": {}, "connections": {}, "size": {}, "depth": {}, "requests": {}, "seconds": {:.6f}, )"
      R"("requests_per_second": {:.1f}, "client_cpu_seconds": {:.6f}, "p50_us": {:.1f}, "p99_us": {:.1f}, )"
      R"("p999_us": {:.1f}, "checked_requests": {}, "errors": {}, "first_error": {}}})",
      json_string(r.engine), r.connections, r.size, r.depth, r.requests, r.seconds, r.requests_per_second(),
      r.client_cpu_seconds, static_cast<double>(r.p50_ns) / 1e3, static_cast<double>(r.p99_ns) / 1e3,
      static_cast<double>(r.p999_ns) / 1e3, r.total_requests, r.errors, json_string(r.first_error));
}

}  // namespace bench
