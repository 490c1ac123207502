#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <string_view>
#include <thread>

#include <weir/io/buffered_reader.hpp>
#include <weir/io/buffered_writer.hpp>
#include <weir/io/copy.hpp>
#include <weir/io/file.hpp>
#include <weir/io/lines.hpp>
#include <weir/io/poll.hpp>
#include <weir/io/read_exactly.hpp>
#include <weir/io/write_all.hpp>
#include <weir/sync/channel.hpp>
#include <weir/sync/select.hpp>

#include "guarded_buffer.hpp"
#include "scene_parts.hpp"
#include "scenes.hpp"
#include "streams.hpp"

// What reads and writes through buffers, helpers and files.

using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::tcp_stream;
using weir::with_cancellation;

namespace test {
namespace {

/// A stream that has nothing but the one operation that every stream has.
class bare_stream {
 public:
  explicit bare_stream(tcp_stream& of) : stream_(of) {}
  task<std::size_t> read_some(std::span<std::byte> into) {
    const std::size_t n = co_await stream_.read_some(into);
    moved += n;
    co_return n;
  }
  task<std::size_t> write_some(std::span<const std::byte> from) {
    const std::size_t n = co_await stream_.write_some(from);
    moved += n;
    co_return n;
  }

  std::size_t moved = 0;

 private:
  tcp_stream& stream_;
};

// ---- reading

enum class reading_form : std::uint8_t { line_view, skip_line, until, exactly, some, peek, lines, copy };

/// A text comes in two parts, and nothing of it is lost: what an operation has not delivered comes after it.
class reading_a_text final : public scene {
 public:
  explicit reading_a_text(reading_form form) : form_(form), early_(form == reading_form::some ? 0 : 15) {}
  task<> open() override {
    c_.peer.send(bytes_of(text_.substr(0, early_)));
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    switch (form_) {
      case reading_form::line_view: {
        auto r = co_await as_result(with_cancellation(token, reader_.read_line_view()));
        if (!completed(r)) co_return false;
        if (*r) delivered_ = std::string(**r) + "\n";
        co_return true;
      }
      case reading_form::skip_line: {
        auto r = co_await as_result(with_cancellation(token, reader_.skip_line()));
        if (!completed(r)) co_return false;
        delivered_ = text_.substr(0, *r);
        co_return true;
      }
      case reading_form::until: {
        auto r = co_await as_result(with_cancellation(token, reader_.read_until("second")));
        if (!completed(r)) co_return false;
        delivered_ = *r;
        co_return true;
      }
      case reading_form::exactly: {
        auto r = co_await as_result(with_cancellation(token, reader_.read_exactly(20)));
        if (!completed(r)) co_return false;
        delivered_ = *r;
        co_return true;
      }
      case reading_form::some: {
        std::array<std::byte, 20> into;
        auto r = co_await as_result(with_cancellation(token, reader_.read_some(into)));
        if (!completed(r)) co_return false;
        delivered_ = text_in(std::span(into).first(*r));
        co_return true;
      }
      case reading_form::peek: {
        auto r = co_await as_result(with_cancellation(token, reader_.peek(20)));
        if (!completed(r)) co_return false;
        expect(r->size() >= 20 && text_.starts_with(text_in(*r)), "it shows something else");
        co_return true;
      }
      case reading_form::lines: {
        auto each = weir::lines(reader_);
        auto r = co_await as_result(with_cancellation(token, each.next()));
        if (!completed(r)) co_return false;
        if (*r) delivered_ = **r + "\n";
        co_return true;
      }
      case reading_form::copy: {
        auto r = co_await as_result(with_cancellation(token, weir::copy(reader_, sink_)));
        if (!completed(r)) co_return false;
        expect(*r == text_.size() && sink_.text == text_, "it completed and is not at the end");
        co_return true;
      }
    }
    co_return false;
  }
  void trigger() override {
    c_.peer.send(bytes_of(text_.substr(early_)));
    c_.peer.shutdown_write();
  }
  task<> settle(bool completed) override {
    if (form_ == reading_form::copy) delivered_ = sink_.text;
    if (form_ == reading_form::skip_line && !completed) {
      // It may have dropped a part of the line, and the next one goes on with the rest.
      co_await reader_.skip_line();
      delivered_ = text_.substr(0, text_.find('\n') + 1);
    }
    sink_.text.clear();
    co_await weir::copy(reader_, sink_);
    expect(delivered_ + sink_.text == text_, "bytes were lost, or came twice: \"" + delivered_ + sink_.text + "\"");
    if (completed && form_ != reading_form::peek) expect(!delivered_.empty(), "it completed with nothing");
  }

