// What is true at once when a runtime has ended, on the reactor that WEIR_BACKEND names: its server's port is free, and
// of the file writes that its end has interrupted none was reported as done that was not, and none goes on.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <weir/weir.hpp>

#include "plain_socket.hpp"
#include "sanitized.hpp"

namespace {

using namespace std::chrono_literals;
using test::plain_socket;
using weir::task;

bool good = true;
void expect(bool holds, const std::string& what) {
  if (holds) return;
  good = false;
  std::printf("FAIL: %s\n", what.c_str());
}

// ---- ports

task<> echo(weir::tcp_stream peer) {
  std::array<std::byte, 64> buffer;
  while (std::size_t n = co_await peer.read_some(buffer)) co_await peer.write_all(std::span(buffer).first(n));
}

task<> serve(weir::tcp_listener& listener) {
  co_await weir::with_supervisor([&](weir::task_group& group) -> task<> {
    auto arriving = weir::connections(listener);
    while (auto peer = co_await arriving.next()) group.spawn(echo, std::move(*peer));
  });
}

/// A server on that port, which is stopped while some of its connections are served, some are silent, and one waits to
/// be accepted. Returns the port.
std::uint16_t stop_a_server(std::uint16_t port, unsigned workers) {
  std::vector<plain_socket> clients;
  weir::runtime made({.workers = workers, .on_error = [](const std::exception_ptr&) noexcept {}});
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(port));
  const weir::endpoint local = listener.local_endpoint();
  static_cast<void>(made.spawn(serve(listener)));
  const std::array<std::byte, 8> said{};
  for (int i = 0; i < 4; ++i) {
    clients.push_back(plain_socket::connected_to(local));
    if (i % 2 == 0) clients.back().send(said);
  }
  std::array<std::byte, 8> heard;
  expect(clients[0].receive(heard, 20'000) == 8, "the server does not serve");
  clients.push_back(plain_socket::connected_to(local));
  made.shutdown({.drain = 0ms});
  return local.port();
}

void bind_again(unsigned rounds) {
  for (const unsigned workers : {1u, 4u}) {
    std::uint16_t port = 0;
    unsigned bound = 0;
    for (unsigned i = 0; i < rounds; ++i) {
      try {
        port = stop_a_server(port, workers);
        ++bound;
      } catch (const std::system_error& e) {
        expect(false, fmt::format("round {}: {}", i, e.what()));
      }
    }
    fmt::print("{} workers: a server was stopped, and its port bound again at once, {} times of {}\n", workers, bound,
               rounds);
  }
}

// ---- files

constexpr std::size_t part_size = std::size_t{64} * 1024;
constexpr std::size_t parts = 32;  // for each writer
constexpr unsigned writers = 8;

/// What the part that begins there is full of: never a zero, as where nothing was written.
std::byte expected(unsigned round, std::size_t at) {
  return static_cast<std::byte>((at / part_size * 31 + round * 14) | 1);
}

/// What was reported of one writer's parts.
struct report {
  std::array<bool, parts> done{};
};

task<> write_parts(weir::file& to, unsigned round, std::size_t from, report& told) {
  std::vector<std::byte> part(part_size);
  for (std::size_t i = 0; i < parts; ++i) {
    const std::size_t at = from + i * part_size;
    std::fill(part.begin(), part.end(), expected(round, at));
    co_await to.write_all_at(part, at);
    told.done[i] = true;
  }
}

/// Ends after a while; the writers are stopped by that, wherever they are.
task<> leave_early(weir::file& to, unsigned round, std::vector<report>& told) {
  for (unsigned i = 0; i < writers; ++i) {
    weir::spawn(write_parts, std::ref(to), round, i * parts * part_size, std::ref(told[i]));
  }
  co_await weir::sleep_for(round % 20 * 500us);
}

std::vector<std::byte> content_of(const std::string& path) {
  std::vector<std::byte> all(std::filesystem::file_size(path));
  const int number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t n = ::pread(number, all.data(), all.size(), 0);
  ::close(number);
  all.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return all;
}

void interrupt_writes(unsigned rounds) {
  std::string path = "/tmp/weir-endings-XXXXXX";
  std::size_t reported = 0;
  std::size_t interrupted = 0;
  ::close(::mkstemp(path.data()));
  for (unsigned round = 0; round < rounds; ++round) {
    std::vector<report> told(writers);
    std::filesystem::resize_file(path, 0);
    {
      const int number = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
      weir::file to = weir::file::adopt(number, path);
      weir::run(leave_early(to, round, told), {.workers = 1 + round % 3});
    }
    const std::vector<std::byte> at_once = content_of(path);
    for (unsigned i = 0; i < writers; ++i) {
      for (std::size_t j = 0; j < parts; ++j) {
        const std::size_t from = (i * parts + j) * part_size;
        const std::vector<std::byte> part(part_size, expected(round, from));
        const bool there =
            from + part_size <= at_once.size() && std::memcmp(at_once.data() + from, part.data(), part_size) == 0;
        ++(told[i].done[j] ? reported : interrupted);
        expect(there || !told[i].done[j], fmt::format("round {}: part {} of {} is not there", round, j, i));
      }
    }
    ::usleep(2'000);  // for whatever the kernel might still be doing
    expect(content_of(path) == at_once, fmt::format("round {}: a write went on", round));
  }
  std::filesystem::remove(path);
  fmt::print("{} file writes were reported as done and are there; {} were not done when the runtime ended\n", reported,
             interrupted);
  expect(reported > 0 && interrupted > 0, "the end did not come in the middle");
}

}  // namespace

int main() {
  bind_again(test::sanitized ? 50 : 200);
  interrupt_writes(test::sanitized ? 15 : 40);
  return good ? 0 : 1;
}
