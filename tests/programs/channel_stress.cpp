// Random sends, receives, reserves, selects, closes and cancellations over a few channels: from tasks on four workers,
// and from tasks of two runtimes together with plain threads. Nothing may be lost, doubled, or seen out of its sender's
// order, and what was not sent must not have been touched. In half of the parts moves throw now and then.
//
//   channel_stress [OPERATIONS [SEED]]
//
// OPERATIONS (or WEIR_STRESS_OPERATIONS) is for each of the four parts; ten million take a minute or two.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <weir/weir.hpp>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STRESS_SANITIZED 1
#endif
#endif

namespace {

using namespace std::chrono_literals;

#if defined(STRESS_SANITIZED)
constexpr std::uint64_t default_operations = 40'000;
#else
constexpr std::uint64_t default_operations = 300'000;
#endif

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "channel_stress: %s\n", what.c_str());
  std::abort();
}

std::uint64_t mix(std::uint64_t x) {  // SplitMix64's finaliser
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

class dice {
 public:
  explicit dice(std::uint64_t seed) : state_(mix(seed + 1)) {}
  unsigned roll(unsigned sides) { return static_cast<unsigned>((mix(state_ += 0x9e3779b97f4a7c15) >> 32) % sides); }

 private:
  std::uint64_t state_;
};

/// A sum over items that tells whether two heaps of them are the same.
class tally {
 public:
  tally() = default;
  tally(const tally& other) : count_(other.count()), mixed_(other.mixed_.load()) {}
  tally& operator=(const tally&) = delete;
  void add(unsigned sender, std::uint64_t number) {
    count_.fetch_add(1, std::memory_order_relaxed);
    mixed_.fetch_add(mix(number * 1024 + sender), std::memory_order_relaxed);
  }
  void add(const tally& other) {
    count_ += other.count_;
    mixed_ += other.mixed_;
  }
  void clear() { count_ = mixed_ = 0; }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  friend bool operator==(const tally& a, const tally& b) { return a.count_ == b.count_ && a.mixed_ == b.mixed_; }

 private:
  std::atomic<std::uint64_t> count_{0};
  std::atomic<std::uint64_t> mixed_{0};
};

struct broken : std::exception {};

/// Which of its sender's items it is, and for which channel. Its number goes with the moves; one that dies with a
/// number was lost.
template <bool breaks>
class item {
 public:
  item(unsigned by, std::uint64_t n, std::uint64_t channel) : sender(by), number(n), generation(channel) {}
  item(item&& other) noexcept(!breaks) : sender(other.sender), generation(other.generation) {
    if constexpr (breaks) {
      static thread_local dice d(reinterpret_cast<std::uintptr_t>(&d));
      if (d.roll(1000) == 0) throw broken();
    }
    number = std::exchange(other.number, 0);
  }
  item& operator=(item&&) = delete;
  ~item() {
    if (number != 0) lost.add(sender, number);
  }
  /// It has come where it belongs.
  std::uint64_t take() { return std::exchange(number, 0); }

  unsigned sender;
  std::uint64_t number = 0;  // from 1; 0 when it was moved from
  std::uint64_t generation;

  static inline tally lost;
};

constexpr std::size_t slots = 4;

/// The channels, what went into them and what came out.
template <class Item>
class world {
 public:
  /// A channel that somebody may close, and that another one replaces then.
  struct place {
    template <class Size>
    place(Size capacity, world& w, std::uint64_t g) : items(capacity), owner(w), generation(g) {}
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    ~place() {
      for (;;) {
        try {
          auto left = items.try_receive();
          if (!left) break;
          const std::uint64_t number = left->take();
          owner.received.add(left->sender, number);
        } catch (const broken&) {
        }
      }
    }
    weir::channel<Item> items;
    world& owner;
    const std::uint64_t generation;
  };
  using held = std::shared_ptr<place>;

  world() {
    for (std::size_t s = 0; s < slots; ++s) replace(s);
    Item::lost.clear();
  }

  held at(std::size_t slot) {
    const std::lock_guard guard(mutex_);
    return places_[slot];
  }
  /// Closes the channel in `slot`, so that whoever waits there comes back for the new one.
  void replace(std::size_t slot) {
    const std::uint64_t g = ++generations_;
    held made = slot == 3 ? std::make_shared<place>(weir::unbounded, *this, g)
                          : std::make_shared<place>(std::array<std::size_t, 3>{0, 1, 16}[slot], *this, g);
    {
      const std::lock_guard guard(mutex_);
      std::swap(places_[slot], made);
    }
    if (made) made->items.close();
  }
  void close_all() {
    for (std::size_t s = 0; s < slots; ++s) at(s)->items.close();
  }
  /// After everybody has gone.
  void check(bool may_break) {
    for (held& p : places_) p.reset();
    if (!may_break && Item::lost.count() != 0) fail("an item died on its way");
    const std::uint64_t came = received.count();
    received.add(Item::lost);  // what a move that threw has left behind
    if (!(sent == received)) {
      fail("of " + std::to_string(sent.count()) + " items " + std::to_string(came) + " arrived and " +
           std::to_string(Item::lost.count()) + " were lost");
    }
  }

  tally sent;
  tally received;

 private:
  std::mutex mutex_;
  std::array<held, slots> places_;  // guarded by mutex_
  std::atomic<std::uint64_t> generations_{0};
};

/// A cancellation that others may request at any time.
class victim {
 public:
  void cancel() {
    const std::lock_guard guard(mutex_);
    source_->request_cancellation();
  }
  /// Between the operations of its owner.
  weir::cancellation_token token() {
    const std::lock_guard guard(mutex_);
    if (source_->is_cancellation_requested()) source_ = std::make_unique<weir::cancellation_source>();
    return source_->token();
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<weir::cancellation_source> source_ = std::make_unique<weir::cancellation_source>();  // guarded
};

/// What tasks and threads have in common: their numbers, and what they have seen of others'.
template <class Item>
class party {
 public:
  using held = typename world<Item>::held;

  party(world<Item>& w, unsigned id, std::uint64_t seed) : world_(w), id_(id), dice_(seed * 1000 + id) {}
  party(const party&) = delete;
  party& operator=(const party&) = delete;
  ~party() {
    world_.sent.add(sent_);
    world_.received.add(received_);
  }

 protected:
  held some(std::size_t& slot) {
    slot = dice_.roll(slots);
    return world_.at(slot);
  }
  Item make(const held& in) { return Item(id_, next_, in->generation); }

  void sent_or_not(Item& one, bool was_sent) {
    if (was_sent) {
      if (one.number != 0) fail("an item was sent and not moved from");
      sent_.add(id_, next_++);
    } else {
      not_sent(one);
    }
  }
  void not_sent(Item& one) {
    if (one.take() != next_) fail("an item was not sent, but touched");
  }
  void got(std::size_t slot, const held& from, std::optional<Item>& one) {
    if (!one) return;
    if (one->generation != from->generation) fail("an item came out of another channel than it was sent to");
    const std::uint64_t number = one->take();
    if (number == 0) fail("an item was received twice");
    if (one->sender >= last_.size()) last_.resize(one->sender + 1);
    latest& last = last_[one->sender][slot];
    if (last.generation == one->generation && last.number >= number) fail("an item has overtaken another one");
    last = {one->generation, number};
    received_.add(one->sender, number);
  }
  void close_some() {
    std::size_t slot = 0;
    const held other = some(slot);
    if (dice_.roll(2) == 0) other->items.close();  // for a while everybody finds it closed
    world_.replace(slot);
  }

  world<Item>& world_;
  const unsigned id_;
  dice dice_;

 private:
  struct latest {
    std::uint64_t generation = 0;
    std::uint64_t number = 0;
  };
  std::uint64_t next_ = 1;
  tally sent_;
  tally received_;
  std::vector<std::array<latest, slots>> last_;  // by sender
};

/// A task.
template <class Item>
class actor : party<Item> {
  using base = party<Item>;
  using typename base::held;

 public:
  actor(world<Item>& w, unsigned id, std::uint64_t seed, std::vector<victim>& victims, std::size_t me)
      : base(w, id, seed), victims_(victims), me_(me) {}

  weir::task<> run(std::uint64_t operations) {
    for (std::uint64_t n = 0; n < operations; ++n) {
      token_ = victims_[me_].token();
      switch (this->dice_.roll(16)) {
        case 0:
        case 1:
        case 2:
          co_await send();
          break;
        case 3:
        case 4:
        case 5:
          co_await receive();
          break;
        case 6:
          co_await reserve();
          break;
        case 7:
        case 8:
          co_await select_both();
          break;
        case 9:
          co_await select_sends();
          break;
        case 10:
        case 11:
          co_await select_receives();
          break;
        case 12:
          try_all();
          break;
        case 13:
          co_await weir::yield();
          break;
        case 14:
          victims_[this->dice_.roll(static_cast<unsigned>(victims_.size()))].cancel();
          break;
        case 15:
          if (this->dice_.roll(20) == 0) this->close_some();
          break;
      }
    }
  }

 private:
  weir::duration moment() { return std::chrono::microseconds(this->dice_.roll(40)); }
  template <class Op>
  auto limited(Op op) {
    return weir::as_result(weir::with_cancellation(token_, weir::with_timeout(moment(), std::move(op))));
  }
  /// What went wrong was one of what may go wrong.
  template <class Result>
  static bool completed(const Result& r) {
    if (r.has_value()) return true;
    if (r.is_cancelled() || r.error() == std::errc::timed_out) return false;
    try {
      std::rethrow_exception(r.exception());
    } catch (const broken&) {
      return false;
    }
  }

  weir::task<> send() {
    std::size_t slot = 0;
    const held to = this->some(slot);
    Item one = this->make(to);
    const auto r = co_await limited(to->items.send(std::move(one)));
    this->sent_or_not(one, completed(r) && *r);
  }
  weir::task<> receive() {
    std::size_t slot = 0;
    const held from = this->some(slot);
    auto r = co_await limited(from->items.receive());
    if (completed(r)) this->got(slot, from, *r);
  }
  weir::task<> reserve() {
    std::size_t slot = 0;
    const held to = this->some(slot);
    if (slot == 0) co_return;
    auto r = co_await limited(to->items.reserve());
    if (!completed(r) || !*r) co_return;
    if (this->dice_.roll(2) == 0) co_await weir::yield();
    if (this->dice_.roll(4) == 0) co_return;
    Item one = this->make(to);
    bool sent = false;
    try {
      sent = r->send(std::move(one));
    } catch (const broken&) {
    }
    this->sent_or_not(one, sent);
  }
  weir::task<> select_both() {
    std::size_t in = 0;
    std::size_t out = 0;
    const held from = this->some(in);
    const held to = this->some(out);  // maybe the same
    Item one = this->make(to);
    auto r = co_await limited(
        weir::select(from->items.receive(), to->items.send(std::move(one)), weir::sleep_for(moment())));
    const bool done = completed(r);
    this->sent_or_not(one, done && r->index() == 1 && r->template get<1>());
    if (done && r->index() == 0) this->got(in, from, r->template get<0>());
  }
  weir::task<> select_sends() {
    std::size_t slot = 0;
    const held to = this->some(slot);
    const held other = this->some(slot);
    const held room = this->world_.at(2);
    Item one = this->make(to);
    Item two = this->make(other);
    auto r = co_await limited(
        weir::select_ordered(to->items.send(std::move(one)), other->items.send(std::move(two)), room->items.reserve()));
    const bool done = completed(r);
    // The one that was not sent first: it still has the number that is used up then.
    if (done && r->index() == 1) {
      this->not_sent(one);
      this->sent_or_not(two, r->template get<1>());
    } else {
      this->not_sent(two);
      this->sent_or_not(one, done && r->index() == 0 && r->template get<0>());
    }
  }
  weir::task<> select_receives() {
    std::size_t first = 0;
    std::size_t second = 0;
    const held from = this->some(first);
    const held other = this->some(second);
    auto r = co_await limited(
        weir::select(from->items.receive(), weir::sleep_for(moment()), other->items.receive(), from->items.receive()));
    if (!completed(r)) co_return;
    if (r->index() == 0) this->got(first, from, r->template get<0>());
    if (r->index() == 2) this->got(second, other, r->template get<2>());
    if (r->index() == 3) this->got(first, from, r->template get<3>());
  }
  void try_all() {
    std::size_t in = 0;
    std::size_t out = 0;
    const held from = this->some(in);
    const held to = this->some(out);
    Item one = this->make(to);
    bool sent = false;
    try {
      if (auto chosen = weir::try_select(from->items.receive(), to->items.send(std::move(one)))) {
        if (chosen->index() == 0) this->got(in, from, chosen->template get<0>());
        sent = chosen->index() == 1 && chosen->template get<1>();
      }
    } catch (const broken&) {
    }
    this->sent_or_not(one, sent);
  }

  std::vector<victim>& victims_;
  const std::size_t me_;
  weir::cancellation_token token_;
};

/// A thread outside of all runtimes.
template <class Item>
class outsider : party<Item> {
  using base = party<Item>;
  using typename base::held;

 public:
  using base::base;

  void run(const std::atomic<bool>& stop) {
    while (!stop) {
      try {
        operation();
      } catch (const broken&) {
      }
    }
  }

 private:
  void operation() {
    std::size_t slot = 0;
    const held here = this->some(slot);
    const unsigned what = this->dice_.roll(10);
    if (what < 2) {
      auto one = here->items.receive_blocking();
      this->got(slot, here, one);
    } else if (what < 5) {
      auto one = here->items.try_receive();
      this->got(slot, here, one);
    } else if (what < 9) {
      Item one = this->make(here);
      bool sent = false;
      try {
        if (what < 7) {
          sent = here->items.send_blocking(std::move(one));
        } else {
          sent = here->items.try_send(std::move(one));
        }
      } catch (const broken&) {
      }
      this->sent_or_not(one, sent);
    } else if (this->dice_.roll(100) == 0) {
      this->close_some();
    }
  }
};

/// Runs `count` actors, whose numbers begin with `first`, on a runtime of their own.
template <class Item>
void run_actors(world<Item>& w, unsigned first, unsigned count, std::uint64_t operations, std::uint64_t seed,
                weir::runtime_options options) {
  std::vector<victim> victims(count);
  std::vector<std::unique_ptr<actor<Item>>> actors;
  for (unsigned i = 0; i < count; ++i) {
    actors.push_back(std::make_unique<actor<Item>>(w, first + i, seed, victims, i));
  }
  auto body = [&](weir::task_group& g) -> weir::task<> {
    for (auto& a : actors) g.spawn([&one = *a, n = operations / count] { return one.run(n); });
    co_await g.join();
  };
  auto main = [&]() -> weir::task<> { co_await weir::with_task_group(body); };
  weir::run(main(), options);
}

template <class Item>
void report(const char* part, const world<Item>& w, std::chrono::steady_clock::time_point start) {
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%s: %llu items sent, none lost, in %.1f s\n", part, static_cast<unsigned long long>(w.sent.count()),
              took.count());
  std::fflush(stdout);
}

template <bool breaks>
void four_workers(std::uint64_t operations, std::uint64_t seed) {
  const auto start = std::chrono::steady_clock::now();
  world<item<breaks>> w;
  run_actors(w, 0, 12, operations, seed, {.workers = 4});
  w.check(breaks);
  report(breaks ? "four workers, moves that throw" : "four workers", w, start);
}

template <bool breaks>
void two_runtimes_and_threads(std::uint64_t operations, std::uint64_t seed) {
  const auto start = std::chrono::steady_clock::now();
  world<item<breaks>> w;
  std::atomic<bool> stop{false};
  std::atomic<int> left{2};
  std::vector<std::thread> outside;
  for (unsigned i = 0; i < 2; ++i) {
    outside.emplace_back([&, i] {
      outsider<item<breaks>>(w, 20 + i, seed).run(stop);
      --left;
    });
  }
  std::thread other([&] { run_actors(w, 10, 4, operations / 2, seed, {.workers = 1}); });
  run_actors(w, 0, 6, operations / 2, seed, {.workers = 2});
  other.join();
  stop = true;
  while (left != 0) {
    w.close_all();
    std::this_thread::sleep_for(1ms);
  }
  for (std::thread& t : outside) t.join();
  w.check(breaks);
  report(breaks ? "two runtimes and threads, moves that throw" : "two runtimes and threads", w, start);
}

}  // namespace

int main(int count, char** arguments) {
  std::uint64_t operations = default_operations;
  std::uint64_t seed = 1;
  if (const char* asked = std::getenv("WEIR_STRESS_OPERATIONS")) operations = std::stoull(asked);
  if (count > 1) operations = std::stoull(arguments[1]);
  if (count > 2) seed = std::stoull(arguments[2]);
  four_workers<false>(operations, seed);
  four_workers<true>(operations, seed);
  two_runtimes_and_threads<false>(operations, seed);
  two_runtimes_and_threads<true>(operations, seed);
}
