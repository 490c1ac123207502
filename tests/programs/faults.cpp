// Every kind of operation meets every fault that the kernel can answer with, on the reactor that WEIR_BACKEND names: it
// is tried again, or it fails with the sentence that names operation, object and reason, and can be begun anew, with
// nothing lost. Then the reactor's own calls fail. Says nothing unless something is wrong.

#include "faulty_kernel.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <weir/weir.hpp>

#include "plain_socket.hpp"
#include "sanitized.hpp"

namespace {

using namespace std::chrono_literals;
using test::call;
using test::faults;
using test::plain_socket;
using weir::as_result;
using weir::endpoint;
using weir::task;

bool good = true;
std::string trying;

void expect(bool holds, const std::string& what) {
  if (holds) return;
  good = false;
  std::printf("%s: %s\n", trying.c_str(), what.c_str());
  std::fflush(stdout);
}

constexpr std::string_view text = "0123456789";
std::span<const std::byte> bytes() { return std::as_bytes(std::span(text)); }
bool is_text(std::span<const std::byte> got) { return std::memcmp(got.data(), text.data(), got.size()) == 0; }

bool on_a_ring() { return weir::runtime({.workers = 1}).backend() == weir::backend_kind::uring; }

std::size_t open_descriptors() {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) ++n;
  return n;
}

std::string sentence_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    return e.what();
  }
}

// ---- operations

template <class F>
using result_of = weir::result<weir::detail::operation_value_t<std::invoke_result_t<F&>>>;

/// One operation and one fault.
struct trial {
  call at;
  int error;  // 0: it moves less than asked for

  /// Awaits what `make` makes, which is called `name`, with the fault; and then without, if it has failed.
  template <class F>
  task<result_of<F>> run(std::string name, F make) const {
    faults::begin(at, error);
    auto first = co_await as_result(weir::with_timeout(10s, make()));
    expect(faults::end() == 1, "the fault did not come to it");
    if (first) {
      // Segments that the kernel cannot send together go one by one.
      const bool answered = (error == ECONNABORTED && at == call::accept) || (error == EIO && at == call::send_message);
      expect(error == 0 || error == EINTR || error == EAGAIN || answered, "it has not failed");
      co_return first;
    }
    const std::string said = sentence_of(first.exception());
    expect(error != EINTR && error != 0, "it was not tried again: " + said);
    // A connect that is not begun for want of resources must not look like one that is under way.
    const int code = at == call::connect && error == EAGAIN ? ENOBUFS : error;
    expect(said == fmt::format("{}: {}", name, std::generic_category().message(code)), "it fails with: " + said);
    auto second = co_await as_result(make());
    expect(second.has_value(), "it fails again without a fault");
    co_return second;
  }
};

struct ends {
  weir::tcp_stream stream;
  plain_socket peer;
  std::string peer_name;
};

ends connected() {
  const plain_socket listener = plain_socket::listening(1);
  ends made;
  made.peer = plain_socket::connected_to(listener.local());
  made.peer_name = made.peer.local().to_string();
  made.stream = weir::tcp_stream::adopt(listener.accept().release());
  return made;
}

/// The peer gets exactly so many bytes of the text.
void expect_arrival(ends& e, std::size_t size) {
  e.stream.shutdown(weir::direction::write);
  std::array<std::byte, 32> got{};
  std::size_t total = 0;
  for (ssize_t n = 1; n > 0; total += static_cast<std::size_t>(std::max<ssize_t>(n, 0))) {
    n = e.peer.receive(std::span(got).subspan(total));
  }
  expect(total == size && is_text(std::span(got).first(size)), "something else arrives");
}

task<> accepting(const trial& t) {
  weir::tcp_listener listener = weir::tcp_listener::bind(endpoint::loopback(0));
  const plain_socket client = plain_socket::connected_to(listener.local_endpoint());
  auto accepted = co_await t.run("accept " + listener.local_endpoint().to_string(), [&] { return listener.accept(); });
  expect(accepted && accepted->peer_endpoint() == client.local(), "another connection was accepted");
}