 private:
  static constexpr std::string_view text_ = "the first half and the second\nthe rest\n";
  const reading_form form_;
  const std::size_t early_;
  connection c_ = connect_pair();
  weir::buffered_reader<tcp_stream&> reader_{c_.stream};
  slow_sink sink_;
  std::string delivered_;
};

/// The helper, for streams that have no read_exactly of their own: what it took is not told, but the stream knows.
class reading_exactly_from final : public scene {
 public:
  task<> open() override {
    fill_pattern(sent_);
    c_.peer.send(sent_.first(10));
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::read_exactly(from_, wanted_)));
    co_return completed(r);
  }
  void trigger() override { c_.peer.send(sent_.last_from(10)); }
  task<> settle(bool completed) override {
    if (completed) expect(from_.moved == wanted_.size(), "it completed and has not filled the buffer");
    expect(is_pattern(wanted_.first(from_.moved)), "it read something else");
    guarded_buffer rest(sent_.size() - from_.moved);
    co_await c_.stream.read_exactly(rest);
    expect(is_pattern(rest, from_.moved), "bytes were lost");
  }

 private:
  connection c_ = connect_pair();
  bare_stream from_{c_.stream};
  guarded_buffer sent_{100};
  guarded_buffer wanted_{64};
};

// ---- writing

class writing_all_to final : public sending {
 public:
  task<bool> attempt(cancellation_token token) override {
    expected_ = bytes_.size();
    auto r = co_await as_result(with_cancellation(token, weir::write_all(to_, bytes_)));
    co_return completed(r);
  }

 private:
  [[nodiscard]] std::size_t moved() const override { return to_.moved; }
  bare_stream to_{c_.stream};
};

enum class writing_form : std::uint8_t { write, write_some };

/// More than the buffer holds, which does not go through it.
class writing_past_the_buffer final : public sending {
 public:
  explicit writing_past_the_buffer(writing_form form) : form_(form) {}
  task<bool> attempt(cancellation_token token) override {
    expected_ = bytes_.size();
    if (form_ == writing_form::write) {
      auto r = co_await as_result(with_cancellation(token, writer_.write(bytes_)));
      co_return completed(r);
    }
    auto r = co_await as_result(with_cancellation(token, writer_.write_some(bytes_)));
    if (!completed(r)) co_return false;
    expect(*r == bytes_.size(), "it took another number of bytes");
    co_return true;
  }

 private:
  [[nodiscard]] std::size_t moved() const override { return writer_.bytes_taken(); }
  const writing_form form_;
  weir::buffered_writer<tcp_stream&> writer_{c_.stream, {.buffer = 16}};
};

