#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <unordered_set>
#include <utility>

#include <weir/io/unix.hpp>

#include "files.hpp"
#include "guarded_buffer.hpp"
#include "tcp_support.hpp"

using test::bytes_of;
using test::refusal_of;
using test::run_checked;
using test::run_everywhere;
using test::scratch_directory;
using test::sentence_of;
using weir::as_result;
using weir::task;
using weir::task_group;
using weir::unix_endpoint;
using weir::unix_listener;
using weir::unix_stream;
using weir::with_task_group;

static_assert(!std::is_copy_constructible_v<unix_stream> && std::is_nothrow_move_constructible_v<unix_stream>);
static_assert(std::is_trivially_copyable_v<unix_endpoint>);

namespace {

task<std::string> read(unix_stream& stream, std::size_t most = 100) {
  std::string text(most, '?');
  const std::size_t n = co_await stream.read_some(std::as_writable_bytes(std::span(text)));
  text.resize(n);
  co_return text;
}

bool exists(const std::string& path) { return std::filesystem::exists(std::filesystem::symlink_status(path)); }

/// A socket's file that its socket has left behind.
void leave_behind(const std::string& path) { unix_listener::bind(path, {.keep_file = true}); }

}  // namespace

TEST_CASE("unix: an endpoint is a path, an abstract name, or nothing") {
  const unix_endpoint path = "/run/a.sock";
  const unix_endpoint name = unix_endpoint::abstract("a.sock");
  CHECK(path.is_path());
  CHECK(path.name() == "/run/a.sock");
  CHECK(fmt::format("{}", path) == "/run/a.sock");
  CHECK(name.is_abstract());
  CHECK(fmt::format("{}", name) == "@a.sock");
  CHECK(unix_endpoint::abstract(std::string_view("\0x\n", 3)).to_string() == "@\\x00x\\x0a");
  CHECK(!unix_endpoint());
  CHECK(unix_endpoint().to_string() == "(unnamed)");
  CHECK(!unix_endpoint::any());
  CHECK(path == unix_endpoint(std::string("/run/a.sock")));
  CHECK(unix_endpoint("a") != unix_endpoint::abstract("a"));
  CHECK(std::unordered_set<unix_endpoint>{path, name, "/run/a.sock"}.size() == 2);
}

TEST_CASE("unix: a path that is too long is refused with a sentence that tells by how much") {
  const std::string longest(unix_endpoint::longest, 'x');
  CHECK(unix_endpoint(longest).name() == longest);
  CHECK(unix_endpoint::abstract(longest).name() == longest);
  const std::string longer = longest + "x";
  CHECK(
      refusal_of([&] { static_cast<void>(unix_endpoint(longer)); }) ==
      fmt::format("unix_endpoint: the path \"{}\" has 108 bytes, and a unix socket's may have 107: File name too long",
                  longer));
  CHECK(refusal_of([&] {
          static_cast<void>(unix_endpoint::abstract(longer));
        }).starts_with("unix_endpoint: the abstract name \"xxx"));
  CHECK(refusal_of([] { static_cast<void>(unix_endpoint("")); }) ==
        "unix_endpoint: the path is empty: Invalid argument");
  CHECK(refusal_of([] { static_cast<void>(unix_endpoint(std::string_view("a\0b", 3))); }) ==
        "unix_endpoint: the path has a zero byte in it: Invalid argument");
}

