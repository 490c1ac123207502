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
#include "detail/buffered_read.hpp"
#include "detail/counted_read.hpp"
#include "detail/delimited_read.hpp"
#include "stream.hpp"

namespace weir {

struct buffered_reader_options {
  /// How much is read at once, at most. Memory is taken at the first read, 4 KiB, and more only while reads fill it: a
  /// connection that waits for short requests holds 4 KiB, a file is read in few large pieces.
  std::size_t buffer = 65'536;
  /// The longest line, the most before a delimiter, the most bytes in one piece: what a peer can make the reader hold.
  /// More fails with std::errc::message_size. Memory beyond `buffer` is given back by the next read that needs less.
  std::size_t bound = 1'048'576;
  /// Lines end with "\n" or "\r\n". True: only with "\n", and a carriage return before it belongs to the line.
  bool keep_carriage_return = false;
};
static_assert(detail::trivially_destructible<buffered_reader_options>);

/// Reads a stream in large pieces and hands it out in lines and other small ones.
///
///     weir::buffered_reader reader{stream};  // refers to the stream; buffered_reader{std::move(stream)} owns it
///     while (auto line = co_await reader.read_line()) use(*line);
///
/// What the buffer can answer completes at once, without suspending and without a frame; only the task's budget is
/// used, and a cancelled task stops. Otherwise a task reads, with a recycled frame.
///
/// Cancelled, timed out or failed: whatever has arrived stays in the reader, and the next operation goes on as if
/// nothing had happened. The end of the stream is not remembered either: each operation that meets it asks again, so a
/// file that grows can be followed.
///
/// One task at a time: a second is told (EBUSY). Movable, but not during an operation. The stream it refers to must
/// outlive it; the reader, and whatever memory an operation was given, must outlive the operation. What the reader has
/// buffered and nobody asked for is gone for other readers of the stream.
template <read_stream Stream>
class buffered_reader final : private detail::reader_core {
 public:
  /// `Stream` is S& for an lvalue, which is referred to, and S for an rvalue, which is moved in.
  explicit buffered_reader(Stream&& stream, buffered_reader_options options = {})
      : reader_core(options.buffer, options.bound, options.keep_carriage_return),
        stream_(std::forward<Stream>(stream)) {}

  /// Completes with the next line as a std::optional<std::string>, without its end; empty at the end of the stream. A
  /// last line without an end is a line, too. Longer than the bound: fails ("read_line access.log: a line is longer
  /// than 1048576 bytes: Message too long") and takes nothing; skip_line() gets past it. Allocates the string, if it is
  /// not short; O(its length).
  [[nodiscard]] auto read_line() noexcept { return detail::read_line_operation<std::string>(*this); }
  /// The same without a copy: std::optional<std::string_view>, valid until the next operation on the reader.
  [[nodiscard]] auto read_line_view() noexcept { return detail::read_line_operation<std::string_view>(*this); }
  /// Drops what read_line() would deliver, however long, and completes with the number of bytes that this was, the
  /// line's end included; 0 at the end of the stream. Cancelled: what was dropped stays so.
  [[nodiscard]] auto skip_line() noexcept { return detail::skip_line_operation(*this); }

  /// Completes with everything up to the delimiter, and that, as a std::string; at the end of the stream with what is
  /// left, which then does not end with the delimiter and may be empty. More than the bound before the delimiter fails,
  /// and takes nothing.
  [[nodiscard]] auto read_until(char delimiter) noexcept {
    return detail::read_until_operation(*this, detail::delimiter_search(delimiter));
  }
  /// The same with a delimiter of several characters, at least one, which must live until the operation has ended.
  [[nodiscard]] auto read_until(std::string_view delimiter) noexcept {
    return detail::read_until_operation(*this, detail::delimiter_search(delimiter));
  }

  /// Fills `into`, or fails with weir::errc::end_of_stream ("read_exactly 127.0.0.1:80 after 3 of 8 bytes"). Takes all
  /// or nothing. `into` may be larger than the bound; what is larger than the buffer is read into it without a copy.
  [[nodiscard]] auto read_exactly(std::span<std::byte> into) noexcept {
    return detail::buffered_read_exactly(*this, into);
  }
  /// The same, as a std::string of `size` bytes; more than the bound fails.
  [[nodiscard]] auto read_exactly(std::size_t size) noexcept { return detail::buffered_read_string(*this, size); }

  /// Completes with the number of bytes read: what is buffered, else what one read gives; 0 at the end of the stream
  /// (or for an empty buffer).
  [[nodiscard]] auto read_some(std::span<std::byte> into) noexcept { return detail::buffered_read_some(*this, into); }

  /// Completes with all that is buffered as a std::span<const std::byte>, once that is `least` bytes or the stream has
  /// ended; valid until the next operation. Takes nothing: consume() does. More than the bound fails.
  [[nodiscard]] auto peek(std::size_t least = 1) noexcept { return detail::peek_operation(*this, least); }
  /// Drops the first `n` of buffered().
  void consume(std::size_t n) noexcept {
    WEIR_DETAIL_ASSERT(!reading && n <= buffer.size(), "consume() is asked for more than is buffered");
    buffer.consume(n);
  }
  /// What was read and not asked for yet. Valid until the next operation.
  [[nodiscard]] std::span<const std::byte> buffered() const noexcept { return buffer.bytes(); }

  [[nodiscard]] std::remove_reference_t<Stream>& stream() noexcept { return stream_; }
  [[nodiscard]] const std::remove_reference_t<Stream>& stream() const noexcept { return stream_; }
  /// What error sentences call it: the stream's name.
  [[nodiscard]] std::string name() const { return detail::name_of(stream_); }

 private:
  task<> fill(detail::read_request& request) override {
    const detail::filling now(*this, request);
    if (request.satisfied()) co_await checkpoint();
    while (!request.satisfied()) {
      const std::span<std::byte> room = request.room();
      const std::size_t n = co_await stream_.read_some(room);
      WEIR_DETAIL_ASSERT(n <= room.size(), "read_some read more than it had room for");
      if (n == 0) {
        request.ended();
        co_return;
      }
      request.filled(n);
    }
  }
  [[nodiscard]] std::string stream_name() const override { return name(); }

  Stream stream_;
};

namespace detail {

template <class>
inline constexpr bool is_buffered_reader = false;
template <class Stream>
inline constexpr bool is_buffered_reader<buffered_reader<Stream>> = true;

}  // namespace detail

template <class Stream>
  requires(!detail::is_buffered_reader<std::remove_cvref_t<Stream>>)
buffered_reader(Stream&&) -> buffered_reader<Stream>;
template <class Stream>
buffered_reader(Stream&&, buffered_reader_options) -> buffered_reader<Stream>;

}  // namespace weir
