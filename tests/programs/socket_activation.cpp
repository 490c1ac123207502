// Sockets that the manager of services opens, and what a service tells it: with children that get the environment, and
// with systemd-socket-activate where that is installed.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <weir/weir.hpp>

namespace {

using namespace std::chrono_literals;
using weir::endpoint;
using weir::task;

int failures = 0;

void check(bool holds, std::string_view what) {
  if (holds) return;
  fmt::print("not so: {}\n", what);
  ++failures;
}

template <class F>
std::string refusal_of(F f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "it was not refused";
}

void check_refusal(const std::string& refusal, const std::string& wanted) {
  check(refusal == wanted, fmt::format("\"{}\" is \"{}\"", refusal, wanted));
}

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Answers one connection with what it says.
task<> echo_once(weir::tcp_listener listener) {
  weir::tcp_stream peer = co_await listener.accept();
  std::array<std::byte, 100> room;
  while (const std::size_t n = co_await peer.read_some(room)) co_await peer.write_all(std::span(room).first(n));
}

task<std::string> talk(endpoint with) {
  weir::tcp_stream stream = co_await weir::tcp_stream::connect(with);
  co_await stream.write_all(bytes_of("hello"));
  std::string got(5, '?');
  co_await stream.read_exactly(std::as_writable_bytes(std::span(got)));
  co_return got;
}

// ---- the child that our own process starts

int child() {
  std::vector<weir::listen_descriptor> all = weir::listen_descriptors();
  check(all.size() == 4, "there are four descriptors");
  if (all.size() != 4) return 1;
  check(all[0].name() == "http" && all[1].name() == "dns" && all[2].name().empty() && all[3].name() == "fifo", "names");
  for (const weir::listen_descriptor& one : all) {
    check((::fcntl(one.number(), F_GETFD) & FD_CLOEXEC) != 0, "it is close-on-exec");
  }
  check(!std::getenv("LISTEN_PID") && !std::getenv("LISTEN_FDS") && !std::getenv("LISTEN_FDNAMES"), "variables");
  check(weir::listen_descriptors().empty(), "a second call finds none");
  check_refusal(refusal_of([&] { static_cast<void>(all[1].take_tcp_listener()); }),
                "adopt fd 4 (\"dns\") as a TCP listener: it is a UDP socket: Protocol wrong type for socket");
  check_refusal(refusal_of([&] { static_cast<void>(all[0].take_unix_listener()); }),
                "adopt fd 3 (\"http\") as a unix listener: it is a TCP listener: Protocol wrong type for socket");
  check_refusal(refusal_of([&] { static_cast<void>(all[3].take_udp_socket()); }),
                "adopt fd 6 (\"fifo\") as a UDP socket: it is no socket: Protocol wrong type for socket");
  weir::tcp_listener http = all[0].take_tcp_listener();
  check_refusal(refusal_of([&] { static_cast<void>(all[0].take_tcp_listener()); }),
                "adopt fd -1 (\"http\") as a TCP listener: it is taken over already: Bad file descriptor");
  weir::udp_socket dns = all[1].take_udp_socket();
  weir::unix_listener control = all[2].take_unix_listener();
  check(dns.local_endpoint().port() != 0 && control.local_endpoint().is_abstract(), "they are bound");
  const auto watchdog = weir::watchdog_interval();
  check(watchdog == weir::duration(2s), "the watchdog waits for two seconds");
  check(weir::notify_ready(), "somebody wants to know");
  weir::run(echo_once(std::move(http)));
  weir::notify_status("one was served");
  weir::notify_watchdog();
  weir::notify_reloading();
  weir::notify_stopping();
  check_refusal(refusal_of([] { weir::notify_status("two\nlines"); }),
                "notify the status: it is one line: Invalid argument");
  return failures == 0 ? 0 : 1;
}

/// Starts this program as "child" with these descriptors from 3 on.
pid_t start_child(const std::vector<int>& numbers) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  std::vector<int> out_of_the_way;
  for (const int number : numbers) out_of_the_way.push_back(::fcntl(number, F_DUPFD, 50));
  for (std::size_t i = 0; i < numbers.size(); ++i) ::dup2(out_of_the_way[i], 3 + static_cast<int>(i));
  const std::string me = std::to_string(::getpid());
  ::setenv("LISTEN_PID", me.c_str(), 1);
  ::setenv("LISTEN_FDS", std::to_string(numbers.size()).c_str(), 1);
  ::setenv("LISTEN_FDNAMES", "http:dns::fifo", 1);
  ::setenv("WATCHDOG_PID", me.c_str(), 1);
  ::setenv("WATCHDOG_USEC", "2000000", 1);
  ::execl("/proc/self/exe", "socket_activation", "child", nullptr);
  ::_exit(127);
}

task<> hear(weir::unix_datagram_socket& manager, endpoint http) {
  const auto next = [&]() -> task<std::string> {
    std::string text(200, '?');
    const auto got = co_await weir::with_timeout(20s, manager.receive(std::as_writable_bytes(std::span(text))));
    text.resize(got.size);
    co_return text;
  };
  std::string heard = co_await next();
  check(heard == "READY=1", "it says that it is ready");
  const std::string echoed = co_await talk(http);
  check(echoed == "hello", "it serves at the socket that we opened");
  heard = co_await next();
  check(heard == "STATUS=one was served", "it says its status");
  heard = co_await next();
  check(heard == "WATCHDOG=1", "it says that it is alive");
  heard = co_await next();
  check(heard.starts_with("RELOADING=1\nMONOTONIC_USEC="), "it says that it reloads");
  heard = co_await next();
  check(heard == "STOPPING=1", "it says that it stops");
}

