#include <weir/io/lease.hpp>

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <weir/runtime/detail/run_queue.hpp>
#include <weir/sync/event.hpp>

#include "../skip.hpp"
#include "guarded_buffer.hpp"
#include "pretended_kernel.hpp"
#include "sandbox.hpp"
#include "streams.hpp"
#include "tcp_support.hpp"

using test::bytes_of;
using test::connect_both;
using test::connect_pair;
using test::run_checked;
using test::sentence_of;
using test::text_in;
using weir::as_result;
using weir::lease;
using weir::task;
using weir::task_group;
using weir::tcp_stream;
using weir::with_timeout;

static_assert(!std::is_copy_constructible_v<lease> && std::is_nothrow_move_constructible_v<lease>);
static_assert(!std::is_constructible_v<lease, lease&> && std::is_nothrow_move_assignable_v<lease>);

namespace {

weir::worker_counters counted() { return weir::counters().total; }

bool uses_ring() { return counted().ring_leases != 0; }

/// What comes next, which must be something.
task<std::string> next_text(tcp_stream& from) {
  const std::optional<lease> got = co_await from.receive();
  REQUIRE(got);
  co_return std::string(text_in(*got));
}

/// Receives to the end of the stream.
task<std::size_t> receive_pattern(tcp_stream& from) {
  std::size_t total = 0;
  while (const auto got = co_await from.receive()) {
    if (!test::is_pattern(*got, total)) throw std::runtime_error("something else was received");
    total += got->size();
    co_await weir::yield();  // with the lease
  }
  co_return total;
}

task<> send_pattern(tcp_stream& to, std::size_t size) {
  std::vector<std::byte> bytes(size);
  test::fill_pattern(bytes);
  co_await to.write_all(bytes);
  to.shutdown(weir::direction::write);
}

/// Through as few buffers as there are, both ways for each of them, and counts.
task<> many_over_few(int connections, std::size_t size) {
  std::deque<test::both_ends> ends;
  for (int i = 0; i < connections; ++i) ends.push_back(co_await connect_both());
  auto body = [&](task_group& group) -> task<> {
    for (test::both_ends& both : ends) {
      group.spawn([&both, size]() -> task<> {
        const std::size_t got = co_await receive_pattern(both.server);
        if (got != size) throw std::runtime_error("bytes were lost");
        co_await both.server.write_all(bytes_of("thanks"));
      });
      group.spawn([&both, size]() -> task<> {
        co_await send_pattern(both.client, size);
        const std::string answer = co_await next_text(both.client);
        if (answer != "thanks") throw std::runtime_error("another answer");
      });
    }
    co_return;
  };
  co_await weir::with_task_group(body);
  CHECK(counted().leased == 0);
}

}  // namespace

TEST_CASE("lease: what comes, piece by piece, and the end behind it") {
  auto main = []() -> task<> {
    test::connection c = connect_pair();
    auto receiving = weir::spawn(next_text(c.stream));
    co_await test::settle_down();
    CHECK(!receiving.done());
    CHECK(counted().leased == 0);
    c.peer.send(bytes_of("hello"));
    const std::string first = co_await receiving.join();
    CHECK(first == "hello");
    CHECK(c.stream.bytes_read() == 5);
    c.peer.send(bytes_of("and good-bye"));
    c.peer.shutdown_write();
    const std::string second = co_await next_text(c.stream);
    CHECK(second == "and good-bye");
    for (int i = 0; i < 2; ++i) {
      const std::optional<lease> none = co_await c.stream.receive();
      CHECK(!none);
    }
    CHECK(counted().leases == 2);
    CHECK(counted().lease_waits == 0);
    CHECK(counted().leased == 0);
  };
  run_checked(main());
}

