#include "load_shedder.hpp"

#include <stdexcept>

namespace weir {
namespace {

load_shedder_options checked(const load_shedder_options& o) {
  if (o.concurrent == 0) throw std::invalid_argument("weir: load_shedder: at least one call at a time");
  return o;
}

}  // namespace

load_shedder::load_shedder(const load_shedder_options& options)
    : call_gate(checked(options).concurrent, options.waiting),
      queue_delay_({.target = options.target, .interval = options.interval}) {}

task<semaphore_permit> load_shedder::wait_turn() {
  const time_point arrived = now();
  const detail::waiting_room::seat seat(room_);
  if (!seat) {
    refused_.add();
    throw load_shed("weir: load_shedder: the queue is full");
  }
  auto place = co_await room_.turn();
  const bool last = room_.waiting() <= 1;
  const bool served = queue_delay_.admit(now() - arrived, last);
  if (!served) throw load_shed("weir: load_shedder: the call has waited too long, like all others");
  co_return std::move(place);
}

}  // namespace weir
