#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "files.hpp"
#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"

// weir::file for what has no offsets: pipes, FIFOs and devices.

namespace {

constexpr weir::runtime_options one_worker{.workers = 1};

using test::read_text;
using test::why_not;
using test::write_text;

/// Both ends of a pipe, blocking as the shell gives them.
struct pipe_ends {
  explicit pipe_ends(int flags = 0) {
    std::array<int, 2> both{};
    REQUIRE(::pipe2(both.data(), O_CLOEXEC | flags) == 0);
    out = weir::file::adopt(both[0], "pipe");
    in = weir::file::adopt(both[1], "pipe");
  }
  weir::file out;
  weir::file in;
};

}  // namespace

TEST_CASE("file: a device that is full, and one that never ends") {
  weir::run(
      []() -> weir::task<> {
        weir::file full = co_await weir::file::open("/dev/full", weir::file_mode::write);
        const std::string_view x = "x";
        const auto r = co_await weir::as_result(full.write_all(std::as_bytes(std::span(x))));
        CHECK(test::sentence_of(r) == "write_all /dev/full: No space left on device");
        weir::file zero = co_await weir::file::open("/dev/zero");
        const std::string zeros = co_await read_text(zero, 10);
        CHECK(zeros == std::string(10, '\0'));
        weir::file null = co_await weir::file::open("/dev/null", weir::file_mode::read_write);
        co_await write_text(null, "gone");
        const std::string nothing = co_await read_text(null);
        CHECK(nothing.empty());
      }(),
      one_worker);
}

TEST_CASE("file: a second sequential reader is told") {
  weir::run(
      []() -> weir::task<> {
        pipe_ends pipe;
        auto first = weir::spawn(read_text(pipe.out));
        co_await test::settle_down();
        const auto second = co_await weir::as_result(read_text(pipe.out));
        CHECK(test::sentence_of(second) ==
              "read pipe: another task is reading from it at the same time: Device or resource busy");
        co_await write_text(pipe.in, "for the first");
        const std::string text = co_await first.join();
        CHECK(text == "for the first");
      }(),
      one_worker);
}

