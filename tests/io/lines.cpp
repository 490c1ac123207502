#include <weir/io/lines.hpp>

#include <fmt/format.h>

#include <concepts>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "files.hpp"
#include "open_descriptors.hpp"
#include "sockets.hpp"
#include "streams.hpp"

using test::bytes_of;
using test::chopped_text;
using test::connection;
using test::sentence_of;
using test::simulate;
using weir::as_result;
using weir::async_generator;
using weir::buffered_reader;
using weir::task;
using weir::with_timeout;

namespace {

using strings = std::vector<std::string>;

task<strings> all_of(async_generator<std::string> lines) {
  strings all;
  while (auto line = co_await lines.next()) all.push_back(std::move(*line));
  co_return std::move(all);
}

/// Fails to compile where weir::lines could be found by accident.
template <class T>
concept found_unqualified = requires(T& stream) { lines(stream); };
static_assert(!found_unqualified<weir::file>);
static_assert(!std::invocable<decltype(weir::lines), int> && !std::invocable<decltype(weir::lines), const weir::file&>);

}  // namespace

TEST_CASE("lines: of a reader, of a stream, of an owned one") {
  for (std::size_t step = 1; step < 20; ++step) {
    simulate([&]() -> task<> {
      const std::string text = "one\r\n\ntwo and\nthree";
      const strings expected{"one", "", "two and", "three"};
      chopped_text referred(text, step, step);
      strings got = co_await all_of(weir::lines(referred));
      CHECK(got == expected);
      got = co_await all_of(weir::lines(chopped_text(text, step, step)));
      CHECK(got == expected);
      chopped_text read(text, step, step);
      buffered_reader reader{read};
      got = co_await all_of(weir::lines(reader));
      CHECK(got == expected);
      buffered_reader given{chopped_text(text, step, step)};
      got = co_await all_of(weir::lines(std::move(given)));
      CHECK(got == expected);
    });
  }
}

TEST_CASE("lines: options, and a line beyond the bound") {
  simulate([]() -> task<> {
    chopped_text text("a\r\nb\nlonger\nc\n");
    buffered_reader reader{text, {.bound = 5, .keep_carriage_return = true}};
    {
      auto lines = weir::lines(reader);
      auto line = co_await lines.next();
      CHECK(line == "a\r");
      line = co_await lines.next();
      CHECK(line == "b");
      const auto r = co_await as_result(lines.next());
      CHECK(sentence_of(r) == "read_line text: a line is longer than 5 bytes: Message too long");
      line = co_await lines.next();
      CHECK(!line);  // it has ended
    }
    const std::size_t dropped = co_await reader.skip_line();
    CHECK(dropped == 7);
    auto lines = weir::lines(reader);
    auto line = co_await lines.next();
    CHECK(line == "c");
    chopped_text other("123456\n");
    auto bounded = weir::lines(other, {.bound = 5});
    const auto r = co_await as_result(bounded.next());
    CHECK(r.error() == std::errc::message_size);
    auto owned = weir::lines(chopped_text("123456\n"), {.bound = 6});
    line = co_await owned.next();
    CHECK(line == "123456");
  });
}

TEST_CASE("lines: timeouts end generators, but a reader that they refer to loses nothing") {
  simulate([]() -> task<> {
    std::string text;
    for (int i = 0; i < 30; ++i) text += fmt::format("line {}\n", i);
    chopped_text in(text, 1, 5, 10ms);
    buffered_reader reader{in};
    int got = 0;
    int generators = 0;
    for (; got < 30; ++generators) {
      auto lines = weir::lines(reader);
      for (;;) {
        const auto r = co_await as_result(with_timeout(15ms, lines.next()));
        if (!r.has_value()) break;
        if (!r->has_value()) break;
        CHECK(*r == fmt::format("line {}", got++));
      }
      const auto ended = co_await lines.next();
      CHECK(!ended);
    }
    CHECK(generators > 5);
  });
}

TEST_CASE("lines: a file that it owns is closed with it, half read") {
  const test::no_descriptor_leaks none;
  test::scratch_directory dir;
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += fmt::format("line {}\n", i);
  weir::run(
      [](std::string path) -> task<> {
        weir::file input = co_await weir::file::open(path);
        auto lines = weir::lines(std::move(input));
        for (int i = 0; i < 30'000; ++i) {
          const auto line = co_await lines.next();
          REQUIRE(line == fmt::format("line {}", i));
        }
        weir::file borrowed = co_await weir::file::open(path);
        int n = 0;
        auto others = weir::lines(borrowed);
        while (auto line = co_await others.next()) ++n;
        CHECK(n == 50'000);
      }(dir.containing("log", text)),
      {.workers = 1});
}

TEST_CASE("lines: of a socket, as they come") {
  const test::no_descriptor_leaks none;
  weir::run(
      []() -> task<> {
        connection c = test::connect_pair();
        auto lines = weir::lines(std::move(c.stream));
        for (int i = 0; i < 100; ++i) {
          c.peer.send(bytes_of("first half, "));
          auto next = weir::spawn(
              [](async_generator<std::string>& from) -> task<std::string> {
                auto line = co_await from.next();
                co_return line.value_or("none");
              },
              std::ref(lines));
          co_await weir::yield();
          c.peer.send(bytes_of("second half\n"));
          const std::string line = co_await next.join();
          CHECK(line == "first half, second half");
        }
        c.peer.close();
        const auto end = co_await lines.next();
        CHECK(!end);
      }(),
      {.workers = 1});
}
