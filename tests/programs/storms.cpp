// What the world does to a server, on the reactor that WEIR_BACKEND names: connections that are reset as soon as they
// are made, peers that send a byte now and then, peers that have gone without a word, and peers that never read. Others
// are served meanwhile, and afterwards descriptors, tasks and memory are where they were.
//
//   storms          some seconds in all
//   storms full     ten times as much, up to a minute for each

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <weir/weir.hpp>

#include "plain_socket.hpp"
#include "sanitized.hpp"

namespace {

using namespace std::chrono_literals;
using test::plain_socket;
using test::sanitized;
using weir::as_result;
using weir::task;

/// What may be left of the process's memory: caches of frames, and what the allocator does not give back.
constexpr long tolerated_growth_kib = 6 * 1024;
/// How long somebody who behaves may have to wait for an answer. The machine may be busy with other things, too.
constexpr auto tolerated_delay = 5s;

bool good = true;
void expect(bool holds, const std::string& what) {
  if (holds) return;
  good = false;
  std::printf("  FAIL: %s\n", what.c_str());
}

std::size_t open_descriptors() {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) ++n;
  return n;
}

long resident_kib() {
  ::malloc_trim(0);
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  return pages * (::sysconf(_SC_PAGESIZE) / 1024);
}

// ---- the server

constexpr std::size_t message_size = 16;
using message = std::array<std::byte, message_size>;
constexpr std::byte plain{'p'};   // of a message's first byte: it is wanted back
constexpr std::byte greedy{'g'};  // a great deal is wanted

/// How the server treats its peers, and what has become of them.
struct service {
  std::atomic<std::chrono::milliseconds> patience{250ms};  // with a message, and with who does not read
  std::atomic<unsigned> answered{0};
  std::atomic<unsigned> ended{0};      // as they should
  std::atomic<unsigned> broken{0};     // the connection was reset
  std::atomic<unsigned> impatient{0};  // it took too long
};

void note(service& all, const std::error_code& error) {
  if (error == std::errc::timed_out) {
    ++all.impatient;
  } else if (error == std::errc::connection_reset || error == std::errc::broken_pipe) {
    ++all.broken;
  } else {
    ++all.ended;
  }
}

task<> write_much(weir::tcp_stream& peer) {
  const std::vector<std::byte> part(std::size_t{64} * 1024);
  for (int i = 0; i < 1024; ++i) co_await peer.write_all(part);
}

task<> answer(weir::tcp_stream peer, service& all) {
  peer.set_keep_alive(true);
  const int soon = 1;
  for (const int option : {TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT}) {
    ::setsockopt(peer.native_handle(), IPPROTO_TCP, option, &soon, sizeof soon);
  }
  for (;;) {
    message asked{};
    const weir::duration patience = all.patience.load();
    const auto got = co_await as_result(weir::with_timeout(patience, peer.read_exactly(asked)));
    if (!got) {
      note(all, got.error());
      co_return;
    }
    std::error_code failed;
    if (asked[0] == greedy) {
      failed = (co_await as_result(weir::with_timeout(patience, write_much(peer)))).error();
    } else {
      failed = (co_await as_result(weir::with_timeout(patience, peer.write_all(asked)))).error();
    }
    if (failed) {
      note(all, failed);
      co_return;
    }
    ++all.answered;
  }
}

task<> serve(weir::tcp_listener& listener, service& all) {
  co_await weir::with_supervisor([&](weir::task_group& group) -> task<> {
    auto arriving = weir::connections(listener);
    while (auto peer = co_await arriving.next()) group.spawn(answer, std::move(*peer), std::ref(all));
  });
}

// ---- storms

/// The server, and the thread that is its clients.
struct arena {
  weir::endpoint server;
  service all;
  bool full = false;
  unsigned most = 0;  // connections that may be open at once

  [[nodiscard]] unsigned scaled(unsigned count) const { return std::min(full ? count : count / 10, most); }
  [[nodiscard]] plain_socket connect() const { return plain_socket::connected_to(server); }

