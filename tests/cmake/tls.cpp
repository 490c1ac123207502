#include <weir/io/tls.hpp>
#include <weir/weir.hpp>

#include <stdexcept>
#include <system_error>

weir::task<> nobody_listens(weir::tls_context context) {
  auto refused = co_await weir::as_result(weir::tls_connect(context, "127.0.0.1", 1));
  if (refused.error() != std::errc::connection_refused) throw std::runtime_error("not refused");
}

int main() { weir::run(nobody_listens(weir::tls_context::client())); }
