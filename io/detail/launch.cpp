#include "launch.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>
#include <vector>

#include "path_name.hpp"
#include "simulated_kernel.hpp"
#include "system_calls.hpp"

namespace weir::detail {

namespace {

using stream_kind = child_stream::kind;

[[noreturn]] void fail(int error, const command& what, const char* doing = "") {
  std::string sentence = fmt::format("spawn {}", what.program());
  if (!what.directory().empty()) sentence += " in " + what.directory();
  throw std::system_error(error, std::generic_category(), sentence + doing);
}

/// What posix_spawn is told, and what has to live until then.
class plan {
 public:
  explicit plan(const command& what) : what_(what) {
    check(::posix_spawnattr_init(&attributes_));
    if (const int failed = ::posix_spawn_file_actions_init(&actions_); failed != 0) {
      ::posix_spawnattr_destroy(&attributes_);
      check(failed);
    }
  }
  plan(const plan&) = delete;
  plan& operator=(const plan&) = delete;
  ~plan() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  /// Threads of weir block all signals, and the runtime ignores SIGPIPE: neither is the child's business.
  void set_signals() {
    sigset_t none;
    sigemptyset(&none);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    check(::posix_spawnattr_setsigmask(&attributes_, &none));
    check(::posix_spawnattr_setsigdefault(&attributes_, &defaults));
    if (what_.has_own_group()) {
      flags = static_cast<short>(flags | POSIX_SPAWN_SETPGROUP);
      check(::posix_spawnattr_setpgroup(&attributes_, 0));
    }
    check(::posix_spawnattr_setflags(&attributes_, flags));
  }

  /// Makes stream `number` of the child, and our end of it.
  void connect(int number, child_stream where, unique_descriptor& our_end) {
    switch (where.what()) {
      case stream_kind::inherit:
        return;
      case stream_kind::null:
        check(::posix_spawn_file_actions_addopen(&actions_, number, "/dev/null",
                                                 number == STDIN_FILENO ? O_RDONLY : O_WRONLY, 0));
        return;
      case stream_kind::pipe:
        connect_pipe(number, our_end);
        return;
      case stream_kind::descriptor:
        lead(number, where.number());
        return;
      case stream_kind::output:
        if (number != STDERR_FILENO) fail(EINVAL, what_, ": only standard error can lead where standard output does");
        check(::posix_spawn_file_actions_adddup2(&actions_, STDOUT_FILENO, STDERR_FILENO));
        return;
    }
  }

  /// Closes everything else in the child, also what others have opened without close-on-exec.
  void finish() {
    if (!what_.directory().empty()) {
      check(::posix_spawn_file_actions_addchdir_np(&actions_, what_.directory().c_str()));
    }
    check(::posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1));
  }

  int start(char* const* arguments, char* const* variables) {
    pid_t pid = -1;
    check(::posix_spawnp(&pid, what_.program().c_str(), &actions_, &attributes_, arguments, variables));
    return pid;
  }

 private:
  void check(int error) const {
    if (error != 0) fail(error, what_);
  }

  /// None of the numbers that the child's streams get is the source of another: all sources are above them.
  void lead(int number, int to) {
    const int made = system_calls::duplicate(to);
    if (made < 0) fail(-made, what_, fmt::format(" with fd {}", to).c_str());
    unique_descriptor source(made);
    check(::posix_spawn_file_actions_adddup2(&actions_, source.number(), number));
    sources_.push_back(std::move(source));
  }

  /// The child gets a blocking end, as programs expect it. The flag is that end's own.
  void connect_pipe(int number, unique_descriptor& our_end) {
    std::array<int, 2> both{};
    check(-system_calls::make_pipe(both, false));
    const bool child_reads = number == STDIN_FILENO;
    const unique_descriptor childs(both[child_reads ? 0 : 1]);
    our_end = unique_descriptor(both[child_reads ? 1 : 0]);
    check(std::max(0, -system_calls::make_non_blocking(our_end.number())));
    lead(number, childs.number());
  }

  const command& what_;
  posix_spawnattr_t attributes_{};
  posix_spawn_file_actions_t actions_{};
  std::vector<unique_descriptor> sources_;
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> all;
  all.reserve(texts.size() + 1);
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

/// What is ours until it is waited for.
void kill_and_wait(int pid) noexcept {
  static_cast<void>(::kill(pid, SIGKILL));
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

launched::~launched() {
  if (pid_ > 0) kill_and_wait(pid_);
}

launched launch(const command& what) {
  if (simulated_kernel::here()) fail(ENOTSUP, what);
  std::vector<std::string> arguments{what.program()};
  arguments.insert(arguments.end(), what.arguments().begin(), what.arguments().end());
  std::vector<std::string> variables = what.environment_now();
  if (std::any_of(arguments.begin(), arguments.end(), is_cut_short) ||
      std::any_of(variables.begin(), variables.end(), is_cut_short) || is_cut_short(what.directory())) {
    fail(EINVAL, what, ": a zero byte in an argument");
  }
  launched made;
  plan how(what);
  how.set_signals();
  for (int i = STDIN_FILENO; i <= STDERR_FILENO; ++i) {
    how.connect(i, what.stream(i).value_or(child_stream::inherit()), made.ends[static_cast<std::size_t>(i)]);
  }
  how.finish();
  made.pid_ = how.start(pointers_to(arguments).data(), pointers_to(variables).data());
  made.pidfd = unique_descriptor(static_cast<int>(::syscall(SYS_pidfd_open, made.pid_, 0)));
  if (made.pidfd) return made;
  const int error = errno;
  if (error != ESRCH) fail(error, what, ": pidfd_open");
  made.take();  // it is gone, and its number may be somebody else's
  fail(ECHILD, what, ": its end was taken by who ignores SIGCHLD or waits for all children");
}

}  // namespace weir::detail
