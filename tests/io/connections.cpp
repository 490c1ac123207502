#include <doctest/doctest.h>

#include <weir/weir.hpp>

#include <chrono>
#include <system_error>
#include <utility>
#include <vector>

#include "../runtime/support.hpp"

using namespace std::chrono_literals;
using test::simulate_reporting;
using test::unobserved;
using weir::as_result;
using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::tcp_listener;
using weir::tcp_stream;

namespace {

/// Fails as it is told, in this order; 0 is a connection. Closed after the last.
class scripted_listener {
 public:
  explicit scripted_listener(std::vector<int> errors) : errors_(std::move(errors)) {}

  task<int> accept() {
    asked_at.push_back(weir::now());
    co_await weir::yield();
    if (next_ == errors_.size()) fail(ECANCELED);
    if (const int error = errors_[next_++]; error != 0) fail(error);
    co_return ++accepted_;
  }

  std::vector<weir::time_point> asked_at;

 private:
  [[noreturn]] static void fail(int error) { throw std::system_error(error, std::generic_category(), "accept"); }

  std::vector<int> errors_;
  std::size_t next_ = 0;
  int accepted_ = 0;
};

/// All that it accepts; and how long it waits before each accept().
task<std::vector<int>> take_all(scripted_listener& listener, std::vector<weir::duration>& pauses) {
  std::vector<int> taken;
  auto arriving = weir::connections(listener);
  while (auto one = co_await arriving.next()) taken.push_back(*one);
  CHECK_FALSE(co_await arriving.next());
  for (std::size_t i = 1; i < listener.asked_at.size(); ++i) {
    pauses.push_back(listener.asked_at[i] - listener.asked_at[i - 1]);
  }
  co_return taken;
}

}  // namespace

TEST_CASE("connections: one after another, until the listener is closed") {
  unobserved seen;
  simulate_reporting([]() -> task<> {
    scripted_listener listener({0, 0, 0});
    std::vector<weir::duration> pauses;
    const auto taken = co_await take_all(listener, pauses);
    CHECK(taken == std::vector{1, 2, 3});
    CHECK(pauses == std::vector<weir::duration>(3, 0ms));
  });
  CHECK(unobserved::take().empty());
}

TEST_CASE("connections: out of descriptors it waits longer and longer, and tells once until one was accepted") {
  unobserved seen;
  simulate_reporting([]() -> task<> {
    scripted_listener listener({EMFILE, ENFILE, ENOBUFS, 0, ENOMEM, EMFILE, 0});
    std::vector<weir::duration> pauses;
    const auto taken = co_await take_all(listener, pauses);
    CHECK(taken == std::vector{1, 2});
    CHECK(pauses == std::vector<weir::duration>{5ms, 10ms, 20ms, 0ms, 5ms, 10ms, 0ms});
  });
  CHECK(unobserved::take() == test::log{"accept: Too many open files", "accept: Cannot allocate memory"});
}

TEST_CASE("connections: no pause is longer than a second") {
  unobserved seen;
  simulate_reporting([]() -> task<> {
    scripted_listener listener(std::vector<int>(12, EMFILE));
    std::vector<weir::duration> pauses;
    const auto taken = co_await take_all(listener, pauses);
    CHECK(taken.empty());
    CHECK(pauses[7] == 640ms);
    CHECK(pauses[8] == 1s);
    CHECK(pauses[11] == 1s);
  });
  CHECK(unobserved::take().size() == 1);
}

TEST_CASE("connections: any other error is thrown, and the generator has ended") {
  unobserved seen;
  simulate_reporting([]() -> task<> {
    scripted_listener listener({0, EINVAL, 0});
    auto arriving = weir::connections(listener);
    const auto first = co_await arriving.next();
    CHECK(first == 1);
    const auto second = co_await as_result(arriving.next());
    CHECK(second.error() == std::errc::invalid_argument);
    const auto third = co_await arriving.next();
    CHECK_FALSE(third);
  });
  CHECK(unobserved::take().empty());
}

TEST_CASE("connections: a TCP server whose accepts fail serves whoever was not lost in the queue") {
  unobserved seen;
  int served = 0;
  const auto visit = [&served]() -> task<> {
    tcp_stream stream = co_await tcp_stream::connect(endpoint::loopback(1));
    std::array<std::byte, 1> one{};
    const auto read = co_await as_result(stream.read_exactly(one));
    served += read ? 1 : 0;
    if (!read) CHECK(read.error() == std::errc::connection_reset);
  };
  const auto answer = [](tcp_stream peer) -> task<> {
    const std::array<std::byte, 1> one{};
    co_await peer.write_all(one);
  };
  const auto program = [&]() -> task<> {
    tcp_listener listener = tcp_listener::bind(endpoint::loopback(1));
    auto body = [&](task_group& group) -> task<> {
      auto serve = [&]() -> task<> {
        auto arriving = weir::connections(listener);
        while (auto peer = co_await arriving.next()) static_cast<void>(group.spawn(answer, std::move(*peer)));
      };
      static_cast<void>(group.spawn(serve));
      for (int i = 0; i < 5; ++i) co_await visit();
      listener.close();
    };
    co_await weir::with_task_group(body);
  };
  weir::explore(40, program, {.network = {.accept_error = 0.4}, .on_error = unobserved::hook});
  CHECK(served > 100);
  const auto told = unobserved::take();
  CHECK(told.size() > 10);
  CHECK(told.front().starts_with("accept 127.0.0.1:1: "));
}
