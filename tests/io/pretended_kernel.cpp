#include "pretended_kernel.hpp"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <liburing.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <weir/weir.hpp>

namespace {

constexpr unsigned everything = ~0u;
std::atomic<unsigned> known{everything};
std::atomic<unsigned> most{everything};
std::atomic<unsigned> known_operations{everything};
std::atomic<bool> refuses_buffer_rings{false};
std::atomic<bool> refuses_locked_memory{false};
std::atomic<unsigned> rings_left{everything};
std::atomic<unsigned> flags{0};
std::atomic<unsigned> size{0};

constexpr unsigned in_5_11 = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
constexpr unsigned in_5_18 = in_5_11 | IORING_SETUP_SUBMIT_ALL;
constexpr unsigned in_5_19 = in_5_18 | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
constexpr unsigned in_6_0 = in_5_19 | IORING_SETUP_SINGLE_ISSUER;
constexpr std::array<test::kernel_version, 4> versions = {{
    {.name = "6.0", .flags = in_6_0, .operations = IORING_OP_SEND_ZC + 1},
    {.name = "5.19", .flags = in_5_19, .operations = IORING_OP_URING_CMD + 1},
    {.name = "5.18", .flags = in_5_18, .operations = IORING_OP_MSG_RING + 1},
    {.name = "5.11", .flags = in_5_11, .operations = IORING_OP_UNLINKAT + 1},
}};

// Of several workers at once only so many get one.
bool take_ring() {
  unsigned left = rings_left;
  while (left != 0 && left != everything && !rings_left.compare_exchange_weak(left, left - 1)) {
  }
  return left != 0;
}

bool takes_flags_of(const test::kernel_version& version) {
  io_uring ring;
  io_uring_params params{};
  params.flags = version.flags;
  params.cq_entries = 16;
  if (io_uring_queue_init_params(4, &ring, &params) != 0) return false;
  io_uring_queue_exit(&ring);
  return true;
}

}  // namespace

/// Stands before liburing's, and asks that for what is not refused.
extern "C" int io_uring_queue_init_params(unsigned entries, io_uring* ring, io_uring_params* params) {
  if ((params->flags & ~known) != 0) return -EINVAL;
  if (entries > most) return -ENOMEM;
  static const auto real =
      reinterpret_cast<decltype(&io_uring_queue_init_params)>(::dlsym(RTLD_NEXT, "io_uring_queue_init_params"));
  if (!real) return -ENOSYS;
  const int result = real(entries, ring, params);
  if (result != 0) return result;
  // Only now: a ring that this kernel refuses takes none of those that there is memory for.
  if (!take_ring()) {
    io_uring_queue_exit(ring);
    return -ENOMEM;
  }
  flags = params->flags;
  size = params->sq_entries;
  return 0;
}

/// The same; who asks for the operations of a ring that has none gets a null, as where it may not be asked.
extern "C" io_uring_probe* io_uring_get_probe_ring(io_uring* ring) {
  if (known_operations == 0) return nullptr;
  static const auto real =
      reinterpret_cast<decltype(&io_uring_get_probe_ring)>(::dlsym(RTLD_NEXT, "io_uring_get_probe_ring"));
  io_uring_probe* const probe = real ? real(ring) : nullptr;
  if (probe) probe->ops_len = static_cast<__u8>(std::min<unsigned>(probe->ops_len, known_operations));
  return probe;
}

/// The same. They came in 5.19, as the flag did.
extern "C" int io_uring_register_buf_ring(io_uring* ring, io_uring_buf_reg* wanted, unsigned options) {
  if (refuses_buffer_rings || (known & IORING_SETUP_COOP_TASKRUN) == 0) return -EINVAL;
  static const auto real =
      reinterpret_cast<decltype(&io_uring_register_buf_ring)>(::dlsym(RTLD_NEXT, "io_uring_register_buf_ring"));
  return real ? real(ring, wanted, options) : -ENOSYS;
}

/// The same. Tables that can be changed came in 5.19, too.
extern "C" int io_uring_register_buffers_sparse(io_uring* ring, unsigned slots) {
  if ((known & IORING_SETUP_COOP_TASKRUN) == 0) return -EINVAL;
  static const auto real = reinterpret_cast<decltype(&io_uring_register_buffers_sparse)>(
      ::dlsym(RTLD_NEXT, "io_uring_register_buffers_sparse"));
  return real ? real(ring, slots) : -ENOSYS;
}

extern "C" int io_uring_register_buffers_update_tag(io_uring* ring, unsigned from, const iovec* buffers,
                                                    const __u64* tags, unsigned count) {
  if (refuses_locked_memory && buffers->iov_base) return -ENOMEM;
  static const auto real = reinterpret_cast<decltype(&io_uring_register_buffers_update_tag)>(
      ::dlsym(RTLD_NEXT, "io_uring_register_buffers_update_tag"));
  return real ? real(ring, from, buffers, tags, count) : -ENOSYS;
}

namespace test {

pretended_kernel::pretended_kernel(unsigned only_flags, unsigned most_entries, unsigned operations,
                                   unsigned most_rings) {
  known = only_flags;
  most = most_entries;
  known_operations = operations;
  rings_left = most_rings;
  flags = size = 0;
}

pretended_kernel::~pretended_kernel() { known = most = known_operations = rings_left = everything; }

no_buffer_rings::no_buffer_rings() { refuses_buffer_rings = true; }
no_buffer_rings::~no_buffer_rings() { refuses_buffer_rings = false; }

no_locked_memory::no_locked_memory() { refuses_locked_memory = true; }
no_locked_memory::~no_locked_memory() { refuses_locked_memory = false; }

unsigned pretended_kernel::flags_used() const { return flags; }
unsigned pretended_kernel::entries_used() const { return size; }

std::span<const kernel_version> older_kernels() {
  static const auto first = std::find_if(versions.begin(), versions.end(), takes_flags_of);
  return {first, versions.end()};
}

bool has_buffer_rings() {
  io_uring ring;
  if (io_uring_queue_init(4, &ring, 0) != 0) return false;
  alignas(4096) static std::array<std::byte, 4096> page;
  io_uring_buf_reg wanted{};
  wanted.ring_addr = reinterpret_cast<std::uintptr_t>(page.data());
  wanted.ring_entries = 1;
  const bool has = io_uring_register_buf_ring(&ring, &wanted, 0) == 0;
  io_uring_queue_exit(&ring);
  return has;
}

bool has_buffer_tables() {
  io_uring ring;
  if (io_uring_queue_init(4, &ring, 0) != 0) return false;
  const bool has = io_uring_register_buffers_sparse(&ring, 1) == 0;
  io_uring_queue_exit(&ring);
  return has;
}

bool ring_is_default() { return weir::runtime({.workers = 1}).backend() == weir::backend_kind::uring; }

}  // namespace test
