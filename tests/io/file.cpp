#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>
#include <string>
#include <string_view>

#include "files.hpp"
#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"

namespace {

constexpr weir::runtime_options one_worker{.workers = 1};

using test::read_text;
using test::text_of;
using test::why_not;
using test::write_text;

weir::task<std::string> read_text_at(weir::file& from, std::uint64_t offset, std::size_t size = 100) {
  test::guarded_buffer buffer(size);
  const std::size_t n = co_await from.read_at(buffer, offset);
  co_return text_of(buffer.first(n));
}

weir::task<std::string> contents_of(std::string path) {
  weir::file file = co_await weir::file::open(std::move(path));
  std::string all;
  for (;;) {
    const std::string part = co_await read_text(file);
    if (part.empty()) co_return all;
    all += part;
  }
}

}  // namespace

TEST_CASE("file: what cannot be opened says so in one sentence") {
  const test::no_descriptor_leaks check;
  test::scratch_directory dir;
  const std::string exists = dir.containing("exists", "x");
  weir::run(
      [](std::string there) -> weir::task<> {
        using enum weir::file_mode;
        const std::string missing = co_await why_not("missing.log", read);
        CHECK(missing == "open missing.log: No such file or directory");
        const std::string directory = co_await why_not("/tmp", read);
        CHECK(directory == "open /tmp: Is a directory");
        const std::string directory_written = co_await why_not("/tmp", read_write);
        CHECK(directory_written == "open /tmp: Is a directory");
        const std::string exclusively = co_await why_not(there, write | exclusive);
        CHECK(exclusively == "open " + there + ": File exists");
        const std::string for_nothing = co_await why_not(there, create);
        CHECK(for_nothing == "open " + there + ": Invalid argument");
        const std::string truncated_for_reading = co_await why_not(there, read | truncate);
        CHECK(truncated_for_reading == "open " + there + ": Invalid argument");
        const std::string cut_short = co_await why_not(there + std::string("\0.log", 5), read);
        CHECK(cut_short == "open " + there + "\\0.log: Invalid argument");
        const std::string unnamed = co_await why_not("", read);
        CHECK(unnamed == "open : No such file or directory");
      }(exists),
      one_worker);
}

TEST_CASE("file: a failed open as an exception") {
  weir::run(
      []() -> weir::task<> {
        std::string sentence;
        try {
          const weir::file file = co_await weir::file::open("missing.log", weir::file_mode::read);
        } catch (const std::system_error& error) {
          sentence = error.what();
          CHECK(error.code() == std::errc::no_such_file_or_directory);
        }
        CHECK(sentence == "open missing.log: No such file or directory");
      }(),
      one_worker);
}

TEST_CASE("file: sequential writes and reads go on where the last one ended; placed ones leave that alone") {
  const test::no_descriptor_leaks check;
  test::scratch_directory dir;
  weir::run(
      [](std::string path) -> weir::task<> {
        using enum weir::file_mode;
        weir::file file = co_await weir::file::open(path, read_write | create);
        CHECK(file.is_open());
        CHECK(::fcntl(file.native_handle(), F_GETFD) == FD_CLOEXEC);
        CHECK((::fcntl(file.native_handle(), F_GETFL) & O_NONBLOCK) == 0);
        co_await write_text(file, "hello ");
        co_await write_text(file, "world");
        CHECK(file.position() == 11);
        CHECK(file.size() == 11);
        CHECK(file.bytes_written() == 5);

        std::string text = co_await read_text_at(file, 6);
        CHECK(text == "world");
        const std::string_view w = "W";
        const std::size_t written = co_await file.write_at(std::as_bytes(std::span(w)), 6);
        CHECK(written == 1);
        CHECK(file.position() == 11);
        text = co_await read_text_at(file, 11);
        CHECK(text.empty());
        text = co_await read_text(file);
        CHECK(text.empty());

        file.set_position(4);
        text = co_await read_text(file, 4);
        CHECK(text == "o Wo");
        CHECK(file.bytes_read() == 4);
        text = co_await read_text(file, 4);
        CHECK(text == "rld");
        CHECK(file.position() == 11);

        // Beyond the end: a hole.
        co_await file.write_at(std::as_bytes(std::span(w)), 20);
        CHECK(file.size() == 21);
        co_await file.sync_data();
        co_await file.sync();
        file.close();
        file.close();
        CHECK(!file.is_open());
        const std::string all = co_await contents_of(path);
        CHECK(all == std::string("hello World\0\0\0\0\0\0\0\0\0W", 21));
      }(dir.name("file")),
      one_worker);
}