TEST_CASE("lease: it is a range of bytes that may be changed and sent") {
  auto main = []() -> task<> {
    test::connection c = connect_pair();
    c.peer.send(bytes_of("abc"));
    std::optional<lease> got = co_await c.stream.receive();
    REQUIRE(got);
    CHECK(counted().leased == 1);
    CHECK(*got);
    CHECK(!got->empty());
    CHECK(got->size() == 3);
    CHECK(got->bytes().data() == got->data());
    CHECK(got->end() - got->begin() == 3);
    got->bytes()[0] = std::byte{'x'};
    co_await c.stream.write_all(*got);
    test::guarded_buffer echo(3);
    CHECK(c.peer.receive(echo) == 3);
    CHECK(text_in(echo) == "xbc");

    lease other = std::move(*got);
    CHECK(!*got);  // NOLINT(bugprone-use-after-move)
    CHECK(got->empty());
    CHECK(text_in(other) == "xbc");
    lease third;
    CHECK(!third);
    third = std::move(other);
    CHECK(text_in(third) == "xbc");
    CHECK(counted().leased == 1);
    third.reset();
    CHECK(!third);
    CHECK(counted().leased == 0);
    third.reset();
    CHECK(counted().leased == 0);
  };
  run_checked(main());
}

TEST_CASE("lease: of unix streams, and of halves") {
  auto main = []() -> task<> {
    auto [here, there] = weir::unix_stream::pair();
    auto [reader, writer] = weir::split(std::move(here));
    co_await there.write_all(bytes_of("over a unix socket"));
    std::optional<lease> got = co_await reader.receive();
    REQUIRE(got);
    co_await writer.write_all(*got);
    std::optional<lease> back = co_await there.receive();
    REQUIRE(back);
    CHECK(text_in(*back) == "over a unix socket");
    there.close();
    const std::optional<lease> end = co_await reader.receive();
    CHECK(!end);
  };
  run_checked(main());
}

TEST_CASE("lease: no more bytes than a buffer has, and the rest with the next") {
  auto main = []() -> task<> {
    test::connection c = connect_pair();
    c.peer.send(bytes_of("0123456789"));
    co_await c.stream.readable();
    std::vector<lease> held;
    held.reserve(3);
    for (const char* part : {"0123", "4567", "89"}) {
      std::optional<lease> got = co_await c.stream.receive();
      REQUIRE(got);
      CHECK(text_in(*got) == part);
      held.push_back(std::move(*got));
    }
    CHECK(text_in(held[0]) == "0123");
    CHECK(counted().leased == 3);
  };
  run_checked(main(), {.workers = 1, .lease_buffers = 3, .lease_size = 4});
}

TEST_CASE("lease: idle connections hold no buffer") {
  auto main = []() -> task<> {
    std::vector<std::pair<weir::unix_stream, weir::unix_stream>> pairs;
    pairs.reserve(1000);
    for (int i = 0; i < 1000; ++i) pairs.push_back(weir::unix_stream::pair());
    int received = 0;
    auto body = [&](task_group& group) -> task<> {
      for (auto& both : pairs) {
        group.spawn([&both, &received]() -> task<> {
          const auto got = co_await both.first.receive();
          if (got && text_in(*got) == "now") ++received;
        });
      }
      co_await test::settle_down(5000);
      CHECK(counted().in_flight >= 1000);
      CHECK(counted().leased == 0);
      CHECK(counted().lease_waits == 0);
      // All at once, over two buffers.
      for (auto& both : pairs) {
        CHECK(::send(both.second.native_handle(), "now", 3, MSG_NOSIGNAL) == 3);
      }
    };
    co_await weir::with_task_group(body);
    CHECK(received == 1000);
    CHECK(counted().leases == 1000);
    CHECK(counted().leased == 0);
  };
  run_checked(main(), {.workers = 1, .lease_buffers = 2, .lease_size = 16});
}

