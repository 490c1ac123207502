#include "scenes.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <latch>
#include <system_error>
#include <vector>

#include <weir/io/buffered_reader.hpp>
#include <weir/io/buffered_writer.hpp>
#include <weir/io/connections.hpp>
#include <weir/io/file.hpp>
#include <weir/io/signal_set.hpp>
#include <weir/sync/event.hpp>
#include <weir/sync/mutex.hpp>

#include "guarded_buffer.hpp"
#include "scene_parts.hpp"
#include "streams.hpp"

using weir::as_result;
using weir::cancellation_token;
using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::tcp_listener;
using weir::tcp_stream;
using weir::with_cancellation;
using weir::with_task_group;

namespace test {

namespace {

// ---- sockets

enum class accepting_form : std::uint8_t { accept, in_a_burst, generator };

class accepting final : public scene {
 public:
  explicit accepting(accepting_form form) : form_(form) {}
  task<> open() override {
    listener_ = tcp_listener::bind(endpoint::loopback(0));
    at_ = listener_.local_endpoint();
    if (form_ != accepting_form::in_a_burst) co_return;
    // After one there may be another: it is tried before it waits.
    first_ = plain_socket::connected_to(at_);
    accepted_ = co_await listener_.accept();
  }
  task<bool> attempt(cancellation_token token) override {
    if (form_ != accepting_form::generator) {
      auto r = co_await as_result(with_cancellation(token, listener_.accept()));
      if (!completed(r)) co_return false;
      accepted_ = std::move(*r);
    } else {
      auto arriving = weir::connections(listener_);
      auto r = co_await as_result(with_cancellation(token, arriving.next()));
      if (!completed(r)) co_return false;
      accepted_ = std::move(**r);
    }
    co_return true;
  }
  void trigger() override { client_ = plain_socket::connected_to(at_); }
  task<> settle(bool completed) override {
    if (!completed) {
      auto r = co_await as_result(weir::with_timeout(5s, listener_.accept()));
      expect(r.has_value(), "the connection was lost");
      if (!r.has_value()) co_return;
      accepted_ = std::move(*r);
    }
    expect(accepted_.peer_endpoint() == client_.local(), "another connection was accepted");
    expect(::accept(listener_.native_handle(), nullptr, nullptr) < 0, "there is a second connection");
  }

 private:
  accepting_form form_;
  tcp_listener listener_;
  endpoint at_;
  tcp_stream accepted_;
  plain_socket first_;
  plain_socket client_;
};

class connecting final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, tcp_stream::connect(listener_.local())));
    if (!completed(r)) co_return false;
    stream_ = std::move(*r);
    co_return true;
  }
  task<> settle(bool completed) override {
    if (completed) {
      const plain_socket peer = listener_.accept();
      guarded_buffer bytes(4);
      fill_pattern(bytes);
      peer.send(bytes);
      guarded_buffer got(4);
      co_await stream_.read_exactly(got);
      expect(is_pattern(got), "the connection is a wrong one");
    }
    // A connection that nobody wanted any more has been closed.
    while (listener_.readable(0)) {
      const plain_socket peer = listener_.accept();
      expect(!completed, "there is a second connection");
      expect(peer.at_end(), "a connection was left behind");
    }
  }

 private:
  plain_socket listener_ = plain_socket::listening();
  tcp_stream stream_;
};

/// To a listener whose queue is full: the kernel does not answer.
class connecting_in_vain final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::never; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, tcp_stream::connect(listener_.local())));
    co_return completed(r);
  }

 private:
  plain_socket listener_ = plain_socket::listening(0);
  plain_socket in_the_queue_ = plain_socket::connected_to(listener_.local());
};

class reading final : public receiving {
 public:
  reading() : receiving(0) {}
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, c_.stream.read_some(wanted_)));
    if (!completed(r)) co_return false;
    expect(*r == c_.stream.bytes_read(), "read_some and bytes_read() disagree");
    co_return true;
  }
};

