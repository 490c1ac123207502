#include <weir/io/copy.hpp>

#include <fmt/format.h>

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include <weir/io/buffered_writer.hpp>
#include <weir/io/read_exactly.hpp>

#include "files.hpp"
#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "sockets.hpp"
#include "streams.hpp"

using test::chopped_text;
using test::connection;
using test::guarded_buffer;
using test::sentence_of;
using test::simulate;
using test::slow_sink;
using test::text_in;
using weir::as_result;
using weir::buffered_reader;
using weir::buffered_writer;
using weir::task;

static_assert(
    std::same_as<decltype(weir::copy(std::declval<chopped_text&>(), std::declval<slow_sink&>())), task<std::uint64_t>>);
static_assert(!std::invocable<decltype(weir::copy), chopped_text, slow_sink&>, "a temporary would be gone too early");
static_assert(!std::invocable<decltype(weir::copy), slow_sink&, chopped_text&>, "the wrong way round");

namespace {

constexpr weir::runtime_options one_worker{.workers = 1};

std::string numbers(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += fmt::format("{} ", i);
  return text;
}

}  // namespace

TEST_CASE("copy: everything, in pieces of all sizes") {
  const std::string text = numbers(30);
  for (const std::size_t buffer : {0, 1, 3, 1000}) {
    for (std::size_t in_step = 1; in_step < 12; in_step += 2) {
      for (std::size_t out_step = 1; out_step < 12; out_step += 3) {
        simulate([&]() -> task<> {
          chopped_text from(text, in_step, in_step);
          slow_sink to(out_step);
          const std::uint64_t n = co_await weir::copy(from, to, {.buffer = buffer});
          REQUIRE(n == text.size());
          REQUIRE(to.text == text);
          REQUIRE(to.largest <= std::max<std::size_t>(buffer, 1));
        });
      }
    }
  }
}

TEST_CASE("copy: nothing") {
  simulate([]() -> task<> {
    chopped_text from("");
    slow_sink to;
    const std::uint64_t n = co_await weir::copy(from, to);
    CHECK(n == 0);
    CHECK(to.writes == 0);
  });
}

TEST_CASE("copy: from a buffered_reader what it has first, into a buffered_writer without a flush") {
  simulate([]() -> task<> {
    chopped_text from("header\nbody and more body");
    slow_sink to;
    buffered_reader reader{from};
    buffered_writer writer{to};
    const auto line = co_await reader.read_line();
    CHECK(line == "header");
    const std::uint64_t n = co_await weir::copy(reader, writer);
    CHECK(n == 18);
    CHECK(to.text.empty());
    co_await writer.flush();
    CHECK(to.text == "body and more body");
  });
}

TEST_CASE("copy: from a buffered_reader, stopped again and again, loses nothing") {
  const std::string text = numbers(40);
  for (int patience = 21; patience < 100; patience += 7) {
    simulate([&]() -> task<> {
      chopped_text from(text, 5, 7, 9ms);
      slow_sink to(3, 10ms);
      buffered_reader reader{from, {.buffer = 16}};
      int stops = 0;
      for (;;) {
        const auto r = co_await as_result(weir::with_timeout(patience * 1ms, weir::copy(reader, to)));
        if (r.has_value()) break;
        CHECK(r.error() == std::errc::timed_out);
        ++stops;
      }
      CHECK(stops > 3);
      REQUIRE(to.text == text);
    });
  }
}

TEST_CASE("copy: failures of either side come out") {
  simulate([]() -> task<> {
    chopped_text from("0123456789", 3, 3);
    from.fails_at = 6;
    slow_sink to;
    const auto broken = co_await as_result(weir::copy(from, to));
    CHECK(sentence_of(broken) == "it broke");
    CHECK(to.text == "012345");
    to.fails_at = 0;
    from.fails_at = std::string::npos;
    const auto full = co_await as_result(weir::copy(from, to));
    CHECK(sentence_of(full) == "it is full");
    slow_sink stuck(0);
    chopped_text more("more");
    const auto r = co_await as_result(weir::copy(more, stuck));
    CHECK(sentence_of(r) == "write sink: it takes no more bytes: Input/output error");
  });
}

TEST_CASE("copy: a file through a socket into a file") {
  const test::no_descriptor_leaks none;
  test::scratch_directory dir;
  const std::string text = numbers(200'000);
  const std::string source = dir.containing("source", text);
  for (const unsigned workers : {1u, 4u}) {
    const std::string target = dir.name(workers == 1 ? "target" : "other target");
    weir::run(
        [](std::string in_path, std::string out_path, std::size_t size) -> task<> {
          using enum weir::file_mode;
          connection c = test::connect_pair(true);
          weir::tcp_stream other = weir::tcp_stream::adopt(c.peer.release());
          weir::file in = co_await weir::file::open(in_path);
          weir::file out = co_await weir::file::open(out_path, write | create);
          const auto send = [&]() -> task<> {
            const std::uint64_t n = co_await weir::copy(in, c.stream);
            CHECK(n == size);
            c.stream.shutdown(weir::direction::write);
          };
          auto sending = weir::spawn(send);
          const std::uint64_t n = co_await weir::copy(other, out);
          CHECK(n == size);
          co_await sending.join();
        }(source, target, text.size()),
        {.workers = workers});
    const std::string copied = weir::run(
        [](std::string path, std::size_t size) -> task<std::string> {
          weir::file file = co_await weir::file::open(path);
          guarded_buffer all(size);
          co_await weir::read_exactly(file, all);
          co_return std::string(text_in(all));
        }(target, text.size()),
        one_worker);
    CHECK((copied == text));
  }
}

TEST_CASE("read_exactly: any stream") {
  simulate([]() -> task<> {
    chopped_text text("0123456789", 2, 3);
    guarded_buffer into(8);
    co_await weir::read_exactly(text, into);
    CHECK(text_in(into) == "01234567");
    co_await weir::read_exactly(text, into.first(0));
    const auto r = co_await as_result(weir::read_exactly(text, into));
    CHECK(r.error() == weir::errc::end_of_stream);
    CHECK(sentence_of(r) == "read_exactly text after 2 of 8 bytes: end of stream");
  });
  // The stream's own one.
  static_assert(std::same_as<decltype(weir::read_exactly(std::declval<weir::tcp_stream&>(), {})),
                             decltype(std::declval<weir::tcp_stream&>().read_exactly({}))>);
}
