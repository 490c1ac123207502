#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <set>
#include <thread>

#include <weir/runtime/detail/frame_cache.hpp>
#include <weir/runtime/detail/record_heap.hpp>

#include "support.hpp"

namespace {

using weir::detail::frame_cache;
using weir::detail::record_heap;

std::uint64_t out() { return record_heap::counted().blocks_out; }

}  // namespace

TEST_CASE("record heap: blocks are aligned and do not overlap, whatever their size") {
  const std::uint64_t before = out();
  std::vector<std::pair<unsigned char*, std::size_t>> blocks;
  for (std::size_t size = record_heap::step; size <= record_heap::largest; size += record_heap::step) {
    for (int i = 0; i < 100; ++i) {
      auto* const memory = static_cast<unsigned char*>(record_heap::allocate(size));
      CHECK(reinterpret_cast<std::uintptr_t>(memory) % 16 == 0);
      std::memset(memory, static_cast<int>(blocks.size() % 251), size);
      blocks.emplace_back(memory, size);
    }
  }
  CHECK(out() == before + blocks.size());
  std::size_t spoilt = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto [memory, size] = blocks[i];
    for (std::size_t k = 0; k < size; ++k) spoilt += memory[k] != i % 251;
  }
  CHECK(spoilt == 0);
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937(1));
  for (const auto& [memory, size] : blocks) record_heap::release(memory);
  CHECK(out() == before);
}

TEST_CASE("record heap: memory goes back to the kernel after a burst") {
  const record_heap::figures before = record_heap::counted();
  std::vector<void*> blocks(200'000);
  for (void*& block : blocks) block = record_heap::allocate(256);
  const std::uint64_t regions = record_heap::counted().regions;
  CHECK(regions >= before.regions + 22);
  CHECK(regions <= before.regions + 26);
  for (void* block : blocks) record_heap::release(block);
  CHECK(out() == before.blocks_out);
  CHECK(record_heap::counted().regions <= before.regions + 1);
}

TEST_CASE("record heap: a supply is what one slab has, used before or not, and what is left of it comes back") {
  constexpr std::size_t size = 1008;  // no task's
  const std::uint64_t before = out();
  record_heap::supply fresh = record_heap::take(size);
  CHECK(fresh.free == nullptr);
  const auto all = static_cast<std::size_t>(fresh.fresh_end - fresh.fresh) / size;
  CHECK(all == 64);
  CHECK(out() == before + all);
  std::byte* const first = fresh.fresh;
  record_heap::give_back_fresh(first + 3 * size, fresh.fresh_end);
  CHECK(out() == before + 3);
  auto* const list = ::new (first) record_heap::block{::new (first + 2 * size) record_heap::block{nullptr}};
  record_heap::block* const rest = record_heap::give_back(list, 1);
  CHECK(static_cast<void*>(rest) == first + 2 * size);
  const record_heap::supply again = record_heap::take(size);
  CHECK(static_cast<void*>(again.free) == first);
  CHECK(again.count == 1);
  CHECK(again.fresh == first + 3 * size);
  CHECK(again.fresh_end == fresh.fresh_end);
  CHECK(out() == before + all);
  record_heap::release(first);
  record_heap::release(first + size);
  CHECK(record_heap::give_back(rest, 100) == nullptr);
  record_heap::give_back_fresh(again.fresh, again.fresh_end);
  CHECK(out() == before);
}

#if !WEIR_DETAIL_ASAN  // there every block is the allocator's

TEST_CASE("frame cache: a burst is taken slab by slab, and a steady state does not visit the heap") {
  const std::uint64_t before = out();
  {
    frame_cache cache;
    std::vector<void*> blocks(10'000);
    const std::uint64_t visits = record_heap::counted().visits;
    for (void*& block : blocks) block = cache.allocate(170);
    // 372 blocks of 176 bytes to a slab.
    CHECK(record_heap::counted().visits <= visits + 30);
    CHECK(std::set<void*>(blocks.begin(), blocks.end()).size() == blocks.size());
    for (void* block : blocks) cache.release(block, 170);
    const std::uint64_t warm = record_heap::counted().visits;
    for (int round = 0; round < 100; ++round) {
      for (std::size_t i = 0; i < 500; ++i) blocks[i] = cache.allocate(170);
      for (std::size_t i = 0; i < 500; ++i) cache.release(blocks[i], 170);
    }
    CHECK(record_heap::counted().visits == warm);
    CHECK(out() > before);
    CHECK(out() - before <= (256U << 10) / 176 + 372);  // what the cache keeps
  }
  CHECK(out() == before);
}

TEST_CASE("frame cache: every size comes back to where it came from") {
  const std::uint64_t before = out();
  {
    frame_cache cache;
    std::vector<std::pair<void*, std::size_t>> blocks;
    for (std::size_t size = 1; size < 9000; size += 7) {
      for (int i = 0; i < 3; ++i) {
        blocks.emplace_back(i == 2 ? frame_cache::allocate_outside(size) : cache.allocate(size), size);
        std::memset(blocks.back().first, 1, size);
      }
    }
    std::shuffle(blocks.begin(), blocks.end(), std::mt19937(1));
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      if (i % 3 == 0) {
        frame_cache::release_outside(blocks[i].first, blocks[i].second);
      } else {
        cache.release(blocks[i].first, blocks[i].second);
      }
    }
  }
  CHECK(out() == before);
}

TEST_CASE("frame cache: blocks that go from thread to thread are neither lost nor given twice") {
  const std::uint64_t before = out();
  constexpr std::size_t slots = 4096;
  std::vector<std::atomic<std::uint64_t*>> exchanged(slots);
  std::atomic<int> spoilt{0};
  auto work = [&](unsigned seed) {
    frame_cache cache;
    std::mt19937 random(seed);
    const int rounds = test::scaled(300'000, 30'000);
    for (int i = 0; i < rounds; ++i) {
      auto* mine = static_cast<std::uint64_t*>(cache.allocate(48));
      *mine = reinterpret_cast<std::uintptr_t>(mine);
      mine = exchanged[random() % slots].exchange(mine);
      if (!mine) continue;
      if (*mine != reinterpret_cast<std::uintptr_t>(mine)) ++spoilt;
      *mine = 0;
      cache.release(mine, 48);
    }
  };
  {
    std::thread a(work, 1);
    std::thread b(work, 2);
    std::thread c(work, 3);
    a.join();
    b.join();
    c.join();
  }
  for (auto& slot : exchanged) {
    if (slot != nullptr) frame_cache::release_outside(slot, 48);
  }
  CHECK(spoilt == 0);
  CHECK(out() == before);
}

TEST_CASE("record heap: a child forked while other threads allocate can allocate too") {
  std::atomic<bool> done{false};
  std::thread busy([&] {
    while (!done) record_heap::release(record_heap::allocate(64));
  });
  int failed = 0;
  const int forks = test::scaled(200, 20);
  for (int i = 0; i < forks; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      record_heap::release(record_heap::allocate(64));
      _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    failed += status != 0;
  }
  done = true;
  busy.join();
  CHECK(failed == 0);
}

#endif
