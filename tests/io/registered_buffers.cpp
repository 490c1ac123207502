#include <weir/io/aligned_buffer.hpp>
#include <weir/io/detail/registered_buffers.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../skip.hpp"
#include "files.hpp"
#include "open_descriptors.hpp"
#include "pretended_kernel.hpp"

// aligned_buffers that are registered with rings: `registered_transfers` is 0 wherever that cannot be, and nothing else
// is different.

namespace {

using test::fill_pattern;
using test::is_pattern;
using weir::aligned_buffer;
using weir::as_result;
using weir::task;

constexpr weir::runtime_options one_worker{.workers = 1};
constexpr weir::file_mode fresh = weir::file_mode::read_write | weir::file_mode::create | weir::file_mode::truncate;
constexpr weir::aligned_buffer_options registered{.registered = true};
constexpr const char* no_direct_files = "this file system has no direct I/O";
constexpr std::size_t page = 4096;
constexpr std::size_t large = std::size_t{2} << 20;  // its memory comes from the kernel, and goes back there

std::uint64_t counted() { return weir::counters().total.registered_transfers; }

/// Whether they are to be expected of a runtime that is asked for nothing special.
bool are_expected() { return test::ring_is_default() && test::has_buffer_tables(); }
/// The same as a factor.
std::uint64_t times_if_expected() { return are_expected() ? 1 : 0; }

/// Memory of this process that is pinned for devices, in KiB.
long pinned() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmPin:")) return std::stol(line.substr(6));
  }
  return 0;
}

/// Some kernels unpin in the background.
task<bool> is_pinned_soon(long kib) {
  for (int tries = 0; tries < 2000; ++tries) {
    if (pinned() == kib) co_return true;
    co_await weir::sleep_for(std::chrono::milliseconds(1));
  }
  MESSAGE("pinned: ", pinned(), " KiB instead of ", kib);
  co_return false;
}

bool has_direct_files(const test::scratch_directory& dir) {
  const auto opens = [&]() -> task<bool> {
    const auto opened = co_await as_result(weir::file::open(dir.name("direct"), fresh | weir::file_mode::direct));
    co_return opened.has_value();
  };
  return weir::run(opens(), one_worker);
}

/// Writes the pattern that begins with `from` to the file and reads it back, both in `part`.
task<> there_and_back(weir::file& file, std::span<std::byte> part, std::size_t from) {
  fill_pattern(part, from);
  co_await file.write_all_at(part, 0);
  fill_pattern(part, from + 1);
  const std::size_t n = co_await file.read_at(part, 0);
  CHECK(n == part.size());
  CHECK(is_pattern(part, from));
}

}  // namespace

TEST_CASE("registered buffers: every direct transfer within one is of registered memory, where there is a ring") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
    aligned_buffer block(4 * page, registered);
    const std::span<std::byte> all(block);
    co_await there_and_back(file, all, 1);
    co_await there_and_back(file, all.first(page), 2);
    co_await there_and_back(file, all.subspan(page, 2 * page), 3);
    co_await there_and_back(file, all.last(page), 4);
    CHECK(counted() == 8 * times_if_expected());
    fill_pattern(all, 5);
    file.set_position(0);
    co_await file.write_all(all);
    file.set_position(0);
    const std::size_t written = co_await file.write_some(all.first(page));
    file.set_position(0);
    const std::size_t read = co_await file.read_some(all);
    CHECK(written == page);
    CHECK(read == 4 * page);
    CHECK(file.position() == 4 * page);
    CHECK(is_pattern(all, 5));
    CHECK(counted() == 11 * times_if_expected());
    const std::size_t end = co_await file.read_at(all, 4 * page);
    CHECK(end == 0);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("registered buffers: nothing else is of registered memory") {
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
    aligned_buffer plain(page);
    co_await there_and_back(file, plain, 1);
    aligned_buffer block(2 * page, registered);
    co_await there_and_back(file, plain, 2);
    CHECK(counted() == 0);
    const std::array<std::span<std::byte>, 2> parts = {std::span(block).last(page), std::span(block).first(page)};
    co_await there_and_back(file, block, 3);
    const std::size_t n = co_await file.read_at(parts, 0);
    CHECK(n == 2 * page);
    CHECK(is_pattern(parts[0], 3));
    CHECK(is_pattern(parts[1], 3 + page));
    CHECK(counted() == 2 * times_if_expected());

    weir::file cached = co_await weir::file::open(dir.name("cached"), fresh);
    co_await there_and_back(cached, block, 4);
    aligned_buffer none(0, registered);
    const std::size_t nothing = co_await file.read_at(none, 0);
    CHECK(nothing == 0);
    CHECK(counted() == 2 * times_if_expected());
  };
  weir::run(body(), one_worker);
}

