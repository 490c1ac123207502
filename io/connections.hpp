#pragma once

#include <type_traits>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/async_generator.hpp"
#include "../runtime/sleep.hpp"
#include "detail/accept_patience.hpp"

namespace weir {

namespace detail {

template <class Listener>
using connection_of = operation_value_t<decltype(std::declval<Listener&>().accept())>;

}  // namespace detail

/// The connections that `listener` accepts, one after another, as a server's loop or a pipeline's source:
///
///     auto arriving = weir::connections(listener);
///     while (auto peer = co_await arriving.next()) group.spawn(serve(std::move(*peer)));
///
/// Returns an async_generator of the listener's streams, which ends when the listener is closed. While the process or
/// the system is out of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM), connections stay in the kernel's queue
/// and accept() is tried again after 5 ms, then 10, up to a second: runtime_options::on_error is told once, until a
/// connection has been accepted again. Any other error is thrown.
///
/// Cancelled: as accept(); the generator has ended, and a new one goes on. `listener` must outlive it. Allocates its
/// frame, recycled, and what accept() does.
template <class Listener>
  requires(!std::is_const_v<Listener>)
async_generator<detail::connection_of<Listener>> connections(Listener& listener WEIR_DETAIL_LIFETIMEBOUND) {
  detail::accept_patience patience;
  for (;;) {
    auto accepted = co_await as_result(listener.accept());
    if (accepted) {
      patience.renew();
      co_yield std::move(*accepted);
      continue;
    }
    if (accepted.error() == std::errc::operation_canceled) co_return;
    const std::exception_ptr failed = accepted.exception();
    const duration pause = patience.after(accepted.error(), failed);
    co_await sleep_for(pause);
  }
}

}  // namespace weir
