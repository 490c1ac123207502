#include "counters.hpp"

namespace weir {

worker_counters& worker_counters::operator+=(const worker_counters& other) noexcept {
  spawned += other.spawned;
  ended += other.ended;
  stopped += other.stopped;
  turns += other.turns;
  resumed += other.resumed;
  steals += other.steals;
  stolen += other.stolen;
  parks += other.parks;
  wakeups += other.wakeups;
  timers += other.timers;
  io_calls += other.io_calls;
  io_started += other.io_started;
  io_completed += other.io_completed;
  ring_full += other.ring_full;
  ring_overflows += other.ring_overflows;
  leases += other.leases;
  ring_leases += other.ring_leases;
  lease_waits += other.lease_waits;
  zero_copy_sends += other.zero_copy_sends;
  zero_copy_copied += other.zero_copy_copied;
  registered_transfers += other.registered_transfers;
  copied_by_range += other.copied_by_range;
  copied_by_sendfile += other.copied_by_sendfile;
  copied_by_splice += other.copied_by_splice;
  copied_by_buffer += other.copied_by_buffer;
  cpu_time += other.cpu_time;
  ready += other.ready;
  armed += other.armed;
  in_flight += other.in_flight;
  leased += other.leased;
  return *this;
}

}  // namespace weir