/// Into a full buffer, which has to be written first: then the new piece has gone into it, or nothing of it.
class writing_behind_the_buffer final : public sending {
 public:
  task<> open() override {
    co_await sending::open();
    co_await writer_.write(bytes_.first(held_));
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, writer_.write(bytes_.last_from(held_))));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    expect(writer_.bytes_taken() == (completed ? bytes_.size() - held_ : 0),
           "it took a part, or nothing and completed");
    expect(is_pattern(writer_.buffered(), moved()), "what is left is something else");
    expected_ = moved();
    co_await sending::settle(completed);
    writer_.discard();
  }

 private:
  [[nodiscard]] std::size_t moved() const override {
    const std::size_t given = held_ + writer_.bytes_taken();
    return given - writer_.buffered().size();
  }
  static constexpr std::size_t held_ = 100'000;
  weir::buffered_writer<tcp_stream&> writer_{c_.stream, {.buffer = 110'000}};
};

/// What the kernel has taken of it is in its memory until the peer has it, and that is waited for.
class writing_without_a_copy final : public sending {
 public:
  ~writing_without_a_copy() override { stop_reading(); }
  [[nodiscard]] bool outlasts_its_stop() const override { return true; }
  task<bool> attempt(cancellation_token token) override {
    expected_ = bytes_.size();
    auto r = co_await as_result(with_cancellation(token, c_.stream.write_all_zero_copy(bytes_)));
    bytes_ = guarded_buffer(0);  // whoever still had it would meet EFAULT
    co_return completed(r);
  }
  // On a thread, for whoever is stopped with the operation reads nothing any more.
  void trigger() override {
    reading_ = std::thread([this] {
      while (!enough_) {
        const ssize_t n = c_.peer.receive(received_.last_from(total_), 10);
        if (n > 0) total_ += static_cast<std::size_t>(n);
        if (n <= 0 && n != -EAGAIN) return;
      }
    });
  }
  void pump() override {}
  task<> settle(bool completed) override {
    stop_reading();
    co_await sending::settle(completed);
  }

 private:
  void stop_reading() {
    enough_ = true;
    if (reading_.joinable()) reading_.join();
  }
  std::atomic<bool> enough_{false};
  std::thread reading_;
};

// ---- copies that the kernel makes

/// Into a socket that takes little at a time, from another one or from a file. Whatever was taken and not written is in
/// the progress, and a second copy goes on with that.
class copying_in_the_kernel final : public scene {
 public:
  explicit copying_in_the_kernel(bool from_a_file) : from_a_file_(from_a_file) { fill_pattern(sent_); }
  task<> open() override {
    if (!from_a_file_) {
      in_ = connect_pair();
      in_.peer.send(sent_);
      co_return;
    }
    file_ = co_await weir::file::open(path_.path(), weir::file_mode::read_write | weir::file_mode::truncate);
    if (::pwrite(file_.native_handle(), sent_.data(), sent_.size(), 0) != static_cast<ssize_t>(sent_.size())) {
      throw std::runtime_error("the test's own file is not complete");
    }
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, go_on()));
    co_return completed(r);
  }
  void trigger() override {
    if (!from_a_file_) in_.peer.shutdown_write();
    pump();
  }
  void pump() override {
    for (;;) {
      const ssize_t n = out_.peer.receive(received_.last_from(total_), 0);
      if (n <= 0) return;
      total_ += static_cast<std::size_t>(n);
    }
  }
  task<> settle(bool completed) override {
    if (from_a_file_) expect(file_.position() == progress_.copied, "the file does not stand behind what was copied");
    if (completed) {
      expect(progress_.copied == sent_.size(), "it completed and is not at the end");
    } else {
      co_await weir::with_task_group([&](weir::task_group& group) -> task<> {
        group.spawn(go_on());
        while (group.size() != 0) {
          pump();
          co_await weir::yield();
        }
      });
    }
    expect(progress_.copied == sent_.size() && progress_.rest.empty(), "bytes were lost, or are counted twice");
    out_.stream.close();
    for (ssize_t n = 1; n > 0;) {
      n = out_.peer.receive(received_.last_from(total_));
      if (n > 0) total_ += static_cast<std::size_t>(n);
    }
    expect(total_ == sent_.size() && is_pattern(received_.first(total_)), "something else was written");
  }

 private:
  task<std::uint64_t> go_on() {
    if (from_a_file_) return weir::copy(file_, out_.stream, {.buffer = 4096, .progress = &progress_});
    return weir::copy(in_.stream, out_.stream, {.progress = &progress_});
  }

  const bool from_a_file_;
  connection in_;
  temporary_file path_;
  weir::file file_;
  connection out_ = connect_pair(true);
  weir::copy_progress progress_;
  guarded_buffer sent_{100'000};
  guarded_buffer received_{100'001};
  std::size_t total_ = 0;
};

// ---- files

enum class file_form : std::uint8_t { write_at, write_some, write_all, sync, sync_data };

class writing_a_file final : public scene {
 public:
  explicit writing_a_file(file_form form) : form_(form) {}
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<> open() override { file_ = co_await weir::file::open(path_.path(), weir::file_mode::read_write); }
  task<bool> attempt(cancellation_token token) override {
    switch (form_) {
      case file_form::write_at: {
        auto r = co_await as_result(with_cancellation(token, file_.write_at(news_, 0)));
        co_return completed(r);
      }
      case file_form::write_some: {
        auto r = co_await as_result(with_cancellation(token, file_.write_some(news_)));
        co_return completed(r);
      }
      case file_form::write_all: {
        auto r = co_await as_result(with_cancellation(token, file_.write_all(news_)));
        co_return completed(r);
      }
      case file_form::sync: {
        auto r = co_await as_result(with_cancellation(token, file_.sync()));
        co_return completed(r);
      }
      case file_form::sync_data: {
        auto r = co_await as_result(with_cancellation(token, file_.sync_data()));
        co_return completed(r);
      }
    }
    co_return false;
  }
  task<> settle(bool completed) override {
    const bool writes = form_ < file_form::sync;
    guarded_buffer content(1001);
    const ssize_t size = ::pread(file_.native_handle(), content.data(), content.size(), 0);
    expect(size == 1000, "the file has another size");
    bool is_new = true;
    for (const std::byte b : content.first(news_.size())) is_new = is_new && b == std::byte{'x'};
    if (completed && writes) {
      expect(is_new, "it completed and is not written");
    } else {
      expect(is_pattern(content.first(news_.size())), "it was written and did not complete");
    }
    expect(is_pattern(content.last_from(news_.size()).first(500), news_.size()), "the rest was written, too");
    const bool moves = writes && form_ != file_form::write_at && completed;
    expect(file_.position() == (moves ? news_.size() : 0), "the position is not where the bytes end");
    co_return;
  }

 private:
  const file_form form_;
  temporary_file path_;
  weir::file file_;
  guarded_buffer news_{500, std::byte{'x'}};
};

/// Into a pipe that does not take everything.
class writing_into_a_pipe final : public scene {
 public:
  writing_into_a_pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC | O_NONBLOCK) != 0) throw std::system_error(errno, std::generic_category());
    ::fcntl(ends_[1], F_SETPIPE_SZ, 4096);
    file_ = weir::file::adopt(ends_[1], "the pipe");
    fill_pattern(bytes_);
  }
  ~writing_into_a_pipe() override { ::close(ends_[0]); }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, file_.write_all(bytes_)));
    if (!completed(r)) co_return false;
    expect(file_.bytes_written() == bytes_.size(), "it completed without everything");
    co_return true;
  }
  void trigger() override { pump(); }
  void pump() override {
    for (;;) {
      const ssize_t n = ::read(ends_[0], &received_[total_], received_.size() - total_);
      if (n <= 0) return;
      total_ += static_cast<std::size_t>(n);
    }
  }
  task<> settle(bool) override {
    pump();
    expect(total_ == file_.bytes_written(), "another number of bytes was written than bytes_written() says");
    expect(is_pattern(received_.first(total_)), "something else was written");
    co_return;
  }

 private:
  std::array<int, 2> ends_{};
  weir::file file_;
  guarded_buffer bytes_{20'000};
  guarded_buffer received_{20'001};
  std::size_t total_ = 0;
};

// ---- readiness

enum class awaited : std::uint8_t { alone, case_of_select };

class waiting_to_read final : public receiving {
 public:
  explicit waiting_to_read(awaited how) : receiving(0), how_(how) {}
  task<bool> attempt(cancellation_token token) override {
    if (how_ == awaited::alone) {
      auto r = co_await as_result(with_cancellation(token, c_.stream.readable()));
      if (!completed(r)) co_return false;
    } else {
      auto r = co_await as_result(
          with_cancellation(token, weir::select(nobody_.receive(), c_.stream.readable(), weir::sleep_for(24h))));
      if (!completed(r)) co_return false;
      expect(r->index() == 1, "another case was chosen");
    }
    std::byte one{};
    expect(::recv(c_.stream.native_handle(), &one, 1, MSG_DONTWAIT | MSG_PEEK) == 1, "there is nothing to read");
    co_return true;
  }
  task<> settle(bool) override {
    guarded_buffer all(sent_.size());
    auto r = co_await as_result(weir::with_timeout(5s, c_.stream.read_exactly(all)));
    expect(r.has_value() && is_pattern(all), "bytes were lost");
    expect(!nobody_.try_send(1), "somebody is left waiting");
    // Nothing is in flight.
    expect(::close(c_.stream.release()) == 0, "the number is not ours");
  }

 private:
  const awaited how_;
  weir::channel<int> nobody_{0};
};

/// Into a unix socket: TCP acknowledges when it likes, and room comes back late.
class waiting_to_write final : public scene {
 public:
  task<> open() override {
    std::array<int, 2> ends{};
    expect(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, "there is no pair of sockets");
    stream_ = tcp_stream::adopt(ends[0]);
    peer_ = plain_socket(ends[1]);
    ssize_t n = 0;
    while (n >= 0) {
      sent_ += n;
      n = ::send(ends[0], bytes_.data(), bytes_.size(), MSG_DONTWAIT);
    }
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, stream_.writable()));
    if (!completed(r)) co_return false;
    expect(static_cast<bool>(weir::try_select(stream_.writable())), "there is no room");
    co_return true;
  }
  void trigger() override {
    guarded_buffer into(bytes_.size());
    for (ssize_t n = 1; n > 0; received_ += std::max<ssize_t>(n, 0)) n = peer_.receive(into, 0);
  }
  task<> settle(bool) override {
    expect(received_ == sent_, "bytes were lost, or written");
    co_return;
  }

 private:
  tcp_stream stream_;
  plain_socket peer_;
  guarded_buffer bytes_{8192};
  ssize_t sent_ = 0;
  ssize_t received_ = 0;
};

