#pragma once

#include <array>
#include <cerrno>
#include <cstdint>

#include "../endpoint.hpp"
#include "../unix_credentials.hpp"
#include "../unix_endpoint.hpp"

/// The system calls that io/ makes beside its operations, so that sockets and files can be told from simulated ones in
/// one place. Each returns what the call returns, or -errno.
namespace weir::detail::system_calls {

/// What a call has returned, as these give it.
inline int outcome(std::int64_t result) noexcept { return result < 0 ? -errno : static_cast<int>(result); }

/// A TCP socket, non-blocking for the sake of the readiness form; the ring does not mind.
int make_stream_socket(bool v6) noexcept;
/// A UDP socket.
int make_datagram_socket(bool v6) noexcept;
/// A unix socket of that type (SOCK_STREAM, ...), and two that are connected.
int make_unix_socket(int type) noexcept;
int make_unix_pair(int type, std::array<int, 2>& numbers) noexcept;
int set_socket_option(int number, int level, int option, const void* value, unsigned size) noexcept;
int bind(int number, const endpoint& local) noexcept;
int bind(int number, const unix_endpoint& local) noexcept;
int listen(int number, int backlog) noexcept;
/// Names the peer of a UDP socket, which takes no time.
int connect_datagrams(int number, const endpoint& peer) noexcept;
/// Of a unix socket, which takes no time either: -EAGAIN where the queue of `peer` is full.
int connect(int number, const unix_endpoint& peer) noexcept;
int local_name(int number, endpoint& name) noexcept;
int peer_name(int number, endpoint& name) noexcept;
int local_name(int number, unix_endpoint& name) noexcept;
int peer_name(int number, unix_endpoint& name) noexcept;
/// Who was at the other end of a unix socket when it was connected.
int peer_credentials(int number, unix_credentials& who) noexcept;
/// Whether a UDP socket may hand out several datagrams at once (UDP_GRO).
bool is_coalescing(int number) noexcept;
/// 1, or 0 for a socket that does not listen.
int is_listening(int number) noexcept;
/// 1, or 0 for anything but a socket of the network of that type: SOCK_STREAM is TCP, SOCK_DGRAM is UDP.
int is_network_socket(int number, int type) noexcept;
/// 1, or 0 for anything but a unix socket of that type.
int is_unix_socket(int number, int type) noexcept;
int shutdown(int number, int how) noexcept;

/// Tells files of the same name apart.
struct file_identity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  friend bool operator==(const file_identity&, const file_identity&) = default;
};
/// Which file a unix socket's path is: 0, or -errno when there is none that belongs to a socket. `number` is that of
/// any socket: a simulated one means the paths of its simulation.
int socket_file(int number, const unix_endpoint& path, file_identity& which) noexcept;
void remove_socket_file(int number, const unix_endpoint& path) noexcept;

enum class file_kind : std::uint8_t { with_offsets, stream, directory };
int kind_of_file(int number, file_kind& kind) noexcept;
int size_of_file(int number, std::uint64_t& size) noexcept;
int set_position(int number, std::uint64_t offset) noexcept;

/// A pipe, the end to read from first. There is none in a simulation: -ENOTSUP.
int make_pipe(std::array<int, 2>& ends, bool non_blocking) noexcept;
/// Another number for the same open file, none of the standard ones.
int duplicate(int number) noexcept;

/// An eventfd each read of which takes one.
int make_event_count() noexcept;

int make_non_blocking(int number) noexcept;
/// The flags of F_SETFL.
int set_status_flags(int number, int flags) noexcept;
/// The number is free afterwards, whatever happens.
void close(int number) noexcept;

}  // namespace weir::detail::system_calls
