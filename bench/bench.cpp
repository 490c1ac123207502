// The benchmark driver. `bench help` tells what it can do.

#include "all_bench.hpp"
#include "command_line.hpp"
#include "echo_bench.hpp"
#include "echo_report.hpp"
#include "error_text.hpp"
#include "idle_bench.hpp"
#include "load_client.hpp"
#include "loopback.hpp"
#include "server_process.hpp"
#include "verdict.hpp"

#include <fmt/format.h>

#include <unistd.h>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr const char* usage = R"(usage:
  bench all [--smoke] [--json FILE] [--docs DIR] [--revision TEXT]
      Everything that follows, in about 20 minutes; DIR/benchmarks.md tells what it has found.
  bench --compare BEFORE.json AFTER.json
      What has changed between two such runs beyond the noise, and by which rule that is said.
  bench page FILE.json DIR
      DIR/benchmarks.md again, from an earlier run.
  bench echo [--connections 64,512] [--size 64] [--depth 1] [--seconds 0.5] [--repeats 9]
             [--servers NAME,...] [--engine uring|epoll] [--smoke] [--check] [--json FILE]
      Each server in turn under load, on its own core, the client on another.
      --engine is the client's. --smoke: a fraction of a second, for tests.
      --check: fail when a target is missed.
  bench latency [--seconds 0.5] [--repeats 9] [--servers NAME,...] [--smoke] [--check] [--json FILE]
      The same for one connection, also with workers that spin before they park.
  bench idle [--connections 10000] [--servers NAME,...] [--smoke] [--check] [--json FILE]
      Resident memory of each server for an idle connection.
  bench io [--rows udp,accept,tls,read-direct,read-cached,copy] [--directory DIR]
             [--repeats 5] [--smoke] [--check] [--json FILE]
      Datagrams, accepting, TLS, random reads and copies of files, beside servers and programs
      written by hand, OpenSSL, fio where it is installed, and cp. The files are in DIR.
  bench sync [--rows spsc,mpmc,...]
             [--columns raw,confined,one,two,go-one,go-two,tokio-one,tokio-two]
             [--operations N] [--repeats 9] [--smoke] [--check] [--json FILE]
      Channels, locks, timers and tasks on weir, beside the least that coroutines can cost, and
      beside Go and Tokio where Debian's packages of them are installed.
  bench runtime [--rows skynet,spawn_one,...]
             [--columns raw,confined,one,two,go-one,go-two,tokio-one,tokio-two]
             [--operations N] [--repeats 9] [--smoke] [--check] [--json FILE]
      Tasks, turns, timers and uncontended locks on weir, beside the least that coroutines can
      cost, and beside Go and Tokio where Debian's packages of them are installed.
  bench patterns [--rows fused,queued,pool,full_pool,logs,logs_spin] [--columns ...]
             [--operations N] [--repeats 9] [--smoke] [--check] [--json FILE] [--svg FILE]
      Pipelines and pools on weir, and in Go; then a sweep over a pool's workers and queue, which
      --svg draws. With --rows the sweep is left out unless it is to be drawn.
  bench cancellation [--depths 1,3,10,30] [--tasks 20000] [--repeats 9] [--smoke] [--json FILE]
      Stopping a task that waits, so many frames deep, beside an exception through the same frames.
  bench load --port PORT [--connections 64] [--size 64] [--depth 1] [--seconds 1]
             [--engine uring|epoll] [--json FILE]
      The load client alone, against any echo server on 127.0.0.1.
  bench list
      The servers' names.
It fails when an answer was wrong or a server died.
)";

constexpr double most_idle_bytes = 4700;  // with a 4 KiB buffer in the connection's frame
constexpr double most_idle_bytes_on_leases = 700;

struct arguments {
  std::vector<std::string> servers;
  std::vector<unsigned> connections;
  unsigned size = 64;
  unsigned depth = 1;
  std::optional<double> seconds;
  std::optional<unsigned> repeats;
  std::uint16_t port = 0;
  bench::load_engine engine = bench::load_engine::automatic;
  bool smoke = false;
  bool check = false;
  std::string json;
};

