#include "prometheus.hpp"

#include <array>
#include <cstdint>
#include <string>

#include "detail/prometheus_page.hpp"

namespace weir {

namespace {

using page = detail::prometheus_page;
using kind = page::kind;

struct metric {
  const char* name;
  kind type;
  const char* help;
  std::uint64_t worker_counters::* value;
};

constexpr std::array per_worker = {
    metric{"weir_tasks_spawned_total", kind::counter, "Tasks started.", &worker_counters::spawned},
    metric{"weir_tasks_ended_total", kind::counter, "Tasks that returned or threw.", &worker_counters::ended},
    metric{"weir_tasks_stopped_total", kind::counter, "Tasks that a cancellation stopped.", &worker_counters::stopped},
    metric{"weir_turns_total", kind::counter, "Turns of the worker's loop.", &worker_counters::turns},
    metric{"weir_resumptions_total", kind::counter, "Tasks taken from the run queue and run.",
           &worker_counters::resumed},
    metric{"weir_steals_total", kind::counter, "Times that a worker took tasks from another one.",
           &worker_counters::steals},
    metric{"weir_stolen_tasks_total", kind::counter, "Tasks taken from other workers.", &worker_counters::stolen},
    metric{"weir_parks_total", kind::counter, "Times that a worker waited in the kernel.", &worker_counters::parks},
    metric{"weir_wakeups_total", kind::counter, "Parked workers woken.", &worker_counters::wakeups},
    metric{"weir_timers_fired_total", kind::counter, "Timers that fired.", &worker_counters::timers},
    metric{"weir_io_calls_total", kind::counter, "System calls of the reactor.", &worker_counters::io_calls},
    metric{"weir_io_operations_started_total", kind::counter, "I/O operations started.", &worker_counters::io_started},
    metric{"weir_io_operations_completed_total", kind::counter, "I/O operations completed.",
           &worker_counters::io_completed},
    metric{"weir_ring_full_total", kind::counter, "Operations that waited for an entry of the submission queue.",
           &worker_counters::ring_full},
    metric{"weir_ring_overflows_total", kind::counter, "Times that the completion queue was too small.",
           &worker_counters::ring_overflows},
    metric{"weir_leases_total", kind::counter, "Leases that receive() completed with.", &worker_counters::leases},
    metric{"weir_ring_leases_total", kind::counter, "Of those: the kernel chose the buffer from the ring's own.",
           &worker_counters::ring_leases},
    metric{"weir_lease_waits_total", kind::counter, "Times that a receive() had to wait for a buffer.",
           &worker_counters::lease_waits},
    metric{"weir_zero_copy_sends_total", kind::counter, "Sends for which the kernel was given the program's memory.",
           &worker_counters::zero_copy_sends},
    metric{"weir_zero_copy_copied_total", kind::counter, "Of those: the kernel has copied all the same.",
           &worker_counters::zero_copy_copied},
    metric{"weir_registered_transfers_total", kind::counter, "Direct reads and writes in registered memory.",
           &worker_counters::registered_transfers},
    metric{"weir_copied_bytes_by_range_total", kind::counter, "Bytes that copy() moved by copy_file_range.",
           &worker_counters::copied_by_range},
    metric{"weir_copied_bytes_by_sendfile_total", kind::counter, "Bytes that copy() moved by sendfile.",
           &worker_counters::copied_by_sendfile},
    metric{"weir_copied_bytes_by_splice_total", kind::counter, "Bytes that copy() moved by splice.",
           &worker_counters::copied_by_splice},
    metric{"weir_copied_bytes_by_buffer_total", kind::counter, "Bytes that copy() moved through memory.",
           &worker_counters::copied_by_buffer},
    metric{"weir_ready_tasks", kind::gauge, "Tasks in the run queue.", &worker_counters::ready},
    metric{"weir_armed_timers", kind::gauge, "Timers that are to fire.", &worker_counters::armed},
    metric{"weir_io_in_flight", kind::gauge, "I/O operations under way.", &worker_counters::in_flight},
    metric{"weir_leased_buffers", kind::gauge, "Buffers of receive() that are not at home.", &worker_counters::leased},
};

}  // namespace

std::string prometheus_text(const runtime_counters& counters, std::initializer_list<prometheus_label> labels) {
  page out(labels);
  for (const metric& m : per_worker) {
    out.announce(m.name, m.type, m.help);
    for (std::size_t i = 0; i < counters.workers.size(); ++i) {
      out.sample(m.name, std::to_string(i), std::to_string(counters.workers[i].*m.value));
    }
    if (m.value == &worker_counters::spawned || m.value == &worker_counters::wakeups) {
      out.sample(m.name, "outside", std::to_string(counters.outside.*m.value));
    }
  }
  constexpr const char* cpu = "weir_worker_cpu_seconds_total";
  out.announce(cpu, kind::counter, "CPU time of the worker's thread.");
  for (std::size_t i = 0; i < counters.workers.size(); ++i) {
    out.sample(cpu, std::to_string(i), page::seconds(counters.workers[i].cpu_time));
  }
  out.single("weir_tasks", kind::gauge, "Tasks that live now.", counters.tasks());
  out.single("weir_injected_tasks_total", kind::counter, "Tasks made ready by threads outside of the runtime.",
             counters.injected);
  out.single("weir_offload_jobs_total", kind::counter, "Jobs given to the offload pool.", counters.offload.jobs);
  out.single("weir_offload_queued_jobs", kind::gauge, "Jobs that wait for a thread of the offload pool.",
             counters.offload.queued);
  out.single("weir_offload_threads", kind::gauge, "Threads of the offload pool.", counters.offload.threads);
  out.single("weir_offload_idle_threads", kind::gauge, "Threads of the offload pool that have nothing to do.",
             counters.offload.idle);
  return out.take();
}

}  // namespace weir
