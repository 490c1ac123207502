#include <weir/io/copy.hpp>

#include <fmt/format.h>

#include <concepts>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

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

namespace {

weir::worker_counters counted() { return weir::counters().total; }

/// Reads `from` to its end.
template <class From>
task<std::string> all_of(From& from) {
  std::string all;
  guarded_buffer part(10'000);
  for (;;) {
    const std::size_t n = co_await from.read_some(part);
    if (n == 0) co_return all;
    all += text_in(part.first(n));
  }
}

/// A connection both ends of which are weir's.
struct accepted {
  weir::tcp_stream first;
  weir::tcp_stream second;

  static task<accepted> make() {
    weir::tcp_listener listener = weir::tcp_listener::bind(weir::endpoint::loopback(0));
    accepted made;
    made.first = co_await weir::tcp_stream::connect(listener.local_endpoint());
    made.second = co_await listener.accept();
    co_return made;
  }
};

/// What is in a file, without the library.
std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("copy: from file to file by the kernel, from where they stand") {
  const test::no_descriptor_leaks none;
  test::scratch_directory dir;
  const std::string text = numbers(2'000'000);  // more than one call copies
  const std::string source = dir.containing("source", text);
  const std::string target = dir.containing("target", "0123456789");
  const auto copying = [&]() -> task<> {
    weir::file from = co_await weir::file::open(source);
    weir::file to = co_await weir::file::open(target, weir::file_mode::write);
    from.set_position(5);
    to.set_position(3);
    weir::copy_progress progress;
    const std::uint64_t n = co_await weir::copy(from, to, {.progress = &progress});
    CHECK(n == text.size() - 5);
    CHECK(progress.copied == n);
    CHECK(progress.rest.empty());
    CHECK(from.position() == text.size());
    CHECK(to.position() == n + 3);
    CHECK(counted().copied_by_range == n);
    CHECK(counted().copied_by_buffer == 0);
    const std::uint64_t more = co_await weir::copy(from, to);
    CHECK(more == 0);
  };
  weir::run(copying(), one_worker);
  CHECK((content_of(target) == "012" + text.substr(5)));
}

TEST_CASE("copy: files that the kernel does not copy are read and written") {
  const test::no_descriptor_leaks none;
  test::scratch_directory dir;
  const std::string source = dir.containing("source", "news");
  const std::string log = dir.containing("log", "old ");
  const std::string target = dir.name("target");
  const auto copying = [&]() -> task<> {
    using enum weir::file_mode;
    weir::file from = co_await weir::file::open(source);
    weir::file to = co_await weir::file::open(log, append);
    const std::uint64_t n = co_await weir::copy(from, to);
    CHECK(n == 4);
    CHECK(counted().copied_by_range == 0);
    CHECK(counted().copied_by_buffer == 4);
    // A file whose size says nothing.
    weir::file version = co_await weir::file::open("/proc/version");
    weir::file other = co_await weir::file::open(target, write | create);
    const std::uint64_t more = co_await weir::copy(version, other);
    CHECK(more > 10);
    // One that is not open for it: the sentence is that of the write.
    weir::file unwritable = co_await weir::file::open(log);
    from.set_position(0);
    const auto r = co_await as_result(weir::copy(from, unwritable));
    CHECK(sentence_of(r) == "write " + log + ": Bad file descriptor");
  };
  weir::run(copying(), one_worker);
  CHECK(content_of(log) == "old news");
  CHECK(content_of(target) == content_of("/proc/version"));
}

TEST_CASE("copy: a full device fails the copy of a file") {
  const auto copying = []() -> task<> {
    weir::file from = co_await weir::file::open("/dev/zero");
    weir::file to = co_await weir::file::open("/dev/full", weir::file_mode::write);
    const auto r = co_await as_result(weir::copy(from, to));
    CHECK(sentence_of(r) == "write /dev/full: No space left on device");
  };
  weir::run(copying(), one_worker);
}

TEST_CASE("copy: a file into a socket and into a pipe, by the kernel unless it is small") {
  const test::no_descriptor_leaks none;
  test::scratch_directory dir;
  const std::string text = numbers(200'000);
  const std::string source = dir.containing("source", text);
  const std::string small = dir.containing("small", "small");
  const auto copying = [&]() -> task<> {
    weir::file from = co_await weir::file::open(source);
    accepted c = co_await accepted::make();
    const auto send = [&]() -> task<> {
      const std::uint64_t n = co_await weir::copy(from, c.second);
      CHECK(n == text.size());
      c.second.shutdown(weir::direction::write);
    };
    auto sending = weir::spawn(send);
    const std::string sent = co_await all_of(c.first);
    co_await sending.join();
    CHECK((sent == text));
    CHECK(counted().copied_by_sendfile == text.size());

    auto [reader, writer] = weir::make_pipe();
    from.set_position(7);
    const auto pour = [&]() -> task<> {
      const std::uint64_t n = co_await weir::copy(from, writer);
      CHECK(n == text.size() - 7);
      weir::file little = co_await weir::file::open(small);
      const std::uint64_t m = co_await weir::copy(little, writer);
      CHECK(m == 5);
      writer.close();
    };
    auto pouring = weir::spawn(pour);
    const std::string poured = co_await all_of(reader);
    co_await pouring.join();
    CHECK((poured == text.substr(7) + "small"));
    CHECK(counted().copied_by_sendfile == 2 * text.size() - 7);
    CHECK(counted().copied_by_buffer == 5);
  };
  weir::run(copying(), one_worker);
}

TEST_CASE("copy: between sockets and pipes by the kernel, whatever they are") {
  const test::no_descriptor_leaks none;
  const std::string text = numbers(200'000);
  const auto copying = [&]() -> task<> {
    // socket -> accepted socket -> pipe -> pipe -> unix socket -> half of a socket
    accepted first = co_await accepted::make();
    accepted second = co_await accepted::make();
    auto [pipe_out, pipe_in] = weir::make_pipe();
    auto [last_out, last_in] = weir::make_pipe();
    auto [local, other] = weir::unix_stream::pair();
    accepted third = co_await accepted::make();
    auto [unused, half] = weir::split(std::move(third.first), {.shutdown_at_end = true});
    co_await weir::with_task_group([&](weir::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        co_await first.first.write_all(test::bytes_of(text));
        first.first.shutdown(weir::direction::write);
      });
      group.spawn([&]() -> task<> {
        co_await weir::copy(first.second, second.first);
        second.first.shutdown(weir::direction::write);
      });
      group.spawn([&]() -> task<> {
        co_await weir::copy(second.second, pipe_in);
        pipe_in.close();
      });
      group.spawn([&]() -> task<> {
        co_await weir::copy(pipe_out, last_in);
        last_in.close();
      });
      group.spawn([&]() -> task<> {
        co_await weir::copy(last_out, local);
        local.shutdown(weir::direction::write);
      });
      group.spawn([&]() -> task<> {
        co_await weir::copy(other, half);
        half.shutdown();
      });
      const std::string received = co_await all_of(third.second);
      CHECK((received == text));
      co_await group.join();
    });
  };
  const auto counting = [&]() -> task<> {
    co_await copying();
    CHECK(counted().copied_by_splice == 5 * text.size());
    CHECK(counted().copied_by_buffer == 0);
  };
  weir::run(counting(), one_worker);
  weir::run(copying(), {.workers = 4});
}

TEST_CASE("copy: what a pipe has taken and its other end refuses is written all the same, or kept") {
  const test::no_descriptor_leaks none;
  const auto copying = []() -> task<> {
    auto [reader, writer] = weir::make_pipe();
    co_await writer.write_all(test::bytes_of("0123456789"));
    // Nothing can be spliced into it, and nothing written.
    weir::pipe_writer full = co_await weir::pipe_writer::open("/dev/full");
    weir::copy_progress progress;
    const auto r = co_await as_result(weir::copy(reader, full, {.progress = &progress}));
    CHECK(sentence_of(r) == "write /dev/full: No space left on device");
    CHECK(progress.copied == 0);
    CHECK(text_in(progress.rest) == "0123456789");
    co_await writer.write_all(test::bytes_of("abc"));
    writer.close();
    slow_sink sink;
    const std::uint64_t n = co_await weir::copy(reader, sink, {.progress = &progress});
    CHECK(n == 13);
    CHECK(sink.text == "0123456789abc");
    CHECK(progress.copied == 13);
    CHECK(progress.rest.empty());
  };
  weir::run(copying(), one_worker);
}

TEST_CASE("copy: a connection that breaks leaves in the progress what it has not taken") {
  const test::no_descriptor_leaks none;
  const std::string text = numbers(100'000);
  const auto copying = [&]() -> task<> {
    auto [reader, writer] = weir::make_pipe();
    connection c = test::connect_pair(true);
    weir::copy_progress progress;
    auto writing = weir::spawn([&]() -> task<> {
      co_await writer.write_all(test::bytes_of(text));
      writer.close();
    });
    auto relaying =
        weir::spawn([&]() -> task<std::uint64_t> { return weir::copy(reader, c.stream, {.progress = &progress}); });
    // Nobody reads, and so it comes to a halt.
    std::uint64_t before = 1;
    while (progress.copied != before) {
      before = progress.copied;
      co_await test::settle_down();
    }
    c.peer.reset();
    const auto r = co_await as_result(relaying.join());
    CHECK_FALSE(r.has_value());
    CHECK_FALSE(progress.rest.empty());
    before = progress.copied;
    slow_sink rest(100'000);
    const std::uint64_t more = co_await weir::copy(reader, rest, {.progress = &progress});
    co_await writing.join();
    CHECK(before + more == text.size());
    CHECK(progress.copied == text.size());
    CHECK((rest.text == text.substr(before)));
  };
  weir::run(copying(), one_worker);
}

TEST_CASE("copy: closing either end ends a copy that the kernel makes") {
  const test::no_descriptor_leaks none;
  const auto copying = []() -> task<> {
    for (const bool the_source : {true, false}) {
      connection from = test::connect_pair();
      connection to = test::connect_pair();
      auto relaying = weir::spawn([&]() -> task<std::uint64_t> { return weir::copy(from.stream, to.stream); });
      from.peer.send(test::bytes_of("x"));
      co_await test::settle_down();
      if (the_source) {
        from.stream.close();
      } else {
        to.stream.close();
        from.peer.send(test::bytes_of("y"));
      }
      const auto r = co_await as_result(relaying.join());
      CHECK(r.error() == std::errc::operation_canceled);
      if (the_source) CHECK(from.peer.at_end());
    }
  };
  weir::run(copying(), one_worker);
}

TEST_CASE("copy: from user's streams a stop leaves in the progress what was not written") {
  const std::string text = numbers(40);
  simulate([&]() -> task<> {
    chopped_text from(text, 50, 50);
    slow_sink to(3, 10ms);
    weir::copy_progress progress;
    int stops = 0;
    for (;;) {
      const auto r =
          co_await as_result(weir::with_timeout(25ms, weir::copy(from, to, {.buffer = 32, .progress = &progress})));
      CHECK(progress.copied == to.text.size());
      if (r.has_value()) break;
      CHECK(text.substr(0, to.text.size() + progress.rest.size()) == to.text + std::string(text_in(progress.rest)));
      ++stops;
    }
    CHECK(stops > 3);
    CHECK(to.text == text);
  });
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
