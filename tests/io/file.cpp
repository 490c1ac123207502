#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "sockets.hpp"

namespace {

constexpr weir::runtime_options one_worker{.workers = 1};

/// A directory of its own for a test, gone with everything in it when the test ends.
class scratch {
 public:
  scratch() {
    std::string pattern = "/tmp/weir-file-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() {
    for (const std::string& name : made_) ::unlink(name.c_str());
    ::rmdir(path_.c_str());
  }

  std::string name(const char* file) {
    made_.push_back(path_ + "/" + file);
    return made_.back();
  }
  std::string containing(const char* file, std::string_view text) {
    const std::string path = name(file);
    const int number = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(number >= 0);
    REQUIRE(::write(number, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    ::close(number);
    return path;
  }
  std::string fifo(const char* file) {
    const std::string path = name(file);
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    return path;
  }

 private:
  std::string path_;
  std::vector<std::string> made_;
};

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

weir::task<std::string> read_text(weir::file& from, std::size_t size = 100) {
  test::guarded_buffer buffer(size);
  const std::size_t n = co_await from.read_some(buffer);
  co_return text_of(buffer.first(n));
}

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

weir::task<> write_text(weir::file& to, std::string_view text) {
  co_await to.write_all(std::as_bytes(std::span(text)));
}

/// What opening `path` this way says when it fails; empty when it does not.
weir::task<std::string> why_not(std::string path, weir::file_mode mode) {
  const auto r = co_await weir::as_result(weir::file::open(std::move(path), mode));
  co_return test::sentence_of(r);
}

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

TEST_CASE("file: what cannot be opened says so in one sentence") {
  const test::no_descriptor_leaks check;
  scratch dir;
  const std::string exists = dir.containing("exists", "x");
  weir::run([](std::string there) -> weir::task<> {
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
  }(exists), one_worker);
}

TEST_CASE("file: a failed open as an exception") {
  weir::run([]() -> weir::task<> {
    std::string sentence;
    try {
      const weir::file file = co_await weir::file::open("missing.log", weir::file_mode::read);
    } catch (const std::system_error& error) {
      sentence = error.what();
      CHECK(error.code() == std::errc::no_such_file_or_directory);
    }
    CHECK(sentence == "open missing.log: No such file or directory");
  }(), one_worker);
}

TEST_CASE("file: sequential writes and reads go on where the last one ended; placed ones leave that alone") {
  const test::no_descriptor_leaks check;
  scratch dir;
  weir::run([](std::string path) -> weir::task<> {
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
  }(dir.name("file")), one_worker);
}

TEST_CASE("file: create, truncate, append and permissions") {
  scratch dir;
  weir::run([](std::string path) -> weir::task<> {
    using enum weir::file_mode;
    {
      weir::file made = co_await weir::file::open(path, write | exclusive, 0640);
      struct stat status {};
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
  }(dir.name("file")), one_worker);
}

TEST_CASE("file: empty spans complete at once, and operations on a closed file fail") {
  scratch dir;
  weir::run([](std::string path) -> weir::task<> {
    weir::file file = co_await weir::file::open(path);
    const std::size_t some = co_await file.read_some({});
    CHECK(some == 0);
    const std::size_t at = co_await file.read_at({}, 3);
    CHECK(at == 0);
    co_await file.write_all({});  // not even the mode is looked at

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
  }(dir.containing("file", "text")), one_worker);
}

TEST_CASE("file: what is given away stands where its reader was; what is adopted shares its position") {
  const test::no_descriptor_leaks check;
  scratch dir;
  weir::run([](std::string path) -> weir::task<> {
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
  }(dir.containing("file", "abcdefg")), one_worker);

  std::string sentence;
  try {
    static_cast<void>(weir::file::adopt(1'000'000));
  } catch (const std::system_error& error) {
    sentence = error.what();
  }
  CHECK(sentence == "adopt fd 1000000: Bad file descriptor");
}

TEST_CASE("file: a device that is full, and one that never ends") {
  weir::run([]() -> weir::task<> {
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
  }(), one_worker);
}

TEST_CASE("file: a second sequential reader is told; any number may read at offsets") {
  weir::run([]() -> weir::task<> {
    pipe_ends pipe;
    auto first = weir::spawn(read_text(pipe.out));
    co_await test::settle_down();
    const auto second = co_await weir::as_result(read_text(pipe.out));
    CHECK(test::sentence_of(second) ==
          "read pipe: another task is reading from it at the same time: Device or resource busy");
    co_await write_text(pipe.in, "for the first");
    const std::string text = co_await first.join();
    CHECK(text == "for the first");
  }(), one_worker);

  scratch dir;
  const std::string path = dir.containing("file", "0123456789");
  for (const unsigned workers : {1u, 2u}) {
    CAPTURE(workers);
    weir::run([](std::string name) -> weir::task<> {
      weir::file file = co_await weir::file::open(name);
      int right = 0;
      co_await weir::with_task_group([&](weir::task_group& group) -> weir::task<> {
        for (int i = 0; i < 100; ++i) {
          group.spawn([](weir::file& from, int at) -> weir::task<> {
            const std::string digit = co_await read_text_at(from, static_cast<std::uint64_t>(at), 1);
            CHECK(digit == std::to_string(at));
          }, std::ref(file), i % 10);
          ++right;
        }
        co_await group.join();
      });
      CHECK(right == 100);
    }(path), {.workers = workers});
  }
}

TEST_CASE("file: large transfers arrive whole") {
  scratch dir;
  weir::run([](std::string path) -> weir::task<> {
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
  }(dir.name("large")), one_worker);
}

TEST_CASE("file: pipes, as they come, wait without holding up anybody and keep their flags") {
  for (const int flags : {0, O_NONBLOCK}) {
    CAPTURE(flags);
    const test::no_descriptor_leaks check;
    weir::run([](int as) -> weir::task<> {
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
      auto writer = weir::spawn([](weir::file& to, std::span<const std::byte> from) -> weir::task<> {
        co_await to.write_all(from);
      }, std::ref(pipe.in), std::span<const std::byte>(data));
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
    }(flags), one_worker);
  }
}

TEST_CASE("file: writing to a pipe that nobody reads is an error, not the end of the program") {
  weir::run([]() -> weir::task<> {
    pipe_ends pipe;
    pipe.out.close();
    const std::string_view x = "x";
    const auto r = co_await weir::as_result(pipe.in.write_all(std::as_bytes(std::span(x))));
    CHECK(test::sentence_of(r) == "write_all pipe: Broken pipe");
  }(), one_worker);
}

TEST_CASE("file: a read that waits is stopped by its token, and takes nothing with it") {
  weir::run([]() -> weir::task<> {
    pipe_ends pipe;
    for (int i = 0; i < 10; ++i) {
      const auto r = co_await weir::as_result(weir::with_timeout(100us, read_text(pipe.out)));
      CHECK(r.error() == std::errc::timed_out);
    }
    co_await write_text(pipe.in, "still here");
    const std::string text = co_await read_text(pipe.out);
    CHECK(text == "still here");
  }(), one_worker);
}

TEST_CASE("file: a write_all that is stopped tells how much went") {
  weir::run([]() -> weir::task<> {
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
  }(), one_worker);
}

TEST_CASE("file: closing ends a read that waits") {
  const test::no_descriptor_leaks check;
  weir::run([]() -> weir::task<> {
    pipe_ends pipe;
    auto reader = weir::spawn(read_text(pipe.out));
    co_await test::settle_down();
    pipe.out.close();
    const auto r = co_await weir::as_result(reader.join());
    CHECK(test::sentence_of(r) == "read pipe: Operation canceled");
  }(), one_worker);
}

TEST_CASE("file: a FIFO is opened without waiting for its other end") {
  const test::no_descriptor_leaks check;
  scratch dir;
  weir::run([](std::string path) -> weir::task<> {
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
  }(dir.fifo("fifo")), one_worker);
}

TEST_CASE("file: what is opened for a task that is stopped does not leak") {
  scratch dir;
  const std::string path = dir.containing("file", "text");
  const test::no_descriptor_leaks check;
  for (int i = 0; i < test::scaled(300, 100); ++i) {
    weir::run([](std::string name, int spins) -> weir::task<> {
      weir::cancellation_source source;
      auto opener = weir::spawn([](weir::cancellation_token token, std::string file) -> weir::task<> {
        const auto r = co_await weir::as_result(weir::with_cancellation(token, weir::file::open(std::move(file))));
        if (!r.has_value()) CHECK(r.is_cancelled());
      }, source.token(), std::move(name));
      for (int n = 0; n < spins; ++n) co_await weir::yield();
      source.request_cancellation();
      co_await opener.join();
    }(path, i % 60), one_worker);
  }
}

TEST_CASE("file: reads that the pool has not begun are withdrawn when they are stopped") {
  scratch dir;
  const std::string path = dir.containing("file", "0123456789");
  weir::run([](std::string name) -> weir::task<> {
    weir::file file = co_await weir::file::open(name);
    int read = 0;
    int stopped = 0;
    weir::cancellation_source source;
    auto reading = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < 200; ++i) {
        group.spawn([](weir::file& from, weir::cancellation_token token, int& done, int& not_done) -> weir::task<> {
          test::guarded_buffer buffer(10);
          const auto r = co_await weir::as_result(weir::with_cancellation(token, from.read_at(buffer, 0)));
          ++(r.has_value() ? done : not_done);
        }, std::ref(file), source.token(), std::ref(read), std::ref(stopped));
      }
      co_await weir::yield();
      source.request_cancellation();
      co_await group.join();
    };
    co_await weir::with_task_group(reading);
    CHECK(read + stopped == 200);
  }(path), {.workers = 1, .offload_threads = 1});
}

TEST_CASE("file: a moved file goes on; an assigned one closes what it had") {
  const test::no_descriptor_leaks check;
  scratch dir;
  weir::run([](std::string path) -> weir::task<> {
    weir::file file = co_await weir::file::open(path);
    std::string part = co_await read_text(file, 2);
    CHECK(part == "ab");
    weir::file moved = std::move(file);
    part = co_await read_text(moved, 2);
    CHECK(part == "cd");
    moved = co_await weir::file::open(path);
    part = co_await read_text(moved, 2);
    CHECK(part == "ab");
  }(dir.containing("file", "abcd")), one_worker);
}

TEST_CASE("file: in a simulation real files are refused") {
  weir::simulation world;
  world.run([]() -> weir::task<> {
    const auto r = co_await weir::as_result(weir::file::open("/dev/null"));
    CHECK(r.error() == std::errc::not_supported);
  }());
}
