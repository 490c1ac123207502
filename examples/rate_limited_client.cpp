// A client that keeps to what a server allows: so many requests per second, so many at once, and when the server says
// "busy" all the same, a pause and another try. Server and client run in a simulation, where seconds take no time; in
// front of a real server the client is the same.
// Usage: rate_limited_client [ADDRESS:PORT]      a server that answers each line with a line

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <chrono>
#include <numeric>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

constexpr int requests = 100;
constexpr std::size_t at_once = 4;

struct outcome {
  int answered = 0;
  int busy = 0;  // answers that cost a further try
};

// A connection of its own for each request: a try that was stopped leaves none behind in an unknown state.
weir::task<std::string> ask(weir::endpoint server, std::string question) {
  weir::tcp_stream stream = co_await weir::tcp_stream::connect(server);
  co_await weir::write_all(stream, question + "\n");
  weir::buffered_reader answers{stream, {.buffer = 512, .bound = 1000}};
  auto answer = co_await answers.read_line();
  if (!answer) throw std::system_error(make_error_code(std::errc::connection_reset), "no answer");
  co_return std::move(*answer);
}

weir::task<outcome> ask_all(weir::endpoint server, weir::limiter& pace) {
  outcome sum;
  auto one = [&](int number) -> weir::task<std::string> {
    auto attempt = [&]() -> weir::task<std::string> {
      co_await pace.acquire();  // each try counts, not each request
      const std::string question = fmt::format("request {}", number);
      std::string answer = co_await weir::with_timeout(2s, ask(server, question));
      if (answer == "busy") {
        ++sum.busy;  // one worker: no lock is needed
        throw std::system_error(make_error_code(std::errc::resource_unavailable_try_again), "the server is busy");
      }
      co_return answer;
    };
    // Pauses grow, and are random: those who were refused together do not come back together. Errors that will not
    // pass, such as "permission denied", are thrown at once.
    co_return co_await weir::retry({.attempts = 8, .initial_delay = 100ms, .max_delay = 5s}, attempt);
  };
  std::vector<int> numbers(static_cast<std::size_t>(requests));
  std::iota(numbers.begin(), numbers.end(), 0);
  const auto answers = co_await weir::map_all(std::move(numbers), one, {.workers = at_once});
  sum.answered = static_cast<int>(answers.size());
  co_return sum;
}

// ---- a server that allows 20 requests per second, and 5 at once

weir::task<> serve(weir::tcp_listener& listener) {
  weir::rate_limiter allowed(20, 1s, 5);
  co_await weir::with_supervisor([&](weir::task_group& connections) -> weir::task<> {
    auto answer = [&](weir::tcp_stream peer) -> weir::task<> {
      weir::buffered_reader questions{peer, {.buffer = 512, .bound = 1000}};
      while (auto question = co_await questions.read_line()) {
        const std::string reply = allowed.try_acquire() ? "answer to " + *question + "\n" : "busy\n";
        co_await weir::write_all(peer, reply);
      }
    };
    auto arriving = weir::connections(listener);
    while (auto peer = co_await arriving.next()) connections.spawn(std::ref(answer), std::move(*peer));
  });
}

weir::task<outcome> with_server(unsigned per_second) {
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(7000));
  weir::rate_limiter pace(per_second, 1s, 1);
  auto first = co_await weir::when_any(ask_all(listener.local_endpoint(), pace), serve(listener));
  co_return first.get<0>();
}

weir::task<> real_server(weir::endpoint server) {
  weir::rate_limiter pace(20, 1s, 1);
  const outcome sum = co_await ask_all(server, pace);
  fmt::print("{} answers, busy {} times\n", sum.answered, sum.busy);
}

int main(int argc, char** argv) {
  if (argc > 1) {
    weir::run(real_server(weir::endpoint::parse(argv[1])), {.workers = 1});
    return 0;
  }
  bool right = true;
  for (const unsigned per_second : {20u, 1000u}) {
    weir::simulation world({.seed = 1, .network = {.latency = 5ms}});
    const outcome sum = world.run(with_server(per_second));
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(world.now().time_since_epoch());
    fmt::print("{:4} per second: {} answers in {} ms, busy {} times\n", per_second, sum.answered, took.count(),
               sum.busy);
    right = right && sum.answered == requests && (per_second > 20) == (sum.busy > 0);
  }
  return right ? 0 : 1;
}
