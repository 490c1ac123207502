#pragma once

#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "../../runtime/task.hpp"
#include "write_buffer.hpp"

namespace weir::detail {

/// What one operation of a buffered_writer asks for. It lives in the operation.
struct write_request {
  /// What is to be written when the buffer has been, without going through it.
  std::span<const std::byte> direct;
  /// False: it only has to let others run.
  bool drains = false;
};

/// The part of a buffered_writer that does not depend on its stream.
class writer_core {
 public:
  explicit writer_core(std::size_t limit) noexcept : buffer(limit) {}
  writer_core(writer_core&& other) noexcept = default;
  writer_core& operator=(writer_core&& other) noexcept {
    expect_nothing_lost();
    buffer = std::move(other.buffer);
    taken = other.taken;
    tried = other.tried;
    return *this;
  }

  /// Writes the buffer, and what `request` wants written after it.
  virtual task<> drain(write_request& request) = 0;
  /// What error sentences call the stream.
  [[nodiscard]] virtual std::string stream_name() const = 0;

  write_buffer buffer;
  std::size_t taken = 0;  // of what the latest operation was given
  bool writing = false;   // a task is in drain()
  bool tried = false;     // writing what is in the buffer was begun

 protected:
  ~writer_core() {
    WEIR_DETAIL_ASSERT(!writing, "a buffered_writer was destroyed while a task writes to it");
    expect_nothing_lost();
  }

 private:
  // Whoever has tried to write it, or is being stopped, knows.
  void expect_nothing_lost() const noexcept {
    WEIR_DETAIL_ASSERT(buffer.size() == 0 || tried || is_unwinding() || std::uncaught_exceptions() != 0,
                       "a buffered_writer was destroyed with bytes that nobody has tried to write: flush() it first, "
                       "or discard() them");
  }
};

/// Held by a drain(), until it ends or is stopped.
class draining {
 public:
  explicit draining(writer_core& writer) noexcept : writer_(writer) { writer_.writing = true; }
  draining(const draining&) = delete;
  draining& operator=(const draining&) = delete;
  ~draining() { writer_.writing = false; }

 private:
  writer_core& writer_;
};

/// The failure of who comes while another task writes.
failure two_writers(const char* verb, const writer_core& writer);
/// A stream that takes nothing and reports no error would be asked for ever.
[[noreturn]] void fail_stuck(const std::string& name);

/// An operation of a buffered_writer. What fits into the buffer completes at once and needs no frame; otherwise a task
/// writes, whose frame is recycled. What goes into the buffer does so as the operation completes, so a stop before that
/// has changed nothing.
template <class Derived, class T>
class [[nodiscard]] buffered_write : public operation_base {
 public:
  using value_type = T;

  bool ready(const await_context& context) noexcept {
    refused_ = writer_.writing;
    if (refused_) return true;
    writer_.taken = 0;
    request_ = self().request();
    return !request_.drains && leaf::may_complete_now(context);
  }
  std::coroutine_handle<> start(const await_context& context) {
    writing_ = writer_.drain(request_);
    return writing_.start(context);
  }
  T resume() {
    if (writing_) writing_.resume();
    if (refused_) two_writers(Derived::verb, writer_).rethrow();
    return self().value();
  }
  result<T> resume_result() noexcept {
    if (writing_) {
      const result<void> written = writing_.resume_result();
      if (!written) return failure(written.exception());
    }
    if (refused_) return two_writers(Derived::verb, writer_);
    return capture<T>([this]() -> T { return self().value(); });
  }

 protected:
  explicit buffered_write(writer_core& writer) noexcept : writer_(writer) {}
  buffered_write(buffered_write&& other) noexcept = default;  // only before it starts
  ~buffered_write() = default;

  [[nodiscard]] writer_core& writer() const noexcept { return writer_; }

 private:
  Derived& self() noexcept { return static_cast<Derived&>(*this); }

  writer_core& writer_;
  write_request request_;
  task<> writing_;
  bool refused_ = false;
};

/// Takes all of what it is given; T is void, or std::size_t for how much that was.
template <class T>
class [[nodiscard]] buffered_write_all final : public buffered_write<buffered_write_all<T>, T> {
 public:
  static constexpr const char* verb = "write";
  buffered_write_all(writer_core& writer, std::span<const std::byte> from) noexcept
      : buffered_write<buffered_write_all, T>(writer), from_(from) {}
  buffered_write_all(buffered_write_all&&) noexcept = default;
  ~buffered_write_all() = default;

  write_request request() noexcept {
    const write_buffer& buffer = this->writer().buffer;
    if (buffer.fits(from_.size())) return {};
    past_it_ = from_.size() >= buffer.limit();
    return {.direct = past_it_ ? from_ : std::span<const std::byte>(), .drains = true};
  }
  T value() {
    writer_core& writer = this->writer();
    if (!past_it_) {
      writer.buffer.append(from_);
      writer.taken = from_.size();
      if (!from_.empty()) writer.tried = false;
    }
    if constexpr (!std::is_void_v<T>) return from_.size();
  }

 private:
  std::span<const std::byte> from_;
  bool past_it_ = false;
};

/// Writes the buffer.
class [[nodiscard]] flush_operation final : public buffered_write<flush_operation, void> {
 public:
  static constexpr const char* verb = "flush";
  explicit flush_operation(writer_core& writer) noexcept : buffered_write(writer) {}
  flush_operation(flush_operation&&) noexcept = default;
  ~flush_operation() = default;

  write_request request() noexcept { return {.direct = {}, .drains = writer().buffer.size() != 0}; }
  void value() const noexcept {}
};

}  // namespace weir::detail