class reading_exactly final : public receiving {
 public:
  reading_exactly() : receiving(10) {}
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, c_.stream.read_exactly(wanted_)));
    if (!completed(r)) co_return false;
    expect(c_.stream.bytes_read() == wanted_.size(), "it did not fill the buffer");
    co_return true;
  }
};

class writing_all final : public sending {
 public:
  task<bool> attempt(cancellation_token token) override {
    expected_ = bytes_.size();
    auto r = co_await as_result(with_cancellation(token, c_.stream.write_all(bytes_)));
    co_return completed(r);
  }
};

class writing_some final : public sending {
 public:
  task<> open() override {
    fill_pattern(bytes_);
    // What is still to be acknowledged makes room later: full is what stays full.
    for (bool full = false; !full;) {
      c_.peer.set(IPPROTO_TCP, TCP_QUICKACK, 1);  // or each round would wait for an acknowledgement that takes its time
      full = nothing_in_flight();
      ssize_t n = 1;
      while (n > 0) {
        n = ::send(c_.stream.native_handle(), &bytes_[before_], 4096, MSG_DONTWAIT);
        if (n > 0) before_ += static_cast<std::size_t>(n);
        if (n > 0) full = false;
      }
      co_await settle_down(yields_per_turn);
    }
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, c_.stream.write_some(bytes_.last_from(before_))));
    if (!completed(r)) co_return false;
    expect(*r >= 1, "it completed without a byte");
    expected_ = *r;
    co_return true;
  }

 private:
  /// Whether all that has left for the peer has been acknowledged.
  [[nodiscard]] bool nothing_in_flight() const {
    int unacknowledged = 0;
    int unsent = 0;
    const int fd = c_.stream.native_handle();
    return ::ioctl(fd, SIOCOUTQ, &unacknowledged) == 0 && ::ioctl(fd, SIOCOUTQNSD, &unsent) == 0 &&
           unacknowledged == unsent;
  }
};

// ---- through a buffer

class reading_a_line final : public scene {
 public:
  task<> open() override {
    c_.peer.send(bytes_of("the first half "));
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, reader_.read_line()));
    if (!completed(r)) co_return false;
    expect(*r == line_, "it read another line");
    co_return true;
  }
  void trigger() override { c_.peer.send(bytes_of("and the second\nthe rest\n")); }
  task<> settle(bool completed) override {
    if (!completed) {
      const auto line = co_await reader_.read_line();
      expect(line == line_, "a part of the line was lost");
    }
    const auto rest = co_await reader_.read_line();
    expect(rest == "the rest", "what follows the line was lost");
    expect(reader_.buffered().empty(), "there are more bytes than were sent");
  }

 private:
  static constexpr std::string_view line_ = "the first half and the second";
  connection c_ = connect_pair();
  weir::buffered_reader<tcp_stream&> reader_{c_.stream};
};

/// So much that it is read past the buffer, which has to have it again when the read is stopped.
class reading_past_the_buffer final : public scene {
 public:
  task<> open() override {
    fill_pattern(sent_);
    c_.peer.send(sent_.first(10));
    const auto seen = co_await reader_.peek();
    expect(is_pattern(seen), "peek shows something else");
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, reader_.read_exactly(wanted_)));
    if (!completed(r)) co_return false;
    expect(is_pattern(wanted_), "it read something else");
    co_return true;
  }
  void trigger() override { c_.peer.send(sent_.last_from(10)); }
  task<> settle(bool completed) override {
    const std::size_t taken = completed ? wanted_.size() : 0;
    guarded_buffer rest(sent_.size() - taken);
    co_await reader_.read_exactly(rest);
    expect(is_pattern(rest, taken), "bytes were lost");
    expect(reader_.buffered().empty(), "there are more bytes than were sent");
  }

 private:
  connection c_ = connect_pair();
  weir::buffered_reader<tcp_stream&> reader_{c_.stream, {.buffer = 16}};
  guarded_buffer sent_{100};
  guarded_buffer wanted_{64};
};

