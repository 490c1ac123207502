#include "simulation.hpp"

#include "../runtime/detail/worker.hpp"
#include "detail/simulated_reactor.hpp"

namespace weir {

simulation::simulation(simulation_options options)
    : seed_(options.seed),
      runtime_(runtime_access::make({.lease_buffers = options.lease_buffers,
                                     .lease_size = options.lease_size,
                                     .offload_threads = 1,
                                     .on_error = options.on_error},
                                    {.enabled = true, .seed = options.seed})),
      kernel_(static_cast<detail::simulated_reactor&>(runtime_access::core(runtime_).first().io()).kernel()) {
  kernel_.network = options.network;
  kernel_.files = options.files;
}

simulated_network& simulation::network() noexcept { return kernel_.network; }
simulated_files& simulation::files() noexcept { return kernel_.files; }
void simulation::raise(int signal) { kernel_.signals().raise(signal); }
time_point simulation::now() const noexcept { return kernel_.now(); }
std::uint64_t simulation::trace_hash() const noexcept { return kernel_.trace().hash(); }
std::size_t simulation::open_descriptors() const noexcept { return kernel_.open_numbers(); }

}  // namespace weir
