#include <cstdlib>
#include <new>

#include <weir/runtime/detail/record_heap.hpp>

#include "support.hpp"

// What is allocated, counted at the global operator new and at the heap of frames and records. Awaiting costs the frame
// of what is awaited and nothing else; frames are recycled by the worker, so that in a steady state nothing is
// allocated at all.

// Sanitizers bring an operator new of their own.
#if !defined(TEST_SANITIZED)

namespace {

using weir::detail::record_heap;

thread_local long allocated = 0;
thread_local long outstanding = 0;

/// From the allocator, and visits to the heap of records.
long allocations() { return allocated + static_cast<long>(record_heap::counted().visits); }
/// Blocks of both.
long in_use() { return outstanding + static_cast<long>(record_heap::counted().blocks_out); }

weir::task<int> one() { co_return 1; }

weir::task<> waits() { co_await weir::sleep_for(1us); }

/// How much `rounds` calls of `f` allocate when everything is warm.
template <class F>
weir::task<long> allocated_by(F f, int rounds = 100) {
  for (int i = 0; i < 10; ++i) co_await f();
  const long before = allocations();
  for (int i = 0; i < rounds; ++i) co_await f();
  co_return allocations() - before;
}

}  // namespace

void* operator new(std::size_t size) {
  ++allocated;
  ++outstanding;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  if (memory) --outstanding;
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  if (memory) --outstanding;
  std::free(memory);
}

TEST_CASE("frames: leaves and scopes allocate nothing, tasks one recycled frame") {
  test::simulate([]() -> weir::task<> {
    auto leaves = []() -> weir::task<> {
      const long before = allocations();
      weir::cancellation_source source;
      co_await weir::yield();
      co_await weir::checkpoint();
      co_await weir::sleep_for(1us);
      co_await weir::with_timeout(1s, weir::sleep_for(1us));
      co_await weir::with_timeout(1s, weir::with_cancellation(source.token(), weir::shielded(weir::sleep_for(1us))));
      const auto r = co_await weir::as_result(weir::with_timeout(1us, weir::sleep_for(1h)));
      CHECK(r.error() == std::errc::timed_out);
      CHECK(allocations() == before);
    };
    co_await leaves();
    const long tasks = co_await allocated_by([] { return one(); });
    CHECK(tasks == 0);
    const long waiting = co_await allocated_by([] { return waits(); });
    CHECK(waiting == 0);
    auto group = []() -> weir::task<> {
      auto body = [](weir::task_group& g) -> weir::task<> {
        for (int i = 0; i < 10; ++i) g.spawn(waits());
        for (int i = 0; i < 10; ++i) g.spawn(waits);
        auto h = g.spawn(one());
        co_await h.join();
        co_await g.join();
      };
      co_await weir::with_task_group(body);
    };
    const long spawned = co_await allocated_by(group);
    CHECK(spawned == 0);
    auto several = []() -> weir::task<> {
      co_await weir::when_all(waits(), one(), weir::sleep_for(1us));
      co_await weir::when_any(waits(), weir::sleep_for(1h));
    };
    const long all_and_any = co_await allocated_by(several);
    CHECK(all_and_any == 0);
    auto cleans = []() -> weir::task<> {
      auto cleanup = [](const weir::cleanup_outcome&) -> weir::task<> { co_return; };
      co_await weir::with_cleanup(waits(), cleanup, 1s);
    };
    const long cleaned = co_await allocated_by(cleans);
    CHECK(cleaned == 0);
    auto stopped = []() -> weir::task<> {
      const auto r = co_await weir::as_result(weir::with_timeout(1us, test::nap(1h)));
      CHECK(!r.has_value());
    };
    const long stops = co_await allocated_by(stopped);
    CHECK(stops == 0);
    auto generates = []() -> weir::task<> {
      auto body = []() -> weir::async_generator<int> {
        for (int i = 0; i < 10; ++i) {
          co_yield i;
          co_await weir::sleep_for(1us);
        }
      };
      auto to_the_end = body();
      while (auto n = co_await weir::with_timeout(1s, to_the_end.next())) static_cast<void>(*n);
      auto dropped = body();
      co_await dropped.next();
      auto ended = body();
      co_await ended.next();
      const auto r = co_await weir::as_result(weir::with_timeout(0s, ended.next()));
      CHECK(!r.has_value());
    };
    const long generated = co_await allocated_by(generates);
    CHECK(generated == 0);
  });
}

TEST_CASE("frames: everything that was allocated is freed when the runtime has gone") {
  test::simulate([]() -> weir::task<> { co_return; });  // what the standard library keeps
  const long before = in_use();
  {
    weir::join_handle<int> outlives;
    test::simulate([&]() -> weir::task<> {
      for (int i = 0; i < 1000; ++i) {
        weir::spawn(waits());
        if (i % 3 == 0) outlives = weir::spawn(one());
      }
      outlives = weir::spawn(one());
      co_await weir::sleep_for(1us);
      const auto r = co_await weir::as_result(weir::with_timeout(1us, test::nap(1h)));
      CHECK(!r.has_value());
    });
  }
  CHECK(in_use() == before);
}

#endif

TEST_CASE("frames: a task that throws on being made leaves nothing behind") {
  class throws_when_moved {
   public:
    explicit throws_when_moved(int moves) : left_(moves) {}
    throws_when_moved(const throws_when_moved& other) : left_(other.left_ - 1) {
      if (left_ < 0) throw std::runtime_error("moved");
    }
    throws_when_moved& operator=(const throws_when_moved&) = delete;
    ~throws_when_moved() = default;

   private:
    int left_;
    test::counted alive_;
  };
  auto takes = [](throws_when_moved) -> weir::task<> { co_return; };
  const throws_when_moved none(0);
  const throws_when_moved one_move(1);
  CHECK_THROWS_WITH(static_cast<void>(takes(none)), "moved");
  CHECK_THROWS_WITH(static_cast<void>(takes(one_move)), "moved");
  CHECK(test::counted::alive == 2);
}
