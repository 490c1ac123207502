#include <weir/runtime/counters.hpp>

#include <thread>

#include "support.hpp"

namespace {

weir::task<> stays_until_stopped() { co_await weir::sleep_for(1h); }

}  // namespace

TEST_CASE("counters tell what became of each task, and how many live") {
  for (const unsigned workers : {1u, 3u}) {
    weir::runtime rt{{.workers = workers}};
    auto main = [&]() -> weir::task<> {
      auto body = [](weir::task_group& g) -> weir::task<> {
        auto returns = []() -> weir::task<> { co_return; };
        auto throws = []() -> weir::task<> {
          co_await weir::yield();
          throw std::runtime_error("x");
        };
        for (int i = 0; i < 10; ++i) g.spawn(returns);
        auto failing = g.spawn(throws);
        static_cast<void>(co_await weir::as_result(failing.join()));
        auto stopped = g.spawn(stays_until_stopped);
        stopped.request_cancellation();
        static_cast<void>(co_await weir::as_result(stopped.join()));
        co_await weir::when_all(test::nap(1us), test::nap(1us), test::nap(1us));
        g.spawn(stays_until_stopped);
        const weir::runtime_counters inside = weir::counters();
        CHECK(inside.tasks() >= 2);  // this one and the one that stays
        g.cancel();
      };
      static_cast<void>(co_await weir::as_result(weir::with_supervisor(body)));
    };
    rt.block_on(main());
    CHECK(rt.shutdown().complete);
    const weir::runtime_counters all = rt.counters();
    CHECK(all.workers.size() == workers);
    CHECK(all.total.spawned == 1 + 10 + 1 + 1 + 3 + 1);
    CHECK(all.total.ended == 1 + 10 + 1 + 3);
    CHECK(all.total.stopped == 2);
    CHECK(all.tasks() == 0);
    CHECK(all.outside.spawned == 1);
    weir::worker_counters sum = all.outside;
    for (const weir::worker_counters& w : all.workers) sum += w;
    CHECK(sum.spawned == all.total.spawned);
    CHECK(sum.resumed == all.total.resumed);
  }
}

TEST_CASE("counters of a simulation repeat with its seed: resumptions, timers, no clock but its own") {
  auto count = [] {
    return test::simulate([]() -> weir::task<weir::worker_counters> {
      for (int i = 0; i < 7; ++i) co_await weir::sleep_for(1s);
      for (int i = 0; i < 100; ++i) co_await weir::yield();
      co_return weir::counters().total;
    });
  };
  const weir::worker_counters one = count();
  const weir::worker_counters other = count();
  CHECK(one.timers == 7);
  CHECK(one.resumed >= 100);
  CHECK(one.resumed == other.resumed);
  CHECK(one.turns == other.turns);
}

TEST_CASE("counters tell of I/O, and what is in flight") {
  auto main = []() -> weir::task<> {
    auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(0));
    const weir::worker_counters before = weir::counters().total;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto answers = [&]() -> weir::task<> {
        weir::tcp_stream peer = co_await listener.accept();
        std::array<std::byte, 64> buffer;
        for (int i = 0; i < 50; ++i) {
          co_await peer.read_exactly(buffer);
          co_await peer.write_all(buffer);
        }
        static_cast<void>(co_await peer.read_some(buffer));
      };
      g.spawn(answers);
      weir::tcp_stream stream = co_await weir::tcp_stream::connect(listener.local_endpoint());
      std::array<std::byte, 64> buffer{};
      for (int i = 0; i < 50; ++i) {
        co_await stream.write_all(buffer);
        co_await stream.read_exactly(buffer);
      }
      co_await weir::sleep_for(1ms);
      CHECK(weir::counters().total.in_flight == 1);  // the read at the other end
    };
    co_await weir::with_task_group(body);
    const weir::worker_counters after = weir::counters().total;
    CHECK(after.io_completed - before.io_completed >= 4 * 50 + 2);
    CHECK(after.in_flight == 0);
    CHECK(after.io_calls > before.io_calls);
    CHECK(after.ring_overflows == 0);
    CHECK(after.cpu_time > 0ns);
  };
  weir::run(main(), {.workers = 1});
}

TEST_CASE("counters tell of the offload pool, of wake-ups and of parking") {
  weir::runtime rt{{.workers = 2, .offload_threads = 1}};
  std::atomic<bool> running{false};
  std::atomic<bool> end{false};
  auto blocks = [&]() -> weir::task<> {
    auto job = [&] {
      running = true;
      while (!end) std::this_thread::yield();
    };
    co_await weir::offload(job);
  };
  auto first = rt.spawn(blocks);
  while (!running) std::this_thread::yield();
  auto second = rt.spawn(blocks);
  while (rt.counters().offload.queued == 0) std::this_thread::yield();
  const weir::runtime_counters busy = rt.counters();
  CHECK(busy.offload.jobs == 2);
  CHECK(busy.offload.threads == 1);
  CHECK(busy.offload.idle == 0);
  CHECK(busy.tasks() == 2);
  end = true;
  CHECK(rt.shutdown({.drain = 60s}).complete);
  const weir::runtime_counters all = rt.counters();
  CHECK(all.injected >= 3);  // two spawns, and an offload's end at least
  CHECK(all.total.parks > 0);
  CHECK(all.offload.queued == 0);
}

TEST_CASE("outside of tasks there are no counters") { CHECK(weir::counters().workers.empty()); }

TEST_CASE("stress: counters are read by several threads while tasks come and go, and never go back") {
  weir::runtime rt{{.workers = 3}};
  std::atomic<bool> end{false};
  auto comes_and_goes = [&]() -> weir::task<> {
    while (!end) {
      auto body = [](weir::task_group& g) -> weir::task<> {
        for (int i = 0; i < 20; ++i) g.spawn(test::nap(std::chrono::microseconds(i)));
        co_await weir::yield();
      };
      co_await weir::with_task_group(body);
    }
  };
  for (int i = 0; i < 3; ++i) rt.spawn(comes_and_goes);
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      weir::worker_counters before;
      for (int i = 0; i < test::scaled(20000, 2000); ++i) {
        const weir::worker_counters now = rt.counters().total;
        CHECK(now.spawned >= before.spawned);
        CHECK(now.ended >= before.ended);
        CHECK(now.resumed >= before.resumed);
        before = now;
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  end = true;
  CHECK(rt.shutdown({.drain = 60s}).complete);
  const weir::runtime_counters all = rt.counters();
  CHECK(all.total.spawned == all.total.ended + all.total.stopped);
}