task<> connecting(const trial& t) {
  const plain_socket listener = plain_socket::listening();
  const endpoint peer = listener.local();
  auto made = co_await t.run("connect " + peer.to_string(), [&] { return weir::tcp_stream::connect(peer); });
  expect(made && listener.accept().number() >= 0, "nobody has come");
}

task<> reading_some(const trial& t) {
  ends e = connected();
  e.peer.send(bytes());
  std::array<std::byte, 10> into{};
  const auto n = co_await t.run("read " + e.peer_name, [&] { return e.stream.read_some(into); });
  const std::size_t got = n ? *n : 0;
  expect(got == (t.error == 0 ? 5 : 10) && got == e.stream.bytes_read(), "another count");
  if (got < 10) co_await e.stream.read_exactly(std::span(into).subspan(got));
  expect(is_text(into), "bytes were lost");
}

task<> reading_exactly(const trial& t) {
  ends e = connected();
  e.peer.send(bytes());
  std::array<std::byte, 10> into{};
  static_cast<void>(co_await t.run("read_exactly " + e.peer_name, [&] { return e.stream.read_exactly(into); }));
  expect(is_text(into) && e.stream.bytes_read() == 10, "bytes were lost");
}

task<> writing_some(const trial& t) {
  ends e = connected();
  const auto n = co_await t.run("write " + e.peer_name, [&] { return e.stream.write_some(bytes()); });
  expect(n && *n == (t.error == 0 ? 5 : 10) && *n == e.stream.bytes_written(), "another count");
  expect_arrival(e, e.stream.bytes_written());
}

task<> writing_all(const trial& t) {
  ends e = connected();
  static_cast<void>(co_await t.run("write_all " + e.peer_name, [&] { return e.stream.write_all(bytes()); }));
  expect(e.stream.bytes_written() == 10, "another count");
  expect_arrival(e, 10);
}

task<> becoming_readable(const trial& t) {
  ends e = connected();
  e.peer.send(bytes());
  static_cast<void>(co_await t.run("poll " + e.peer_name, [&] { return e.stream.readable(); }));
}

task<> polling(const trial& t) {
  const ends e = connected();
  e.peer.send(bytes());
  const int number = e.stream.native_handle();
  auto found = co_await t.run(fmt::format("poll fd {}", number), [&] { return weir::poll(number, POLLIN); });
  expect(found && *found == POLLIN, "it finds something else");
}

task<> receiving_datagrams(const trial& t) {
  weir::udp_socket socket = weir::udp_socket::bind(endpoint::loopback(0));
  weir::udp_socket other = weir::udp_socket::bind(endpoint::loopback(0));
  const endpoint local = socket.local_endpoint();
  co_await other.send_to(bytes(), local);
  std::array<std::byte, 32> into{};
  const auto got = co_await t.run("receive from " + local.to_string(), [&] { return socket.receive(into); });
  expect(got && got->size == 10 && got->from == other.local_endpoint() && is_text(std::span(into).first(10)),
         "another datagram");
}

task<> sending_datagrams(const trial& t) {
  weir::udp_socket socket = weir::udp_socket::bind(endpoint::loopback(0));
  weir::udp_socket other = weir::udp_socket::bind(endpoint::loopback(0));
  const endpoint peer = other.local_endpoint();
  static_cast<void>(co_await t.run("send to " + peer.to_string(), [&] { return socket.send_to(bytes(), peer); }));
  std::array<std::byte, 32> into{};
  const auto got = co_await other.receive(into);
  expect(got.size == 10 && is_text(std::span(into).first(10)), "another datagram");
}

task<> sending_segments(const trial& t) {
  weir::udp_socket socket = weir::udp_socket::bind(endpoint::loopback(0));
  weir::udp_socket other = weir::udp_socket::bind(endpoint::loopback(0));
  const endpoint peer = other.local_endpoint();
  static_cast<void>(co_await t.run("send to " + peer.to_string(), [&] { return socket.send_to(bytes(), peer, 5); }));
  std::array<std::byte, 32> into{};
  for (const std::size_t at : {std::size_t{0}, std::size_t{5}}) {
    const auto got = co_await other.receive(std::span(into).subspan(at));
    expect(got.size == 5, "another datagram");
  }
  expect(is_text(std::span(into).first(10)), "other datagrams");
}

