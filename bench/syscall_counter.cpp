#include "syscall_counter.hpp"

#include "error_text.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <system_error>

namespace bench {
namespace {

constexpr const char* id_file = "events/raw_syscalls/sys_enter/id";

// Where tracefs is not mounted, root can still read it through a mount that is attached nowhere.
int open_detached_tracefs() {
  const int context = fsopen("tracefs", FSOPEN_CLOEXEC);
  if (context < 0) return -1;
  int root = -1;
  if (fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) root = fsmount(context, FSMOUNT_CLOEXEC, 0);
  const int error = errno;
  close(context);
  errno = error;
  return root;
}

struct tracepoint {
  std::uint64_t id = 0;
  std::string why_not;
};

tracepoint find_tracepoint() {
  int file = open((std::string("/sys/kernel/tracing/") + id_file).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    const int root = open_detached_tracefs();
    if (root < 0) return {0, fmt::format("tracefs: {} (needs root)", error_text(errno))};
    file = openat(root, id_file, O_RDONLY | O_CLOEXEC);
    const int error = errno;
    close(root);
    if (file < 0) return {0, fmt::format("{} in tracefs: {}", id_file, error_text(error))};
  }
  std::array<char, 32> text{};
  const ssize_t n = read(file, text.data(), text.size() - 1);
  close(file);
  return {n > 0 ? std::strtoull(text.data(), nullptr, 10) : 0, n > 0 ? "" : "tracefs gives no number for the event"};
}

}  // namespace

syscall_counter::syscall_counter(pid_t process) {
  static const tracepoint enter = find_tracepoint();
  if (!enter.why_not.empty()) {
    why_not_ = enter.why_not;
    return;
  }
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_TRACEPOINT;
  attributes.size = sizeof attributes;
  attributes.config = enter.id;
  attributes.inherit = 1;
  std::error_code ignored;
  for (const auto& thread : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process), ignored)) {
    const int tid = std::atoi(thread.path().filename().c_str());
    const auto event = static_cast<int>(syscall(SYS_perf_event_open, &attributes, tid, -1, -1, PERF_FLAG_FD_CLOEXEC));
    if (event >= 0) {
      events_.push_back(event);
    } else if (errno != ESRCH) {
      why_not_ = fmt::format("perf_event_open: {} (needs root or CAP_PERFMON)", error_text(errno));
      return;
    }
  }
  if (events_.empty()) why_not_ = "the process has no threads";
}

syscall_counter::~syscall_counter() {
  for (const int event : events_) close(event);
}

double syscall_counter::count() const {
  if (!why_not_.empty()) return std::numeric_limits<double>::quiet_NaN();
  double total = 0;
  for (const int event : events_) {
    std::uint64_t value = 0;
    if (read(event, &value, sizeof value) == sizeof value) total += static_cast<double>(value);
  }
  return total;
}

}  // namespace bench