TEST_CASE("file: pipes, as they come, wait without holding up anybody and keep their flags") {
  for (const int flags : {0, O_NONBLOCK}) {
    CAPTURE(flags);
    const test::no_descriptor_leaks check;
    weir::run(
        [](int as) -> weir::task<> {
          pipe_ends pipe(as);
          CHECK((::fcntl(pipe.out.native_handle(), F_GETFL) & O_NONBLOCK) == as);
          auto reader = weir::spawn(read_text(pipe.out));
          co_await test::settle_down();
          co_await write_text(pipe.in, "hello");
          const std::string text = co_await reader.join();
          CHECK(text == "hello");
          CHECK(pipe.out.size() == 0);

          std::array<std::byte, 1> one{};
          const auto placed = co_await weir::as_result(pipe.out.read_at(one, 0));
          CHECK(test::sentence_of(placed) == "read pipe: Illegal seek");
          const auto placed_write = co_await weir::as_result(pipe.in.write_at(one, 0));
          CHECK(test::sentence_of(placed_write) == "write pipe: Illegal seek");

          // More than a pipe holds: the writer has to wait for the reader.
          test::guarded_buffer data(300'000);
          test::fill_pattern(data);
          auto writer = weir::spawn(
              [](weir::file& to, std::span<const std::byte> from) -> weir::task<> { co_await to.write_all(from); },
              std::ref(pipe.in), std::span<const std::byte>(data));
          test::guarded_buffer part(10'000);
          std::size_t done = 0;
          while (done < data.size()) {
            const std::size_t n = co_await pipe.out.read_some(part);
            CHECK(test::is_pattern(part.first(n), done));
            done += n;
          }
          co_await writer.join();

          pipe.in.close();
          const std::string end = co_await read_text(pipe.out);
          CHECK(end.empty());
        }(flags),
        one_worker);
  }
}

TEST_CASE("file: a terminal is read and written without holding up anybody") {
  const test::no_descriptor_leaks check;
  weir::run(
      []() -> weir::task<> {
        const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        REQUIRE(master >= 0);
        REQUIRE(::grantpt(master) == 0);
        REQUIRE(::unlockpt(master) == 0);
        std::array<char, 64> name{};
        REQUIRE(::ptsname_r(master, name.data(), name.size()) == 0);
        weir::file user = weir::file::adopt(master, "the user");
        // Once as a program gets it, blocking, and once as open() makes it.
        for (const bool adopted : {true, false}) {
          weir::file terminal;
          if (adopted) {
            terminal = weir::file::adopt(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC), "terminal");
          } else {
            terminal = co_await weir::file::open(name.data(), weir::file_mode::read_write);
          }
          auto reader = weir::spawn(read_text(terminal));
          co_await test::settle_down();
          co_await write_text(user, "a line\n");
          const std::string line = co_await reader.join();
          CHECK(line == "a line\n");
          const std::string echoed = co_await read_text(user);
          CHECK(echoed == "a line\r\n");
          co_await write_text(terminal, "answer");
          const std::string answer = co_await read_text(user);
          CHECK(answer == "answer");
        }
      }(),
      one_worker);
}

TEST_CASE("file: writing to a pipe that nobody reads is an error, not the end of the program") {
  weir::run(
      []() -> weir::task<> {
        pipe_ends pipe;
        pipe.out.close();
        const std::string_view x = "x";
        const auto r = co_await weir::as_result(pipe.in.write_all(std::as_bytes(std::span(x))));
        CHECK(test::sentence_of(r) == "write_all pipe: Broken pipe");
      }(),
      one_worker);
}

TEST_CASE("file: a read that waits is stopped by its token, and takes nothing with it") {
  weir::run(
      []() -> weir::task<> {
        pipe_ends pipe;
        for (int i = 0; i < 10; ++i) {
          const auto r = co_await weir::as_result(weir::with_timeout(100us, read_text(pipe.out)));
          CHECK(r.error() == std::errc::timed_out);
        }
        co_await write_text(pipe.in, "still here");
        const std::string text = co_await read_text(pipe.out);
        CHECK(text == "still here");
      }(),
      one_worker);
}

TEST_CASE("file: a write_all that is stopped tells how much went") {
  weir::run(
      []() -> weir::task<> {
        pipe_ends pipe;
        test::guarded_buffer data(300'000);
        test::fill_pattern(data);
        const auto r = co_await weir::as_result(weir::with_timeout(1ms, pipe.in.write_all(data)));
        CHECK(r.error() == std::errc::timed_out);
        const std::size_t went = pipe.in.bytes_written();
        CHECK(went >= 4096);
        CHECK(went < data.size());
        pipe.in.close();
        test::guarded_buffer part(10'000);
        std::size_t done = 0;
        while (std::size_t n = co_await pipe.out.read_some(part)) {
          CHECK(test::is_pattern(part.first(n), done));
          done += n;
        }
        CHECK(done == went);
      }(),
      one_worker);
}

TEST_CASE("file: closing ends a read that waits") {
  const test::no_descriptor_leaks check;
  weir::run(
      []() -> weir::task<> {
        pipe_ends pipe;
        auto reader = weir::spawn(read_text(pipe.out));
        co_await test::settle_down();
        pipe.out.close();
        const auto r = co_await weir::as_result(reader.join());
        CHECK(test::sentence_of(r) == "read pipe: Operation canceled");
      }(),
      one_worker);
}

TEST_CASE("file: a FIFO is opened without waiting for its other end") {
  const test::no_descriptor_leaks check;
  test::scratch_directory dir;
  weir::run(
      [](std::string path) -> weir::task<> {
        using enum weir::file_mode;
        const std::string nobody_reads = co_await why_not(path, write);
        CHECK(nobody_reads == "open " + path + ": No such device or address");
        weir::file out = co_await weir::file::open(path, read);
        const std::string nobody_writes = co_await read_text(out);
        CHECK(nobody_writes.empty());
        weir::file in = co_await weir::file::open(path, write | create);
        auto reader = weir::spawn(read_text(out));
        co_await test::settle_down();
        co_await write_text(in, "through the FIFO");
        const std::string text = co_await reader.join();
        CHECK(text == "through the FIFO");
        in.close();
        const std::string end = co_await read_text(out);
        CHECK(end.empty());
        weir::file both = co_await weir::file::open(path, read_write);
        co_await write_text(both, "itself");
        const std::string own = co_await read_text(both);
        CHECK(own == "itself");
      }(dir.fifo("fifo")),
      one_worker);
}