TEST_CASE("lease: who finds no buffer waits for one, and those that wait take turns") {
  auto main = []() -> task<> {
    std::array<test::connection, 4> all;
    for (test::connection& c : all) c = connect_pair();
    all[0].peer.send(bytes_of("0"));
    std::optional<lease> held = co_await all[0].stream.receive();
    std::string order;
    auto body = [&](task_group& group) -> task<> {
      for (std::size_t i : {2u, 1u, 3u}) {
        all[i].peer.send(bytes_of(std::to_string(i)));
        group.spawn([&, i]() -> task<> {
          const auto got = co_await all[i].stream.receive();
          order += text_in(*got);
          co_await weir::yield();
        });
        co_await test::settle_down();
      }
      CHECK(order.empty());
      CHECK(counted().lease_waits == 3);
      held.reset();
    };
    co_await weir::with_task_group(body);
    CHECK(order == "213");
    CHECK(counted().leased == 0);
  };
  run_checked(main(), {.workers = 1, .lease_buffers = 1});
}

TEST_CASE("lease: an idle connection is in nobody's way when buffers are few") {
  auto main = []() -> task<> {
    test::connection idle = connect_pair();
    test::connection busy = connect_pair();
    busy.peer.send(bytes_of("ab"));
    std::optional<lease> held = co_await busy.stream.receive();
    auto body = [&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        const std::string got = co_await next_text(idle.stream);
        CHECK(got == "at last");
      });
      group.spawn([&]() -> task<> {
        const std::string got = co_await next_text(busy.stream);
        CHECK(got == "cd");
        idle.peer.send(bytes_of("at last"));
      });
      co_await test::settle_down();
      busy.peer.send(bytes_of("cd"));
      co_await test::settle_down();
      held.reset();
    };
    co_await with_timeout(20s, weir::with_task_group(body));
  };
  run_checked(main(), {.workers = 1, .lease_buffers = 1});
}

