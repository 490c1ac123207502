#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files.hpp"
#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"

namespace {

using test::sentence_of;
using test::text_of;
using weir::as_result;
using weir::task;
using bytes = std::span<const std::byte>;

constexpr weir::runtime_options one_worker{.workers = 1};
constexpr weir::file_mode fresh = weir::file_mode::read_write | weir::file_mode::create | weir::file_mode::truncate;

bytes of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// `count` pieces of different sizes, some of them empty, that hold the pattern when put together.
struct pieces {
  explicit pieces(std::size_t count) : whole(count * (count - 1) / 2) {
    test::fill_pattern(whole);
    for (std::size_t i = 0, at = 0; i < count; at += i++) {
      to_write.push_back(whole.span().subspan(at, i));
      to_read.push_back(whole.span().subspan(at, i));
    }
  }
  test::guarded_buffer whole;
  std::vector<std::span<const std::byte>> to_write;
  std::vector<std::span<std::byte>> to_read;
};

}  // namespace

TEST_CASE("file parts: several buffers are read and written as one") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh);
    const std::array from = {of("one "), of(""), of("two "), of("three")};
    std::size_t n = co_await file.write_some(from);
    CHECK(n == 13);
    CHECK(file.position() == 13);
    CHECK(file.bytes_written() == 13);
    const std::array over = {of("T"), of("WO")};
    n = co_await file.write_at(over, 4);
    CHECK(n == 3);
    CHECK(file.position() == 13);

    test::guarded_buffer first(5);
    test::guarded_buffer second(100);
    const std::array<std::span<std::byte>, 3> into = {first.span(), std::span<std::byte>(), second.span()};
    n = co_await file.read_at(into, 0);
    CHECK(n == 13);
    CHECK(text_of(first) == "one T");
    CHECK(text_of(second.first(8)) == "WO three");
    file.set_position(8);
    n = co_await file.read_some(into);
    CHECK(n == 5);
    CHECK(text_of(first) == "three");
    CHECK(file.position() == 13);
    n = co_await file.read_some(into);
    CHECK(n == 0);
    co_await file.write_all_at(of("!"), 13);
    co_await file.write_all_at(over, 14);
    n = co_await file.read_at(into, 9);
    CHECK(text_of(first) == "hree!");
    CHECK(text_of(second.first(n - 5)) == "TWO");
  };
  weir::run(body(), one_worker);
}

TEST_CASE("file parts: more buffers than one call takes") {
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    const pieces sent(60);
    weir::file file = co_await weir::file::open(dir.name("f"), fresh);
    std::size_t n = co_await file.write_at(sent.to_write, 0);
    CHECK(n == 16 * 17 / 2);  // without the empty one
    co_await file.write_all(sent.to_write);
    CHECK(file.bytes_written() == sent.whole.size());
    CHECK(file.position() == sent.whole.size());
    CHECK(file.size() == sent.whole.size());
    test::guarded_buffer back(sent.whole.size());
    n = co_await file.read_at(back, 0);
    CHECK(n == back.size());
    CHECK(test::is_pattern(back));

    const pieces got(60);
    std::memset(got.whole.data(), 0, got.whole.size());
    file.set_position(0);
    n = co_await file.read_some(got.to_read);
    CHECK(n == 16 * 17 / 2);
    CHECK(test::is_pattern(got.whole.first(n)));
    CHECK(got.whole[n] == std::byte{0});
  };
  weir::run(body(), one_worker);
}

TEST_CASE("file parts: through a pipe that takes a part at a time, opened here or adopted") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  for (const bool adopted : {false, true}) {
    CAPTURE(adopted);
    const std::string path = dir.fifo(adopted ? "adopted" : "opened");
    const auto body = [&]() -> task<> {
      weir::file to = co_await weir::file::open(path, weir::file_mode::read_write);
      weir::file from = co_await weir::file::open(path);
      if (adopted) {
        to = weir::file::adopt(to.release(), "the pipe");
        from = weir::file::adopt(from.release(), "the pipe");
      }
      const pieces sent(600);  // more than a pipe holds
      std::size_t total = 0;
      const auto reads = [&]() -> task<> {
        const test::guarded_buffer got(6000);
        const std::array<std::span<std::byte>, 3> into = {got.first(0), got.first(1000), got.last_from(1000)};
        while (total < sent.whole.size()) {
          const std::size_t n = co_await from.read_some(into);
          CHECK(n > 0);
          CHECK(test::is_pattern(got.first(n), total));
          total += n;
        }
      };
      co_await weir::when_all(to.write_all(sent.to_write), reads());
      CHECK(to.bytes_written() == sent.whole.size());
      CHECK(total == sent.whole.size());
    };
    weir::run(body(), one_worker);
  }
}

TEST_CASE("file parts: nothing to move, and what cannot be moved") {
  const test::scratch_directory dir;
  const std::string path = dir.containing("f", "text");
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(path);
    const std::span<const std::span<std::byte>> none;
    std::size_t n = co_await file.read_some(none);
    CHECK(n == 0);
    const std::array<std::span<std::byte>, 2> empty{};
    n = co_await file.read_at(empty, 2);
    CHECK(n == 0);
    const std::array some = {of("some")};
    const auto unwritable = co_await as_result(file.write_all(some));
    CHECK(sentence_of(unwritable) == "write_all " + path + ": Bad file descriptor");
    const auto far = co_await as_result(file.write_at(some, std::uint64_t(-1)));
    CHECK(far.error() == std::errc::invalid_argument);
    file.close();
    const auto closed = co_await as_result(file.write_some(some));
    CHECK(closed.error() == std::errc::bad_file_descriptor);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("file parts: in a simulation, with short transfers and a full disk") {
  const auto body = []() -> task<> {
    const pieces sent(20);
    weir::file file = co_await weir::file::open("f", fresh);
    co_await file.write_all(sent.to_write);
    test::guarded_buffer back(sent.whole.size());
    std::size_t done = 0;
    while (done < back.size()) {
      const std::array<std::span<std::byte>, 2> into = {back.last_from(done).first(1), back.last_from(done + 1)};
      done += co_await file.read_at(into, done);
    }
    CHECK(test::is_pattern(back));
    const auto full = co_await as_result(file.write_all(sent.to_write));
    CHECK(full.error() == std::errc::no_space_on_device);
    CHECK(file.bytes_written() == 10);
  };
  weir::explore(20, [&](weir::simulation&) -> task<> { return body(); }, {.files = {.partial = 0.5, .capacity = 200}});
}
