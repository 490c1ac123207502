#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "detail/copy_end.hpp"
#include "operations/receive.hpp"
#include "operations/receive_lease.hpp"
#include "operations/send.hpp"
#include "operations/send_zero_copy.hpp"
#include "socket_base.hpp"

namespace weir {

/// Which way of a stream.
enum class direction : std::uint8_t { read, write, both };

/// What tcp_stream and unix_stream have in common: a connection that carries bytes. One task may read and one may write
/// at the same time; a second reader or writer is told (EBUSY). Buffers must live until the operation has ended.
///
/// Errors are std::system_error with a sentence such as "read 127.0.0.1:80: Connection reset by peer". Operations
/// allocate nothing.
class stream_socket : public socket_base {
 public:
  /// Completes with the number of bytes read: at least one, or 0 at the end of the stream (or for an empty buffer).
  /// Cancelled: no byte that was taken from the socket is lost; if some had arrived they are delivered.
  [[nodiscard]] auto read_some(std::span<std::byte> into) noexcept { return detail::receive_operation(target(), into); }
  /// Reads into a buffer that is lent: completes with a lease of the bytes, at least one, or an empty optional at the
  /// end of the stream. While nothing is there no buffer is held, so idle connections cost none: for servers with many
  /// of them. While all buffers are lent, it waits until one comes home, and those that wait take turns. Another
  /// receive() may follow while leases of earlier ones are held, up to runtime_options::lease_buffers of them: who
  /// holds all of them and waits for one more waits for ever.
  ///
  /// Cancelled: no byte that was taken from the socket is lost; if some had arrived they are delivered. A worker's
  /// first one makes its buffers (ENOMEM); the others allocate nothing.
  [[nodiscard]] auto receive() noexcept { return detail::receive_lease_operation(target()); }
  /// Fills `into`. weir::errc::end_of_stream when the stream ends before. Cancelled: bytes_read() tells how much of
  /// `into` was filled.
  [[nodiscard]] auto read_exactly(std::span<std::byte> into) noexcept {
    return detail::receive_exactly_operation(target(), into);
  }
  /// Completes with the number of bytes that the kernel took, at least one (0 for an empty buffer).
  [[nodiscard]] auto write_some(std::span<const std::byte> from) noexcept {
    return detail::send_operation(target(), from);
  }
  /// Writes all of `from`. Cancelled or failed: bytes_written() tells how much went.
  [[nodiscard]] auto write_all(std::span<const std::byte> from) noexcept {
    return detail::send_all_operation(target(), from);
  }
  /// The same, but the kernel sends out of `from` itself where it can (io_uring, Linux 6.0, at least 16 KiB of a TCP
  /// connection), and copies nothing. For large writes over a fast network: over loopback the kernel copies all the
  /// same, and this is slower than write_all(). Where it is refused, also because of RLIMIT_MEMLOCK, it is write_all().
  ///
  /// Completes when the kernel has let go of `from`, which is when the peer has acknowledged the bytes: a round trip
  /// later. Cancelled or failed: bytes_written() tells how much went; but a stop, and close() too, waits in the same
  /// way for what the kernel has taken. With a peer that has vanished that may take until the kernel gives the
  /// connection up.
  [[nodiscard]] auto write_all_zero_copy(std::span<const std::byte> from) noexcept {
    return detail::send_zero_copy_operation(target(), from);
  }

  /// As readable(), for writes: the kernel has room, or an error to tell.
  [[nodiscard]] auto writable() noexcept { return detail::readiness_operation::writable(target()); }

  /// What the latest read or write moved, also when it failed or was stopped.
  [[nodiscard]] std::size_t bytes_read() const noexcept { return target() ? target()->bytes_read() : 0; }
  [[nodiscard]] std::size_t bytes_written() const noexcept { return target() ? target()->bytes_written() : 0; }

  /// Ends one way or both: the peer reads end of stream. A read that waits here gets end of stream. Does not close.
  void shutdown(direction which);

 protected:
  stream_socket() = default;
  explicit stream_socket(detail::descriptor_handle socket) noexcept : socket_base(std::move(socket)) {}
  stream_socket(stream_socket&&) = default;
  stream_socket& operator=(stream_socket&&) = default;
  ~stream_socket() = default;

 private:
  // For copy().
  friend class detail::copy_access;
  [[nodiscard]] detail::copy_end kernel_end() const noexcept {
    return {target(), detail::copy_end::kind::socket, detail::file_access::stream};
  }
};

}  // namespace weir
