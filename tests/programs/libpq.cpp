// PostgreSQL's own library, awaited: libpq's interface that does not block, and weir::poll where it wants to wait. With
// a real server, which this program starts in a temporary directory.

#include <cstdio>

#if __has_include(<libpq-fe.h>)

#include <grp.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <exception>
#include <filesystem>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <weir/weir.hpp>

namespace {

using namespace std::chrono_literals;
using weir::as_result;
using weir::task;

void check(bool holds, std::string_view what) {
  if (!holds) throw std::runtime_error(fmt::format("not so: {}", what));
}

// ---- libpq, awaited: what a user would write

struct free_connection {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
struct free_result {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using connection = std::unique_ptr<PGconn, free_connection>;
using query_result = std::unique_ptr<PGresult, free_result>;

[[noreturn]] void fail(const connection& at) { throw std::runtime_error(PQerrorMessage(at.get())); }

task<connection> connect(std::string parameters) {
  connection made(PQconnectStart(parameters.c_str()));
  if (!made) throw std::bad_alloc();
  if (PQstatus(made.get()) == CONNECTION_BAD) fail(made);
  int wanted = POLLOUT;
  while (wanted != 0) {
    co_await weir::poll(PQsocket(made.get()), wanted);  // another socket perhaps than a moment ago
    const PostgresPollingStatusType state = PQconnectPoll(made.get());
    if (state == PGRES_POLLING_FAILED) fail(made);
    wanted = state == PGRES_POLLING_READING ? POLLIN : state == PGRES_POLLING_WRITING ? POLLOUT : 0;
  }
  if (PQsetnonblocking(made.get(), 1) != 0) fail(made);
  co_return made;
}

/// Sends what libpq has not sent yet. The server may have to be rid of its answers first.
task<> flush(const connection& at) {
  for (;;) {
    const int left = PQflush(at.get());
    if (left < 0) fail(at);
    if (left == 0) co_return;
    const int happened = co_await weir::poll(PQsocket(at.get()), POLLIN | POLLOUT);
    if ((happened & POLLIN) != 0 && PQconsumeInput(at.get()) == 0) fail(at);
  }
}

/// Until something has come that libpq has not seen.
task<> consume(const connection& at) {
  co_await weir::poll(PQsocket(at.get()), POLLIN);
  if (PQconsumeInput(at.get()) == 0) fail(at);
}

/// Stopped in the middle, the connection is of no more use.
task<query_result> query(const connection& at, std::string text) {
  if (PQsendQuery(at.get(), text.c_str()) == 0) fail(at);
  co_await flush(at);
  query_result last;
  for (;;) {
    while (PQisBusy(at.get()) != 0) co_await consume(at);
    query_result next(PQgetResult(at.get()));
    if (!next) break;
    last = std::move(next);
  }
  const ExecStatusType status = PQresultStatus(last.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) fail(at);
  co_return last;
}

task<std::string> value_of(const connection& at, std::string text) {
  const query_result got = co_await query(at, std::move(text));
  co_return PQgetvalue(got.get(), 0, 0);
}

// ---- a server that is thrown away

struct server {
  std::string binaries;
  weir::temporary_directory place;
  weir::process running;

