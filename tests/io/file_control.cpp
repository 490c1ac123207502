#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include <weir/io/aligned_buffer.hpp>

#include "../skip.hpp"
#include "files.hpp"
#include "open_descriptors.hpp"

namespace {

using test::sentence_of;
using weir::as_result;
using weir::task;

constexpr weir::runtime_options one_worker{.workers = 1};
constexpr weir::file_mode fresh = weir::file_mode::read_write | weir::file_mode::create | weir::file_mode::truncate;

}  // namespace

TEST_CASE("file control: its size is set, and room taken and given back") {
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh);
    co_await test::write_text(file, "0123456789");
    co_await file.set_size(4);
    CHECK(file.size() == 4);
    CHECK(file.position() == 10);
    co_await file.set_size(6);
    file.set_position(0);
    std::string text = co_await test::read_text(file);
    CHECK(text == std::string("0123\0\0", 6));
    const auto far = co_await as_result(file.set_size(std::uint64_t(-1)));
    CHECK(sentence_of(far) == "set_size " + dir.name("f") + ": Invalid argument");

    const auto taken = co_await as_result(file.allocate(0, 100'000));
    if (taken.error() == std::errc::operation_not_supported) co_return;
    CHECK(taken.has_value());
    CHECK(file.size() == 100'000);
    weir::file_status status = co_await file.status();
    CHECK(status.allocated >= 100'000);
    const auto given_back = co_await as_result(file.deallocate(0, 65'536));
    if (given_back.error() == std::errc::operation_not_supported) co_return;
    CHECK(given_back.has_value());
    CHECK(file.size() == 100'000);
    status = co_await file.status();
    CHECK(status.allocated < 100'000);
    file.set_position(0);
    text = co_await test::read_text(file, 4);
    CHECK(text == std::string(4, '\0'));
  };
  weir::run(body(), one_worker);
}

TEST_CASE("file control: permissions and advice") {
  const test::scratch_directory dir;
  const std::string path = dir.containing("f", "text");
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(path);
    co_await file.set_permissions(0466);
    const weir::file_status status = co_await file.status();
    CHECK(status.permissions == 0466);
    co_await file.advise(0, 0, weir::file_advice::sequential);
    constexpr std::uint64_t beyond_32_bits = 1ull << 40;
    co_await file.advise(0, beyond_32_bits, weir::file_advice::dont_need);
    const auto unwritable = co_await as_result(file.set_size(0));
    CHECK(sentence_of(unwritable) == "set_size " + path + ": Invalid argument");
    file.close();
    const auto closed = co_await as_result(file.advise(0, 0, weir::file_advice::random));
    CHECK(closed.error() == std::errc::bad_file_descriptor);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("file control: direct transfers want aligned memory, and say what is not") {
  const test::no_descriptor_leaks check;
  const test::scratch_directory dir;
  const std::string path = dir.name("f");
  bool is_told = true;
  const auto body = [&]() -> task<> {
    auto opened = co_await as_result(weir::file::open(path, fresh | weir::file_mode::direct));
    if (!opened.has_value()) {
      CHECK(opened.error() == std::errc::invalid_argument);
      is_told = false;
      co_return;
    }
    weir::file file = std::move(*opened);
    CHECK((::fcntl(file.native_handle(), F_GETFL) & O_DIRECT) != 0);
    weir::aligned_buffer block(5000);
    CHECK(block.size() == 8192);
    test::fill_pattern(block);
    co_await file.write_all(block);
    weir::aligned_buffer back(8192);
    std::size_t n = co_await file.read_at(back, 0);
    CHECK(n == 8192);
    CHECK(test::is_pattern(back));
    n = co_await file.read_at(back, 8192);
    CHECK(n == 0);

    const std::string begin = path + ", which is open for direct I/O (no multiple of its device's block size: ";
    const auto odd = co_await as_result(file.write_at(std::span(block).first(100), 7));
    if (odd.has_value()) {  // some file systems take anything
      is_told = false;
      co_return;
    }
    CHECK(sentence_of(odd) == "write " + begin + "the size 100, the offset 7): Invalid argument");
    const auto odd_address = co_await as_result(file.read_at(std::span(block).subspan(1, 4096), 0));
    CHECK(sentence_of(odd_address) == "read " + begin + "the buffer's address): Invalid argument");
    const std::array<std::span<std::byte>, 2> parts = {std::span(block).first(4096), std::span(block).subspan(4096, 9)};
    const auto odd_part = co_await as_result(file.read_at(parts, 0));
    CHECK(sentence_of(odd_part) == "read " + begin + "the size 9): Invalid argument");
  };
  weir::run(body(), one_worker);
  if (!is_told) skip("this file system has no direct I/O, or takes unaligned buffers");
}

TEST_CASE("file control: direct transfers are handed to the device two at a time, others once in a turn") {
  const test::scratch_directory dir;
  const std::string path = dir.name("f");
  weir::runtime rt(one_worker);
  bool is_direct = rt.backend() == weir::backend_kind::uring;
  const auto body = [&]() -> task<> {
    auto opened = co_await as_result(weir::file::open(path, fresh | weir::file_mode::direct));
    if (!opened.has_value()) {
      is_direct = false;
      co_return;
    }
    weir::file direct = std::move(*opened);
    weir::aligned_buffer blocks(16 * 4096);
    co_await direct.write_all(blocks);
    weir::file cached = co_await weir::file::open(path);
    const auto calls_of_reads = [&](weir::file& from) -> task<std::uint64_t> {
      const std::uint64_t before = weir::counters().total.io_calls;
      const auto read_all = [&](weir::task_group& group) -> task<> {
        const auto one = [&](std::size_t i) -> task<> {
          const std::size_t n = co_await from.read_at(std::span(blocks).subspan(4096 * i, 4096), 4096 * i);
          CHECK(n == 4096);
        };
        for (std::size_t i = 0; i < 16; ++i) group.spawn(one, i);
        co_await group.join();
      };
      co_await weir::with_task_group(read_all);
      co_return weir::counters().total.io_calls - before;
    };
    const std::uint64_t direct_calls = co_await calls_of_reads(direct);
    CHECK(direct_calls >= 8);
    const std::uint64_t cached_calls = co_await calls_of_reads(cached);
    CHECK(cached_calls < 8);
  };
  if (is_direct) rt.block_on(body());
  if (!is_direct) skip("this file system has no direct I/O, or the backend has no ring");
}

TEST_CASE("file control: synced writes") {
  const test::scratch_directory dir;
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open(dir.name("f"), fresh | weir::file_mode::synced);
    CHECK((::fcntl(file.native_handle(), F_GETFL) & O_DSYNC) != 0);
    co_await test::write_text(file, "x");
    CHECK(file.size() == 1);
  };
  weir::run(body(), one_worker);
}

TEST_CASE("file control: aligned buffers") {
  weir::aligned_buffer a(1, 512);
  CHECK(a.size() == 512);
  CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 512 == 0);
  CHECK(a[511] == std::byte{0});
  a[3] = std::byte{3};
  weir::aligned_buffer b(std::move(a));
  CHECK(b[3] == std::byte{3});
  weir::aligned_buffer c(10);
  CHECK(c.size() == 4096);
  c = std::move(b);
  CHECK(c.size() == 512);
  CHECK(c.alignment() == 512);
  CHECK(weir::aligned_buffer().empty());
  // A large one takes huge pages if it can, and is one all the same.
  weir::aligned_buffer large((std::size_t{5} << 20) + 1);
  CHECK(large.size() == (std::size_t{5} << 20) + 4096);
  CHECK(large.alignment() == std::size_t{2} << 20);
  CHECK(reinterpret_cast<std::uintptr_t>(large.data()) % large.alignment() == 0);
  CHECK(std::all_of(large.begin(), large.end(), [](std::byte one) { return one == std::byte{0}; }));
  CHECK_THROWS_AS(weir::aligned_buffer(1, 24), std::invalid_argument);
  CHECK_THROWS_AS(weir::aligned_buffer(static_cast<std::size_t>(-1)), std::bad_alloc);
}

TEST_CASE("file control: in a simulation") {
  weir::simulation world({.seed = 1, .files = {.capacity = 100}});
  const auto body = [&]() -> task<> {
    weir::file file = co_await weir::file::open("f", fresh);
    co_await test::write_text(file, "0123456789");
    co_await file.set_size(4);
    CHECK(file.size() == 4);
    co_await file.set_size(50);
    co_await file.allocate(0, 20);
    CHECK(file.size() == 50);
    const auto full = co_await as_result(file.allocate(50, 51));
    CHECK(sentence_of(full) == "allocate f: No space left on device");
    co_await file.set_permissions(0600);
    co_await file.advise(0, 0, weir::file_advice::random);
    const auto hole = co_await as_result(file.deallocate(0, 10));
    CHECK(hole.error() == std::errc::not_supported);
    world.files().error = 1;
    const auto broken = co_await as_result(file.set_size(1));
    CHECK(broken.error() == std::errc::io_error);
  };
  world.run(body());
}
