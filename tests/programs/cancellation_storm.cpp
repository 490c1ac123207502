// A hundred thousand tasks wait, a share of them in every kind of operation, and are cancelled from four threads at the
// same time as what they wait for happens: by the token of a scope, by their handles, and in the end by their group.
// Every task either completes or is stopped, every item and byte is where that says, and nothing is left: no frame, no
// child, no descriptor.
//
//   cancellation_storm [TASKS [SEED]]
//
// TASKS (or WEIR_STRESS_TASKS) is for each of the two parts: on four workers, and on one.

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <weir/weir.hpp>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STORM_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STORM_SANITIZED 1
#endif
#endif

namespace {

using namespace std::chrono_literals;
using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::task_group;
using weir::with_cancellation;

#if defined(STORM_SANITIZED)
constexpr unsigned default_tasks = 6'000;
#else
constexpr unsigned default_tasks = 100'000;
#endif

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "cancellation_storm: %s\n", what.c_str());
  std::abort();
}

void expect(bool holds, const char* what) {
  if (!holds) fail(what);
}

void expect_equal(std::uint64_t a, std::uint64_t b, const char* what) {
  if (a != b) fail(std::string(what) + ": " + std::to_string(a) + " and " + std::to_string(b));
}

enum class waits_in : std::uint8_t {
  sleep,
  tick,
  event,
  mutex,
  receive,
  send,
  rendezvous,
  reserve,
  select,
  read,
  join,
  group,
  all,
  any,
  timeout,
  cleanup,
  generator,
  offload,
  kinds,
};
constexpr auto all_kinds = static_cast<unsigned>(waits_in::kinds);

constexpr unsigned pipes = 100;  // descriptors are few

class pipe_ends {
 public:
  pipe_ends() {
    if (::pipe2(ends_.data(), O_CLOEXEC | O_NONBLOCK) != 0) fail("no pipe can be made");
    from = weir::file::adopt(ends_[0], "a pipe");
  }
  pipe_ends(const pipe_ends&) = delete;
  pipe_ends& operator=(const pipe_ends&) = delete;
  ~pipe_ends() { ::close(ends_[1]); }
  void write_one() {
    expect(::write(ends_[1], "x", 1) == 1, "the pipe is full");
    written = true;
  }

  weir::file from;
  bool written = false;

 private:
  std::array<int, 2> ends_{};
};

/// What the tasks wait for, and what became of them.
struct world {
  weir::duration before_the_storm{};
  std::atomic<unsigned> begun{0};
  std::atomic<unsigned> completed{0};
  std::atomic<unsigned> stopped{0};
  std::atomic<unsigned> alive{0};

  weir::event signal{weir::reset_mode::automatic};
  weir::event gate;
  weir::mutex lock;
  unsigned locked = 0;  // guarded by lock
  std::atomic<unsigned> locks{0};
  weir::channel<std::unique_ptr<int>> empty{64};
  weir::channel<std::unique_ptr<int>> full{64};
  weir::channel<std::unique_ptr<int>> rendezvous{0};
  weir::channel<int> reserved{64};
  weir::channel<std::unique_ptr<int>> chosen{64};
  std::deque<pipe_ends> pipe{pipes};

  std::atomic<unsigned> received{0};
  std::atomic<unsigned> sent{0};
  std::atomic<unsigned> met{0};
  std::atomic<unsigned> selected{0};
  std::atomic<unsigned> offloaded{0};
  std::atomic<unsigned> offload_ended{0};
  std::atomic<unsigned> bytes{0};
  std::atomic<unsigned> cleanups{0};
  std::atomic<unsigned> cleanups_begun{0};
};

/// Whether its task came to its end.
class ending {
 public:
  explicit ending(world& w) noexcept : world_(w) {
    ++w.alive;
    ++w.begun;
  }
  ending(const ending&) = delete;
  ending& operator=(const ending&) = delete;
  ~ending() {
    ++(done ? world_.completed : world_.stopped);
    --world_.alive;
  }
  bool done = false;

