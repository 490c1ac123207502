#include <algorithm>
#include <deque>
#include <random>
#include <set>
#include <thread>

#include <weir/runtime/detail/run_queue.hpp>

#include "support.hpp"

// The ready queues alone. Frames stand in them by their links only: nothing is run.

namespace {

using weir::detail::promise_base;
using weir::detail::run_queue;
using weir::detail::seeded_queue;

class frame final : public promise_base {
 public:
  static void* operator new(std::size_t size) { return ::operator new(size); }
  static void operator delete(void* memory) { ::operator delete(memory); }
};

}  // namespace

TEST_CASE("run queue: woken ones first come, first served, before spawned ones, newest first") {
  run_queue queue(false);
  frame f[6];
  CHECK(queue.pop() == nullptr);
  CHECK(queue.push_spawned(f[0]) == 1);
  CHECK(queue.push_spawned(f[1]) == 2);
  CHECK(queue.push_woken(f[2]) == 3);
  CHECK(queue.push_woken(f[3]) == 4);
  CHECK(queue.push_front(f[4]) == 5);
  CHECK(f[4].at_front);
  CHECK(queue.size() == 5);
  CHECK(queue.pop() == &f[4]);
  CHECK(queue.pop() == &f[2]);
  CHECK(queue.pop() == &f[3]);
  CHECK(queue.pop() == &f[1]);
  CHECK(queue.pop() == &f[0]);
  CHECK(queue.pop() == nullptr);
  CHECK(queue.empty_now());
}

TEST_CASE("run queue: push_last goes behind everything, spawned ones oldest first") {
  run_queue queue(true);
  frame f[5];
  queue.push_spawned(f[0]);
  queue.push_spawned(f[1]);
  queue.push_woken(f[2]);
  CHECK(queue.push_last(f[3]) == 4);
  queue.push_spawned(f[4]);
  for (int i : {2, 0, 1, 3, 4}) CHECK(queue.pop() == &f[i]);
}

TEST_CASE("run queue: every 61st pick takes the oldest spawned one, so that nothing starves") {
  run_queue queue(false);
  frame old;
  frame woken;
  queue.push_spawned(old);
  int picks = 0;
  for (;;) {
    queue.push_woken(woken);
    ++picks;
    if (queue.pop() == &old) break;
    REQUIRE(picks < 100);
  }
  CHECK(picks <= 61);
}

TEST_CASE(
    "run queue: spawned ones that were passed over twice become woken ones, half of the picks' worth, oldest first") {
  run_queue queue(false);
  frame old[100];
  frame busy;
  for (frame& f : old) queue.push_spawned(f);
  std::vector<std::size_t> order;
  int picks = 0;
  queue.push_woken(busy);
  while (order.size() < 32) {
    promise_base* taken = queue.pop();
    ++picks;
    if (taken == &busy) {
      queue.push_woken(busy);  // for ever
    } else {
      order.push_back(static_cast<std::size_t>(static_cast<frame*>(taken) - old));
    }
    REQUIRE(picks < 1000);
  }
  // One at the 61st pick, one at the 122nd, and 30 behind that one and whoever was woken.
  CHECK(picks == 2 * 61 + 1 + 30);
  CHECK(std::is_sorted(order.begin(), order.end()));
  // Once there is no woken one the newest is next again.
  while (queue.pop() != &busy) continue;
  CHECK(queue.pop() == &old[99]);
}

TEST_CASE("run queue: what is appended is woken, behind what is there") {
  run_queue queue(true);
  frame f[4];
  weir::detail::frame_list list;
  queue.push_woken(f[0]);
  queue.push_spawned(f[3]);
  list.push_back(f[1]);
  list.push_back(f[2]);
  CHECK(queue.append_woken(list, 2) == 4);
  for (int i : {0, 1, 2, 3}) CHECK(queue.pop() == &f[i]);
}

TEST_CASE("run queue: a thief takes half, the oldest spawned first, otherwise the woken that would run last") {
  run_queue victim(true);
  run_queue thief(true);
  frame f[8];
  CHECK(victim.steal_into(thief) == 0);
  for (frame& x : f) victim.push_spawned(x);
  CHECK(victim.steal_into(thief) == 4);
  CHECK(victim.size() == 4);
  for (int i : {3, 2, 1, 0}) CHECK(thief.pop() == &f[i]);
  for (int i : {7, 6, 5, 4}) CHECK(victim.pop() == &f[i]);
  for (frame& x : f) victim.push_woken(x);
  CHECK(victim.steal_into(thief) == 4);
  for (int i : {4, 5, 6, 7}) CHECK(thief.pop() == &f[i]);
  for (int i : {0, 1, 2, 3}) CHECK(victim.pop() == &f[i]);
  victim.push_woken(f[0]);
  CHECK(victim.steal_into(thief) == 1);
  CHECK(thief.pop() == &f[0]);
}

