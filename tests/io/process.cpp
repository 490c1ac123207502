#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <weir/io/process.hpp>
#include <weir/io/run_process.hpp>
#include <weir/sync/select.hpp>

#include "files.hpp"
#include "tcp_support.hpp"

using test::run_checked;
using test::sentence_of;
using weir::as_result;
using weir::child_stream;
using weir::command;
using weir::exit_status;
using weir::process;
using weir::process_output;
using weir::run_process;
using weir::task;

static_assert(!std::is_copy_constructible_v<process> && std::is_nothrow_move_constructible_v<process>);

namespace {

/// A shell that runs `script`.
command shell(std::string script) {
  command made("sh");
  made.argument("-c").argument(std::move(script));
  return made;
}

/// What it writes to standard output.
task<std::string> output_of(command what) {
  process_output got = co_await run_process(std::move(what));
  CHECK(got.error.empty());
  co_return std::move(got.output);
}

/// No child runs, and none is a zombie.
bool has_no_children() {
  siginfo_t how{};
  return ::waitid(P_ALL, 0, &how, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
}

/// Started, and has said so.
task<process> started(command what) {
  what.standard_output(child_stream::pipe());
  process child = co_await process::spawn(std::move(what));
  std::array<char, 6> word{};
  co_await weir::read_exactly(child.standard_output(), std::as_writable_bytes(std::span(word)));
  CHECK(std::string_view(word.data(), word.size()) == "ready\n");
  co_return child;
}

command sleeper() { return shell("echo ready; exec sleep 1000"); }
/// Does not care for SIGTERM.
command stubborn() { return shell("trap '' TERM; echo ready; exec sleep 1000"); }

/// A variable of this program's environment, while nobody else looks at that.
class variable {
 public:
  variable(const char* name, const char* value) : name_(name) {
    ::setenv(name, value, 1);  // NOLINT(concurrency-mt-unsafe)
  }
  variable(const variable&) = delete;
  variable& operator=(const variable&) = delete;
  ~variable() { ::unsetenv(name_); }  // NOLINT(concurrency-mt-unsafe)

 private:
  const char* name_;
};

/// What starting it says when it fails.
task<std::string> why_not(command what) {
  auto r = co_await as_result(process::spawn(std::move(what)));
  co_return sentence_of(r);
}

}  // namespace

TEST_CASE("process: how it has ended, for any number who ask") {
  auto main = []() -> task<> {
    process child = co_await process::spawn(shell("exit 3"));
    CHECK(child.name() == "sh");
    CHECK(child.pid() > 0);
    CHECK((::fcntl(child.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
    auto other = weir::spawn([](process& of) -> task<exit_status> { co_return co_await of.wait(); }, std::ref(child));
    const exit_status first = co_await child.wait();
    CHECK(first == exit_status{.code = 3});
    CHECK(!first.success());
    CHECK(first.to_string() == "exit code 3");
    const exit_status second = co_await other.join();
    CHECK(second == first);
    CHECK(child.status() == first);
    CHECK(!child.kill());

    process killed = co_await process::spawn(shell("kill -KILL $$"));
    const exit_status by_signal = co_await killed.wait();
    CHECK(by_signal == exit_status{.signal = SIGKILL});
    CHECK(!by_signal.success());
    CHECK(fmt::format("{}", by_signal) == "signal 9 (Killed)");
    process good = co_await process::spawn(command("true"));
    const exit_status success = co_await good.wait();
    CHECK(success.success());
  };
  run_checked(main());
  CHECK(has_no_children());
}

TEST_CASE("process: what cannot be started says so, and leaves nothing behind") {
  test::scratch_directory dir;
  const std::string file = dir.containing("file", "no program");
  auto main = [&]() -> task<> {
    const std::string missing = co_await why_not(command("no-such-program"));
    CHECK(missing == "spawn no-such-program: No such file or directory");
    const std::string not_executable = co_await why_not(command(file));
    CHECK(not_executable == "spawn " + file + ": Permission denied");
    command there("true");
    there.directory("/no/such/place");
    const std::string no_directory = co_await why_not(there);
    CHECK(no_directory == "spawn true in /no/such/place: No such file or directory");
    command cut("true");
    cut.argument(std::string("a\0b", 3));
    const std::string zero = co_await why_not(cut);
    CHECK(zero == "spawn true: a zero byte in an argument: Invalid argument");
    command closed("true");
    closed.standard_input(child_stream::pipe()).standard_output(child_stream::descriptor(9999));
    const std::string no_descriptor = co_await why_not(closed);
    CHECK(no_descriptor == "spawn true with fd 9999: Bad file descriptor");
    command wrong("true");
    wrong.standard_input(child_stream::output());
    const std::string no_output = co_await why_not(wrong);
    CHECK(no_output == "spawn true: only standard error can lead where standard output does: Invalid argument");
    process none;
    auto waited = co_await as_result(none.wait());
    CHECK(waited.error() == std::errc::bad_file_descriptor);
    CHECK(!none.kill());
  };
  run_checked(main());
  CHECK(has_no_children());
  CHECK_THROWS_AS(command("true").environment("A=B", "c"), std::invalid_argument);
}

TEST_CASE("process: arguments, environment and directory") {
  auto main = []() -> task<> {
    command args("printf");
    args.argument("%s|").arguments({"a b", "", "$HOME", "*"});
    const std::string verbatim = co_await output_of(args);
    CHECK(verbatim == "a b||$HOME|*|");

    const variable kept("WEIR_TEST_KEPT", "kept");
    const variable gone("WEIR_TEST_GONE", "gone");
    command inherits = shell("echo $WEIR_TEST_KEPT,$WEIR_TEST_GONE,$WEIR_TEST_NEW");
    inherits.environment("WEIR_TEST_NEW", "old")
        .environment("WEIR_TEST_NEW", "new")
        .unset_environment("WEIR_TEST_GONE");
    const std::string changed = co_await output_of(inherits);
    CHECK(changed == "kept,,new\n");
    command alone("env");
    alone.clear_environment().environment("ONLY", "this");
    const std::string only = co_await output_of(alone);
    CHECK(only == "ONLY=this\n");

    command there = shell("pwd");
    there.directory("/usr");
    const std::string where = co_await output_of(there);
    CHECK(where == "/usr\n");
  };
  run_checked(main());
}

TEST_CASE("process: a child has three descriptors, no blocked signals, and SIGPIPE at its default") {
  auto main = []() -> task<> {
    const int leaky = ::open("/dev/null", O_RDONLY);  // without close-on-exec
    const std::string open = co_await output_of(shell("echo /proc/self/fd/*"));
    ::close(leaky);
    // The shell's own, for the directory, is 3.
    CHECK(open == "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n");
    const std::string signals = co_await output_of(shell("grep -E 'Sig(Blk|Ign)' /proc/self/status"));
    const std::size_t ignored = signals.find("SigIgn:\t") + 8;
    CHECK(signals.find("SigBlk:\t0000000000000000") != std::string::npos);
    CHECK((std::stoull(signals.substr(ignored, 16), nullptr, 16) & (1u << (SIGPIPE - 1))) == 0);
  };
  run_checked(main());
}

TEST_CASE("process: where the standard streams lead") {
  test::scratch_directory dir;
  const std::string path = dir.containing("input", "from a file");
  auto main = [&]() -> task<> {
    const int input = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    command both = shell("cat; echo to error >&2");
    both.standard_input(child_stream::descriptor(input)).standard_error(child_stream::output());
    const std::string merged = co_await output_of(both);
    CHECK(merged == "from a fileto error\n");
    ::close(input);

    command nothing = shell("cat; echo gone >&2; echo here");
    nothing.standard_input(child_stream::null()).standard_error(child_stream::null());
    const std::string quiet = co_await output_of(nothing);
    CHECK(quiet == "here\n");

    // Each at the number that the other one's had.
    auto [output, to_output] = weir::make_pipe();
    auto [error, to_error] = weir::make_pipe();
    command crossed = shell("echo output; echo error >&2");
    {
      const test::no_descriptor_leaks none;
      const int kept_output = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
      const int kept_error = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
      ::dup2(to_error.native_handle(), STDOUT_FILENO);
      ::dup2(to_output.native_handle(), STDERR_FILENO);
      crossed.standard_output(child_stream::descriptor(STDERR_FILENO));
      crossed.standard_error(child_stream::descriptor(STDOUT_FILENO));
      process child = co_await process::spawn(crossed);
      co_await child.wait();
      child.close();
      ::dup2(kept_output, STDOUT_FILENO);
      ::dup2(kept_error, STDERR_FILENO);
      ::close(kept_output);
      ::close(kept_error);
    }
    to_output.close();
    to_error.close();
    auto lines = weir::lines(output);
    auto errors = weir::lines(error);
    auto line = co_await lines.next();
    auto error_line = co_await errors.next();
    CHECK(line == "output");
    CHECK(error_line == "error");
  };
  run_checked(main());
}

TEST_CASE("process: a conversation through pipes") {
  auto main = []() -> task<> {
    command cat("cat");
    cat.standard_input(child_stream::pipe()).standard_output(child_stream::pipe());
    process child = co_await process::spawn(cat);
    CHECK(!child.standard_error().is_open());
    CHECK(child.standard_input().name() == "cat's standard input");
    weir::buffered_reader lines{child.standard_output()};
    for (const std::string_view word : {"one\n", "two\n"}) {
      co_await child.standard_input().write_all(std::as_bytes(std::span(word)));
      auto line = co_await lines.read_line();
      CHECK(*line + "\n" == word);
    }
    CHECK(!child.status());
    child.standard_input().close();
    const exit_status how = co_await child.wait();
    CHECK(how.success());
    auto end = co_await lines.read_line();
    CHECK(!end);
  };
  run_checked(main());
}

TEST_CASE("process: terminate lets it end by itself, or does not") {
  auto main = []() -> task<> {
    command waits = shell("trap 'exit 7' TERM; echo ready; read line");
    waits.standard_input(child_stream::pipe());
    process polite = co_await started(waits);
    const exit_status by_itself = co_await polite.terminate(10s);
    CHECK(by_itself == exit_status{.code = 7});
    process plain = co_await started(sleeper());
    const exit_status terminated = co_await plain.terminate(10s);
    CHECK(terminated == exit_status{.signal = SIGTERM});
    process deaf = co_await started(stubborn());
    const exit_status killed = co_await deaf.terminate(2ms);
    CHECK(killed == exit_status{.signal = SIGKILL});
    const exit_status again = co_await deaf.terminate(2ms);
    CHECK(again == killed);
  };
  run_checked(main());
  CHECK(has_no_children());
}

TEST_CASE("process: signals reach all of a group of its own") {
  auto main = []() -> task<> {
    command family = shell("sleep 1000 & echo ready; wait");
    family.own_group();
    process child = co_await started(family);
    CHECK(::getpgid(child.pid()) == child.pid());
    CHECK(child.kill(SIGTERM));
    // The sleeper had the pipe, too: at its end both are gone.
    std::array<std::byte, 8> rest{};
    const std::size_t n = co_await child.standard_output().read_some(rest);
    CHECK(n == 0);
    const exit_status how = co_await child.wait();
    CHECK(how.signal == SIGTERM);
    CHECK(!child.kill(SIGTERM));
    process other = co_await started(sleeper());
    std::string wrong;
    try {
      other.kill(12345);
    } catch (const std::system_error& e) {
      wrong = e.what();
    }
    CHECK(wrong == "kill sh: Invalid argument");
  };
  run_checked(main());
}

TEST_CASE("process: one that nobody wants any more is ended, and none outlives the runtime") {
  for (const unsigned workers : {1u, 2u}) {
    // SIGTERM, at once, and not after the grace.
    auto ends_politely = []() -> task<> {
      process child = co_await started(sleeper().grace(1h));
      child.close();
      while (!has_no_children()) co_await weir::yield();
    };
    run_checked(ends_politely(), {.workers = workers});
    // SIGKILL after the grace.
    auto ends_in_time = []() -> task<> {
      {
        const process child = co_await started(stubborn().grace(2ms));
      }
      while (!has_no_children()) co_await weir::yield();
    };
    run_checked(ends_in_time(), {.workers = workers});
    // The runtime does not wait for the grace.
    auto outlasts = []() -> task<> {
      const process child = co_await started(stubborn().grace(1h));
      CHECK(!has_no_children());
    };
    run_checked(outlasts(), {.workers = workers});
    CHECK(has_no_children());
    auto at_once = []() -> task<> { const process child = co_await started(stubborn().grace(0s)); };
    run_checked(at_once(), {.workers = workers});
    CHECK(has_no_children());
    // Out of a frame that is destroyed by a stop.
    auto stopped = []() -> task<> {
      const auto holds = []() -> task<> {
        const process child = co_await started(sleeper());
        co_await child.wait();
      };
      auto r = co_await as_result(weir::with_timeout(30ms, holds()));
      CHECK(r.error() == std::errc::timed_out);
    };
    run_checked(stopped(), {.workers = workers});
    CHECK(has_no_children());
  }
}

TEST_CASE("process: who waits for one that is destroyed is told how it ends") {
  auto main = []() -> task<> {
    process child = co_await started(sleeper());
    auto waiting =
        weir::spawn([](const process& of) -> task<exit_status> { co_return co_await of.wait(); }, std::cref(child));
    co_await test::settle_down();
    child = process();
    const exit_status how = co_await waiting.join();
    CHECK(how.signal == SIGTERM);
  };
  run_checked(main());
}

TEST_CASE("process: outside of its runtime it is killed and waited for on the spot") {
  const test::no_descriptor_leaks none;
  process left;
  weir::run([](process& out) -> task<> { out = co_await started(sleeper()); }(left), {.workers = 1});
  CHECK(!left.status());
  left.close();
  CHECK(has_no_children());
}

TEST_CASE("process: the end of one is a case of a select") {
  auto main = []() -> task<> {
    process slow = co_await started(sleeper());
    process fast = co_await process::spawn(shell("exit 5"));
    auto first = co_await weir::select(slow.wait(), fast.wait(), weir::sleep_for(10s));
    CHECK(first.index() == 1);
    CHECK(!slow.status());
    auto early = co_await weir::select(slow.wait(), weir::sleep_for(1ms));
    CHECK(early.index() == 1);
  };
  run_checked(main());
}

TEST_CASE("process: a program that ignores SIGCHLD cannot know how its children end") {
  struct sigaction before{};
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  REQUIRE(::sigaction(SIGCHLD, &ignore, &before) == 0);
  auto main = []() -> task<> {
    process child = co_await started(sleeper());
    CHECK(child.kill());
    auto how = co_await as_result(child.wait());
    CHECK(sentence_of(how) == "wait for sh: No child processes");
    CHECK(!child.kill());
  };
  run_checked(main());
  ::sigaction(SIGCHLD, &before, nullptr);
}

TEST_CASE("run_process: more in and out than any pipe holds") {
  auto main = []() -> task<> {
    std::string much(700'000, 'x');
    for (std::size_t i = 0; i < much.size(); i += 1000) much[i] = '\n';
    const process_output got = co_await run_process(shell("tee /dev/stderr"), much);
    CHECK(got.status.success());
    CHECK(got.output == much);
    CHECK(got.error == much);
    const process_output failed = co_await run_process(shell("echo out; echo err >&2; exit 4"));
    CHECK(failed.status.code == 4);
    CHECK(failed.output == "out\n");
    CHECK(failed.error == "err\n");
    // It need not read what it is given.
    const process_output deaf = co_await run_process(command("true"), much);
    CHECK(deaf.status.success());
    auto missing = co_await as_result(run_process(command("no-such-program")));
    CHECK(sentence_of(missing) == "spawn no-such-program: No such file or directory");
  };
  run_checked(main());
  CHECK(has_no_children());
}

TEST_CASE("run_process: a child that writes more than the limit is ended") {
  auto main = []() -> task<> {
    command yes("yes");
    auto endless = co_await as_result(run_process(yes, "", {.limit = 10'000}));
    CHECK(sentence_of(endless) == "run_process: more than 10000 bytes of yes's standard output: Message too long");
    CHECK(has_no_children());
    const process_output exact = co_await run_process(shell("echo 1234"), "", {.limit = 5});
    CHECK(exact.output == "1234\n");
    auto one_more = co_await as_result(run_process(shell("echo 1234 >&2"), "", {.limit = 4}));
    CHECK(one_more.error() == std::errc::message_size);
  };
  run_checked(main());
}

TEST_CASE("run_process: a stop waits until the child has ended") {
  auto main = []() -> task<> {
    for (const bool deaf : {false, true}) {
      command what = shell(deaf ? "trap '' TERM; exec sleep 1000" : "exec sleep 1000");
      what.grace(deaf ? weir::duration(2ms) : weir::duration(10s));
      auto stopped = co_await as_result(weir::with_timeout(20ms, run_process(what, "some input")));
      CHECK(stopped.error() == std::errc::timed_out);
      CHECK(has_no_children());
    }
  };
  run_checked(main());
}

TEST_CASE("process: there is none in a simulation") {
  auto main = []() -> task<> {
    const std::string refused = co_await why_not(command("true"));
    CHECK(refused == "spawn true: Operation not supported");
  };
  test::simulate(main);
}
