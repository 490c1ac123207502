#include <weir/io/buffered_reader.hpp>

#include <fmt/format.h>

#include <concepts>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "files.hpp"
#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "sockets.hpp"
#include "streams.hpp"

using test::bytes_of;
using test::chopped_text;
using test::connect_pair;
using test::connection;
using test::guarded_buffer;
using test::sentence_of;
using test::settle_down;
using test::simulate;
using test::text_in;
using weir::as_result;
using weir::buffered_reader;
using weir::task;
using weir::with_timeout;

// ---- types

static_assert(weir::read_stream<weir::tcp_stream> && weir::read_stream<weir::file&>);
static_assert(weir::read_stream<chopped_text> && !weir::read_stream<int> && !weir::read_stream<weir::tcp_listener>);
static_assert(!weir::read_stream<const weir::file>);
static_assert(weir::read_stream<buffered_reader<weir::file&>>, "a reader is a stream, too");

namespace {

template <class T>
using reader_of = decltype(buffered_reader{std::declval<T>()});
static_assert(std::same_as<reader_of<weir::file&>, buffered_reader<weir::file&>>);
static_assert(std::same_as<reader_of<weir::file>, buffered_reader<weir::file>>);
static_assert(std::same_as<reader_of<buffered_reader<weir::file>>, buffered_reader<weir::file>>);
static_assert(!std::is_copy_constructible_v<buffered_reader<weir::file&>>);
static_assert(std::is_nothrow_move_constructible_v<buffered_reader<weir::file>>);
static_assert(std::is_move_assignable_v<buffered_reader<weir::tcp_stream>>);
static_assert(
    std::same_as<weir::detail::operation_value_t<decltype(std::declval<reader_of<weir::file>&>().read_line())>,
                 std::optional<std::string>>);

constexpr weir::runtime_options one_worker{.workers = 1};

// ---- helpers

using strings = std::vector<std::string>;

template <class Reader>
task<strings> lines_of(Reader& reader) {
  strings lines;
  while (auto line = co_await reader.read_line()) lines.push_back(std::move(*line));
  co_return std::move(lines);
}

template <class Reader>
task<strings> line_views_of(Reader& reader) {
  strings lines;
  while (auto line = co_await reader.read_line_view()) lines.emplace_back(*line);
  co_return std::move(lines);
}

template <class Reader>
task<std::string> rest_of(Reader& reader) {
  std::string rest;
  guarded_buffer part(3);
  while (std::size_t n = co_await reader.read_some(part)) rest += text_in(part.first(n));
  co_return std::move(rest);
}

/// Calls `f(first, step)` for every place of the first cut of a text, and every size of pieces.
template <class F>
void cut_everywhere(std::size_t size, F f) {
  for (std::size_t first = 1; first <= size; ++first) f(first, size + 1);
  for (std::size_t step = 1; step <= size; ++step) f(step, step);
}

constexpr std::size_t buffer_sizes[] = {1, 2, 5, 4096};

struct lines_in {
  const char* text;
  strings lines;
};

const lines_in texts[] = {
    {"", {}},
    {"\n", {""}},
    {"\n\n", {"", ""}},
    {"a", {"a"}},
    {"a\n", {"a"}},
    {"\na", {"", "a"}},
    {"one\ntwo\nthree\n", {"one", "two", "three"}},
    {"one\n\nthree", {"one", "", "three"}},
    {"dos\r\nunix\nmac\rstill\r\n\r\n", {"dos", "unix", "mac\rstill", ""}},
    {"\r\r\nend\r", {"\r", "end\r"}},
    {"a line that is longer than some of the buffers\nx\nand another one, without an end",
     {"a line that is longer than some of the buffers", "x", "and another one, without an end"}},
};

}  // namespace

// ---- lines

