#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>

#include <weir/io/pipe.hpp>

#include "guarded_buffer.hpp"
#include "scene_parts.hpp"
#include "scenes.hpp"

using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::with_cancellation;

namespace test {

namespace {

/// Parts of what the scenes that wait for something to read have in common.
class at_a_pipe : public scene {
 public:
  void trigger() override { expect(::write(ends_.writer.native_handle(), "12345", 5) == 5, "the test's own write"); }
  task<> settle(bool) override {
    std::array<char, 10> rest{};
    const ssize_t n = ::read(ends_.reader.native_handle(), rest.data(), rest.size());
    expect((n < 0 ? 0 : n) == 5 - static_cast<ssize_t>(taken_), "bytes were lost, or read twice");
    // Nothing is in flight.
    expect(::close(ends_.reader.release()) == 0, "the number is not ours");
    co_return;
  }

 protected:
  weir::pipe_ends ends_ = weir::make_pipe();
  std::size_t taken_ = 0;
};

class reading_a_pipe final : public at_a_pipe {
 public:
  task<bool> attempt(cancellation_token token) override {
    guarded_buffer into(100);
    auto r = co_await as_result(with_cancellation(token, ends_.reader.read_some(into)));
    expect(ends_.reader.bytes_read() == (r.has_value() ? 5 : 0), "bytes_read() is wrong");
    if (!completed(r)) co_return false;
    taken_ = *r;
    co_return true;
  }
};

class waiting_for_a_pipe final : public at_a_pipe {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, ends_.reader.readable()));
    co_return completed(r);
  }
};

class writing_to_a_pipe final : public scene {
 public:
  task<> open() override {
    expect(::fcntl(ends_.writer.native_handle(), F_SETPIPE_SZ, 4096) == 4096, "a pipe cannot be made smaller");
    fill_pattern(bytes_);
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, ends_.writer.write_all(bytes_)));
    co_return completed(r);
  }
  void trigger() override { pump(); }
  void pump() override {
    for (;;) {
      const std::span<std::byte> room = received_.last_from(total_);
      const ssize_t n = ::read(ends_.reader.native_handle(), room.data(), room.size());
      if (n <= 0) return;
      total_ += static_cast<std::size_t>(n);
    }
  }
  task<> settle(bool completed) override {
    const std::size_t written = ends_.writer.bytes_written();
    if (completed) expect(written == bytes_.size(), "bytes_written() is wrong");
    pump();
    expect(total_ == written, "another number of bytes was written than bytes_written() says");
    expect(is_pattern(received_.first(total_)), "something else was written");
    co_return;
  }

 private:
  weir::pipe_ends ends_ = weir::make_pipe();
  guarded_buffer bytes_{20'000};
  guarded_buffer received_{20'001};
  std::size_t total_ = 0;
};

class opening_a_fifo final : public scene {
 public:
  opening_a_fifo() {
    if (::unlink(path_.path().c_str()) != 0 || ::mkfifo(path_.path().c_str(), 0600) != 0) {
      throw std::system_error(errno, std::generic_category(), "mkfifo");
    }
  }
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::pipe_reader::open(path_.path())));
    if (!completed(r)) co_return false;
    reader_ = std::move(*r);
    co_return true;
  }
  task<> settle(bool completed) override {
    // Whoever opened it and was stopped has closed it: then nobody reads.
    const int number = ::open(path_.path().c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    expect((number >= 0) == completed, "it is open, or not, against what it says");
    if (number >= 0) ::close(number);
    co_return;
  }

 private:
  temporary_file path_;
  weir::pipe_reader reader_;
};

constexpr std::array kinds = {
    kind_of_operation{"`pipe_reader::open`, `pipe_writer::open`", "pipe_reader::open", make_scene<opening_a_fifo>},
    kind_of_operation{"`pipe_reader::read_some`", "pipe_reader::read_some", make_scene<reading_a_pipe>},
    kind_of_operation{"`pipe_writer::write_some`, `write_all`", "pipe_writer::write_all",
                      make_scene<writing_to_a_pipe>},
    kind_of_operation{"`pipe_reader::readable()`, `pipe_writer::writable()`", "pipe_reader::readable",
                      make_scene<waiting_for_a_pipe>},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_pipes() { return kinds; }

}  // namespace test