arguments parse(int argc, char** argv) {
  arguments parsed;
  for (bench::option_reader options(argc, argv, 2); options.next();) {
    const std::string_view option = options.name();
    if (option == "--connections") {
      for (const std::string& text : bench::split(options.value()))
        parsed.connections.push_back(bench::parse_number<unsigned>(option, text, 1, 1'000'000));
    } else if (option == "--servers") {
      parsed.servers = bench::split(options.value());
      for (const std::string& name : parsed.servers) bench::find_server(name);
    } else if (option == "--size") {
      parsed.size = bench::parse_number<unsigned>(option, options.value(), 1, 1'048'576);
    } else if (option == "--depth") {
      parsed.depth = bench::parse_number<unsigned>(option, options.value(), 1, 1024);
    } else if (option == "--seconds") {
      parsed.seconds = bench::parse_number<double>(option, options.value(), 0.01, 3600);
    } else if (option == "--repeats") {
      parsed.repeats = bench::parse_number<unsigned>(option, options.value(), 1, 1000);
    } else if (option == "--port") {
      parsed.port = bench::parse_number<std::uint16_t>(option, options.value(), 1, 65535);
    } else if (option == "--engine") {
      const std::string_view name = options.value();
      if (name != "uring" && name != "epoll") throw std::invalid_argument("--engine takes uring or epoll");
      parsed.engine = name == "uring" ? bench::load_engine::uring : bench::load_engine::epoll;
    } else if (option == "--json") {
      parsed.json = options.value();
    } else if (option == "--smoke") {
      parsed.smoke = true;
    } else if (option == "--check") {
      parsed.check = true;
    } else {
      options.refuse();
    }
  }
  return parsed;
}

std::chrono::nanoseconds to_duration(double seconds) { return std::chrono::nanoseconds(std::llround(seconds * 1e9)); }

void apply(const arguments& a, bench::echo_options& options) {
  if (a.smoke) {
    options.repeats = 1;
    options.warm_up = to_duration(0.02);
    options.measured = to_duration(0.1);
    options.counted = to_duration(0.02);
  }
  if (a.seconds) options.measured = to_duration(*a.seconds);
  if (a.repeats) options.repeats = *a.repeats;
  if (!a.servers.empty()) options.servers = a.servers;
}

int run_echo_command(const arguments& a) {
  bench::echo_options options{.size = a.size, .depth = a.depth, .engine = a.engine};
  if (a.smoke) options.connections = {8};
  apply(a, options);
  if (!a.connections.empty()) options.connections = a.connections;

  const bench::echo_report report = bench::run_echo(options, bench::show_progress);
  for (const unsigned connections : options.connections) fmt::print("\n{}", bench::echo_table(report, connections));
  fmt::print(
      "\nMedians over {} round(s). CPU and calls (system calls) are the server's. \":\" is a ratio to a raw server, "
      "taken\n"
      "within each round; for io_uring to the cheaper raw one. client: how busy the client was; near 1 it is the "
      "limit,\n"
      "so compare CPU, not requests/s.\n",
      options.repeats);
  for (const std::string& note : bench::echo_notes(report)) fmt::print("{}\n", note);
  return bench::conclude(a.smoke ? std::vector<bench::target>() : bench::check_targets(report), a.check, a.json,
                         bench::to_json(report), report.failures);
}

/// One connection: all of it is waking and being woken.
int run_latency_command(const arguments& a) {
  constexpr double most_p50_us = 30;
  bench::echo_options options{
      .servers = {"weir-uring", "weir-uring-spin", "weir-epoll", "weir-epoll-spin", "raw-epoll", "raw-uring-own"},
      .connections = {1},
      .size = a.size,
      .engine = a.engine};
  apply(a, options);

  const bench::echo_report report = bench::run_echo(options, bench::show_progress);
  fmt::print(
      "\n{}\nMedians over {} round(s). Who spins looks for work so long before it parks: less to wait for, more "
      "CPU.\n",
      bench::echo_table(report, 1), options.repeats);
  std::vector<bench::target> targets;
  for (const bench::echo_row& row : report.rows) {
    if (a.smoke || !row.server->name.ends_with("-spin") || row.rounds.empty()) continue;
    const double p50 = row.median(&bench::echo_sample::p50_us);
    const bool met = p50 <= most_p50_us;
    targets.push_back({fmt::format("{}: p50 {:.0f} us (at most {:.0f}: {})", row.server->title, p50, most_p50_us,
                                   met ? "met" : "missed"),
                       met});
  }
  return bench::conclude(targets, a.check, a.json, bench::to_json(report), report.failures);
}

