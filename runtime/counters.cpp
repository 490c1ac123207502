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
  cpu_time += other.cpu_time;
  ready += other.ready;
  armed += other.armed;
  in_flight += other.in_flight;
  leased += other.leased;
  return *this;
}

}  // namespace weir
