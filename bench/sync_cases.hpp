#pragma once
// What sync_bench measures: small programs, each written once and compiled both for weir and for the raw floor.
// A case is made where it runs; start() spawns its coroutines, which end by themselves after `operations` operations;
// afterwards right() tells whether they have seen what they should have. A case can be started again.
//
// `Library` has: task; channel<T>(capacity) with send and receive; mutex; turnstile and gate (events that let one
// through for each set(), and everybody from the first set() on); yield(); spawn(task), whose result has join();
// receive_either(a, b); timed_yield() and timed_wait(event), which have an hour; value_of() of what was received.

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <type_traits>
#include <vector>

namespace bench {

/// The sum of first, first + 1, ... of `count` numbers.
constexpr std::uint64_t sum_of(std::uint64_t first, std::uint64_t count) {
  return count * first + count * (count - 1) / 2;
}

/// What one number tells whether it went right: a sum or a count.
class counted_case {
 public:
  bool right() const { return seen_ == expected_; }

 protected:
  /// Where it is to come together, from zero.
  std::uint64_t& expect(std::uint64_t number) {
    seen_ = 0;
    expected_ = number;
    return seen_;
  }

 private:
  std::uint64_t seen_ = 0;
  std::uint64_t expected_ = 0;
};

/// A sum on a cache line of its own.
struct alignas(64) padded_sum {
  std::uint64_t value = 0;
};

template <class Library>
class channel_bodies {
 public:
  using task = typename Library::task;
  using channel = typename Library::template channel<std::uint64_t>;

  static task send_numbers(channel& to, std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) co_await to.send(first + i);
  }
  static task sum_numbers(channel& from, std::uint64_t count, std::uint64_t& sum) {
    std::uint64_t mine = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      auto received = co_await from.receive();
      mine += Library::value_of(received);
    }
    sum += mine;
  }
};

/// One sender, one receiver, a channel with room for 128 numbers. An operation is one number.
template <class Library>
class spsc_case : channel_bodies<Library>, public counted_case {
 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t& sum = expect(sum_of(0, operations));
    spawn(this->send_numbers(numbers_, 0, operations));
    spawn(this->sum_numbers(numbers_, operations, sum));
  }

 private:
  typename channel_bodies<Library>::channel numbers_{128};
};

/// Four senders, four receivers, one channel.
template <class Library>
class mpmc_case : channel_bodies<Library> {
 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    const std::uint64_t each = operations / sums_.size();
    expected_ = sum_of(0, each * sums_.size());
    sums_ = {};
    std::uint64_t first = 0;
    for (padded_sum& sum : sums_) {
      spawn(this->send_numbers(numbers_, first, each));
      spawn(this->sum_numbers(numbers_, each, sum.value));
      first += each;
    }
  }
  bool right() const {
    std::uint64_t sum = 0;
    for (const padded_sum& one : sums_) sum += one.value;
    return sum == expected_;
  }

 private:
  typename channel_bodies<Library>::channel numbers_{128};
  std::array<padded_sum, 4> sums_{};
  std::uint64_t expected_ = 0;
};

/// A number goes there and back over two channels without room. An operation is one round trip.
template <class Library>
class rendezvous_case : channel_bodies<Library>, public counted_case {
  using typename channel_bodies<Library>::task;
  using typename channel_bodies<Library>::channel;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t& sum = expect(sum_of(1, operations));
    spawn(ask(there_, back_, operations, sum));
    spawn(answer(there_, back_, operations));
  }

 private:
  static task ask(channel& there, channel& back, std::uint64_t count, std::uint64_t& sum) {
    for (std::uint64_t i = 0; i < count; ++i) {
      co_await there.send(i);
      auto answer = co_await back.receive();
      sum += Library::value_of(answer);
    }
  }
  static task answer(channel& there, channel& back, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      auto question = co_await there.receive();
      const std::uint64_t answer = Library::value_of(question) + 1;
      co_await back.send(answer);
    }
  }

  channel there_{0};
  channel back_{0};
};

/// Two senders with a channel each, and one who selects. An operation is one number.
template <class Library>
class select_case : channel_bodies<Library>, public counted_case {
  using typename channel_bodies<Library>::task;
  using typename channel_bodies<Library>::channel;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    const std::uint64_t each = operations / 2;
    std::uint64_t& sum = expect(sum_of(0, 2 * each));
    spawn(this->send_numbers(a_, 0, each));
    spawn(this->send_numbers(b_, each, each));
    spawn(sum_either(a_, b_, 2 * each, sum));
  }

 private:
  static task sum_either(channel& a, channel& b, std::uint64_t count, std::uint64_t& sum) {
    for (std::uint64_t i = 0; i < count; ++i) {
      auto chosen = co_await Library::receive_either(a, b);
      sum += Library::value_of(chosen);
    }
  }

  channel a_{128};
  channel b_{128};
};

/// Eight workers take jobs from one channel and send their answers to another. An operation is one job.
template <class Library>
class pool_case : channel_bodies<Library>, public counted_case {
  using typename channel_bodies<Library>::task;
  using typename channel_bodies<Library>::channel;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t& sum = expect(sum_of(1, operations));
    for (unsigned i = 0; i < workers; ++i) spawn(work(jobs_, answers_));
    spawn(submit(jobs_, operations));
    spawn(this->sum_numbers(answers_, operations, sum));
  }

 private:
  static constexpr unsigned workers = 8;
  static constexpr std::uint64_t no_more = ~std::uint64_t{0};

  static task submit(channel& jobs, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) co_await jobs.send(i);
    for (unsigned i = 0; i < workers; ++i) co_await jobs.send(no_more);
  }
  static task work(channel& jobs, channel& answers) {
    for (;;) {
      auto job = co_await jobs.receive();
      const std::uint64_t number = Library::value_of(job);
      if (number == no_more) break;
      co_await answers.send(number + 1);
    }
  }

  channel jobs_{128};
  channel answers_{128};
};

