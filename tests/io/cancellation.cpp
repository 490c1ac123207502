#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <weir/io/file.hpp>
#include <weir/io/signal_set.hpp>
#include <weir/sync/event.hpp>
#include <weir/sync/mutex.hpp>

#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "sockets.hpp"

// Every kind of operation is cancelled at every moment of its life, by everything that can cancel it. Whatever happens,
// the operation either completes or is cancelled, and all that was given to it is accounted for: what it has not
// delivered is still where it was.

using test::connect_pair;
using test::connection;
using test::fill_pattern;
using test::guarded_buffer;
using test::is_pattern;
using test::plain_socket;
using weir::as_result;
using weir::cancellation_token;
using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::tcp_listener;
using weir::tcp_stream;
using weir::with_cancellation;
using weir::with_task_group;
using weir::with_timeout;

namespace {

void pass_time(unsigned steps) {
  static std::atomic<unsigned> sink{0};
  for (unsigned i = 0; i < steps; ++i) sink.store(i, std::memory_order_relaxed);
}

/// When an operation completes.
enum class completion : std::uint8_t {
  when_triggered,
  by_itself,
  never,
};

/// One operation, ready to be awaited once.
class scene {
 public:
  scene() = default;
  scene(const scene&) = delete;
  scene& operator=(const scene&) = delete;
  virtual ~scene() = default;

  [[nodiscard]] virtual completion completes() const { return completion::when_triggered; }
  /// Once it has begun, the operation is waited for; trigger() has to come.
  [[nodiscard]] virtual bool outlasts_its_stop() const { return false; }

  /// Makes what attempt() needs.
  virtual task<> open() { co_return; }
  /// Awaits the operation directly under a scope with `token`: did it complete?
  virtual task<bool> attempt(cancellation_token token) = 0;
  /// Lets it complete. Any thread.
  virtual void trigger() {}
  /// Until it has completed, after trigger().
  virtual void pump() {}
  /// After attempt() and trigger(): is everything accounted for?
  virtual task<> settle(bool /*completed*/) { co_return; }

  void trigger_once() {
    if (!std::exchange(triggered_, true)) trigger();
  }
  void go_on() {
    if (triggered_) pump();
  }
  void expect(bool as_it_should_be, const std::string& what) const {
    CHECK_MESSAGE(as_it_should_be, label << ": " << what);
  }
  std::string label;
  int yields_per_turn = 600;  // after so many the reactor has been asked, too

 protected:
  /// What attempt() returns for this result: anything but a value has to be the cancellation.
  template <class T>
  bool completed(const weir::result<T>& r) const {
    if (r.has_value()) return true;
    expect(r.is_cancelled(), test::sentence_of(r));
    return false;
  }

 private:
  bool triggered_ = false;
};

// ---- sockets

class accepting final : public scene {
 public:
  task<> open() override {
    listener_ = tcp_listener::bind(endpoint::loopback(0));
    at_ = listener_.local_endpoint();
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, listener_.accept()));
    if (!completed(r)) co_return false;
    accepted_ = std::move(*r);
    co_return true;
  }
  void trigger() override { client_ = plain_socket::connected_to(at_); }
  task<> settle(bool completed) override {
    if (!completed) accepted_ = co_await listener_.accept();
    expect(accepted_.peer_endpoint() == client_.local(), "another connection was accepted");
    expect(::accept(listener_.native_handle(), nullptr, nullptr) < 0, "there is a second connection");
  }

 private:
  tcp_listener listener_;
  endpoint at_;
  tcp_stream accepted_;
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

/// Parts of what the scenes that read from a socket have in common.
class receiving : public scene {
 public:
  task<> open() override {
    fill_pattern(sent_);
    c_.peer.send(sent_.first(early_));
    co_return;
  }
  void trigger() override { c_.peer.send(sent_.last_from(early_)); }
  task<> settle(bool completed) override {
    const std::size_t taken = c_.stream.bytes_read();
    if (completed) {
      expect(taken >= 1, "it completed without a byte");
    } else {
      expect(taken <= early_ || wanted_.size() != enough_, "it has everything, and still it was cancelled");
    }
    expect(is_pattern(wanted_.first(taken)), "it read something else");
    // The rest is still in the socket.
    guarded_buffer rest(sent_.size() - taken);
    if (rest.size() != 0) co_await c_.stream.read_exactly(rest);
    expect(is_pattern(rest, taken), "bytes were lost");
    expect(::recv(c_.stream.native_handle(), rest.data(), 1, MSG_DONTWAIT) < 0, "there are more bytes than were sent");
  }

