#include "server_process.hpp"

#include "error_text.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string_view>

namespace bench {
namespace {

constexpr std::string_view announcement = "listening on 127.0.0.1:";

cpu_set_t only(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(core), &set);
  return set;
}

std::vector<std::string> merged_environment(const server_command& command) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    bool replaced = false;
    for (const auto& [name, value] : command.environment)
      replaced |= text.size() > name.size() && text.starts_with(name) && text[name.size()] == '=';
    if (!replaced) merged.emplace_back(text);
  }
  for (const auto& [name, value] : command.environment) merged.push_back(fmt::format("{}={}", name, value));
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

std::uint64_t kilobytes_after(const std::string& path, std::string_view label) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(label)) return std::strtoull(line.c_str() + label.size(), nullptr, 10);
  }
  return 0;
}

}  // namespace

server_process::server_process(const server_command& command, std::optional<int> core) : name_(command.executable) {
  // Everything that allocates happens before the fork.
  const std::string path = sibling(command.executable);
  std::vector<std::string> argument_texts{path};
  argument_texts.insert(argument_texts.end(), command.arguments.begin(), command.arguments.end());
  std::vector<std::string> environment_texts = merged_environment(command);
  const std::vector<char*> arguments = pointers(argument_texts);
  const std::vector<char*> environment = pointers(environment_texts);
  if (access(path.c_str(), X_OK) != 0) throw std::runtime_error(fmt::format("start {}: {}", path, error_text(errno)));

  std::array<int, 2> pipe_ends{};
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0)
    throw std::runtime_error(fmt::format("start {}: pipe: {}", path, error_text(errno)));
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    if (core) {
      const cpu_set_t set = only(*core);
      sched_setaffinity(0, sizeof set, &set);
    }
    dup2(pipe_ends[1], STDOUT_FILENO);
    execve(path.c_str(), arguments.data(), environment.data());
    _exit(127);
  }
  close(pipe_ends[1]);
  output_ = pipe_ends[0];
  if (pid_ < 0) {
    close(output_);
    throw std::runtime_error(fmt::format("start {}: fork: {}", path, error_text(errno)));
  }
  try {
    await_port();
  } catch (...) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(output_);
    throw;
  }
}

server_process::~server_process() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (output_ >= 0) close(output_);
}

void server_process::await_port() {
  std::string line;
  pollfd waited{.fd = output_, .events = POLLIN, .revents = 0};
  while (line.find('\n') == std::string::npos) {
    const int ready = poll(&waited, 1, 10'000);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) throw std::runtime_error(name_ + " did not say within 10 s where it listens");
    std::array<char, 256> chunk;
    const ssize_t n = read(output_, chunk.data(), chunk.size());
    if (n <= 0) throw std::runtime_error(name_ + " ended before it listened");
    line.append(chunk.data(), static_cast<std::size_t>(n));
  }
  const std::size_t begin = line.find(announcement);
  if (begin != std::string::npos) {
    const char* digits = line.data() + begin + announcement.size();
    std::from_chars(digits, line.data() + line.size(), port_);
  }
  if (port_ == 0)
    throw std::runtime_error(
        fmt::format("{} said \"{}\" instead of where it listens", name_, line.substr(0, line.find('\n'))));
}

double server_process::cpu_seconds() const {
  clockid_t clock{};
  timespec t{};
  if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &t) != 0)
    throw std::runtime_error(fmt::format("{}: its CPU clock cannot be read: it has died", name_));
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

memory_use server_process::memory() const {
  return {.resident = 1024 * kilobytes_after(fmt::format("/proc/{}/status", pid_), "VmRSS:"),
          .proportional = 1024 * kilobytes_after(fmt::format("/proc/{}/smaps_rollup", pid_), "Pss:")};
}

std::string server_process::stop() {
  if (pid_ <= 0) return {};
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) {
    pid_ = -1;
    return fmt::format("{} ended during the run ({})", name_, describe(status));
  }
  kill(pid_, SIGTERM);
  for (int waited_ms = 0; waitpid(pid_, &status, WNOHANG) == 0; waited_ms += 5) {
    if (waited_ms > 5000) {
      kill(pid_, SIGKILL);
      waitpid(pid_, &status, 0);
      pid_ = -1;
      return name_ + " did not end within 5 s of SIGTERM and was killed";
    }
    std::array<char, 1024> rest;  // so that a full pipe cannot keep it from ending
    pollfd output{.fd = output_, .events = POLLIN, .revents = 0};
    if (poll(&output, 1, 5) > 0 && (read(output_, rest.data(), rest.size()) <= 0)) usleep(5000);
  }
  pid_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fmt::format("{} did not end cleanly after SIGTERM ({})", name_, describe(status));
}

std::string server_process::describe(int status) const {
  if (WIFSIGNALED(status)) return fmt::format("signal {}", WTERMSIG(status));
  return fmt::format("status {}", WEXITSTATUS(status));
}

namespace {

std::optional<core_pair> first_two_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return std::nullopt;
  std::vector<int> cores;
  for (int i = 0; i < CPU_SETSIZE && cores.size() < 2; ++i) {
    if (CPU_ISSET(static_cast<std::size_t>(i), &set)) cores.push_back(i);
  }
  if (cores.size() < 2) return std::nullopt;
  return core_pair{.server = cores[0], .client = cores[1]};
}

}  // namespace

std::optional<core_pair> choose_cores() {
  // Asked once: pinning this thread narrows what the next question would see.
  static const std::optional<core_pair> chosen = first_two_cores();
  return chosen;
}

void pin_this_thread(int core) {
  const cpu_set_t set = only(core);
  sched_setaffinity(0, sizeof set, &set);
}

std::string sibling(const std::string& name) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

}  // namespace bench
