#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <weir/weir.hpp>

using namespace std::chrono_literals;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif

// g++ 12 takes no temporary callable that must be destroyed, and cannot tell a moved one from a temporary: there a
// callable that cannot be copied is lent.
#if WEIR_DETAIL_FRAGILE_TEMPORARIES
#define TEST_MOVE_CALLABLE(name) std::ref(name)
#else
#define TEST_MOVE_CALLABLE(name) std::move(name)
#endif

namespace test {

#if defined(TEST_SANITIZED)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

#if defined(__OPTIMIZE__)
inline constexpr bool slow = sanitized;
#else
inline constexpr bool slow = true;
#endif

/// Sanitizers slow everything down, and so does a compiler that does not optimise: what is only repetition is done less
/// often there.
constexpr int scaled(int plain, int when_slow) { return slow ? when_slow : plain; }

using log = std::vector<std::string>;

/// Writes its name into the log when it dies, with a "!" behind it when a stop destroys it.
class mark {
 public:
  mark(log& to, std::string name) : to_(&to), name_(std::move(name)) {}
  mark(mark&& other) noexcept : to_(std::exchange(other.to_, nullptr)), name_(std::move(other.name_)) {}
  mark& operator=(mark&&) = delete;
  ~mark() {
    if (to_) to_->push_back(weir::unwinding() ? name_ + "!" : name_);
  }

 private:
  log* to_;
  std::string name_;
};

/// Counts how many of it live.
class counted {
 public:
  counted() noexcept { ++alive; }
  counted(const counted&) noexcept { ++alive; }
  counted& operator=(const counted&) = default;
  ~counted() { --alive; }
  static inline std::atomic<int> alive{0};
};

/// Makes the task of a test from a callable whose type is forgotten, so that a world for it is compiled once for each
/// type of result: every test has a callable of its own.
template <class T>
class main_function {
 public:
  template <class F>
  explicit main_function(F& main) noexcept
      : main_(&main), call_([](void* given) -> weir::task<T> { return (*static_cast<F*>(given))(); }) {}
  weir::task<T> operator()() const { return call_(main_); }

 private:
  void* main_;
  weir::task<T> (*call_)(void*);
};
template <class F>
using result_of_main = typename std::invoke_result_t<F&>::value_type;

template <class T>
T simulate_main(main_function<T> main, std::uint64_t seed) {
  weir::simulation world{{.seed = seed}};
  return world.run(main());
}
/// Runs what `main` returns in a simulation of its own.
template <class F>
auto simulate(F main, std::uint64_t seed = 1) {
  return simulate_main(main_function<result_of_main<F>>(main), seed);
}

/// What reached runtime_options::on_error, in order.
class unobserved {
 public:
  unobserved() { take(); }
  unobserved(const unobserved&) = delete;
  unobserved& operator=(const unobserved&) = delete;

  static void hook(const std::exception_ptr& exception) noexcept {
    const std::lock_guard guard(mutex_);
    seen_.push_back(what(exception));
  }
  static log take() {
    const std::lock_guard guard(mutex_);
    return std::exchange(seen_, {});
  }
  static std::string what(const std::exception_ptr& exception) {
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& e) {
      return e.what();
    } catch (...) {
      return "?";
    }
  }

 private:
  static inline std::mutex mutex_;
  static inline log seen_;
};

/// The same as simulate(), with unobserved::hook as on_error.
template <class F>
auto simulate_reporting(F main, std::uint64_t seed = 1) {
  weir::runtime world = weir::runtime_access::make({.on_error = unobserved::hook}, {.enabled = true, .seed = seed});
  return world.block_on(main());
}

/// fork(), in tests/last_words.cpp. ThreadSanitizer allows a child neither threads nor signals when its parent had
/// several threads: then it waits until those have ended that pools still keep from earlier tests.
int fork_alone();

/// Runs `body` in a process of its own and returns what it wrote to stderr before it aborted; empty if it did not.
/// In tests/last_words.cpp, which is part of every suite.
std::string last_words_of(void (*body)());
/// The same with the seed, where that was in a simulation.
std::string all_last_words_of(void (*body)());

// ---- small tasks that many tests use

inline weir::task<> nap(weir::duration length) { co_await weir::sleep_for(length); }

template <class T>
weir::task<T> after(weir::duration length, T value) {
  co_await weir::sleep_for(length);
  co_return std::move(value);
}

inline weir::task<int> fail_after(weir::duration length, const char* what) {
  co_await weir::sleep_for(length);
  throw std::runtime_error(what);
}

/// Sleeps until it is stopped, and says so.
inline weir::task<> stuck(log& to, const char* name) {
  mark last(to, name);
  co_await weir::sleep_until(weir::time_point::max());
}

}  // namespace test