TEST_CASE("registered buffers: what reaches beyond one, or lies beside it, is plain") {
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
    aligned_buffer memory(4 * page);
    const std::span<std::byte> all(memory);
    weir::detail::registered_buffers::add(memory.data() + page, 2 * page);
    co_await there_and_back(file, all.subspan(page, 3 * page), 1);
    co_await there_and_back(file, all.first(2 * page), 2);
    co_await there_and_back(file, all.first(page), 3);
    co_await there_and_back(file, all.last(page), 4);
    CHECK(counted() == 0);
    co_await there_and_back(file, all.subspan(page, 2 * page), 5);
    CHECK(counted() == 2 * times_if_expected());
    weir::detail::registered_buffers::remove(memory.data() + page);
    co_await there_and_back(file, all.subspan(page, 2 * page), 6);
    CHECK(counted() == 2 * times_if_expected());
  };
  weir::run(body(), one_worker);
}

TEST_CASE("registered buffers: a failure says the same") {
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
    for (const bool is_registered : {false, true}) {
      aligned_buffer block(2 * page, weir::aligned_buffer_options{.registered = is_registered});
      const auto odd = co_await as_result(file.write_at(std::span(block).first(100), 7));
      if (odd.has_value()) co_return;  // some file systems take anything
      CHECK(test::sentence_of(odd) == "write " + dir.name("f") +
                                          ", which is open for direct I/O (no multiple of its device's block size: the "
                                          "size 100, the offset 7): Invalid argument");
    }
  };
  weir::run(body(), one_worker);
}

TEST_CASE("registered buffers: memory that was one is plain, and what stands there next is not what stood there") {
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
    std::uint64_t expected = 0;
    unsigned again = 0;
    const std::byte* before = nullptr;
    for (unsigned i = 0; i < 12; ++i) {
      const bool is_registered = i % 3 != 2;
      aligned_buffer block(large, weir::aligned_buffer_options{.registered = is_registered});
      again += block.data() == before ? 1 : 0;
      before = block.data();
      co_await there_and_back(file, std::span(block).subspan(i * page, 2 * page), i);
      expected += is_registered ? 2 * times_if_expected() : 0;
      CHECK(counted() == expected);
    }
    if (!test::sanitized) CHECK(again != 0);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("registered buffers: moving one changes nothing") {
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
    aligned_buffer first(page, registered);
    co_await there_and_back(file, first, 1);
    aligned_buffer second(std::move(first));
    co_await there_and_back(file, second, 2);
    aligned_buffer third(2 * page, registered);
    co_await there_and_back(file, third, 3);
    third = std::move(second);
    CHECK(third.size() == page);
    co_await there_and_back(file, third, 4);
    aligned_buffer plain(page);
    third = std::move(plain);
    co_await there_and_back(file, third, 5);
    CHECK(counted() == 8 * times_if_expected());
  };
  weir::run(body(), one_worker);
}

TEST_CASE("registered buffers: each worker's ring has them pinned until they end, or the runtime does") {
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  if (!are_expected()) return skip("no ring, or one without a table of buffers");
  const long before = pinned();
  constexpr long each = large / 1024;
  std::optional<aligned_buffer> kept(std::in_place, large, registered);
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
    aligned_buffer unused(large, registered);
    std::optional<aligned_buffer> block(std::in_place, large, registered);
    CHECK(pinned() == before);
    const auto use = [&](std::optional<aligned_buffer>& which) -> task<> {
      co_await there_and_back(file, std::span(*which).first(page), 1);
    };
    for (const unsigned worker : {0u, 1u}) {
      auto used = weir::spawn_on(worker, use(block));
      co_await used.join();
      CHECK(pinned() == before + (worker + 1) * each);
    }
    auto also_used = weir::spawn_on(1, use(kept));
    co_await also_used.join();
    CHECK(pinned() == before + 3 * each);
    block.reset();
    // Both workers idle: the other one must be woken for it.
    const bool let_go = co_await is_pinned_soon(before + each);
    CHECK(let_go);
  };
  weir::runtime rt({.workers = 2, .stealing = false});
  rt.block_on(body());
  {
    weir::runtime other(one_worker);
    const auto in_another = [&]() -> task<> {
      weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
      co_await there_and_back(file, std::span(*kept).first(page), 2);
      CHECK(counted() == 2);
      CHECK(pinned() == before + 2 * each);
    };
    other.block_on(in_another());
  }
  CHECK(pinned() == before + each);
  const auto at_the_end = [&]() -> task<> {
    kept.reset();  // while another thread's runtime has it
    const bool by_all = co_await is_pinned_soon(before);
    CHECK(by_all);
  };
  weir::run(at_the_end(), one_worker);
}