task<> receiving_packets(const trial& t) {
  auto [left, right] = weir::unix_seqpacket::pair();
  co_await right.send(bytes());
  std::array<std::byte, 32> into{};
  const auto got = co_await t.run(fmt::format("receive from fd {}", left.native_handle()),
                                  [&, &from = left] { return from.receive(into); });
  expect(got && got->has_value() && (*got)->size == 10, "another packet");
}

task<> sending_unix_datagrams(const trial& t) {
  auto [left, right] = weir::unix_datagram_socket::pair();
  static_cast<void>(
      co_await t.run(fmt::format("send to fd {}", left.native_handle()), [&to = left] { return to.send(bytes()); }));
  std::array<std::byte, 32> into{};
  const auto got = co_await right.receive(into);
  expect(got.size == 10, "another datagram");
}

task<> reading_pipes(const trial& t) {
  auto [from, to] = weir::make_pipe();
  co_await to.write_all(bytes());
  std::array<std::byte, 10> into{};
  const auto n = co_await t.run("read pipe", [&, &end = from] { return end.read_some(into); });
  const std::size_t got = n ? *n : 0;
  expect(got == (t.error == 0 ? 5 : 10) && is_text(std::span(into).first(got)), "bytes were lost");
}

task<> writing_pipes(const trial& t) {
  auto [from, to] = weir::make_pipe();
  static_cast<void>(co_await t.run("write_all pipe", [&end = to] { return end.write_all(bytes()); }));
  to.close();
  std::array<std::byte, 20> into{};
  std::size_t got = 0;
  while (const std::size_t n = co_await from.read_some(std::span(into).subspan(got))) got += n;
  expect(got == 10 && is_text(std::span(into).first(10)), "something else arrives");
}

// ---- files

/// A file that has the text, gone at the end.
class scratch_file {
 public:
  scratch_file() {
    const int number = ::mkstemp(path.data());
    if (::pwrite(number, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) std::abort();
    ::close(number);
  }
  scratch_file(const scratch_file&) = delete;
  scratch_file& operator=(const scratch_file&) = delete;
  ~scratch_file() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }

  std::string path = "/tmp/weir-faults-XXXXXX";
};

task<> opening(const trial& t) {
  const scratch_file on;
  auto opened = co_await t.run("open " + on.path, [&] { return weir::file::open(on.path); });
  expect(opened && opened->is_open(), "it is not open");
}

task<> reading_files(const trial& t) {
  const scratch_file on;
  weir::file from = co_await weir::file::open(on.path);
  std::array<std::byte, 10> into{};
  const auto n = co_await t.run("read " + on.path, [&] { return from.read_at(into, 0); });
  const std::size_t got = n ? *n : 0;
  expect(got == (t.error == 0 ? 5 : 10) && is_text(std::span(into).first(got)), "bytes were lost");
}

task<> writing_files(const trial& t) {
  const scratch_file on;
  weir::file to = co_await weir::file::open(on.path, weir::file_mode::read_write);
  static_cast<void>(co_await t.run("write_all " + on.path, [&] { return to.write_all(bytes()); }));
  expect(to.position() == 10 && to.size() == 10, "it is somewhere else afterwards");
  std::array<std::byte, 10> into{};
  const std::size_t n = co_await to.read_at(into, 0);
  expect(n == 10 && is_text(into), "something else was written");
}

task<> syncing(const trial& t) {
  const scratch_file on;
  weir::file to = co_await weir::file::open(on.path, weir::file_mode::write);
  static_cast<void>(co_await t.run("sync " + on.path, [&] { return to.sync(); }));
}

