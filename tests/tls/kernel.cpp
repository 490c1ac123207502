#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <weir/io/detail/tls_kernel.hpp>
#include <weir/io/tls.hpp>

#include "../io/files.hpp"
#include "../io/guarded_buffer.hpp"
#include "../skip.hpp"
#include "raw_peer.hpp"
#include "tls_ends.hpp"

using test::bytes_of;
using test::client_context;
using test::guarded_buffer;
using test::read_text;
using test::run_tls;
using test::sentence_of;
using test::server_context;
using weir::as_result;
using weir::task;
using weir::task_group;
using weir::tls_errc;
using weir::with_cancellation;
using weir::with_task_group;

// What the kernel encrypts is read by OpenSSL, without the kernel: it would tell of any bit that is wrong.

namespace {

weir::tls_context kernel_server(bool kernel = true) { return server_context({.kernel = kernel}); }
weir::tls_context kernel_client(bool kernel = true) { return client_context({.kernel = kernel}); }

struct tcp_pair {
  weir::tcp_stream first;
  weir::tcp_stream second;

  /// `small`: little goes before a writer has to wait.
  static task<tcp_pair> make(bool small = false) {
    tcp_pair made;
    if (small) {
      test::connection both = test::connect_pair(true);
      made.first = weir::tcp_stream::adopt(both.peer.release());
      made.second = std::move(both.stream);
    } else {
      auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(0));
      made.first = co_await weir::tcp_stream::connect(listener.local_endpoint());
      made.second = co_await listener.accept();
    }
    made.first.set_linger(std::chrono::seconds(0));  // tests would use up the ports
    co_return made;
  }
};

struct kernel_ends {
  weir::tls_stream<weir::tcp_stream> client;
  weir::tls_stream<weir::tcp_stream> server;

  static task<kernel_ends> make(weir::tls_context client, weir::tls_context server, bool small = false) {
    tcp_pair both = co_await tcp_pair::make(small);
    kernel_ends made{.client = {client, std::move(both.first), "server.test"},
                     .server = {server, std::move(both.second)}};
    co_await weir::when_all(made.client.handshake(), made.server.handshake());
    co_return made;
  }
  /// The server's kernel encrypts.
  static task<kernel_ends> make(bool small = false) { return make(client_context(), kernel_server(), small); }
};

/// A server of weir whose kernel encrypts, and a client that is OpenSSL.
struct raw_kernel_ends {
  raw_kernel_ends(tcp_pair both, int version)
      : client(std::move(both.first), version), server(kernel_server(), std::move(both.second)) {}
  task<> handshake() { co_await weir::when_all(client.handshake(), server.handshake()); }

  test::basic_raw_peer<weir::tcp_stream> client;
  weir::tls_stream<weir::tcp_stream> server;
};

/// Whether this kernel has no TLS. Everything else that is in its way is a failure.
template <class Stream>
bool none_here(const weir::tls_stream<Stream>& stream) {
  const std::string why = stream.why_not_kernel();
  if (why.starts_with("TCP_ULP: ")) {
    skip("needs a kernel with TLS (Linux's module tls)");
    return true;
  }
  CHECK(why == "");
  CHECK(stream.kernel_sends());
  return false;
}

/// Reads to the end, `most` at a time, and lets others run in between.
template <class Stream>
task<> read_all(Stream& from, std::string& all, std::size_t most = 10'000) {
  guarded_buffer part(most);
  for (;;) {
    const std::size_t n = co_await from.read_some(part);
    if (n == 0) co_return;
    all += test::text_of(part.first(n));
    co_await weir::yield();
  }
}

/// A kernel that seems to have TLS, and takes no keys. While one is there, sockets belong to one thread.
class refusing_kernel {
 public:
  /// `takes`: how many bytes the socket takes before the keys; -1: all.
  explicit refusing_kernel(long takes) : takes_(takes) {
    there = this;
    was_absent_ = weir::detail::tls_kernel::absent.exchange(false);
  }
  refusing_kernel(const refusing_kernel&) = delete;
  refusing_kernel& operator=(const refusing_kernel&) = delete;
  ~refusing_kernel() {
    weir::detail::tls_kernel::absent = was_absent_;
    there = nullptr;
  }

