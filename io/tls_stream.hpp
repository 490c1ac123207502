#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/current.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/shielded.hpp"
#include "../runtime/sleep.hpp"
#include "../runtime/task.hpp"
#include "../runtime/with_cancellation.hpp"
#include "detail/buffered_write.hpp"
#include "detail/bytes.hpp"
#include "detail/copy_end.hpp"
#include "detail/kernel_copy.hpp"
#include "detail/tls_engine.hpp"
#include "stream.hpp"
#include "tcp.hpp"
#include "tls_context.hpp"
#include "tls_error.hpp"

// Part of weir-tls, which is a library of its own: see tls.hpp.

namespace weir {

/// TLS over any stream: a read_stream and a write_stream itself.
///
///     weir::tls_stream stream{context, std::move(connection), "example.org"};  // a client; it owns the connection
///     co_await stream.handshake();
///
/// As with buffered_reader, an lvalue is referred to (and must outlive it), an rvalue is moved in.
///
/// One task may read and one may write at the same time, also on different workers; a second reader or writer is told
/// (EBUSY). handshake() and shutdown() do both. Movable, but not during an operation; the context may go first.
///
/// Errors are std::system_error, of the transport or of tls_errc, with a sentence that has OpenSSL's reason:
/// "handshake 93.184.216.34:443: certificate has expired: certificate rejected". After a tls_errc, other than
/// truncated, the connection is of no more use: every operation fails so.
///
/// Over a tcp_stream, and for a context with the option `kernel`, the kernel encrypts what is sent, where it can
/// (Linux's module "tls"; ciphers with AES-GCM, or ChaCha20 from 5.11 on): see kernel_sends(). Then writes go to the
/// socket as they are, and copy() lets the kernel send files. What is received OpenSSL decrypts in any case.
///
/// Operations allocate recycled frames; the first ones buffers, which begin with 4 KiB and grow to 32 KiB each way with
/// what passes. OpenSSL allocates, too: it holds no buffers while nothing passes.
///
/// The destructor closes the transport without a farewell: see shutdown().
template <class Stream>
  requires read_stream<Stream> && write_stream<Stream>
class tls_stream {
 public:
  /// Whose operations fail with EBADF.
  tls_stream()
    requires std::is_default_constructible_v<Stream>
  = default;
  /// A server's end, for a server's context; for a client's, an end of one that verifies nothing.
  tls_stream(const tls_context& context, Stream&& stream) : tls_stream(context, std::forward<Stream>(stream), {}) {}
  /// A client's end. `host`: the name, or the address, which the server's certificate has to be for; the name is told
  /// the server (SNI), and sessions are kept by it. Throws std::invalid_argument when it is empty and the context
  /// verifies.
  tls_stream(const tls_context& context, Stream&& stream, std::string_view host)
      : stream_(std::forward<Stream>(stream)), engine_(std::make_unique<detail::tls_engine>(context, host)) {}

  /// Agrees on keys with the peer, and verifies it. Before anything else; once is enough. What fails here: tls_errc's
  /// certificate_rejected and handshake_failed. The peer is told why, when it still listens. A client's success does
  /// not mean that the server has accepted the client's certificate: with TLS 1.3 the first read tells.
  ///
  /// Cancelled: may be called again, and goes on where it was.
  [[nodiscard]] task<> handshake() {
    detail::tls_engine& engine = in_use("handshake");
    const detail::tls_role reader(engine.reading);
    const detail::tls_role writer(engine.writing);
    if (!reader || !writer) detail::fail_busy("handshake", name());
    co_await checkpoint();
    for (;;) {
      const detail::tls_step step = engine.handshake(socket());
      if (step == detail::tls_step::failed) {
        auto told = co_await as_result(drain());
        static_cast<void>(told);  // the reason is another one
        engine.raise(step, "handshake", name());
      }
      co_await drain();
      if (step == detail::tls_step::done) co_return;
      if (step == detail::tls_step::needs_input) co_await fill();
    }
  }

  /// Completes with the number of bytes read: at least one, or 0 when the peer has said that this was all (or for an
  /// empty buffer). A transport that ends without that is tls_errc::truncated. Cancelled: no byte is lost.
  [[nodiscard]] task<std::size_t> read_some(std::span<std::byte> buffer) {
    detail::tls_engine& engine = in_use("read");
    const detail::tls_role reader(engine.reading);
    if (!reader) detail::fail_busy("read", name());
    co_await checkpoint();
    std::size_t moved = 0;
    for (;;) {
      const detail::tls_step step = engine.read(buffer, moved);
      if (step == detail::tls_step::done) co_return moved;
      co_await get_on(step, "read");
    }
  }