void with_a_child_of_ours() {
  const endpoint anywhere = endpoint::loopback(0);
  weir::tcp_listener http = weir::tcp_listener::bind(anywhere);
  weir::udp_socket dns = weir::udp_socket::bind(anywhere);
  weir::unix_listener control = weir::unix_listener::bind(weir::unix_endpoint::any());
  std::array<int, 2> fifo{};
  check(::pipe2(fifo.data(), O_CLOEXEC) == 0, "a pipe");
  weir::unix_datagram_socket manager = weir::unix_datagram_socket::bind(weir::unix_endpoint::any());
  ::setenv("NOTIFY_SOCKET", manager.local_endpoint().to_string().c_str(), 1);
  const pid_t pid = start_child({http.native_handle(), dns.native_handle(), control.native_handle(), fifo[0]});
  ::unsetenv("NOTIFY_SOCKET");
  weir::run(hear(manager, http.local_endpoint()));
  int status = 0;
  check(::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child found all well");
  for (const int number : fifo) ::close(number);
}

// ---- what makes no sense

void what_is_refused() {
  check(weir::listen_descriptors().empty(), "there is nothing without the variables");
  check(!weir::notify_ready() && !weir::watchdog_interval(), "nobody wants to know anything");
  const std::string me = std::to_string(::getpid());
  const auto with = [&](const char* pid, const char* count, const char* names) {
    ::setenv("LISTEN_PID", pid, 1);
    ::setenv("LISTEN_FDS", count, 1);
    ::setenv("LISTEN_FDNAMES", names, 1);
    return refusal_of([] { check(weir::listen_descriptors().empty(), "they are for somebody else"); });
  };
  check_refusal(with("1", "3", "a:b:c"), "it was not refused");
  check_refusal(with("x", "1", "a"), "listen_descriptors: LISTEN_PID is \"x\": Invalid argument");
  check_refusal(with(me.c_str(), "1x", "a"), "listen_descriptors: LISTEN_FDS is \"1x\": Invalid argument");
  check_refusal(with(me.c_str(), "-1", "a"), "listen_descriptors: LISTEN_FDS is \"-1\": Invalid argument");
  check_refusal(with(me.c_str(), "2", "a:b:c"),
                "listen_descriptors: LISTEN_FDNAMES has 3 names for 2 descriptors: Invalid argument");
  ::close(3);  // whatever has been left to us there
  check_refusal(with(me.c_str(), "1", "a"), "listen_descriptors: fd 3 was promised: Bad file descriptor");
  check(std::getenv("LISTEN_FDS") != nullptr, "nothing was changed");
  for (const char* const name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  ::setenv("NOTIFY_SOCKET", "@there-is-no-such-manager", 1);
  check_refusal(refusal_of([] { weir::notify_ready(); }), "notify @there-is-no-such-manager: Connection refused");
  ::setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
  check_refusal(refusal_of([] { weir::notify_ready(); }), "notify vsock:2:1: Address family not supported by protocol");
  ::unsetenv("NOTIFY_SOCKET");
  weir::simulation world;
  const auto simulated = []() -> task<> {
    check(weir::listen_descriptors().empty() && !weir::notify_ready(), "a simulation has no manager");
    co_return;
  };
  world.run(simulated());
}

// ---- systemd's own tool

int activated() {
  std::vector<weir::listen_descriptor> all = weir::listen_descriptors();
  if (all.size() != 1 || all[0].name() != "http") return 1;
  weir::run(echo_once(all[0].take_tcp_listener()));
  return 0;
}

/// Where nobody listens. Not a port that the kernel gives to others in the meantime, and of each process another one.
endpoint free_endpoint() {
  for (int port = 20'000 + ::getpid() % 10'000;; ++port) {
    try {
      return weir::tcp_listener::bind(endpoint::loopback(static_cast<std::uint16_t>(port))).local_endpoint();
    } catch (const std::system_error&) {
      if (port >= 32'000) throw;
    }
  }
}

task<> with_systemd(std::string tool) {
  const endpoint where = free_endpoint();
  weir::command run(std::move(tool));
  run.arguments({"--listen=" + where.to_string(), "--fdname=http", "-E", "WEIR_BACKEND", "-E", "LD_LIBRARY_PATH"});
  run.arguments({std::filesystem::read_symlink("/proc/self/exe").string(), "activated"});
  run.standard_error(weir::child_stream::null());
  weir::process manager = co_await weir::process::spawn(run);
  std::string echoed;
  for (int attempt = 0; echoed.empty() && attempt < 200; ++attempt) {
    auto r = co_await weir::as_result(talk(where));
    if (r.has_value()) echoed = *r;
    if (!r.has_value()) co_await weir::sleep_for(50ms);  // it does not listen yet
  }
  check(echoed == "hello", "what systemd-socket-activate has started serves");
  auto status = co_await weir::as_result(weir::with_timeout(20s, manager.wait()));
  check(status.has_value() && status->success(), "and ends well");
}

}  // namespace

int main(int count, char** arguments) try {
  if (count > 1 && std::string_view(arguments[1]) == "child") return child();
  if (count > 1 && std::string_view(arguments[1]) == "activated") return activated();
  what_is_refused();
  with_a_child_of_ours();
  const std::string tool = "/usr/bin/systemd-socket-activate";
  const bool has_tool = ::access(tool.c_str(), X_OK) == 0;
  if (has_tool) weir::run(with_systemd(tool));
  if (failures != 0) return 1;
  if (has_tool) return 0;
  fmt::print("needs systemd-socket-activate (Debian: systemd); all else is well\n");
  return 77;
} catch (const std::exception& e) {
  fmt::print("{}\n", e.what());
  return 1;
}
