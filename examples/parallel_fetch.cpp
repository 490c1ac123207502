// Several connections at once, each with its own deadline and its own outcome.
// Usage: parallel_fetch [ADDRESS:PORT...]
// Without arguments it asks three servers of its own: one answers, one never does, one is not there.

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

weir::task<std::string> fetch(weir::endpoint from) {
  weir::tcp_stream stream = co_await weir::tcp_stream::connect(from);
  std::string text;
  std::array<char, 1024> buffer;
  while (std::size_t n = co_await stream.read_some(std::as_writable_bytes(std::span(buffer)))) {
    text.append(buffer.data(), n);
  }
  co_return text;
}

// A result instead of an exception: one that fails does not stop the others.
weir::task<weir::result<std::string>> try_fetch(weir::endpoint from) {
  co_return co_await weir::as_result(weir::with_timeout(100ms, fetch(from)));
}

weir::task<> fetch_all(std::vector<weir::endpoint> servers) {
  std::vector<weir::task<weir::result<std::string>>> tasks;
  tasks.reserve(servers.size());
  for (const weir::endpoint& server : servers) tasks.push_back(try_fetch(server));
  std::vector<weir::result<std::string>> answers = co_await weir::when_all(std::move(tasks));
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const auto& answer = answers[i];
    fmt::print("{}: {}\n", servers[i], answer ? fmt::format("{} bytes", answer->size()) : answer.error().message());
  }
}

weir::task<> answer_one(weir::tcp_listener& listener) {
  weir::tcp_stream peer = co_await listener.accept();
  const std::string_view text = "a short answer";
  co_await peer.write_all(std::as_bytes(std::span(text)));
}

weir::task<> ask_ourselves() {
  auto answers = weir::tcp_listener::bind(weir::endpoint::loopback(0));
  auto silent = weir::tcp_listener::bind(weir::endpoint::loopback(0));  // the kernel connects, nobody answers
  auto gone = weir::tcp_listener::bind(weir::endpoint::loopback(0));
  const weir::endpoint nowhere = gone.local_endpoint();
  gone.close();
  std::vector<weir::endpoint> servers{answers.local_endpoint(), silent.local_endpoint(), nowhere};
  co_await weir::when_all(answer_one(answers), fetch_all(std::move(servers)));
}

int main(int argc, char** argv) {
  std::vector<weir::endpoint> servers;
  for (int i = 1; i < argc; ++i) servers.push_back(weir::endpoint::parse(argv[i]));
  weir::run(servers.empty() ? ask_ourselves() : fetch_all(std::move(servers)));
}