TEST_CASE("unix: streams over a path, an abstract name, the longest one, and a name that the kernel picks") {
  scratch_directory here;
  for (const unix_endpoint& where :
       {unix_endpoint(here.name("a.sock")), unix_endpoint::abstract(here.name("abstract")),
        unix_endpoint::abstract(std::string(unix_endpoint::longest, 'w')), unix_endpoint::any()}) {
    auto main = [&]() -> task<> {
      unix_listener listener = unix_listener::bind(where);
      const unix_endpoint at = listener.local_endpoint();
      if (where) CHECK(at == where);
      CHECK(at);
      CHECK(listener.name() == at.to_string());
      unix_stream client = co_await unix_stream::connect(at);
      unix_stream server = co_await listener.accept();
      CHECK(client.peer_endpoint() == at);
      CHECK(client.name() == at.to_string());
      CHECK(server.name() == at.to_string());
      CHECK(server.local_endpoint() == at);
      CHECK(!server.peer_endpoint());
      if (test::is_real(client)) CHECK((::fcntl(client.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
      if (test::is_real(server)) CHECK((::fcntl(server.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
      co_await client.write_all(bytes_of("question"));
      const std::string question = co_await read(server);
      CHECK(question == "question");
      client.shutdown(weir::direction::write);
      const std::string end = co_await read(server);
      CHECK(end.empty());
      co_await server.write_all(bytes_of("answer"));
      const std::string answer = co_await read(client);
      CHECK(answer == "answer");
    };
    run_everywhere(main);
  }
}

TEST_CASE("unix: both ends know who the other one is") {
  auto main = []() -> task<> {
    unix_listener listener = unix_listener::bind(unix_endpoint::any());
    unix_stream client = co_await unix_stream::connect(listener.local_endpoint());
    unix_stream server = co_await listener.accept();
    const weir::unix_credentials us{.pid = ::getpid(), .uid = ::geteuid(), .gid = ::getegid()};
    CHECK(client.peer_credentials() == us);
    CHECK(server.peer_credentials() == us);
    auto [one, other] = unix_stream::pair();
    CHECK(one.peer_credentials() == us);
    CHECK(refusal_of([] { static_cast<void>(unix_stream().peer_credentials()); }) ==
          "peer_credentials of a closed socket: Bad file descriptor");
  };
  run_everywhere(main);
}

TEST_CASE("unix: a listener removes its file, unless it was asked to leave it, or it is another's by then") {
  scratch_directory here;
  const std::string path = here.name("a.sock");
  {
    unix_listener listener = unix_listener::bind(path);
    CHECK(exists(path));
    unix_listener moved = std::move(listener);
    CHECK(exists(path));
    moved.close();
    CHECK(!exists(path));
    moved = unix_listener::bind(path);
    moved = unix_listener();
    CHECK(!exists(path));
  }
  {
    unix_listener listener = unix_listener::bind(path);
    std::filesystem::remove(path);
    unix_listener next = unix_listener::bind(path);
    listener.close();
    CHECK(exists(path));
  }
  CHECK(!exists(path));
  leave_behind(path);
  CHECK(exists(path));
  std::filesystem::remove(path);
  {
    unix_listener listener = unix_listener::bind(path);
    unix_listener again = unix_listener::adopt(listener.release());
    CHECK(again.local_endpoint() == path);
  }
  CHECK(exists(path));
}

TEST_CASE("unix: what is in the way is replaced only when asked to, and only a socket's file without a socket") {
  scratch_directory here;
  const std::string path = here.name("a.sock");
  const std::string in_use = fmt::format("bind {}: Address already in use", path);
  leave_behind(path);
  CHECK(refusal_of([&] { unix_listener::bind(path); }) == in_use);
  {
    unix_listener listener = unix_listener::bind(path, {.replace_stale = true});
    CHECK(refusal_of([&] { unix_listener::bind(path, {.replace_stale = true}); }) == in_use);
    // The one that lives has not noticed.
    CHECK(::accept(listener.native_handle(), nullptr, nullptr) < 0);
    CHECK(errno == EAGAIN);
    auto main = [&]() -> task<> {
      unix_stream client = co_await unix_stream::connect(path);
      unix_stream server = co_await listener.accept();
    };
    weir::run(main(), {.workers = 1});
  }
  std::ofstream(path) << "not a socket's";
  CHECK(refusal_of([&] { unix_listener::bind(path, {.replace_stale = true}); }) == in_use);
  CHECK(std::filesystem::file_size(path) == 14);
  CHECK(refusal_of([&] { unix_listener::bind(here.name("none") + "/a.sock"); }) ==
        fmt::format("bind {}/a.sock: No such file or directory", here.name("none")));
  CHECK(refusal_of([] { unix_listener::bind(unix_endpoint()); }) == "bind (unnamed): Cannot assign requested address");
}

TEST_CASE("unix: a connection that cannot be made says why, a full queue at once") {
  scratch_directory here;
  const std::string path = here.name("a.sock");
  auto main = [&]() -> task<> {
    auto nothing = co_await as_result(unix_stream::connect(path));
    CHECK(nothing.error() == std::errc::no_such_file_or_directory);
    CHECK(sentence_of(nothing) == fmt::format("connect {}: No such file or directory", path));
    leave_behind(path);
    auto refused = co_await as_result(unix_stream::connect(path));
    CHECK(refused.error() == std::errc::connection_refused);
    auto unnamed = co_await as_result(unix_stream::connect(unix_endpoint()));
    CHECK(sentence_of(unnamed) == "connect (unnamed): Destination address required");
    unix_listener listener = unix_listener::bind(path, {.backlog = 0, .replace_stale = true});
    unix_stream first = co_await unix_stream::connect(path);
    auto full = co_await as_result(unix_stream::connect(path));
    CHECK(full.error() == std::errc::resource_unavailable_try_again);
    CHECK(sentence_of(full) ==
          fmt::format("connect {}: its queue of connections is full: Resource temporarily unavailable", path));
    unix_stream accepted = co_await listener.accept();
    unix_stream second = co_await unix_stream::connect(path);
    CHECK(second.is_open());
  };
  run_checked(main());
}

TEST_CASE("unix: waiting accepts get the connections, and end when the listener closes") {
  auto main = []() -> task<> {
    unix_listener listener = unix_listener::bind(unix_endpoint::any());
    const unix_endpoint at = listener.local_endpoint();
    int accepted = 0;
    int ended = 0;
    co_await with_task_group([&](task_group& group) -> task<> {
      for (int i = 0; i < 3; ++i) {
        group.spawn([](unix_listener& from, int& got, int& cancelled) -> task<> {
          auto r = co_await as_result(from.accept());
          if (r.has_value()) ++got;
          if (r.error() == std::errc::operation_canceled) ++cancelled;
        }(listener, accepted, ended));
      }
      co_await test::settle_down();
      unix_stream client = co_await unix_stream::connect(at);
      while (accepted == 0) co_await weir::yield();
      CHECK(ended == 0);
      listener.close();
      co_await group.join();
    });
    CHECK(accepted == 1);
    CHECK(ended == 2);
    auto closed = co_await as_result(listener.accept());
    CHECK(closed.error() == std::errc::bad_file_descriptor);
  };
  run_everywhere(main);
}

TEST_CASE("unix: a pair is connected; released and adopted again it still is") {
  auto main = []() -> task<> {
    auto [a, b] = unix_stream::pair();
    unix_stream again = unix_stream::adopt(b.release());
    CHECK(!b.is_open());
    CHECK(again.name() == fmt::format("fd {}", again.native_handle()));
    co_await a.writable();
    co_await a.write_all(bytes_of("hello"));
    auto chosen = co_await weir::select(a.readable(), again.readable());
    CHECK(chosen.index() == 1);
    const std::string got = co_await read(again);
    CHECK(got == "hello");
    again.close();
    auto broken = co_await as_result(a.write_all(bytes_of("x")));
    CHECK(broken.error() == std::errc::broken_pipe);
  };
  run_everywhere(main);
}

TEST_CASE("unix: what is no unix stream or listener is not adopted") {
  auto [a, b] = unix_stream::pair();
  weir::tcp_listener tcp = weir::tcp_listener::bind(weir::endpoint::loopback(0));
  CHECK(refusal_of([&, &one = a] { unix_listener::adopt(one.native_handle()); }) ==
        fmt::format("adopt fd {} as a unix listener (it does not listen): Invalid argument", a.native_handle()));
  CHECK(refusal_of([&] { unix_stream::adopt(tcp.native_handle()); }) ==
        fmt::format("adopt fd {} as a unix stream (it is another kind): Protocol wrong type for socket",
                    tcp.native_handle()));
  weir::unix_listener other = unix_listener::bind(unix_endpoint::any());
  CHECK(refusal_of([&] { weir::tcp_listener::adopt(other.native_handle()); }) ==
        fmt::format("adopt fd {} as a listener (it is another kind): Protocol wrong type for socket",
                    other.native_handle()));
  CHECK(refusal_of([] { unix_stream::adopt(-1); }) == "adopt fd -1 as a unix stream: Bad file descriptor");
}

TEST_CASE("unix: much goes both ways at once, over small buffers") {
  auto main = []() -> task<> {
    auto [a, b] = unix_stream::pair();
    a.set_send_buffer(4096);
    b.set_receive_buffer(4096);
    co_await with_task_group([&, &one = a, &other = b](task_group& group) -> task<> {
      for (const auto& [from, to] : {std::pair{&one, &other}, std::pair{&other, &one}}) {
        group.spawn([](unix_stream& stream) -> task<> {
          test::guarded_buffer sent(1'000'000);
          test::fill_pattern(sent);
          co_await stream.write_all(sent);
        }(*from));
        group.spawn([](unix_stream& stream) -> task<> {
          test::guarded_buffer got(1'000'000);
          co_await stream.read_exactly(got);
          CHECK(test::is_pattern(got));
        }(*to));
      }
      co_return;
    });
  };
  run_checked(main(), {.workers = 3});
  run_everywhere(main);
}
