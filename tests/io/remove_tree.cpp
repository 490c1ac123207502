#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <weir/io/remove_tree.hpp>
#include <weir/io/temporary_directory.hpp>

#include "../skip.hpp"
#include "files.hpp"
#include "open_descriptors.hpp"

namespace {

using test::sentence_of;
using weir::as_result;
using weir::task;
using weir::temporary_directory;
namespace fs = std::filesystem;

constexpr weir::runtime_options one_worker{.workers = 1};

bool exists(const std::string& path) { return fs::exists(fs::symlink_status(path)); }

/// So many files, in directories that are `depth` deep; how many names that are.
std::uint64_t fill(const std::string& path, int files, int depth) {
  std::uint64_t names = 1;
  fs::create_directory(path);
  for (int i = 0; i < files; ++i, ++names) {
    const int number = ::open((path + "/" + std::to_string(i)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ::close(number);
  }
  if (depth > 0) names += fill(path + "/inner", files, depth - 1);
  return names;
}

}  // namespace

TEST_CASE("remove_tree: a tree, a file, a link and nothing") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    const std::uint64_t names = fill(dir.name("tree"), 300, 3);
    std::uint64_t removed = co_await weir::remove_tree(dir.name("tree"));
    CHECK(removed == names);
    CHECK(!exists(dir.name("tree")));
    removed = co_await weir::remove_tree(dir.containing("file", "text"));
    CHECK(removed == 1);
    removed = co_await weir::remove_tree(dir.name("nothing"));
    CHECK(removed == 0);
    removed = co_await weir::remove_tree(dir.name("no/thing"));
    CHECK(removed == 0);
    // A deep one, and a slash at the end.
    fill(dir.name("deep"), 0, 200);
    removed = co_await weir::remove_tree(dir.name("deep/"));
    CHECK(removed == 201);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("remove_tree: links are removed, what they lead to stays") {
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    fill(dir.name("kept"), 3, 0);
    fill(dir.name("tree"), 1, 0);
    fs::create_symlink(dir.name("kept"), dir.name("tree/link"));
    fs::create_symlink("nowhere", dir.name("tree/dangling"));
    fs::create_symlink("..", dir.name("tree/up"));
    fs::create_symlink(dir.name("kept"), dir.name("link"));
    std::uint64_t removed = co_await weir::remove_tree(dir.name("tree"));
    CHECK(removed == 5);
    removed = co_await weir::remove_tree(dir.name("link/"));
    CHECK(removed == 1);
    CHECK(!exists(dir.name("link")));
    CHECK(exists(dir.name("kept/2")));
  };
  weir::run(body(), one_worker);
}

TEST_CASE("remove_tree: somebody who puts links in the place of directories leads nothing astray") {
  const test::scratch_directory dir;
  fill(dir.name("kept"), 20, 0);
  std::atomic<bool> end{false};
  std::thread attacker([&] {
    const std::string place = dir.name("tree/inner");
    while (!end.load()) {
      std::error_code ignored;
      fs::create_directory(place, ignored);
      fs::rename(place, dir.name("tree/away"), ignored);
      fs::create_symlink(dir.name("kept"), place, ignored);
      fs::remove(place, ignored);
    }
  });
  const auto body = [&]() -> task<> {
    for (int round = 0; round < test::scaled(200, 50); ++round) {
      std::error_code ignored;
      fs::create_directory(dir.name("tree"), ignored);
      for (int i = 0; i < 20; ++i) fs::create_directories(dir.name("tree/inner/" + std::to_string(i)), ignored);
      auto removed = co_await as_result(weir::remove_tree(dir.name("tree")));
      if (!removed.has_value()) {
        CHECK((removed.error() == std::errc::directory_not_empty || removed.error() == std::errc::not_a_directory));
      }
    }
  };
  weir::run(body(), one_worker);
  end.store(true);
  attacker.join();
  CHECK(std::distance(fs::directory_iterator(dir.name("kept")), {}) == 20);
}

TEST_CASE("remove_tree: the path that could not be removed is in the sentence") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    auto refused = co_await as_result(weir::remove_tree(dir.name("a/..")));
    CHECK(sentence_of(refused) == fmt::format("remove_tree {0} (remove {0}): Invalid argument", dir.name("a/..")));
    refused = co_await as_result(weir::remove_tree("/"));
    CHECK(refused.error() == std::errc::invalid_argument);
    refused = co_await as_result(weir::remove_tree("/proc/self/limits"));
    CHECK(!refused.has_value());
    refused = co_await as_result(weir::remove_tree(dir.containing("file", "") + "/below"));
    CHECK(refused.error() == std::errc::not_a_directory);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("remove_tree: what may not be written to is told") {
  if (::geteuid() == 0) return skip("needs a user who is not root");
  const test::scratch_directory dir;
  fill(dir.name("tree"), 2, 1);
  ::chmod(dir.name("tree/inner").c_str(), 0500);
  const auto body = [&]() -> task<> {
    auto refused = co_await as_result(weir::remove_tree(dir.name("tree")));
    CHECK(refused.error() == std::errc::permission_denied);
    CHECK(sentence_of(refused).starts_with(fmt::format("remove_tree {0} (remove {0}/inner/", dir.name("tree"))));
  };
  weir::run(body(), one_worker);
  ::chmod(dir.name("tree/inner").c_str(), 0700);
}

TEST_CASE("temporary_directory: is nobody else's, and goes with its object") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    std::string path;
    {
      temporary_directory made = co_await temporary_directory::make(dir.path());
      path = made.path();
      struct stat status{};
      CHECK(::stat(path.c_str(), &status) == 0);
      CHECK((status.st_mode & 07777) == 0700);
      fill(made.path_of("a"), 5, 2);
      temporary_directory moved = std::move(made);
      CHECK(made.path().empty());
      CHECK(exists(path));
      temporary_directory other = co_await temporary_directory::make(dir.path());
      CHECK(other.path() != path);
      const std::string its_path = other.path();
      other = std::move(moved);
      CHECK(!exists(its_path));
      CHECK(exists(path));
    }
    CHECK(!exists(path));
    temporary_directory removed = co_await temporary_directory::make(dir.path());
    path = removed.path();
    const std::uint64_t names = co_await removed.remove();
    CHECK(names == 1);
    CHECK(!exists(path));
    std::string kept = (co_await temporary_directory::make(dir.path())).keep();
    CHECK(exists(kept));
    auto refused = co_await as_result(temporary_directory::make(dir.name("none")));
    CHECK(refused.error() == std::errc::no_such_file_or_directory);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("remove_tree: not in a simulation, nor temporary directories") {
  const auto body = []() -> task<> {
    auto refused = co_await as_result(weir::remove_tree("/tmp/weir-nothing"));
    CHECK(sentence_of(refused) == "remove_tree /tmp/weir-nothing: Operation not supported");
    auto none = co_await as_result(temporary_directory::make());
    CHECK(none.error() == std::errc::not_supported);
  };
  weir::simulation world;
  world.run(body());
}