TEST_CASE("lease: many connections over few buffers lose nothing and starve nobody") {
  for (const unsigned workers : {1u, 3u}) {
    for (const unsigned buffers : {1u, 2u, 5u}) {
      CAPTURE(workers);
      CAPTURE(buffers);
      run_checked(many_over_few(test::scaled(30, 10), 20'000),
                  {.workers = workers, .lease_buffers = buffers, .lease_size = 1000});
    }
  }
}

TEST_CASE("lease: a kernel without buffer rings") {
  if (!test::ring_is_default()) return skip("io_uring is not what runs here");
  auto main = [](bool by_ring) -> task<> {
    co_await many_over_few(5, 5000);
    CHECK(uses_ring() == by_ring);
  };
  {
    const test::no_buffer_rings kernel;
    for (const unsigned buffers : {1u, 2u, 256u}) {
      run_checked(main(false), {.workers = 1, .lease_buffers = buffers, .lease_size = 1000});
    }
  }
  // And one that has them, if this one does.
  run_checked(main(test::has_buffer_rings()), {.workers = 1, .lease_size = 1000});
}

TEST_CASE("lease: many at once are a few rounds more for the kernel, and still its choice") {
  auto main = []() -> task<> {
    std::vector<std::pair<weir::unix_stream, weir::unix_stream>> pairs;
    pairs.reserve(200);
    for (int i = 0; i < 200; ++i) pairs.push_back(weir::unix_stream::pair());
    for (int round = 0; round < 3; ++round) {
      std::vector<lease> held;
      auto body = [&](task_group& group) -> task<> {
        for (auto& both : pairs) {
          group.spawn([&]() -> task<> {
            std::optional<lease> got = co_await both.first.receive();
            held.push_back(std::move(*got));
          });
        }
        co_await test::settle_down();
        for (auto& both : pairs) CHECK(::send(both.second.native_handle(), "now", 3, MSG_NOSIGNAL) == 3);
      };
      co_await weir::with_task_group(body);
      CHECK(held.size() == 200);
      CHECK(counted().leased == 200);
    }
    CHECK(counted().leased == 0);
    CHECK(counted().lease_waits == 0);
    if (uses_ring()) CHECK(counted().ring_leases == 600);
  };
  run_checked(main());
}

TEST_CASE("lease: on epoll nothing is the ring's") {
  auto main = []() -> task<> {
    co_await many_over_few(2, 1000);
    CHECK(counted().leases >= 4);
    CHECK(!uses_ring());
  };
  run_checked(main(), {.workers = 1, .backend = weir::backend_kind::epoll});
}

TEST_CASE("lease: cancelled while it waits for bytes, and while it waits for a buffer") {
  auto main = []() -> task<> {
    test::connection first = connect_pair();
    test::connection second = connect_pair();
    auto late = co_await as_result(with_timeout(1ms, first.stream.receive()));
    CHECK(late.error() == std::errc::timed_out);
    first.peer.send(bytes_of("1"));
    std::optional<lease> held = co_await first.stream.receive();
    second.peer.send(bytes_of("22"));
    for (int i = 0; i < 3; ++i) {
      late = co_await as_result(with_timeout(1ms, second.stream.receive()));
      CHECK(late.error() == std::errc::timed_out);
      CHECK(second.stream.bytes_read() == 0);
    }
    CHECK(counted().lease_waits == 3);
    held.reset();
    const std::string text = co_await next_text(second.stream);
    CHECK(text == "22");
    CHECK(counted().leased == 0);
  };
  run_checked(main(), {.workers = 1, .lease_buffers = 1});
}

TEST_CASE("lease: what nobody takes goes home with the operation") {
  auto main = []() -> task<> {
    test::connection c = connect_pair();
    test::connection other = connect_pair();
    c.peer.send(bytes_of("1"));
    other.peer.send(bytes_of("2"));
    co_await c.stream.readable();
    co_await other.stream.readable();
    const auto first = co_await weir::when_any(c.stream.receive(), other.stream.receive());
    static_cast<void>(first);
    CHECK(counted().leased <= 1);
  };
  run_checked(main());
}

TEST_CASE("lease: closed while it waits for bytes or for a buffer, and while it is held") {
  auto main = []() -> task<> {
    std::array<test::connection, 2> all = {connect_pair(), connect_pair()};
    for (test::connection& each : all) {
      auto waiting = weir::spawn(next_text(each.stream));
      co_await test::settle_down();
      each.stream.close();
      const auto r = co_await as_result(waiting.join());
      CHECK(r.error() == std::errc::operation_canceled);
    }
    test::connection c = connect_pair();
    test::connection d = connect_pair();
    c.peer.send(bytes_of("keep this"));
    std::optional<lease> held = co_await c.stream.receive();
    c.stream.close();
    d.peer.send(bytes_of("there"));
    auto without_buffer = weir::spawn(next_text(d.stream));
    co_await test::settle_down();
    CHECK(counted().lease_waits == 1);
    d.stream.close();
    const auto r = co_await as_result(without_buffer.join());
    CHECK(r.error() == std::errc::operation_canceled);
    CHECK(text_in(*held) == "keep this");
    CHECK(counted().leased == 1);
    held.reset();
    CHECK(counted().leased == 0);
  };
  run_checked(main(), {.workers = 1, .lease_buffers = 1});
}

TEST_CASE("lease: errors have a sentence") {
  auto main = []() -> task<> {
    test::connection c = connect_pair();
    const std::string name = c.stream.name();
    c.peer.reset();
    auto r = co_await as_result(c.stream.receive());
    CHECK(sentence_of(r) == "receive " + name + ": Connection reset by peer");
    CHECK(counted().leased == 0);
    auto end = co_await as_result(c.stream.receive());
    CHECK((end.has_value() && !*end));
    tcp_stream none;
    r = co_await as_result(none.receive());
    CHECK(r.error().value() == EBADF);
    test::connection d = connect_pair();
    auto reading = weir::spawn(next_text(d.stream));
    co_await test::settle_down();
    r = co_await as_result(d.stream.receive());
    CHECK(sentence_of(r) ==
          "receive " + d.stream.name() + ": another task is reading from it at the same time: Device or resource busy");
    d.peer.send(bytes_of("x"));
    co_await reading.join();
  };
  run_checked(main());
  for (const auto& [buffers, size] : {std::pair{0u, std::size_t{1}}, std::pair{32769u, std::size_t{1}},
                                      std::pair{1u, std::size_t{0}}, std::pair{1u, (std::size_t{1} << 30) + 1}}) {
    CHECK_THROWS_AS(weir::runtime({.workers = 1, .lease_buffers = buffers, .lease_size = size}), std::invalid_argument);
  }
}

TEST_CASE("lease: dropped on other threads, also while somebody waits there for a buffer") {
  auto main = []() -> task<> {
    test::connection c = connect_pair();
    for (int i = 0; i < test::scaled(200, 50); ++i) {
      c.peer.send(bytes_of("1"));
      std::optional<lease> held = co_await c.stream.receive();
      c.peer.send(bytes_of("2"));
      std::thread dropper;
      {
        auto waiting = weir::spawn(next_text(c.stream));
        if (i % 2 == 0) co_await test::settle_down(20);
        dropper = std::thread([dropped = std::move(*held)]() mutable { dropped.reset(); });
        const std::string text = co_await waiting.join();
        CHECK(text == "2");
      }
      dropper.join();
    }
    CHECK(counted().leased == 0);
  };
  run_checked(main(), {.workers = 1, .lease_buffers = 1});
}

TEST_CASE("lease: kept beyond the runtime") {
  auto get = [](test::connection& c) -> task<lease> {
    c.peer.send(bytes_of("what stays"));
    std::optional<lease> got = co_await c.stream.receive();
    co_return std::move(*got);
  };
  lease kept;
  lease other;
  {
    test::connection c = connect_pair();
    kept = weir::run(get(c), {.workers = 1});
    other = weir::run(get(c), {.workers = 2});
  }
  CHECK(text_in(kept) == "what stays");
  std::thread([&] { kept.reset(); }).join();
  // In another runtime, whose worker may be where the first one's was.
  auto drop = [&]() -> task<> {
    test::connection c = connect_pair();
    c.peer.send(bytes_of("1"));
    std::optional<lease> own = co_await c.stream.receive();
    CHECK(text_in(other) == "what stays");
    other.reset();
    CHECK(counted().leased == 1);
  };
  run_checked(drop());
}

TEST_CASE("lease: tasks that move between workers") {
  auto main = []() -> task<> {
    auto body = [](task_group& group) -> task<> {
      for (int i = 0; i < 20; ++i) {
        group.spawn([]() -> task<> {
          test::both_ends ends = co_await connect_both();
          for (int round = 0; round < test::scaled(100, 30); ++round) {
            const std::string sent = std::to_string(round);
            co_await ends.client.write_all(bytes_of(sent));
            std::optional<lease> got = co_await ends.server.receive();
            co_await weir::yield();
            co_await ends.server.write_all(*got);
            if (round % 3 == 0) got.reset();
            const std::string echo = co_await next_text(ends.client);
            if (echo != sent) throw std::runtime_error("another echo");
          }
        });
      }
      co_return;
    };
    co_await weir::with_task_group(body);
    CHECK(counted().leased == 0);
  };
  run_checked(main(), {.workers = 4, .lease_buffers = 40});
}

TEST_CASE("lease: without memory for the buffers a receive fails, and says so") {
  if (test::sanitized) return skip("sanitizers need more address space than is left here");
  const std::string said = test::in_a_child([] {
    const rlimit limit{.rlim_cur = rlim_t{1} << 32, .rlim_max = rlim_t{1} << 32};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) return std::string("the test's own setrlimit");
    auto main = []() -> task<std::string> {
      test::connection c = connect_pair();
      c.peer.send(bytes_of("1"));
      for (int i = 0; i < 2; ++i) {
        auto r = co_await as_result(c.stream.receive());
        if (r.error() != std::errc::not_enough_memory) co_return "no error";
        if (!sentence_of(r).ends_with(": Cannot allocate memory")) co_return sentence_of(r);
      }
      std::byte byte{};
      const std::span<std::byte> one(&byte, 1);
      const std::size_t n = co_await c.stream.read_some(one);
      co_return n == 1 && byte == std::byte{'1'} ? "as it should be" : "something else was read";
    };
    return weir::run(main(), {.workers = 1, .lease_buffers = 32768, .lease_size = std::size_t{1} << 20});
  });
  CHECK(said == "as it should be");
}

