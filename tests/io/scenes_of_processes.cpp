#include <sys/wait.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <weir/io/connect.hpp>
#include <weir/io/detail/lookup.hpp>
#include <weir/io/process.hpp>
#include <weir/io/run_process.hpp>

#include "scene_parts.hpp"
#include "scenes.hpp"

using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::with_cancellation;

namespace test {

namespace {

/// That ends when its input does, or at once when it is killed.
weir::command reader_of_nothing() {
  weir::command cat("cat");
  cat.standard_input(weir::child_stream::pipe()).standard_output(weir::child_stream::null());
  return cat;
}

class starting_a_process final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::process::spawn(reader_of_nothing())));
    if (!completed(r)) co_return false;
    child_ = std::move(*r);
    co_return true;
  }
  task<> settle(bool completed) override {
    siginfo_t how{};
    const bool alone = ::waitid(P_ALL, 0, &how, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
    expect(alone != completed, "there is a child, or none, against what it says");
    if (!completed) co_return;
    child_.kill();
    co_await child_.wait();
  }

 private:
  weir::process child_;
};

class waiting_for_a_process final : public scene {
 public:
  task<> open() override { child_ = co_await weir::process::spawn(reader_of_nothing()); }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, child_.wait()));
    if (!completed(r)) co_return false;
    expect(r->signal == SIGKILL, "it has ended in another way");
    co_return true;
  }
  void trigger() override { expect(child_.kill(), "it has ended by itself"); }
  task<> settle(bool) override {
    const auto how = co_await child_.wait();
    expect(how.signal == SIGKILL, "the status was lost");
  }

 private:
  weir::process child_;
};

class terminating_a_process final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<> open() override { child_ = co_await weir::process::spawn(reader_of_nothing()); }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, child_.terminate(5s)));
    if (!completed(r)) co_return false;
    expect(r->signal == SIGTERM, "it has ended in another way");
    co_return true;
  }
  task<> settle(bool) override {
    child_.standard_input().close();  // it ends if it has not been told to
    const auto how = co_await child_.wait();
    expect(how.success() || how.signal == SIGTERM, "it has ended in another way");
  }

 private:
  weir::process child_;
};

class running_a_process final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::run_process(weir::command("cat"), "through")));
    if (!completed(r)) co_return false;
    expect(r->output == "through", "it has written something else");
    co_return true;
  }
  task<> settle(bool) override {
    siginfo_t how{};
    const bool alone = ::waitid(P_ALL, 0, &how, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
    expect(alone, "a child was left behind");
    co_return;
  }
};

// ---- names

/// The answer comes when it is triggered; who looks it up owns all that he needs.
class resolving final : public scene {
 public:
  ~resolving() override { *may_end_ = true; }
  task<bool> attempt(cancellation_token token) override {
    const weir::detail::lookup how = [may_end = may_end_](const std::string&, const std::string&) {
      while (!*may_end) std::this_thread::yield();
      return std::vector{weir::endpoint::loopback(80)};
    };
    auto r = co_await as_result(with_cancellation(token, weir::detail::resolve_by(how, "name", "http")));
    if (!completed(r)) co_return false;
    expect(r->size() == 1, "another answer came");
    co_return true;
  }
  void trigger() override { *may_end_ = true; }

 private:
  std::shared_ptr<std::atomic<bool>> may_end_ = std::make_shared<std::atomic<bool>>(false);
};

/// The first address refuses.
class connecting_to_one_of_two final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    std::vector<weir::endpoint> both = {refuses_.local(), listener_.local()};
    auto r = co_await as_result(with_cancellation(token, weir::connect(both)));
    if (!completed(r)) co_return false;
    stream_ = std::move(*r);
    co_return true;
  }
  task<> settle(bool completed) override {
    stream_.close();
    int connections = 0;
    for (; listener_.readable(0); ++connections) expect(listener_.accept().at_end(), "a connection was left behind");
    if (completed) expect(connections == 1, "there is another number of connections than one");
    co_return;
  }

 private:
  plain_socket refuses_ = plain_socket::bound();
  plain_socket listener_ = plain_socket::listening();
  weir::tcp_stream stream_;
};

constexpr std::array kinds = {
    kind_of_operation{"`process::spawn(command)`", "process::spawn", make_scene<starting_a_process>, false, true},
    kind_of_operation{"`process::wait()`", "process::wait", make_scene<waiting_for_a_process>, false, true},
    kind_of_operation{"`process::terminate(grace)`", "process::terminate", make_scene<terminating_a_process>, false,
                      true},
    kind_of_operation{"`run_process(command, input)`", "run_process", make_scene<running_a_process>, false, true},
    kind_of_operation{"`resolve(host, service)`", "resolve", make_scene<resolving>},
    kind_of_operation{"`connect(host, service)`", "connect to one of two", make_scene<connecting_to_one_of_two>},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_processes() { return kinds; }

}  // namespace test