class waiting_to_accept final : public scene {
 public:
  task<> open() override {
    listener_ = weir::tcp_listener::bind(weir::endpoint::loopback(0));
    at_ = listener_.local_endpoint();
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, listener_.readable()));
    if (!completed(r)) co_return false;
    expect(static_cast<bool>(weir::try_select(listener_.readable())), "there is nothing to accept");
    co_return true;
  }
  void trigger() override { client_ = plain_socket::connected_to(at_); }
  task<> settle(bool) override {
    auto r = co_await as_result(weir::with_timeout(5s, listener_.accept()));
    expect(r.has_value(), "the connection was lost");
  }

 private:
  weir::tcp_listener listener_;
  weir::endpoint at_;
  plain_socket client_;
};

/// For an eventfd, which is not weir's.
class polling final : public scene {
 public:
  explicit polling(awaited how) : how_(how) { expect(number_ >= 0, "there is no eventfd"); }
  ~polling() override { ::close(number_); }
  task<bool> attempt(cancellation_token token) override {
    if (how_ == awaited::alone) {
      auto r = co_await as_result(with_cancellation(token, weir::poll(number_, POLLIN)));
      if (!completed(r)) co_return false;
      expect(*r == POLLIN, "something else has happened");
      co_return true;
    }
    auto r = co_await as_result(
        with_cancellation(token, weir::select(weir::poll(number_, POLLIN), weir::poll(number_, POLLPRI))));
    if (!completed(r)) co_return false;
    expect(r->index() == 0 && r->get<0>() == POLLIN, "something else has happened");
    co_return true;
  }
  void trigger() override {
    const std::uint64_t one = 1;
    expect(::write(number_, &one, sizeof one) == sizeof one, "the test's own write failed");
  }
  task<> settle(bool) override {
    std::uint64_t seen = 0;
    expect(::read(number_, &seen, sizeof seen) == sizeof seen && seen == 1, "the count was read");
    co_return;
  }