 private:
  world& world_;
};

/// For two thirds of the tasks about when the storm is to begin, for the others much later.
weir::duration moment(const world& w, unsigned number) {
  if (number % 3 == 0) return 1h;
  return w.before_the_storm + std::chrono::microseconds(number * 37 % 100'000);
}

/// Waits for a while, or for the end of the storm, as a frame that has to be destroyed.
task<> nap(world& w, unsigned number) {
  struct resident {
    explicit resident(world& of) : in(of) { ++in.alive; }
    resident(const resident&) = delete;
    resident& operator=(const resident&) = delete;
    ~resident() { --in.alive; }
    world& in;
  };
  const resident here(w);
  if (number % 3 == 0) {
    co_await w.gate.wait();
  } else {
    co_await weir::sleep_for(moment(w, number));
  }
}

template <class Op>
task<bool> under(cancellation_token token, Op op) {
  auto r = co_await as_result(with_cancellation(token, std::move(op)));
  if (!r.has_value() && !r.is_cancelled()) fail("an operation failed");
  co_return r.has_value();
}

task<> one(world& w, waits_in kind, unsigned number, cancellation_token token) {
  ending end(w);
  switch (kind) {
    case waits_in::sleep:
      end.done = co_await under(token, weir::sleep_for(moment(w, number)));
      break;
    case waits_in::tick: {
      weir::interval every(moment(w, number));
      co_await every.tick();
      end.done = co_await under(token, every.tick());
      break;
    }
    case waits_in::event:
      end.done = co_await under(token, w.signal.wait());
      break;
    case waits_in::mutex: {
      auto r = co_await as_result(with_cancellation(token, w.lock.lock()));
      if (r.has_value()) {
        ++w.locked;
        ++w.locks;
        end.done = true;
      }
      break;
    }
    case waits_in::receive: {
      auto r = co_await as_result(with_cancellation(token, w.empty.receive()));
      if (r.has_value()) {
        expect(r->has_value(), "the channel is closed");
        ++w.received;
        end.done = true;
      }
      break;
    }
    case waits_in::send:
    case waits_in::rendezvous: {
      auto mine = std::make_unique<int>(1);
      weir::channel<std::unique_ptr<int>>& to = kind == waits_in::send ? w.full : w.rendezvous;
      auto r = co_await as_result(with_cancellation(token, to.send(std::move(mine))));
      expect(r.has_value() == !mine, "an item was sent and is still here, or neither");
      if (r.has_value()) {
        ++(kind == waits_in::send ? w.sent : w.met);
        end.done = true;
      }
      break;
    }
    case waits_in::reserve: {
      auto r = co_await as_result(with_cancellation(token, w.reserved.reserve()));
      end.done = r.has_value();
      break;
    }
    case waits_in::select: {
      auto r = co_await as_result(
          with_cancellation(token, weir::select(w.chosen.receive(), w.gate.wait(), weir::sleep_for(1h))));
      if (r.has_value()) {
        if (r->index() == 0) ++w.selected;
        end.done = true;
      }
      break;
    }
    case waits_in::read: {
      std::array<std::byte, 4> into;
      auto r = co_await as_result(with_cancellation(token, w.pipe[number % pipes].from.read_some(into)));
      if (r.has_value()) {
        w.bytes += static_cast<unsigned>(*r);
        end.done = true;
      }
      break;
    }
    case waits_in::join: {
      auto child = weir::spawn(nap(w, number));
      end.done = co_await under(token, child.join());
      break;
    }
    case waits_in::group: {
      const auto body = [&w, number](task_group& group) -> task<> {
        group.spawn(nap(w, number));
        group.spawn(nap(w, number + 1));
        co_await group.join();
      };
      auto r = co_await as_result(with_cancellation(token, weir::with_task_group(body)));
      end.done = r.has_value();
      break;
    }
    case waits_in::all:
      end.done = co_await under(token, weir::when_all(nap(w, number), nap(w, number + 1)));
      break;
    case waits_in::any:
      end.done = co_await under(token, weir::when_any(nap(w, number), weir::sleep_for(1h), w.gate.wait()));
      break;
    case waits_in::timeout: {
      auto r = co_await as_result(
          with_cancellation(token, as_result(weir::with_timeout(moment(w, number), weir::sleep_for(1h)))));
      end.done = r.has_value();
      break;
    }
    case waits_in::cleanup: {
      const auto fn = [&w](const weir::cleanup_outcome&) -> task<> {
        ++w.cleanups;
        co_await weir::yield();
      };
      ++w.cleanups_begun;
      auto r = co_await as_result(with_cancellation(token, weir::with_cleanup(nap(w, number), fn, 1h)));
      end.done = r.has_value();
      break;
    }
    case waits_in::generator: {
      const auto made = [&w, number]() -> weir::async_generator<int> {
        co_await nap(w, number);
        co_yield 1;
      };
      auto values = made();
      auto r = co_await as_result(with_cancellation(token, values.next()));
      end.done = r.has_value();
      break;
    }
    case waits_in::offload: {
      auto r = co_await as_result(with_cancellation(token, weir::offload([&w] { ++w.offloaded; })));
      if (r.has_value()) ++w.offload_ended;
      end.done = r.has_value();
      break;
    }
    case waits_in::kinds:
      break;
  }
}

/// Lets about a half of everything happen.
task<> complete_some(world& w, unsigned each, weir::mutex_guard& held, unsigned& sets) {
  std::uint64_t given = 0;
  unsigned next_pipe = 0;
  held.unlock();
  for (unsigned i = 0; i < each / 2; ++i) {
    w.signal.set();
    ++sets;
    if (w.empty.try_send(std::make_unique<int>(1))) ++given;
    if (const auto item = w.full.try_receive()) --w.sent;
    static_cast<void>(w.reserved.try_receive());
    static_cast<void>(w.chosen.try_send(std::make_unique<int>(1)));
    if (const auto item = w.rendezvous.try_receive()) --w.met;
    if (i % 8 == 0 && next_pipe < pipes) w.pipe[next_pipe++].write_one();
    if (i % 16 == 0) co_await weir::yield();
  }
  w.received -= static_cast<unsigned>(given);
}

void storm(unsigned workers, unsigned tasks, std::uint64_t seed) {
  const auto start = std::chrono::steady_clock::now();
  weir::runtime rt{{.workers = workers, .offload_threads = 2}};
  auto w = std::make_unique<world>();
  w->before_the_storm = tasks * 2us;
  // What a part of the tasks has in common is cancelled at once.
  std::deque<weir::cancellation_source> sources(tasks / 16 + 1);
  std::vector<weir::join_handle<>> handles;
  unsigned started = 0;
  unsigned sets = 0;
  std::mt19937_64 random(seed);
  std::vector<unsigned> order(tasks);
  for (unsigned i = 0; i < tasks; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  std::atomic<unsigned> cancelling{0};

  const auto body = [&](task_group& group) -> task<> {
    weir::mutex_guard held = co_await w->lock.lock();
    for (int i = 0; i < 64; ++i) {
      expect(w->full.try_send(std::make_unique<int>(1)) && w->reserved.try_send(1), "there is no room");
    }
    w->sent += 64;
    handles.reserve(tasks);
    std::array<bool, pipes> read{};
    for (unsigned i = 0; i < tasks; ++i) {
      auto kind = static_cast<waits_in>(i % all_kinds);
      if (kind == waits_in::read && std::exchange(read[i % pipes], true)) kind = waits_in::select;  // one reader each
      handles.push_back(group.spawn(one(*w, kind, i, sources[i / 16].token())));
      ++started;
      if (i % 1000 == 0) co_await weir::yield();
    }
    while (w->begun != started) co_await weir::yield();

    std::vector<std::thread> cancellers;
    for (unsigned t = 0; t < 4; ++t) {
      cancellers.emplace_back([&, t] {
        ++cancelling;
        while (cancelling < 4) std::this_thread::yield();
        // A half by their handles, the rest by tokens, and a tenth only by the group.
        for (std::size_t i = t; i < order.size(); i += 4) {
          const unsigned which = order[i];
          if (which % 10 == 9) continue;
          if (which % 2 == 0) {
            handles[which].request_cancellation();
          } else if (which % 16 == 1) {
            sources[which / 16].request_cancellation();
          }
          if (i % 64 == t) std::this_thread::yield();
        }
      });
    }
    while (cancelling < 4) co_await weir::yield();
    co_await complete_some(*w, tasks / all_kinds, held, sets);
    const auto join_threads = [&cancellers] {
      for (std::thread& t : cancellers) t.join();
    };
    co_await weir::shielded(weir::offload(join_threads));
    w->gate.set();
    group.cancel();
  };
  const auto main = [&]() -> task<> {
    auto r = co_await as_result(weir::with_task_group(body));
    expect(r.has_value() || r.is_cancelled(), "the group failed");
  };
  rt.block_on(main());
  for (const auto& handle : handles) expect(handle.done(), "a task of the group has not ended");
  expect(rt.shutdown({.drain = 60s}).complete, "tasks are left");

  expect_equal(w->completed + w->stopped, started, "tasks that have ended, and that were started");
  expect_equal(w->alive, 0, "frames that are left, and none");
  expect(w->stopped > started / 4, "hardly anything was stopped");
  unsigned left = 0;
  while (w->empty.try_receive()) ++left;
  expect_equal(0, w->received + left, "items that were sent, and received or left");
  left = 0;
  while (w->full.try_receive()) ++left;
  expect_equal(w->sent, left, "items that were sent and not taken, and that lie there");
  expect_equal(w->met, 0, "items that were sent and received at a rendezvous");
  for (int i = 0; i < 64; ++i) static_cast<void>(w->reserved.try_receive());
  for (int i = 0; i < 64; ++i) expect(w->reserved.try_send(1), "room was lost");
  expect(!w->reserved.try_send(1), "there is more room than there was");
  expect(static_cast<bool>(w->lock.try_lock()), "the lock was lost");
  expect_equal(w->locked, w->locks, "who had the lock, and what they did under it");
  expect(w->offload_ended <= w->offloaded, "a function has ended that never ran");
  expect_equal(w->cleanups, w->cleanups_begun, "cleanups that ran, and that were due");
  unsigned written = 0;
  for (pipe_ends& p : w->pipe) {
    written += p.written ? 1 : 0;
    std::array<char, 4> rest;
    const ssize_t n = ::read(p.from.native_handle(), rest.data(), rest.size());
    if (n > 0) w->bytes += static_cast<unsigned>(n);
  }
  expect_equal(w->bytes, written, "bytes that were read or are left, and that were written");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%u workers: %u tasks started, %u completed, %u stopped, nothing lost, in %.1f s\n", workers, started,
              w->completed.load(), w->stopped.load(), took.count());
  std::fflush(stdout);
}

unsigned open_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (!directory) fail("/proc/self/fd cannot be read");
  unsigned n = 0;
  while (::readdir(directory)) ++n;  // NOLINT(concurrency-mt-unsafe): a directory of our own
  ::closedir(directory);
  return n;
}

}  // namespace

int main(int count, char** arguments) {
  unsigned tasks = default_tasks;
  std::uint64_t seed = 1;
  if (const char* asked = std::getenv("WEIR_STRESS_TASKS")) tasks = static_cast<unsigned>(std::stoul(asked));
  if (count > 1) tasks = static_cast<unsigned>(std::stoul(arguments[1]));
  if (count > 2) seed = std::stoull(arguments[2]);
  const unsigned before = open_descriptors();
  storm(4, tasks, seed);
  storm(1, tasks, seed + 1);
  expect_equal(open_descriptors(), before, "descriptors that are open, and that were open before");
}
