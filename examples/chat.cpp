// A chat over TCP: each line that a member says goes to all the others. Nobody can make the others wait, or the server
// hold more and more: the number of members is bounded, and so are the length of a line, how often each may say one,
// and what lies ready for a member who reads slowly. He loses the oldest of it and is told how much; who takes nothing
// at all is closed.
// Usage: chat [PORT]      then: nc 127.0.0.1 PORT, several times
// Without a port it picks one, and two members meet there.

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

using namespace std::chrono_literals;

constexpr std::size_t most_members = 1000;
constexpr std::size_t longest_line = 400;
constexpr std::size_t lines_ready = 32;  // for each member, of what the others say
constexpr auto patience = 10s;           // with a member who takes nothing

struct said {
  int by;                                   // nobody hears himself
  std::shared_ptr<const std::string> text;  // one for all who have not read it yet
};
using room = weir::broadcast<said>;
using line_reader = weir::buffered_reader<weir::tcp_stream&>;

// What a member is told: by the task that hears the others for him, and by the one that reads what he says.
class outlet {
 public:
  explicit outlet(weir::tcp_stream& peer) : peer_(peer) {}

  weir::task<> tell(std::string_view text) {
    auto lock = co_await one_at_a_time_.lock();
    co_await weir::with_timeout(patience, weir::write_all(peer_, text));
  }

 private:
  weir::tcp_stream& peer_;
  weir::mutex one_at_a_time_;
};

weir::task<> tell_all(room& everybody, int by, std::string text) {
  said line{by, std::make_shared<const std::string>(std::move(text))};
  co_await everybody.send(std::move(line));  // never waits: it is the slow who miss something
}

weir::task<> hear(outlet& out, weir::broadcast_subscription<said>& others, int me) {
  std::uint64_t missed = 0;
  while (auto line = co_await others.receive()) {
    const std::uint64_t now_missed = others.missed();
    if (now_missed != missed) co_await out.tell(fmt::format("* you missed {} lines\n", now_missed - missed));
    missed = now_missed;
    if (line->by != me) co_await out.tell(*line->text);
  }
}

weir::task<> speak(outlet& out, line_reader& lines, room& everybody, int me, std::string name) {
  weir::rate_limiter pace(5, 1s, 10);  // who says more waits, and then so does his end of the connection
  for (;;) {
    auto line = co_await weir::as_result(lines.read_line());
    if (!line && line.error() == std::errc::message_size) {
      co_await lines.skip_line();
      co_await out.tell(fmt::format("* a line has at most {} characters\n", longest_line));
      continue;
    }
    auto text = std::move(line).value();                                        // throws what else went wrong
    if (!text) co_return;                                                       // he has left
    std::erase_if(*text, [](unsigned char c) { return c < ' ' || c == 127; });  // nothing for the others' terminals
    co_await pace.acquire();
    co_await tell_all(everybody, me, fmt::format("{}: {}\n", name, *text));
  }
}

weir::task<> member(weir::tcp_stream peer, room& everybody, int me, [[maybe_unused]] weir::semaphore_permit seat) {
  outlet out{peer};
  line_reader lines{peer, {.buffer = 1024, .bound = longest_line}};
  co_await out.tell("* your name?\n");
  const auto answer = co_await weir::with_timeout(60s, lines.read_line());
  if (!answer) co_return;
  const std::string name = fmt::format("{:.20}", *answer);
  auto others = everybody.subscribe();
  co_await tell_all(everybody, me, fmt::format("* {} is here\n", name));
  co_await out.tell(fmt::format("* welcome, {}\n", name));
  // The first to end stops the other. How it ended is his own affair; a stop from outside goes past as_result.
  auto talk = weir::when_any(speak(out, lines, everybody, me, name), hear(out, others, me));
  static_cast<void>(co_await weir::as_result(std::move(talk)));
  co_await tell_all(everybody, me, fmt::format("* {} has left\n", name));
}

weir::task<> serve(weir::tcp_listener& listener) {
  room everybody(lines_ready, weir::slow_subscriber::drop_oldest);
  weir::semaphore seats(most_members);
  co_await weir::with_supervisor([&](weir::task_group& members) -> weir::task<> {
    auto arriving = weir::connections(listener);
    for (int next = 0;; ++next) {
      auto seat = co_await seats.acquire();  // those for whom there is no seat wait in the kernel's queue
      auto peer = co_await arriving.next();
      if (!peer) co_return;
      members.spawn(member(std::move(*peer), everybody, next, std::move(seat)));
    }
  });
}

// ---- two members, when nobody else comes

weir::task<> expect(line_reader& lines, std::string_view wanted) {
  const auto line = co_await lines.read_line();
  fmt::print("{}\n", line.value_or("(end)"));
  if (line != wanted) throw std::runtime_error(fmt::format("it should have been: {}", wanted));
}

weir::task<> two_members(weir::endpoint server) {
  weir::tcp_stream ada = co_await weir::tcp_stream::connect(server);
  weir::tcp_stream bob = co_await weir::tcp_stream::connect(server);
  line_reader to_ada{ada};
  line_reader to_bob{bob};
  co_await weir::write_all(bob, "bob\n");
  co_await expect(to_bob, "* your name?");
  co_await expect(to_bob, "* welcome, bob");
  co_await weir::write_all(ada, "ada\nhello\n" + std::string(2 * longest_line, 'a') + "\n");
  co_await expect(to_bob, "* ada is here");
  co_await expect(to_bob, "ada: hello");
  co_await expect(to_ada, "* your name?");
  co_await expect(to_ada, "* welcome, ada");
  co_await expect(to_ada, "* a line has at most 400 characters");
  ada.close();
  co_await expect(to_bob, "* ada has left");
}

weir::task<> async_main(std::uint16_t port) {
  weir::signal_set signals{SIGINT, SIGTERM};
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(port));
  fmt::print("listening on {}\n", listener.local_endpoint());
  std::fflush(stdout);
  if (port == 0) {
    co_await weir::when_any(serve(listener), two_members(listener.local_endpoint()));
  } else {
    co_await weir::when_any(serve(listener), signals.wait());
  }
}

int main(int argc, char** argv) {
  weir::run(async_main(argc > 1 ? static_cast<std::uint16_t>(std::atoi(argv[1])) : std::uint16_t{0}));
}
