#pragma once
// A server under test as a child process: started on its own core, asked for its CPU time and
// memory, ended by SIGTERM. It dies with us.

#include <sys/types.h>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

struct server_command {
  std::string executable;  // a sibling of this executable, by name
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;  // added to ours
};

struct memory_use {
  std::uint64_t resident = 0;      // VmRSS, bytes
  std::uint64_t proportional = 0;  // Pss, bytes; 0 where the kernel does not tell
};

class server_process {
 public:
  /// Waits, 10 s at most, for "listening on 127.0.0.1:PORT". Throws std::runtime_error.
  explicit server_process(const server_command& command, std::optional<int> core = std::nullopt);
  /// Kills and reaps what was not stopped.
  ~server_process();
  server_process(const server_process&) = delete;
  server_process& operator=(const server_process&) = delete;

  pid_t pid() const noexcept { return pid_; }
  std::uint16_t port() const noexcept { return port_; }

  /// CPU time of all its threads, io_uring's own included, also of those that have ended.
  double cpu_seconds() const;
  memory_use memory() const;

  /// SIGTERM, then 5 s of patience. Empty when it ended by itself with status 0 after that;
  /// otherwise a sentence.
  std::string stop();

 private:
  void await_port();
  std::string describe(int status) const;

  std::string name_;
  pid_t pid_ = -1;
  int output_ = -1;
  std::uint16_t port_ = 0;
};

/// The cores for server and client among those that we may use; empty when there is only one.
struct core_pair {
  int server;
  int client;
};
std::optional<core_pair> choose_cores();
void pin_this_thread(int core);

/// The path of a file next to this executable.
std::string sibling(const std::string& name);

}  // namespace bench