class flushing final : public sending {
 public:
  task<> open() override {
    co_await sending::open();
    co_await writer_.write(bytes_);
    expected_ = bytes_.size();
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, writer_.flush()));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    expect(is_pattern(writer_.buffered(), moved()), "what is left is something else");
    co_await sending::settle(completed);
    writer_.discard();
  }

 private:
  [[nodiscard]] std::size_t moved() const override { return bytes_.size() - writer_.buffered().size(); }

  weir::buffered_writer<tcp_stream&> writer_{c_.stream, {.buffer = std::size_t{1} << 18}};
};

// ---- files and signals

class opening_a_file final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::file::open(path_.path())));
    if (!completed(r)) co_return false;
    expect(r->size() == 1000, "another file was opened");
    co_return true;
  }

 private:
  temporary_file path_;
};

class reading_a_file final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<> open() override { file_ = co_await weir::file::open(path_.path()); }
  task<bool> attempt(cancellation_token token) override {
    guarded_buffer into(500);
    auto r = co_await as_result(with_cancellation(token, file_.read_at(into, 100)));
    if (!completed(r)) co_return false;
    expect(*r == 500, "too little was read");
    expect(is_pattern(into, 100), "something else was read");
    co_return true;
  }

 private:
  temporary_file path_;
  weir::file file_;
};

/// At its position, which has to be where the bytes that were delivered end.
class reading_a_file_on final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<> open() override { file_ = co_await weir::file::open(path_.path()); }
  task<bool> attempt(cancellation_token token) override {
    guarded_buffer into(500);
    auto r = co_await as_result(with_cancellation(token, file_.read_some(into)));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    expect(file_.position() == (completed ? 500 : 0), "the position has moved without the bytes");
    co_return;
  }

 private:
  temporary_file path_;
  weir::file file_;
};

class reading_a_fifo final : public scene {
 public:
  reading_a_fifo() {
    if (::unlink(path_.path().c_str()) != 0 || ::mkfifo(path_.path().c_str(), 0600) != 0) {
      throw std::system_error(errno, std::generic_category(), "mkfifo");
    }
  }
  task<> open() override { file_ = co_await weir::file::open(path_.path(), weir::file_mode::read_write); }
  task<bool> attempt(cancellation_token token) override {
    guarded_buffer into(100);
    auto r = co_await as_result(with_cancellation(token, file_.read_some(into)));
    if (!completed(r)) co_return false;
    expect(*r == 5, "it did not read what was written");
    co_return true;
  }
  void trigger() override {
    const int number = ::open(path_.path().c_str(), O_WRONLY | O_CLOEXEC);
    const ssize_t n = ::write(number, "12345", 5);
    ::close(number);
    expect(n == 5, "the test's own write failed");
  }
  task<> settle(bool completed) override {
    std::array<char, 10> rest;
    const ssize_t n = ::read(file_.native_handle(), rest.data(), rest.size());
    expect(n == (completed ? -1 : 5), "bytes were lost, or read twice");
    co_return;
  }

 private:
  temporary_file path_;
  weir::file file_;
};

class waiting_for_a_signal final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, set_.wait()));
    if (!completed(r)) co_return false;
    expect(*r == SIGUSR2, "another signal has come");
    co_return true;
  }
  void trigger() override { ::kill(::getpid(), SIGUSR2); }  // a worker's own thread would not take it
  task<> settle(bool completed) override {
    if (completed) co_return;
    auto r = co_await as_result(weir::with_timeout(5s, set_.wait()));
    expect(r.has_value() && *r == SIGUSR2, "the signal was lost");
  }

 private:
  weir::signal_set set_{SIGUSR2};
};

// ---- what does not go through a reactor

class sleeping final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<> open() override {
    due_ = weir::now() + 50us;
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::sleep_until(due_)));
    if (!completed(r)) co_return false;
    expect(weir::now() >= due_, "it woke early");
    co_return true;
  }
  void trigger() override {
    const weir::time_point begun = weir::now();
    while (weir::now() < due_) {
      pass_time(1000);
      if (weir::now() == begun) return;  // virtual time, which passes when all sleep
    }
  }

 private:
  weir::time_point due_;
};

class sleeping_long final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::never; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::sleep_for(24h)));
    co_return completed(r);
  }
};