task<> asking_status(const trial& t) {
  const scratch_file on;
  const auto found = co_await t.run("stat " + on.path, [&] { return weir::stat(on.path); });
  expect(found && found->size == 10, "another file");
}

task<> setting_sizes(const trial& t) {
  const scratch_file on;
  weir::file to = co_await weir::file::open(on.path, weir::file_mode::write);
  static_cast<void>(co_await t.run("set_size " + on.path, [&] { return to.set_size(3); }));
  expect(to.size() == 3, "another size");
}

task<> renaming(const trial& t) {
  const scratch_file on;
  scratch_file other;
  const std::string said = fmt::format("rename {} to {}", on.path, other.path);
  static_cast<void>(co_await t.run(said, [&] { return weir::rename(on.path, other.path); }));
  expect(!std::filesystem::exists(on.path), "it is where it was");
}

task<> making_directories(const trial& t) {
  scratch_file on;
  std::filesystem::remove(on.path);
  static_cast<void>(co_await t.run("make_directory " + on.path, [&] { return weir::make_directory(on.path); }));
  expect(std::filesystem::is_directory(on.path), "there is none");
}

task<> unlinking(const trial& t) {
  const scratch_file on;
  static_cast<void>(co_await t.run("unlink " + on.path, [&] { return weir::unlink(on.path); }));
  expect(!std::filesystem::exists(on.path), "it is still there");
}

struct kind {
  const char* name;
  call at;
  task<> (*attempt)(const trial&);
  bool moves_bytes = false;
  bool makes_descriptors = false;  // and does nothing else
};

constexpr kind kinds[] = {
    {"accept", call::accept, accepting},
    {"connect", call::connect, connecting},
    {"socket for connect", call::socket, connecting, false, true},
    {"read_some", call::receive, reading_some, true},
    {"read_exactly", call::receive, reading_exactly, true},
    {"write_some", call::send, writing_some, true},
    {"write_all", call::send, writing_all, true},
    {"readable", call::poll, becoming_readable},
    {"poll", call::poll, polling},
    {"udp receive", call::receive_message, receiving_datagrams},
    {"udp send_to", call::send_to, sending_datagrams},
    {"udp send_to of segments", call::send_message, sending_segments},
    {"seqpacket receive", call::receive_message, receiving_packets},
    {"unix send", call::send_to, sending_unix_datagrams},
    {"pipe read_some", call::read, reading_pipes, true},
    {"pipe write_all", call::write, writing_pipes, true},
    {"open", call::open, opening},
    {"read_at", call::read_at, reading_files, true},
    {"file write_all", call::write_at, writing_files, true},
    {"sync", call::sync, syncing},
    {"stat", call::status, asking_status},
    {"set_size", call::set_size, setting_sizes},
    {"rename", call::rename, renaming},
    {"make_directory", call::make_directory, making_directories},
    {"unlink", call::unlink, unlinking},
};
constexpr int errors[] = {EINTR, EAGAIN, ECONNRESET, ECONNABORTED, EMFILE, ENFILE, ENOMEM, ENOBUFS, EIO};

void try_one(const kind& k, int error) {
  trying = fmt::format("{}, {}", k.name, error == 0 ? "less than asked for" : std::generic_category().message(error));
  const std::size_t before = open_descriptors();
  {
    const trial t{.at = k.at, .error = error};
    weir::runtime made({.workers = 1});
    made.block_on(k.attempt(t));
    expect(made.counters().tasks() == 0, "tasks are left");
    expect(made.counters().total.in_flight <= 1, "operations are left");
  }
  expect(open_descriptors() == before, "descriptors are left open");
}

// ---- the reactor's own calls

task<> echo(weir::tcp_stream peer) {
  std::array<std::byte, 1000> buffer;
  while (std::size_t n = co_await peer.read_some(buffer)) co_await peer.write_all(std::span(buffer).first(n));
}