TEST_CASE("run queue: a thief does not take very many at once") {
  run_queue victim(true);
  run_queue thief(true);
  std::vector<frame> frames(1000);
  for (frame& f : frames) victim.push_woken(f);
  CHECK(victim.steal_into(thief) == 128);
  CHECK(victim.size() == 872);
  CHECK(thief.pop() == &frames[872]);
}

namespace {

/// How many tasks are ready at most when each spawns ten, five levels deep. The workers run one task each in turn, and
/// steal when they have none.
std::size_t most_ready_in_a_tree(std::size_t workers) {
  std::deque<frame> frames(111'111);
  std::size_t made = 1;
  std::size_t most = 0;
  std::size_t ran = 0;
  std::deque<run_queue> queues;
  for (std::size_t i = 0; i != workers; ++i) queues.emplace_back(workers > 1);
  queues[0].push_spawned(frames[0]);
  for (std::size_t turn = 0; ran != frames.size(); ++turn) {
    run_queue& mine = queues[turn % workers];
    promise_base* f = mine.pop();
    for (std::size_t i = 1; !f && i != workers; ++i) {
      queues[(turn + i) % workers].steal_into(mine);
      f = mine.pop();
    }
    if (!f) continue;
    ++ran;
    for (int i = 0; i < 10 && f->waiting_since < 5; ++i) {
      frame& child = frames[made++];
      child.waiting_since = f->waiting_since + 1;  // its level
      mine.push_spawned(child);
    }
    std::size_t ready = 0;
    for (const run_queue& queue : queues) ready += queue.size();
    most = std::max(most, ready);
  }
  return most;
}

}  // namespace

TEST_CASE("run queue: a tree of tasks unfolds in depth, also where half of it is stolen") {
  const std::size_t alone = most_ready_in_a_tree(1);
  CHECK(alone < 5000);  // of 111,111
  CHECK(most_ready_in_a_tree(2) < 2 * alone);
  CHECK(most_ready_in_a_tree(8) < 2 * alone);
}

TEST_CASE("run queue: an owner and two thieves lose nothing and double nothing") {
  const int rounds = test::scaled(100'000, 10'000);
  run_queue queues[3] = {run_queue(true), run_queue(true), run_queue(true)};
  std::vector<frame> frames(static_cast<std::size_t>(rounds));
  std::atomic<int> seen{0};
  std::atomic<bool> done{false};
  auto steals = [&](std::size_t mine) {
    while (!done) {
      for (std::size_t v = 0; v < 3; ++v) {
        if (v != mine) queues[v].steal_into(queues[mine]);
      }
      while (promise_base* f = queues[mine].pop()) {
        if (f->awaiter) FAIL("seen twice");
        f->awaiter = f;
        ++seen;
      }
    }
  };
  std::thread a([&] { steals(1); });
  std::thread b([&] { steals(2); });
  std::mt19937 random(1);
  for (frame& f : frames) {
    switch (random() % 4) {
      case 0:
        queues[0].push_woken(f);
        break;
      case 1:
        queues[0].push_spawned(f);
        break;
      case 2:
        queues[0].push_last(f);
        break;
      default:
        queues[0].push_front(f);
        break;
    }
    if (random() % 3 == 0) {
      if (promise_base* taken = queues[0].pop()) {
        if (taken->awaiter) FAIL("seen twice");
        taken->awaiter = taken;
        ++seen;
      }
    }
  }
  while (seen < rounds) std::this_thread::yield();
  done = true;
  a.join();
  b.join();
  CHECK(seen == rounds);
  for (run_queue& q : queues) CHECK(q.empty_now());
}

TEST_CASE("seeded queue: the same seed picks the same order, other seeds others, and none is lost") {
  std::set<std::vector<std::size_t>> orders;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    std::vector<std::size_t> first;
    for (int repeat = 0; repeat < 2; ++repeat) {
      std::vector<frame> frames(5);
      seeded_queue queue(seed);
      weir::detail::run_trace trace;
      for (frame& f : frames) queue.push(f);
      std::vector<std::size_t> order;
      while (promise_base* f = queue.pop(trace))
        order.push_back(static_cast<std::size_t>(static_cast<frame*>(f) - frames.data()));
      CHECK(std::set<std::size_t>(order.begin(), order.end()).size() == 5);
      if (repeat == 0) first = order;
      CHECK(order == first);
    }
    orders.insert(first);
  }
  CHECK(orders.size() > 30);
}
