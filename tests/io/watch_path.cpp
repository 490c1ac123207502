#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <weir/io/watch_path.hpp>

#include "files.hpp"
#include "open_descriptors.hpp"

using namespace std::chrono_literals;

namespace {

using test::sentence_of;
using weir::as_result;
using weir::path_change;
using weir::path_event;
using weir::task;

constexpr weir::runtime_options one_worker{.workers = 1};

task<path_event> next_of(weir::async_generator<path_event>& events) {
  auto event = co_await weir::with_timeout(10s, events.next());
  if (!event) throw std::runtime_error("the events have ended");
  co_return std::move(*event);
}

}  // namespace

TEST_CASE("watch_path: what happens in a directory, with names, in its order") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    auto events = co_await weir::watch_path(dir.path());
    static_cast<void>(dir.containing("a", "text"));
    std::filesystem::create_directory(dir.name("d"));
    path_event event = co_await next_of(events);
    CHECK(event.change == path_change::created);
    CHECK(event.name == "a");
    CHECK(!event.is_directory);
    event = co_await next_of(events);
    CHECK(event.change == path_change::modified);
    event = co_await next_of(events);
    CHECK(event.change == path_change::written);
    CHECK(event.name == "a");
    CHECK(event.move == 0);
    event = co_await next_of(events);
    CHECK(event.change == path_change::created);
    CHECK(event.name == "d");
    CHECK(event.is_directory);

    // While it waits, too.
    auto waiting = weir::spawn(next_of(events));
    for (int i = 0; i < 5; ++i) co_await weir::yield();
    std::filesystem::rename(dir.name("a"), dir.name("b"));
    event = co_await waiting.join();
    CHECK(event.change == path_change::moved_from);
    CHECK(event.name == "a");
    CHECK(event.move != 0);
    const std::uint32_t move = event.move;
    event = co_await next_of(events);
    CHECK(event.change == path_change::moved_to);
    CHECK(event.name == "b");
    CHECK(event.move == move);
    ::chmod(dir.name("b").c_str(), 0640);
    event = co_await next_of(events);
    CHECK(event.change == path_change::attributes);
    std::filesystem::remove(dir.name("b"));
    event = co_await next_of(events);
    CHECK(event.change == path_change::removed);
    CHECK(event.name == "b");
  };
  weir::run(body(), one_worker);
}

TEST_CASE("watch_path: only what is wanted, and the end of what is watched") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const std::string watched = dir.name("watched");
  std::filesystem::create_directory(watched);
  const auto body = [&]() -> task<> {
    auto events = co_await weir::watch_path(watched, path_change::removed | path_change::moved_to);
    static_cast<void>(dir.containing("watched/a", "text"));
    std::filesystem::remove(watched + "/a");
    std::filesystem::rename(watched, dir.name("renamed"));
    std::filesystem::remove(dir.name("renamed"));
    path_event event = co_await next_of(events);
    CHECK(event.change == path_change::removed);
    event = co_await next_of(events);
    CHECK(event.change == path_change::self_moved);
    CHECK(event.name.empty());
    event = co_await next_of(events);
    CHECK(event.change == path_change::self_removed);
    auto after = co_await weir::with_timeout(10s, events.next());
    CHECK(!after);
    const auto missing = co_await as_result(weir::watch_path(watched));
    CHECK(sentence_of(missing) == "watch_path " + watched + ": No such file or directory");
  };
  weir::run(body(), one_worker);
}

TEST_CASE("watch_path: lost events are an event") {
  const test::scratch_directory dir;
  const std::string a = dir.containing("a", "");
  const std::string b = dir.containing("b", "");
  unsigned most = 16'384;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> most;
  if (most > 100'000) return;  // an administrator's wish, and too much for a test
  const auto body = [&]() -> task<> {
    auto events = co_await weir::watch_path(dir.path(), path_change::attributes);
    for (unsigned i = 0; i < most; i += 2) {
      ::chmod(a.c_str(), 0600);
      ::chmod(b.c_str(), 0600);
    }
    ::chmod(a.c_str(), 0600);
    unsigned told = 0;
    path_event event = co_await next_of(events);
    for (; event.change == path_change::attributes; ++told) event = co_await next_of(events);
    CHECK(event.change == path_change::overflow);
    CHECK(event.name.empty());
    CHECK(told >= most - 1);
    ::chmod(a.c_str(), 0600);
    event = co_await next_of(events);
    CHECK(event.change == path_change::attributes);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("watch_path: not in a simulation") {
  const auto body = []() -> task<> {
    const auto refused = co_await as_result(weir::watch_path("/tmp"));
    CHECK(refused.error() == std::errc::not_supported);
  };
  weir::simulation world;
  world.run(body());
}