 protected:
  explicit receiving(std::size_t early) : early_(early) {}

  static constexpr std::size_t enough_ = 64;
  const std::size_t early_;  // so many bytes are there from the beginning
  connection c_ = connect_pair();
  guarded_buffer sent_{100};
  guarded_buffer wanted_{enough_};
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

/// Into a socket that does not take everything.
class sending : public scene {
 public:
  task<> open() override {
    fill_pattern(bytes_);
    co_return;
  }
  void trigger() override { pump(); }
  void pump() override {
    for (;;) {
      const ssize_t n = c_.peer.receive(received_.last_from(total_), 0);
      if (n <= 0) return;
      total_ += static_cast<std::size_t>(n);
    }
  }
  task<> settle(bool completed) override {
    const std::size_t written = before_ + c_.stream.bytes_written();
    if (completed) expect(written == before_ + expected_, "bytes_written() is wrong");
    c_.stream.close();
    ssize_t n = 1;
    while (n > 0) {
      n = c_.peer.receive(received_.last_from(total_));
      if (n > 0) total_ += static_cast<std::size_t>(n);
    }
    expect(n == 0, "no end behind the data");
    expect(total_ == written, "another number of bytes was sent than bytes_written() says");
    expect(is_pattern(received_.first(total_)), "something else was sent");
    co_return;
  }

 protected:
  connection c_ = connect_pair(true);
  guarded_buffer bytes_{std::size_t{1} << 17};
  guarded_buffer received_{(std::size_t{1} << 17) + 1};
  std::size_t before_ = 0;    // sent without the operation
  std::size_t expected_ = 0;  // of the operation, when it completes
  std::size_t total_ = 0;
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
    // What has been sent may be acknowledged later, and make room.
    for (int times_full = 0; times_full < 3; ++times_full) {
      ssize_t n = 1;
      while (n > 0) {
        n = ::send(c_.stream.native_handle(), &bytes_[before_], 4096, MSG_DONTWAIT);
        if (n > 0) before_ += static_cast<std::size_t>(n);
      }
      co_await test::settle_down(yields_per_turn);
    }
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, c_.stream.write_some(bytes_.last_from(before_))));
    if (!completed(r)) co_return false;
    expect(*r >= 1, "it completed without a byte");
    expected_ = *r;
    co_return true;
  }
};

// ---- files and signals

