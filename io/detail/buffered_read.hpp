#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "../../runtime/task.hpp"
#include "read_buffer.hpp"

namespace weir::detail {

/// What one operation of a buffered_reader asks for. It lives in the operation.
class read_request {
 public:
  /// What is at hand answers it, be it with an error. Changes nothing that others see.
  virtual bool satisfied() noexcept = 0;
  /// Where the next read goes; only while it is not satisfied.
  virtual std::span<std::byte> room() = 0;
  virtual void filled(std::size_t n) noexcept = 0;
  /// The stream has ended: it will not be satisfied, and says what that means.
  virtual void ended() noexcept = 0;
  /// No more is read for it, and it is not satisfied: what it took goes back into the buffer.
  virtual void abandoned() noexcept {}

 protected:
  ~read_request() = default;
};

/// The part of a buffered_reader that does not depend on its stream.
class reader_core {
 public:
  reader_core(std::size_t limit, std::size_t most, bool keep_cr) noexcept
      : buffer(limit), bound(most), keep_carriage_return(keep_cr) {}
  reader_core(reader_core&& other) noexcept = default;
  reader_core& operator=(reader_core&& other) noexcept = default;

  /// Reads until `request` is satisfied or the stream ends. If it is satisfied already, lets others run first.
  virtual task<> fill(read_request& request) = 0;
  /// What error sentences call the stream.
  [[nodiscard]] virtual std::string stream_name() const = 0;

  read_buffer buffer;
  std::size_t bound;
  bool keep_carriage_return;
  bool reading = false;  // a task is in fill()

 protected:
  ~reader_core() { WEIR_DETAIL_ASSERT(!reading, "a buffered_reader was destroyed while a task reads from it"); }
};

/// Held by a fill(), until it ends or is stopped.
class filling {
 public:
  filling(reader_core& reader, read_request& request) noexcept : reader_(reader), request_(request) {
    reader_.reading = true;
  }
  filling(const filling&) = delete;
  filling& operator=(const filling&) = delete;
  ~filling() {
    if (!request_.satisfied()) request_.abandoned();
    reader_.reading = false;
  }

 private:
  reader_core& reader_;
  read_request& request_;
};

/// The failure of who comes while another task reads.
failure two_readers(const char* verb, const reader_core& reader);

/// An operation of a buffered_reader that completes with a T. Answered by what is in the buffer it completes at once
/// and needs no frame; otherwise a task reads, whose frame is recycled. What it completes with leaves the buffer when
/// it is handed out, so a stop takes nothing along.
///
/// `Derived` has `T value()`, `static constexpr const char* verb`, and may have its own `failure wrong()`.
template <class Derived, class T>
class [[nodiscard]] buffered_read : public operation_base, public read_request {
 public:
  using value_type = T;

  bool ready(const await_context& context) noexcept {
    refused_ = reader_.reading;
    return refused_ || (self().satisfied() && leaf::may_complete_now(context));
  }
  std::coroutine_handle<> start(const await_context& context) {
    reading_ = reader_.fill(*this);
    return reading_.start(context);
  }
  T resume() {
    if (reading_) reading_.resume();
    if (failure f = failed()) f.rethrow();
    return self().value();
  }
  result<T> resume_result() noexcept {
    if (reading_) {
      const result<void> read = reading_.resume_result();
      if (!read) return failure(read.exception());
    }
    if (failure f = failed()) return f;
    return capture<T>([this]() -> T { return self().value(); });
  }

  std::span<std::byte> room() override { return reader_.buffer.room(reader_.buffer.size() + 1, 0); }
  void filled(std::size_t n) noexcept override { reader_.buffer.filled(n); }
  void ended() noexcept override {}
  [[nodiscard]] failure wrong() const { return {}; }

 protected:
  explicit buffered_read(reader_core& reader) noexcept : reader_(reader) {}
  buffered_read(buffered_read&& other) noexcept = default;  // only before it starts
  ~buffered_read() = default;

  [[nodiscard]] reader_core& reader() const noexcept { return reader_; }
  [[nodiscard]] read_buffer& buffer() const noexcept { return reader_.buffer; }

 private:
  Derived& self() noexcept { return static_cast<Derived&>(*this); }
  failure failed() {
    if (refused_) return two_readers(Derived::verb, reader_);
    return self().wrong();
  }

  reader_core& reader_;
  task<> reading_;
  bool refused_ = false;
};

}  // namespace weir::detail
