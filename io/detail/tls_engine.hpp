#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "../../runtime/detail/light_std.hpp"
#include "../tls_context.hpp"

namespace weir {

/// Who is at the other end, as it was proved to us.
struct tls_peer_certificate {
  std::string subject;             ///< "CN=example.org,O=Example"
  std::string issuer;              ///< the same of who signed it
  std::vector<std::string> names;  ///< host names and addresses that it is for
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
  std::string sha256;  ///< its fingerprint, in hexadecimal digits
};

namespace detail {

class descriptor;

/// What has come of a step of tls_engine.
enum class tls_step : std::uint8_t {
  done,
  needs_input,  // then it can be made again
  needs_output_taken,
  // Failures, for raise():
  failed,  // for good; output() may have something that tells the peer
  truncated,
  before_handshake,
  after_finish,
};

/// One end of a TLS connection without its transport: bytes that came are put in, bytes to send are taken out. Bounded:
/// at most 32 KiB of input and, with what OpenSSL answers by itself, 49 KiB of output are kept.
///
/// Reading and writing may be done by two threads at once, for a lock is held in each call; one reads and one writes.
/// After a failure all steps fail the same way.
///
/// Where the context wants it and a socket is given, the kernel may encrypt from the handshake on (kernel_sends()).
/// Then data does not come here: after may_write() it goes to the socket as it is; and output() is empty, for what
/// OpenSSL says by itself goes by send_messages().
class tls_engine {
 public:
  /// A client without a host's name may only be made when nothing is verified: std::invalid_argument.
  tls_engine(const tls_context& context, std::string_view host);
  tls_engine(const tls_engine&) = delete;
  tls_engine& operator=(const tls_engine&) = delete;
  ~tls_engine();

  /// `socket`: of the transport, if it has one; what is in output() may go there at once. On a worker.
  [[nodiscard]] tls_step handshake(descriptor* socket = nullptr);
  /// Moves up to into.size() bytes; none and `done`: the peer has said that this was all.
  [[nodiscard]] tls_step read(std::span<std::byte> into, std::size_t& moved);
  /// Turns bytes into output, which should be empty; at most 32 KiB.
  [[nodiscard]] tls_step write(std::span<const std::byte> from, std::size_t& moved);
  /// Whether data may go to the socket, for the kernel encrypts it: `done`, or why not.
  [[nodiscard]] tls_step may_write();
  /// Says that no more will be written. Once is enough.
  [[nodiscard]] tls_step finish();
  /// Throws what a step has failed with: "read example.org:443: reason: TLS protocol error".
  [[noreturn]] void raise(tls_step failure, const char* verb, const std::string& name) const;

  /// Where bytes from the transport go; the same until the next room().
  [[nodiscard]] std::span<std::byte> room();
  /// So many came; 0: the transport has ended.
  void filled(std::size_t n);
  /// What is to be sent next. Stays where it is until it was taken, whatever else is done.
  [[nodiscard]] std::span<const std::byte> output();
  void taken(std::size_t n);

  [[nodiscard]] bool kernel_sends() const noexcept { return kernel_sends_.load(std::memory_order_relaxed); }
  /// Why it does not, as a sentence.
  [[nodiscard]] std::string why_not_kernel() const;
  /// Sends what OpenSSL has said by itself. False: the socket is full, and there is more. Throws what the socket says:
  /// "write 93.184.216.34:443: Broken pipe". On a worker; by who is `sending`.
  [[nodiscard]] bool send_messages(descriptor* socket);

  [[nodiscard]] bool established() const;
  [[nodiscard]] bool resumed() const;
  [[nodiscard]] std::string protocol() const;
  [[nodiscard]] std::string version() const;
  [[nodiscard]] std::string cipher() const;
  [[nodiscard]] std::string server_name() const;
  [[nodiscard]] std::optional<tls_peer_certificate> peer_certificate() const;

  std::atomic<bool> reading{false};  // a task does
  std::atomic<bool> writing{false};
  std::atomic<bool> sending{false};  // output, mostly who writes

 private:
  class state;
  std::unique_ptr<state> state_;
  std::atomic<bool> kernel_sends_{false};  // once true, it stays so
};

/// Held by who reads, or who writes, until that ends or is stopped.
class tls_role {
 public:
  explicit tls_role(std::atomic<bool>& flag) noexcept
      : flag_(flag), held_(!flag.exchange(true, std::memory_order_acquire)) {}
  tls_role(const tls_role&) = delete;
  tls_role& operator=(const tls_role&) = delete;
  ~tls_role() {
    if (held_) flag_.store(false, std::memory_order_release);
  }
  /// False: another task has it.
  explicit operator bool() const noexcept { return held_; }

 private:
  std::atomic<bool>& flag_;
  bool held_;
};

/// The failure of who comes while another task reads, or writes (EBUSY).
[[noreturn]] void fail_busy(const char* verb, const std::string& name);
/// The failure of a stream that was moved from.
[[noreturn]] void fail_without_tls(const char* verb);

}  // namespace detail
}  // namespace weir