class temporary_file {
 public:
  temporary_file() {
    const int number = ::mkstemp(path_.data());
    if (number < 0) throw std::system_error(errno, std::generic_category(), path_);
    guarded_buffer content(1000);
    fill_pattern(content);
    const ssize_t n = ::write(number, content.data(), content.size());
    ::close(number);
    if (n != 1000) throw std::runtime_error("the test's own file is not complete");
  }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  ~temporary_file() { ::unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/weir-cancellation-XXXXXX";
};

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
    const int which = co_await set_.wait();
    expect(which == SIGUSR2, "another signal has come");
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
    while (weir::now() < due_) pass_time(1);
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

struct kind {
  const char* name;
  std::unique_ptr<scene> (*make)();
};

template <class Scene, auto... arguments>
std::unique_ptr<scene> make() {
  return std::make_unique<Scene>(arguments...);
}

constexpr std::array kinds = {
    kind{"accept", make<accepting>},
    kind{"connect", make<connecting>},
    kind{"connect to a full listener", make<connecting_in_vain>},
    kind{"read_some", make<reading>},
    kind{"read_exactly", make<reading_exactly>},
    kind{"write_all", make<writing_all>},
    kind{"write_some", make<writing_some>},
    kind{"file::open", make<opening_a_file>},
    kind{"file::read_at", make<reading_a_file>},
    kind{"file::read_some", make<reading_a_file_on>},
    kind{"file::read_some of a FIFO", make<reading_a_fifo>},
    kind{"signal_set::wait", make<waiting_for_a_signal>},
    kind{"sleep_until", make<sleeping>},
    kind{"sleep_for", make<sleeping_long>},
    kind{"yield", make<yielding>},
    kind{"mutex::lock", make<locking>},
    kind{"event::wait", make<waiting_for_an_event, weir::reset_mode::manual>},
    kind{"event::wait (automatic)", make<waiting_for_an_event, weir::reset_mode::automatic>},
    kind{"join_handle::join", make<joining>},
    kind{"task_group::join", make<joining_a_group>},
    kind{"offload", make<offloading>},
    kind{"offload, queued", make<offloading_later>},
};

// ---- moments, and ways to cancel

enum class moment : std::uint8_t {
  before,                // the token is cancelled already
  starting,              // in the same turn in which it begins
  waiting,               // the reactor, or whoever it waits for, has it
  cancel_then_complete,  // both in one turn
  complete_then_cancel,
  race,  // one here, the other on another thread
  after,
};
constexpr std::array moments = {
    std::pair{moment::before, "before it starts"},
    std::pair{moment::starting, "as it starts"},
    std::pair{moment::waiting, "while it waits"},
    std::pair{moment::cancel_then_complete, "just before it completes"},
    std::pair{moment::complete_then_cancel, "just as it completes"},
    std::pair{moment::race, "at the same time as it completes"},
    std::pair{moment::after, "after it has completed"},
};

enum class stopper : std::uint8_t { token, handle, group };
constexpr std::array stoppers = {
    std::pair{stopper::token, "token"},
    std::pair{stopper::handle, "join_handle"},
    std::pair{stopper::group, "task_group"},
};

/// A thread that does something at the same time as its caller.
class other_thread {
 public:
  other_thread() : thread_([this] { serve(); }) {}
  other_thread(const other_thread&) = delete;
  other_thread& operator=(const other_thread&) = delete;
  ~other_thread() {
    work_ = nullptr;
    set(state::armed);
    thread_.join();
  }

  /// Returns when the thread is about to call `work`.
  void begin(std::function<void()> work) {
    work_ = std::move(work);
    set(state::armed);
    wait_for(state::running);
  }
  /// Returns when it has.
  void end() { wait_for(state::idle); }

 private:
  enum class state : int { idle, armed, running };
  void set(state to) {
    state_.store(to);
    state_.notify_all();
  }
  void wait_for(state wanted) {
    // `running` may have passed by the time that we look.
    for (state now = state_.load(); now != wanted && now != state::idle; now = state_.load()) state_.wait(now);
  }
  void serve() {
    for (;;) {
      state_.wait(state::idle);
      if (state_.load() != state::armed) continue;
      if (!work_) return;
      set(state::running);
      work_();
      set(state::idle);
    }
  }

  std::function<void()> work_;
  std::atomic<state> state_{state::idle};
  std::thread thread_;
};

/// Ends the process with a sentence when a case takes too long: something hangs.
class watchdog {
 public:
  watchdog() {
    struct sigaction action{};
    action.sa_handler = [](int) {
      static_cast<void>(!::write(STDERR_FILENO, current.data(), std::strlen(current.data())));
      ::abort();
    };
    ::sigaction(SIGALRM, &action, &before_);
  }
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;
  ~watchdog() {
    ::alarm(0);
    ::sigaction(SIGALRM, &before_, nullptr);
  }
  static void watch(const std::string& label) {
    ::alarm(0);
    std::snprintf(current.data(), current.size(), "it hangs: %s\n", label.c_str());
    ::alarm(60);
  }

