// An echo server with its clients, and a bounded pipeline, each under thousands of seeds with everything going wrong
// that can. Usage: simulated_seeds [COUNT]

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <weir/weir.hpp>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif

using namespace std::chrono_literals;
using weir::as_result;
using weir::task;
using weir::with_timeout;

namespace {

#if defined(TEST_SANITIZED) || !defined(NDEBUG)
constexpr std::uint64_t usual_count = 1000;
#else
constexpr std::uint64_t usual_count = 10'000;
#endif

void expect(bool holds, const char* promise) {
  if (!holds) throw std::logic_error(promise);
}

/// What all runs together have met: a test that meets nothing tests nothing.
struct tally {
  std::uint64_t messages = 0;
  std::uint64_t broken_connections = 0;
  std::uint64_t failures_at_the_server = 0;
  std::uint64_t refused = 0;
  std::uint64_t accept_failures = 0;
  std::uint64_t timeouts = 0;
  std::uint64_t items = 0;
  std::uint64_t retries = 0;
  std::uint64_t stopped_early = 0;
} met;

/// Of the server's connections. Nobody joins them.
void note_failure(const std::exception_ptr&) noexcept { ++met.failures_at_the_server; }

const weir::endpoint echo_address = weir::endpoint::loopback(7000);

// ---- the echo server

task<> echo(weir::tcp_stream peer) {
  std::array<std::byte, 64> buffer;
  while (std::size_t n = co_await peer.read_some(buffer)) {
    co_await peer.write_all(std::span(buffer).first(n));
  }
}

task<> serve(weir::tcp_listener& listener) {
  co_await weir::with_supervisor([&](weir::task_group& connections) -> task<> {
    for (;;) {
      auto peer = co_await as_result(listener.accept());
      if (peer.has_value()) {
        connections.spawn(echo(std::move(*peer)));
      } else {
        ++met.accept_failures;
        co_await weir::sleep_for(1ms);  // no descriptor is left, or no memory
      }
    }
  });
}

task<> ask(weir::tcp_stream& stream, std::span<const std::byte> question) {
  co_await stream.write_all(question);
  std::array<std::byte, 200> answer;
  const auto rest = std::span(answer).first(question.size());
  co_await stream.read_exactly(rest);
  expect(std::equal(rest.begin(), rest.end(), question.begin()), "the echo is what was sent");
}

/// Asks until everything was answered, over as many connections as that takes.
task<> client(std::uint8_t id, int questions) {
  std::vector<std::byte> question(static_cast<std::size_t>(20 * id + 1));
  weir::tcp_stream stream;
  for (int asked = 0; asked < questions;) {
    if (!stream.is_open()) {
      auto connected = co_await as_result(weir::tcp_stream::connect(echo_address));
      if (!connected.has_value()) {
        expect(connected.error() == std::errc::connection_refused, "a connect is refused, if anything");
        ++met.refused;
        co_await weir::sleep_for(1ms);
        continue;
      }
      stream = std::move(*connected);
    }
    for (std::size_t i = 0; i < question.size(); ++i) question[i] = static_cast<std::byte>(id * 50 + asked + i);
    auto answered = co_await as_result(with_timeout(20ms, ask(stream, question)));
    if (answered.has_value()) {
      ++asked;
      ++met.messages;
      continue;
    }
    const std::error_code error = answered.error();
    if (error == std::errc::timed_out) {
      ++met.timeouts;
    } else {
      expect(
          error == std::errc::connection_reset || error == std::errc::broken_pipe || error == weir::errc::end_of_stream,
          "a connection breaks, if anything");
      ++met.broken_connections;
    }
    stream.close();
  }
}

task<> clients_and_server(weir::simulation& world) {
  // Each seed has a network of its own.
  world.network().receive_buffer = 64 << world.seed() % 4;
  world.network().latency = std::chrono::microseconds(world.seed() % 7 * 50);
  auto fails = [&]() -> task<> {
    co_await weir::sleep_for(std::chrono::microseconds(world.seed() % 1000 * 10));
    world.network().down = true;
    co_await weir::sleep_for(50ms);
    world.network().down = false;
  };
  weir::signal_set signals{SIGTERM};
  auto listener = weir::tcp_listener::bind(echo_address, {.backlog = 4});
  auto clients = [&]() -> task<> {
    co_await weir::with_task_group([&](weir::task_group& group) -> task<> {
      for (std::uint8_t id = 1; id <= 8; ++id) group.spawn(client(id, 6));
      co_await group.join();
    });
    world.raise(SIGTERM);
  };
  auto serving = [&]() -> task<> {
    auto first = co_await weir::when_any(serve(listener), signals.wait());
    expect(first.index() == 1, "the server runs until it is told to end");
  };
  co_await weir::when_all(serving(), clients(), fails());
  expect(world.open_descriptors() == 2, "nothing is left but the listener and the signals");
}

// ---- the pipeline

struct job {
  int id = 0;
  int square = 0;
};

/// Over the network, again and again until it works.
task<job> squared(job of) {
  for (;;) {
    auto asks = [&]() -> task<> {
      auto stream = co_await weir::tcp_stream::connect(echo_address);
      std::array<std::byte, 4> bytes{static_cast<std::byte>(of.id)};
      co_await ask(stream, bytes);
      of.square = std::to_integer<int>(bytes[0]) * std::to_integer<int>(bytes[0]);
    };
    auto r = co_await as_result(with_timeout(20ms, asks()));
    if (r.has_value()) break;
    ++met.retries;
    co_await weir::sleep_for(1ms);
  }
  co_return of;
}

/// To a file of fixed records, whose disk now and then fails.
task<> store(weir::file& records, job one) {
  const std::array<std::byte, 2> record{static_cast<std::byte>(one.id), static_cast<std::byte>(one.square)};
  std::size_t written = 0;
  while (written < record.size()) {
    const auto offset = static_cast<std::uint64_t>(2 * one.id) + written;
    auto r = co_await as_result(records.write_at(std::span(record).subspan(written), offset));
    if (r.has_value()) {
      written += *r;
    } else {
      expect(r.error() == std::errc::io_error, "the disk has I/O errors, if anything");
      ++met.retries;
    }
  }
}

task<> bounded_pipeline(weir::simulation& world) {
  constexpr int jobs = 20;
  constexpr std::size_t room = 3;
  weir::channel<job> queue(room);
  auto listener = weir::tcp_listener::bind(echo_address);
  auto records = co_await weir::file::open("records", weir::file_mode::read_write | weir::file_mode::create);
  int sent = 0;
  int begun = 0;
  int stored = 0;
  auto produce = [&]() -> task<> {
    for (int id = 0; id < jobs; ++id) {
      const bool open = co_await queue.send(job{.id = id});  // lint: ok (trivial)
      if (!open) co_return;
      ++sent;
      // Each stage has its queue and its hands full, not more.
      expect(sent - stored <= static_cast<int>(room + 3 + 2 + 2 + 1 + 2), "nothing piles up");
    }
    queue.close();
  };
  auto look_up = [&](job one) -> task<job> {
    ++begun;
    auto done = co_await squared(one);
    co_return done;
  };
  auto keep = [&](job one) -> task<> {
    co_await store(records, one);
    ++stored;
  };
  auto pipeline = [&]() -> task<> {
    co_await (weir::from(queue) | weir::transform(look_up, {.workers = 3, .buffer = 2, .ordered = false}) |
              weir::for_each(keep, {.workers = 2, .buffer = 2}));
  };
  auto run = [&]() -> task<> {
    co_await weir::with_task_group([&](weir::task_group& group) -> task<> {
      auto serving = group.spawn(serve(listener));
      co_await weir::when_all(produce(), pipeline());
      serving.request_cancellation();
      co_await group.join();
    });
  };
  // Every third run is given up in the middle.
  const weir::duration patience = world.seed() % 3 == 0 ? std::chrono::microseconds(world.seed() % 5000) : 1h;
  auto r = co_await as_result(with_timeout(patience, run()));
  if (r.has_value()) {
    expect(stored == jobs, "every job is stored");
    std::array<std::byte, 2 * jobs> all;
    world.files().error = 0;
    world.files().partial = 0;
    const std::size_t size = co_await records.read_at(all, 0);
    expect(size == all.size(), "the file is complete");
    for (int id = 0; id < jobs; ++id) {
      expect(all[static_cast<std::size_t>(2 * id)] == static_cast<std::byte>(id), "each record is in its place");
      expect(all[static_cast<std::size_t>(2 * id + 1)] == static_cast<std::byte>(id * id), "each square is right");
    }
  } else {
    expect(r.error() == std::errc::timed_out, "the pipeline is given up, if anything");
    ++met.stopped_early;
    expect(begun + static_cast<int>(queue.size()) <= sent + 1, "no job is there twice");
    expect(stored <= begun, "no job comes from nowhere");
  }
  met.items += static_cast<std::uint64_t>(stored);
  expect(world.open_descriptors() == 2, "nothing is left but the listener and the file");
}

void explore(const char* name, std::uint64_t seeds, task<> (*program)(weir::simulation&),
             weir::simulation_options options) {
  options.on_error = note_failure;
  const auto begin = std::chrono::steady_clock::now();
  const weir::exploration done = weir::explore(seeds, program, options);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  fmt::print("{}: {} seeds, {} schedules, {:.0f} s of virtual time in {:.1f} s\n", name, done.runs, done.schedules,
             std::chrono::duration<double>(done.elapsed).count(), took.count());
  expect(done.schedules * 100 >= done.runs * 99, "seeds differ");
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = usual_count;
  if (argc > 1) {
    const std::string_view text(argv[1]);
    if (std::from_chars(text.data(), text.data() + text.size(), seeds).ec != std::errc{}) return 2;
  }
  try {
    explore("echo server", seeds, clients_and_server,
            {.network = {.partial = 0.2, .reset = 0.003, .refuse = 0.05, .accept_error = 0.1}});
    fmt::print("  {} messages came back; {} connections broke, {} were refused, {} accepts failed, {} timeouts\n",
               met.messages, met.broken_connections, met.refused, met.accept_failures, met.timeouts);
    explore("bounded pipeline", seeds, bounded_pipeline,
            {.network = {.partial = 0.2, .reset = 0.003, .refuse = 0.05, .accept_error = 0.1},
             .files = {.partial = 0.2, .error = 0.1}});
    fmt::print("  {} items went through; {} steps were tried again, {} runs given up in the middle\n", met.items,
               met.retries, met.stopped_early);
    expect(met.broken_connections != 0 && met.refused != 0 && met.accept_failures != 0 && met.timeouts != 0 &&
               met.retries != 0 && met.stopped_early != 0,
           "everything has gone wrong at least once");
  } catch (const std::exception& e) {
    fmt::print("{}\n", e.what());
    return 1;
  }
}