  /// Completes with the number of bytes taken, at least one (0 for an empty buffer), at most 32 KiB. Where the kernel
  /// sends, it is the transport's own write after what is left of an earlier finish(), and stops as that does.
  ///
  /// Cancelled while it waits for bytes to leave that an earlier write has left behind: it has taken nothing. Cancelled
  /// while its own leave: it completes with what it has taken, for what is encrypted cannot be taken back. What the
  /// transport has not taken by then stays, at most 33 KiB, and goes first with the next write, finish() or shutdown().
  [[nodiscard]] task<std::size_t> write_some(std::span<const std::byte> bytes) {
    detail::tls_engine& engine = in_use("write");
    const detail::tls_role writer(engine.writing);
    if (!writer) detail::fail_busy("write", name());
    co_await checkpoint();
    const std::size_t taken = co_await write_part(bytes);
    co_return taken;
  }

  /// Writes all of `bytes`. Cancelled or failed: bytes_written() tells how much was taken; of that the last part may
  /// still be here, as with write_some().
  [[nodiscard]] task<> write_all(std::span<const std::byte> bytes) {
    detail::tls_engine& engine = in_use("write");
    const detail::tls_role writer(engine.writing);
    if (!writer) detail::fail_busy("write", name());
    written_ = 0;
    while (written_ < bytes.size()) {
      co_await checkpoint();
      const std::size_t taken = co_await write_part(detail::behind(bytes, written_));
      written_ += taken;
    }
  }
  /// How much the latest write_all() took, also when it failed or was stopped.
  [[nodiscard]] std::size_t bytes_written() const noexcept { return written_; }

  /// Tells the peer that this was all (close_notify), after all that was written: it reads the end of the stream.
  /// Reading goes on; the transport stays as it is. Cancelled: may be called again.
  [[nodiscard]] task<> finish() {
    detail::tls_engine& engine = in_use("finish");
    const detail::tls_role writer(engine.writing);
    if (!writer) detail::fail_busy("finish", name());
    co_await checkpoint();
    co_await farewell("finish");
  }

  /// The orderly end: finish(), and then waits until the peer has said so, too; what else it sends is dropped. A peer
  /// that never does makes this wait for ever: with_timeout. When it is done, close or drop the transport. Cancelled:
  /// may be called again. A transport that ends without a farewell: truncated.
  [[nodiscard]] task<> shutdown() {
    detail::tls_engine& engine = in_use("shutdown");
    const detail::tls_role reader(engine.reading);
    const detail::tls_role writer(engine.writing);
    if (!reader || !writer) detail::fail_busy("shutdown", name());
    co_await checkpoint();
    co_await farewell("shutdown");
    std::byte dropped[512];
    for (;;) {
      std::size_t moved = 0;
      const detail::tls_step step = engine.read(dropped, moved);
      if (step == detail::tls_step::done && moved == 0) co_return;
      if (step == detail::tls_step::done) {
        co_await checkpoint();
      } else {
        co_await get_on(step, "shutdown");
      }
    }
  }

  /// Whether the kernel encrypts what is sent: known when the handshake is done, and the same from then on. A peer of
  /// TLS 1.3 that asks us to change our keys, which is rare, cannot be served then: the next write fails
  /// (protocol_error). It may change its own.
  [[nodiscard]] bool kernel_sends() const noexcept { return engine_ && engine_->kernel_sends(); }
  /// Why not, as a sentence: "TCP_ULP: No such file or directory" where the kernel has no TLS. Empty: it does.
  [[nodiscard]] std::string why_not_kernel() const { return engine_ ? engine_->why_not_kernel() : std::string(); }

  /// The protocol that was agreed on (ALPN); empty: none.
  [[nodiscard]] std::string protocol() const { return engine_ ? engine_->protocol() : std::string(); }
  /// "TLSv1.3"
  [[nodiscard]] std::string version() const { return engine_ ? engine_->version() : std::string(); }
  /// "TLS_AES_256_GCM_SHA384"
  [[nodiscard]] std::string cipher() const { return engine_ ? engine_->cipher() : std::string(); }
  /// The name that the client has asked for (SNI), at both ends; empty: none.
  [[nodiscard]] std::string server_name() const { return engine_ ? engine_->server_name() : std::string(); }
  /// Whether the handshake went on from an earlier session.
  [[nodiscard]] bool resumed() const { return engine_ && engine_->resumed(); }
  /// Nothing when the peer has shown none: a client that was not asked for one, a handshake that is not done.
  [[nodiscard]] std::optional<tls_peer_certificate> peer_certificate() const {
    return engine_ ? engine_->peer_certificate() : std::nullopt;
  }

  /// The transport. Who reads from it, or writes to it, destroys what TLS has there.
  [[nodiscard]] std::remove_reference_t<Stream>& transport() noexcept { return stream_; }
  [[nodiscard]] const std::remove_reference_t<Stream>& transport() const noexcept { return stream_; }
  /// What error sentences call it: the transport's name.
  [[nodiscard]] std::string name() const { return detail::name_of(stream_); }

 private:
  /// Whether the kernel may encrypt. Exactly this type: one derived from it may do more with what is written.
  static constexpr bool over_socket = std::is_same_v<std::remove_reference_t<Stream>, tcp_stream>;

  [[nodiscard]] detail::copy_end kernel_end() const noexcept {
    if constexpr (over_socket) return detail::copy_access::end_of(stream_);
    return {};
  }
  [[nodiscard]] detail::descriptor* socket() const noexcept { return kernel_end().target; }

