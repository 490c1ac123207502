#include <weir/io/buffered_writer.hpp>

#include <fmt/format.h>

#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <weir/io/buffered_reader.hpp>
#include <weir/io/write_all.hpp>

#include "../skip.hpp"
#include "files.hpp"
#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "sockets.hpp"
#include "streams.hpp"

using test::bytes_of;
using test::connect_pair;
using test::connection;
using test::guarded_buffer;
using test::sentence_of;
using test::settle_down;
using test::simulate;
using test::slow_sink;
using test::text_in;
using weir::as_result;
using weir::buffered_writer;
using weir::task;
using weir::with_timeout;

static_assert(weir::write_stream<weir::tcp_stream> && weir::write_stream<weir::file&>);
static_assert(weir::write_stream<slow_sink> && !weir::write_stream<int> && !weir::write_stream<const weir::file>);
static_assert(weir::write_stream<buffered_writer<weir::file&>>, "a writer is a stream, too");

namespace {

template <class T>
using writer_of = decltype(buffered_writer{std::declval<T>()});
static_assert(std::same_as<writer_of<weir::file&>, buffered_writer<weir::file&>>);
static_assert(std::same_as<writer_of<weir::file>, buffered_writer<weir::file>>);
static_assert(std::same_as<writer_of<buffered_writer<weir::file>>, buffered_writer<weir::file>>);
static_assert(!std::is_copy_constructible_v<buffered_writer<weir::file&>>);
static_assert(std::is_nothrow_move_constructible_v<buffered_writer<weir::file>>);

constexpr weir::runtime_options one_worker{.workers = 1};

constexpr std::size_t buffer_sizes[] = {1, 2, 5, 4096};

/// The pieces of a text, each of another size.
template <class F>
task<> in_pieces(std::string_view text, F f) {
  for (std::size_t size = 0; !text.empty(); size = size % 7 + 1) {
    const std::string_view piece = text.substr(0, size);
    co_await f(piece);
    text.remove_prefix(piece.size());
  }
}

std::string long_text() {
  std::string text;
  for (int i = 0; i < 30; ++i) text += fmt::format("{},", i * i);
  return text;
}

}  // namespace

TEST_CASE("buffered_writer: what is written in pieces arrives in order, whatever the sizes") {
  const std::string text = long_text();
  for (const std::size_t buffer : buffer_sizes) {
    for (std::size_t step = 1; step < 10; ++step) {
      simulate([&]() -> task<> {
        slow_sink sink(step);
        buffered_writer writer{sink, {.buffer = buffer}};
        const auto write = [&](std::string_view piece) -> task<> {
          co_await writer.write(piece);
          CHECK(writer.bytes_taken() == piece.size());
          CHECK(writer.buffered().size() <= buffer);
        };
        co_await in_pieces(text, write);
        CHECK(sink.text + std::string(text_in(writer.buffered())) == text);
        co_await writer.flush();
        CHECK(writer.buffered().empty());
        REQUIRE(sink.text == text);
      });
    }
  }
}

TEST_CASE("buffered_writer: small writes are collected, large ones go past the buffer") {
  simulate([]() -> task<> {
    slow_sink sink;
    buffered_writer writer{sink, {.buffer = 10}};
    co_await writer.flush();  // there is nothing
    CHECK(sink.writes == 0);
    for (int i = 0; i < 10; ++i) co_await writer.write("x");
    CHECK(sink.writes == 0);
    co_await writer.write("y");
    CHECK(sink.writes == 1);
    CHECK(sink.text == "xxxxxxxxxx");
    CHECK(text_in(writer.buffered()) == "y");
    const std::string large(25, 'z');
    co_await writer.write(large);
    CHECK(sink.writes == 3);
    CHECK(sink.largest == 25);
    CHECK(writer.buffered().empty());
    const std::size_t n = co_await writer.write_some(bytes_of("end"));
    CHECK(n == 3);
    CHECK(sink.writes == 3);
    co_await writer.write("");
    co_await writer.flush();
    CHECK(sink.text == "xxxxxxxxxxy" + large + "end");
  });
}

