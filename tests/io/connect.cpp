#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include <weir/io/connect.hpp>
#include <weir/io/detail/alternate_families.hpp>

#include "tcp_support.hpp"

using test::run_checked;
using test::sentence_of;
using weir::as_result;
using weir::endpoint;
using weir::task;
using weir::tcp_listener;
using weir::tcp_stream;

using addresses = std::vector<endpoint>;

namespace {

endpoint v4(int host) { return endpoint::parse(fmt::format("10.0.0.{}:80", host)); }
endpoint v6(int host) { return endpoint::parse(fmt::format("[2001:db8::{}]:80", host)); }

/// An address whose listener does not answer, because its queue is full. In a simulation.
class silent_peer {
 public:
  task<> open() {
    listener_ = tcp_listener::bind(endpoint::loopback(0), {.backlog = 0});
    in_the_queue_ = co_await tcp_stream::connect(address());
  }
  [[nodiscard]] endpoint address() const { return listener_.local_endpoint(); }
  task<> make_room() { accepted_ = co_await listener_.accept(); }

 private:
  tcp_listener listener_;
  tcp_stream in_the_queue_;
  tcp_stream accepted_;
};

/// Nobody listens there.
endpoint refusing() {
  const tcp_listener gone = tcp_listener::bind(endpoint::loopback(0));
  return gone.local_endpoint();
}

task<> say_something(tcp_stream& to) { co_await to.write_all(std::as_bytes(std::span("x", 1))); }

/// Runs `main` in a simulation, and looks for what stays open.
template <class F>
void simulate_checked(F main) {
  weir::simulation world{{.seed = 1}};
  world.run(main());
  CHECK(world.open_descriptors() == 0);
}

}  // namespace

TEST_CASE("connect: the families take turns, beginning with the first") {
  using weir::detail::alternate_families;
  CHECK(alternate_families({}).empty());
  CHECK(alternate_families({v4(1), v4(2)}) == addresses{v4(1), v4(2)});
  CHECK(alternate_families({v6(1), v6(2), v6(3), v4(1)}) == addresses{v6(1), v4(1), v6(2), v6(3)});
  CHECK(alternate_families({v4(1), v6(1), v6(2), v4(2)}) == addresses{v4(1), v6(1), v4(2), v6(2)});
}

TEST_CASE("connect: an address that does not answer delays the next by 250 ms, one that refuses does not") {
  simulate_checked([]() -> task<> {
    silent_peer silent;
    co_await silent.open();
    tcp_listener good = tcp_listener::bind(endpoint::loopback(0));

    weir::time_point begun = weir::now();
    addresses both = {silent.address(), good.local_endpoint()};
    tcp_stream second = co_await weir::connect(both);
    CHECK(second.peer_endpoint() == good.local_endpoint());
    CHECK(weir::now() - begun >= 250ms);
    CHECK(weir::now() - begun < 252ms);
    co_await say_something(second);

    begun = weir::now();
    addresses refused_first = {refusing(), refusing(), good.local_endpoint(), silent.address()};
    tcp_stream third = co_await weir::connect(refused_first);
    CHECK(third.peer_endpoint() == good.local_endpoint());
    CHECK(weir::now() - begun < 5ms);

    begun = weir::now();
    addresses four = {silent.address(), silent.address(), silent.address(), good.local_endpoint()};
    tcp_stream fourth = co_await weir::connect(four, {.attempt_delay = 10ms});
    CHECK(fourth.peer_endpoint() == good.local_endpoint());
    CHECK(weir::now() - begun >= 30ms);
    CHECK(weir::now() - begun < 32ms);
  });
}

TEST_CASE("connect: an earlier address that answers late still wins, and the others are closed") {
  simulate_checked([]() -> task<> {
    silent_peer first;
    co_await first.open();
    silent_peer second;
    co_await second.open();
    addresses both = {first.address(), second.address()};
    auto connecting = weir::spawn(weir::connect(both));
    co_await weir::sleep_for(400ms);
    co_await first.make_room();
    tcp_stream winner = co_await connecting.join();
    CHECK(winner.peer_endpoint() == first.address());
  });
}

TEST_CASE("connect: when all fail the sentence names each") {
  simulate_checked([]() -> task<> {
    const endpoint a = refusing();
    addresses one = {a};
    auto alone = co_await as_result(weir::connect(one));
    CHECK(sentence_of(alone) == fmt::format("connect {}: Connection refused", a));
    addresses two = {a, endpoint()};
    auto both = co_await as_result(weir::connect(two));
    CHECK(both.error() == std::errc::connection_refused);
    CHECK(sentence_of(both).starts_with(
        fmt::format("connect to one of 2 addresses ({}: Connection refused; (none): ", a)));
    addresses none;
    auto nobody = co_await as_result(weir::connect(none));
    CHECK(nobody.error() == std::errc::destination_address_required);
  });
}

TEST_CASE("connect: a timeout ends all attempts and leaves nothing open") {
  simulate_checked([]() -> task<> {
    silent_peer silent;
    co_await silent.open();
    addresses three = {silent.address(), silent.address(), silent.address()};
    const weir::time_point begun = weir::now();
    auto late = co_await as_result(weir::with_timeout(600ms, weir::connect(three)));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(weir::now() - begun < 601ms);
  });
}

TEST_CASE("connect: to a name, on whichever of its addresses somebody listens") {
  for (const unsigned workers : {1u, 4u}) {
    auto main = []() -> task<> {
      tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
      const std::uint16_t port = listener.local_endpoint().port();
      tcp_stream stream = co_await weir::connect("localhost", port);
      CHECK(stream.peer_endpoint() == endpoint::loopback(port));
      tcp_stream accepted = co_await listener.accept();
      co_await say_something(stream);
      std::byte got{};
      const std::size_t n = co_await accepted.read_some(std::span(&got, 1));
      CHECK(n == 1);
      tcp_stream again = co_await weir::connect("127.0.0.1", std::to_string(port));
      CHECK(again.is_open());
      auto failed = co_await as_result(weir::connect("two..dots", 80));
      CHECK(sentence_of(failed).starts_with("resolve two..dots: "));
    };
    run_checked(main(), {.workers = workers});
  }
}

TEST_CASE("connect: of many that answer at once, one stays") {
  for (const unsigned workers : {1u, 4u}) {
    auto main = []() -> task<> {
      const test::plain_socket listener = test::plain_socket::listening();
      addresses many(8, listener.local());
      for (int round = 0; round < 20; ++round) {
        tcp_stream stream = co_await weir::connect(many, {.attempt_delay = 0s});
        CHECK(stream.is_open());
        stream.close();
        while (listener.readable(0)) CHECK(listener.accept().at_end());
      }
    };
    run_checked(main(), {.workers = workers});
  }
}