task<> talk(endpoint server, int rounds, int& done) {
  weir::tcp_stream stream = co_await weir::tcp_stream::connect(server);
  std::array<std::byte, 10> answer;
  for (int i = 0; i < rounds; ++i) {
    co_await stream.write_all(bytes());
    co_await stream.read_exactly(answer);
    expect(is_text(answer), "another answer");
    co_await weir::sleep_for(100us);
    co_await weir::offload([] {});  // whose end wakes the worker
  }
  ++done;
}

task<> use_files(int rounds) {
  const scratch_file on;
  weir::file one = co_await weir::file::open(on.path, weir::file_mode::read_write);
  std::array<std::byte, 10> into;
  for (int i = 0; i < rounds; ++i) {
    co_await one.write_all_at(bytes(), static_cast<std::uint64_t>(10 * i));
    const std::size_t n = co_await one.read_at(into, static_cast<std::uint64_t>(10 * i));
    expect(n == 10 && is_text(into), "something else was written");
    co_await one.sync_data();
  }
}

constexpr int talkers = 8;

/// A bit of everything: it has to end, and with the right bytes.
task<> busy() {
  weir::tcp_listener listener = weir::tcp_listener::bind(endpoint::loopback(0));
  int done = 0;
  co_await weir::with_task_group([&](weir::task_group& group) -> task<> {
    group.spawn(use_files(30));
    for (int i = 0; i < talkers; ++i) group.spawn(talk(listener.local_endpoint(), 30, done));
    for (int i = 0; i < talkers; ++i) group.spawn(echo(co_await listener.accept()));
    co_await group.join();
  });
  expect(done == talkers, "not all have ended");
}

/// A worker that has nothing else to do waits in the kernel for each of them.
task<> be_woken() {
  for (int i = 0; i < 100; ++i) co_await weir::offload([] { ::usleep(100); });
}

/// One of those while calls of this kind fail now and then, and later more often.
void run_while_failing(call which, const char* name, int error, task<> (*main)() = busy, unsigned ring_entries = 256) {
  for (const int every : {7, 3, 2}) {
    trying = fmt::format("every {}th {} fails: {}", every, name, std::generic_category().message(error));
    const std::size_t before = open_descriptors();
    faults::begin(which, error, 1'000'000, every);
    weir::run(main(), {.workers = 1, .ring_entries = ring_entries});
    const int failed = faults::end();
    expect(failed > 5, fmt::format("only {} of them failed", failed));
    expect(open_descriptors() == before, "descriptors are left open");
  }
}

/// A signal every half of a millisecond, which ends whatever waits.
void be_busy_while_interrupted() {
  trying = "busy, interrupted by signals";
  struct sigaction action{};
  action.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &action, nullptr);
  const itimerval often{.it_interval = {.tv_sec = 0, .tv_usec = 500}, .it_value = {.tv_sec = 0, .tv_usec = 500}};
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  weir::run(busy(), {.workers = 1});
  ::setitimer(ITIMER_REAL, &never, nullptr);
}

/// More completions at once than the ring has room for.
task<> complete_at_once(std::size_t count, std::uint64_t& overflows) {
  std::vector<ends> all(count);
  std::vector<std::array<std::byte, 10>> got(count);
  for (ends& one : all) one = connected();
  co_await weir::with_task_group([&](weir::task_group& group) -> task<> {
    const auto read = [&](std::size_t i) -> task<> { co_await all[i].stream.read_exactly(got[i]); };
    for (std::size_t i = 0; i < count; ++i) group.spawn(read, i);
    for (int i = 0; i < 600; ++i) co_await weir::yield();
    for (const ends& one : all) one.peer.send(bytes());
    co_await group.join();
  });
  for (const auto& one : got) expect(is_text(one), "other bytes");
  overflows = weir::counters().total.ring_overflows;
}

void overflow() {
  trying = "a completion queue of two entries";
  test::completion_entries = 2;
  std::uint64_t overflows = 0;
  weir::run(complete_at_once(100, overflows), {.workers = 1, .ring_entries = 1});
  expect(overflows > 0, "it was large enough");
  run_while_failing(call::enter, "io_uring_enter of such a ring", EBUSY, busy, 1);
  test::completion_entries = 0;
}