TEST_CASE("buffered_writer: timeouts in between lose nothing and write nothing twice") {
  const std::string text = long_text();
  for (const std::size_t buffer : buffer_sizes) {
    for (int patience = 1; patience < 50; patience += 6) {
      simulate([&]() -> task<> {
        slow_sink sink(3, 10ms);
        buffered_writer writer{sink, {.buffer = buffer}};
        int timeouts = 0;
        const auto write = [&](std::string_view piece) -> task<> {
          while (!piece.empty()) {
            const auto r = co_await as_result(with_timeout(patience * 1ms, writer.write(piece)));
            if (r.has_value()) CHECK(writer.bytes_taken() == piece.size());
            if (!r.has_value()) CHECK(r.error() == std::errc::timed_out);
            piece.remove_prefix(writer.bytes_taken());
            if (r.has_value()) co_return;
            ++timeouts;
          }
        };
        co_await in_pieces(text, write);
        for (;;) {
          const auto r = co_await as_result(with_timeout(patience * 1ms, writer.flush()));
          if (r.has_value()) break;
          ++timeouts;
        }
        REQUIRE(sink.text == text);
        if (patience < 10 || buffer > text.size()) CHECK(timeouts > 3);
      });
    }
  }
}

TEST_CASE("buffered_writer: a large write that is stopped tells how far it came") {
  simulate([]() -> task<> {
    slow_sink sink(2, 10ms);
    buffered_writer writer{sink, {.buffer = 4}};
    co_await writer.write("abc");
    auto r = co_await as_result(with_timeout(35ms, writer.write("0123456789")));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(sink.text == "abc01");
    CHECK(writer.bytes_taken() == 2);
    co_await writer.write("2345678");
    CHECK(writer.bytes_taken() == 7);
    // A small one has taken all or nothing.
    co_await writer.write("9abc");
    r = co_await as_result(with_timeout(15ms, writer.write("de")));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(writer.bytes_taken() == 0);
    CHECK(text_in(writer.buffered()) == "bc");
    co_await writer.write("de");
    CHECK(writer.bytes_taken() == 2);
    co_await writer.flush();
    CHECK(sink.text == "abc0123456789abcde");
  });
}

TEST_CASE("buffered_writer: a stream that fails, and one that takes nothing") {
  simulate([]() -> task<> {
    slow_sink sink(2);
    sink.fails_at = 4;
    buffered_writer writer{sink, {.buffer = 8}};
    co_await writer.write("0123456");
    auto r = co_await as_result(writer.flush());
    CHECK(sentence_of(r) == "it is full");
    CHECK(text_in(writer.buffered()) == "456");
    r = co_await as_result(writer.write("789abc"));
    CHECK(sentence_of(r) == "it is full");
    CHECK(writer.bytes_taken() == 0);
    sink.fails_at = 100;
    co_await writer.flush();
    CHECK(sink.text == "0123456");

    slow_sink stuck(0);
    buffered_writer to_stuck{stuck};
    co_await to_stuck.write("x");
    r = co_await as_result(to_stuck.flush());
    CHECK(r.error() == std::errc::io_error);
    CHECK(sentence_of(r) == "write sink: it takes no more bytes: Input/output error");
    to_stuck.discard();
    CHECK(to_stuck.buffered().empty());
    co_await to_stuck.flush();
  });
}

TEST_CASE("buffered_writer: a cancelled task stops at a write that would fit, and at an empty flush") {
  simulate([]() -> task<> {
    slow_sink sink;
    buffered_writer writer{sink};
    weir::cancellation_source source;
    int writes = 0;
    const auto write = [&]() -> task<> {
      for (;;) {
        co_await writer.write("x");
        if (++writes == 10) source.request_cancellation();
      }
    };
    auto r = co_await as_result(with_cancellation(source.token(), write()));
    CHECK(r.is_cancelled());
    CHECK(writes == 10);
    CHECK(writer.buffered().size() == 10);
    co_await writer.flush();
    r = co_await as_result(with_cancellation(source.token(), writer.flush()));
    CHECK(r.is_cancelled());
    CHECK(sink.text == "xxxxxxxxxx");
  });
}

