#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weir/io/tls.hpp>

#include "../io/guarded_buffer.hpp"
#include "../io/open_descriptors.hpp"
#include "../io/sockets.hpp"
#include "authority.hpp"

namespace test {

/// Contexts that fit each other: the common authority, "server.test".
inline weir::tls_context server_context(weir::tls_server_options options = {}) {
  static const credentials own = common_authority().issue();
  return weir::tls_context::server(own.loaded(), options);
}
inline weir::tls_context client_context(weir::tls_client_options options = {}) {
  return weir::tls_context::client(common_authority().roots(), options);
}

/// A stream over which one can interfere with what passes.
class wire {
 public:
  explicit wire(weir::unix_stream stream) : stream_(std::move(stream)) {}
  weir::task<std::size_t> read_some(std::span<std::byte> into) {
    ++reads;
    const std::size_t n = co_await stream_.read_some(into.first(std::min(into.size(), largest_read)));
    if (on_read) on_read(into.first(n));
    co_return n;
  }
  weir::task<std::size_t> write_some(std::span<const std::byte> from) {
    ++writes;
    const std::size_t n = co_await stream_.write_some(from.first(std::min(from.size(), largest_write)));
    co_return n;
  }
  [[nodiscard]] std::string name() const { return "wire"; }
  weir::unix_stream& socket() { return stream_; }

  std::size_t largest_read = 1'000'000;
  std::size_t largest_write = 1'000'000;
  std::function<void(std::span<std::byte>)> on_read;
  int reads = 0;
  int writes = 0;

 private:
  weir::unix_stream stream_;
};

struct tls_ends {
  weir::tls_stream<wire> client;
  weir::tls_stream<wire> server;
};

inline tls_ends tls_pair(const weir::tls_context& client, const weir::tls_context& server,
                         std::string_view host = "server.test") {
  auto [a, b] = weir::unix_stream::pair();
  return {.client = weir::tls_stream<wire>(client, wire(std::move(a)), host),
          .server = weir::tls_stream<wire>(server, wire(std::move(b)))};
}

/// How both handshakes ended: sentences, empty for those that succeeded.
struct handshakes {
  std::string client;
  std::string server;
  std::error_code client_code;
  std::error_code server_code;
};

/// Each end, when it has failed, goes away: the other one must not wait for it.
template <class Stream>
weir::task<> shake_hands(weir::tls_stream<Stream>& end, std::string& sentence, std::error_code& code) {
  auto r = co_await weir::as_result(end.handshake());
  sentence = sentence_of(r);
  code = r.error();
  if (!r.has_value()) end.transport().socket().shutdown(weir::direction::write);
}

inline weir::task<handshakes> shake_hands(tls_ends& ends) {
  handshakes how;
  co_await weir::when_all(shake_hands(ends.client, how.client, how.client_code),
                          shake_hands(ends.server, how.server, how.server_code));
  co_return how;
}

/// Both ends, connected, with their handshakes done.
inline weir::task<tls_ends> tls_connected(weir::tls_context client, weir::tls_context server) {
  tls_ends ends = tls_pair(client, server);
  const handshakes how = co_await shake_hands(ends);
  REQUIRE(how.client.empty());
  REQUIRE(how.server.empty());
  co_return std::move(ends);
}
inline weir::task<tls_ends> tls_connected() { return tls_connected(client_context(), server_context()); }

inline std::span<std::byte> writable(std::string& text) { return std::as_writable_bytes(std::span(text)); }

/// What one read gives, as text.
template <class Stream>
weir::task<std::string> read_text(Stream& from, std::size_t most = 100) {
  std::string text(most, '?');
  const std::size_t n = co_await from.read_some(writable(text));
  text.resize(n);
  co_return text;
}

// ---- patterns

template <class Stream>
weir::task<> send_pattern(Stream& to, std::size_t size) {
  guarded_buffer bytes(size);
  fill_pattern(bytes);
  co_await to.write_all(bytes);
  co_await to.finish();
}

/// In pieces of many sizes, up to the end.
template <class Stream>
weir::task<> expect_pattern(Stream& from, std::size_t size) {
  guarded_buffer piece(70'000);
  std::size_t total = 0;
  std::size_t wanted = 1;
  for (;;) {
    const std::span<std::byte> into = piece.first(wanted);
    const std::size_t n = co_await from.read_some(into);
    if (n == 0) break;
    CHECK(is_pattern(into.first(n), total));
    total += n;
    wanted = wanted * 3 % piece.size() + 1;
  }
  CHECK(total == size);
}

template <class Stream>
weir::task<> both_ways(Stream& client, Stream& server, std::size_t size) {
  const auto body = [&](weir::task_group& group) -> weir::task<> {
    group.spawn(send_pattern(client, size));
    group.spawn(send_pattern(server, size));
    group.spawn(expect_pattern(client, size));
    group.spawn(expect_pattern(server, size));
    co_await group.join();
  };
  co_await weir::with_task_group(body);
}

/// Runs a test's main on so many workers, and looks for descriptors that stay open.
template <class F>
void run_tls(F main, unsigned workers = 1) {
  const no_descriptor_leaks none;
  weir::run(main_function<void>(main)(), {.workers = workers});
}

}  // namespace test
