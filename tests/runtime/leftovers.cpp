// What outlives its runtime is told on stderr, in builds with assertions.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "skip.hpp"
#include "support.hpp"

namespace {

/// Takes what is written to stderr while it lives.
class captured_stderr {
 public:
  captured_stderr() : file_(std::tmpfile()), before_(::dup(STDERR_FILENO)) {
    std::fflush(stderr);
    ::dup2(::fileno(file_), STDERR_FILENO);
  }
  captured_stderr(const captured_stderr&) = delete;
  captured_stderr& operator=(const captured_stderr&) = delete;
  ~captured_stderr() {
    static_cast<void>(text());
    std::fclose(file_);
  }

  /// Ends the capture.
  std::string text() {
    if (before_ < 0) return text_;
    std::fflush(stderr);
    ::dup2(before_, STDERR_FILENO);
    ::close(std::exchange(before_, -1));
    std::rewind(file_);
    for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_)) text_ += static_cast<char>(c);
    return text_;
  }

 private:
  std::FILE* file_;
  int before_;
  std::string text_;
};

weir::task<> never_awaited() { co_await weir::sleep_for(1s); }

weir::async_generator<int> counts() {
  for (int i = 0;; ++i) {
    co_await weir::yield();
    co_yield i;
  }
}

#if defined(NDEBUG)
constexpr bool told = false;
#else
constexpr bool told = true;
#endif

}  // namespace

TEST_CASE("a runtime that ends tells which coroutines that were made in it are still held") {
  if (!told) {
    skip("only builds with assertions know");
    return;
  }
  for (const unsigned workers : {1u, 2u}) {
    weir::task<> kept;
    std::optional<weir::async_generator<int>> generator;
    captured_stderr out;
    auto main = [&]() -> weir::task<> {
      kept = never_awaited();
      generator.emplace(counts());
      CHECK(co_await generator->next() == 0);
    };
    weir::run(main(), {.workers = workers});
    const std::string text = out.text();
    INFO(text);
    CHECK(text.starts_with("weir: a runtime has ended, and 2 coroutines that were made in it are still held"));
    CHECK(text.find("never awaited: ") != std::string::npos);
    CHECK(text.find("never_awaited() at ") != std::string::npos);
    CHECK(text.find("suspended, it awaited last in: ") != std::string::npos);
    CHECK(text.find("counts(") != std::string::npos);
    CHECK(text.find("leftovers.cpp:") != std::string::npos);
  }
}

TEST_CASE("a runtime tells nothing of what another one made, of what was made outside, and of join handles") {
  weir::task<> outside = never_awaited();
  weir::runtime other{{.workers = 1}};
  weir::task<> of_other;
  auto makes = [&]() -> weir::task<> {
    of_other = never_awaited();
    co_return;
  };
  other.block_on(makes());
  weir::join_handle<> handle;
  captured_stderr out;
  auto main = [&]() -> weir::task<> {
    handle = weir::spawn(test::nap(1us));
    auto body = [](weir::task_group& g) -> weir::task<> {
      for (int i = 0; i < 100; ++i) g.spawn(test::nap(std::chrono::microseconds(i)));
      co_return;
    };
    co_await weir::with_task_group(body);
    CHECK_THROWS_AS(co_await weir::with_timeout(1ms, test::nap(1h)), weir::timed_out);
  };
  weir::run(main(), {.workers = 2});
  CHECK(out.text().empty());
  of_other = {};
}