 private:
  static inline std::array<char, 256> current{};
  struct sigaction before_{};
};

enum class ending : std::uint8_t { none, completed, cancelled };

task<> attempt(scene& s, cancellation_token token, ending& how) {
  const bool completed = co_await s.attempt(token);
  how = completed ? ending::completed : ending::cancelled;
}

struct plan {
  moment when;
  stopper by;
  unsigned round;
};

/// The order of the two, and how far apart they are, in a race.
struct stagger {
  bool cancel_elsewhere;
  unsigned pause;
};

stagger stagger_of(unsigned round) { return {.cancel_elsewhere = round % 2 == 0, .pause = round / 2 * 7 % 400}; }

/// One operation, one cancellation.
task<> one(scene& s, plan p, other_thread& other) {
  watchdog::watch(s.label);
  co_await s.open();
  weir::cancellation_source source;
  ending how = ending::none;
  // In its own group, so that it can be cancelled with that; then this body is stopped, too, at its next leaf.
  auto ended = co_await as_result(with_task_group([&](task_group& group) -> task<> {
    if (p.when == moment::before && p.by == stopper::token) source.request_cancellation();
    if (p.when == moment::before && p.by == stopper::group) group.cancel();
    const cancellation_token token = p.by == stopper::token ? source.token() : cancellation_token();
    auto running = group.spawn(attempt(s, token, how));
    const auto cancel = [&] {
      switch (p.by) {
        case stopper::token:
          source.request_cancellation();
          break;
        case stopper::handle:
          running.request_cancellation();
          break;
        case stopper::group:
          group.cancel();
          break;
      }
    };
    switch (p.when) {
      case moment::before:
        if (p.by == stopper::handle) cancel();
        break;
      case moment::starting:
        if (p.round % 2 == 1) co_await weir::yield();
        cancel();
        break;
      case moment::waiting:
        co_await test::settle_down(s.yields_per_turn);
        cancel();
        break;
      case moment::cancel_then_complete:
        if (p.round % 2 == 1) co_await test::settle_down(s.yields_per_turn);
        cancel();
        s.trigger_once();
        break;
      case moment::complete_then_cancel:
        if (p.round % 2 == 1) co_await test::settle_down(s.yields_per_turn);
        s.trigger_once();
        // The reactor may have seen it, and its task may be about to run.
        for (unsigned i = 0; i < p.round / 2; ++i) co_await weir::yield();
        cancel();
        break;
      case moment::race: {
        if (p.round % 4 >= 2) co_await test::settle_down(s.yields_per_turn);
        const stagger apart = stagger_of(p.round);
        const auto complete = [&] { s.trigger_once(); };
        if (apart.cancel_elsewhere) {
          other.begin(cancel);
          pass_time(apart.pause);
          complete();
        } else {
          other.begin(complete);
          pass_time(apart.pause);
          cancel();
        }
        other.end();
        break;
      }
      case moment::after:
        s.trigger_once();
        while (!running.done()) {
          s.go_on();
          co_await weir::yield();
        }
        cancel();
        break;
    }
    if (s.outlasts_its_stop()) s.trigger_once();
    while (!running.done()) {
      s.go_on();
      co_await weir::yield();
    }
    auto r = co_await as_result(running.join());
    s.expect(r.has_value() == (how != ending::none), "it ended and was stopped, or neither");
    s.expect(r.has_value() || r.is_cancelled(), "it failed");
  }));
  s.expect(ended.has_value() || (ended.is_cancelled() && p.by == stopper::group), "the group failed");
  const bool completed = how == ending::completed;
  const bool triggered = p.when == moment::cancel_then_complete || p.when == moment::complete_then_cancel ||
                         p.when == moment::race || s.outlasts_its_stop();
  switch (p.when) {
    case moment::before:
      if (p.by != stopper::handle) s.expect(!completed, "it completed under a token that had been cancelled before");
      break;
    case moment::after:
      s.expect(completed, "it was cancelled although it had completed");
      break;
    default:
      if (!triggered && s.completes() != completion::by_itself) s.expect(!completed, "it completed by itself");
      break;
  }
  s.trigger_once();
  co_await s.settle(completed);
}

task<> all_of_a_kind(const kind& k, other_thread& other, std::string where, int yields_per_turn) {
  for (const auto& [when, when_name] : moments) {
    for (const auto& [by, by_name] : stoppers) {
      const int rounds = when == moment::race ? test::scaled(40, 20) : when == moment::complete_then_cancel ? 8 : 2;
      for (int round = 0; round < rounds; ++round) {
        const std::unique_ptr<scene> s = k.make();
        s->label =
            fmt::format("{}, cancelled through a {} {} ({}, round {})", k.name, by_name, when_name, where, round);
        s->yields_per_turn = yields_per_turn;
        if (s->completes() == completion::never && when == moment::after) continue;
        const plan p{.when = when, .by = by, .round = static_cast<unsigned>(round)};
        co_await one(*s, p, other);
      }
    }
  }
}

}  // namespace