TEST_CASE("buffered_writer: who writes all the time lets others run") {
  simulate([]() -> task<> {
    slow_sink sink(1'000'000);
    buffered_writer writer{sink};
    int writes = 0;
    const auto write = [&]() -> task<> {
      for (; writes < 10'000; ++writes) co_await writer.write("x");
    };
    auto writing = weir::spawn(write);
    int turns = 0;
    while (!writing.done()) {
      co_await weir::yield();
      ++turns;
    }
    CHECK(turns > 10);
    co_await writing.join();
    co_await writer.flush();
    CHECK(sink.text.size() == 10'000);
  });
}

TEST_CASE("buffered_writer: moved, with what it holds") {
  simulate([]() -> task<> {
    slow_sink sink;
    buffered_writer first{sink};
    co_await first.write("one ");
    buffered_writer second{std::move(first)};
    co_await second.write("two");
    CHECK(sink.text.empty());
    co_await second.flush();
    CHECK(sink.text == "one two");
    buffered_writer owner{slow_sink()};
    co_await owner.write("mine");
    co_await owner.flush();
    CHECK(owner.stream().text == "mine");
    CHECK(owner.name() == "sink");
    buffered_writer<slow_sink> other(slow_sink(1));
    other = std::move(owner);
    CHECK(other.stream().text == "mine");
  });
}

// ---- at the end of its life

TEST_CASE("buffered_writer: bytes that nobody has tried to write are told when it dies") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  const std::string sentence =
      "weir: a buffered_writer was destroyed with bytes that nobody has tried to write: flush() it first, or discard() "
      "them\n";
  CHECK(test::last_words_of([] {
          simulate([]() -> task<> {
            slow_sink sink;
            buffered_writer writer{sink};
            co_await writer.write("lost");
          });
        }) == sentence);
  CHECK(test::last_words_of([] {
          simulate([]() -> task<> {
            buffered_writer writer{slow_sink()};
            co_await writer.write("lost");
            writer = buffered_writer{slow_sink()};
          });
        }) == sentence);
  // A failed flush was told; what is written after it, nobody has tried.
  CHECK(test::last_words_of([] {
          simulate([]() -> task<> {
            slow_sink sink;
            sink.fails_at = 0;
            buffered_writer writer{sink};
            co_await writer.write("told");
            const auto r = co_await as_result(writer.flush());
            co_await writer.write("lost");
          });
        }) == sentence);
#endif
}

TEST_CASE("buffered_writer: it may die with bytes when its owner knows, is stopped, or throws") {
  simulate([]() -> task<> {
    slow_sink sink(1, 10ms);
    {
      buffered_writer writer{sink};
      co_await writer.write("dropped");
      writer.discard();
    }
    {
      buffered_writer writer{sink};
      co_await writer.write("abc");
      const auto r = co_await as_result(with_timeout(15ms, writer.flush()));
      CHECK(r.error() == std::errc::timed_out);
    }
    const auto waits = [&]() -> task<> {
      buffered_writer writer{sink};
      co_await writer.write("never");
      co_await weir::sleep_for(1h);
    };
    const auto stopped = co_await as_result(with_timeout(1s, waits()));
    CHECK(stopped.error() == std::errc::timed_out);
    const auto throws = [&]() -> task<> {
      buffered_writer writer{sink};
      co_await writer.write("never");
      throw std::runtime_error("something else");
    };
    const auto thrown = co_await as_result(throws());
    CHECK(sentence_of(thrown) == "something else");
    CHECK(sink.text == "a");
  });
}

// ---- real sockets and files

namespace {

/// A flush into a socket that is full, stopped and begun again.
task<> flush_impatiently() {
  connection c = connect_pair(true);
  weir::tcp_stream other = weir::tcp_stream::adopt(c.peer.release());
  buffered_writer writer{c.stream, {.buffer = 10'000}};
  const std::size_t size = 1'000'000;
  guarded_buffer sent(size);
  guarded_buffer got(size);
  test::fill_pattern(sent);
  const auto write = [&]() -> task<> {
    std::uint64_t random = 88172645463325252u;
    for (std::size_t at = 0; at < size;) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const std::size_t piece = std::min<std::size_t>(size - at, (random >> 40) % 20'000);
      const auto patience = std::chrono::microseconds((random >> 33) % 60);
      const auto r = co_await as_result(with_timeout(patience, writer.write(sent.span().subspan(at, piece))));
      REQUIRE((r.has_value() || r.error() == std::errc::timed_out));
      if (r.has_value()) REQUIRE(writer.bytes_taken() == piece);
      at += writer.bytes_taken();
    }
    for (bool done = false; !done;) {
      const auto r = co_await as_result(with_timeout(10us, writer.flush()));
      done = r.has_value();
    }
    c.stream.shutdown(weir::direction::write);
  };
  auto writing = weir::spawn(write);
  co_await other.read_exactly(got);
  std::byte one{};
  const std::size_t more = co_await other.read_some(std::span(&one, 1));
  CHECK(more == 0);
  co_await writing.join();
  CHECK(test::is_pattern(got));
}

}  // namespace

TEST_CASE("buffered_writer: timeouts that run out all the time lose nothing on a socket") {
  for (const unsigned workers : {1u, 4u}) {
    const test::no_descriptor_leaks none;
    weir::run(flush_impatiently(), {.workers = workers});
  }
}

TEST_CASE("buffered_writer: a second task is told") {
  weir::run(
      []() -> task<> {
        connection c = connect_pair(true);
        buffered_writer writer{c.stream};
        const std::string large(1'000'000, 'x');
        const auto write = [&]() -> task<> { co_await writer.write(large); };
        auto first = weir::spawn(write);
        co_await settle_down();
        REQUIRE(!first.done());
        const auto second = co_await as_result(writer.write("y"));
        CHECK(sentence_of(second) ==
              "write " + writer.name() + ": another task is writing to it at the same time: Device or resource busy");
        const auto third = co_await as_result(writer.flush());
        CHECK(sentence_of(third) ==
              "flush " + writer.name() + ": another task is writing to it at the same time: Device or resource busy");
        weir::tcp_stream other = weir::tcp_stream::adopt(c.peer.release());
        guarded_buffer got(large.size());
        co_await other.read_exactly(got);
        co_await first.join();
        CHECK(text_in(got) == large);
      }(),
      one_worker);
}

TEST_CASE("buffered_writer: many lines into a file") {
  const test::no_descriptor_leaks none;
  test::scratch_directory dir;
  weir::run(
      [](std::string path) -> task<> {
        using enum weir::file_mode;
        weir::file file = co_await weir::file::open(path, read_write | create);
        buffered_writer writer{file};
        std::string expected;
        for (int i = 0; i < 20'000; ++i) {
          const std::string line = fmt::format("line {}\n", i);
          co_await writer.write(line);
          expected += line;
        }
        co_await writer.flush();
        CHECK(file.size() == expected.size());
        file.set_position(0);
        weir::buffered_reader reader{file};
        const std::string all = co_await reader.read_exactly(expected.size());
        CHECK((all == expected));
      }(dir.name("lines")),
      one_worker);
}

TEST_CASE("write_all: any stream, bytes and text") {
  simulate([]() -> task<> {
    slow_sink sink(3);
    co_await weir::write_all(sink, "some text");
    co_await weir::write_all(sink, bytes_of(" and bytes"));
    co_await weir::write_all(sink, "");
    CHECK(sink.text == "some text and bytes");
    sink.fails_at = 0;
    const auto full = co_await as_result(weir::write_all(sink, "more"));
    CHECK(sentence_of(full) == "it is full");
    slow_sink stuck(0);
    const auto r = co_await as_result(weir::write_all(stuck, "more"));
    CHECK(sentence_of(r) == "write sink: it takes no more bytes: Input/output error");
  });
  // The stream's own one.
  static_assert(std::same_as<decltype(weir::write_all(std::declval<weir::tcp_stream&>(), "x")),
                             decltype(std::declval<weir::tcp_stream&>().write_all(bytes_of("x")))>);
}
