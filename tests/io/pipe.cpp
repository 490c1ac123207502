#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <weir/io/pipe.hpp>

#include "files.hpp"
#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "tcp_support.hpp"

using test::bytes_of;
using test::run_checked;
using test::sentence_of;
using test::text_of;
using weir::as_result;
using weir::pipe_reader;
using weir::pipe_writer;
using weir::task;

static_assert(weir::read_stream<pipe_reader> && !weir::write_stream<pipe_reader>);
static_assert(weir::write_stream<pipe_writer> && !weir::read_stream<pipe_writer>);
static_assert(!std::is_copy_constructible_v<pipe_reader> && std::is_nothrow_move_constructible_v<pipe_reader>);
static_assert(!std::is_copy_constructible_v<pipe_writer> && std::is_nothrow_move_constructible_v<pipe_writer>);

namespace {

task<std::string> read_text(pipe_reader& from) {
  test::guarded_buffer buffer(100);
  const std::size_t n = co_await from.read_some(buffer);
  CHECK(from.bytes_read() == n);
  co_return text_of(buffer.first(n));
}

int flags_of(int number) { return ::fcntl(number, F_GETFL); }

/// In place of descriptor `number` for as long as this lives.
class stands_in_for {
 public:
  stands_in_for(int number, int with) : number_(number), kept_(::fcntl(number, F_DUPFD_CLOEXEC, 3)) {
    REQUIRE(kept_ >= 0);
    REQUIRE(::dup2(with, number) == number);
  }
  stands_in_for(const stands_in_for&) = delete;
  stands_in_for& operator=(const stands_in_for&) = delete;
  ~stands_in_for() {
    ::dup2(kept_, number_);
    ::close(kept_);
  }

 private:
  int number_;
  int kept_;
};

}  // namespace