// ---- servers and descriptors

int errors_told = 0;
void count_error(const std::exception_ptr& error) noexcept {
  ++errors_told;
  const std::string said = sentence_of(error);
  expect(said.starts_with("accept 127.0.0.1:") && said.ends_with(": Too many open files"), "it tells: " + said);
}

/// Six times there is no descriptor for a connection that waits: 5 + 10 + 20 + 40 + 80 + 160 ms.
task<> accept_without_descriptors() {
  weir::tcp_listener listener = weir::tcp_listener::bind(endpoint::loopback(0));
  const plain_socket client = plain_socket::connected_to(listener.local_endpoint());
  const weir::time_point begin = weir::now();
  const std::uint64_t calls = weir::counters().total.io_calls;
  faults::begin(call::accept, EMFILE, 6);
  auto arriving = weir::connections(listener);
  const auto accepted = co_await arriving.next();
  expect(faults::end() == 6, "it was not asked as often as it should be");
  expect(accepted && accepted->peer_endpoint() == client.local(), "another connection");
  expect(weir::now() - begin >= 315ms, "it was tried again too soon");
  expect(weir::counters().total.io_calls - calls < 60, "it spins");
  expect(errors_told == 1, "it was not told once");
}

/// Who waits for a descriptor that the reactor cannot watch hears of it.
task<> wait_unwatched(int error) {
  ends e = connected();
  std::array<std::byte, 10> into{};
  faults::begin(call::watch, error, 2);  // once when it is tried, and once when it waits
  auto r = co_await as_result(weir::with_timeout(10s, e.stream.read_some(into)));
  expect(faults::end() > 0, "the fault did not come to it");
  const std::string said = r ? "" : sentence_of(r.exception());
  expect(said == fmt::format("read {}: {}", e.peer_name, std::generic_category().message(error)), "it says: " + said);
  e.peer.send(bytes());
  co_await e.stream.read_exactly(into);
  expect(is_text(into), "bytes were lost");
}

// ---- a process that really has no descriptor left

task<> open_one() { static_cast<void>(co_await weir::file::open("/dev/null")); }
task<> connect_one(endpoint peer) { static_cast<void>(co_await weir::tcp_stream::connect(peer)); }
task<> connect_by_name(endpoint peer) { static_cast<void>(co_await weir::connect("127.0.0.1", peer.port())); }
task<> resolve_one() { static_cast<void>(co_await weir::resolve("localhost", 80)); }
task<> accept_one(weir::tcp_listener& listener) { static_cast<void>(co_await listener.accept()); }
task<> bind_one() {
  static_cast<void>(weir::tcp_listener::bind(endpoint::loopback(0)));
  co_return;
}
task<> bind_udp() {
  static_cast<void>(weir::udp_socket::bind(endpoint::loopback(0)));
  co_return;
}
task<> pair_up() {
  static_cast<void>(weir::unix_stream::pair());
  co_return;
}
task<> make_one_pipe() {
  static_cast<void>(weir::make_pipe());
  co_return;
}
task<> spawn_one() {
  weir::command what("true");
  what.standard_output(weir::child_stream::pipe());
  weir::process child = co_await weir::process::spawn(std::move(what));
  static_cast<void>(co_await child.wait());
}
task<> list_one() {
  auto entries = weir::list_directory("/");
  static_cast<void>(co_await entries.next());
}
task<> watch_one() { static_cast<void>(co_await weir::watch_path("/tmp")); }
task<> temporary_one() { static_cast<void>(co_await weir::file::temporary()); }
task<> replace_one(const std::string& path) { co_await weir::replace_file(path, bytes()); }
task<> poll_one(int number) { static_cast<void>(co_await weir::with_timeout(10ms, weir::poll(number, POLLIN))); }

