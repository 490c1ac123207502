#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cstdlib>
#include <string>

#include <weir/io/file.hpp>

#include "../skip.hpp"
#include "guarded_buffer.hpp"
#include "open_descriptors.hpp"
#include "sandbox.hpp"
#include "sockets.hpp"

// What goes wrong through no fault of the program is told in one sentence: the operation, the object, the reason.

using test::guarded_buffer;
using test::in_a_child;
using test::plain_socket;
using test::sentence_of;
using weir::as_result;
using weir::endpoint;
using weir::task;
using weir::tcp_listener;
using weir::tcp_stream;

namespace {

/// What `make` makes fails with the same sentence whether it is thrown or looked at.
template <class F>
task<> expect_sentence(F make, std::errc code, std::string sentence) {
  auto observed = co_await as_result(make());
  CHECK(observed.error() == code);
  CHECK(sentence_of(observed) == sentence);
  std::string thrown;
  try {
    static_cast<void>(co_await make());
  } catch (const std::system_error& e) {
    CHECK(e.code() == code);
    thrown = e.what();
  }
  CHECK(thrown == sentence);
}

std::string sentence_of_bind(const endpoint& local) {
  try {
    static_cast<void>(tcp_listener::bind(local));
    return "";
  } catch (const std::system_error& e) {
    return e.what();
  }
}

task<> refused_connections() {
  const plain_socket bound = plain_socket::bound();
  const endpoint closed = bound.local();
  const std::string sentence = fmt::format("connect {}: Connection refused", closed);
  co_await expect_sentence([&] { return tcp_stream::connect(closed); }, std::errc::connection_refused, sentence);
  co_await expect_sentence([] { return tcp_stream::connect(endpoint()); }, std::errc::destination_address_required,
                           "connect (none): Destination address required");
}

task<> files_that_cannot_be_opened() {
  using weir::file;
  using weir::file_mode;
  co_await expect_sentence([] { return file::open("/tmp/no/such/file.log"); }, std::errc::no_such_file_or_directory,
                           "open /tmp/no/such/file.log: No such file or directory");
  co_await expect_sentence([] { return file::open("/tmp"); }, std::errc::is_a_directory, "open /tmp: Is a directory");
  co_await expect_sentence([] { return file::open("/tmp", file_mode::write); }, std::errc::is_a_directory,
                           "open /tmp: Is a directory");
  co_await expect_sentence([] { return file::open("/dev/null/nothing"); }, std::errc::not_a_directory,
                           "open /dev/null/nothing: Not a directory");
  guarded_buffer bytes(4);
  file read_only = co_await file::open("/etc/passwd");
  co_await expect_sentence([&] { return read_only.write_some(bytes); }, std::errc::bad_file_descriptor,
                           "write /etc/passwd: Bad file descriptor");
}

}  // namespace

TEST_CASE("errors: a port in use") {
  const test::no_descriptor_leaks none;
  const tcp_listener first = tcp_listener::bind(endpoint::loopback(0));
  const std::string name = first.local_endpoint().to_string();
  CHECK(sentence_of_bind(first.local_endpoint()) == fmt::format("bind {}: Address already in use", name));
  CHECK(sentence_of_bind(endpoint::parse("192.0.2.1:0")) == "bind 192.0.2.1:0: Cannot assign requested address");
  CHECK(sentence_of_bind(endpoint()) == "bind (none): Cannot assign requested address");
}

TEST_CASE("errors: a refused connection") {
  const test::no_descriptor_leaks none;
  weir::run(refused_connections(), {.workers = 1});
}

TEST_CASE("errors: a missing file, a directory opened as a file") {
  const test::no_descriptor_leaks none;
  weir::run(files_that_cannot_be_opened(), {.workers = 1});
}

// ---- a kernel that refuses io_uring

namespace {

/// Some traffic, so that a reactor has something to do: "uring", or "epoll (why not uring)".
task<> echo_once() {
  tcp_listener listener = tcp_listener::bind(endpoint::loopback(0));
  const auto serve = [&]() -> task<> {
    tcp_stream peer = co_await listener.accept();
    guarded_buffer buffer(10);
    co_await peer.read_exactly(buffer);
    co_await peer.write_all(buffer);
  };
  auto serving = weir::spawn(serve);
  tcp_stream stream = co_await tcp_stream::connect(listener.local_endpoint());
  guarded_buffer out(10, std::byte{7});
  guarded_buffer in(10);
  co_await stream.write_all(out);
  co_await stream.read_exactly(in);
  if (in[9] != std::byte{7}) throw std::runtime_error("the echo is wrong");
  co_await weir::sleep_for(std::chrono::microseconds(100));
  co_await serving.join();
}

std::string with_a_runtime(weir::runtime_options options) {
  try {
    weir::runtime made = weir::runtime_access::make(options, {});  // no thread: TSan allows none in a child
    made.block_on(echo_once());
    if (made.why_not_uring().empty()) return weir::to_string(made.backend());
    return fmt::format("{} ({})", weir::to_string(made.backend()), made.why_not_uring());
  } catch (const std::system_error& e) {
    return fmt::format("error {}: {}", e.code().value(), e.what());
  } catch (const std::exception& e) {
    return fmt::format("exception: {}", e.what());
  }
}

std::string with_denied(int call, int error, weir::backend_kind backend = weir::backend_kind::automatic) {
  return in_a_child([=]() -> std::string {
    if (!test::deny(call, error)) return test::cannot_filter;
    return with_a_runtime({.workers = 1, .backend = backend});
  });
}

/// Without any filter of ours: is it io_uring that is refused?
bool kernel_grants_uring() {
  return in_a_child([] { return with_a_runtime({.workers = 1}); }) == "uring";
}

}  // namespace

