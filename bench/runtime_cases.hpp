#pragma once
// What runtime_bench measures beside some of sync_cases.hpp, which also tells what a case and a `Library` are. Here it
// has further: join_handle; child(task), which is awaited in place; long_sleep(), which has an hour.

#include "sync_cases.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace bench {

/// A tree of tasks, ten below each, whose leaves give their number. An operation is one leaf, of a power of ten.
template <class Library>
class skynet_case : public counted_case {
  using task = typename Library::task;
  using join_handle = typename Library::join_handle;
  static constexpr std::size_t fan = 10;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t leaves = 1;
    while (leaves * fan <= operations) leaves *= fan;
    std::uint64_t& sum = expect(sum_of(0, leaves));
    spawn(branch(0, leaves, sum));
  }

 private:
  static task leaf(std::uint64_t number, std::uint64_t& sum) {
    sum = number;
    co_return;
  }
  static task branch(std::uint64_t first, std::uint64_t leaves, std::uint64_t& sum) {
    std::array<std::uint64_t, fan> sums{};
    auto children = spawn_all(first, leaves / fan, sums, std::make_index_sequence<fan>());
    for (join_handle& child : children) co_await child.join();
    std::uint64_t all = 0;
    for (const std::uint64_t one : sums) all += one;
    sum = all;
  }
  template <std::size_t... Is>
  static std::array<join_handle, fan> spawn_all(std::uint64_t first, std::uint64_t leaves,
                                                std::array<std::uint64_t, fan>& sums, std::index_sequence<Is...>) {
    if (leaves == 1) return {Library::spawn(leaf(first + Is, sums[Is]))...};
    return {Library::spawn(branch(first + Is * leaves, leaves, sums[Is]))...};
  }
};

/// Spawns all, then joins all.
template <class Library>
class batch_case : public counted_case {
  using task = typename Library::task;
  using join_handle = typename Library::join_handle;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    numbers_.assign(operations, 0);
    std::uint64_t& sum = expect(sum_of(0, operations));
    spawn(spawn_and_join(numbers_, sum));
  }

 private:
  static task give(std::uint64_t number, std::uint64_t& to) {
    to = number;
    co_return;
  }
  static task spawn_and_join(std::vector<std::uint64_t>& numbers, std::uint64_t& sum) {
    std::vector<join_handle> children;
    children.reserve(numbers.size());
    for (std::uint64_t i = 0; i < numbers.size(); ++i) children.push_back(Library::spawn(give(i, numbers[i])));
    for (join_handle& child : children) co_await child.join();
    for (const std::uint64_t number : numbers) sum += number;
  }

  std::vector<std::uint64_t> numbers_;
};

/// A task that awaits another, one after the other.
template <class Library>
class await_case : public counted_case {
  using task = typename Library::task;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t& sum = expect(sum_of(0, operations));
    spawn(await_often(operations, sum));
  }

 private:
  static task add(std::uint64_t number, std::uint64_t& sum) {
    sum += number;
    co_return;
  }
  static task await_often(std::uint64_t count, std::uint64_t& sum) {
    for (std::uint64_t i = 0; i < count; ++i) co_await Library::child(add(i, sum));
  }
};

/// Tasks that fall asleep for longer than the program lives.
template <class Library>
class parked_case {
  using task = typename Library::task;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    asleep_ = 0;
    for (std::uint64_t i = 0; i < operations; ++i) spawn(fall_asleep(asleep_));
  }
  std::uint64_t asleep() const { return asleep_; }

 private:
  static task fall_asleep(std::uint64_t& asleep) {
    ++asleep;
    co_await Library::long_sleep();
  }

  std::uint64_t asleep_ = 0;
};

enum class runtime_case : std::uint8_t {
  skynet,
  spawn_one,
  spawn_batch,
  yield_two,
  yield_many,
  ping_pong,
  timer,
  lock,
  await_child,
  // These take another way: their figure is not a time for an operation.
  sleeps,
  parked,
};

/// Calls `visit` with the type of a case, as std::type_identity.
template <class Library, class Visit>
auto with_case(runtime_case which, Visit visit) {
  switch (which) {
    case runtime_case::skynet:
      return visit(std::type_identity<skynet_case<Library>>());
    case runtime_case::spawn_one:
      return visit(std::type_identity<spawn_case<Library>>());
    case runtime_case::spawn_batch:
      return visit(std::type_identity<batch_case<Library>>());
    case runtime_case::yield_two:
      return visit(std::type_identity<yield_case<Library>>());
    case runtime_case::yield_many:
      return visit(std::type_identity<yield_case<Library, 1000>>());
    case runtime_case::ping_pong:
      return visit(std::type_identity<event_case<Library>>());
    case runtime_case::timer:
      return visit(std::type_identity<armed_timeout_case<Library>>());
    case runtime_case::lock:
      return visit(std::type_identity<mutex_case<Library>>());
    case runtime_case::await_child:
    case runtime_case::sleeps:
    case runtime_case::parked:
      break;
  }
  return visit(std::type_identity<await_case<Library>>());
}

}  // namespace bench
