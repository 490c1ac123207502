// Events and mutexes that were made on a confined worker. (Channels: channel.cpp.)

#include <memory>
#include <string>
#include <thread>

#include "support.hpp"

namespace {

constexpr weir::runtime_options confined{.workers = 1, .confined = true};

const std::string sentence =
    "weir: a channel, lock or event that was made on a confined worker is used outside of that worker: "
    "make it elsewhere, or do not set runtime_options::confined\n";

/// What is said when another thread does `misuse` to an object that was made on a confined worker.
template <class Object, class F>
std::string when_used_by_a_thread(F) {
  return test::last_words_of([] {
    auto main = []() -> weir::task<> {
      Object object;
      std::thread other([&] { F{}(object); });
      other.join();
      co_return;
    };
    weir::run(main(), confined);
  });
}

}  // namespace

TEST_CASE("events made on a confined worker let through one, or all, in the order in which they came") {
  auto main = []() -> weir::task<> {
    weir::event there(weir::reset_mode::automatic);
    weir::event back(weir::reset_mode::automatic);
    weir::event gate;
    std::string through;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto answer = [&]() -> weir::task<> {
        for (int i = 0; i < 1000; ++i) {
          co_await there.wait();
          back.set();
        }
      };
      g.spawn(answer);
      for (int i = 0; i < 1000; ++i) {
        there.set();
        co_await back.wait();
      }
      CHECK(!there.is_set());
      CHECK(!back.try_wait());

      auto pass = [&](char name) -> weir::task<> {
        co_await gate.wait();
        through += name;
      };
      for (const char name : {'a', 'b', 'c'}) {
        g.spawn(pass, name);
        co_await weir::yield();
      }
      CHECK(through.empty());
      gate.set();
      CHECK(gate.is_set());
      CHECK(gate.try_wait());
      co_await g.join();
      CHECK(through == "abc");
      gate.reset();
      CHECK(!gate.try_wait());
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), confined);
}

TEST_CASE("a mutex made on a confined worker is handed on first come, first served") {
  auto main = []() -> weir::task<> {
    weir::mutex m;
    int count = 0;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto add = [&]() -> weir::task<> {
        for (int i = 0; i < 100; ++i) {
          const auto guard = co_await m.lock();
          const int before = count;
          co_await weir::yield();
          count = before + 1;
        }
      };
      for (int i = 0; i < 4; ++i) g.spawn(add);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(count == 400);
    auto held = m.try_lock();
    CHECK(static_cast<bool>(held));
    CHECK(!m.try_lock());
    held.unlock();
    CHECK(static_cast<bool>(m.try_lock()));
  };
  weir::run(main(), confined);
}

TEST_CASE("who waits on a confined worker can be stopped from another thread, and leaves no trace") {
  auto main = []() -> weir::task<> {
    weir::event never;
    weir::mutex m;
    auto held = m.try_lock();
    for (int i = 0; i < 20; ++i) {
      weir::cancellation_source source;
      std::thread cancels([&] { source.request_cancellation(); });
      const auto waited = co_await weir::as_result(weir::with_cancellation(source.token(), never.wait()));
      CHECK(waited.is_cancelled());
      const auto locked = co_await weir::as_result(weir::with_cancellation(source.token(), m.lock()));
      CHECK(locked.is_cancelled());
      cancels.join();
    }
    CHECK(!never.is_set());
    held.unlock();
    CHECK(static_cast<bool>(m.try_lock()));
  };
  weir::run(main(), confined);
}

TEST_CASE("an event made on a confined worker is a case of a select there") {
  auto main = []() -> weir::task<> {
    weir::event first(weir::reset_mode::automatic);
    weir::event second(weir::reset_mode::automatic);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto sets = [&]() -> weir::task<> {
        second.set();
        co_return;
      };
      g.spawn(sets);
      const auto chosen = co_await weir::select(first.wait(), second.wait());
      CHECK(chosen.index() == 1);
      CHECK(!second.is_set());
    };
    co_await weir::with_task_group(body);
  };
  weir::run(main(), confined);
}

TEST_CASE("events and mutexes made elsewhere may be used on a confined worker and by threads at once") {
  weir::event there(weir::reset_mode::automatic);
  weir::event back(weir::reset_mode::automatic);
  weir::mutex m;
  int count = 0;
  std::thread answers([&] {
    for (int i = 0; i < 200; ++i) {
      there.wait_blocking();
      {
        const auto guard = m.lock_blocking();
        ++count;
      }
      back.set();
    }
  });
  auto main = [&]() -> weir::task<> {
    for (int i = 0; i < 200; ++i) {
      there.set();
      {
        const auto guard = co_await m.lock();
        ++count;
      }
      co_await back.wait();
    }
  };
  weir::run(main(), confined);
  answers.join();
  CHECK(count == 400);
}

TEST_CASE("what was made on a confined worker may be destroyed elsewhere, when the worker has gone") {
  struct both {
    weir::event event;
    weir::mutex mutex;
  };
  auto make = []() -> weir::task<std::unique_ptr<both>> {
    auto made = std::make_unique<both>();
    made->event.set();
    co_await made->event.wait();
    {
      const auto guard = co_await made->mutex.lock();
    }
    co_return made;
  };
  CHECK(weir::run(make(), confined) != nullptr);
}

TEST_CASE("a thread that uses an event of a confined worker ends the program") {
  CHECK(when_used_by_a_thread<weir::event>([](weir::event& e) { e.set(); }) == sentence);
  CHECK(when_used_by_a_thread<weir::event>([](weir::event& e) { e.reset(); }) == sentence);
  CHECK(when_used_by_a_thread<weir::event>([](weir::event& e) { static_cast<void>(e.is_set()); }) == sentence);
  CHECK(when_used_by_a_thread<weir::event>([](weir::event& e) { static_cast<void>(e.try_wait()); }) == sentence);
  CHECK(when_used_by_a_thread<weir::event>([](weir::event& e) { e.wait_blocking(); }) == sentence);
}

TEST_CASE("a thread that uses a mutex of a confined worker, or a guard of one, ends the program") {
  CHECK(when_used_by_a_thread<weir::mutex>([](weir::mutex& m) { static_cast<void>(m.try_lock()); }) == sentence);
  CHECK(when_used_by_a_thread<weir::mutex>([](weir::mutex& m) { static_cast<void>(m.lock_blocking()); }) == sentence);
  CHECK(test::last_words_of([] {
          auto main = []() -> weir::task<> {
            weir::mutex m;
            auto guard = co_await m.lock();
            std::thread other([&] { guard.unlock(); });
            other.join();
          };
          weir::run(main(), confined);
        }) == sentence);
}

TEST_CASE("a task of another runtime that waits at an object of a confined worker ends the program") {
  CHECK(test::last_words_of([] {
          auto make = []() -> weir::task<std::unique_ptr<weir::event>> { co_return std::make_unique<weir::event>(); };
          weir::runtime made_on(confined);
          const auto e = made_on.block_on(make());
          weir::runtime other(confined);
          auto waits = [&]() -> weir::task<> { co_await e->wait(); };
          other.block_on(waits());
        }) == sentence);
  CHECK(test::last_words_of([] {
          auto make = []() -> weir::task<std::unique_ptr<weir::mutex>> { co_return std::make_unique<weir::mutex>(); };
          weir::runtime made_on(confined);
          const auto m = made_on.block_on(make());
          weir::runtime other({.workers = 1});
          auto locks = [&]() -> weir::task<> { static_cast<void>(co_await m->lock()); };
          other.block_on(locks());
        }) == sentence);
}