TEST_CASE("buffered_reader: lines, cut at every place, with buffers of many sizes") {
  for (const lines_in& t : texts) {
    const std::string text = t.text;
    for (const std::size_t buffer : buffer_sizes) {
      cut_everywhere(text.size(), [&](std::size_t first, std::size_t step) {
        const auto both = simulate([&]() -> task<std::pair<strings, strings>> {
          chopped_text copied(text, first, step);
          chopped_text viewed(text, first, step);
          buffered_reader reader{copied, {.buffer = buffer}};
          strings lines = co_await lines_of(reader);
          buffered_reader viewer{viewed, {.buffer = buffer}};
          strings views = co_await line_views_of(viewer);
          co_return std::pair(std::move(lines), std::move(views));
        });
        CAPTURE(text);
        CAPTURE(buffer);
        CAPTURE(first);
        CAPTURE(step);
        REQUIRE(both.first == t.lines);
        REQUIRE(both.second == t.lines);
      });
    }
  }
}

TEST_CASE("buffered_reader: a carriage return before the end belongs to the line if so wanted") {
  simulate([]() -> task<> {
    chopped_text text("a\r\nb\n\r\nc\r");
    buffered_reader reader{text, {.keep_carriage_return = true}};
    const strings lines = co_await lines_of(reader);
    CHECK(lines == strings{"a\r", "b", "\r", "c\r"});
  });
}

TEST_CASE("buffered_reader: the end is not remembered") {
  simulate([]() -> task<> {
    chopped_text text("half a ");
    buffered_reader reader{text};
    auto line = co_await reader.read_line();
    CHECK(line == "half a ");
    for (int i = 0; i < 3; ++i) {
      line = co_await reader.read_line();
      CHECK(!line);
    }
    text.add("line\nmore\n");
    line = co_await reader.read_line();
    CHECK(line == "line");
    line = co_await reader.read_line();
    CHECK(line == "more");
    line = co_await reader.read_line();
    CHECK(!line);
  });
}

// ---- the bound

TEST_CASE("buffered_reader: a line may have as many bytes as the bound says, and no more") {
  const std::string longest(20, 'x');
  const std::string text = longest + "\n" + longest + "y\nnext\n" + longest + "y";
  for (const std::size_t buffer : {1, 8, 21, 22, 4096}) {
    cut_everywhere(text.size(), [&](std::size_t first, std::size_t step) {
      simulate([&]() -> task<> {
        chopped_text in(text, first, step);
        buffered_reader reader{in, {.buffer = buffer, .bound = 20}};
        auto line = co_await reader.read_line();
        REQUIRE(line == longest);
        // The same again and again, until somebody does something about it.
        for (int i = 0; i < 3; ++i) {
          const auto r = co_await as_result(reader.read_line());
          REQUIRE(r.error() == std::errc::message_size);
          REQUIRE(sentence_of(r) == "read_line text: a line is longer than 20 bytes: Message too long");
        }
        const std::size_t dropped = co_await reader.skip_line();
        REQUIRE(dropped == 22);
        line = co_await reader.read_line();
        REQUIRE(line == "next");
        const auto last = co_await as_result(reader.read_line());
        REQUIRE(last.error() == std::errc::message_size);
        // Nothing was taken.
        const std::string rest = co_await rest_of(reader);
        REQUIRE(rest == longest + "y");
      });
    });
  }
}

