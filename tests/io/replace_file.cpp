#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <weir/io/replace_file.hpp>
#include <weir/runtime/detail/run_queue.hpp>

#include "files.hpp"
#include "open_descriptors.hpp"

using namespace std::chrono_literals;

namespace {

using test::sentence_of;
using weir::as_result;
using weir::task;

constexpr weir::runtime_options one_worker{.workers = 1};

std::span<const std::byte> of(std::string_view text) { return std::as_bytes(std::span(text)); }

task<std::string> text_in(std::string path) {
  weir::file from = co_await weir::file::open(std::move(path));
  co_return co_await test::read_text(from);
}

std::ptrdiff_t files_in(const std::string& directory) {
  return std::distance(std::filesystem::directory_iterator(directory), std::filesystem::directory_iterator());
}

unsigned permissions_of(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777u : 0;
}

}  // namespace

TEST_CASE("replace_file: a new file, and one in the place of another") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const std::string path = dir.name("f");
  const auto body = [&]() -> task<> {
    co_await weir::replace_file(path, of("first"));
    std::string text = co_await text_in(path);
    CHECK(text == "first");
    const mode_t mask = ::umask(0);
    ::umask(mask);
    CHECK(permissions_of(path) == (0666u & ~mask));
    weir::file old = co_await weir::file::open(path);
    co_await old.set_permissions(0606);
    co_await weir::replace_file(path, of("second"), {.sync = false});
    text = co_await text_in(path);
    CHECK(text == "second");
    CHECK(permissions_of(path) == 0606);
    text = co_await test::read_text(old);
    CHECK(text == "first");
    co_await weir::replace_file(path, of(""), {.permissions = 0640});
    CHECK(permissions_of(path) == 0640);
    CHECK(std::filesystem::file_size(path) == 0);
    CHECK(files_in(dir.path()) == 1);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("replace_file: what fails says at which step, and leaves nothing behind") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  std::filesystem::create_directory(dir.name("d"));
  const auto body = [&]() -> task<> {
    const auto nowhere = co_await as_result(weir::replace_file(dir.name("missing/f"), of("x")));
    CHECK(nowhere.error() == std::errc::no_such_file_or_directory);
    CHECK(sentence_of(nowhere).starts_with("replace_file " + dir.name("missing/f") + " (open " +
                                           dir.name("missing/.weir-")));
    const auto directory = co_await as_result(weir::replace_file(dir.name("d"), of("x")));
    CHECK(sentence_of(directory).starts_with("replace_file " + dir.name("d") + " (rename " + dir.name(".weir-")));
    CHECK(sentence_of(directory).ends_with(" to " + dir.name("d") + "): Is a directory"));
    CHECK(files_in(dir.path()) == 1);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("replace_file: stopped at any moment, it is the whole old file or the whole new one") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const std::string path = dir.containing("f", "old");
  int replaced = 0;
  int stopped = 0;
  for (int i = 0; i < test::scaled(200, 60); ++i) {
    const auto body = [&, i]() -> task<> {
      weir::cancellation_source source;
      const auto replaces = [&]() -> task<bool> {
        const auto r = co_await as_result(
            weir::with_cancellation(source.token(), weir::replace_file(path, of("newer"), {.sync = i % 2 == 0})));
        co_return r.has_value();
      };
      auto running = weir::spawn(replaces());
      for (int n = 0; n < i % 50 * 8; ++n) co_await weir::yield();
      source.request_cancellation();
      const bool done = co_await running.join();
      ++(done ? replaced : stopped);
      const std::string text = co_await text_in(path);
      CHECK(text == (done ? "newer" : "old"));
      CHECK(files_in(dir.path()) == 1);
      if (done) co_await weir::replace_file(path, of("old"), {.sync = false});
    };
    weir::run(body(), one_worker);
  }
  CHECK(stopped > 0);
  CHECK(replaced + stopped == test::scaled(200, 60));
}

namespace {

/// The file is `old` or `news`; there is room for another of the biggest size beside it, so no other is left.
task<> check_disk(std::string old, std::string news) {
  const std::string text = co_await text_in("dir/f");
  if (text != old && text != news) throw std::runtime_error("half a file: " + text);
  const std::string rest(60 - text.size(), 'x');
  co_await weir::replace_file("dir/f", of(rest));
}

}  // namespace

TEST_CASE("replace_file: in a simulation, stopped when the seed says, on a disk that may be full") {
  int stopped = 0;
  int full = 0;
  int replaced = 0;
  const auto body = [&](weir::simulation& world) -> task<> {
    co_await weir::replace_file("dir/f", of("twenty bytes of text"));
    weir::detail::random_numbers dice(world.seed());
    const bool fits = dice.below(2) == 0;
    const std::string news(fits ? 30 : 50, 'n');
    const auto r = co_await as_result(
        weir::with_timeout(std::chrono::microseconds(dice.below(3000)), weir::replace_file("dir/f", of(news))));
    replaced += r.has_value();
    stopped += r.error() == std::errc::timed_out;
    full += r.error() == std::errc::no_space_on_device;
    if (r.has_value() && !fits) throw std::runtime_error("it did not fit");
    co_await check_disk("twenty bytes of text", news);
    if (world.open_descriptors() != 0) throw std::runtime_error("descriptors stay open");
  };
  weir::explore(test::scaled(200, 60), body, {.files = {.capacity = 60}});
  CHECK(replaced > 0);
  CHECK(stopped > 0);
  CHECK(full > 0);
}

TEST_CASE("replace_file: in a simulation, on a disk with errors") {
  int failed = 0;
  const auto body = [&](weir::simulation& world) -> task<> {
    co_await weir::replace_file("f", of("old"));
    world.files().error = 0.2;
    const auto r = co_await as_result(weir::replace_file("f", of("newer")));
    world.files().error = 0;
    failed += !r.has_value();
    const std::string text = co_await text_in("f");
    const bool last_step = sentence_of(r) == "replace_file f (sync_directory .): Input/output error";
    if (text != (r.has_value() || last_step ? "newer" : "old")) throw std::runtime_error("it is " + text);
  };
  weir::explore(100, body);
  CHECK(failed > 20);
  CHECK(failed < 90);
}

TEST_CASE("temporary files have no name, and are gone when they are closed") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::temporary(dir.path());
    CHECK(file.name() == "a temporary file in " + dir.path());
    co_await file.write_all(of("text"));
    file.set_position(0);
    const std::string text = co_await test::read_text(file);
    CHECK(text == "text");
    const weir::file_status status = co_await file.status();
    CHECK(status.links == 0);
    CHECK(status.permissions == 0600);
    CHECK(files_in(dir.path()) == 0);
    const auto nowhere = co_await as_result(weir::file::temporary(dir.name("missing")));
    CHECK(sentence_of(nowhere) == "open " + dir.name("missing") + ": No such file or directory");
  };
  weir::run(body(), one_worker);
}

TEST_CASE("temporary files where the disk knows only files with names, as in a simulation") {
  const auto body = []() -> task<> {
    weir::file file = co_await weir::file::temporary();
    co_await file.write_all(of("text"));
    CHECK(file.size() == 4);
    const auto full = co_await as_result(file.write_all(of("more text than there is room for")));
    CHECK(full.error() == std::errc::no_space_on_device);
    file.close();
    co_await weir::replace_file("f", of("again."));
  };
  weir::simulation world({.seed = 1, .files = {.capacity = 6}});
  world.run(body());
}