/// A mutex that nobody else wants. An operation is lock and unlock.
template <class Library>
class mutex_case : public counted_case {
  using task = typename Library::task;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t& count = expect(operations);
    spawn(lock(mutex_, operations, count));
  }

 private:
  static task lock(typename Library::mutex& mutex, std::uint64_t count, std::uint64_t& guarded) {
    for (std::uint64_t i = 0; i < count; ++i) {
      auto guard = co_await mutex.lock();
      ++guarded;
    }
  }

  typename Library::mutex mutex_;
};

/// Two tasks let one another through two events. An operation is one round trip: two set() and two wait().
template <class Library>
class event_case {
  using task = typename Library::task;
  using turnstile = typename Library::turnstile;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    turns_ = {};
    expected_ = operations;
    // Before anybody waits: a run leaves the signal there, and beside a player it would become a second one.
    there_.set();
    spawn(play(there_, back_, operations, turns_[0]));
    spawn(play(back_, there_, operations, turns_[1]));
  }
  bool right() const { return turns_[0] == expected_ && turns_[1] == expected_; }

 private:
  static task play(turnstile& mine, turnstile& other, std::uint64_t count, std::uint64_t& turns) {
    for (std::uint64_t i = 0; i < count; ++i) {
      co_await mine.wait();
      ++turns;
      other.set();
    }
  }

  turnstile there_;
  turnstile back_;
  std::array<std::uint64_t, 2> turns_{};
  std::uint64_t expected_ = 0;
};

/// Tasks that go to the back of the queue. An operation is one yield.
template <class Library, std::uint64_t tasks = 2>
class yield_case {
  using task = typename Library::task;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    turns_.assign(tasks, {});
    expected_ = operations / tasks;
    for (padded_sum& turns : turns_) spawn(yield_often(expected_, turns.value));
  }
  bool right() const {
    for (const padded_sum& turns : turns_) {
      if (turns.value != expected_) return false;
    }
    return true;
  }

 private:
  static task yield_often(std::uint64_t count, std::uint64_t& turns) {
    for (std::uint64_t i = 0; i < count; ++i) {
      co_await Library::yield();
      ++turns;
    }
  }

  std::vector<padded_sum> turns_;
  std::uint64_t expected_ = 0;
};

/// A timeout of an hour around a yield(): reads the clock, arms a timer, yields, cancels the timer.
template <class Library>
class armed_timeout_case : public counted_case {
  using task = typename Library::task;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t& turns = expect(operations);
    spawn(yield_often(operations, turns));
  }

 private:
  static task yield_often(std::uint64_t count, std::uint64_t& turns) {
    for (std::uint64_t i = 0; i < count; ++i) {
      co_await Library::timed_yield();
      ++turns;
    }
  }
};

/// A timeout of an hour around an event that is set: it is not needed.
template <class Library>
class idle_timeout_case : public counted_case {
  using task = typename Library::task;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t& turns = expect(operations);
    gate_.set();
    spawn(pass(gate_, operations, turns));
  }

 private:
  static task pass(typename Library::gate& gate, std::uint64_t count, std::uint64_t& turns) {
    for (std::uint64_t i = 0; i < count; ++i) {
      co_await Library::timed_wait(gate);
      ++turns;
    }
  }

  typename Library::gate gate_;
};

/// A task that spawns another and joins it, one after the other.
template <class Library>
class spawn_case : public counted_case {
  using task = typename Library::task;

 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t& sum = expect(sum_of(0, operations));
    spawn(spawn_often(operations, sum));
  }

 private:
  static task add(std::uint64_t number, std::uint64_t& sum) {
    sum += number;
    co_return;
  }
  static task spawn_often(std::uint64_t count, std::uint64_t& sum) {
    for (std::uint64_t i = 0; i < count; ++i) {
      auto child = Library::spawn(add(i, sum));
      co_await child.join();
    }
  }
};

enum class sync_case : std::uint8_t {
  spsc,
  mpmc,
  rendezvous,
  select,
  pool,
  mutex,
  event,
  yield,
  armed_timeout,
  idle_timeout,
  spawn,
  // On weir only: sync_weir_cases.hpp.
  contended,
  select_eight,
  oneshot,
  broadcast,
  limiter,
  keyed,
};

/// Calls `visit` with the type of a case, as std::type_identity. Throws std::invalid_argument for those that only weir
/// has.
template <class Library, class Visit>
auto with_case(sync_case which, Visit visit) {
  switch (which) {
    case sync_case::spsc:
      return visit(std::type_identity<spsc_case<Library>>());
    case sync_case::mpmc:
      return visit(std::type_identity<mpmc_case<Library>>());
    case sync_case::rendezvous:
      return visit(std::type_identity<rendezvous_case<Library>>());
    case sync_case::select:
      return visit(std::type_identity<select_case<Library>>());
    case sync_case::pool:
      return visit(std::type_identity<pool_case<Library>>());
    case sync_case::mutex:
      return visit(std::type_identity<mutex_case<Library>>());
    case sync_case::event:
      return visit(std::type_identity<event_case<Library>>());
    case sync_case::yield:
      return visit(std::type_identity<yield_case<Library>>());
    case sync_case::armed_timeout:
      return visit(std::type_identity<armed_timeout_case<Library>>());
    case sync_case::idle_timeout:
      return visit(std::type_identity<idle_timeout_case<Library>>());
    case sync_case::spawn:
      return visit(std::type_identity<spawn_case<Library>>());
    default:
      throw std::invalid_argument("this case is written for weir only");
  }
}

}  // namespace bench
