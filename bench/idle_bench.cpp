#include "idle_bench.hpp"

#include "byte_pattern.hpp"
#include "error_text.hpp"
#include "json.hpp"
#include "loopback.hpp"
#include "server_process.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <limits>
#include <optional>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

constexpr std::size_t message_size = 64;
constexpr double unmeasured = std::numeric_limits<double>::quiet_NaN();

class idle_connections {
 public:
  explicit idle_connections(std::uint16_t port) : port_(port) {}
  ~idle_connections() {
    for (const int fd : descriptors_) close(fd);
  }
  idle_connections(const idle_connections&) = delete;
  idle_connections& operator=(const idle_connections&) = delete;

  // Opens one more and checks one echo on it.
  void add() {
    const std::size_t index = descriptors_.size();
    const int fd = connect_loopback(port_, index);
    descriptors_.push_back(fd);
    const auto message = pattern_.from(pattern_.start(index), message_size);
    std::array<std::byte, message_size> answer;
    if (send(fd, message.data(), message.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(message.size()))
      throw std::runtime_error(fmt::format("connection {}: send: {}", index, error_text(errno)));
    for (std::size_t come = 0; come < answer.size();) {
      const ssize_t n = recv(fd, answer.data() + come, answer.size() - come, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) throw std::runtime_error(fmt::format("connection {}: no answer", index));
      come += static_cast<std::size_t>(n);
    }
    if (!std::equal(answer.begin(), answer.end(), message.begin()))
      throw std::runtime_error(fmt::format("connection {}: answer differs from what was sent", index));
  }

 private:
  std::uint16_t port_;
  byte_pattern pattern_{message_size};
  std::vector<int> descriptors_;
};

memory_use settled_memory(const server_process& server) {
  memory_use last = server.memory();
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const memory_use now = server.memory();
    if (now.resident == last.resident) return now;
    last = now;
  }
  return last;
}

double each(std::uint64_t before, std::uint64_t after, std::size_t connections) {
  return (static_cast<double>(after) - static_cast<double>(before)) / static_cast<double>(connections);
}

idle_row measure(const known_server& which, std::size_t connections) {
  idle_row row{.server = &which, .resident_each = unmeasured, .proportional_each = unmeasured, .failure = {}};
  std::optional<server_process> server;
  try {
    server.emplace(which.command);
    idle_connections open(server->port());
    open.add();
    const memory_use before = settled_memory(*server);
    row.baseline = before.resident;
    for (; row.connections < connections; ++row.connections) open.add();
    const memory_use after = settled_memory(*server);
    row.resident_each = each(before.resident, after.resident, connections);
    if (before.proportional > 0) row.proportional_each = each(before.proportional, after.proportional, connections);
    // Ended with all of them open: they must not keep a server from ending cleanly.
    row.failure = server->stop();
  } catch (const std::exception& e) {
    row.failure = e.what();
    if (server) {
      if (const std::string more = server->stop(); !more.empty()) row.failure += "; " + more;
    }
  }
  return row;
}

}  // namespace

std::vector<idle_row> run_idle(const idle_options& options, const std::function<void(const std::string&)>& progress) {
  constexpr std::size_t reserve = 128;  // for everything else that a process has open
  const std::size_t limit = raise_open_files_limit();
  std::size_t connections = options.connections;
  if (connections + reserve > limit) {
    connections = limit > 2 * reserve ? limit - reserve : limit / 2;
    progress(fmt::format("The limit on open files (RLIMIT_NOFILE, hard: {}) forbids {} connections; {} are opened.",
                         limit, options.connections, connections));
  }
  std::vector<idle_row> rows;
  for (const known_server* server : runnable_servers(options.servers)) {
    rows.push_back(measure(*server, connections));
    const idle_row& row = rows.back();
    progress(fmt::format("{}, {} idle connections: {}", server->title, row.connections,
                         row.failure.empty() ? fmt::format("{:.0f} B each", row.resident_each) : row.failure));
  }
  return rows;
}

std::string idle_table(const std::vector<idle_row>& rows) {
  std::vector<std::vector<std::string>> cells{
      {"server", "idle connections", "baseline kB", "resident B/conn", "Pss B/conn"}};
  for (const idle_row& row : rows) {
    cells.push_back({std::string(row.server->title), std::to_string(row.connections),
                     std::to_string(row.baseline / 1024), figure(row.resident_each, 0),
                     figure(row.proportional_each, 0)});
  }
  return format_table(cells);
}

std::string to_json(const std::vector<idle_row>& rows) {
  std::string out = R"({"bench": "idle", "rows": [)";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const idle_row& row = rows[i];
    out += fmt::format(
        R"({}{{"server": {}, "title": {}, "connections": {}, "baseline_bytes": {}, "resident_bytes_each": {}, )"
        R"("pss_bytes_each": {}, "failure": {}}})",
        i == 0 ? "\n" : ",\n", json_string(row.server->name), json_string(row.server->title), row.connections,
        row.baseline, json_number(row.resident_each), json_number(row.proportional_each), json_string(row.failure));
  }
  return out + "]}\n";
}

}  // namespace bench
