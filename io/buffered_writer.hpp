#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/sleep.hpp"
#include "../runtime/task.hpp"
#include "detail/buffered_write.hpp"
#include "detail/bytes.hpp"
#include "stream.hpp"

namespace weir {

struct buffered_writer_options {
  /// How much is collected, at most. Memory is taken at the first write, 4 KiB, and more as writes need it.
  std::size_t buffer = 65'536;
};
static_assert(detail::trivially_destructible<buffered_writer_options>);

/// Collects small writes and hands them to a stream in large pieces.
///
///     weir::buffered_writer writer{stream};  // refers to the stream; buffered_writer{std::move(stream)} owns it
///     co_await writer.write("HTTP/1.1 200 OK\r\n");
///     co_await writer.flush();
///
/// A write that fits into the buffer completes at once, without suspending and without a frame; only the task's budget
/// is used, and a cancelled task stops. Otherwise a task writes the buffer first, with a recycled frame.
///
/// Cancelled, timed out or failed: what was written has left the buffer and what was not is still there, so the next
/// operation goes on as if nothing had happened. No byte is written twice, and none is skipped.
///
/// Flush at the end: a destructor cannot wait. Bytes that nobody has tried to write are lost with the writer, and debug
/// builds end with a sentence about it, unless the task is being stopped or an exception is under way; say discard() to
/// drop them. The writer never closes what it refers to, and what it owns closes as by itself: to close in good order,
/// flush() and then stream().close().
///
/// One task at a time: a second is told (EBUSY). Movable, but not during an operation. The stream it refers to must
/// outlive it; the writer, and what an operation was given, must outlive the operation.
template <write_stream Stream>
class buffered_writer final : private detail::writer_core {
 public:
  /// `Stream` is S& for an lvalue, which is referred to, and S for an rvalue, which is moved in.
  explicit buffered_writer(Stream&& stream, buffered_writer_options options = {})
      : writer_core(options.buffer), stream_(std::forward<Stream>(stream)) {}

  /// Takes all of `from`: into the buffer, if need be after writing what is there. As much as the buffer holds, or
  /// more, is written without going through it. Stopped or failed: it has taken nothing, but of such a large piece
  /// what bytes_taken() says.
  [[nodiscard]] auto write(std::span<const std::byte> from) noexcept {
    return detail::buffered_write_all<void>(*this, from);
  }
  [[nodiscard]] auto write(std::string_view from) noexcept { return write(detail::bytes_of(from)); }
  /// The same, for those who want to write to any stream: completes with the size of `from`.
  [[nodiscard]] auto write_some(std::span<const std::byte> from) noexcept {
    return detail::buffered_write_all<std::size_t>(*this, from);
  }
  /// Completes when the stream has taken everything. Whether it has arrived, or is on a device, that does not tell.
  [[nodiscard]] auto flush() noexcept { return detail::flush_operation(*this); }

  /// Of what the latest write was given: how much is in the buffer or written, also when it failed or was stopped.
  [[nodiscard]] std::size_t bytes_taken() const noexcept { return taken; }
  /// What is still to be written.
  [[nodiscard]] std::span<const std::byte> buffered() const noexcept { return buffer.bytes(); }
  /// Drops that.
  void discard() noexcept {
    WEIR_DETAIL_ASSERT(!writing, "discard() is called while a task writes");
    buffer.written(buffer.size());
  }

  [[nodiscard]] std::remove_reference_t<Stream>& stream() noexcept { return stream_; }
  [[nodiscard]] const std::remove_reference_t<Stream>& stream() const noexcept { return stream_; }
  /// What error sentences call it: the stream's name.
  [[nodiscard]] std::string name() const { return detail::name_of(stream_); }

 private:
  task<> drain(detail::write_request& request) override {
    const detail::draining now(*this);
    if (!request.drains) {
      co_await checkpoint();
      co_return;
    }
    tried = true;
    while (buffer.size() != 0) {
      const std::size_t n = co_await stream_.write_some(buffer.bytes());
      if (n == 0) detail::fail_stuck(name());
      WEIR_DETAIL_ASSERT(n <= buffer.size(), "write_some wrote more than it was given");
      buffer.written(n);
    }
    while (taken < request.direct.size()) {
      const std::size_t n = co_await stream_.write_some(detail::behind(request.direct, taken));
      if (n == 0) detail::fail_stuck(name());
      taken += n;
    }
  }
  [[nodiscard]] std::string stream_name() const override { return name(); }

  Stream stream_;
};

namespace detail {

template <class>
inline constexpr bool is_buffered_writer = false;
template <class Stream>
inline constexpr bool is_buffered_writer<buffered_writer<Stream>> = true;

}  // namespace detail

template <class Stream>
  requires(!detail::is_buffered_writer<std::remove_cvref_t<Stream>>)
buffered_writer(Stream&&) -> buffered_writer<Stream>;
template <class Stream>
buffered_writer(Stream&&, buffered_writer_options) -> buffered_writer<Stream>;

}  // namespace weir