TEST_CASE("file: create, truncate, append and permissions") {
  test::scratch_directory dir;
  weir::run(
      [](std::string path) -> weir::task<> {
        using enum weir::file_mode;
        {
          weir::file made = co_await weir::file::open(path, write | exclusive, 0640);
          struct stat status{};
          REQUIRE(::fstat(made.native_handle(), &status) == 0);
          const mode_t mask = ::umask(0);
          ::umask(mask);
          CHECK((status.st_mode & 0777) == (0640 & ~mask));
          co_await write_text(made, "first");
        }
        {
          weir::file again = co_await weir::file::open(path, append);
          co_await write_text(again, " second");
          co_await write_text(again, " third");
          CHECK(again.position() == 0);
          std::string sentence;
          try {
            again.set_position(0);
          } catch (const std::system_error& error) {
            sentence = error.what();
          }
          CHECK(sentence == "set_position of " + path + ": Illegal seek");
        }
        std::string all = co_await contents_of(path);
        CHECK(all == "first second third");
        {
          weir::file both = co_await weir::file::open(path, read | append);
          std::string part = co_await read_text(both, 5);
          CHECK(part == "first");
          co_await write_text(both, "!");
          part = co_await read_text(both);
          CHECK(part.empty());  // the kernel's position: at the end, behind what was written
        }
        {
          const weir::file emptied = co_await weir::file::open(path, write | truncate);
          CHECK(emptied.size() == 0);
        }
      }(dir.name("file")),
      one_worker);
}

TEST_CASE("file: empty spans complete at once, and operations on a closed file fail") {
  test::scratch_directory dir;
  weir::run(
      [](std::string path) -> weir::task<> {
        weir::file file = co_await weir::file::open(path);
        const std::span<std::byte> nothing;
        const std::size_t some = co_await file.read_some(nothing);
        CHECK(some == 0);
        const std::size_t at = co_await file.read_at(nothing, 3);
        CHECK(at == 0);
        co_await file.write_all(nothing);  // not even the mode is looked at

        const std::string_view x = "x";
        const auto unwritable = co_await weir::as_result(file.write_some(std::as_bytes(std::span(x))));
        CHECK(test::sentence_of(unwritable) == "write " + path + ": Bad file descriptor");
        std::array<std::byte, 1> one;
        const auto far = co_await weir::as_result(file.read_at(one, std::uint64_t(-1)));
        CHECK(far.error() == std::errc::invalid_argument);

        file.close();
        const auto closed = co_await weir::as_result(file.read_some(one));
        CHECK(closed.error() == std::errc::bad_file_descriptor);
        const auto unsynced = co_await weir::as_result(file.sync());
        CHECK(unsynced.error() == std::errc::bad_file_descriptor);
        std::string sentence;
        try {
          static_cast<void>(file.size());
        } catch (const std::system_error& error) {
          sentence = error.what();
        }
        CHECK(sentence == "size of a closed file: Bad file descriptor");
      }(dir.containing("file", "text")),
      one_worker);
}

TEST_CASE("file: what is given away stands where its reader was; what is adopted shares its position") {
  const test::no_descriptor_leaks check;
  test::scratch_directory dir;
  weir::run(
      [](std::string path) -> weir::task<> {
        weir::file file = co_await weir::file::open(path);
        std::string part = co_await read_text(file, 3);
        CHECK(part == "abc");
        const int number = file.release();
        CHECK(!file.is_open());
        CHECK(::lseek(number, 0, SEEK_CUR) == 3);

        weir::file again = weir::file::adopt(number, "the text");
        part = co_await read_text(again, 2);
        CHECK(part == "de");
        CHECK(::lseek(number, 0, SEEK_CUR) == 5);
        part = co_await read_text_at(again, 1, 2);
        CHECK(part == "bc");
        CHECK(::lseek(number, 0, SEEK_CUR) == 5);
        const std::string_view x = "x";
        const auto r = co_await weir::as_result(again.write_some(std::as_bytes(std::span(x))));
        CHECK(test::sentence_of(r) == "write the text: Bad file descriptor");
      }(dir.containing("file", "abcdefg")),
      one_worker);

  std::string sentence;
  try {
    static_cast<void>(weir::file::adopt(1'000'000));
  } catch (const std::system_error& error) {
    sentence = error.what();
  }
  CHECK(sentence == "adopt fd 1000000: Bad file descriptor");
}

