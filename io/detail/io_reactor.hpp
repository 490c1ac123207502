#pragma once

#include <cstddef>
#include <cstdint>

#include "../../runtime/detail/reactor.hpp"

namespace weir::detail {

class io_leaf;
class lease_pool;

/// How copy() has moved bytes: see worker_counters.
enum class copy_path : std::uint8_t { range, sendfile, splice, buffer };

/// What the reactors of io/ have beside what runtime/ asks of them: the buffers of receive(). Every worker's reactor is
/// one, as make_default_reactor() makes no other.
class io_reactor : public reactor {
 public:
  /// That of the calling worker, which is no forked child's.
  static io_reactor& here() noexcept;

  /// Its worker's thread only. Made by the first call; null when there is no memory for it.
  [[nodiscard]] lease_pool* leases() noexcept { return leases_ ? leases_ : make_leases(); }

  /// Whether the kernel may be asked to send from the caller's memory.
  [[nodiscard]] virtual bool sends_zero_copy() const noexcept { return false; }

  /// Its worker's thread only.
  void note_copied(copy_path how, std::uint64_t bytes) noexcept;

  /// A derived reactor that overrides it calls it last.
  void shut_down() noexcept override { end_leases(); }

  /// Lets `op` make its system call, which is counted: the result, or -errno and never -EINTR.
  int attempt(io_leaf& op) noexcept;

 protected:
  explicit io_reactor(const reactor_options& options) noexcept
      : lease_buffers_(options.lease_buffers), lease_size_(options.lease_size) {}
  ~io_reactor() override { end_leases(); }

  /// For a kernel that chooses buffers itself.
  virtual void publish_leases(lease_pool&) noexcept {}

 private:
  lease_pool* make_leases() noexcept;
  void end_leases() noexcept;

  const unsigned lease_buffers_;
  const std::size_t lease_size_;
  lease_pool* leases_ = nullptr;
};

}  // namespace weir::detail