  int prepare() noexcept {
    prepared_ = true;
    return 0;
  }
  int refuse_keys() noexcept {
    ++refused;
    errno = EINVAL;
    return -1;
  }
  /// Of `size` bytes that are sent now, how many are taken; -1: none.
  long room_for(std::size_t size) noexcept {
    if (!std::exchange(prepared_, false) || takes_ < 0) return static_cast<long>(size);
    if (takes_ > 0) return std::min(takes_, static_cast<long>(size));
    errno = EAGAIN;
    return -1;
  }

  static inline refusing_kernel* there = nullptr;
  int refused = 0;

 private:
  const long takes_;
  bool was_absent_;
  bool prepared_ = false;  // the next to be sent is what comes before the keys
};

std::string pattern_text(std::size_t size) {
  std::string text(size, '?');
  test::fill_pattern(test::writable(text));
  return text;
}

}  // namespace

// In the place of libc's.
extern "C" {

int setsockopt(int number, int level, int option, const void* value, socklen_t size) noexcept {
  constexpr int level_of_tls = 282;
  if (refusing_kernel* const kernel = refusing_kernel::there) {
    if (level == IPPROTO_TCP && option == TCP_ULP) return kernel->prepare();
    if (level == level_of_tls) return kernel->refuse_keys();
  }
  return static_cast<int>(::syscall(SYS_setsockopt, number, level, option, value, size));
}

ssize_t send(int number, const void* from, size_t size, int flags) {
  long room = static_cast<long>(size);
  if (refusing_kernel* const kernel = refusing_kernel::there) room = kernel->room_for(size);
  return room < 0 ? -1 : ::syscall(SYS_sendto, number, from, room, flags, nullptr, 0);
}

}  // extern "C"

