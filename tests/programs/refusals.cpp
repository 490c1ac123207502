// A small echo server where io_uring, memory or descriptors are refused: in each case it starts and serves, or fails
// with the sentence that names the cause. Prints which, as a table.
//
//   refusals                one row for each case, with every backend that WEIR_BACKEND leaves open
//   refusals serve N        the server itself, where case number N holds: under the first, it talks over descriptors 3
//                           (to be told to end) and 4 (what has become of it)

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <weir/weir.hpp>

#include "deny.hpp"
#include "plain_socket.hpp"
#include "sanitized.hpp"

namespace {

using namespace std::chrono_literals;
using weir::task;

constexpr int control_in = 3;
constexpr int control_out = 4;
constexpr int visitors = 30;  // more than a process with 32 descriptors can have at once

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

// ---- what is refused

bool limit(int resource, rlim_t most) {
  const rlimit value{.rlim_cur = most, .rlim_max = most};
  return ::setrlimit(static_cast<__rlimit_resource>(resource), &value) == 0;
}

/// The kernel asks nobody else for his limit of locked memory.
bool become_unprivileged() {
  constexpr uid_t nobody = 65534;
  if (::geteuid() != 0) return true;
  return ::setgroups(0, nullptr) == 0 && ::setgid(nobody) == 0 && ::setuid(nobody) == 0;
}

struct refusal {
  const char* name;
  const char* cause;  // is in the sentence where io_uring is not used or the server does not start; null: that is wrong
  bool (*apply)();    // false: it cannot be had here
};

constexpr std::array<refusal, 10> refusals = {{
    {"nothing", nullptr, [] { return true; }},
    {"io_uring_setup: EPERM", "io_uring_setup: Operation not permitted (denied by a security policy",
     [] { return test::deny(SYS_io_uring_setup, EPERM); }},
    {"io_uring_setup: ENOSYS", "io_uring_setup: Function not implemented (the kernel was built without io_uring",
     [] { return test::deny(SYS_io_uring_setup, ENOSYS); }},
    {"io_uring_enter: EPERM", "io_uring_enter: Operation not permitted (denied by a security policy",
     [] { return test::deny(SYS_io_uring_enter, EPERM); }},
    {"io_uring_enter: ENOSYS", "io_uring_enter: Function not implemented (the kernel was built without io_uring",
     [] { return test::deny(SYS_io_uring_enter, ENOSYS); }},
    {"io_uring_register: EPERM", nullptr, [] { return test::deny(SYS_io_uring_register, EPERM); }},
    {"io_uring_register: ENOSYS", nullptr, [] { return test::deny(SYS_io_uring_register, ENOSYS); }},
    {"RLIMIT_MEMLOCK 64 KiB, no privileges", "RLIMIT_MEMLOCK is 64 KiB",
     [] { return limit(RLIMIT_MEMLOCK, 64 * 1024) && become_unprivileged(); }},
    {"RLIMIT_MEMLOCK 0, no privileges", "RLIMIT_MEMLOCK is 0 KiB",
     [] { return limit(RLIMIT_MEMLOCK, 0) && become_unprivileged(); }},
    {"RLIMIT_NOFILE 32", "Too many open files", [] { return !test::sanitized && limit(RLIMIT_NOFILE, 32); }},
}};

// ---- the server

std::atomic<int> errors_told{0};

void count_error(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& e) {
    if (e.code() != std::errc::connection_reset) ++errors_told;  // as our visitors leave
  } catch (...) {
    ++errors_told;
  }
}

void tell(const std::string& line) {
  const std::string with_end = line + "\n";
  if (::write(control_out, with_end.data(), with_end.size()) < 0) give_up("write to who has started us");
}

task<> echo(weir::tcp_stream peer) {
  std::array<std::byte, 64> buffer;
  while (std::size_t n = co_await peer.read_some(buffer)) co_await peer.write_all(std::span(buffer).first(n));
}

task<> accept_all(weir::tcp_listener& listener) {
  co_await weir::with_supervisor([&](weir::task_group& group) -> task<> {
    auto arriving = weir::connections(listener);
    while (auto peer = co_await arriving.next()) group.spawn(echo(std::move(*peer)));
  });
}

task<> serve(const weir::runtime& made) {
  weir::tcp_listener listener = weir::tcp_listener::bind(weir::endpoint::loopback(0));
  tell(fmt::format("serves {} {} {}", listener.local_endpoint().port(), weir::to_string(made.backend()),
                   made.why_not_uring()));
  // Not by poll(): on epoll that needs a descriptor, which there may not be any more.
  const auto is_to_end = [] {
    char none = 0;
    return ::read(control_in, &none, 1);
  };
  co_await weir::when_any(accept_all(listener), weir::offload(is_to_end));
}

int serve_where(const refusal& what) {
  if (!what.apply()) {
    tell("skipped");
    return 0;
  }
  try {
    weir::runtime made({.workers = 4, .on_error = count_error});
    made.block_on(serve(made));
  } catch (const std::exception& e) {
    tell(fmt::format("fails {}", e.what()));
    return 0;
  }
  tell(fmt::format("told {}", errors_told.load()));
  return 0;
}

// ---- who looks at it

