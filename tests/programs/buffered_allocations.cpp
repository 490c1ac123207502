// What buffered reading and writing allocate: the buffer, once, and the strings that are too long to be short ones.
// What waits has a frame, which is recycled. Counts every allocation of the program.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include <weir/weir.hpp>

// Sanitizers bring an operator new of their own, and there frames are not recycled.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#define TEST_COUNTS_ALLOCATIONS (!__has_feature(thread_sanitizer) && !__has_feature(address_sanitizer))
#else
#define TEST_COUNTS_ALLOCATIONS 1
#endif

#if TEST_COUNTS_ALLOCATIONS

namespace {

std::atomic<std::size_t> allocations{0};

}  // namespace

void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using weir::buffered_reader;
using weir::buffered_writer;
using weir::task;

bool failed = false;

void expect(const char* what, std::size_t found, std::size_t wanted) {
  std::printf("%s: %zu\n", what, found);
  if (found == wanted) return;
  std::printf("  but %zu were wanted\n", wanted);
  failed = true;
}

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Both ends of one connection, without a listener that stays.
struct both_ends {
  weir::tcp_stream client;
  weir::tcp_stream server;
};

task<> connect_into(weir::tcp_stream& stream, weir::endpoint peer) {
  stream = co_await weir::tcp_stream::connect(peer);
}

task<> connect_both(both_ends& made) {
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(0));
  auto connecting = weir::spawn(connect_into(made.client, listener.local_endpoint()));
  made.server = co_await listener.accept();
  co_await connecting.join();
}

constexpr int short_lines = 1000;
constexpr int long_lines = 100;

std::string lines() {
  std::string text;
  for (int i = 0; i < short_lines; ++i) text += "a short line\r\n";
  for (int i = 0; i < long_lines; ++i) text += std::string(100, 'x') + "\n";
  return text;
}

template <class Reader>
task<std::size_t> letters_of(Reader& reader, int count) {
  std::size_t letters = 0;
  for (int i = 0; i < count; ++i) {
    const auto line = co_await reader.read_line();
    letters += line->size();
  }
  co_return letters;
}

task<> read_what_is_there() {
  both_ends ends;
  co_await connect_both(ends);
  const std::string text = lines();
  co_await ends.client.write_all(bytes_of(text));
  buffered_reader reader{ends.server};
  const auto seen = co_await reader.peek(text.size());
  expect("bytes in the buffer", seen.size(), text.size());
  // The budget runs out within the first lines; then there is a frame to be recycled.
  std::size_t letters = co_await letters_of(reader, 300);
  std::size_t before = allocations;
  letters += co_await letters_of(reader, short_lines - 300);
  expect("allocations for 700 short lines", allocations - before, 0);
  before = allocations;
  for (int i = 0; i < long_lines / 2; ++i) {
    const auto line = co_await reader.read_line_view();
    letters += line->size();
  }
  expect("allocations for 50 long lines that are viewed", allocations - before, 0);
  before = allocations;
  letters += co_await letters_of(reader, long_lines / 2);
  expect("allocations for 50 long lines", allocations - before, 50);
  expect("letters", letters, short_lines * 12 + long_lines * 100);
}

task<> answer(weir::tcp_stream& stream) {
  buffered_reader reader{stream};
  buffered_writer writer{stream};
  while (auto line = co_await reader.read_line()) {
    co_await writer.write("an ");
    co_await writer.write("answer\n");
    co_await writer.flush();
  }
}

task<> ask_and_answer() {
  both_ends ends;
  co_await connect_both(ends);
  auto answering = weir::spawn(answer(ends.server));
  buffered_reader reader{ends.client};
  std::size_t before = 0;
  for (int i = 0; i < 1100; ++i) {
    if (i == 100) before = allocations;
    co_await ends.client.write_all(bytes_of("a question\n"));
    const auto line = co_await reader.read_line();
    if (line != "an answer") std::abort();
  }
  expect("allocations for 1000 questions and answers", allocations - before, 0);
  ends.client.shutdown(weir::direction::write);
  co_await answering.join();
}

}  // namespace

int main() {
  weir::run(read_what_is_there(), {.workers = 1});
  weir::run(ask_and_answer(), {.workers = 1});
  return failed ? 1 : 0;
}

#else

int main() {
  std::puts("needs an operator new of its own");
  return 77;
}

#endif
