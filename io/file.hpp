#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "../runtime/task.hpp"
#include "detail/copy_end.hpp"
#include "detail/descriptor.hpp"
#include "detail/file_access.hpp"
#include "operations/file_control.hpp"
#include "operations/file_parts.hpp"
#include "operations/file_read.hpp"
#include "operations/file_write.hpp"
#include "operations/open.hpp"
#include "operations/stat.hpp"
#include "operations/sync.hpp"

namespace weir {

class pipe_reader;
class pipe_writer;

/// What a file is opened for: `file_mode::write | file_mode::create | file_mode::truncate`.
enum class file_mode : std::uint8_t {
  read = 1,
  write = 2,
  read_write = read | write,
  append = 4 | write,       ///< every write goes to the end
  create = 8,               ///< make it when it does not exist
  truncate = 16,            ///< make it empty; only with write
  exclusive = 32 | create,  ///< fail with EEXIST when it exists
  direct = 64,              ///< past the kernel's cache: buffers, sizes and offsets as for an aligned_buffer
  synced = 128,             ///< a write completes when it is on the device, as if sync_data() came after each
};

constexpr file_mode operator|(file_mode a, file_mode b) noexcept {
  return static_cast<file_mode>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr file_mode operator&(file_mode a, file_mode b) noexcept {
  return static_cast<file_mode>(static_cast<unsigned>(a) & static_cast<unsigned>(b));
}

/// An open file: a regular one, a block device, or something that streams (a FIFO, a pipe, a terminal, a device).
/// Move-only; the destructor closes it. Buffers must live until the operation has ended, also when the file is closed.
///
/// Errors are std::system_error with a sentence such as "open missing.log: No such file or directory". Cancellation:
/// reads and writes of regular files that the kernel has begun are waited for and deliver what they moved; streams
/// stop at once. Operations allocate nothing but the record of an opened file. Without io_uring, regular files are read
/// and written on the offload pool.
class file {
 public:
  file() = default;

  /// Completes with the opened file. Directories are refused (EISDIR). Cancelled: what has been opened all the same is
  /// delivered. `permissions` are those of a new file, less the process's umask. Always close-on-exec.
  ///
  /// A FIFO is opened without waiting for its other end: for reading, reads give 0 until somebody writes; for writing,
  /// it fails with ENXIO when nobody reads; read_write always opens.
  static detail::open_operation open(std::string path, file_mode mode = file_mode::read, unsigned permissions = 0666) {
    return {std::move(path), mode, permissions};
  }

  /// Completes with a new file for reading and writing that has no name, in the file system of `directory`: whatever
  /// happens, nothing is left of it when it is closed. Cancelled: stops, and nothing is left. Allocates a frame,
  /// recycled, beside what open() does.
  static task<file> temporary(std::string directory = "/tmp");

  /// Completes with the number of bytes read at `offset`: what one call gives, 0 at the end of the file (or for an
  /// empty buffer). Leaves the position alone; any number at once. ESPIPE for what streams.
  [[nodiscard]] auto read_at(std::span<std::byte> into, std::uint64_t offset) noexcept {
    return detail::file_read_operation(handle_.get(), placed(), into, offset);
  }
  /// Completes with the number of bytes written at `offset`: what one call takes, at least one. In append mode Linux
  /// writes at the end all the same. Leaves the position alone; any number at once, in no order.
  [[nodiscard]] auto write_at(std::span<const std::byte> from, std::uint64_t offset) noexcept {
    return detail::file_write_operation(handle_.get(), placed(), from, offset);
  }

  /// Completes with the number of bytes read at the position, which moves on: at least one, or 0 at the end (or for an
  /// empty buffer). One reader at a time; a second is told (EBUSY).
  [[nodiscard]] auto read_some(std::span<std::byte> into) noexcept {
    return detail::file_read_operation(handle_.get(), sequential_, into, 0);
  }
  /// Completes with the number of bytes written at the position, which moves on: at least one (0 for an empty buffer).
  /// One writer at a time; a second is told (EBUSY).
  [[nodiscard]] auto write_some(std::span<const std::byte> from) noexcept {
    return detail::file_write_operation(handle_.get(), sequential_, from, 0);
  }
  /// Writes all of `from` at the position. Cancelled or failed: bytes_written() tells how much went.
  [[nodiscard]] auto write_all(std::span<const std::byte> from) noexcept {
    return detail::file_write_all_operation(handle_.get(), sequential_, from, 0);
  }

  /// The same for several buffers, the first first, as if they were one: one call takes up to 16 of them. The list,
  /// too, must live until the operation has ended.
  [[nodiscard]] auto read_at(std::span<const std::span<std::byte>> into, std::uint64_t offset) noexcept {
    return detail::file_parts_operation<std::byte>(handle_.get(), placed(), into, offset);
  }
  [[nodiscard]] auto write_at(std::span<const std::span<const std::byte>> from, std::uint64_t offset) noexcept {
    return detail::file_parts_operation<const std::byte>(handle_.get(), placed(), from, offset);
  }
  [[nodiscard]] auto read_some(std::span<const std::span<std::byte>> into) noexcept {
    return detail::file_parts_operation<std::byte>(handle_.get(), sequential_, into, 0);
  }
  [[nodiscard]] auto write_some(std::span<const std::span<const std::byte>> from) noexcept {
    return detail::file_parts_operation<const std::byte>(handle_.get(), sequential_, from, 0);
  }
  [[nodiscard]] auto write_all(std::span<const std::span<const std::byte>> from) noexcept {
    return detail::file_write_all_parts_operation(handle_.get(), sequential_, from, 0);
  }
  /// Writes all of `from` at `offset`. Leaves the position alone; how much went when it failed is not told.
  [[nodiscard]] auto write_all_at(std::span<const std::byte> from, std::uint64_t offset) noexcept {
    return detail::file_write_all_operation(handle_.get(), placed(), from, offset);
  }
  [[nodiscard]] auto write_all_at(std::span<const std::span<const std::byte>> from, std::uint64_t offset) noexcept {
    return detail::file_write_all_parts_operation(handle_.get(), placed(), from, offset);
  }

  /// Completes when what was written before is on the device, with all that describes the file (fsync). Writes that are
  /// still in flight are not waited for. Once begun it is not cancelled.
  [[nodiscard]] auto sync() noexcept { return detail::sync_operation(handle_.get(), false); }
  /// The same without what is not needed to read the data back, such as times (fdatasync).
  [[nodiscard]] auto sync_data() noexcept { return detail::sync_operation(handle_.get(), true); }

  /// Cuts the file off at `bytes`, or extends it by a hole. Once begun these are not cancelled.
  [[nodiscard]] auto set_size(std::uint64_t bytes) noexcept {
    return detail::file_control_operation(handle_.get(), detail::file_control::set_size, bytes);
  }
  /// Takes room on the device for this part of the file, which grows if it is shorter: writes there do not fail with
  /// ENOSPC any more. EOPNOTSUPP where the file system cannot.
  [[nodiscard]] auto allocate(std::uint64_t offset, std::uint64_t bytes) noexcept {
    return detail::file_control_operation(handle_.get(), detail::file_control::allocate, offset, bytes);
  }
  /// Gives the room back: the part reads as zeros, the size stays. EOPNOTSUPP where the file system cannot.
  [[nodiscard]] auto deallocate(std::uint64_t offset, std::uint64_t bytes) noexcept {
    return detail::file_control_operation(handle_.get(), detail::file_control::deallocate, offset, bytes);
  }
  /// Tells the kernel how a part will be used; 0 bytes: from the offset to the end.
  [[nodiscard]] auto advise(std::uint64_t offset, std::uint64_t bytes, file_advice advice) noexcept {
    return detail::file_control_operation(handle_.get(), detail::file_control::advise, offset, bytes, advice);
  }
  /// The lower twelve bits, whatever the umask.
  [[nodiscard]] auto set_permissions(unsigned permissions) noexcept {
    return detail::file_control_operation(handle_.get(), detail::file_control::set_permissions, permissions & 07777u);
  }

  /// Completes with a file_status, also when the file has no name any more.
  [[nodiscard]] auto status() noexcept { return detail::stat_operation(handle_.get()); }
  /// In bytes; 0 for what streams. Asks the kernel, on the spot.
  [[nodiscard]] std::uint64_t size() const;
  /// Where read_some and write_some go on; 0 for what streams and for files whose position the kernel keeps: adopted
  /// ones, and those in append mode.
  [[nodiscard]] std::uint64_t position() const noexcept;
  /// Sets it. ESPIPE for files whose position() is not kept here. Not while a sequential operation runs.
  void set_position(std::uint64_t offset);

  /// What the latest sequential read or write moved, also when it failed or was stopped.
  [[nodiscard]] std::size_t bytes_read() const noexcept { return handle_ ? handle_.get()->bytes_read() : 0; }
  [[nodiscard]] std::size_t bytes_written() const noexcept { return handle_ ? handle_.get()->bytes_written() : 0; }

  /// What error sentences call it: the path, or what adopt() was given.
  [[nodiscard]] std::string name() const { return handle_ ? handle_.get()->name() : "a closed file"; }

  /// Cancels what is in flight and closes once that has ended. Idempotent. Whether everything has reached the device
  /// only sync() tells.
  void close() noexcept { handle_.reset(); }
  [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(handle_); }

  /// The descriptor, lent: it stays owned by this object. Streams that open() made are non-blocking.
  [[nodiscard]] int native_handle() const noexcept { return handle_.number(); }
  /// The descriptor, given away, with its own position where ours was. Nothing may be in flight.
  [[nodiscard]] int release() noexcept;
  /// Takes over an open descriptor, of any kind that read(2) and write(2) take. Its flags stay as they are, and
  /// sequential operations use its own position: both may be shared with other processes, as for standard output.
  /// `name` is for error sentences. Throws, and leaves the descriptor alone, when it is not open.
  static file adopt(int number, std::string name = {});

 private:
  friend class detail::open_operation;
  friend class detail::copy_access;
  friend class pipe_reader;
  friend class pipe_writer;

  file(detail::descriptor_handle handle, detail::file_access sequential) noexcept
      : handle_(std::move(handle)), sequential_(sequential) {}
  [[nodiscard]] static file take(int number, std::string path, detail::file_access sequential);
  [[nodiscard]] detail::file_access placed() const noexcept {
    return detail::is_stream(sequential_) ? detail::file_access::unplaced : detail::file_access::at_offset;
  }

  // For copy(). What streams and is shared may block.
  [[nodiscard]] detail::copy_end kernel_end() const noexcept {
    using kind = detail::copy_end::kind;
    const kind what = !detail::is_stream(sequential_)                     ? kind::file
                      : sequential_ == detail::file_access::shared_stream ? kind::other
                                                                          : kind::stream;
    return {handle_.get(), what, sequential_};
  }

  detail::descriptor_handle handle_;
  detail::file_access sequential_ = detail::file_access::own_position;
};

}  // namespace weir
