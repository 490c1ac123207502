#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "detail/copy_end.hpp"
#include "stream_socket.hpp"

namespace weir {

struct stream_split_options {
  /// When the write half goes, the peer reads end of stream, while the read half goes on.
  bool shutdown_at_end = false;
};
static_assert(detail::trivially_destructible<stream_split_options>);

namespace detail {

/// What both halves of a stream have in common.
template <std::derived_from<stream_socket> Stream>
class stream_half {
 public:
  /// What error sentences call it: as the stream.
  [[nodiscard]] std::string name() const { return stream().name(); }
  /// To look at: its endpoints, its credentials.
  [[nodiscard]] const Stream& stream() const noexcept { return shared_ ? *shared_ : closed(); }
  /// Whether it is a half of a stream, as before it was moved from.
  explicit operator bool() const noexcept { return shared_ != nullptr; }

 protected:
  stream_half() = default;
  explicit stream_half(std::shared_ptr<Stream> shared) noexcept : shared_(std::move(shared)) {}
  stream_half(stream_half&&) = default;
  stream_half& operator=(stream_half&&) = default;
  ~stream_half() = default;

  [[nodiscard]] Stream& whole() noexcept { return shared_ ? *shared_ : closed(); }
  std::shared_ptr<Stream> shared_;

 private:
  // For copy().
  friend class copy_access;
  [[nodiscard]] copy_end kernel_end() const noexcept { return copy_access::end_of(stream()); }

  /// Whose operations fail with EBADF.
  static Stream& closed() noexcept {
    static Stream none;
    return none;
  }
};

}  // namespace detail

template <std::derived_from<stream_socket> Stream>
class write_half;

/// What reads of a stream that was split: a read_stream, for one task while another one writes. Move-only. The stream
/// is closed when both halves are gone, and then what is in flight is cancelled; a half that goes alone ends nothing
/// that it has begun.
template <std::derived_from<stream_socket> Stream>
class read_half : public detail::stream_half<Stream> {
 public:
  read_half() = default;

  // As the stream's.
  [[nodiscard]] auto read_some(std::span<std::byte> into) noexcept { return this->whole().read_some(into); }
  [[nodiscard]] auto receive() noexcept { return this->whole().receive(); }
  [[nodiscard]] auto read_exactly(std::span<std::byte> into) noexcept { return this->whole().read_exactly(into); }
  [[nodiscard]] auto readable() noexcept { return this->whole().readable(); }
  [[nodiscard]] std::size_t bytes_read() const noexcept { return this->stream().bytes_read(); }

 private:
  template <std::derived_from<stream_socket> S>
  friend std::pair<read_half<S>, write_half<S>> split(S stream, stream_split_options options);
  template <std::derived_from<stream_socket> S>
  friend S rejoin(read_half<S> reader, write_half<S> writer);
  using detail::stream_half<Stream>::stream_half;
};

/// What writes to it: a write_stream.
template <std::derived_from<stream_socket> Stream>
class write_half : public detail::stream_half<Stream> {
 public:
  write_half() = default;
  write_half(write_half&&) = default;
  write_half& operator=(write_half&& other) noexcept {
    if (this != &other) {
      end();
      detail::stream_half<Stream>::operator=(std::move(other));
      shutdown_at_end_ = other.shutdown_at_end_;
    }
    return *this;
  }
  ~write_half() { end(); }

  // As the stream's.
  [[nodiscard]] auto write_some(std::span<const std::byte> from) noexcept { return this->whole().write_some(from); }
  [[nodiscard]] auto write_all(std::span<const std::byte> from) noexcept { return this->whole().write_all(from); }
  [[nodiscard]] auto write_all_zero_copy(std::span<const std::byte> from) noexcept {
    return this->whole().write_all_zero_copy(from);
  }
  [[nodiscard]] auto writable() noexcept { return this->whole().writable(); }
  [[nodiscard]] std::size_t bytes_written() const noexcept { return this->stream().bytes_written(); }
  /// The peer reads end of stream. Reading goes on.
  void shutdown() { this->whole().shutdown(direction::write); }

 private:
  template <std::derived_from<stream_socket> S>
  friend std::pair<read_half<S>, write_half<S>> split(S stream, stream_split_options options);
  template <std::derived_from<stream_socket> S>
  friend S rejoin(read_half<S> reader, write_half<S> writer);
  write_half(std::shared_ptr<Stream> shared, stream_split_options options) noexcept
      : detail::stream_half<Stream>(std::move(shared)), shutdown_at_end_(options.shutdown_at_end) {}

  void end() noexcept {
    if (!this->shared_ || !shutdown_at_end_) return;
    try {
      shutdown();
    } catch (...) {
      // The connection has failed: the peer knows.
    }
    this->shared_.reset();
  }

  bool shutdown_at_end_ = false;
};

namespace detail {

template <std::derived_from<stream_socket> S>
inline constexpr bool copied_by_kernel<read_half<S>> = copied_by_kernel<S>;
template <std::derived_from<stream_socket> S>
inline constexpr bool copied_by_kernel<write_half<S>> = copied_by_kernel<S>;

}  // namespace detail

/// Splits a stream into halves for two tasks, which may be on different workers. Allocates the record that they share.
///
///     auto [reader, writer] = weir::split(std::move(stream));
template <std::derived_from<stream_socket> S>
[[nodiscard]] std::pair<read_half<S>, write_half<S>> split(S stream, stream_split_options options = {}) {
  auto shared = std::make_shared<S>(std::move(stream));
  return {read_half<S>(shared), write_half<S>(shared, options)};
}

/// The stream again, without an end of its writing. Throws std::invalid_argument when they are not halves of one; then
/// both are gone.
template <std::derived_from<stream_socket> S>
[[nodiscard]] S rejoin(read_half<S> reader, write_half<S> writer) {
  if (!reader || reader.shared_ != writer.shared_) {
    throw std::invalid_argument("rejoin: these are not the two halves of one stream");
  }
  S whole = std::move(*reader.shared_);
  writer.shutdown_at_end_ = false;
  return whole;
}

}  // namespace weir
