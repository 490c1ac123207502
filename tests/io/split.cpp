#include <array>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <weir/io/split.hpp>
#include <weir/io/stream.hpp>

#include "guarded_buffer.hpp"
#include "tcp_support.hpp"

using test::both_ends;
using test::bytes_of;
using test::fill_pattern;
using test::guarded_buffer;
using test::is_pattern;
using test::run_checked;
using test::sentence_of;
using weir::as_result;
using weir::read_half;
using weir::split;
using weir::task;
using weir::task_group;
using weir::tcp_stream;
using weir::unix_stream;
using weir::with_task_group;
using weir::write_half;

static_assert(weir::read_stream<read_half<tcp_stream>> && !weir::write_stream<read_half<tcp_stream>>);
static_assert(weir::write_stream<write_half<unix_stream>> && !weir::read_stream<write_half<unix_stream>>);
static_assert(!std::is_copy_constructible_v<read_half<tcp_stream>>);
static_assert(std::is_nothrow_move_constructible_v<write_half<tcp_stream>>);

namespace {

template <class Stream>
task<> write_pattern(write_half<Stream> writer, std::size_t size) {
  guarded_buffer bytes(size);
  fill_pattern(bytes);
  co_await writer.write_all(bytes);
  CHECK(writer.bytes_written() == size);
}

template <class Stream>
task<> read_pattern(read_half<Stream> reader, std::size_t size) {
  guarded_buffer bytes(size + 1);
  auto ended = co_await as_result(reader.read_exactly(bytes));
  CHECK(ended.error() == weir::errc::end_of_stream);
  CHECK(reader.bytes_read() == size);
  CHECK(is_pattern(bytes.first(size)));
}

/// Both ends are split, and all four halves are busy at once.
template <class Stream>
task<> talk(Stream a, Stream b, std::size_t size) {
  co_await with_task_group([&](task_group& group) -> task<> {
    for (Stream* end : {&a, &b}) {
      auto [reader, writer] = split(std::move(*end), {.shutdown_at_end = true});
      group.spawn(read_pattern(std::move(reader), size));
      group.spawn(write_pattern(std::move(writer), size));
    }
    co_return;
  });
}

}  // namespace

TEST_CASE("split: both halves of both ends work at once, and the write half's end is the peer's end of stream") {
  for (const unsigned workers : {1u, 3u}) {
    auto main = []() -> task<> {
      both_ends tcp = co_await test::connect_both();
      co_await talk(std::move(tcp.client), std::move(tcp.server), 1'000'000);
      auto [a, b] = unix_stream::pair();
      co_await talk(std::move(a), std::move(b), 1'000'000);
    };
    run_checked(main(), {.workers = workers});
  }
}

TEST_CASE("split: the stream closes when both halves are gone, and not before") {
  auto main = []() -> task<> {
    auto [a, b] = unix_stream::pair();
    const int number = a.native_handle();
    auto [reader, writer] = split(std::move(a));
    CHECK(!a.is_open());
    CHECK(reader.name() == writer.name());
    CHECK(reader.stream().native_handle() == number);
    reader = {};
    CHECK(!reader);
    co_await writer.writable();
    co_await writer.write_all(bytes_of("still open"));
    CHECK(!test::is_free(number));
    writer = {};
    CHECK(test::is_free(number));
    std::array<std::byte, 20> got{};
    auto ended = co_await as_result(b.read_exactly(got));
    CHECK(ended.error() == weir::errc::end_of_stream);
    CHECK(b.bytes_read() == 10);
  };
  run_checked(main());
}

TEST_CASE("split: without being asked the end of the write half ends nothing; shutdown() does") {
  auto main = []() -> task<> {
    both_ends ends = co_await test::connect_both();
    auto [reader, writer] = split(std::move(ends.client));
    co_await writer.write_all(bytes_of("x"));
    std::array<std::byte, 8> got{};
    const std::size_t first = co_await ends.server.read_some(got);
    CHECK(first == 1);
    auto quiet = co_await as_result(weir::with_timeout(1us, ends.server.read_some(got)));
    CHECK(quiet.error() == std::errc::timed_out);
    writer.shutdown();
    const std::size_t end = co_await ends.server.read_some(got);
    CHECK(end == 0);
    co_await ends.server.write_all(bytes_of("back"));
    co_await reader.readable();
    const std::size_t back = co_await reader.read_some(got);
    CHECK(back == 4);
    auto refused = co_await as_result(writer.write_some(bytes_of("late")));
    CHECK(refused.error() == std::errc::broken_pipe);
  };
  run_checked(main());
}

TEST_CASE("split: when the last half goes, what the other has begun is cancelled") {
  auto main = []() -> task<> {
    auto [a, b] = unix_stream::pair();
    auto [reader, writer] = split(std::move(a));
    co_await with_task_group([&](task_group& group) -> task<> {
      std::array<std::byte, 8> into{};
      auto waiting = [&into, from = &reader]() -> task<> {
        auto r = co_await as_result(from->read_some(into));
        CHECK(r.error() == std::errc::operation_canceled);
      };
      group.spawn(waiting());
      co_await test::settle_down();
      writer = {};
      co_await test::settle_down();
      CHECK(group.size() == 1);
      reader = {};
      co_await group.join();
    });
  };
  run_checked(main());
}

TEST_CASE("split: rejoined, it is the stream again, and writing goes on") {
  auto main = []() -> task<> {
    auto [a, b] = unix_stream::pair();
    const int number = a.native_handle();
    auto [reader, writer] = split(std::move(a), {.shutdown_at_end = true});
    unix_stream whole = rejoin(std::move(reader), std::move(writer));
    CHECK(whole.native_handle() == number);
    co_await whole.write_all(bytes_of("one"));
    std::array<std::byte, 3> got{};
    co_await b.read_exactly(got);
    auto quiet = co_await as_result(weir::with_timeout(1us, b.read_some(got)));
    CHECK(quiet.error() == std::errc::timed_out);

    auto [r1, w1] = split(std::move(whole));
    auto [r2, w2] = split(std::move(b));
    CHECK_THROWS_AS(static_cast<void>(rejoin(std::move(r1), std::move(w2))), std::invalid_argument);
    CHECK_THROWS_AS(static_cast<void>(rejoin(read_half<tcp_stream>(), write_half<tcp_stream>())),
                    std::invalid_argument);
    // A half that is none of a stream says so.
    auto nothing = co_await as_result(r1.read_some(got));
    CHECK(nothing.error() == std::errc::bad_file_descriptor);
    CHECK(r1.name() == "a closed socket");
  };
  run_checked(main());
}