TEST_CASE("registered buffers: without memory that may be locked transfers are plain, until a buffer goes or comes") {
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
    aligned_buffer block(page, registered);
    {
      const test::no_locked_memory limit;
      co_await there_and_back(file, block, 1);
    }
    co_await there_and_back(file, block, 2);
    CHECK(counted() == 0);
    aligned_buffer other(page, registered);
    co_await there_and_back(file, other, 3);
    co_await there_and_back(file, block, 4);
    CHECK(counted() == 4 * times_if_expected());
  };
  weir::run(body(), one_worker);
}

TEST_CASE("registered buffers: more than a ring's table takes") {
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
    std::vector<aligned_buffer> blocks;
    for (std::size_t i = 0; i < 1026; ++i) blocks.emplace_back(page, registered);
    for (aligned_buffer& block : blocks) {
      const std::size_t n = co_await file.write_at(block, 0);
      CHECK(n == page);
    }
    CHECK(counted() == 1024 * times_if_expected());
    co_await there_and_back(file, blocks.back(), 1);
    CHECK(counted() == 1024 * times_if_expected());
    blocks.erase(blocks.begin(), blocks.begin() + 2);
    co_await there_and_back(file, blocks[1022], 2);
    co_await there_and_back(file, blocks[1023], 3);
    CHECK(counted() == 1028 * times_if_expected());
  };
  weir::run(body(), one_worker);
}

TEST_CASE("registered buffers: on the rings of older kernels") {
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  if (!test::ring_is_default()) return skip("io_uring is not what runs here");
  for (const test::kernel_version& version : test::older_kernels()) {
    CAPTURE(std::string(version.name));
    const test::pretended_kernel kernel(version.flags);
    const auto body = [&]() -> task<> {
      weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
      aligned_buffer block(page, registered);
      co_await there_and_back(file, block, 1);
      const bool has_tables = std::string(version.name) >= "5.19" && test::has_buffer_tables();
      CHECK(counted() == (has_tables ? 2 : 0));
    };
    weir::run(body(), one_worker);
  }
}

TEST_CASE("registered buffers: four workers make, use and drop them at once") {
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  const auto body = [&]() -> task<> {
    aligned_buffer shared(4 * page, registered);
    const auto one = [&](std::size_t i) -> task<> {
      weir::file file = co_await weir::file::open(dir.name(std::to_string(i)), fresh | weir::file_mode::direct);
      for (std::size_t round = 0; round < test::scaled(60, 15); ++round) {
        aligned_buffer block((1 + round % 3) * page, registered);
        co_await there_and_back(file, block, i + round);
        co_await there_and_back(file, std::span(shared).subspan(i * page, page), i * round);
        aligned_buffer other(std::move(block));
        co_await weir::yield();
        co_await there_and_back(file, other, round);
      }
    };
    co_await weir::with_task_group([&](weir::task_group& group) -> task<> {
      for (std::size_t i = 0; i < 4; ++i) group.spawn(one, i);
      co_await group.join();
    });
    CHECK(counted() <= 4 * test::scaled(60, 15) * 6 * times_if_expected());
    CHECK((counted() != 0) == are_expected());
  };
  weir::run(body(), {.workers = 4});
}

TEST_CASE("registered buffers: a forked child drops its copy without telling its parent's ring") {
  const test::scratch_directory dir;
  if (!has_direct_files(dir)) return skip(no_direct_files);
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::direct);
    aligned_buffer block(page, registered);
    co_await there_and_back(file, block, 1);
    const pid_t child = ::fork();
    if (child == 0) {
      const std::uint64_t changes = weir::detail::registered_buffers::changes();
      block = aligned_buffer();
      ::_exit(weir::detail::registered_buffers::changes() == changes + 1 ? 0 : 1);
    }
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    co_await there_and_back(file, block, 2);
    CHECK(counted() == 4 * times_if_expected());
  };
  weir::run(body(), one_worker);
}

TEST_CASE("registered buffers: in a simulation") {
  weir::simulation world({.seed = 1});
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open("f", fresh);
    aligned_buffer block(page, registered);
    co_await there_and_back(file, block, 1);
    CHECK(counted() == 0);
  };
  world.run(body());
}
