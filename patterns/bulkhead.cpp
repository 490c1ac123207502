#include "bulkhead.hpp"

#include <stdexcept>

#include "../runtime/as_result.hpp"
#include "../runtime/with_timeout.hpp"

namespace weir {
namespace {

bulkhead_options checked(const bulkhead_options& o) {
  if (o.concurrent == 0 || o.longest_wait < duration::zero()) {
    throw std::invalid_argument("weir: bulkhead: at least one call at a time, and no negative longest_wait");
  }
  return o;
}

}  // namespace

bulkhead::bulkhead(const bulkhead_options& options)
    : call_gate(checked(options).concurrent, options.waiting), options_(options) {}

task<semaphore_permit> bulkhead::wait_turn() {
  const detail::waiting_room::seat seat(room_);
  if (!seat) {
    refused_.add();
    throw bulkhead_full("weir: bulkhead: all places are taken, and nobody else may wait");
  }
  if (options_.longest_wait == duration::max()) {
    auto place = co_await room_.turn();
    co_return std::move(place);
  }
  auto place = co_await as_result(with_timeout(options_.longest_wait, room_.turn()));
  if (!place) {
    too_long_.add();
    throw bulkhead_full("weir: bulkhead: no place has become free in time");
  }
  co_return std::move(*place);
}

}  // namespace weir