TEST_CASE("pipe: what goes in comes out, and the end behind it") {
  auto main = []() -> task<> {
    auto [reader, writer] = weir::make_pipe();
    CHECK(reader.name() == "pipe");
    for (const int number : {reader.native_handle(), writer.native_handle()}) {
      CHECK((::fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
      CHECK((flags_of(number) & O_NONBLOCK) != 0);
    }
    auto reading = weir::spawn(read_text(reader));
    co_await test::settle_down();
    CHECK(!reading.done());
    const std::size_t n = co_await writer.write_some(bytes_of("hello"));
    CHECK(n == 5);
    CHECK(writer.bytes_written() == 5);
    const std::string text = co_await reading.join();
    CHECK(text == "hello");

    // More than a pipe holds.
    test::guarded_buffer data(300'000);
    test::fill_pattern(data);
    auto writing = weir::spawn(
        [](pipe_writer& to, std::span<const std::byte> from) -> task<> {
          co_await to.write_all(from);
          to.close();
        },
        std::ref(writer), std::span<const std::byte>(data));
    test::guarded_buffer part(10'000);
    std::size_t done = 0;
    while (const std::size_t got = co_await reader.read_some(part)) {
      CHECK(test::is_pattern(part.first(got), done));
      done += got;
    }
    CHECK(done == data.size());
    co_await writing.join();
    CHECK(!writer.is_open());
  };
  run_checked(main());
}

TEST_CASE("pipe: it is a stream for readers, writers, lines and copy") {
  auto main = []() -> task<> {
    auto [reader, writer] = weir::make_pipe();
    auto [copied, copy_to] = weir::make_pipe();
    weir::buffered_writer out{writer};
    for (int i = 0; i < 3; ++i) co_await out.write(fmt::format("line {}\n", i));
    co_await out.flush();
    writer.close();
    const std::uint64_t bytes = co_await weir::copy(reader, copy_to);
    CHECK(bytes == 21);
    copy_to.close();
    auto lines = weir::lines(copied);
    std::string all;
    while (auto line = co_await lines.next()) all += *line + ";";
    CHECK(all == "line 0;line 1;line 2;");
  };
  run_checked(main());
}

TEST_CASE("pipe: writing when nobody reads is an error that names it, without a signal") {
  auto main = []() -> task<> {
    auto [reader, writer] = weir::make_pipe();
    test::guarded_buffer data(100'000);
    auto writing =
        weir::spawn([](pipe_writer& to, std::span<const std::byte> from) -> task<> { co_await to.write_all(from); },
                    std::ref(writer), std::span<const std::byte>(data));
    co_await test::settle_down();
    reader.close();  // under a writer that waits for room
    auto broken = co_await as_result(writing.join());
    CHECK(sentence_of(broken) == "write_all pipe: Broken pipe");
    CHECK(writer.bytes_written() == 65'536);
    auto again = co_await as_result(writer.write_some(bytes_of("x")));
    CHECK(sentence_of(again) == "write pipe: Broken pipe");
    co_await writer.writable();  // there is an error to tell
  };
  run_checked(main());
  struct sigaction now{};
  sigaction(SIGPIPE, nullptr, &now);
  const bool ignored = now.sa_handler == SIG_IGN;
  CHECK(ignored);
}

TEST_CASE("pipe: one reader and one writer, and close ends what waits") {
  auto main = []() -> task<> {
    auto [reader, writer] = weir::make_pipe();
    auto first = weir::spawn(read_text(reader));
    co_await test::settle_down();
    auto second = co_await as_result(read_text(reader));
    CHECK(sentence_of(second) ==
          "read pipe: another task is reading from it at the same time: Device or resource busy");
    reader.close();
    auto ended = co_await as_result(first.join());
    CHECK(sentence_of(ended) == "read pipe: Operation canceled");
    auto closed = co_await as_result(read_text(reader));
    CHECK(closed.error() == std::errc::bad_file_descriptor);
  };
  run_checked(main());
}

TEST_CASE("pipe: readiness tells without taking") {
  auto main = []() -> task<> {
    auto [reader, writer] = weir::make_pipe();
    co_await writer.writable();
    auto too_early = co_await as_result(weir::with_timeout(100us, reader.readable()));
    CHECK(too_early.error() == std::errc::timed_out);
    co_await writer.write_all(bytes_of("x"));
    co_await reader.readable();
    co_await reader.readable();
    test::guarded_buffer much(65'536 - 4096);
    co_await writer.write_all(much);
    const std::string text = co_await read_text(reader);
    CHECK(text.size() == 100);
    CHECK(text[0] == 'x');
    writer.close();
    co_await reader.readable();
  };
  run_checked(main());
}

TEST_CASE("pipe: a FIFO waits for its first writer in readable()") {
  test::scratch_directory dir;
  const std::string path = dir.fifo("fifo");
  auto main = [&]() -> task<> {
    auto nobody = co_await as_result(pipe_writer::open(path));
    CHECK(sentence_of(nobody) == "open " + path + ": No such device or address");
    pipe_reader reader = co_await pipe_reader::open(path);
    CHECK(reader.name() == path);
    const std::string before = co_await read_text(reader);
    CHECK(before.empty());
    auto waiting = weir::spawn([](pipe_reader& from) -> task<> { co_await from.readable(); }, std::ref(reader));
    co_await test::settle_down();
    CHECK(!waiting.done());
    pipe_writer writer = co_await pipe_writer::open(path);
    co_await writer.write_all(bytes_of("through"));
    co_await waiting.join();
    std::string text = co_await read_text(reader);
    CHECK(text == "through");
    writer.close();
    text = co_await read_text(reader);
    CHECK(text.empty());
  };
  run_checked(main());
}

TEST_CASE("pipe: what is adopted keeps its flags and waits all the same") {
  for (const int flags : {0, O_NONBLOCK}) {
    CAPTURE(flags);
    auto main = [flags]() -> task<> {
      std::array<int, 2> both{};
      REQUIRE(::pipe2(both.data(), O_CLOEXEC | flags) == 0);
      pipe_reader reader = pipe_reader::adopt(both[0]);
      pipe_writer writer = pipe_writer::adopt(both[1], "somewhere");
      CHECK(reader.name() == fmt::format("fd {}", both[0]));
      auto reading = weir::spawn(read_text(reader));
      co_await test::settle_down();
      co_await writer.write_all(bytes_of("hello"));
      const std::string text = co_await reading.join();
      CHECK(text == "hello");
      CHECK((flags_of(both[0]) & O_NONBLOCK) == flags);
      CHECK((flags_of(both[1]) & O_NONBLOCK) == flags);
      const int released = reader.release();
      CHECK(released == both[0]);
      ::close(released);
      auto broken = co_await as_result(writer.write_all(bytes_of("x")));
      CHECK(sentence_of(broken) == "write_all somewhere: Broken pipe");
    };
    run_checked(main());
  }
  std::string refused;
  try {
    const pipe_reader reader = pipe_reader::adopt(-1, "nothing");
  } catch (const std::system_error& e) {
    refused = e.what();
  }
  CHECK(refused == "adopt nothing: Bad file descriptor");
}

TEST_CASE("pipe: the standard streams are duplicates, a file behind them too") {
  test::scratch_directory dir;
  const std::string path = dir.containing("input", "from a file");
  auto main = [&]() -> task<> {
    auto [reader, writer] = weir::make_pipe();
    const int input = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    {
      const stands_in_for in(STDIN_FILENO, input);
      const stands_in_for out(STDOUT_FILENO, writer.native_handle());
      pipe_reader from = weir::standard_input();
      pipe_writer to = weir::standard_output();
      CHECK(from.native_handle() > 2);
      CHECK((::fcntl(to.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
      CHECK(to.name() == "standard output");
      const std::uint64_t bytes = co_await weir::copy(from, to);
      CHECK(bytes == 11);
      from.close();
      CHECK(::fcntl(STDIN_FILENO, F_GETFD) >= 0);
    }
    ::close(input);
    writer.close();
    const std::string text = co_await read_text(reader);
    CHECK(text == "from a file");
    CHECK(weir::standard_error().name() == "standard error");
  };
  run_checked(main());
}

TEST_CASE("pipe: nobody has one in a simulation") {
  auto [real, other] = weir::make_pipe();
  auto main = [&from = real, &to = other]() -> task<> {
    std::string refused;
    try {
      static_cast<void>(weir::make_pipe());
    } catch (const std::system_error& e) {
      refused = e.what();
    }
    CHECK(refused == "make_pipe: Operation not supported");
    auto read = co_await as_result(read_text(from));
    CHECK(read.error() == std::errc::not_supported);
    auto ready = co_await as_result(to.writable());
    CHECK(ready.error() == std::errc::not_supported);
  };
  test::simulate(main);
}
