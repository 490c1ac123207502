// Operations allocate nothing, and a connection one record at each end: counts every allocation of the program.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <new>

#include <weir/weir.hpp>

// TSan's operator new cannot be replaced.
#if defined(__SANITIZE_THREAD__)
#define TEST_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#define TEST_COUNTS_ALLOCATIONS (!__has_feature(thread_sanitizer))
#else
#define TEST_COUNTS_ALLOCATIONS 1
#endif

#if TEST_COUNTS_ALLOCATIONS

namespace {

std::atomic<std::size_t> allocations{0};

void* counted(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size);
}
void* operator new[](std::size_t size, const std::nothrow_t& nothrow) noexcept { return operator new(size, nothrow); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace {

using namespace std::chrono_literals;
using weir::task;

bool failed = false;

void expect(const char* what, std::size_t found, std::size_t wanted) {
  std::printf("%s: %zu allocations\n", what, found);
  if (found == wanted) return;
  std::printf("  but %zu were wanted\n", wanted);
  failed = true;
}

constexpr int rounds = 1000;

task<> answer(weir::tcp_listener& listener, int count) {
  weir::tcp_stream peer = co_await listener.accept();
  std::array<std::byte, 64> buffer;
  for (int i = 0; i < count; ++i) {
    co_await peer.read_exactly(buffer);
    co_await peer.write_all(buffer);
  }
}

task<> ask(weir::tcp_stream& stream) {
  std::array<std::byte, 64> buffer{};
  for (int i = 0; i < rounds; ++i) {
    co_await weir::with_timeout(1h, stream.write_all(buffer));
    auto n = co_await weir::as_result(stream.read_some(std::span(buffer).first(8)));
    if (!n.has_value()) std::abort();
    co_await stream.read_exactly(std::span(buffer).subspan(*n));
  }
}

task<> count_transfers() {
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(0));
  weir::spawn(answer(listener, 2 * rounds));
  weir::tcp_stream stream = co_await weir::tcp_stream::connect(listener.local_endpoint());
  std::size_t found = 0;
  for (int i = 0; i < 2; ++i) {  // what is made once is made in the first round
    task<> asking = ask(stream);
    const std::size_t before = allocations;
    co_await std::move(asking);
    found = allocations - before;
  }
  expect("1000 questions and answers", found, 0);
}

task<> answer_on_leases(weir::tcp_listener& listener) {
  weir::tcp_stream peer = co_await listener.accept();
  while (auto bytes = co_await peer.receive()) co_await peer.write_all(*bytes);
}

task<> count_leases() {
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(0));
  weir::spawn(answer_on_leases(listener));
  weir::tcp_stream stream = co_await weir::tcp_stream::connect(listener.local_endpoint());
  std::size_t found = 0;
  for (int i = 0; i < 2; ++i) {
    task<> asking = ask(stream);
    const std::size_t before = allocations;
    co_await std::move(asking);
    found = allocations - before;
  }
  expect("1000 questions and answers on leases", found, 0);
  expect("1000 questions and answers, buffers that are not at home", weir::counters().total.leased, 0);
}

task<> accept_all(weir::tcp_listener& listener, int count) {
  for (int i = 0; i < count; ++i) {
    weir::tcp_stream peer = co_await listener.accept();
  }
}

task<> connect_all(weir::endpoint to, int count) {
  std::array<std::byte, 1> nothing;
  for (int i = 0; i < count; ++i) {
    weir::tcp_stream stream = co_await weir::tcp_stream::connect(to);
    co_await stream.read_some(nothing);
  }
}

task<> count_connections() {
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(0));
  std::size_t found = 0;
  for (int i = 0; i < 2; ++i) {
    auto accepting = weir::spawn(accept_all(listener, rounds));
    task<> connecting = connect_all(listener.local_endpoint(), rounds);
    const std::size_t before = allocations;
    co_await std::move(connecting);
    found = allocations - before;
    co_await accepting.join();
  }
  expect("1000 connections", found, 2 * std::size_t{rounds});
}

}  // namespace

int main() {
  weir::run(count_transfers(), {.workers = 1});
  weir::run(count_leases(), {.workers = 1});
  weir::run(count_leases(), {.workers = 1, .lease_buffers = 1, .lease_size = 16});
  weir::run(count_connections(), {.workers = 1});
  return failed ? 1 : 0;
}

#else

int main() {
  std::puts("needs an operator new of its own");
  return 77;
}

#endif