class yielding final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::yield()));
    co_return completed(r);
  }
};

class locking final : public scene {
 public:
  task<> open() override { held_ = co_await mutex_.lock(); }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, mutex_.lock()));
    if (!completed(r)) co_return false;
    gained_ = std::move(*r);
    co_return true;
  }
  void trigger() override { held_.unlock(); }
  task<> settle(bool completed) override {
    if (completed) {
      expect(static_cast<bool>(gained_), "it has no lock");
      expect(!mutex_.try_lock(), "it has a lock that others get too");
      gained_.unlock();
    }
    expect(static_cast<bool>(mutex_.try_lock()), "the lock was lost");
    co_return;
  }

 private:
  weir::mutex mutex_;
  weir::mutex_guard held_;
  weir::mutex_guard gained_;
};

class waiting_for_an_event final : public scene {
 public:
  explicit waiting_for_an_event(weir::reset_mode mode) : event_(mode), mode_(mode) {}
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, event_.wait()));
    co_return completed(r);
  }
  void trigger() override { event_.set(); }
  task<> settle(bool completed) override {
    const bool signal_left = mode_ == weir::reset_mode::manual || !completed;
    expect(event_.try_wait() == signal_left, "the signal was lost, or is there twice");
    co_return;
  }

 private:
  weir::event event_;
  const weir::reset_mode mode_;
};

task<int> pass(weir::event& gate) {
  co_await gate.wait();
  co_return 42;
}

class joining final : public scene {
 public:
  task<> open() override {
    child_ = weir::spawn(pass(gate_));
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, child_.join()));
    if (!completed(r)) co_return false;
    expect(*r == 42, "another value came");
    co_return true;
  }
  void trigger() override { gate_.set(); }
  task<> settle(bool completed) override {
    if (completed) co_return;
    const int value = co_await child_.join();
    expect(value == 42, "another value came");
  }

 private:
  weir::event gate_;
  weir::join_handle<int> child_;
};

class joining_a_group final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    bool joined = false;
    co_await with_task_group([&](task_group& group) -> task<> {
      group.spawn(pass(gate_));
      auto r = co_await as_result(with_cancellation(token, group.join()));
      joined = completed(r);
      if (joined) expect(group.size() == 0, "there is still a child");
      if (!joined) gate_.set();  // only the join was cancelled: the child has to end, too
    });
    co_return joined;
  }
  void trigger() override { gate_.set(); }

 private:
  weir::event gate_;
};

/// The function runs while it is cancelled: that has to wait.
class offloading final : public scene {
 public:
  [[nodiscard]] bool outlasts_its_stop() const override { return true; }
  task<bool> attempt(cancellation_token token) override {
    const auto function = [&] {
      released_.wait();
      returned_ = true;
      return 42;
    };
    auto r = co_await as_result(with_cancellation(token, weir::offload(function)));
    if (!completed(r)) co_return false;
    expect(*r == 42, "another value came");
    co_return true;
  }
  void trigger() override { released_.count_down(); }
  task<> settle(bool completed) override {
    expect(returned_ == completed, "it ran and was cancelled, or neither");
    co_return;
  }

 private:
  std::latch released_{1};
  std::atomic<bool> returned_{false};
};

/// Behind another one: there is just one thread for such functions.
class offloading_later final : public scene {
 public:
  task<> open() override {
    const auto block = [this]() -> task<> {
      const auto function = [this] {
        begun_.count_down();
        released_.wait();
      };
      co_await weir::shielded(weir::offload(function));
    };
    first_ = weir::spawn(block);
    while (!begun_.try_wait()) co_await weir::yield();
  }
  task<bool> attempt(cancellation_token token) override {
    const auto function = [&] { ran_ = true; };
    auto r = co_await as_result(with_cancellation(token, weir::offload(function)));
    co_return completed(r);
  }
  void trigger() override { released_.count_down(); }
  task<> settle(bool completed) override {
    co_await first_.join();
    expect(ran_ == completed, "it ran and was cancelled, or neither");
  }