TEST_CASE("buffered_reader: what is beyond the bound is told as an exception, too, and costs no more memory") {
  simulate([]() -> task<> {
    chopped_text text(std::string(1'000'000, 'x'), 1000, 1000);
    buffered_reader reader{text, {.buffer = 100, .bound = 10'000}};
    std::string sentence;
    try {
      const auto line = co_await reader.read_line();
    } catch (const std::system_error& error) {
      sentence = error.what();
    }
    CHECK(sentence == "read_line text: a line is longer than 10000 bytes: Message too long");
    CHECK(reader.buffered().size() > 10'000);
    CHECK(reader.buffered().size() < 12'000);
    const std::size_t dropped = co_await reader.skip_line();
    CHECK(dropped == 1'000'000);
    CHECK(text.reads < 12'000);
  });
}

TEST_CASE("buffered_reader: skip_line drops what read_line would deliver") {
  simulate([]() -> task<> {
    chopped_text text("one\ntwo\n\nthree and no end", 2, 5);
    buffered_reader reader{text, {.buffer = 4}};
    std::size_t n = co_await reader.skip_line();
    CHECK(n == 4);
    auto line = co_await reader.read_line();
    CHECK(line == "two");
    n = co_await reader.skip_line();
    CHECK(n == 1);
    n = co_await reader.skip_line();
    CHECK(n == 16);
    n = co_await reader.skip_line();
    CHECK(n == 0);
  });
}

// ---- other delimiters

TEST_CASE("buffered_reader: read_until, cut at every place") {
  const std::string text = "GET /\r\nHost: x\r\n\r\nbody;with;parts\r\n\r";
  for (const std::size_t buffer : buffer_sizes) {
    cut_everywhere(text.size(), [&](std::size_t first, std::size_t step) {
      simulate([&]() -> task<> {
        chopped_text in(text, first, step);
        buffered_reader reader{in, {.buffer = buffer}};
        std::string part = co_await reader.read_until(std::string_view("\r\n\r\n"));
        REQUIRE(part == "GET /\r\nHost: x\r\n\r\n");
        part = co_await reader.read_until(';');
        REQUIRE(part == "body;");
        part = co_await reader.read_until(std::string_view(";"));
        REQUIRE(part == "with;");
        part = co_await reader.read_until("\r\n\r\n");
        REQUIRE(part == "parts\r\n\r");
        part = co_await reader.read_until(';');
        REQUIRE(part.empty());
      });
    });
  }
}

TEST_CASE("buffered_reader: a delimiter that begins at the bound is still in time") {
  for (std::size_t step = 1; step <= 9; ++step) {
    simulate([&]() -> task<> {
      for (const bool in_time : {true, false}) {
        chopped_text text(in_time ? "12345--rest" : "123456--rest", step, step);
        buffered_reader reader{text, {.buffer = 3, .bound = 5}};
        const auto r = co_await as_result(reader.read_until("--"));
        if (in_time) {
          REQUIRE(r.has_value());
          REQUIRE(*r == "12345--");
        } else {
          REQUIRE(sentence_of(r) ==
                  "read_until text: what comes before the delimiter is longer than 5 bytes: Message too long");
        }
        const std::string rest = co_await rest_of(reader);
        REQUIRE(rest == (in_time ? "rest" : "123456--rest"));
      }
    });
  }
}

// ---- counted

TEST_CASE("buffered_reader: read_exactly, through the buffer and past it") {
  const std::string text = "0123456789abcdefghijklmnopqrstuvwxyz";
  for (const std::size_t buffer : buffer_sizes) {
    for (std::size_t step = 1; step <= text.size(); ++step) {
      for (std::size_t size = 0; size <= text.size(); ++size) {
        simulate([&]() -> task<> {
          chopped_text in(text, step, step);
          buffered_reader reader{in, {.buffer = buffer}};
          const std::size_t ahead = std::min<std::size_t>(3, text.size() - size);
          std::string begin = co_await reader.read_exactly(ahead);
          guarded_buffer into(size);
          co_await reader.read_exactly(into);
          begin += text_in(into);
          REQUIRE(begin == text.substr(0, ahead + size));
          const std::string rest = co_await rest_of(reader);
          REQUIRE(rest == text.substr(ahead + size));
        });
      }
    }
  }
}

TEST_CASE("buffered_reader: a stream that ends too early has lost nothing") {
  for (const std::size_t buffer : buffer_sizes) {
    for (std::size_t step = 1; step <= 7; ++step) {
      simulate([&]() -> task<> {
        chopped_text in("0123456", step, step);
        buffered_reader reader{in, {.buffer = buffer}};
        const auto begin = co_await reader.peek(2);
        CHECK(text_in(begin.first(2)) == "01");
        guarded_buffer into(9);
        const auto filled = co_await as_result(reader.read_exactly(into));
        REQUIRE(filled.error() == weir::errc::end_of_stream);
        REQUIRE(sentence_of(filled) == "read_exactly text after 7 of 9 bytes: end of stream");
        const auto made = co_await as_result(reader.read_exactly(8));
        REQUIRE(sentence_of(made) == "read_exactly text after 7 of 8 bytes: end of stream");
        const std::string all = co_await reader.read_exactly(7);
        REQUIRE(all == "0123456");
      });
    }
  }
}

TEST_CASE("buffered_reader: more than the bound in one piece is refused, whoever's number it is") {
  simulate([]() -> task<> {
    chopped_text text("0123456789");
    buffered_reader reader{text, {.buffer = 2, .bound = 5}};
    const auto made = co_await as_result(reader.read_exactly(6));
    CHECK(made.error() == std::errc::message_size);
    CHECK(sentence_of(made) ==
          "read_exactly text: 6 bytes in one piece are more than the bound of 5: Message too long");
    const auto seen = co_await as_result(reader.peek(6));
    CHECK(sentence_of(seen) == "peek text: 6 bytes in one piece are more than the bound of 5: Message too long");
    CHECK(text.reads == 0);
    guarded_buffer into(6);  // the caller's own memory
    co_await reader.read_exactly(into);
    CHECK(text_in(into) == "012345");
    const std::string last = co_await reader.read_exactly(4);
    CHECK(last == "6789");
  });
}

TEST_CASE("buffered_reader: peek shows and takes nothing, consume takes") {
  simulate([]() -> task<> {
    chopped_text text("0123456789", 2, 3);
    buffered_reader reader{text, {.buffer = 4}};
    CHECK(reader.buffered().empty());
    auto seen = co_await reader.peek();
    CHECK(text_in(seen) == "01");
    seen = co_await reader.peek();
    CHECK(text_in(seen) == "01");
    seen = co_await reader.peek(5);
    CHECK(text_in(seen) == "01234");
    CHECK(text_in(reader.buffered()) == "01234");
    reader.consume(3);
    CHECK(text_in(reader.buffered()) == "34");
    seen = co_await reader.peek(0);
    CHECK(text_in(seen) == "34");
    seen = co_await reader.peek(100);
    CHECK(text_in(seen) == "3456789");
    reader.consume(seen.size());
    seen = co_await reader.peek();
    CHECK(seen.empty());
  });
}

TEST_CASE("buffered_reader: read_some gives what is buffered first, and reads large pieces past the buffer") {
  simulate([]() -> task<> {
    chopped_text text("0123456789abcdefghij", 5, 5);
    buffered_reader reader{text, {.buffer = 8}};
    const std::string two = co_await reader.read_exactly(2);
    CHECK(two == "01");
    guarded_buffer into(10);
    std::size_t n = co_await reader.read_some(into.first(2));
    CHECK(text_in(into.first(n)) == "23");
    n = co_await reader.read_some(into);
    CHECK(text_in(into.first(n)) == "4");
    n = co_await reader.read_some(into.first(0));
    CHECK(n == 0);
    CHECK(reader.buffered().empty());
    n = co_await reader.read_some(into);
    CHECK(text_in(into.first(n)) == "56789");
    CHECK(reader.buffered().empty());
    n = co_await reader.read_some(into.first(3));
    CHECK(text_in(into.first(n)) == "abc");
    CHECK(text_in(reader.buffered()) == "de");
    CHECK(text.reads == 3);
  });
}

// ---- stops, failures

namespace {

/// Whatever is asked for takes as many attempts as it takes, each of them under a timeout that runs out at another
/// time; what comes out must be the same.
task<> impatient(std::string text, std::size_t buffer, weir::duration patience, weir::duration pause) {
  chopped_text in(text, 1, 1, pause);
  buffered_reader reader{in, {.buffer = buffer}};
  int timeouts = 0;
  std::string got;
  for (int kind = 0;; ++kind) {
    const std::size_t before = got.size();
    bool done = false;
    while (!done) {
      std::error_code error;
      if (kind % 4 == 0) {
        auto r = co_await as_result(with_timeout(patience, reader.read_line()));
        error = r.error();
        done = r.has_value();
        if (done && *r) got += **r + "\n";
      } else if (kind % 4 == 1) {
        auto r = co_await as_result(with_timeout(patience, reader.read_until("\n")));
        error = r.error();
        done = r.has_value();
        if (done) got += *r;
      } else if (kind % 4 == 2) {
        guarded_buffer into(8);
        auto r = co_await as_result(with_timeout(patience, reader.read_exactly(into)));
        error = r.error();
        done = r.has_value() || error == weir::errc::end_of_stream;
        if (r.has_value()) got += text_in(into);
      } else {
        guarded_buffer into(2);
        auto r = co_await as_result(with_timeout(patience, reader.read_some(into)));
        error = r.error();
        done = r.has_value();
        if (done) got += text_in(into.first(*r));
      }
      if (error == std::errc::timed_out) ++timeouts;
      REQUIRE((!error || error == std::errc::timed_out || error == weir::errc::end_of_stream));
    }
    if (got.size() == text.size() && got.size() == before) break;
  }
  CHECK(got == text);
  CHECK(timeouts > 10);
}

}  // namespace

TEST_CASE("buffered_reader: timeouts in between change nothing") {
  const std::string text = "first\nsecond\nin the middle\n\n\nof two empty ones\nlast\n";
  for (const std::size_t buffer : {std::size_t{4}, std::size_t{8}, std::size_t{4096}}) {
    for (int patience = 1; patience < 60; patience += 7) {
      simulate([&]() -> task<> { co_await impatient(text, buffer, patience * 1ms, 20ms); });
    }
  }
}

namespace {

/// A read that is stopped when the socket has given `split` bytes of what it needs. Nothing may be lost.
task<> stopped_at(std::size_t split, int kind) {
  const std::string_view text = "a line\nwhat follows it\n";
  connection c = connect_pair();
  buffered_reader reader{c.stream, {.buffer = kind == 2 ? std::size_t{2} : std::size_t{4096}}};
  c.peer.send(bytes_of(text.substr(0, split)));
  weir::cancellation_source source;
  guarded_buffer into(7);
  bool completed = false;
  const auto wait = [&]() -> task<> {
    if (kind == 0) {
      auto r = co_await as_result(with_cancellation(source.token(), reader.read_line()));
      completed = r.has_value();
    } else {
      auto r = co_await as_result(with_cancellation(source.token(), reader.read_exactly(into)));
      completed = r.has_value();
    }
  };
  auto waiting = weir::spawn(wait);
  co_await settle_down();
  source.request_cancellation();
  co_await waiting.join();
  CHECK(completed == (split >= 7));
  // What is larger than the buffer is read alone.
  std::size_t left = split;
  if (completed) left = kind == 2 ? 0 : split - 7;
  CHECK(reader.buffered().size() == left);
  c.peer.send(bytes_of(text.substr(split)));
  if (!completed) {
    const auto line = co_await reader.read_line();
    CHECK(line == "a line");
  }
  const std::string rest = co_await reader.read_until('\n');
  CHECK(rest == "what follows it\n");
  CHECK(reader.buffered().empty());
}

}  // namespace

TEST_CASE("buffered_reader: a read of a socket stopped at every split") {
  const test::no_descriptor_leaks none;
  for (int kind = 0; kind < 3; ++kind) {  // a line, a count through the buffer, a count past it
    for (std::size_t split = 1; split < 20; ++split) {
      CAPTURE(kind);
      CAPTURE(split);
      weir::run(stopped_at(split, kind), one_worker);
    }
  }
}

TEST_CASE("buffered_reader: a stream that fails leaves in the reader what had come") {
  for (const std::size_t buffer : buffer_sizes) {
    simulate([&]() -> task<> {
      chopped_text text("0123456789\n", 3, 3);
      text.fails_at = 7;
      buffered_reader reader{text, {.buffer = buffer}};
      const auto line = co_await as_result(reader.read_line());
      CHECK(sentence_of(line) == "it broke");
      guarded_buffer into(9);
      const auto filled = co_await as_result(reader.read_exactly(into));
      CHECK(sentence_of(filled) == "it broke");
      CHECK(text_in(reader.buffered()) == "0123456");
      text.fails_at = std::string::npos;
      const auto whole = co_await reader.read_line();
      CHECK(whole == "0123456789");
    });
  }
}

TEST_CASE("buffered_reader: operations on what is not open say so") {
  weir::run(
      []() -> task<> {
        buffered_reader reader{weir::tcp_stream()};
        const auto r = co_await as_result(reader.read_line());
        CHECK(sentence_of(r) == "read a closed descriptor: Bad file descriptor");
        CHECK(reader.name() == "a closed socket");
      }(),
      one_worker);
}

TEST_CASE("buffered_reader: a second task is told, and disturbs nothing") {
  weir::run(
      []() -> task<> {
        connection c = connect_pair();
        buffered_reader reader{c.stream};
        c.peer.send(bytes_of("first "));
        const auto wait = [&]() -> task<std::string> {
          auto line = co_await reader.read_line();
          co_return line.value_or("none");
        };
        auto first = weir::spawn(wait);
        co_await settle_down();
        const std::string name = reader.name();
        CHECK(name == c.stream.peer_endpoint().to_string());
        const auto second = co_await as_result(reader.read_line());
        CHECK(sentence_of(second) ==
              "read_line " + name + ": another task is reading from it at the same time: Device or resource busy");
        guarded_buffer into(6);
        const auto exactly = co_await as_result(reader.read_exactly(into));
        CHECK(exactly.error() == std::errc::device_or_resource_busy);
        const auto seen = co_await as_result(reader.peek());
        CHECK(seen.error() == std::errc::device_or_resource_busy);
        c.peer.send(bytes_of("line\n"));
        const std::string line = co_await first.join();
        CHECK(line == "first line");
      }(),
      one_worker);
}

// ---- the task's budget, and its token

TEST_CASE("buffered_reader: who reads lines from the buffer lets others run, and hears of its cancellation") {
  simulate([]() -> task<> {
    std::string text;
    for (int i = 0; i < 10'000; ++i) text += "a line\n";
    chopped_text in(text, text.size(), 1);
    buffered_reader reader{in, {.buffer = text.size()}};
    int lines = 0;
    int turns = 0;
    const auto read = [&]() -> task<> {
      while (auto line = co_await reader.read_line()) ++lines;
    };
    const auto other = [&]() -> task<> {
      for (;;) {
        co_await weir::yield();
        ++turns;
      }
    };
    auto reading = weir::spawn(read);
    auto beside = weir::spawn(other);
    while (lines < 5'000) co_await weir::yield();
    CHECK(turns > 10);
    CHECK(lines < 9'000);
    reading.request_cancellation();
    beside.request_cancellation();
    const auto r = co_await as_result(reading.join());
    CHECK(r.is_cancelled());
    CHECK(lines < 9'000);
    const auto next = co_await reader.read_line();
    CHECK(next == "a line");
    // In a loop that never suspends.
    weir::cancellation_source source;
    const auto greedy = [&]() -> task<> {
      for (int i = 0;; ++i) {
        const auto line = co_await reader.read_line();
        if (i == 10) source.request_cancellation();
        CHECK(i <= 10);
      }
    };
    const auto stopped = co_await as_result(with_cancellation(source.token(), greedy()));
    CHECK(stopped.is_cancelled());
  });
}

// ---- memory

TEST_CASE("buffered_reader: memory grows while reads fill it, and beyond its limit only as long as needed") {
  weir::detail::read_buffer buffer(65'536);
  CHECK(buffer.room(1, 0).size() == 4'096);
  buffer.filled(100);
  buffer.consume(100);
  CHECK(buffer.room(1, 0).size() == 4'096);
  for (const std::size_t expected : {8'192u, 16'384u, 32'768u, 65'536u, 65'536u}) {
    const std::size_t size = buffer.room(1, 0).size();
    buffer.filled(size);
    buffer.consume(size);
    CHECK(buffer.room(1, 0).size() == expected);
  }
  // A long line, and then short ones.
  buffer.filled(65'536);
  CHECK(buffer.room(65'537, 1'000'000).size() == 65'536);
  buffer.filled(65'536);
  CHECK(buffer.room(131'073, 200'000).size() == 200'000 - 131'072);
  buffer.consume(131'000);
  CHECK(buffer.size() == 72);
  CHECK(buffer.room(73, 200'000).size() == 65'536 - 72);
}

TEST_CASE("buffered_reader: moved, with what it holds") {
  simulate([]() -> task<> {
    buffered_reader first{chopped_text("one\ntwo\nthree\n")};
    auto line = co_await first.read_line();
    CHECK(line == "one");
    buffered_reader second{std::move(first)};
    line = co_await second.read_line();
    CHECK(line == "two");
    first = std::move(second);
    line = co_await first.read_line();
    CHECK(line == "three");
    line = co_await first.read_line();
    CHECK(!line);
    // In layers, which is good for nothing but works.
    chopped_text text("a\nb\n", 1, 1);
    buffered_reader inner{text};
    buffered_reader<buffered_reader<chopped_text&>&> outer(inner);
    line = co_await outer.read_line();
    CHECK(line == "a");
  });
}

// ---- real files and sockets

TEST_CASE("buffered_reader: every line of a large file, in few reads") {
  const test::no_descriptor_leaks none;
  test::scratch_directory dir;
  std::string text;
  std::size_t letters = 0;
  for (int i = 0; i < 50'000; ++i) {
    const std::string line = fmt::format("line {} {}", i, std::string(static_cast<std::size_t>(i % 97), 'x'));
    letters += line.size();
    text += line + "\n";
  }
  const std::string path = dir.containing("large.log", text);
  for (const unsigned workers : {1u, 4u}) {
    weir::run(
        [](std::string name, std::size_t expected) -> task<> {
          weir::file file = co_await weir::file::open(std::move(name));
          buffered_reader reader{std::move(file)};
          std::size_t got = 0;
          int n = 0;
          while (auto line = co_await reader.read_line_view()) {
            const std::string begin = fmt::format("line {} ", n++);
            REQUIRE(line->starts_with(begin));
            got += line->size();
          }
          CHECK(n == 50'000);
          CHECK(got == expected);
        }(path, letters),
        {.workers = workers});
  }
}

namespace {

std::uint64_t next_random(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

task<> send_lines(weir::tcp_stream& to, int count) {
  std::uint64_t random = 88172645463325252u;
  for (int i = 0; i < count; ++i) {
    const std::string line = fmt::format("{} {}\n", i, std::string(next_random(random) % 3000, '.'));
    co_await to.write_all(bytes_of(line));
    if (i % 3 == 0) co_await weir::yield();
  }
  to.shutdown(weir::direction::write);
}

task<> read_lines_impatiently(int count) {
  connection c = connect_pair(true);
  weir::tcp_stream other = weir::tcp_stream::adopt(c.peer.release());
  buffered_reader reader{c.stream};
  std::uint64_t random = 1442695040888963407u;
  int got = 0;
  const auto body = [&](weir::task_group& group) -> task<> {
    group.spawn(send_lines(other, count));
    for (;;) {
      const auto patience = std::chrono::microseconds(next_random(random) % 50);
      auto r = co_await as_result(with_timeout(patience, reader.read_line()));
      REQUIRE((r.has_value() || r.error() == std::errc::timed_out));
      if (!r.has_value()) continue;
      if (!*r) break;
      REQUIRE((*r)->starts_with(fmt::format("{} ", got)));
      ++got;
    }
    co_await group.join();
  };
  co_await weir::with_task_group(body);
  CHECK(got == count);
}

}  // namespace

TEST_CASE("buffered_reader: timeouts that run out all the time lose nothing of a socket") {
  for (const unsigned workers : {1u, 4u}) {
    const test::no_descriptor_leaks none;
    weir::run(read_lines_impatiently(test::scaled(500, 200)), {.workers = workers});
  }
}
