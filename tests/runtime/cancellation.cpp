#include <functional>
#include <optional>
#include <thread>

#include "support.hpp"

// Sources, tokens and callbacks by themselves; what they do to tasks is in with_cancellation.cpp.

TEST_CASE("a source is cancelled once; its tokens tell") {
  weir::cancellation_source source;
  const weir::cancellation_token token = source.token();
  CHECK(token.can_be_cancelled());
  CHECK(!token.is_cancellation_requested());
  CHECK(token.cause() == weir::cancellation_cause::none);
  CHECK(source.request_cancellation());
  CHECK(!source.request_cancellation());
  CHECK(source.is_cancellation_requested());
  CHECK(token.is_cancellation_requested());
  CHECK(token.cause() == weir::cancellation_cause::requested);
  CHECK(token == source.token());
}

TEST_CASE("a default-made token is never cancelled") {
  const weir::cancellation_token token;
  CHECK(!token.can_be_cancelled());
  CHECK(!token.is_cancellation_requested());
  int calls = 0;
  auto count = [&calls] { ++calls; };
  {
    const weir::cancellation_callback callback(token, count);
  }
  CHECK(calls == 0);
}

TEST_CASE("callbacks run once, on the cancelling thread, in the order of their registration") {
  weir::cancellation_source source;
  std::vector<int> order;
  auto first = [&order] { order.push_back(1); };
  auto second = [&order] { order.push_back(2); };
  auto third = [&order] { order.push_back(3); };
  const weir::cancellation_callback a(source.token(), first);
  {
    const weir::cancellation_callback gone(source.token(), third);
  }
  const weir::cancellation_callback b(source.token(), second);
  source.request_cancellation();
  source.request_cancellation();
  CHECK(order == std::vector<int>{1, 2});
}

TEST_CASE("a callback for a token that is cancelled already runs in its constructor") {
  weir::cancellation_source source;
  source.request_cancellation();
  int calls = 0;
  auto count = [&calls] { ++calls; };
  const weir::cancellation_callback callback(source.token(), count);
  CHECK(calls == 1);
}

TEST_CASE("a source that dies cancels: its callbacks run, and may die later than it") {
  int calls = 0;
  auto count = [&calls] { ++calls; };
  std::optional<weir::cancellation_source> source(std::in_place);
  weir::cancellation_callback callback(source->token(), count);
  source.reset();
  CHECK(calls == 1);
}

TEST_CASE("a callback may destroy itself, destroy others, register more, and cancel again") {
  weir::cancellation_source source;
  int calls = 0;
  std::unique_ptr<weir::cancellation_callback<std::function<void()>>> self;
  std::unique_ptr<weir::cancellation_callback<std::function<void()>>> other;
  std::unique_ptr<weir::cancellation_callback<std::function<void()>>> later;
  const std::function<void()> suicide = [&] {
    ++calls;
    other.reset();
    CHECK(!source.request_cancellation());
    const std::function<void()> more = [&] { calls += 100; };
    later = std::make_unique<weir::cancellation_callback<std::function<void()>>>(source.token(), more);
    self.reset();
  };
  const std::function<void()> victim = [&] { calls += 10; };
  self = std::make_unique<weir::cancellation_callback<std::function<void()>>>(source.token(), suicide);
  other = std::make_unique<weir::cancellation_callback<std::function<void()>>>(source.token(), victim);
  source.request_cancellation();
  CHECK(calls == 101);
  CHECK(!self);
}

TEST_CASE("a callback's destructor waits for the call that runs on another thread") {
  weir::cancellation_source source;
  std::atomic<bool> entered{false};
  std::atomic<bool> leave{false};
  std::atomic<bool> left{false};
  auto slow = [&] {
    entered = true;
    while (!leave) std::this_thread::yield();
    left = true;
  };
  std::thread canceller;
  std::thread releaser;
  {
    const weir::cancellation_callback callback(source.token(), slow);
    canceller = std::thread([&] { source.request_cancellation(); });
    while (!entered) std::this_thread::yield();
    releaser = std::thread([&] { leave = true; });
  }
  CHECK(left);
  canceller.join();
  releaser.join();
}

TEST_CASE("a callback on a task's own token runs when its scope is stopped, before the task unwinds") {
  test::log seen;
  test::simulate([&]() -> weir::task<> {
    auto work = [&]() -> weir::task<> {
      auto note = [&seen] { seen.push_back(weir::unwinding() ? "callback while unwinding" : "callback"); };
      test::mark last(seen, "frame");
      const weir::cancellation_callback callback(weir::current_token(), note);
      co_await weir::sleep_for(1h);
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, work()));
    CHECK(r.error() == std::errc::timed_out);
    // One whose scope ends by itself is never called.
    auto quick = [&]() -> weir::task<> {
      auto note = [&seen] { seen.push_back("never"); };
      const weir::cancellation_callback callback(weir::current_token(), note);
      co_await weir::sleep_for(1us);
    };
    co_await weir::with_timeout(1ms, quick());
    co_await weir::sleep_for(10ms);
  });
  CHECK(seen == test::log{"callback", "frame!"});
}

TEST_CASE("a chain: the callback of one source cancels the next") {
  constexpr int length = 1000;
  std::vector<weir::cancellation_source> sources(length);
  std::vector<std::unique_ptr<weir::cancellation_callback<std::function<void()>>>> links;
  for (std::size_t i = 0; i + 1 < length; ++i) {
    const std::function<void()> next = [&sources, i] { sources[i + 1].request_cancellation(); };
    links.push_back(std::make_unique<weir::cancellation_callback<std::function<void()>>>(sources[i].token(), next));
  }
  sources.front().request_cancellation();
  CHECK(sources.back().is_cancellation_requested());
}

TEST_CASE("causes have names") {
  CHECK(weir::to_string(weir::cancellation_cause::none) == std::string("none"));
  CHECK(weir::to_string(weir::cancellation_cause::requested) == std::string("requested"));
  CHECK(weir::to_string(weir::cancellation_cause::deadline) == std::string("deadline"));
  CHECK(weir::to_string(weir::cancellation_cause::shutdown) == std::string("shutdown"));
  CHECK(weir::to_string(weir::cancellation_cause::deadlock) == std::string("deadlock"));
}
