#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <weir/io/tls.hpp>

#include "../io/files.hpp"
#include "../skip.hpp"
#include "tls_ends.hpp"

// With the openssl program at the other end, and curl: what only we agree on with ourselves would be no TLS.

using test::bytes_of;
using test::common_authority;
using test::run_tls;
using test::scratch_directory;
using weir::as_result;
using weir::command;
using weir::task;
using weir::task_group;
using weir::with_task_group;

namespace {

/// Whether there is such a program here.
bool has_program(const char* name) {
  bool there = false;
  weir::run(
      [](const char* program, bool& found) -> task<> {
        command asks(program);
        asks.argument("version");
        auto r = co_await as_result(weir::run_process(std::move(asks)));
        found = r.error() != std::errc::no_such_file_or_directory;
      }(name, there),
      {.workers = 1});
  return there;
}

using server_stream = weir::tls_stream<weir::tcp_stream>;

/// A line comes, and goes back.
task<> answer_a_line(server_stream& peer) {
  weir::buffered_reader reader{peer};
  auto line = co_await reader.read_line();
  std::string answer = "you said: " + line.value_or("nothing") + "\n";
  co_await weir::write_all(peer, answer);
}

/// What a browser gets.
task<> answer_http(server_stream& peer) {
  weir::buffered_reader reader{peer};
  for (;;) {
    auto line = co_await reader.read_line();
    if (!line || line->empty()) break;
  }
  const std::string body(100'000, 'w');
  std::string answer = fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.size());
  answer += body;
  co_await weir::write_all(peer, answer);
}

/// Serves one connection with `answer`, while `program` talks to it: what the program has written.
task<weir::process_output> talk_to(weir::tls_context context, task<> (*answer)(server_stream&),
                                   std::function<command(std::uint16_t)> program, std::string input) {
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(0));
  weir::process_output said;
  const auto body = [&](task_group& group) -> task<> {
    const auto serves = [&]() -> task<> {
      weir::tcp_stream connection = co_await listener.accept();
      connection.set_linger(std::chrono::seconds(0));
      server_stream peer{context, std::move(connection)};
      co_await peer.handshake();
      co_await answer(peer);
      co_await peer.shutdown();
    };
    group.spawn(serves());
    said = co_await weir::run_process(program(listener.local_endpoint().port()), input);
    co_await group.join();
  };
  co_await with_task_group(body);
  co_return std::move(said);
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("tls: openssl s_client is served, verifies us, and resumes its session") {
  if (!has_program("openssl")) return skip("there is no openssl program");
  const scratch_directory here;
  const std::string roots = here.containing("roots.pem", common_authority().certificate());
  run_tls([&]() -> task<> {
    weir::tls_context context = test::server_context();
    context.set_protocols({"echo/1", "http/1.1"});
    for (const bool again : {false, true}) {
      const std::function<command(std::uint16_t)> client = [&](std::uint16_t port) {
        command made("openssl");
        made.arguments({"s_client", "-connect", fmt::format("127.0.0.1:{}", port), "-servername", "server.test",
                        "-CAfile", roots, "-verify_return_error", "-verify_hostname", "server.test", "-alpn",
                        "http/1.1,echo/1", "-ign_eof", again ? "-sess_in" : "-sess_out", here.name("session")});
        return made;
      };
      const weir::process_output said = co_await talk_to(context, answer_a_line, client, "hello\n");
      CHECK(said.status.success());
      CHECK(contains(said.output, "you said: hello"));
      CHECK(contains(said.output, again ? "Reused, TLSv1.3" : "New, TLSv1.3"));
      CHECK(contains(said.output, "ALPN protocol: echo/1"));
      CHECK(contains(said.output, "Verification: OK"));
    }
  });
}

TEST_CASE("tls: openssl s_client speaks TLS 1.2 with us") {
  if (!has_program("openssl")) return skip("there is no openssl program");
  run_tls([&]() -> task<> {
    const std::function<command(std::uint16_t)> client = [&](std::uint16_t port) {
      command made("openssl");
      made.arguments({"s_client", "-connect", fmt::format("127.0.0.1:{}", port), "-tls1_2", "-ign_eof"});
      return made;
    };
    const weir::process_output said = co_await talk_to(test::server_context(), answer_a_line, client, "hello\n");
    CHECK(contains(said.output, "you said: hello"));
    CHECK(contains(said.output, "New, TLSv1.2"));
  });
}

TEST_CASE("tls: openssl s_server is asked, verified, and asked again in a session") {
  if (!has_program("openssl")) return skip("there is no openssl program");
  const scratch_directory here;
  const test::credentials own = common_authority().issue();
  const std::string certificate = here.containing("certificate.pem", own.certificate);
  const std::string key = here.containing("key.pem", own.key);
  run_tls([&]() -> task<> {
    command server("openssl");
    server.arguments({"s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-www", "-alpn", "x,y"});
    server.standard_input(weir::child_stream::pipe()).standard_output(weir::child_stream::pipe());
    server.standard_error(weir::child_stream::null());
    weir::process running = co_await weir::process::spawn(std::move(server));
    weir::buffered_reader output{running.standard_output()};
    std::string where;
    while (auto line = co_await output.read_line()) {
      if (line->starts_with("ACCEPT ")) {
        where = line->substr(7);
        break;
      }
    }
    const auto port = static_cast<std::uint16_t>(std::stoi(where.substr(where.rfind(':') + 1)));
    weir::tls_context context = test::client_context();
    context.set_protocols({"y"});
    for (const bool again : {false, true}) {
      weir::tcp_stream connection = co_await weir::tcp_stream::connect(weir::endpoint::loopback(port));
      weir::tls_stream stream{context, std::move(connection), "server.test"};
      co_await stream.handshake();
      CHECK(stream.resumed() == again);
      CHECK(stream.protocol() == "y");
      co_await weir::write_all(stream, "GET / HTTP/1.0\r\n\r\n");
      std::string page;
      weir::buffered_reader reader{stream};
      while (auto line = co_await reader.read_line()) page += *line + "\n";
      CHECK(page.starts_with("HTTP/1.0 200 ok"));
      CHECK(contains(page, again ? "Reused, TLSv1.3" : "New, TLSv1.3"));
    }
    weir::tcp_stream connection = co_await weir::tcp_stream::connect(weir::endpoint::loopback(port));
    weir::tls_stream stranger{test::client_context(), std::move(connection), "other.test"};
    auto refused = co_await as_result(stranger.handshake());
    CHECK(refused.error() == weir::tls_errc::certificate_rejected);
    running.kill();
    co_await running.wait();
  });
}

TEST_CASE("tls: curl gets a page") {
  if (!has_program("curl")) return skip("there is no curl program");
  const scratch_directory here;
  const std::string roots = here.containing("roots.pem", common_authority().certificate());
  run_tls([&]() -> task<> {
    weir::tls_context context = test::server_context();
    context.set_protocols({"http/1.1"});
    const std::function<command(std::uint16_t)> client = [&](std::uint16_t port) {
      command made("curl");
      made.arguments({"--silent", "--show-error", "--noproxy", "*", "--cacert", roots, "--resolve",
                      fmt::format("server.test:{}:127.0.0.1", port), fmt::format("https://server.test:{}/", port)});
      return made;
    };
    const weir::process_output said = co_await talk_to(context, answer_http, client, "");
    CHECK(said.error.empty());
    CHECK(said.status.success());
    CHECK(said.output == std::string(100'000, 'w'));
  });
}
