#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "../runtime/task.hpp"
#include "detail/copy_end.hpp"
#include "file.hpp"
#include "operations/poll.hpp"

namespace weir {

class process;
struct pipe_ends;

/// What bytes come out of: the end of a pipe, a FIFO, or what standard input is. Move-only; the destructor closes it.
/// Buffers must live until the operation has ended.
///
/// Errors are std::system_error with a sentence such as "read pipe: Operation canceled". Operations allocate nothing.
/// In a simulation there is none: std::errc::not_supported.
class pipe_reader {
 public:
  pipe_reader() = default;

  /// Completes with the opened FIFO; anything else that can be read streams as well, but no directory. Does not wait
  /// for a writer: before the first one reads give 0, and readable() waits for it. Cancelled: what has been opened all
  /// the same is delivered. Two frames, recycled, and the record and path.
  static task<pipe_reader> open(std::string path);

  /// Completes with the number of bytes read: at least one, or 0 at the end, when the last writer has gone (or for an
  /// empty buffer). One reader at a time; a second is told (EBUSY). Cancelled: no byte that was taken is lost.
  [[nodiscard]] auto read_some(std::span<std::byte> into) noexcept { return file_.read_some(into); }

  /// Completes when there is something to read: bytes, the end, or an error. Of a FIFO that nobody had opened for
  /// writing, when the first writer has written or gone. Takes nothing; any number of tasks may wait. Cancelled: stops.
  /// Selectable.
  [[nodiscard]] auto readable() noexcept { return detail::readiness_operation::readable(file_.handle_.get()); }

  /// What the latest read moved, also when it failed or was stopped.
  [[nodiscard]] std::size_t bytes_read() const noexcept { return file_.bytes_read(); }

  /// What error sentences call it: "pipe", the path, or what adopt() was given.
  [[nodiscard]] std::string name() const { return file_.name(); }

  /// Cancels what is in flight (it fails with std::errc::operation_canceled) and closes: who writes gets EPIPE.
  /// Idempotent.
  void close() noexcept { file_.close(); }
  [[nodiscard]] bool is_open() const noexcept { return file_.is_open(); }

  /// The descriptor, lent: it stays owned by this object. That of make_pipe() and open() is non-blocking.
  [[nodiscard]] int native_handle() const noexcept { return file_.native_handle(); }
  /// The descriptor, given away. Nothing may be in flight.
  [[nodiscard]] int release() noexcept { return file_.release(); }
  /// Takes over an open descriptor of any kind that read(2) takes. Its flags stay as they are: whether it blocks may be
  /// shared with other processes, as for standard input. `name` is for error sentences. Throws, and leaves the
  /// descriptor alone, when it is not open.
  static pipe_reader adopt(int number, std::string name = {}) {
    return pipe_reader(file::adopt(number, std::move(name)));
  }

 private:
  friend class process;
  friend class detail::copy_access;
  friend pipe_ends make_pipe();
  explicit pipe_reader(file end) noexcept : file_(std::move(end)) {}
  /// Takes over a number that is non-blocking.
  static pipe_reader own(int number, std::string name);
  [[nodiscard]] detail::copy_end kernel_end() const noexcept { return detail::copy_access::end_of(file_); }

  file file_;
};

/// What bytes go into: the end of a pipe, a FIFO, or what standard output is. Move-only; the destructor closes it, and
/// when the last writer has gone, who reads gets the end of the stream. Buffers must live until the operation has
/// ended.
///
/// Writing when nobody reads any more fails with EPIPE: "write pipe: Broken pipe". It raises no SIGPIPE, because the
/// runtime ignores that unless it is told otherwise (runtime_options::keep_sigpipe); there is no flag for a single
/// write to a pipe. Operations allocate nothing. In a simulation there is none: std::errc::not_supported.
class pipe_writer {
 public:
  pipe_writer() = default;

  /// Completes with the opened FIFO; anything else that can be written streams as well. Does not wait for a reader:
  /// fails with ENXIO when nobody has opened it for reading. Cancelled: what has been opened all the same is delivered.
  /// Two frames, recycled, and the record and path.
  static task<pipe_writer> open(std::string path);

  /// Completes with the number of bytes that were taken, at least one (0 for an empty buffer). Up to PIPE_BUF bytes,
  /// 4096, go into a pipe in one piece whoever else writes. One writer at a time; a second is told (EBUSY). Cancelled:
  /// nothing was taken.
  [[nodiscard]] auto write_some(std::span<const std::byte> from) noexcept { return file_.write_some(from); }
  /// Writes all of `from`. Cancelled or failed: bytes_written() tells how much went.
  [[nodiscard]] auto write_all(std::span<const std::byte> from) noexcept { return file_.write_all(from); }

  /// Completes when there is room, or an error to tell. Any number of tasks may wait. Cancelled: stops. Selectable.
  [[nodiscard]] auto writable() noexcept { return detail::readiness_operation::writable(file_.handle_.get()); }

  /// What the latest write moved, also when it failed or was stopped.
  [[nodiscard]] std::size_t bytes_written() const noexcept { return file_.bytes_written(); }

  /// What error sentences call it: "pipe", the path, or what adopt() was given.
  [[nodiscard]] std::string name() const { return file_.name(); }

  /// Cancels what is in flight (it fails with std::errc::operation_canceled) and closes. Idempotent.
  void close() noexcept { file_.close(); }
  [[nodiscard]] bool is_open() const noexcept { return file_.is_open(); }

  /// The descriptor, lent: it stays owned by this object. That of make_pipe() and open() is non-blocking.
  [[nodiscard]] int native_handle() const noexcept { return file_.native_handle(); }
  /// The descriptor, given away. Nothing may be in flight.
  [[nodiscard]] int release() noexcept { return file_.release(); }
  /// Takes over an open descriptor of any kind that write(2) takes; see pipe_reader::adopt().
  static pipe_writer adopt(int number, std::string name = {}) {
    return pipe_writer(file::adopt(number, std::move(name)));
  }

 private:
  friend class process;
  friend class detail::copy_access;
  friend pipe_ends make_pipe();
  explicit pipe_writer(file end) noexcept : file_(std::move(end)) {}
  /// Takes over a number that is non-blocking.
  static pipe_writer own(int number, std::string name);
  [[nodiscard]] detail::copy_end kernel_end() const noexcept { return detail::copy_access::end_of(file_); }

  file file_;
};

/// Both ends of a pipe: `auto [reader, writer] = weir::make_pipe();`
struct pipe_ends {
  pipe_reader reader;
  pipe_writer writer;
};

/// A new pipe, close-on-exec and non-blocking at both ends. Throws std::system_error: "make_pipe: Too many open files".
[[nodiscard]] pipe_ends make_pipe();

/// A duplicate of descriptor 0, 1 or 2, so that closing it closes nothing for the rest of the program. The flags stay
/// as they are: a terminal that the shell shares does not become non-blocking. Whoever else in the program reads or
/// writes there, such as stdio with buffers of its own, does so beside it. Throws std::system_error: "standard_input:
/// Bad file descriptor".
[[nodiscard]] pipe_reader standard_input();
[[nodiscard]] pipe_writer standard_output();
[[nodiscard]] pipe_writer standard_error();

}  // namespace weir