TEST_CASE("file: large transfers arrive whole") {
  test::scratch_directory dir;
  weir::run(
      [](std::string path) -> weir::task<> {
        using enum weir::file_mode;
        test::guarded_buffer data(3'000'017);
        test::fill_pattern(data);
        weir::file file = co_await weir::file::open(path, read_write | create | truncate);
        co_await file.write_all(data);
        CHECK(file.bytes_written() == data.size());
        CHECK(file.size() == data.size());
        file.set_position(0);
        test::guarded_buffer back(65536);
        std::size_t done = 0;
        while (std::size_t n = co_await file.read_some(back)) {
          CHECK(test::is_pattern(back.first(n), done));
          done += n;
        }
        CHECK(done == data.size());
      }(dir.name("large")),
      one_worker);
}

TEST_CASE("file: what is opened for a task that is stopped does not leak") {
  test::scratch_directory dir;
  const std::string path = dir.containing("file", "text");
  const test::no_descriptor_leaks check;
  for (int i = 0; i < test::scaled(300, 100); ++i) {
    weir::run(
        [](std::string name, int spins) -> weir::task<> {
          weir::cancellation_source source;
          auto opener = weir::spawn(
              [](weir::cancellation_token token, std::string file) -> weir::task<> {
                const auto r =
                    co_await weir::as_result(weir::with_cancellation(token, weir::file::open(std::move(file))));
                if (!r.has_value()) CHECK(r.is_cancelled());
              },
              source.token(), std::move(name));
          for (int n = 0; n < spins; ++n) co_await weir::yield();
          source.request_cancellation();
          co_await opener.join();
        }(path, i % 60),
        one_worker);
  }
}

TEST_CASE("file: reads that the pool has not begun are withdrawn when they are stopped") {
  test::scratch_directory dir;
  const std::string path = dir.containing("file", "0123456789");
  weir::run(
      [](std::string name) -> weir::task<> {
        weir::file file = co_await weir::file::open(name);
        int read = 0;
        int stopped = 0;
        weir::cancellation_source source;
        auto reading = [&](weir::task_group& group) -> weir::task<> {
          for (int i = 0; i < 200; ++i) {
            group.spawn(
                [](weir::file& from, weir::cancellation_token token, int& done, int& not_done) -> weir::task<> {
                  test::guarded_buffer buffer(10);
                  const auto r = co_await weir::as_result(weir::with_cancellation(token, from.read_at(buffer, 0)));
                  ++(r.has_value() ? done : not_done);
                },
                std::ref(file), source.token(), std::ref(read), std::ref(stopped));
          }
          co_await weir::yield();
          source.request_cancellation();
          co_await group.join();
        };
        co_await weir::with_task_group(reading);
        CHECK(read + stopped == 200);
      }(path),
      {.workers = 1, .offload_threads = 1});
}

TEST_CASE("file: a moved file goes on; an assigned one closes what it had") {
  const test::no_descriptor_leaks check;
  test::scratch_directory dir;
  weir::run(
      [](std::string path) -> weir::task<> {
        weir::file file = co_await weir::file::open(path);
        std::string part = co_await read_text(file, 2);
        CHECK(part == "ab");
        weir::file moved = std::move(file);
        part = co_await read_text(moved, 2);
        CHECK(part == "cd");
        moved = co_await weir::file::open(path);
        part = co_await read_text(moved, 2);
        CHECK(part == "ab");
      }(dir.containing("file", "abcd")),
      one_worker);
}

TEST_CASE("file: in a simulation real files are refused") {
  test::scratch_directory dir;
  weir::file real = weir::file::adopt(::open(dir.containing("file", "abcd").c_str(), O_RDONLY | O_CLOEXEC), "real");
  weir::simulation world;
  auto reads = [&]() -> weir::task<> {
    test::guarded_buffer into(4);
    const auto r = co_await weir::as_result(real.read_some(into));
    CHECK(r.error() == std::errc::not_supported);
  };
  world.run(reads());
}

TEST_CASE("file: any number may read at offsets at once") {
  test::scratch_directory dir;
  const std::string path = dir.containing("file", "0123456789");
  for (const unsigned workers : {1u, 2u}) {
    CAPTURE(workers);
    weir::run(
        [](std::string name) -> weir::task<> {
          weir::file file = co_await weir::file::open(name);
          int right = 0;
          co_await weir::with_task_group([&](weir::task_group& group) -> weir::task<> {
            for (int i = 0; i < 100; ++i) {
              group.spawn(
                  [](weir::file& from, int at) -> weir::task<> {
                    const std::string digit = co_await read_text_at(from, static_cast<std::uint64_t>(at), 1);
                    CHECK(digit == std::to_string(at));
                  },
                  std::ref(file), i % 10);
              ++right;
            }
            co_await group.join();
          });
          CHECK(right == 100);
        }(path),
        {.workers = workers});
  }
}
