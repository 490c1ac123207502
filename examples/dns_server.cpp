// A name server over UDP that knows two names: weir.example has an address (A) and a text (TXT), and so has
// river.example. It answers each datagram by itself, and drops what is no question.
// Usage: dns_server [PORT]      then: dig @127.0.0.1 -p PORT weir.example
// Without a port it picks one, asks itself, and ends.

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

// ---- messages, as RFC 1035 has them (section 4)

struct record {
  std::string_view name;
  std::array<std::uint8_t, 4> address;
  std::string_view text;
};
constexpr std::array<record, 2> records = {{
    {"weir.example", {192, 0, 2, 1}, "regulates a river"},
    {"river.example", {192, 0, 2, 2}, "flows"},
}};

constexpr std::size_t header_size = 12;
constexpr std::size_t most = 512;  // a message over UDP is no longer
enum type : unsigned { a = 1, txt = 16 };

struct question {
  std::string name;
  unsigned type;
  std::size_t end;  // where it ends in the message
};

unsigned number_at(std::string_view message, std::size_t at) {
  return static_cast<unsigned>(static_cast<std::uint8_t>(message[at]) << 8 |
                               static_cast<std::uint8_t>(message[at + 1]));
}

std::string bytes_of(unsigned number) { return {static_cast<char>(number >> 8), static_cast<char>(number)}; }

std::optional<question> read_question(std::string_view message) {
  const bool is_response = message.size() > 2 && (static_cast<std::uint8_t>(message[2]) & 0x80) != 0;
  if (message.size() < header_size || is_response || number_at(message, 4) != 1) return std::nullopt;
  question asked{};
  std::size_t at = header_size;
  for (;;) {
    if (at >= message.size()) return std::nullopt;
    const auto length = static_cast<std::uint8_t>(message[at++]);
    if (length == 0) break;
    if (length > 63 || at + length > message.size()) return std::nullopt;  // a question refers to nothing before it
    if (!asked.name.empty()) asked.name += '.';
    for (const char c : message.substr(at, length)) asked.name += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    at += length;
  }
  if (at + 4 > message.size()) return std::nullopt;
  asked.type = number_at(message, at);
  asked.end = at + 4;
  return asked;
}

std::string answer_to(std::string_view message, const question& asked) {
  const record* found = nullptr;
  for (const record& one : records) {
    if (one.name == asked.name) found = &one;
  }
  std::string data;
  if (found && asked.type == a) data.assign(found->address.begin(), found->address.end());
  if (found && asked.type == txt) data = static_cast<char>(found->text.size()) + std::string(found->text);
  const unsigned recursion_desired = number_at(message, 2) & 0x0100;
  const unsigned no_such_name = found ? 0 : 3;

  std::string reply(message.substr(0, 2));
  reply += bytes_of(0x8400 | recursion_desired | no_such_name);  // a response, from who has to know
  reply += bytes_of(1) + bytes_of(data.empty() ? 0 : 1) + bytes_of(0) + bytes_of(0);
  reply += message.substr(header_size, asked.end - header_size);
  if (!data.empty()) {
    reply += bytes_of(0xc000 | header_size);  // the name is the question's
    reply += bytes_of(asked.type) + bytes_of(1) + bytes_of(0) + bytes_of(60);
    reply += bytes_of(static_cast<unsigned>(data.size())) + data;
  }
  return reply;
}

// ---- the server

weir::task<> serve(weir::udp_socket& socket) {
  std::array<char, most> message;
  for (;;) {
    const weir::datagram came = co_await socket.receive(std::as_writable_bytes(std::span(message)));
    const std::string_view text(message.data(), came.size);
    const auto asked = came.is_truncated() ? std::nullopt : read_question(text);
    if (!asked) continue;
    const std::string reply = answer_to(text, *asked);
    // Who cannot be sent to is no reason to leave the others without answers.
    static_cast<void>(co_await weir::as_result(socket.send_to(std::as_bytes(std::span(reply)), came.from)));
  }
}

weir::task<> ask(weir::endpoint server) {
  const std::string question = bytes_of(4711) + bytes_of(0x0100) + bytes_of(1) + std::string(6, '\0') +
                               "\4weir\7example" + std::string(1, '\0') + bytes_of(a) + bytes_of(1);
  weir::udp_socket socket = weir::udp_socket::connect(server);
  co_await socket.send(std::as_bytes(std::span(question)));
  std::array<char, most> reply;
  const weir::datagram came = co_await socket.receive(std::as_writable_bytes(std::span(reply)));
  const auto* const last = reinterpret_cast<const std::uint8_t*>(reply.data()) + came.size - 4;
  fmt::print("weir.example is {}.{}.{}.{}\n", last[0], last[1], last[2], last[3]);
}

weir::task<> async_main(std::uint16_t port) {
  weir::signal_set signals{SIGINT, SIGTERM};  // before anybody is told that we answer
  weir::udp_socket socket = weir::udp_socket::bind(weir::endpoint::loopback(port));
  fmt::print("listening on {}\n", socket.local_endpoint());
  std::fflush(stdout);
  if (port == 0) {
    co_await weir::when_any(serve(socket), ask(socket.local_endpoint()));
  } else {
    co_await weir::when_any(serve(socket), signals.wait());
  }
}

int main(int argc, char** argv) {
  weir::run(async_main(argc > 1 ? static_cast<std::uint16_t>(std::atoi(argv[1])) : std::uint16_t{0}), {.workers = 1});
}