 private:
  std::latch begun_{1};
  std::latch released_{1};
  weir::join_handle<> first_;
  std::atomic<bool> ran_{false};
};

constexpr std::array kinds = {
    kind_of_operation{"`tcp_listener::accept()`", "accept", make_scene<accepting, accepting_form::accept>},
    kind_of_operation{"`tcp_listener::accept()`", "accept in a burst",
                      make_scene<accepting, accepting_form::in_a_burst>},
    kind_of_operation{"`connections(listener).next()`", "connections",
                      make_scene<accepting, accepting_form::generator>},
    kind_of_operation{"`tcp_stream::connect(peer)`", "connect", make_scene<connecting>},
    kind_of_operation{"`tcp_stream::connect(peer)`", "connect to a full listener", make_scene<connecting_in_vain>},
    kind_of_operation{"`tcp_stream::read_some`", "read_some", make_scene<reading>},
    kind_of_operation{"`tcp_stream::read_exactly`", "read_exactly", make_scene<reading_exactly>},
    kind_of_operation{"`tcp_stream::write_all`", "write_all", make_scene<writing_all>},
    kind_of_operation{"`tcp_stream::write_some`", "write_some", make_scene<writing_some>},
    kind_of_operation{"`buffered_reader::read_line`, `read_line_view`", "buffered_reader::read_line",
                      make_scene<reading_a_line>},
    kind_of_operation{"`buffered_reader::read_exactly(span)`", "buffered_reader::read_exactly",
                      make_scene<reading_past_the_buffer>},
    kind_of_operation{"`buffered_writer::flush`", "buffered_writer::flush", make_scene<flushing>},
    kind_of_operation{"`file::open(path, mode)`", "file::open", make_scene<opening_a_file>},
    kind_of_operation{"`file::read_at`, `read_some`", "file::read_at", make_scene<reading_a_file>},
    kind_of_operation{"`file::read_at`, `read_some`", "file::read_some", make_scene<reading_a_file_on>},
    kind_of_operation{"`file::read_at`, `read_some`", "file::read_some of a FIFO", make_scene<reading_a_fifo>},
    kind_of_operation{"`signal_set::wait()`", "signal_set::wait", make_scene<waiting_for_a_signal>},
    kind_of_operation{"`sleep_for`, `sleep_until`", "sleep_until", make_scene<sleeping>, true},
    kind_of_operation{"`sleep_for`, `sleep_until`", "sleep_for", make_scene<sleeping_long>, true},
    kind_of_operation{"`yield()`", "yield", make_scene<yielding>, true},
    kind_of_operation{"`mutex::lock()`", "mutex::lock", make_scene<locking>, true},
    kind_of_operation{"`event::wait()`", "event::wait", make_scene<waiting_for_an_event, weir::reset_mode::manual>,
                      true},
    kind_of_operation{"`event::wait()`", "event::wait (automatic)",
                      make_scene<waiting_for_an_event, weir::reset_mode::automatic>, true},
    kind_of_operation{"`handle.join()`", "join_handle::join", make_scene<joining>, true},
    kind_of_operation{"`group.join()`", "task_group::join", make_scene<joining_a_group>, true},
    kind_of_operation{"`offload(fn)`", "offload", make_scene<offloading>},
    kind_of_operation{"`offload(fn)`", "offload, queued", make_scene<offloading_later>},
};

}  // namespace

std::span<const kind_of_operation> basic_kinds() { return kinds; }

std::span<const kind_of_operation> kinds_of_operations() {
  static const std::vector<kind_of_operation> all = [] {
    std::vector<kind_of_operation> joined;
    for (const auto& part : {basic_kinds(), kinds_of_streams(), kinds_of_datagrams(), kinds_of_unix_sockets(),
                             kinds_of_pipes(), kinds_of_processes(), kinds_of_files(), kinds_of_tasks(),
                             kinds_of_sync(), kinds_of_locks(), kinds_of_limits()}) {
      joined.insert(joined.end(), part.begin(), part.end());
    }
    return joined;
  }();
  return all;
}

}  // namespace test