/// A server in a process of its own.
class server {
 public:
  server(std::size_t number, const char* backend) {
    std::array<int, 2> to{};
    std::array<int, 2> from{};
    if (::pipe(to.data()) != 0 || ::pipe(from.data()) != 0) give_up("pipe");
    process_ = ::fork();
    if (process_ < 0) give_up("fork");
    if (process_ == 0) {
      // Above what they are copied to, and then only those.
      const int in = ::fcntl(to[0], F_DUPFD, 10);
      const int out = ::fcntl(from[1], F_DUPFD, 10);
      ::dup2(in, control_in);
      ::dup2(out, control_out);
      for (int i = control_out + 1; i < 64; ++i) ::close(i);
      ::setenv("WEIR_BACKEND", backend, 1);
      ::execl("/proc/self/exe", "refusals", "serve", std::to_string(number).c_str(), nullptr);
      ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    to_ = to[1];
    from_ = from[0];
  }
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  ~server() {
    ::close(from_);
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  /// The next line that it says; empty when it says nothing for half a minute, or has ended.
  std::string line() {
    std::string said;
    for (char c = 0;;) {
      pollfd entry{.fd = from_, .events = POLLIN, .revents = 0};
      if (::poll(&entry, 1, 30'000) <= 0 || ::read(from_, &c, 1) <= 0) return "";
      if (c == '\n') return said;
      said += c;
    }
  }
  void end() { ::close(to_); }

 private:
  pid_t process_;
  int to_ = -1;
  int from_ = -1;
};

/// How many visitors were given back what they had sent. They are there all at once, and stay for as long as the server
/// comes to new ones.
int visit(std::uint16_t port) {
  std::vector<test::plain_socket> waiting;
  std::vector<test::plain_socket> staying;
  for (int i = 0; i < visitors; ++i) {
    waiting.push_back(test::plain_socket::connected_to(weir::endpoint::loopback(port)));
    waiting.back().send(std::as_bytes(std::span("hello")));
  }
  int served = 0;
  for (const int patience : {300, 20'000}) {
    while (!waiting.empty()) {
      std::vector<pollfd> entries;
      for (const test::plain_socket& one : waiting)
        entries.push_back({.fd = one.number(), .events = POLLIN, .revents = 0});
      if (::poll(entries.data(), entries.size(), patience) <= 0) break;
      const auto first =
          std::find_if(entries.begin(), entries.end(), [](const pollfd& one) { return one.revents != 0; });
      const auto done = waiting.begin() + (first - entries.begin());
      std::array<std::byte, 8> got{};
      if (done->receive(got) == sizeof "hello" && std::memcmp(got.data(), "hello", sizeof "hello") == 0) ++served;
      if (patience == 300) staying.push_back(std::move(*done));
      waiting.erase(done);
    }
    staying.clear();
  }
  return served;
}

struct outcome {
  std::string text;
  bool good = false;
};

bool names(std::string_view sentence, const char* cause) {
  return (cause && sentence.find(cause) != std::string_view::npos) ||
         sentence.find("kernel.io_uring_disabled") != std::string_view::npos;
}

outcome look_at(std::size_t number, const char* backend, bool has_uring) {
  const refusal& what = refusals[number];
  server looked_at(number, backend);
  const std::string said = looked_at.line();
  const bool needs_uring = std::string_view(backend) == "uring";
  if (said.empty()) return {"hangs or dies, and says nothing"};
  if (said == "skipped") return {"skipped: this may not be refused here", true};
  if (said.starts_with("fails ")) {
    const bool explained = names(said, what.cause) || (needs_uring && !has_uring);
    return {said + (explained ? "" : " [which does not name the cause]"), explained};
  }
  unsigned port = 0;
  std::array<char, 16> used{};
  int rest = 0;
  if (std::sscanf(said.c_str(), "serves %u %15s %n", &port, used.data(), &rest) != 2) return {"says: " + said};
  const std::string why = said.substr(static_cast<std::size_t>(rest));
  std::string text = fmt::format("serves with {}{}", used.data(), why.empty() ? "" : ": " + why);
  const bool chosen = std::string_view(used.data()) == "uring" || std::string_view(backend) == "epoll";
  const bool explained = chosen ? why.empty() : names(why, what.cause) || (!has_uring && !why.empty());
  if (!explained) return {text + " [which does not name the cause]"};
  if (needs_uring && std::string_view(used.data()) != "uring") return {text + " [although io_uring was asked for]"};
  if (const int served = visit(static_cast<std::uint16_t>(port)); served != visitors) {
    looked_at.end();
    return {fmt::format("{} [only {} of {} were served; in the end it says '{}']", text, served, visitors,
                        looked_at.line())};
  }
  looked_at.end();
  const std::string ending = looked_at.line();
  int told = -1;
  std::sscanf(ending.c_str(), "told %d", &told);
  const bool few_descriptors = number + 1 == refusals.size();
  // Once, and again when it is short anew after a visitor has left and another one was let in.
  if (few_descriptors ? told < 1 || told > 4 : told != 0) {
    return {fmt::format("{} [and in the end says '{}' of its errors]", text, ending)};
  }
  return {text + (few_descriptors ? "; was short of descriptors, and told so" : ""), true};
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3) return serve_where(refusals.at(std::stoul(arguments[2])));
  std::signal(SIGPIPE, SIG_IGN);
  const char* const asked = std::getenv("WEIR_BACKEND");
  const std::string_view only = asked ? asked : "";
  bool good = true;
  bool has_uring = true;
  std::printf("%-38s%-12s%s\n", "refused", "asked for", "what becomes of an echo server");
  for (std::size_t i = 0; i < refusals.size(); ++i) {
    for (const char* backend : {"automatic", "uring", "epoll"}) {
      const bool wanted = backend[0] == 'a' ? only != "epoll" : only.empty() || only == backend;
      if (!wanted) continue;
      const outcome is = look_at(i, backend, has_uring);
      if (i == 0 && backend[0] == 'a') has_uring = is.text == "serves with uring";
      good = good && is.good;
      std::printf("%-38s%-12s%s%s\n", refusals[i].name, backend, is.good ? "" : "FAIL: ", is.text.c_str());
      std::fflush(stdout);
    }
  }
  return good ? 0 : 1;
}