// ---- at moments that a seed picks

namespace {

task<> receive_impatiently(tcp_stream& from, std::size_t size, weir::detail::random_numbers& random) {
  std::size_t total = 0;
  std::vector<lease> held;
  for (;;) {
    const auto patience = std::chrono::microseconds(random.below(300));
    auto got = co_await as_result(with_timeout(patience, from.receive()));
    if (!got.has_value()) {
      if (got.error() != std::errc::timed_out) throw std::runtime_error("a receive failed");
      if (from.bytes_read() != 0) throw std::runtime_error("a cancelled receive has taken something");
      held.clear();
      continue;
    }
    if (!*got) break;
    if (!test::is_pattern(**got, total)) throw std::runtime_error("something else was received");
    total += (*got)->size();
    if (random.below(2) == 0) held.push_back(std::move(**got));
    if (held.size() == 2) held.clear();
  }
  if (total != size) throw std::runtime_error("bytes were lost");
}

}  // namespace

TEST_CASE("lease: cancelled at any moment, over few buffers, in simulations") {
  const auto program = [](weir::simulation& world) -> task<> {
    weir::detail::random_numbers random(world.seed());
    std::deque<test::both_ends> ends;
    for (int i = 0; i < 4; ++i) ends.push_back(co_await connect_both());
    auto body = [&](task_group& group) -> task<> {
      for (test::both_ends& both : ends) {
        group.spawn([&]() -> task<> { co_await receive_impatiently(both.server, 300, random); });
        group.spawn([&]() -> task<> { co_await send_pattern(both.client, 300); });
      }
      co_return;
    };
    co_await weir::with_task_group(body);
    if (counted().leased != 0) throw std::runtime_error("a buffer was lost");
  };
  for (const unsigned buffers : {1u, 2u, 9u}) {
    weir::explore(test::scaled(150, 30), program,
                  {.network = {.receive_buffer = 64, .partial = 0.2}, .lease_buffers = buffers, .lease_size = 40});
  }
}

