#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "detail/epoll_reactor.hpp"
#include "detail/simulated_reactor.hpp"
#include "detail/uring_reactor_impl.hpp"

namespace weir::detail {

namespace {

/// What WEIR_BACKEND asks for; it only decides where the program leaves the choice open.
backend_kind wanted(backend_kind by_option) {
  const char* text = std::getenv("WEIR_BACKEND");  // NOLINT(concurrency-mt-unsafe): read at start-up
  if (by_option != backend_kind::automatic || !text || *text == '\0') return by_option;
  const std::string_view name(text);
  if (name == "uring") return backend_kind::uring;
  if (name == "epoll") return backend_kind::epoll;
  if (name == "automatic") return backend_kind::automatic;
  throw std::system_error(EINVAL, std::generic_category(),
                          fmt::format("WEIR_BACKEND={}: expected uring, epoll or automatic", name));
}

}  // namespace

std::unique_ptr<reactor> make_default_reactor(const reactor_options& options, std::string& why_not_uring) {
  why_not_uring.clear();
  const backend_kind kind = wanted(options.backend);
  if (kind == backend_kind::simulated) {
    if (options.simulation) return std::make_unique<simulated_reactor>(options);
    throw std::system_error(EINVAL, std::generic_category(),
                            "runtime_options::backend: `simulated` is only for weir::simulation");
  }
  if (kind != backend_kind::epoll) {
    if (std::unique_ptr<reactor> made = uring_reactor::create(options, why_not_uring)) return made;
    if (kind == backend_kind::uring) {
      throw std::system_error(ENOTSUP, std::generic_category(), "io_uring is refused: " + why_not_uring);
    }
  }
  return std::make_unique<epoll_reactor>(options);
}

}  // namespace weir::detail