TEST_CASE("kernel tls: asked for or not, there or not, bytes go as they did, and a sentence says what is done") {
  run_tls([]() -> task<> {
    for (const bool client : {false, true}) {
      for (const bool server : {false, true}) {
        kernel_ends ends = co_await kernel_ends::make(kernel_client(client), kernel_server(server));
        CHECK(ends.client.kernel_sends() == ends.client.why_not_kernel().empty());
        if (!client) CHECK(ends.client.why_not_kernel() == "the context does not ask for it");
        CHECK(ends.server.kernel_sends() == ends.server.why_not_kernel().empty());
        if (!server) CHECK(ends.server.why_not_kernel() == "the context does not ask for it");
        co_await test::both_ways(ends.client, ends.server, 300'000);
        co_await weir::when_all(ends.client.shutdown(), ends.server.shutdown());
      }
    }
    test::tls_ends ends = co_await test::tls_connected(kernel_client(), kernel_server());
    CHECK(!ends.server.kernel_sends());
    CHECK(ends.server.why_not_kernel() == "OpenSSL, or the transport, cannot with TLS_AES_256_GCM_SHA384");
    co_await test::both_ways(ends.client, ends.server, 300'000);

    weir::tls_stream<weir::tcp_stream> none;
    CHECK(!none.kernel_sends());
    auto [a, b] = weir::unix_stream::pair();
    weir::tls_stream early{kernel_server(), a};
    CHECK(early.why_not_kernel() == "the handshake is not done");
  });
}

TEST_CASE("kernel tls: there is none in a simulation") {
  test::simulate([]() -> task<> {
    kernel_ends ends = co_await kernel_ends::make(kernel_client(), kernel_server());
    CHECK(!ends.server.kernel_sends());
    CHECK(ends.server.why_not_kernel() == "TCP_ULP: Operation not supported");
    co_await test::both_ways(ends.client, ends.server, 300'000);
  });
}

TEST_CASE("kernel tls: a kernel that takes no keys, or a socket that is full before them, leaves all to OpenSSL") {
  struct way {
    long takes;
    std::string_view why;
    int asked;
  };
  for (const way one :
       {way{.takes = -1, .why = "TLS_TX: Invalid argument", .asked = 2},
        way{.takes = 100, .why = "TLS_TX: Invalid argument", .asked = 2},
        way{.takes = 0, .why = "sending what comes before: Resource temporarily unavailable", .asked = 0}}) {
    run_tls([&]() -> task<> {
      refusing_kernel kernel(one.takes);
      kernel_ends ends = co_await kernel_ends::make(kernel_client(), kernel_server());
      CHECK(!ends.server.kernel_sends());
      CHECK(ends.server.why_not_kernel() == one.why);
      CHECK(!ends.client.kernel_sends());
      CHECK(ends.client.why_not_kernel() == one.why);
      CHECK(kernel.refused == one.asked);
      co_await test::both_ways(ends.client, ends.server, 300'000);
      co_await weir::when_all(ends.client.shutdown(), ends.server.shutdown());
    });
  }
}

TEST_CASE("kernel tls: much goes both ways at once, on one worker and on several") {
  bool none = false;
  for (const unsigned workers : {1u, 3u}) {
    if (none) break;
    run_tls(
        [&none]() -> task<> {
          kernel_ends ends = co_await kernel_ends::make(kernel_client(), kernel_server());
          none = none_here(ends.server);
          if (none) co_return;
          CHECK(ends.client.kernel_sends());
          co_await test::both_ways(ends.client, ends.server, 1'500'000);
          co_await weir::when_all(ends.client.shutdown(), ends.server.shutdown());
        },
        workers);
  }
}

TEST_CASE("kernel tls: with each version and cipher that OpenSSL and the kernel have in common") {
  constexpr std::array suites = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"};
  constexpr std::array older = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                                "ECDHE-ECDSA-CHACHA20-POLY1305"};
  for (std::size_t i = 0; i < suites.size() * 2; ++i) {
    const bool old = i >= suites.size();
    const char* const suite = old ? older[i - suites.size()] : suites[i];
    bool none = false;
    run_tls([&]() -> task<> {
      tcp_pair both = co_await tcp_pair::make();
      raw_kernel_ends ends(std::move(both), old ? TLS1_2_VERSION : TLS1_3_VERSION);
      const int set =
          old ? SSL_set_cipher_list(ends.client.ssl(), suite) : SSL_set_ciphersuites(ends.client.ssl(), suite);
      REQUIRE(set == 1);
      co_await ends.handshake();
      none = none_here(ends.server);
      if (none) co_return;
      CHECK(ends.server.cipher() == suite);
      for (const std::size_t size : {std::size_t{1}, std::size_t{1'000}, std::size_t{40'000}}) {
        const std::string text = pattern_text(size);
        co_await ends.server.write_all(bytes_of(text));
        std::string got;
        while (got.size() < size) {
          const std::string part = co_await ends.client.read();
          REQUIRE(!part.empty());
          got += part;
        }
        CHECK((got == text));
        ends.client.write("thanks");
        co_await ends.client.flush();
        const std::string said = co_await read_text(ends.server);
        CHECK(said == "thanks");
      }
      co_await ends.server.finish();
      const std::string end = co_await ends.client.read();
      CHECK(end.empty());
    });
    if (none) break;
  }
}

TEST_CASE("kernel tls: files are sent by the kernel, whole and in their place among what is written") {
  const test::scratch_directory dir;
  // A record is of 16 KiB, and a call of sendfile of 4 MiB.
  for (const std::size_t size : {std::size_t{16'384} * 5, std::size_t{100'001}, (std::size_t{4} << 20) + 1}) {
    bool none = false;
    run_tls([&]() -> task<> {
      const std::string text = pattern_text(size);
      weir::file source = co_await weir::file::open(dir.containing("source", text));
      kernel_ends ends = co_await kernel_ends::make(size == 100'001);
      none = none_here(ends.server);
      if (none) co_return;
      const std::uint64_t before = weir::counters().total.copied_by_sendfile;
      const auto serve = [&]() -> task<> {
        co_await ends.server.write_all(bytes_of("first|"));
        const std::uint64_t n = co_await weir::copy(source, ends.server, {.buffer = 4096});
        CHECK(n == size);
        // Nothing is kept back.
        const std::string heard = co_await read_text(ends.server);
        CHECK(heard == "all of it");
        co_await ends.server.write_all(bytes_of("|between|"));
        source.set_position(7);
        const std::uint64_t again = co_await weir::copy(source, ends.server, {.buffer = 4096});
        CHECK(again == size - 7);
        co_await ends.server.finish();
      };
      std::string got;
      const auto ask = [&]() -> task<> {
        guarded_buffer part(10'000);
        while (got.size() < 6 + size) {
          const std::size_t n = co_await ends.client.read_some(part);
          REQUIRE(n != 0);
          got += test::text_of(part.first(n));
        }
        CHECK(got.size() == 6 + size);
        co_await ends.client.write_all(bytes_of("all of it"));
        co_await read_all(ends.client, got);
      };
      co_await weir::when_all(serve(), ask());
      CHECK((got == "first|" + text + "|between|" + text.substr(7)));
      CHECK(weir::counters().total.copied_by_sendfile - before == 2 * size - 7);
    });
    if (none) break;
  }
}

TEST_CASE("kernel tls: a file is read and written where the kernel does not encrypt, and where it is short") {
  const test::scratch_directory dir;
  run_tls([&]() -> task<> {
    const std::string text = pattern_text(200'000);
    for (const bool kernel : {false, true}) {
      const std::string sent = text.substr(0, kernel ? 3'000 : text.size());
      const std::string path = dir.containing(kernel ? "short" : "long", sent);
      weir::file source = co_await weir::file::open(path);
      kernel_ends ends = co_await kernel_ends::make(client_context(), kernel_server(kernel));
      const std::uint64_t before = weir::counters().total.copied_by_sendfile;
      const auto serve = [&]() -> task<> {
        co_await weir::copy(source, ends.server, {.buffer = 4096});
        co_await ends.server.finish();
      };
      std::string got;
      co_await weir::when_all(serve(), read_all(ends.client, got));
      CHECK((got == sent));
      CHECK(weir::counters().total.copied_by_sendfile == before);
    }
  });
}

TEST_CASE("kernel tls: writes that are stopped again and again go on, and the peer gets each byte once") {
  run_tls([]() -> task<> {
    kernel_ends ends = co_await kernel_ends::make(true);
    if (none_here(ends.server)) co_return;
    const std::string text = pattern_text(1'000'000);
    std::size_t at = 0;
    int stopped = 0;
    const auto writes = [&]() -> task<> {
      for (std::size_t k = 0; at < text.size(); ++k) {
        weir::cancellation_source enough;
        const auto body = [&](task_group& group) -> task<> {
          const auto write = [&]() -> task<> {
            auto r = co_await as_result(
                with_cancellation(enough.token(), ends.server.write_all(bytes_of(text).subspan(at).first(
                                                      std::min<std::size_t>(text.size() - at, 1 + k * 97 % 60'000)))));
            at += ends.server.bytes_written();
            if (r.is_cancelled()) ++stopped;
          };
          group.spawn(write());
          for (std::size_t i = 0; i < k % 23; ++i) co_await weir::yield();
          enough.request_cancellation();
          co_await group.join();
        };
        co_await with_task_group(body);
      }
      co_await ends.server.finish();
    };
    std::string got;
    co_await weir::when_all(writes(), read_all(ends.client, got, 3'000));
    CHECK(stopped > 0);
    CHECK((got == text));
  });
}

TEST_CASE("kernel tls: a copy that is stopped again and again goes on, and the peer gets the file once") {
  const test::scratch_directory dir;
  run_tls([&]() -> task<> {
    const std::string text = pattern_text(3'000'000);
    weir::file source = co_await weir::file::open(dir.containing("source", text));
    kernel_ends ends = co_await kernel_ends::make(true);
    if (none_here(ends.server)) co_return;
    weir::copy_progress progress;
    int stopped = 0;
    const auto copies = [&]() -> task<> {
      bool done = false;
      for (std::size_t k = 0; !done; ++k) {
        weir::cancellation_source enough;
        const auto body = [&](task_group& group) -> task<> {
          const auto copy = [&]() -> task<> {
            auto r = co_await as_result(with_cancellation(
                enough.token(), weir::copy(source, ends.server, {.buffer = 4096, .progress = &progress})));
            done = r.has_value();
            if (r.is_cancelled()) ++stopped;
          };
          group.spawn(copy());
          for (std::size_t i = 0; i < 50 + k % 23; ++i) co_await weir::yield();
          enough.request_cancellation();
          co_await group.join();
        };
        co_await with_task_group(body);
      }
      co_await ends.server.finish();
    };
    std::string got;
    co_await weir::when_all(copies(), read_all(ends.client, got, 3'000));
    CHECK(stopped > 0);
    CHECK(progress.copied == text.size());
    CHECK((got == text));
  });
}

TEST_CASE("kernel tls: a farewell waits for room in the socket, may be stopped, and comes last") {
  run_tls([]() -> task<> {
    kernel_ends ends = co_await kernel_ends::make(true);
    if (none_here(ends.server)) co_return;
    const std::string text = pattern_text(10'000'000);
    std::size_t taken = 0;
    {
      weir::cancellation_source enough;
      const auto body = [&](task_group& group) -> task<> {
        const auto write = [&]() -> task<> {
          auto r = co_await as_result(with_cancellation(enough.token(), ends.server.write_all(bytes_of(text))));
          CHECK(r.is_cancelled());
          taken = ends.server.bytes_written();
        };
        group.spawn(write());
        co_await test::settle_down();
        enough.request_cancellation();
        co_await group.join();
      };
      co_await with_task_group(body);
    }
    REQUIRE(taken < text.size());
    for (int i = 0; i < 3; ++i) {
      weir::cancellation_source at_once;
      at_once.request_cancellation();
      auto r = co_await as_result(with_cancellation(at_once.token(), ends.server.finish()));
      CHECK(r.is_cancelled());
    }
    std::string got;
    co_await weir::when_all(ends.server.finish(), read_all(ends.client, got));
    CHECK((got == text.substr(0, taken)));
    auto late = co_await as_result(ends.server.write_some(bytes_of("late")));
    CHECK(late.error() == std::errc::broken_pipe);
    const test::scratch_directory dir;
    weir::file source = co_await weir::file::open(dir.containing("source", pattern_text(100'000)));
    auto later = co_await as_result(weir::copy(source, ends.server, {.buffer = 4096}));
    CHECK(later.error() == std::errc::broken_pipe);
  });
}

TEST_CASE(
    "kernel tls: a peer may change its keys; who wants ours changed is told at the next write that it cannot be") {
  run_tls([]() -> task<> {
    tcp_pair both = co_await tcp_pair::make();
    raw_kernel_ends ends(std::move(both), TLS1_3_VERSION);
    co_await ends.handshake();
    if (none_here(ends.server)) co_return;
    REQUIRE(SSL_key_update(ends.client.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
    ends.client.write("its own");
    co_await ends.client.flush();
    std::string text(7, '?');
    co_await weir::read_exactly(ends.server, test::writable(text));
    CHECK(text == "its own");
    co_await ends.server.write_all(bytes_of("well"));
    const std::string answer = co_await ends.client.read();
    CHECK(answer == "well");

    ends.client.update_keys();
    ends.client.write("ours");
    co_await ends.client.flush();
    text.resize(4);
    co_await weir::read_exactly(ends.server, test::writable(text));
    CHECK(text == "ours");
    auto refused = co_await as_result(ends.server.write_all(bytes_of("no")));
    CHECK(refused.error() == tls_errc::protocol_error);
    CHECK(sentence_of(refused).find("the peer asks for new keys, which the kernel cannot be given") !=
          std::string::npos);
    auto told = co_await as_result(ends.client.read());
    CHECK(!told.has_value());
    CHECK(ERR_GET_REASON(ERR_peek_error()) == SSL_AD_REASON_OFFSET + SSL_AD_INTERNAL_ERROR);
    ERR_clear_error();
    auto over = co_await as_result(read_text(ends.server));
    CHECK(over.error() == tls_errc::protocol_error);
  });
}

TEST_CASE("kernel tls: a client without a certificate is refused by a message through the kernel") {
  run_tls([]() -> task<> {
    weir::tls_context picky = kernel_server();
    picky.verify_clients(test::common_authority().roots());
    tcp_pair both = co_await tcp_pair::make();
    weir::tls_stream client{client_context(), std::move(both.first), "server.test"};
    weir::tls_stream server{picky, std::move(both.second)};
    std::string why;
    const auto refuses = [&]() -> task<> {
      auto r = co_await as_result(server.handshake());
      CHECK(r.error() == tls_errc::handshake_failed);
    };
    co_await weir::when_all(client.handshake(), refuses());
    auto told = co_await as_result(read_text(client));
    CHECK(sentence_of(told).find("certificate required") != std::string::npos);
    static_cast<void>(none_here(server));
  });
}

TEST_CASE("kernel tls: a peer that has gone is an error, and no signal") {
  run_tls([]() -> task<> {
    kernel_ends ends = co_await kernel_ends::make();
    if (none_here(ends.server)) co_return;
    ends.client.transport().close();  // resets
    std::error_code code;
    for (int i = 0; i < 100 && !code; ++i) {
      auto r = co_await as_result(ends.server.write_all(bytes_of("anybody?")));
      code = r.error();
    }
    CHECK((code == std::errc::broken_pipe || code == std::errc::connection_reset));
    auto end = co_await as_result(ends.server.finish());
    CHECK((end.error() == std::errc::broken_pipe || end.error() == std::errc::connection_reset));
  });
}
