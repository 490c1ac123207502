// gdb/weir-gdb.py: a process that has written its own dump aborts under gdb, which then shows the same tasks, of the
// live process and of a core file; and what the pretty printers say.

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <weir/weir.hpp>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif

namespace {

using namespace std::chrono_literals;

// ---- the process that is looked at

constexpr const char* end_of_dump = "-- end of the dump\n";

weir::task<> waits_at(weir::event& gate) { co_await gate.wait(); }
weir::task<> goes_through(weir::event& gate) { co_await weir::with_timeout(1h, waits_at(gate)); }
weir::task<> sleeps() { co_await weir::sleep_for(1h); }
weir::task<> hides() { co_await weir::shielded(sleeps()); }
weir::task<> keeps_ready() {
  for (;;) co_await weir::yield();
}
weir::task<> has_children() {
  auto body = [](weir::task_group& g) -> weir::task<> {
    g.spawn(sleeps());
    co_await weir::with_timeout(2h, sleeps());
  };
  co_await weir::with_task_group(body);
}

}  // namespace

// What gdb is to print.
const weir::task<>* volatile weir_test_task = nullptr;
const weir::join_handle<>* volatile weir_test_handle = nullptr;
const weir::channel<int>* volatile weir_test_channel = nullptr;

namespace {

weir::task<> victim() {
  weir::event gate;
  weir::channel<int> queue(8);
  auto body = [&](weir::task_group& g) -> weir::task<> {
    auto handle = g.spawn(goes_through(gate));
    g.spawn(hides());
    g.spawn(has_children());
    g.spawn(keeps_ready());
    co_await queue.send(1);
    co_await queue.send(2);
    co_await weir::sleep_for(10ms);
    const std::string text = weir::dump_tasks();
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fputs(end_of_dump, stderr);
    const weir::task<> fresh = sleeps();
    weir_test_task = &fresh;
    weir_test_handle = &handle;
    weir_test_channel = &queue;
    std::abort();
  };
  co_await weir::with_task_group(body);
}

// ---- who looks

bool failed = false;

std::string output_of(const std::string& command) {
  std::string text;
  std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (!pipe) return text;
  std::array<char, 4096> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), n);
  ::pclose(pipe);
  return text;
}

std::string between(const std::string& text, const char* from, const char* to) {
  const std::size_t begin = text.find(from);
  if (begin == std::string::npos) return "";
  const std::size_t end = text.find(to, begin);
  return text.substr(begin, end == std::string::npos ? end : end - begin);
}

/// The lines of a dump that do not depend on its moment: the tasks, without how long they have waited and without what
/// only the process can say of its operations, and where they are.
std::vector<std::string> essential(const std::string& dump) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < dump.size()) {
    std::size_t end = dump.find('\n', at);
    if (end == std::string::npos) end = dump.size();
    std::string line = dump.substr(at, end - at);
    at = end + 1;
    const std::size_t task = line.find("task ");
    const bool names_place = line.find("debugger.cpp:") != std::string::npos;
    if (task != std::string::npos && line.find_first_not_of(' ') == task) {
      for (const char* cut : {" waits in event", " waits in sleep"}) {
        if (const std::size_t found = line.find(cut); found != std::string::npos) {
          line.resize(found + std::strlen(cut));
        }
      }
      lines.push_back(line);
    } else if (names_place) {
      lines.push_back(line);
    }
  }
  return lines;
}

void expect_same(const char* what, const std::vector<std::string>& found, const std::vector<std::string>& wanted) {
  if (!wanted.empty() && found == wanted) return;
  failed = true;
  std::printf("FAIL %s\n-- the program's own dump\n", what);
  for (const std::string& line : wanted) std::printf("%s\n", line.c_str());
  std::printf("-- gdb's\n");
  for (const std::string& line : found) std::printf("%s\n", line.c_str());
}

void expect(bool right, const char* what) {
  if (right) return;
  failed = true;
  std::printf("FAIL %s\n", what);
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

int look() {
#if defined(TEST_SANITIZED)
  std::puts("a sanitizer's process is not to be run under gdb");
  return 77;
#endif
#if defined(TEST_WITHOUT_DEBUG_INFO)
  std::puts("built without debug information");
  return 77;
#endif
  if (output_of("command -v gdb").empty()) {
    std::puts("gdb is not installed");
    return 77;
  }
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  const std::filesystem::path script = self.parent_path() / "../include/weir/gdb/weir-gdb.py";
  const std::filesystem::path core =
      std::filesystem::temp_directory_path() / ("weir-core." + std::to_string(::getpid()));
  const std::string gdb =
      "gdb -nx -batch -iex 'set debuginfod enabled off' -ex 'set confirm off' -ex 'source " + script.string() + "' ";
  const std::string marks = "-ex 'echo <tasks>\\n' -ex 'weir tasks' -ex 'echo <end>\\n' ";
  const std::string live = output_of(gdb + "-ex run " + marks +
                                     "-ex 'weir workers' -ex 'set language c++' "
                                     "-ex 'print *weir_test_task' -ex 'print *weir_test_handle' -ex "
                                     "'print *weir_test_channel' -ex 'gcore " +
                                     core.string() + "' --args " + self.string() + " victim");
  if (!contains(live, "SIGABRT")) {
    std::printf("%s\ngdb cannot run a program here\n", live.c_str());
    return 77;
  }
  const std::string said = between(live, " tasks on ", end_of_dump);
  const std::vector<std::string> wanted = essential(said);
  expect_same("of the live process", essential(between(live, "<tasks>", "<end>")), wanted);
  expect(contains(between(live, "<tasks>", "<end>"), "6 tasks on 1 worker"), "gdb counts tasks and workers");
  expect(contains(live, "worker 0: 1 ready, runs a task that awaited last in"), "gdb says what a worker runs");
  expect(contains(live, "= task: not begun, ") && contains(live, "::sleeps() at "),
         "a task that has not begun is told");
  expect(contains(live, "= join_handle: lives, spawned at "), "a join_handle is told");
  expect(contains(live, "= channel: capacity 8, 2 items, open"), "a channel is told");
  if (std::filesystem::exists(core)) {
    const std::string post = output_of(gdb + marks + self.string() + " " + core.string());
    expect_same("of the core file", essential(between(post, "<tasks>", "<end>")), wanted);
    std::filesystem::remove(core);
    if (failed) std::printf("%s\n", post.c_str());
  } else {
    expect(false, "gdb has written a core file");
  }
  if (failed) std::printf("-- all that gdb said\n%s\n", live.c_str());
  return failed ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "victim") == 0) {
    weir::run(victim(), {.workers = 1});
    return 0;
  }
  return look();
}