 private:
  const awaited how_;
  const int number_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
};

constexpr const char* ready_row = "`tcp_stream::readable()`, `writable()`; those of `udp_socket` and of unix sockets";
constexpr const char* poll_row = "`poll(number, events)`";
constexpr const char* select_row = "`select(ops...)`, `select_ordered`";
constexpr const char* line_row = "`buffered_reader::read_line`, `read_line_view`";
constexpr const char* until_row = "`buffered_reader::read_until`, `read_exactly(size)`";
constexpr const char* some_row = "`buffered_reader::read_some`, `peek`";
constexpr const char* write_row = "`buffered_writer::write`, `write_some`";
constexpr const char* file_row = "`file::write_at`, `write_some`";
constexpr const char* sync_row = "`file::sync()`, `sync_data()`";
constexpr const char* helper_row = "`read_exactly(from, span)`, `write_all(to, span)`";

/// Into a buffer that is lent, of which a waiting operation has none.
template <class Stream>
class receiving_a_lease final : public scene {
 public:
  task<> open() override {
    if constexpr (std::is_same_v<Stream, tcp_stream>) {
      test::connection made = connect_pair();
      stream_ = std::move(made.stream);
      peer_ = std::move(made.peer);
    } else {
      auto ends = Stream::pair();
      stream_ = std::move(ends.first);
      peer_ = plain_socket(ends.second.release());
    }
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, stream_.receive()));
    if (!completed(r)) co_return false;
    expect(r->has_value(), "the stream has ended");
    if (*r) taken_ = (*r)->size();
    expect(taken_ >= 1 && *r && is_pattern(**r), "it received something else");
    expect(stream_.bytes_read() == taken_, "the lease and bytes_read() disagree");
    co_return true;
  }
  void trigger() override {
    guarded_buffer sent(100);
    fill_pattern(sent);
    peer_.send(sent);
  }
  task<> settle(bool completed) override {
    if (!completed) expect(stream_.bytes_read() == 0, "it was cancelled, and has taken something");
    guarded_buffer rest(100 - taken_);
    auto r = co_await as_result(weir::with_timeout(5s, stream_.read_exactly(rest)));
    expect(r.has_value() && is_pattern(rest, taken_), "bytes were lost");
    expect(::recv(stream_.native_handle(), rest.data(), 1, MSG_DONTWAIT) < 0, "there are more bytes than were sent");
  }

 private:
  Stream stream_;
  plain_socket peer_;
  std::size_t taken_ = 0;
};

