#include <doctest/doctest.h>

#include <weir/weir.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "files.hpp"
#include "sockets.hpp"

// Files in a simulation: in memory, with the answers and the errors of real ones.

using namespace std::chrono_literals;
using test::read_text;
using test::text_of;
using test::why_not;
using test::write_text;
using weir::as_result;
using weir::file;
using weir::file_mode;
using weir::task;

namespace {

constexpr file_mode fresh = file_mode::write | file_mode::create | file_mode::truncate;

template <class F>
void for_seeds(F main, weir::simulation_options options = {}, std::uint64_t seeds = 20) {
  const auto checked = [&](weir::simulation& world) -> task<> {
    co_await main();
    if (world.open_descriptors() != 0) throw std::runtime_error("descriptors stay open");
  };
  weir::explore(seeds, checked, options);
}

task<> make(std::string path, std::string_view text) {
  auto made = co_await file::open(std::move(path), fresh);
  co_await write_text(made, text);
}

task<std::string> content(std::string path) {
  auto from = co_await file::open(std::move(path));
  std::string text;
  for (;;) {
    const std::string part = co_await read_text(from);
    if (part.empty()) break;
    text += part;
  }
  co_return text;
}

template <class T>
int error_of(const weir::result<T>& r) {
  return r.has_value() ? 0 : r.error().value();
}

}  // namespace

TEST_CASE("simulated files: they begin empty, and what is written can be read") {
  for_seeds([]() -> task<> {
    const std::string missing = co_await why_not("/etc/passwd", file_mode::read);
    CHECK(missing == "open /etc/passwd: No such file or directory");
    co_await make("notes", "one two three");
    const std::string all = co_await content("notes");
    CHECK(all == "one two three");
    auto notes = co_await file::open("notes", file_mode::read_write);
    CHECK(notes.size() == 13);
    std::array<std::byte, 3> three;
    std::size_t n = co_await notes.read_at(three, 4);
    CHECK(n == 3);
    CHECK(text_of(three) == "two");
    CHECK(notes.position() == 0);
    n = co_await notes.read_at(three, 13);
    CHECK(n == 0);
    co_await write_text(notes, "ONE");
    CHECK(notes.position() == 3);
    notes.set_position(8);
    const std::string last = co_await read_text(notes);
    CHECK(last == "three");
    n = co_await notes.write_at(three, 15);
    CHECK(n == 3);
    CHECK(notes.size() == 18);
    co_await notes.sync();
    co_await notes.sync_data();
    const std::string now = co_await content("notes");
    CHECK(now == std::string("ONE two three\0\0two", 18));
  });
}

TEST_CASE("simulated files: modes") {
  for_seeds([]() -> task<> {
    co_await make("log", "12345");
    {
      auto log = co_await file::open("log", file_mode::append);
      co_await write_text(log, "67");
      auto other = co_await file::open("log", file_mode::append);
      co_await write_text(other, "89");
      co_await write_text(log, "0");
      std::array<std::byte, 1> one;
      auto r = co_await as_result(log.read_some(one));
      CHECK(error_of(r) == EBADF);
    }
    std::string text = co_await content("log");
    CHECK(text == "1234567890");
    {
      auto read_only = co_await file::open("log");
      auto r = co_await as_result(read_only.write_at(std::as_bytes(std::span("x")), 0));
      CHECK(error_of(r) == EBADF);
    }
    const std::string there = co_await why_not("log", file_mode::write | file_mode::exclusive);
    CHECK(there == "open log: File exists");
    co_await make("log", "");
    text = co_await content("log");
    CHECK(text.empty());
    auto exclusive = co_await file::open("lock", file_mode::write | file_mode::exclusive);
    CHECK(exclusive.size() == 0);
  });
}

TEST_CASE("simulated files: a directory is there when a file is in it") {
  for_seeds([]() -> task<> {
    co_await make("data/a/1", "x");
    std::string why = co_await why_not("data/a", file_mode::read);
    CHECK(why == "open data/a: Is a directory");
    why = co_await why_not("data/a/1/2", file_mode::read);
    CHECK(why == "open data/a/1/2: Not a directory");
    why = co_await why_not("data/b", file_mode::read);
    CHECK(why == "open data/b: No such file or directory");
    why = co_await why_not("", file_mode::read);
    CHECK(why == "open : No such file or directory");
  });
}

