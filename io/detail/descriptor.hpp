#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "../../runtime/detail/intrusive_ring.hpp"
#include "../../runtime/detail/owned.hpp"
#include "../../runtime/detail/scheduler.hpp"
#include "../../runtime/detail/spin_lock.hpp"
#include "../../runtime/detail/take.hpp"
#include "../endpoint.hpp"
#include "burst_guess.hpp"

namespace weir::detail {

class io_leaf;

/// What a descriptor is used for by an operation. One reader and one writer at a time, any number of others, of whom
/// those that are `watching` move nothing, and those that are `receiving` get messages. Operations of the kind
/// `nothing` have no descriptor.
enum class io_use : std::uint8_t { nothing, reading, writing, watching, other, receiving };

/// An open file descriptor and the operations on it. Owned by one handle (a stream, a file); operations in flight keep
/// it alive. close() cancels them; the number is closed after the last one's final completion, so that it can never be
/// somebody else's file under an operation.
class descriptor final : private message {
 public:
  enum class kind : std::uint8_t { socket, file };

  /// Takes over `number`. Throws std::bad_alloc, after closing it.
  static descriptor* adopt(int number, kind what, std::string name);
  static descriptor* adopt(int number, const endpoint& peer);
  /// The same for who cannot fail: nullptr when memory is out, and `number` is closed.
  static descriptor* try_adopt(int number, const endpoint& peer) noexcept;

  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;

  [[nodiscard]] int number() const noexcept { return number_; }
  [[nodiscard]] bool is_socket() const noexcept { return identity_ != identity::file; }
  /// Whether a transfer of less than was asked for has seen the last of what was ready: of a connection over the
  /// network, whose peer is known by its address. A unix socket also stops short at passed descriptors.
  [[nodiscard]] bool short_means_drained() const noexcept { return identity_ == identity::peer && peer_; }
  /// Tells apart descriptors that have the same number one after the other. Never 0. It begins again after 2^32
  /// descriptors; two that are exactly so far apart do not follow each other at one number.
  [[nodiscard]] std::uint32_t serial() const noexcept { return serial_; }
  /// "127.0.0.1:80", a path, or "fd 7".
  [[nodiscard]] std::string name() const;
  [[nodiscard]] endpoint peer() const noexcept { return identity_ == identity::peer ? peer_ : endpoint(); }

  /// Operations enter and leave. 0, or the error to complete with: ECANCELED when it is closed, EBUSY when somebody
  /// else is reading or writing already.
  int enter(io_leaf& op, io_use use, const runtime_core& runtime) noexcept;
  /// True when the descriptor is being closed: then it may be gone.
  bool leave(io_leaf& op, io_use use) noexcept;

  /// For who uses the number beside an operation on another descriptor, as copies in the kernel do: it stays open, and
  /// nobody else may use it so. 0, or as enter(). A close does not end what is done so: ask is_closing().
  int hold(io_use use, const runtime_core& runtime) noexcept;
  /// Ends that; this object may be gone afterwards.
  void let_go(io_use use) noexcept;
  [[nodiscard]] bool is_closing() noexcept;

  /// The owner is done with it: sockets are shut down at once, operations cancelled; this object may be gone
  /// afterwards.
  void close() noexcept;
  /// The owner takes the number back; nothing may be in flight. This object is gone afterwards.
  int release() noexcept;

  /// Bytes moved by the latest operation in each direction, completed or stopped.
  [[nodiscard]] std::size_t bytes_read() const noexcept { return bytes_read_; }
  [[nodiscard]] std::size_t bytes_written() const noexcept { return bytes_written_; }
  void set_bytes_read(std::size_t bytes) noexcept { bytes_read_ = bytes; }
  void set_bytes_written(std::size_t bytes) noexcept { bytes_written_ = bytes; }
  /// Of UDP sockets: whether the kernel may hand out several datagrams at once, and says in control data where each
  /// ends.
  [[nodiscard]] bool coalesces() const noexcept { return coalesces_.load(std::memory_order_relaxed); }
  void set_coalesces(bool on) noexcept { coalesces_.store(on, std::memory_order_relaxed); }
  /// Of files: where the next sequential operation goes. A reader and a writer may move it on different threads.
  [[nodiscard]] std::atomic<std::uint64_t>& position() noexcept { return named_->position; }
  /// Of files: whether they are open for direct I/O. Set before any operation.
  [[nodiscard]] bool is_direct() const noexcept { return named_->direct; }
  void set_direct() noexcept { named_->direct = true; }
  /// Of listeners.
  [[nodiscard]] burst_guess& burst() noexcept { return named_->burst; }

 private:
  /// What only those have that are no connections: there are many connections, and few others.
  struct named {
    explicit named(std::string its_name) noexcept : name(std::move(its_name)) {}
    const std::string name;  // empty: the number says what it is
    std::atomic<std::uint64_t> position{0};
    bool direct = false;
    burst_guess burst;
  };
  /// What it is, and which member of the union says so.
  enum class identity : std::uint8_t { peer, named_socket, file };

  descriptor(int number, const endpoint& peer) noexcept;
  descriptor(int number, kind what, owned<named> called) noexcept;
  ~descriptor();

  void deliver() noexcept override { close_here(); }  // a close from outside of the runtime
  void close_here() noexcept;
  /// Closed, and used by nobody any more.
  void end() noexcept;
  void require_domain(const runtime_core& runtime) const noexcept;
  // Both under the lock.
  int begin_use(io_use use) noexcept;
  /// Returns how many go on.
  std::uint32_t end_use(io_use use) noexcept;
  /// Whether only tasks of one single-worker runtime use it, so that no lock is needed.
  [[nodiscard]] bool locked() const noexcept { return domain_ == nullptr; }

  // What each operation touches comes first, to stand in one cache line.
  const int number_;
  const std::uint32_t serial_;
  std::atomic<std::uint32_t> in_flight_{0};
  const identity identity_;
  spin_lock lock_;
  bool closing_ = false;
  bool reading_ : 1 = false;
  bool writing_ : 1 = false;
  std::atomic<bool> coalesces_{false};
  intrusive_ring<io_leaf> operations_;
  // The single-worker runtime on whose worker it was made; null when it may be used from several threads. While
  // something is in flight that runtime is alive.
  runtime_core* const domain_;
  const std::uint64_t domain_serial_;  // of that runtime; another one may be where it was
  std::size_t bytes_read_ = 0;
  std::size_t bytes_written_ = 0;
  union {
    const endpoint peer_;
    owned<named> named_;
  };
};

/// Owns a descriptor: what streams, listeners and files hold.
class descriptor_handle {
 public:
  descriptor_handle() = default;
  explicit descriptor_handle(descriptor* owned) noexcept : owned_(owned) {}
  descriptor_handle(descriptor_handle&& other) noexcept : owned_(detail::take(other.owned_)) {}
  descriptor_handle& operator=(descriptor_handle&& other) noexcept {
    if (this != &other) {
      reset();
      owned_ = detail::take(other.owned_);
    }
    return *this;
  }
  ~descriptor_handle() { reset(); }

  void reset() noexcept {
    if (owned_) detail::take(owned_)->close();
  }
  int release() noexcept { return owned_ ? detail::take(owned_)->release() : -1; }
  [[nodiscard]] descriptor* get() const noexcept { return owned_; }
  [[nodiscard]] int number() const noexcept { return owned_ ? owned_->number() : -1; }
  explicit operator bool() const noexcept { return owned_ != nullptr; }

 private:
  descriptor* owned_ = nullptr;
};

}  // namespace weir::detail
