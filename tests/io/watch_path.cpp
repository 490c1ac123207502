#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
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

namespace {

/// "created a/b", "moved_to c".
std::string text_of(const path_event& event) {
  switch (event.change) {
    case path_change::created:
      return "created " + event.name;
    case path_change::removed:
      return "removed " + event.name;
    case path_change::moved_from:
      return "moved_from " + event.name;
    case path_change::moved_to:
      return "moved_to " + event.name;
    case path_change::self_moved:
      return "self_moved";
    default:
      return "other " + event.name;
  }
}

/// All up to this one, which has to come.
task<std::vector<std::string>> events_until(weir::async_generator<path_event>& events, std::string last) {
  std::vector<std::string> all;
  do {
    const path_event event = co_await next_of(events);
    all.push_back(text_of(event));
  } while (all.back() != last);
  co_return all;
}

constexpr path_change names =
    path_change::created | path_change::removed | path_change::moved_from | path_change::moved_to;

}  // namespace

TEST_CASE("watch_path: recursive, what is in directories below, those that come later included") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const std::string root = dir.name("root");
  std::filesystem::create_directories(root + "/old/deep");
  std::filesystem::create_directory_symlink(dir.path(), root + "/link");
  const auto body = [&]() -> task<> {
    using list = std::vector<std::string>;
    auto events = co_await weir::watch_path(root, names, {.recursive = true});
    static_cast<void>(dir.containing("root/old/deep/a", ""));
    list told = co_await events_until(events, "created old/deep/a");
    CHECK(told.size() == 1);
    // What is made in a new directory before that is watched is told all the same.
    std::filesystem::create_directories(root + "/new/inner");
    static_cast<void>(dir.containing("root/new/inner/b", ""));
    told = co_await events_until(events, "created new/inner/b");
    CHECK(told == list{"created new", "created new/inner", "created new/inner/b"});
    static_cast<void>(dir.containing("root/new/inner/c", ""));
    told = co_await events_until(events, "created new/inner/c");
    // Renamed inside of the tree, with the directories below.
    std::filesystem::rename(root + "/new", root + "/old/newer");
    told = co_await events_until(events, "moved_to old/newer");
    CHECK(told == list{"moved_from new", "moved_to old/newer"});
    static_cast<void>(dir.containing("root/old/newer/inner/d", ""));
    told = co_await events_until(events, "created old/newer/inner/d");
    CHECK(told.size() == 1);
    // Out of the tree nobody watches it.
    std::filesystem::rename(root + "/old/newer", dir.name("away"));
    told = co_await events_until(events, "moved_from old/newer");
    auto quiet = co_await as_result(weir::with_timeout(50ms, events.next()));
    CHECK(quiet.error() == std::errc::timed_out);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("watch_path: recursive, out of the tree and back, removed, and the end") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const std::string root = dir.name("root");
  std::filesystem::create_directories(root + "/a/b");
  const auto body = [&]() -> task<> {
    using list = std::vector<std::string>;
    auto events = co_await weir::watch_path(root, names, {.recursive = true});
    std::filesystem::rename(root + "/a", dir.name("away"));
    list told = co_await events_until(events, "moved_from a");
    static_cast<void>(dir.containing("root/marker", ""));
    told = co_await events_until(events, "created marker");
    static_cast<void>(dir.containing("away/unseen", ""));
    std::filesystem::rename(dir.name("away"), root + "/back");
    told = co_await events_until(events, "created back/unseen");
    CHECK(told.front() == "moved_to back");
    CHECK(std::count(told.begin(), told.end(), "created away/unseen") == 0);
    static_cast<void>(dir.containing("root/back/b/x", ""));
    told = co_await events_until(events, "created back/b/x");
    std::filesystem::remove_all(root + "/back");
    told = co_await events_until(events, "removed back");
    CHECK(std::count(told.begin(), told.end(), "removed back/b") == 1);
    // Made again with the same name.
    std::filesystem::create_directory(root + "/back");
    static_cast<void>(dir.containing("root/back/y", ""));
    told = co_await events_until(events, "created back/y");
    std::filesystem::rename(root, dir.name("renamed"));
    told = co_await events_until(events, "self_moved");
    auto after = co_await weir::with_timeout(10s, events.next());
    CHECK(!after);
    const auto missing = co_await as_result(weir::watch_path(root, names, {.recursive = true}));
    CHECK(sentence_of(missing) == "watch_path " + root + ": No such file or directory");
  };
  weir::run(body(), one_worker);
}

TEST_CASE("watch_path: recursive, nothing is missed while a tree grows") {
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    auto events = co_await weir::watch_path(dir.path(), path_change::created, {.recursive = true});
    const int count = 200;
    std::thread grows([&] {
      for (int i = 0; i < count; ++i) {
        const std::string path = dir.name("d" + std::to_string(i % 20) + "/" + std::to_string(i));
        std::filesystem::create_directories(path);
        const int number = ::open((path + "/file").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ::close(number);
      }
    });
    std::set<std::string> files;
    while (files.size() < static_cast<std::size_t>(count)) {
      const path_event event = co_await next_of(events);
      if (event.name.ends_with("/file")) files.insert(event.name);
    }
    grows.join();
    CHECK(files.size() == static_cast<std::size_t>(count));
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