constexpr const char* lease_row = "`receive()` of `tcp_stream`, `unix_stream` and read halves";

constexpr std::array kinds = {
    kind_of_operation{lease_row, "tcp_stream::receive", make_scene<receiving_a_lease<tcp_stream>>},
    kind_of_operation{lease_row, "unix_stream::receive", make_scene<receiving_a_lease<weir::unix_stream>>},
    kind_of_operation{line_row, "buffered_reader::read_line_view", make_scene<reading_a_text, reading_form::line_view>},
    kind_of_operation{"`buffered_reader::skip_line`", "buffered_reader::skip_line",
                      make_scene<reading_a_text, reading_form::skip_line>},
    kind_of_operation{until_row, "buffered_reader::read_until", make_scene<reading_a_text, reading_form::until>},
    kind_of_operation{until_row, "buffered_reader::read_exactly(size)",
                      make_scene<reading_a_text, reading_form::exactly>},
    kind_of_operation{some_row, "buffered_reader::read_some", make_scene<reading_a_text, reading_form::some>},
    kind_of_operation{some_row, "buffered_reader::peek", make_scene<reading_a_text, reading_form::peek>},
    kind_of_operation{"`lines(...).next()`", "lines", make_scene<reading_a_text, reading_form::lines>},
    kind_of_operation{"`copy(from, to)`", "copy", make_scene<reading_a_text, reading_form::copy>},
    kind_of_operation{"`copy(from, to)`", "copy from socket to socket", make_scene<copying_in_the_kernel, false>},
    kind_of_operation{"`copy(from, to)`", "copy from file to socket", make_scene<copying_in_the_kernel, true>},
    kind_of_operation{helper_row, "read_exactly from any stream", make_scene<reading_exactly_from>},
    kind_of_operation{helper_row, "write_all to any stream", make_scene<writing_all_to>},
    kind_of_operation{"`tcp_stream::write_all_zero_copy`", "write_all_zero_copy", make_scene<writing_without_a_copy>},
    kind_of_operation{write_row, "buffered_writer::write", make_scene<writing_past_the_buffer, writing_form::write>},
    kind_of_operation{write_row, "buffered_writer::write_some",
                      make_scene<writing_past_the_buffer, writing_form::write_some>},
    kind_of_operation{write_row, "buffered_writer::write behind a full buffer", make_scene<writing_behind_the_buffer>},
    kind_of_operation{file_row, "file::write_at", make_scene<writing_a_file, file_form::write_at>},
    kind_of_operation{file_row, "file::write_some", make_scene<writing_a_file, file_form::write_some>},
    kind_of_operation{"`file::write_all`, `write_all_at`", "file::write_all",
                      make_scene<writing_a_file, file_form::write_all>},
    kind_of_operation{"`file::write_all`, `write_all_at`", "file::write_all into a pipe",
                      make_scene<writing_into_a_pipe>},
    kind_of_operation{sync_row, "file::sync", make_scene<writing_a_file, file_form::sync>},
    kind_of_operation{sync_row, "file::sync_data", make_scene<writing_a_file, file_form::sync_data>},
    kind_of_operation{ready_row, "readable", make_scene<waiting_to_read, awaited::alone>},
    kind_of_operation{ready_row, "writable", make_scene<waiting_to_write>},
    kind_of_operation{"`tcp_listener::readable()`, `unix_listener::readable()`", "readable, a listener",
                      make_scene<waiting_to_accept>},
    kind_of_operation{poll_row, "poll", make_scene<polling, awaited::alone>},
    kind_of_operation{select_row, "select, a stream's readiness", make_scene<waiting_to_read, awaited::case_of_select>},
    kind_of_operation{select_row, "select, a poll", make_scene<polling, awaited::case_of_select>},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_streams() { return kinds; }

}  // namespace test