  detail::tls_engine& in_use(const char* verb) const {
    if (!engine_) detail::fail_without_tls(verb);
    return *engine_;
  }

  /// Reads from the transport, once.
  task<> fill() {
    const std::span<std::byte> room = engine_->room();
    const std::size_t n = co_await stream_.read_some(room);
    engine_->filled(n);
  }

  /// Writes what there is to the transport. Stopped: the rest stays.
  task<> drain() {
    for (;;) {
      const detail::tls_role sender(engine_->sending);
      if constexpr (over_socket) {
        while (sender && engine_->kernel_sends()) {
          if (engine_->send_messages(socket())) co_return;
          co_await stream_.writable();
        }
      }
      while (sender) {
        const std::span<const std::byte> rest = engine_->output();
        if (rest.empty()) co_return;
        const std::size_t n = co_await stream_.write_some(rest);
        if (n == 0) detail::fail_stuck(name());
        engine_->taken(n);
      }
      co_await a_while();
    }
  }

  /// What has to happen before a read is tried again.
  task<> get_on(detail::tls_step step, const char* verb) {
    if (step == detail::tls_step::needs_input) {
      co_await fill();
    } else if (step == detail::tls_step::needs_output_taken) {
      co_await drain();  // the peer has asked for 32 KiB of answers while nobody wrote
    } else {
      engine_->raise(step, verb, name());
    }
  }

  /// Where the task that reads has to do with what another one writes, or the other way round. Only peers that change
  /// keys hundreds of times while nobody writes to them, or that cut messages into pieces, get so far: nobody is woken
  /// for it.
  static auto a_while() { return sleep_for(std::chrono::milliseconds(1)); }

  task<std::size_t> write_part(std::span<const std::byte> bytes) {
    co_await drain();  // what a stopped write has left
    if (engine_->kernel_sends()) {
      const std::size_t taken = co_await write_through_kernel(bytes);
      co_return taken;
    }
    std::size_t moved = 0;
    for (;;) {
      const detail::tls_step step = engine_->write(bytes, moved);
      if (step == detail::tls_step::done) break;
      if (step == detail::tls_step::needs_input) {
        co_await await_message();
      } else {
        co_await get_on(step, "write");
      }
    }
    // They are taken now, and a stop must not say that they were not.
    const cancellation_token token = current_token();
    auto sent = co_await as_result(shielded(with_cancellation(token, drain())));
    if (!sent.has_value() && !sent.is_cancelled()) std::move(sent).value();
    co_return moved;
  }

  /// The kernel encrypts. A socket is written to by one at a time, and sending messages is writing.
  task<std::size_t> write_through_kernel(std::span<const std::byte> bytes) {
    co_await require_writing();
    for (;;) {
      const detail::tls_role sender(engine_->sending);
      if (sender) {
        const std::size_t taken = co_await stream_.write_some(bytes);
        co_return taken;
      }
      co_await a_while();
    }
  }
  task<> require_writing() {
    const detail::tls_step step = engine_->may_write();
    if (step == detail::tls_step::done) co_return;
    if (step == detail::tls_step::failed) {
      auto told = co_await as_result(drain());
      static_cast<void>(told);  // the reason is another one
    }
    engine_->raise(step, "write", name());
  }

  /// For copy(): as copy_in_kernel(), of a file.
  friend class detail::copy_access;
  task<bool> take_file(detail::copy_end source, std::size_t buffer, copy_progress& progress) {
    detail::tls_engine& engine = in_use("write");
    if (!engine.kernel_sends()) co_return false;
    const detail::tls_role writer(engine.writing);
    if (!writer) detail::fail_busy("write", name());
    co_await drain();
    co_await require_writing();
    for (;;) {
      const detail::tls_role sender(engine.sending);
      if (sender) {
        const bool at_end = co_await detail::copy_in_kernel(source, kernel_end(), buffer, progress, false);
        co_return at_end;
      }
      co_await a_while();
    }
  }

  /// OpenSSL has a part of a message that came after the handshake, and writes nothing before it has the rest.
  task<> await_message() {
    const detail::tls_role reader(engine_->reading);
    if (reader) {
      co_await fill();
    } else {
      co_await a_while();  // the task that reads will get it
    }
  }

  task<> farewell(const char* verb) {
    co_await drain();
    const detail::tls_step step = engine_->finish();
    if (step != detail::tls_step::done) engine_->raise(step, verb, name());
    co_await drain();
  }

  Stream stream_;
  std::unique_ptr<detail::tls_engine> engine_;
  std::size_t written_ = 0;
};

namespace detail {

template <>
inline constexpr bool filled_by_kernel<tls_stream<tcp_stream>> = true;
template <>
inline constexpr bool filled_by_kernel<tls_stream<tcp_stream&>> = true;

}  // namespace detail

template <class Stream>
tls_stream(const tls_context&, Stream&&) -> tls_stream<Stream>;
template <class Stream>
tls_stream(const tls_context&, Stream&&, std::string_view) -> tls_stream<Stream>;

}  // namespace weir