TEST_CASE("errors: a kernel that refuses io_uring") {
  if (!kernel_grants_uring()) return skip("this kernel refuses io_uring anyway");
  if (with_denied(-1, 0) == test::cannot_filter) return skip(test::cannot_filter);

  const std::string by_policy =
      ": Operation not permitted (denied by a security policy, most likely a container's default seccomp profile)";
  CHECK(with_denied(SYS_io_uring_setup, EPERM) == "epoll (io_uring_setup" + by_policy + ")");
  CHECK(with_denied(SYS_io_uring_enter, EPERM) == "epoll (io_uring_enter" + by_policy + ")");

  const std::string absent =
      ": Function not implemented (the kernel was built without io_uring, or a seccomp profile hides it)";
  CHECK(with_denied(SYS_io_uring_setup, ENOSYS) == "epoll (io_uring_setup" + absent + ")");
  CHECK(with_denied(SYS_io_uring_enter, ENOSYS) == "epoll (io_uring_enter" + absent + ")");

  rlimit memory{};
  REQUIRE(::getrlimit(RLIMIT_MEMLOCK, &memory) == 0);
  CHECK(
      with_denied(SYS_io_uring_setup, ENOMEM) ==
      fmt::format("epoll (io_uring_setup: Cannot allocate memory (RLIMIT_MEMLOCK is {} KiB: raise it, or ask for fewer "
                  "ring_entries))",
                  memory.rlim_cur / 1024));
  CHECK(with_denied(SYS_io_uring_setup, EINVAL) == "epoll (io_uring_setup: Invalid argument)");
  // Registering only makes things faster.
  CHECK(with_denied(SYS_io_uring_register, EPERM) == "uring");
}

TEST_CASE("errors: io_uring was asked for and is refused") {
  if (!kernel_grants_uring()) return skip("this kernel refuses io_uring anyway");
  if (with_denied(-1, 0) == test::cannot_filter) return skip(test::cannot_filter);
  const auto only_uring = weir::backend_kind::uring;
  CHECK(with_denied(SYS_io_uring_setup, EPERM, only_uring) ==
        fmt::format(
            "error {}: io_uring is refused: io_uring_setup: Operation not permitted (denied by a security policy, "
            "most likely a container's default seccomp profile): Operation not supported",
            ENOTSUP));
  CHECK(with_denied(SYS_io_uring_enter, ENOSYS, only_uring) ==
        fmt::format("error {}: io_uring is refused: io_uring_enter: Function not implemented (the kernel was built "
                    "without io_uring, or a seccomp profile hides it): Operation not supported",
                    ENOTSUP));
  // Who asks for epoll is not told about io_uring.
  CHECK(with_denied(SYS_io_uring_setup, EPERM, weir::backend_kind::epoll) == "epoll");
}

TEST_CASE("errors: no descriptor left for a runtime") {
  // Not the ring's fault, so that epoll would not help.
  for (const weir::backend_kind backend :
       {weir::backend_kind::automatic, weir::backend_kind::uring, weir::backend_kind::epoll}) {
    const std::string said = in_a_child([=] {
      // UBSan needs a descriptor when it meets a class for the first time.
      static_cast<void>(with_a_runtime({.workers = 1}));
      const rlimit none{.rlim_cur = 3, .rlim_max = 3};
      if (::setrlimit(RLIMIT_NOFILE, &none) != 0) return std::string("setrlimit failed");
      return with_a_runtime({.workers = 1, .backend = backend});
    });
    const bool told =
        said == fmt::format("error {}: eventfd for a worker's wake-ups: Too many open files", EMFILE) ||
        said == fmt::format("error {}: epoll_create1 for a worker's reactor: Too many open files", EMFILE);
    CHECK_MESSAGE(told, said);
  }
}

TEST_CASE("errors: WEIR_BACKEND decides where the program leaves it open, and has to make sense") {
  const auto with_variable = [](const char* value, weir::backend_kind backend) {
    return in_a_child([=] {
      ::setenv("WEIR_BACKEND", value, 1);
      return with_a_runtime({.workers = 1, .backend = backend});
    });
  };
  CHECK(with_variable("epoll", weir::backend_kind::automatic) == "epoll");
  CHECK(with_variable("fast", weir::backend_kind::automatic) ==
        fmt::format("error {}: WEIR_BACKEND=fast: expected uring, epoll or automatic: Invalid argument", EINVAL));
  CHECK(with_variable("uring", weir::backend_kind::epoll) == "epoll");
}
