#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include <weir/io/path_operations.hpp>

#include "../skip.hpp"
#include "files.hpp"
#include "open_descriptors.hpp"
#include "pretended_kernel.hpp"

namespace {

using test::sentence_of;
using weir::as_result;
using weir::task;

constexpr weir::runtime_options one_worker{.workers = 1};

task<bool> is_there(std::string path) {
  const auto r = co_await as_result(weir::stat(std::move(path), weir::symlinks::keep));
  if (!r.has_value()) CHECK(r.error() == std::errc::no_such_file_or_directory);
  co_return r.has_value();
}

task<std::string> text_in(std::string path) {
  weir::file from = co_await weir::file::open(std::move(path));
  co_return co_await test::read_text(from);
}

}  // namespace

TEST_CASE("paths: renamed, exchanged and removed") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const std::string a = dir.containing("a", "of a");
  const std::string b = dir.containing("b", "of b");
  const std::string c = dir.name("c");
  const auto body = [&]() -> task<> {
    const auto refused = co_await as_result(weir::rename(a, b, weir::rename_mode::no_replace));
    CHECK(sentence_of(refused) == "rename " + a + " to " + b + ": File exists");
    co_await weir::rename(a, c, weir::rename_mode::no_replace);
    bool there = co_await is_there(a);
    CHECK(!there);
    co_await weir::exchange(b, c);
    std::string text = co_await text_in(b);
    CHECK(text == "of a");
    co_await weir::rename(c, b);
    text = co_await text_in(b);
    CHECK(text == "of b");
    there = co_await is_there(c);
    CHECK(!there);
    co_await weir::unlink(b);
    there = co_await is_there(b);
    CHECK(!there);
    const auto missing = co_await as_result(weir::unlink(b));
    CHECK(sentence_of(missing) == "unlink " + b + ": No such file or directory");
    const auto both_missing = co_await as_result(weir::rename(a, b));
    CHECK(sentence_of(both_missing) == "rename " + a + " to " + b + ": No such file or directory");
    const auto unexchanged = co_await as_result(weir::exchange(a, b));
    CHECK(sentence_of(unexchanged) == "exchange " + a + " and " + b + ": No such file or directory");
  };
  weir::run(body(), one_worker);
}

TEST_CASE("paths: links of both kinds") {
  const test::scratch_directory dir;
  const std::string file = dir.containing("file", "text");
  const std::string hard = dir.name("hard");
  const std::string soft = dir.name("soft");
  const auto body = [&]() -> task<> {
    co_await weir::link(file, hard);
    co_await weir::symlink("file", soft);
    const weir::file_status one = co_await weir::stat(file);
    const weir::file_status other = co_await weir::stat(hard);
    CHECK(one.links == 2);
    CHECK(one.inode == other.inode);
    CHECK(one.device == other.device);
    const weir::file_status through = co_await weir::stat(soft);
    CHECK(through.inode == one.inode);
    const weir::file_status itself = co_await weir::stat(soft, weir::symlinks::keep);
    CHECK(itself.is_symlink());
    CHECK(itself.size == 4);  // the length of what it says
    const auto taken = co_await as_result(weir::link(file, hard));
    CHECK(sentence_of(taken) == "link " + file + " as " + hard + ": File exists");
    const auto taken_too = co_await as_result(weir::symlink("elsewhere", soft));
    CHECK(sentence_of(taken_too) == "symlink elsewhere as " + soft + ": File exists");
  };
  weir::run(body(), one_worker);
}

TEST_CASE("paths: directories") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const std::string deep = dir.name("x/y//z/");
  const std::string file = dir.containing("file", "text");
  const auto body = [&]() -> task<> {
    co_await weir::make_directory(dir.name("x"), 0700);
    const weir::file_status made = co_await weir::stat(dir.name("x"));
    CHECK(made.is_directory());
    CHECK(made.permissions == 0700);
    co_await weir::make_directories(deep);
    co_await weir::make_directories(deep);
    const weir::file_status innermost = co_await weir::stat(deep);
    CHECK(innermost.is_directory());
    co_await weir::sync_directory(deep);
    const auto twice = co_await as_result(weir::make_directory(dir.name("x")));
    CHECK(sentence_of(twice) == "make_directory " + dir.name("x") + ": File exists");
    const auto on_a_file = co_await as_result(weir::make_directories(file));
    CHECK(sentence_of(on_a_file) == "make_directory " + file + ": File exists");
    const auto below_a_file = co_await as_result(weir::make_directories(file + "/a/b"));
    CHECK(below_a_file.error() == std::errc::not_a_directory);
    const auto unnamed = co_await as_result(weir::make_directories(""));
    CHECK(sentence_of(unnamed) == "make_directory : No such file or directory");
    const auto full = co_await as_result(weir::remove_directory(dir.name("x")));
    CHECK(sentence_of(full) == "remove_directory " + dir.name("x") + ": Directory not empty");
    const auto no_file = co_await as_result(weir::unlink(deep));
    CHECK(no_file.error() == std::errc::is_a_directory);
    co_await weir::remove_directory(deep);
    const bool there = co_await is_there(deep);
    CHECK(!there);
    const auto synced = co_await as_result(weir::sync_directory(file));
    CHECK(sentence_of(synced) == "sync_directory " + file + ": Not a directory");
  };
  weir::run(body(), one_worker);
}

