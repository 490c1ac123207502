#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "../runtime/detail/config.hpp"
#include "../runtime/task.hpp"
#include "buffered_reader.hpp"
#include "copy_progress.hpp"
#include "detail/buffered_write.hpp"
#include "detail/copy_end.hpp"
#include "detail/kept_rest.hpp"
#include "detail/kernel_copy.hpp"
#include "stream.hpp"

namespace weir {

struct copy_options {
  /// How much is held between reading and writing, at most.
  std::size_t buffer = 65'536;
  /// Told what was copied, and given what was read and not written when the copy is stopped or fails. A copy between
  /// the same two that is given the same again goes on where that one ended, and nothing is lost. Lives until the copy
  /// has ended. Costs an allocation of `buffer` bytes.
  copy_progress* progress = nullptr;
};
static_assert(detail::trivially_destructible<copy_options>);

namespace detail {

class copy_function {
 public:
  template <read_stream From, write_stream To>
  task<std::uint64_t> operator()(From& from, To& to, copy_options options = {}) const {
    if constexpr (is_buffered_reader<From>) {
      return move_all(from, to, options.progress);
    } else if constexpr ((copied_by_kernel<From> && copied_by_kernel<To>) || encrypted_by_kernel<From, To>) {
      return through_kernel(from, to, options);
    } else {
      return through_buffer(from, to, options);
    }
  }

 private:
  template <class From, class To>
  static constexpr bool encrypted_by_kernel = std::is_same_v<From, file> && filled_by_kernel<To>;

  /// What a reader holds goes into the progress when its copy does not end.
  template <class Reader>
  class kept_rest {
   public:
    kept_rest(const Reader& reader, const copy_options& options) : reader_(reader), progress_(options.progress) {
      if (progress_) reserve_rest(*progress_, options.buffer);
    }
    kept_rest(const kept_rest&) = delete;
    kept_rest& operator=(const kept_rest&) = delete;
    ~kept_rest() {
      if (progress_) keep_rest(*progress_, reader_.buffered());
    }

   private:
    const Reader& reader_;
    copy_progress* progress_;
  };

  template <class To>
  static task<> write_rest(To& to, copy_progress& progress) {
    while (!progress.rest.empty()) {
      const std::size_t n = co_await to.write_some(rest_of(progress));
      if (n == 0) fail_stuck(name_of(to));
      drop_rest(progress, n);
    }
  }
  template <class Reader, class To>
  static task<std::uint64_t> move_all(Reader& reader, To& to, copy_progress* progress) {
    std::uint64_t total = 0;
    if (progress && !progress->rest.empty()) {
      const std::uint64_t before = progress->copied;
      co_await write_rest(to, *progress);
      total = progress->copied - before;
    }
    for (;;) {
      const std::span<const std::byte> part = co_await reader.peek();
      if (part.empty()) co_return total;
      const std::size_t n = co_await to.write_some(part);
      if (n == 0) fail_stuck(name_of(to));
      reader.consume(n);
      total += n;
      if (progress) progress->copied += n;
      note_copied_by_buffer(n);
    }
  }
  template <class From, class To>
  static task<std::uint64_t> through_buffer(From& from, To& to, copy_options options) {
    buffered_reader<From&> reader(from, {.buffer = options.buffer});
    const kept_rest<buffered_reader<From&>> rest(reader, options);
    co_return co_await move_all(reader, to, options.progress);
  }
  template <class From, class To>
  static task<std::uint64_t> through_kernel(From& from, To& to, copy_options options) {
    copy_progress own;
    copy_progress& progress = options.progress ? *options.progress : own;
    const std::uint64_t before = progress.copied;
    if (!progress.rest.empty()) co_await write_rest(to, progress);
    bool at_end = false;
    if constexpr (filled_by_kernel<To>) {
      at_end = co_await copy_access::take_file(to, copy_access::end_of(from), options.buffer, progress);
    } else {
      at_end = co_await copy_in_kernel(copy_access::end_of(from), copy_access::end_of(to), options.buffer, progress,
                                       options.progress != nullptr);
    }
    if (!progress.rest.empty()) co_await write_rest(to, progress);
    const std::uint64_t total = progress.copied - before;
    if (at_end) co_return total;
    const std::uint64_t more = co_await through_buffer(from, to, options);
    co_return total + more;
  }
};

}  // namespace detail

/// `copy(from, to)` reads `from` to its end and writes all of it to `to`: any read_stream, any write_stream, both
/// referred to until the task has ended. Completes with the number of bytes, as a std::uint64_t. It neither flushes a
/// buffered_writer, nor shuts down or closes anything.
///
/// Where both ends are descriptors (file, pipe_reader, pipe_writer, tcp_stream, unix_stream and their halves) the
/// kernel moves the bytes, if it can, and they do not pass through memory of the program: from file to file by
/// copy_file_range(2) and from a file into a socket or a pipe by sendfile(2), both on the offload pool; between sockets
/// and pipes by splice(2) through a pipe that the copy makes, without a thread. From a file into a tls_stream for which
/// the kernel encrypts (tls_stream::kernel_sends()) it is sendfile as well. A file that goes into a socket or a
/// pipe has to be longer than options.buffer for that, and than 16 times as much where io_uring reads it without a
/// thread. What a file system, a kernel or a limit refuses, and everything else, is read and written; so is all in a
/// simulation, what is to go into a socket of a runtime with keep_sigpipe, and all with a buffer of less than 4096
/// bytes. worker_counters tell which way bytes went. Sockets that are copied from or to are non-blocking from then on.
///
/// Cancelled, or failed on either side: what was read and not yet written, at most options.buffer, is in
/// options.progress, and a copy that is given that goes on. Without it is lost, but for two cases: from a
/// buffered_reader, and from a file as long as the kernel copies it, nothing is. A call of copy_file_range or sendfile
/// that has begun is waited for, 4 MiB of it at most. Reading waits for writing: a slow `to` holds up `from`. Allocates
/// a few recycled frames and, where it reads and writes, a buffer that begins with 4 KiB.
///
/// A function object: it is never found by argument-dependent lookup.
inline constexpr detail::copy_function copy;

}  // namespace weir