  [[nodiscard]] std::string parameters() const {
    return fmt::format("host={} user=postgres dbname=postgres", place.path());
  }
};

/// Where initdb is; empty if there is none.
std::string find_binaries() {
  std::string found;
  std::error_code ignored;
  for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
    const std::string candidate = version.path().string() + "/bin";
    if (::access((candidate + "/initdb").c_str(), X_OK) == 0) found = std::max(found, candidate);
  }
  return found;
}

/// PostgreSQL does not run as root.
weir::command as_its_user(std::string program) {
  if (::geteuid() != 0) return weir::command(std::move(program));
  weir::command made("setpriv");
  made.arguments({"--reuid=postgres", "--regid=postgres", "--clear-groups", "--", std::move(program)});
  return made;
}

task<server> start(std::string binaries) {
  server made{.binaries = std::move(binaries), .place = {}, .running = {}};
  made.place = co_await weir::temporary_directory::make();
  if (::geteuid() == 0) {
    const passwd* const user = ::getpwnam("postgres");
    check(user != nullptr, "there is a user called postgres");
    check(::chown(made.place.path().c_str(), user->pw_uid, user->pw_gid) == 0, "the directory can be given away");
  }
  const std::string data = made.place.path_of("data");
  weir::command initdb = as_its_user(made.binaries + "/initdb");
  initdb.arguments({"-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "--no-instructions"}).directory("/");
  const weir::process_output done = co_await weir::run_process(initdb);
  check(done.status.success(), "initdb: " + done.error);
  weir::command run = as_its_user(made.binaries + "/postgres");
  run.arguments({"-D", data, "-k", made.place.path(), "-c", "listen_addresses=", "-c", "fsync=off"}).directory("/");
  run.standard_output(weir::child_stream::null()).standard_error(weir::child_stream::null());
  made.running = co_await weir::process::spawn(run);
  co_return made;
}

task<connection> connect_when_it_is_up(const server& to) {
  for (int attempt = 0;; ++attempt) {
    auto r = co_await as_result(connect(to.parameters()));
    if (r.has_value()) co_return std::move(*r);
    if (attempt == 600) std::rethrow_exception(r.exception());
    co_await weir::sleep_for(100ms);
  }
}

// ---- what is shown

task<> answers(const connection& at) {
  const std::string one = co_await value_of(at, "select 40 + 2");
  check(one == "42", "it answers");
  auto refused = co_await as_result(query(at, "select nonsense"));
  check(!refused.has_value(), "an error is an error");
  // More than the socket takes at once, and an answer as long.
  const std::string longest(20'000'000, 'x');
  const std::string back = co_await value_of(at, "select '" + longest + "'");
  check(back == longest, "twenty megabytes come back");
}

task<> waits_for_each_other(const server& at, const connection& first) {
  const connection second = co_await connect(at.parameters());
  co_await query(first, "select pg_advisory_lock(7)");
  bool has_it = false;
  co_await weir::with_task_group([&](weir::task_group& group) -> task<> {
    auto takes = [&]() -> task<> {
      co_await query(second, "select pg_advisory_lock(7)");
      has_it = true;
    };
    group.spawn(takes());
    // The server has one of them wait; the one worker goes on.
    std::string waiting = "0";
    while (waiting != "1") {
      waiting = co_await value_of(first, "select count(*) from pg_locks where locktype = 'advisory' and not granted");
    }
    check(!has_it, "the second one waits");
    co_await query(first, "select pg_advisory_unlock(7)");
    co_await group.join();
  });
  check(has_it, "then it has the lock");
}

task<> is_told(const server& at, const connection& first) {
  const connection second = co_await connect(at.parameters());
  co_await query(second, "listen news");
  co_await query(first, "notify news, 'hello'");
  struct free_notice {
    void operator()(PGnotify* notice) const noexcept { PQfreemem(notice); }
  };
  std::unique_ptr<PGnotify, free_notice> notice;
  while (!notice) {
    notice.reset(PQnotifies(second.get()));
    if (!notice) co_await consume(second);
  }
  check(std::string_view(notice->extra) == "hello", "a notification comes");
}

task<> gives_up(const server& at) {
  const connection impatient = co_await connect(at.parameters());
  auto r = co_await as_result(weir::with_timeout(20ms, query(impatient, "select pg_sleep(1000)")));
  check(r.error() == std::errc::timed_out, "a timeout ends a query");
}

task<> many(const server& at) {
  co_await weir::with_task_group([&](weir::task_group& group) -> task<> {
    for (int i = 0; i < 10; ++i) {
      group.spawn([](const server& to, int number) -> task<> {
        const connection one = co_await connect(to.parameters());
        for (int round = 0; round < 20; ++round) {
          const std::string got = co_await value_of(one, fmt::format("select {} * 10", number + round));
          check(got == std::to_string((number + round) * 10), "each gets its own answers");
        }
      }(at, i));
    }
    co_return;
  });
}

task<> everything(std::string binaries) {
  server at = co_await start(std::move(binaries));
  connection first = co_await connect_when_it_is_up(at);
  co_await answers(first);
  co_await waits_for_each_other(at, first);
  co_await is_told(at, first);
  co_await gives_up(at);
  co_await many(at);
  at.running.kill(SIGINT);  // it sends its clients away
  auto gone = co_await as_result(consume(first));
  while (gone.has_value()) gone = co_await as_result(consume(first));
  fmt::print("at the end libpq says: {}", PQerrorMessage(first.get()));
  const weir::exit_status status = co_await at.running.wait();
  check(status.success(), "the server ends well");
  auto nobody = co_await as_result(connect(at.parameters()));
  check(!nobody.has_value(), "then there is nobody");
}

}  // namespace

int main() try {
  const std::string binaries = find_binaries();
  if (binaries.empty()) {
    std::puts("needs a PostgreSQL (Debian: postgresql)");
    return 77;
  }
  weir::run(everything(binaries), {.workers = 1});
  return 0;
} catch (const std::exception& e) {
  fmt::print("{}\n", e.what());
  return 1;
}

#else

int main() {
  std::puts("needs libpq (Debian: libpq-dev)");
  return 77;
}

#endif
