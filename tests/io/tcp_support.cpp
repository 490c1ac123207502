#include "tcp_support.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <span>
#include <stdexcept>

#include "guarded_buffer.hpp"

using weir::endpoint;
using weir::task;
using weir::task_group;
using weir::tcp_listener;
using weir::tcp_stream;
using weir::with_task_group;

namespace test {

void run_everywhere(main_function<void> main) {
  run_checked(main());
  const auto checked = [&](weir::simulation& world) -> weir::task<> {
    co_await main();
    if (world.open_descriptors() != 0) throw std::runtime_error("descriptors stay open");
  };
  weir::explore(5, checked);
}

namespace {

task<> connect_into(tcp_stream& stream, endpoint peer) { stream = co_await tcp_stream::connect(peer); }

task<> echo(tcp_stream peer) {
  // When the other end has closed: see plain_socket.
  peer.set_linger(std::chrono::seconds(0));
  guarded_buffer buffer(4096);
  while (std::size_t n = co_await peer.read_some(buffer)) {
    co_await peer.write_all(buffer.first(n));
  }
}

task<> write_and_end(tcp_stream& stream, std::span<const std::byte> bytes) {
  co_await stream.write_all(bytes);
  CHECK(stream.bytes_written() == bytes.size());
  stream.shutdown(weir::direction::write);
}

task<> read_to_end(tcp_stream& stream, std::span<std::byte> into) {
  std::size_t total = 0;
  for (;;) {
    const std::size_t n =
        co_await stream.read_some(into.subspan(total, std::min<std::size_t>(into.size() - total, 77'777)));
    if (n == 0) break;
    total += n;
  }
  CHECK(total == into.size() - 1);
}

}  // namespace

task<both_ends> connect_through(tcp_listener& listener) {
  both_ends made;
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(connect_into(made.client, listener.local_endpoint()));
    made.server = co_await listener.accept();
    co_await group.join();
  });
  co_return std::move(made);
}

task<both_ends> connect_both() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  both_ends made = co_await connect_through(listener);
  co_return std::move(made);
}

std::string name_of(const tcp_stream& stream) { return stream.peer_endpoint().to_string(); }

both_ends small_ends() {
  connection c = connect_pair(true);
  both_ends made;
  made.client = tcp_stream::adopt(c.peer.release());
  made.server = std::move(c.stream);
  return made;
}

bool is_free(int number) { return ::fcntl(number, F_GETFD) < 0 && errno == EBADF; }

task<> serve_echo(tcp_listener& listener, int connections) {
  co_await with_task_group([&](task_group& group) -> task<> {
    for (int i = 0; i < connections; ++i) {
      tcp_stream peer = co_await listener.accept();
      group.spawn(echo(std::move(peer)));
    }
  });
}

task<> chat(endpoint server, std::size_t rounds) {
  tcp_stream stream = co_await tcp_stream::connect(server);
  guarded_buffer out(1000);
  guarded_buffer in(1000);
  fill_pattern(out);
  for (std::size_t i = 0; i < rounds; ++i) {
    const std::size_t size = 1 + i * 37 % 1000;
    co_await stream.write_all(out.first(size));
    co_await stream.read_exactly(in.first(size));
    REQUIRE(is_pattern(in.first(size)));
    fill_pattern(in.first(size), 1);
  }
}

task<> chat_many(int clients, std::size_t rounds) {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(serve_echo(listener, clients));
    for (int i = 0; i < clients; ++i) group.spawn(chat(listener.local_endpoint(), rounds));
    co_await group.join();
  });
}

task<> both_ways_at_once(both_ends ends, std::size_t size) {
  guarded_buffer sent(size);
  fill_pattern(sent);
  // A byte more than comes, so that the last read finds the end.
  guarded_buffer at_client(size + 1);
  guarded_buffer at_server(size + 1);
  co_await with_task_group([&](task_group& group) -> task<> {
    group.spawn(write_and_end(ends.client, sent));
    group.spawn(write_and_end(ends.server, sent));
    group.spawn(read_to_end(ends.client, at_client));
    group.spawn(read_to_end(ends.server, at_server));
    co_await group.join();
  });
  CHECK(is_pattern(at_client.first(size)));
  CHECK(is_pattern(at_server.first(size)));
}

}  // namespace test
