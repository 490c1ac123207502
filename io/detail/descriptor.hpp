#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "../../runtime/detail/intrusive_list.hpp"
#include "../../runtime/detail/scheduler.hpp"
#include "../../runtime/detail/spin_lock.hpp"
#include "../endpoint.hpp"

namespace weir::detail {

class io_leaf;

/// What a descriptor is used for by an operation. One reader and one writer at a time, any number of others. Operations
/// of the kind `nothing` have no descriptor.
enum class io_use : std::uint8_t { nothing, reading, writing, other };

/// An open file descriptor and the operations on it. Owned by one handle (a stream, a file); operations in flight keep
/// it alive. close() cancels them; the number is closed after the last one's final completion, so that it can never be
/// somebody else's file under an operation.
class descriptor {
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
  /// Tells apart descriptors that have the same number one after the other.
  [[nodiscard]] std::uint64_t serial() const noexcept { return serial_; }
  /// "127.0.0.1:80", a path, or "fd 7".
  [[nodiscard]] std::string name() const;
  [[nodiscard]] const endpoint& peer() const noexcept { return peer_; }

  /// Operations enter and leave. 0, or the error to complete with: ECANCELED when it is closed, EBUSY when somebody else
  /// is reading or writing already.
  int enter(io_leaf& op, io_use use, const runtime_core& runtime) noexcept;
  /// True when the descriptor is being closed: then it may be gone.
  bool leave(io_leaf& op, io_use use) noexcept;

  /// The owner is done with it: sockets are shut down at once, operations cancelled; this object may be gone afterwards.
  void close() noexcept;
  /// The owner takes the number back; nothing may be in flight. This object is gone afterwards.
  int release() noexcept;

  /// Bytes moved by the latest operation in each direction, completed or stopped.
  std::size_t bytes_read = 0;
  std::size_t bytes_written = 0;

 private:
  descriptor(int number, kind what, const endpoint& peer, std::string name);
  ~descriptor();

  class outside_close final : public message {
   public:
    explicit outside_close(descriptor& self) noexcept : self_(self) {}
    void deliver() noexcept override { self_.close_here(); }

   private:
    descriptor& self_;
  };

  void close_here() noexcept;
  /// Whether only tasks of one single-worker runtime use it, so that no lock is needed.
  [[nodiscard]] bool locked() const noexcept { return domain_ == nullptr; }

  const int number_;
  const kind kind_;
  bool closing_ = false;
  bool reading_ = false;
  bool writing_ = false;
  spin_lock lock_;
  std::atomic<std::size_t> in_flight_{0};
  intrusive_list<io_leaf> operations_;
  const std::uint64_t serial_;
  // The single-worker runtime on whose worker it was made; null when it may be used from several threads. While
  // something is in flight that runtime is alive.
  runtime_core* const domain_;
  endpoint peer_;
  std::string name_;
  outside_close outside_{*this};
};

/// Owns a descriptor: what streams, listeners and files hold.
class descriptor_handle {
 public:
  descriptor_handle() = default;
  explicit descriptor_handle(descriptor* owned) noexcept : owned_(owned) {}
  descriptor_handle(descriptor_handle&& other) noexcept : owned_(std::exchange(other.owned_, nullptr)) {}
  descriptor_handle& operator=(descriptor_handle&& other) noexcept {
    if (this != &other) {
      reset();
      owned_ = std::exchange(other.owned_, nullptr);
    }
    return *this;
  }
  ~descriptor_handle() { reset(); }

  void reset() noexcept {
    if (owned_) std::exchange(owned_, nullptr)->close();
  }
  int release() noexcept { return owned_ ? std::exchange(owned_, nullptr)->release() : -1; }
  [[nodiscard]] descriptor* get() const noexcept { return owned_; }
  [[nodiscard]] int number() const noexcept { return owned_ ? owned_->number() : -1; }
  explicit operator bool() const noexcept { return owned_ != nullptr; }

 private:
  descriptor* owned_ = nullptr;
};

}  // namespace weir::detail
