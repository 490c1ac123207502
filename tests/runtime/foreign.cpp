#include <coroutine>
#include <thread>

#include "support.hpp"

// Awaiting what is not weir's: wherever it resumes, the task goes on on a worker of its own runtime.

namespace {

/// Resumes its awaiter from a thread of its own.
class on_a_thread {
 public:
  explicit on_a_thread(int value) : value_(value) {}
  on_a_thread(const on_a_thread&) = delete;
  on_a_thread& operator=(const on_a_thread&) = delete;
  ~on_a_thread() {
    if (thread_.joinable()) thread_.join();
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    thread_ = std::thread([waiting] { waiting.resume(); });
  }
  int await_resume() {
    if (value_ < 0) throw std::runtime_error("negative");
    return value_;
  }

 private:
  int value_;
  std::thread thread_;
};

/// Something that another library would give: awaited by its member operator, move-only result.
class boxed {
 public:
  class awaiter {
   public:
    explicit awaiter(int value) : value_(value) {}
    [[nodiscard]] bool await_ready() const noexcept { return value_ % 2 == 0; }
    bool await_suspend(std::coroutine_handle<>) const noexcept { return false; }
    std::unique_ptr<int> await_resume() const { return std::make_unique<int>(value_); }

   private:
    int value_;
  };

  explicit boxed(int value) : value_(value) {}
  awaiter operator co_await() const noexcept { return awaiter(value_); }

 private:
  int value_;
};

/// One that keeps its waiter until somebody opens it.
class door {
 public:
  class awaiter {
   public:
    explicit awaiter(door& of) : door_(of) {}
    [[nodiscard]] bool await_ready() const noexcept { return door_.open_; }
    void await_suspend(std::coroutine_handle<> waiting) const noexcept { door_.waiting_ = waiting; }
    door& await_resume() const noexcept { return door_; }

   private:
    door& door_;
  };
  void open() {
    open_ = true;
    if (waiting_) std::exchange(waiting_, {}).resume();
  }
  [[nodiscard]] bool awaited() const { return static_cast<bool>(waiting_); }
  friend awaiter operator co_await(door& d) noexcept { return awaiter(d); }

 private:
  bool open_ = false;
  std::coroutine_handle<> waiting_;
};

}  // namespace

TEST_CASE("a foreign awaitable that resumes on its own thread: the task comes back to its worker") {
  for (unsigned workers : {1u, 3u}) {
    auto main = [workers]() -> weir::task<int> {
      const std::thread::id here = std::this_thread::get_id();
      int sum = 0;
      for (int i = 0; i < 50; ++i) {
        sum += co_await on_a_thread(i);
        if (workers == 1 && std::this_thread::get_id() != here) FAIL("not on the worker");
        if (!weir::current_token().can_be_cancelled()) FAIL("the environment is not the task's");
      }
      co_return sum;
    };
    CHECK(weir::run(main(), {.workers = workers}) == 49 * 50 / 2);
  }
}

TEST_CASE("a run may end as soon as a foreign thread has resumed it") {
  for (int i = 0; i < test::scaled(500, 100); ++i) {
    auto main = []() -> weir::task<int> {
      const int value = co_await on_a_thread(7);
      co_return value;
    };
    if (weir::run(main(), {.workers = 1 + static_cast<unsigned>(i % 2)}) != 7) FAIL("a wrong value");
  }
}

TEST_CASE("what a foreign await throws arrives in the task") {
  auto main = []() -> weir::task<std::string> {
    std::string what;
    try {
      static_cast<void>(co_await on_a_thread(-1));
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    co_return what;
  };
  CHECK(weir::run(main(), {.workers = 1}) == "negative");
}

TEST_CASE("operator co_await as a member and as a function; ready ones; ones that do not suspend after all") {
  test::simulate([]() -> weir::task<> {
    for (int i = 0; i < 4; ++i) {
      const std::unique_ptr<int> value = co_await boxed(i);
      CHECK(*value == i);
    }
    const boxed lvalue(5);
    const std::unique_ptr<int> five = co_await lvalue;
    CHECK(*five == 5);
    co_await std::suspend_never();
    door open;
    open.open();
    door& same = co_await open;
    CHECK(&same == &open);
  });
}

TEST_CASE("a stop waits for a foreign await; the next leaf sees it") {
  test::log seen;
  test::simulate([&]() -> weir::task<> {
    door d;
    auto waits = [&]() -> weir::task<> {
      test::mark m(seen, "frame");
      co_await d;
      seen.push_back("foreign done");
      co_await weir::checkpoint();
      seen.push_back("went on");
    };
    auto opens = [&]() -> weir::task<> {
      co_await weir::sleep_for(5ms);
      CHECK(d.awaited());
      d.open();
    };
    co_await weir::when_all(weir::as_result(weir::with_timeout(1ms, waits())), opens());
    CHECK(weir::now() == weir::time_point() + 5ms);
  });
  CHECK(seen == test::log{"foreign done", "frame!"});
}

TEST_CASE("a million foreign awaits that are ready, and a hundred thousand that are not, do not grow the stack") {
  test::simulate([]() -> weir::task<> {
    for (int i = 0; i < test::scaled(1'000'000, 100'000); ++i) co_await std::suspend_never();
    for (int i = 0; i < test::scaled(100'000, 20'000); ++i) {
      const std::unique_ptr<int> value = co_await boxed(1);
      static_cast<void>(value);
    }
    door doors[2];
    auto waits = [&](int which) -> weir::task<> {
      for (int i = 0; i < 10'000; ++i) {
        door d;
        auto opens = [&]() -> weir::task<> {
          d.open();
          co_return;
        };
        auto enters = [&]() -> weir::task<> { co_await d; };
        co_await weir::when_all(enters(), opens());
      }
      doors[which].open();
    };
    co_await weir::when_all(waits(0), waits(1));
    co_await doors[0];
    co_await doors[1];
  });
}