int run_idle_command(const arguments& a) {
  bench::idle_options options;
  if (a.smoke) options.connections = 100;
  if (!a.servers.empty()) options.servers = a.servers;
  if (!a.connections.empty()) options.connections = a.connections.front();
  const std::vector<bench::idle_row> rows = bench::run_idle(options, bench::show_progress);
  fmt::print("\n{}\nThe kernel's memory for sockets is not in it.\n", bench::idle_table(rows));
  std::vector<bench::target> targets;
  std::vector<std::string> failures;
  for (const bench::idle_row& row : rows) {
    if (!row.failure.empty()) failures.push_back(fmt::format("{}: {}", row.server->title, row.failure));
    if (a.smoke || !row.server->name.starts_with("weir") || !row.failure.empty()) continue;
    const double most = row.server->name.ends_with("-leases") ? most_idle_bytes_on_leases : most_idle_bytes;
    const bool met = row.resident_each <= most;
    targets.push_back({fmt::format("{}: {:.0f} B for an idle connection (at most {:.0f}: {})", row.server->title,
                                   row.resident_each, most, met ? "met" : "missed"),
                       met});
  }
  return bench::conclude(targets, a.check, a.json, bench::to_json(rows), failures);
}

int run_load_command(const arguments& a) {
  if (a.port == 0) throw std::invalid_argument("bench load needs --port");
  bench::raise_open_files_limit();
  const bench::load_result result = bench::run_load({.port = a.port,
                                                     .connections = a.connections.empty() ? 64 : a.connections.front(),
                                                     .size = a.size,
                                                     .depth = a.depth,
                                                     .measured = to_duration(a.seconds.value_or(1)),
                                                     .engine = a.engine});
  const std::string json = bench::to_json(result) + "\n";
  if (a.json.empty()) fmt::print("{}", json);
  bench::write_file(a.json, json);
  return result.correct() ? 0 : 1;
}

/// Another program, which weir is part of, or which counts allocations: it takes over.
int become(const std::string& name, int argc, char** argv) {
  const std::string program = bench::sibling(name);
  std::vector<char*> arguments(argv + 1, argv + argc);
  arguments.push_back(nullptr);
  execv(program.c_str(), arguments.data());
  throw std::runtime_error(fmt::format("cannot start {}: {}", program, bench::error_text(errno)));
}

int run_all_command(int argc, char** argv) {
  bench::all_options all;
  for (bench::option_reader options(argc, argv, 2); options.next();) {
    const std::string_view option = options.name();
    if (option == "--json") {
      all.json = options.value();
    } else if (option == "--docs") {
      all.docs = options.value();
    } else if (option == "--revision") {
      all.revision = options.value();
    } else if (option == "--smoke") {
      all.smoke = true;
    } else {
      options.refuse();
    }
  }
  return bench::run_all(all);
}

int list_servers() {
  for (const bench::known_server& server : bench::known_servers()) fmt::print("{:<18} {}\n", server.name, server.title);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::report_errors([&] {
    const std::string_view command = argc > 1 ? argv[1] : "help";
    if (command == "all") return run_all_command(argc, argv);
    if ((command == "--compare" || command == "page") && argc == 4) {
      (command == "page" ? bench::render_page : bench::print_comparison)(argv[2], argv[3]);
      return 0;
    }
    if (command == "echo") return run_echo_command(parse(argc, argv));
    if (command == "latency") return run_latency_command(parse(argc, argv));
    if (command == "idle") return run_idle_command(parse(argc, argv));
    if (command == "sync") return become("sync_bench", argc, argv);
    if (command == "runtime") return become("runtime_bench", argc, argv);
    if (command == "patterns") return become("patterns_bench", argc, argv);
    if (command == "io") return become("io_bench", argc, argv);
    if (command == "cancellation") return become("cancellation_bench", argc, argv);
    if (command == "load") return run_load_command(parse(argc, argv));
    if (command == "list") return list_servers();
    const bool asked = command == "help" || command == "--help" || command == "-h";
    fmt::print(asked ? stdout : stderr, "{}", usage);
    return asked ? 0 : 2;
  });
}