TEST_CASE("lease: the same with a network that breaks connections") {
  const auto program = [](weir::simulation& world) -> task<> {
    weir::detail::random_numbers random(world.seed());
    auto body = [&](task_group& group) -> task<> {
      for (int i = 0; i < 4; ++i) {
        group.spawn([&]() -> task<> {
          test::both_ends ends = co_await connect_both();
          world.network().reset = 0.05;
          auto sent = co_await as_result(send_pattern(ends.client, 300));
          static_cast<void>(sent);
          ends.client.close();
          auto total = co_await as_result(with_timeout(1h, receive_pattern(ends.server)));
          if (total.has_value() && *total > 300) throw std::runtime_error("too much");
        });
      }
      co_return;
    };
    auto all = co_await as_result(weir::with_supervisor(body));
    static_cast<void>(all);
    if (counted().leased != 0) throw std::runtime_error("a buffer was lost");
  };
  weir::explore(test::scaled(150, 30), program, {.network = {.receive_buffer = 512}, .lease_buffers = 2});
}

TEST_CASE("lease: who holds all buffers and waits for one more is a deadlock, and is told") {
  weir::simulation world{{.seed = 1, .lease_buffers = 1}};
  auto program = []() -> task<> {
    test::both_ends ends = co_await connect_both();
    co_await ends.client.write_all(bytes_of("first"));
    const auto first = co_await ends.server.receive();
    co_await ends.client.write_all(bytes_of("second"));
    const auto second = co_await ends.server.receive();
    FAIL("it has received");
  };
  std::string said;
  try {
    world.run(program());
  } catch (const weir::deadlock& e) {
    said = e.what();
  }
  CHECK(said.find("receive 127.0.0.1:") != std::string::npos);
}
