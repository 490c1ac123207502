#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <weir/io/directory.hpp>

#include "files.hpp"
#include "open_descriptors.hpp"

namespace {

using test::sentence_of;
using weir::as_result;
using weir::task;
using weir::walk_options;
using names = std::vector<std::string>;

constexpr weir::runtime_options one_worker{.workers = 1};

/// What a walk finds, sorted: "depth path", below the directory of the test, and "!" where there is an error.
task<names> walked(const test::scratch_directory& dir, std::string below, walk_options options) {
  names found;
  auto tree = weir::walk_directory(dir.path() + below, options);
  while (auto entry = co_await tree.next()) {
    found.push_back(std::to_string(entry->depth) + " " + entry->path.substr(dir.path().size() + 1) +
                    (entry->error ? "!" : ""));
  }
  std::sort(found.begin(), found.end());
  co_return found;
}

void make_tree(const test::scratch_directory& dir) {
  std::filesystem::create_directories(dir.name("a/b/c"));
  std::filesystem::create_directories(dir.name("empty"));
  static_cast<void>(dir.containing("a/1", "x"));
  static_cast<void>(dir.containing("a/b/c/2", "x"));
}

}  // namespace

TEST_CASE("directory: its entries, with their types") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const std::string file = dir.containing("file", "text");
  static_cast<void>(dir.fifo("fifo"));
  std::filesystem::create_directory(dir.name("directory"));
  std::filesystem::create_symlink("nowhere", dir.name("link"));
  const auto body = [&]() -> task<> {
    std::vector<std::pair<std::string, weir::file_type>> found;
    auto entries = weir::list_directory(dir.path());
    while (auto entry = co_await entries.next()) {
      found.emplace_back(entry->name, entry->type);
      struct stat status{};
      CHECK(::lstat(dir.name(entry->name).c_str(), &status) == 0);
      CHECK(status.st_ino == entry->inode);
    }
    std::sort(found.begin(), found.end());
    using enum weir::file_type;
    CHECK(found == decltype(found){{"directory", directory}, {"fifo", fifo}, {"file", regular}, {"link", symlink}});
    const auto after = co_await entries.next();
    CHECK(!after);

    auto no_directory = weir::list_directory(file);
    const auto refused = co_await as_result(no_directory.next());
    CHECK(sentence_of(refused) == "read_directory " + file + ": Not a directory");
    auto missing = weir::list_directory(dir.name("missing"));
    const auto failed = co_await as_result(missing.next());
    CHECK(sentence_of(failed) == "read_directory " + dir.name("missing") + ": No such file or directory");
    const std::string cut = dir.path() + std::string("\0x", 2);
    auto cut_short = weir::list_directory(cut);
    const auto invalid = co_await as_result(cut_short.next());
    CHECK(sentence_of(invalid) == "read_directory " + dir.path() + "\\0x: Invalid argument");
  };
  weir::run(body(), one_worker);
}

TEST_CASE("directory: more entries than a batch holds; one that is dropped closes it") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  std::set<std::string> made;
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "a file with a long name " + std::to_string(i);
    made.insert(name);
    REQUIRE(::mknod(dir.name(name).c_str(), S_IFREG | 0600, 0) == 0);
  }
  const auto body = [&]() -> task<> {
    std::size_t count = 0;
    std::set<std::string> found;
    auto entries = weir::list_directory(dir.path());
    while (auto entry = co_await entries.next()) {
      ++count;
      found.insert(entry->name);
    }
    CHECK(count == 1000);
    CHECK(found == made);
    auto dropped = weir::list_directory(dir.path());
    const auto first = co_await dropped.next();
    CHECK(made.contains(first->name));
  };
  weir::run(body(), one_worker);
}