TEST_CASE("cancellation: each kind of operation at each moment") {
  const watchdog dog;
  other_thread other;
  for (const kind& k : kinds) {
    for (const auto& [workers, tasks] : {std::pair{1u, 1u}, std::pair{1u, 256u}, std::pair{4u, 256u}}) {
      const std::string where = fmt::format("{} workers, {} tasks per turn", workers, tasks);
      const test::no_descriptor_leaks none;
      weir::run(all_of_a_kind(k, other, where, tasks == 1 ? 10 : 600),
                {.workers = workers, .offload_threads = 1, .tasks_per_turn = tasks});
    }
  }
}

// ---- the end of the runtime

namespace {

task<> leave_it_waiting(scene& s, ending& how) {
  watchdog::watch(s.label);
  co_await s.open();
  weir::spawn(attempt(s, {}, how));
  co_await test::settle_down();
  if (s.outlasts_its_stop()) s.trigger_once();
}

}  // namespace

TEST_CASE("cancellation: each kind of operation when the runtime ends") {
  const watchdog dog;
  for (const kind& k : kinds) {
    for (const unsigned workers : {1u, 4u}) {
      const test::no_descriptor_leaks none;
      const std::unique_ptr<scene> s = k.make();
      s->label = fmt::format("{}, when the runtime of {} workers ends", k.name, workers);
      // What holds up the only thread for offload() must end by itself.
      if (std::string_view(k.name) == "offload, queued") continue;
      ending how = ending::none;
      weir::run(leave_it_waiting(*s, how), {.workers = workers, .offload_threads = 1});
      if (s->completes() == completion::never) s->expect(how == ending::none, "it completed");
      s->trigger_once();
    }
  }
}

// ---- nothing is lost

namespace {

std::uint64_t next_random(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

/// Writes the pattern in pieces, each under a timeout that often runs out in the middle.
task<> write_impatiently(tcp_stream& stream, std::span<const std::byte> bytes) {
  std::uint64_t random = 88172645463325252u;
  while (!bytes.empty()) {
    const std::size_t size = std::min<std::size_t>(bytes.size(), 1 + next_random(random) % 50'000);
    const auto patience = std::chrono::microseconds(next_random(random) % 100);
    auto r = co_await as_result(with_timeout(patience, stream.write_all(bytes.first(size))));
    REQUIRE((r.has_value() || r.error() == std::errc::timed_out));
    REQUIRE(stream.bytes_written() <= size);
    REQUIRE((r.has_value() ? stream.bytes_written() == size : stream.bytes_written() < size));
    bytes = bytes.subspan(stream.bytes_written());
  }
  stream.shutdown(weir::direction::write);
}

task<> read_impatiently(tcp_stream& stream, std::span<std::byte> into) {
  std::uint64_t random = 1442695040888963407u;
  std::size_t total = 0;
  while (total < into.size()) {
    const std::size_t size = std::min<std::size_t>(into.size() - total, 1 + next_random(random) % 20'000);
    const auto patience = std::chrono::microseconds(next_random(random) % 50);
    const std::span<std::byte> place = into.subspan(total, size);
    std::error_code error;
    if (next_random(random) % 2 == 0) {
      auto r = co_await as_result(with_timeout(patience, stream.read_some(place)));
      error = r.error();
      REQUIRE((!r.has_value() || *r == stream.bytes_read()));
    } else {
      auto r = co_await as_result(with_timeout(patience, stream.read_exactly(place)));
      error = r.error();
    }
    REQUIRE((!error || error == std::errc::timed_out));
    total += stream.bytes_read();
  }
}

task<> transfer_impatiently() {
  connection c = connect_pair(true);
  tcp_stream other = tcp_stream::adopt(c.peer.release());
  guarded_buffer sent(std::size_t{1} << 20);
  guarded_buffer got(std::size_t{1} << 20);
  fill_pattern(sent);
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(write_impatiently(c.stream, sent));
    group.spawn(read_impatiently(other, got));
    co_await group.join();
  });
  CHECK(is_pattern(got));
}

task<> connect_one_after_another(endpoint to, std::vector<endpoint>& made, int count) {
  for (int i = 0; i < count; ++i) {
    tcp_stream stream = co_await tcp_stream::connect(to);
    made.push_back(stream.local_endpoint());
    co_await weir::yield();
  }
}

task<> accept_impatiently(int count) {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  std::vector<endpoint> made;
  std::vector<endpoint> accepted;
  std::uint64_t random = 2862933555777941757u;
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(connect_one_after_another(listener.local_endpoint(), made, count));
    while (accepted.size() < static_cast<std::size_t>(count)) {
      const auto patience = std::chrono::microseconds(next_random(random) % 30);
      auto r = co_await as_result(with_timeout(patience, listener.accept()));
      if (r.has_value()) accepted.push_back(r->peer_endpoint());
    }
    co_await group.join();
  });
  CHECK(accepted == made);
}

}  // namespace