  /// Somebody who behaves is answered soon.
  void visit() const {
    const auto begin = std::chrono::steady_clock::now();
    plain_socket one = connect();
    message said{};
    said[0] = plain;
    one.send(said);
    message heard{};
    const ssize_t n = one.receive(heard, 20'000);
    expect(n == static_cast<ssize_t>(message_size) && heard == said, "somebody who behaves was not answered");
    expect(std::chrono::steady_clock::now() - begin < tolerated_delay, "somebody who behaves had to wait for long");
    one.close();  // as an end, which is counted as one
  }
  /// Until `count` has come to `wanted`.
  void expect_count(const std::atomic<unsigned>& count, unsigned wanted, const char* what) const {
    for (int i = 0; i < 4000 && count < wanted; ++i) std::this_thread::sleep_for(5ms);
    expect(count == wanted, fmt::format("{} {}, and not {}", count.load(), what, wanted));
  }
};

/// Ten thousand, some of them with a part of a message or a question on their way, and of those a hundred at a time.
unsigned reset_at_once(arena& a) {
  constexpr unsigned at_once = 100;
  const unsigned rounds = (a.full || !sanitized) ? 100 : 10;
  for (unsigned round = 0; round < rounds; ++round) {
    std::vector<plain_socket> all;
    for (unsigned i = 0; i < at_once; ++i) {
      all.push_back(a.connect());
      message said{};
      said[0] = i % 4 == 3 ? greedy : plain;
      if (i % 4 != 0) all.back().send(std::span(said).first(i % 4 == 1 ? 5 : message_size));
    }
    if (round % 10 == 0) a.visit();
  }
  return rounds * at_once;
}

/// A half of them too slow for the server's patience, and a half not.
unsigned send_slowly(arena& a) {
  const unsigned count = a.scaled(1000);
  a.all.patience = a.full ? 26'000ms : 4'000ms;
  std::vector<plain_socket> all(count);
  for (plain_socket& one : all) one = a.connect();
  const auto interval = a.full ? 1000ms : 100ms;
  message said{};
  said[0] = plain;
  const auto begin = std::chrono::steady_clock::now();
  for (unsigned round = 0; round < message_size; ++round) {
    for (unsigned i = 0; i < count; i += round < 4 ? 1 : 2) all[i].send(std::span(said).subspan(round, 1));
    if (round % 4 == 0) a.visit();
    std::this_thread::sleep_until(begin + (round + 1) * interval);
  }
  message heard{};
  for (unsigned i = 0; i < count; i += 2) {
    expect(all[i].receive(heard, 20'000) == static_cast<ssize_t>(message_size), "a slow peer was not answered");
  }
  a.expect_count(a.all.impatient, count / 2, "peers were too slow");
  return count;
}

/// The connection is forgotten on this side, and nobody is told.
bool vanish(plain_socket& one) {
  const int on = 1;
  if (::setsockopt(one.number(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) != 0) return false;
  one.close();
  return true;
}

/// A third has gone without a word, a third has nothing more to say and still listens, and a third stays silent.
unsigned leave_half_open(arena& a) {
  const unsigned count = a.scaled(900) / 3 * 3;
  a.all.patience = 4'000ms;
  std::vector<plain_socket> all(count);
  for (plain_socket& one : all) one = a.connect();
  message said{};
  said[0] = plain;
  unsigned gone = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (i % 3 == 0 && vanish(all[i])) ++gone;
    if (i % 3 != 1) continue;
    all[i].send(said);
    all[i].shutdown_write();
  }
  a.visit();
  message heard{};
  for (unsigned i = 1; i < count; i += 3) {
    expect(all[i].receive(heard, 20'000) == static_cast<ssize_t>(message_size), "who still listens was not answered");
    expect(all[i].at_end(), "the server has not closed");
  }
  if (gone == 0) std::printf("  [only root can vanish without a word: those are silent, too]\n");
  a.expect_count(a.all.broken, gone, "are known to have gone");
  a.expect_count(a.all.impatient, count / 3 * 2 - gone, "peers stayed silent");
  return count;
}

/// They want a lot, and read nothing of it.
unsigned never_read(arena& a) {
  const unsigned count = a.scaled(200);
  a.all.patience = 1'000ms;
  std::vector<plain_socket> all(count);
  for (plain_socket& one : all) {
    one = plain_socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    one.set(SOL_SOCKET, SO_RCVBUF, 16'384);
    one.connect(a.server);
    message said{};
    said[0] = greedy;
    one.send(said);
  }
  a.visit();
  // 64 MiB for each are asked for; what the server has of it in hand is one part.
  expect(sanitized || resident_kib() < 512L * 1024, "the server keeps what nobody reads");
  a.expect_count(a.all.impatient, count, "were given up");
  return count;
}

struct storm {
  const char* name;
  unsigned (*clients)(arena&);
};

constexpr std::array<storm, 4> storms = {{
    {"opened and reset", reset_at_once},
    {"a byte now and then", send_slowly},
    {"half-open", leave_half_open},
    {"never reading", never_read},
}};

/// Waits until nothing is left of the clients on the server's side.
void calm_down(const weir::runtime& made, std::uint64_t tasks, std::size_t descriptors) {
  for (int i = 0; i < 4000; ++i) {
    if (made.counters().tasks() <= tasks && open_descriptors() <= descriptors) return;
    std::this_thread::sleep_for(5ms);
  }
}

struct usage {
  std::size_t descriptors;
  std::uint64_t tasks;
  long memory;
};

usage usage_of(const weir::runtime& made) { return {open_descriptors(), made.counters().tasks(), resident_kib()}; }

void run(const storm& what, arena& a, const weir::runtime& made) {
  for (std::atomic<unsigned>* count : {&a.all.answered, &a.all.ended, &a.all.broken, &a.all.impatient}) *count = 0;
  a.all.patience = 250ms;
  const usage before = usage_of(made);
  const auto begin = std::chrono::steady_clock::now();
  const unsigned count = what.clients(a);
  a.visit();
  calm_down(made, before.tasks, before.descriptors);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const usage after = usage_of(made);
  fmt::print(
      "{:<20}{:6} connections in {:.1f} s: {} answered, {} ended, {} reset, {} given up; descriptors {} -> {}, tasks "
      "{} -> {}, memory {} -> {} KiB\n",
      what.name, count, took.count(), a.all.answered.load(), a.all.ended.load(), a.all.broken.load(),
      a.all.impatient.load(), before.descriptors, after.descriptors, before.tasks, after.tasks, before.memory,
      after.memory);
  expect(after.descriptors == before.descriptors, "descriptors are left open");
  expect(after.tasks == before.tasks, "tasks are left");
  expect(sanitized || after.memory - before.memory < tolerated_growth_kib, "memory is kept");
  expect(took < 60s, "it took more than a minute");
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  const bool full = count > 1 && std::string_view(arguments[1]) == "full";
  std::signal(SIGPIPE, SIG_IGN);
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = std::min<rlim_t>(descriptors.rlim_max, 8192);
  ::setrlimit(RLIMIT_NOFILE, &descriptors);
  const auto most = static_cast<unsigned>((descriptors.rlim_cur - 100) / 2);
  weir::runtime made({.workers = 2, .on_error = [](const std::exception_ptr&) noexcept {}});
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(0), {.backlog = 1024});
  arena a{.server = listener.local_endpoint(), .all = {}, .full = full, .most = most};
  static_cast<void>(made.spawn(serve(listener, a.all)));
  {
    std::vector<plain_socket> at_once(200);  // fills the caches
    for (plain_socket& one : at_once) one = a.connect();
    a.visit();
  }
  calm_down(made, 1, open_descriptors());
  for (const storm& one : storms) run(one, a, made);
  made.shutdown({.drain = 0ms});
  return good ? 0 : 1;
}