TEST_CASE("simulated files: operations take their time, and those of different files overlap") {
  for_seeds(
      []() -> task<> {
        const weir::time_point begin = weir::now();
        co_await weir::when_all(make("a", "x"), make("b", "y"), make("c", "z"));
        CHECK(weir::now() - begin == 20ms);
      },
      {.files = {.latency = 10ms, .jitter = 0ms}});
}

TEST_CASE("simulated files: short reads and writes") {
  int short_reads = 0;
  int short_writes = 0;
  for_seeds(
      [&]() -> task<> {
        std::vector<std::byte> bytes(1000);
        test::fill_pattern(bytes);
        auto to = co_await file::open("f", fresh);
        const std::size_t written = co_await to.write_some(bytes);
        short_writes += written < 1000;
        co_await to.write_all(std::span(bytes).subspan(written));
        auto from = co_await file::open("f");
        std::vector<std::byte> got(1000);
        std::size_t n = 0;
        while (n < 1000) {
          const std::size_t more = co_await from.read_some(std::span(got).subspan(n));
          short_reads += more < 1000 - n;
          n += more;
        }
        CHECK(got == bytes);
      },
      {.files = {.partial = 0.5}}, 50);
  CHECK(short_reads > 10);
  CHECK(short_writes > 10);
}

TEST_CASE("simulated files: a full disk") {
  for_seeds(
      []() -> task<> {
        co_await make("a", "123456");
        auto b = co_await file::open("b", fresh);
        std::array<std::byte, 6> six{};
        const std::size_t n = co_await b.write_some(six);
        CHECK(n == 4);
        auto full = co_await as_result(b.write_all(six));
        CHECK(test::sentence_of(full) == "write_all b: No space left on device");
        auto hole = co_await as_result(b.write_at(six, 100));
        CHECK(error_of(hole) == ENOSPC);
        const std::size_t over = co_await b.write_at(six, 0);
        CHECK(over == 4);
        co_await make("a", "1");  // makes room
        co_await b.write_all(std::span(six).first(5));
        CHECK(b.size() == 9);
      },
      {.files = {.capacity = 10}});
}

TEST_CASE("simulated files: errors come and go") {
  weir::simulation world({.seed = 3});
  auto program = [&]() -> task<> {
    co_await make("f", "123");
    auto f = co_await file::open("f", file_mode::read_write);
    world.files().error = 1;
    std::array<std::byte, 3> three;
    auto read = co_await as_result(f.read_at(three, 0));
    CHECK(test::sentence_of(read) == "read f: Input/output error");
    auto written = co_await as_result(f.write_at(three, 0));
    CHECK(error_of(written) == EIO);
    auto synced = co_await as_result(f.sync());
    CHECK(error_of(synced) == EIO);
    world.files().error = 0;
    const std::size_t n = co_await f.read_at(three, 0);
    CHECK(n == 3);
    world.files().error = 0.5;
    int failed = 0;
    for (int i = 0; i < 100; ++i) {
      auto r = co_await as_result(f.sync());
      failed += !r.has_value();
    }
    CHECK(failed > 25);
    CHECK(failed < 75);
  };
  world.run(program());
}

TEST_CASE("simulated files: a released number can be adopted, with its position") {
  for_seeds([]() -> task<> {
    co_await make("f", "12345");
    auto f = co_await file::open("f");
    std::array<std::byte, 2> two;
    const std::size_t n = co_await f.read_some(two);
    CHECK(n == 2);
    auto again = file::adopt(f.release(), "again");
    const std::string rest = co_await read_text(again);
    CHECK(rest == "345");
  });
}

TEST_CASE("simulated files: offsets that no file reaches") {
  for_seeds([]() -> task<> {
    auto f = co_await file::open("f", fresh);
    std::array<std::byte, 2> two{};
    const std::uint64_t beyond = std::uint64_t{1} << 40;
    auto r = co_await as_result(f.write_at(two, beyond));
    CHECK(error_of(r) == EFBIG);
  });
}