TEST_CASE("cancellation: timeouts lose no byte and no connection") {
  const watchdog dog;
  for (const unsigned workers : {1u, 4u}) {
    watchdog::watch(fmt::format("timeouts on {} workers", workers));
    const test::no_descriptor_leaks none;
    weir::run(transfer_impatiently(), {.workers = workers});
    weir::run(accept_impatiently(test::scaled(500, 200)), {.workers = workers});
    weir::run(transfer_impatiently(), {.workers = workers, .ring_entries = 1});
  }
}

// ---- the exits of a group's body, with children in flight

namespace {

/// What the children of a group are busy with.
struct sockets_and_pipe {
  connection in = connect_pair();
  connection out = connect_pair(true);
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  tcp_stream accepted;
  plain_socket client;
  weir::file pipe;
  plain_socket pipe_writer;

  sockets_and_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
    pipe = weir::file::adopt(ends[0], "a pipe");
    pipe_writer = plain_socket(ends[1]);
  }
};

struct buffers {
  guarded_buffer got{100};
  guarded_buffer line{10};
  guarded_buffer big{std::size_t{1} << 18};
};

task<> child_reads(sockets_and_pipe& world, buffers& memory, test::log& log) {
  const test::mark last(log, "reader");
  co_await world.in.stream.read_exactly(memory.got);
}
task<> child_writes(sockets_and_pipe& world, buffers& memory, test::log& log) {
  const test::mark last(log, "writer");
  co_await world.out.stream.write_all(memory.big);
}
task<> child_accepts(sockets_and_pipe& world, test::log& log) {
  const test::mark last(log, "accepter");
  world.accepted = co_await world.listener.accept();
}
task<> child_reads_a_pipe(sockets_and_pipe& world, buffers& memory, test::log& log) {
  const test::mark last(log, "pipe reader");
  const std::size_t n = co_await world.pipe.read_some(memory.line);
  CHECK(n == 4);
}
task<> child_connects(const plain_socket& full, test::log& log) {
  const test::mark last(log, "connecter");
  tcp_stream never = co_await tcp_stream::connect(full.local());
}

void spawn_children(task_group& group, sockets_and_pipe& world, buffers& memory, test::log& log) {
  group.spawn(child_reads(world, memory, log));
  group.spawn(child_writes(world, memory, log));
  group.spawn(child_accepts(world, log));
  group.spawn(child_reads_a_pipe(world, memory, log));
}

/// Lets all of them complete, once `now` says so.
task<> help(sockets_and_pipe& world, weir::event& now) {
  co_await now.wait();
  guarded_buffer drained(std::size_t{1} << 18);
  world.in.peer.send(drained.first(100));
  world.client = plain_socket::connected_to(world.listener.local_endpoint());
  CHECK(::write(world.pipe_writer.number(), "line", 4) == 4);
  tcp_stream reader = tcp_stream::adopt(world.out.peer.release());
  co_await reader.read_exactly(drained);
}

/// At the end of its life it tells the log, and sets an event.
class last_will {
 public:
  last_will(test::log& log, weir::event& event) : mark_(log, "body"), event_(event) {}
  last_will(const last_will&) = delete;
  last_will& operator=(const last_will&) = delete;
  ~last_will() { event_.set(); }

