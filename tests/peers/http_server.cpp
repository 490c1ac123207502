// As much of HTTP/1.1 as curl and nginx need of a server: requests one after another on a connection, with bodies of a
// known length. GET /hello; GET /bytes/N, of N bytes; POST /echo. Ends on SIGTERM. Usage: http_server PORT

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include <weir/weir.hpp>

namespace {

using weir::task;

struct request {
  std::string method;
  std::string path;
  std::size_t length = 0;
  bool keep_alive = true;
  bool wants_to_go_on = false;  // waits for leave to send its body
};

void read_field(request& into, std::string_view line) {
  std::string low(line);
  std::transform(low.begin(), low.end(), low.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto value = [&](std::string_view name) {
    return low.starts_with(name) ? low.substr(name.size()) : std::string();
  };
  if (const std::string length = value("content-length:"); !length.empty()) into.length = std::stoul(length);
  if (value("connection:").find("close") != std::string::npos) into.keep_alive = false;
  if (value("expect:").find("100-continue") != std::string::npos) into.wants_to_go_on = true;
}

std::string answer_to(const request& asked, std::string body) {
  std::string status = "200 OK";
  if (asked.path == "/hello") {
    body = "hello\n";
  } else if (asked.path.starts_with("/bytes/")) {
    body.assign(std::stoul(asked.path.substr(7)), 'w');
  } else if (asked.path != "/echo") {
    status = "404 Not Found";
    body = "no such thing\n";
  }
  return fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n{}", status, body.size(),
                     asked.keep_alive ? "keep-alive" : "close", body);
}

task<> converse(weir::tcp_stream peer) {
  weir::buffered_reader in{peer};
  for (;;) {
    const auto first = co_await in.read_line();
    if (!first) co_return;
    request asked;
    asked.method = first->substr(0, first->find(' '));
    asked.path = first->substr(asked.method.size() + 1);
    asked.path.resize(std::min(asked.path.size(), asked.path.find(' ')));
    if (first->ends_with("HTTP/1.0")) asked.keep_alive = false;
    for (;;) {
      const auto field = co_await in.read_line();
      if (!field || field->empty()) break;
      read_field(asked, *field);
    }
    if (asked.wants_to_go_on) {
      constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await weir::write_all(peer, std::as_bytes(std::span(go_on)));
    }
    std::string body = co_await in.read_exactly(asked.length);
    const std::string reply = answer_to(asked, std::move(body));
    co_await weir::write_all(peer, std::as_bytes(std::span(reply)));
    if (!asked.keep_alive) co_return;
  }
}

task<> serve(std::uint16_t port) {
  weir::signal_set ends{SIGTERM};
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(port));
  fmt::print("listening on {}\n", listener.local_endpoint());
  std::fflush(stdout);
  const auto accepting = [&]() -> task<> {
    co_await weir::with_supervisor([&](weir::task_group& group) -> task<> {
      auto arriving = weir::connections(listener);
      while (auto peer = co_await arriving.next()) group.spawn(converse, std::move(*peer));
    });
  };
  co_await weir::when_any(accepting(), ends.wait());
}

}  // namespace

int main(int count, char** arguments) {
  weir::run(serve(count > 1 ? static_cast<std::uint16_t>(std::atoi(arguments[1])) : std::uint16_t{0}), {.workers = 2});
}