TEST_CASE("paths: what stat tells, of a path and of an open file") {
  const test::scratch_directory dir;
  const std::string path = dir.containing("file", "seven..");
  const auto body = [&]() -> task<> {
    struct stat by_the_kernel{};
    REQUIRE(::stat(path.c_str(), &by_the_kernel) == 0);
    const weir::file_status told = co_await weir::stat(path);
    CHECK(told.is_regular());
    CHECK(told.size == 7);
    CHECK(told.permissions == 0600);
    CHECK(told.inode == by_the_kernel.st_ino);
    CHECK(told.device == by_the_kernel.st_dev);
    CHECK(told.links == 1);
    CHECK(told.owner == by_the_kernel.st_uid);
    CHECK(told.allocated == static_cast<std::uint64_t>(by_the_kernel.st_blocks) * 512);
    CHECK(told.modified.time_since_epoch() ==
          std::chrono::seconds(by_the_kernel.st_mtim.tv_sec) + std::chrono::nanoseconds(by_the_kernel.st_mtim.tv_nsec));
    weir::file file = co_await weir::file::open(path);
    co_await weir::unlink(path);
    weir::file_status open = co_await file.status();
    CHECK(open.inode == told.inode);
    CHECK(open.links == 0);
    const auto missing = co_await as_result(weir::stat(path));
    CHECK(sentence_of(missing) == "stat " + path + ": No such file or directory");
    file.close();
    const auto closed = co_await as_result(file.status());
    CHECK(closed.error() == std::errc::bad_file_descriptor);
    const weir::file_status device = co_await weir::stat("/dev/null");
    CHECK(device.type == weir::file_type::character_device);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("paths: none is cut short at a zero byte") {
  const test::scratch_directory dir;
  const std::string file = dir.containing("file", "text");
  const std::string longer = file + std::string("\0.old", 5);
  const auto body = [&]() -> task<> {
    const auto unlinked = co_await as_result(weir::unlink(longer));
    CHECK(sentence_of(unlinked) == "unlink " + file + "\\0.old: Invalid argument");
    const auto renamed = co_await as_result(weir::rename(file, longer));
    CHECK(sentence_of(renamed) == "rename " + file + " to " + file + "\\0.old: Invalid argument");
    const auto looked_at = co_await as_result(weir::stat(longer));
    CHECK(sentence_of(looked_at) == "stat " + file + "\\0.old: Invalid argument");
    const bool there = co_await is_there(file);
    CHECK(there);
  };
  weir::run(body(), one_worker);
}

namespace {

/// How many jobs the offload pool gets by it.
std::uint64_t offloaded_by(const std::function<task<>()>& body) {
  std::uint64_t jobs = 0;
  const auto counted = [&]() -> task<> {
    co_await body();
    jobs = weir::counters().offload.jobs;
  };
  weir::run(counted(), one_worker);
  return jobs;
}

}  // namespace

TEST_CASE("paths: what the kernel's ring does not have goes to the offload pool") {
  if (!test::ring_is_default()) return skip("io_uring is not what runs here");
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    co_await weir::make_directory(dir.name("d"));
    const weir::file_status made = co_await weir::stat(dir.name("d"));
    CHECK(made.is_directory());
    co_await weir::rename(dir.name("d"), dir.name("e"));
    co_await weir::remove_directory(dir.name("e"));
  };
  const std::uint64_t here = offloaded_by(body);
  for (const test::kernel_version& version : test::older_kernels()) {
    CAPTURE(version.name);
    const test::pretended_kernel kernel(version.flags, ~0u, version.operations);
    const std::uint64_t jobs = offloaded_by(body);
    CHECK(jobs >= here);
    if (version.name == std::string("5.11")) CHECK(jobs >= 1);  // make_directory came in 5.15
  }
  const test::pretended_kernel silent(~0u, ~0u, 0);
  CHECK(offloaded_by(body) == 4);
}

TEST_CASE("paths: what waits for a thread of the pool is withdrawn when it is stopped, on a ring too") {
  const test::scratch_directory dir;
  const test::pretended_kernel silent(~0u, ~0u, 0);
  const auto body = [&]() -> task<> {
    int made = 0;
    int stopped = 0;
    weir::cancellation_source source;
    const auto making = [&](weir::task_group& group) -> task<> {
      for (int i = 0; i < 200; ++i) {
        group.spawn(
            [](std::string path, weir::cancellation_token token, int& done, int& not_done) -> task<> {
              const auto r = co_await as_result(weir::with_cancellation(token, weir::make_directory(path)));
              const bool there = co_await is_there(path);
              CHECK(there == r.has_value());
              ++(r.has_value() ? done : not_done);
            },
            dir.name(std::to_string(i)), source.token(), std::ref(made), std::ref(stopped));
      }
      co_await weir::yield();
      source.request_cancellation();
      co_await group.join();
    };
    co_await weir::with_task_group(making);
    CHECK(made + stopped == 200);
    CHECK(stopped > 0);
  };
  weir::run(body(), {.workers = 1, .offload_threads = 1});
}