TEST_CASE("directory: a walk goes down as far as it may") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  make_tree(dir);
  const auto body = [&]() -> task<> {
    constexpr walk_options plainly;
    names found = co_await walked(dir, "", plainly);
    CHECK(found == names{"0 a", "0 empty", "1 a/1", "1 a/b", "2 a/b/c", "3 a/b/c/2"});
    found = co_await walked(dir, "", {.max_depth = 1});
    CHECK(found == names{"0 a", "0 empty", "1 a/1", "1 a/b"});
    found = co_await walked(dir, "/a/", {.max_depth = 0});
    CHECK(found == names{"0 a/1", "0 a/b"});
    auto tree = weir::walk_directory(dir.name("a/b"));
    std::string last;
    while (auto entry = co_await tree.next()) last = entry->name();
    CHECK(last == "2");
    auto missing = weir::walk_directory(dir.name("missing"), {.errors = weir::walk_errors::report});
    const auto failed = co_await as_result(missing.next());
    CHECK(sentence_of(failed) == "read_directory " + dir.name("missing") + ": No such file or directory");
  };
  weir::run(body(), one_worker);
}

TEST_CASE("directory: a walk follows symbolic links only when it is told, and not in circles") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  make_tree(dir);
  std::filesystem::create_symlink("../empty", dir.name("a/to-empty"));
  std::filesystem::create_symlink("nowhere", dir.name("a/to-nowhere"));
  std::filesystem::create_symlink("1", dir.name("a/to-1"));
  const auto body = [&]() -> task<> {
    names found = co_await walked(dir, "/a", {.max_depth = 0});
    CHECK(found == names{"0 a/1", "0 a/b", "0 a/to-1", "0 a/to-empty", "0 a/to-nowhere"});
    static_cast<void>(dir.containing("empty/3", "x"));
    found = co_await walked(dir, "/a", {.links = weir::symlinks::follow});
    CHECK(found == names{"0 a/1", "0 a/b", "0 a/to-1", "0 a/to-empty", "0 a/to-nowhere", "1 a/b/c", "1 a/to-empty/3",
                         "2 a/b/c/2"});
    std::filesystem::create_symlink("../..", dir.name("a/b/up"));
    constexpr walk_options plainly;
    found = co_await walked(dir, "/a/b", plainly);
    CHECK(found == names{"0 a/b/c", "0 a/b/up", "1 a/b/c/2"});
    // Not to itself but around: by way of the directory of the test it comes to b again.
    found = co_await walked(dir, "/a/b", {.links = weir::symlinks::follow, .errors = weir::walk_errors::report});
    CHECK(std::find(found.begin(), found.end(), "2 a/b/up/a/b!") != found.end());
    const auto failed = co_await as_result(walked(dir, "/a/b", {.links = weir::symlinks::follow}));
    CHECK(sentence_of(failed) == "read_directory " + dir.name("a/b/up/a/b") + ": Too many levels of symbolic links");
  };
  weir::run(body(), one_worker);
}

TEST_CASE("directory: one that goes away while the walk comes to it is reported") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  std::filesystem::create_directory(dir.name("a"));
  for (const bool reported : {true, false}) {
    const auto body = [&]() -> task<> {
      std::filesystem::create_directory(dir.name("a"));
      const auto errors = reported ? weir::walk_errors::report : weir::walk_errors::fail;
      auto tree = weir::walk_directory(dir.path(), {.errors = errors});
      auto entry = co_await tree.next();
      CHECK(entry->path == dir.name("a"));
      CHECK(!entry->error);
      std::filesystem::remove(dir.name("a"));
      const auto gone = co_await as_result(tree.next());
      CHECK(gone.has_value() == reported);
      if (!reported) {
        CHECK(sentence_of(gone) == "read_directory " + dir.name("a") + ": No such file or directory");
        co_return;
      }
      CHECK((*gone)->error == std::errc::no_such_file_or_directory);
      CHECK((*gone)->depth == 0);
      entry = co_await tree.next();
      CHECK(!entry);
    };
    weir::run(body(), one_worker);
  }
}

TEST_CASE("directory: not in a simulation") {
  const auto body = []() -> task<> {
    auto entries = weir::list_directory("/tmp");
    const auto refused = co_await as_result(entries.next());
    CHECK(refused.error() == std::errc::not_supported);
  };
  weir::simulation world;
  world.run(body());
}
