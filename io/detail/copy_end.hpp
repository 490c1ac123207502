#pragma once

#include <cstddef>
#include <cstdint>

#include "../../runtime/task.hpp"
#include "../copy_progress.hpp"
#include "file_access.hpp"

namespace weir {

class file;
class pipe_reader;
class pipe_writer;
class stream_socket;
class tcp_stream;
class unix_stream;

namespace detail {

class descriptor;

/// One end of a copy, as far as the kernel can be asked to work on it alone.
struct copy_end {
  enum class kind : std::uint8_t {
    other,   ///< it cannot
    file,    ///< something with offsets
    stream,  ///< a pipe, or some other thing without offsets that does not block
    socket,
  };
  descriptor* target = nullptr;
  kind what = kind::other;
  file_access how = file_access::stream;
};

/// Streams whose bytes are those of a descriptor and pass through nothing of ours. Exactly these types: one derived
/// from them may do more with what it reads.
template <class Stream>
inline constexpr bool copied_by_kernel = false;
template <>
inline constexpr bool copied_by_kernel<file> = true;
template <>
inline constexpr bool copied_by_kernel<pipe_reader> = true;
template <>
inline constexpr bool copied_by_kernel<pipe_writer> = true;
template <>
inline constexpr bool copied_by_kernel<stream_socket> = true;
template <>
inline constexpr bool copied_by_kernel<tcp_stream> = true;
template <>
inline constexpr bool copied_by_kernel<unix_stream> = true;

/// Streams into which the kernel can copy a file although it does more with the bytes than to move them: tls_stream
/// says so of itself.
template <class Stream>
inline constexpr bool filled_by_kernel = false;

/// Who may ask such a stream for its descriptor.
class copy_access {
 public:
  /// For a stream that is filled by the kernel: as copy_in_kernel(), from a file. Such a stream may not be able to.
  template <class Stream>
  static task<bool> take_file(Stream& to, copy_end from, std::size_t buffer, copy_progress& progress) {
    return to.take_file(from, buffer, progress);
  }
  template <class Stream>
  static copy_end end_of(const Stream& stream) noexcept {
    if constexpr (copied_by_kernel<Stream>) {
      return stream.kernel_end();
    } else {
      return {};
    }
  }
};

}  // namespace detail
}  // namespace weir