/// Fails with a sentence that begins with `name`, or is not in need of a descriptor; and does it when there is one
/// again.
task<> try_without_descriptors(std::string name, const std::function<task<>()>& make, const rlimit& usual) {
  trying = "without descriptors: " + name;
  const int free = ::dup(STDERR_FILENO);
  ::close(free);
  const std::size_t before = open_descriptors();
  const rlimit none{.rlim_cur = static_cast<rlim_t>(free), .rlim_max = usual.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  const auto first = co_await as_result(weir::with_timeout(10s, make()));
  ::setrlimit(RLIMIT_NOFILE, &usual);
  const std::string said = first ? "" : sentence_of(first.exception());
  // Of a name that cannot be looked up libc does not tell the reason.
  const bool reason_known = said.find("Too many open files") != std::string::npos || name.starts_with("resolve ");
  const bool told = said.starts_with(name) && reason_known;
  expect(first.has_value() || told || first.error() == std::errc::timed_out, "it says: " + said);
  const auto second = co_await as_result(weir::with_timeout(10s, make()));
  const bool done = second.has_value() || second.error() == std::errc::timed_out;
  expect(done, "it fails with descriptors, too: " + (done ? std::string() : sentence_of(second.exception())));
  // What was closed under an operation may still be with its worker.
  for (int i = 0; i < 2000 && open_descriptors() != before; ++i) co_await weir::sleep_for(1ms);
  expect(open_descriptors() == before, "descriptors are left open");
}

task<> run_out_of_descriptors() {
  rlimit usual{};
  ::getrlimit(RLIMIT_NOFILE, &usual);
  weir::tcp_listener listener = weir::tcp_listener::bind(endpoint::loopback(0));
  const endpoint local = listener.local_endpoint();
  std::vector<plain_socket> clients;
  for (int i = 0; i < 2; ++i) clients.push_back(plain_socket::connected_to(local));
  const scratch_file on;
  const ends silent = connected();
  const std::string port = local.to_string();
  const std::pair<std::string, std::function<task<>()>> all[] = {
      {"open /dev/null", open_one},
      {"accept " + port, [&] { return accept_one(listener); }},
      {"connect " + port, [&] { return connect_one(local); }},
      {"connect " + port, [&] { return connect_by_name(local); }},
      {"resolve localhost", resolve_one},
      {"bind 127.0.0.1:0", bind_one},
      {"bind 127.0.0.1:0", bind_udp},
      {"pair of unix sockets", pair_up},
      {"make_pipe", make_one_pipe},
      {"spawn true", spawn_one},
      {"read_directory /", list_one},
      {"watch_path /tmp", watch_one},
      {"open /tmp", temporary_one},
      {"replace_file " + on.path, [&] { return replace_one(on.path); }},
      {"poll fd", [&] { return poll_one(silent.stream.native_handle()); }},
  };
  for (const auto& [name, make] : all) co_await try_without_descriptors(name, make, usual);
}

}  // namespace

int main() {
  ::alarm(200);  // it hangs
  const bool ring = on_a_ring();
  for (const kind& k : kinds) {
    for (const int error : errors) {
      const bool of_descriptors = error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
      if (of_descriptors || !k.makes_descriptors) try_one(k, error);
    }
    if (k.moves_bytes) try_one(k, 0);
  }
  be_busy_while_interrupted();
  if (ring) {
    for (const int error : {EINTR, EAGAIN, EBUSY, ENOMEM}) run_while_failing(call::enter, "io_uring_enter", error);
    for (const int error : {EINTR, EAGAIN, ENOMEM})
      run_while_failing(call::wake_up, "read of wake-ups", error, be_woken);
    overflow();
  } else {
    for (const int error : {ENOMEM, ENOSPC}) {
      trying = std::string("a descriptor cannot be watched: ") + std::strerror(error);
      weir::run(wait_unwatched(error), {.workers = 1});
    }
  }
  // UBSan needs a descriptor when it meets a class for the first time.
  if (!test::sanitized) weir::run(run_out_of_descriptors(), {.workers = 1});
  trying = "accept without descriptors";
  weir::run(accept_without_descriptors(), {.workers = 1, .on_error = count_error});
  return good ? 0 : 1;
}