 private:
  test::mark mark_;
  weir::event& event_;
};

task<> body_returns() {
  sockets_and_pipe world;
  buffers memory;
  test::log log;
  weir::event left;
  co_await with_task_group([&](task_group& outer) -> task<> {
    outer.spawn(help(world, left));
    co_await with_task_group([&](task_group& group) -> task<> {
      const last_will will(log, left);
      spawn_children(group, world, memory, log);
      co_await test::settle_down();
      CHECK(group.size() == 4);
    });
    log.emplace_back("left");
    co_await outer.join();
  });
  // Its locals have died first, then the children have come to their ends undisturbed, and only then the scope was
  // left.
  REQUIRE(log.size() == 6);
  CHECK(log.front() == "body");
  CHECK(log.back() == "left");
  for (const char* child : {"reader", "writer", "accepter", "pipe reader"}) {
    CHECK(std::count(log.begin(), log.end(), child) == 1);
  }
}

task<> body_throws(bool supervised) {
  sockets_and_pipe world;
  buffers memory;
  const plain_socket full = plain_socket::listening(0);
  const plain_socket in_the_queue = plain_socket::connected_to(full.local());
  test::log log;
  weir::event left;
  const auto body = [&](task_group& group) -> task<> {
    const last_will will(log, left);
    spawn_children(group, world, memory, log);
    group.spawn(child_connects(full, log));
    co_await test::settle_down();
    throw std::runtime_error("the body has failed");
  };
  std::string sentence;
  if (supervised) {
    auto r = co_await as_result(weir::with_supervisor(body));
    sentence = test::sentence_of(r);
  } else {
    auto r = co_await as_result(with_task_group(body));
    sentence = test::sentence_of(r);
  }
  CHECK(sentence == "the body has failed");
  REQUIRE(log.size() == 6);
  CHECK(log.front() == "body");
  for (const char* child : {"reader!", "writer!", "accepter!", "pipe reader!", "connecter!"}) {
    CHECK(std::count(log.begin(), log.end(), child) == 1);
  }
  // What was in flight has been given back: everything can be used again.
  CHECK(world.in.stream.bytes_read() == 0);
  world.in.peer.send(memory.big.first(100));
  co_await world.in.stream.read_exactly(memory.got);
  world.client = plain_socket::connected_to(world.listener.local_endpoint());
  world.accepted = co_await world.listener.accept();
  CHECK(world.accepted.peer_endpoint() == world.client.local());
}

/// The children refer to the body's locals.
task<> body_is_stopped() {
  sockets_and_pipe world;
  const plain_socket full = plain_socket::listening(0);
  const plain_socket in_the_queue = plain_socket::connected_to(full.local());
  test::log log;
  weir::event left;
  weir::event begun;
  weir::cancellation_source source;
  const auto body = [&](task_group& group) -> task<> {
    const last_will will(log, left);
    buffers memory;
    spawn_children(group, world, memory, log);
    group.spawn(child_connects(full, log));
    co_await test::settle_down();
    begun.set();
    co_await weir::sleep_for(24h);
  };
  co_await with_task_group([&](task_group& outer) -> task<> {
    const auto stopping = [&]() -> task<> {
      co_await begun.wait();
      source.request_cancellation();
    };
    outer.spawn(stopping);
    auto r = co_await as_result(with_cancellation(source.token(), with_task_group(body)));
    CHECK(r.is_cancelled());
  });
  // The children first, and then the body, whose locals they had.
  REQUIRE(log.size() == 6);
  CHECK(log.back() == "body!");
  for (const char* child : {"reader!", "writer!", "accepter!", "pipe reader!", "connecter!"}) {
    CHECK(std::count(log.begin(), log.end(), child) == 1);
  }
}

}  // namespace

TEST_CASE("cancellation: the exits of a group's body with I/O in flight") {
  const watchdog dog;
  watchdog::watch("the exits of a group's body");
  for (int i = 0; i < 10; ++i) {
    const test::no_descriptor_leaks none;
    weir::run(body_returns(), {.workers = 1});
    weir::run(body_throws(false), {.workers = 1});
    weir::run(body_throws(true), {.workers = 1});
    weir::run(body_is_stopped(), {.workers = 1});
  }
}
