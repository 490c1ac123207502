#include <array>
#include <cstring>
#include <string_view>
#include <unordered_set>

#include "support.hpp"

// A model of how workers park, are woken and search (runtime/detail/worker.cpp: idle, begin_watch, leave_rest, steal,
// end_search, work_is_left; runtime_core::wake_one, wake_helper, inject, take_injected; worker::post), with one step
// for each access to what threads share, in the order of the code. Every interleaving of the steps is tried. What is
// sequentially consistent or under a lock in the code is one step here.
//
// How long a worker was busy is not in it: whenever it parks, wake-ups may pause or not, and a pause may end at any
// time. Nor are timers (like completions of I/O they bring a worker something of its own), spawn_on and nudges (like
// messages), simulations, the 61st picks. A task ends at once or never: both are tried, for "never" is what shows that
// a worker rests beside work that nobody is about to start.

namespace {

constexpr int most_workers = 3;
constexpr int most_threads = 5;

/// One thing done wrong on purpose, to see that the model finds it.
enum class mistake : std::uint8_t {
  none,
  checks_before_announcing,  // idle() looks for work before it says that it parks
  checks_no_queues,          // idle() does not look at the other queues once it has said so
  gives_up_too_early,        // wake_one() does not look again after it has found nobody to wake
  leaves_the_rest,           // end_search() wakes nobody for what is left
  forgets_what_it_saw,       // leave_rest() does not search for what idle() has seen elsewhere
  pushes_late,               // inject() wakes before it has put the task into the queue
  pauses_for_good,           // leave_rest() does not end the pause that the worker has watched
};

enum class rest : std::uint8_t { awake, parked, to_search };

/// Where a thread stands: what it does next.
enum class at : std::uint8_t {
  // Workers.
  turn,
  take_injected,
  append_share,
  running,
  deliver,
  poll,
  idle,
  steal,
  take_loot,
  end_search,
  left_injected,
  left_queue,
  begin_watch,
  announce,
  count_parked,
  look_injected,
  look_queue,
  rest,
  uncount,
  unrest,
  end_watch,
  see_found,
  stuck,
  // wake_helper(), by workers.
  help,
  // wake_one(), by anybody.
  wake,
  wake_searching,
  wake_claim_search,
  wake_find,
  wake_signal,
  wake_give_up,
  wake_look_again,
  // Threads outside.
  outside,
  outside_late,
  outside_wake,
  ended,
};

struct thread {
  at next = at::turn;
  at back = at::turn;      // where wake_one() returns to
  std::uint8_t index = 0;  // in a loop over workers
  std::uint8_t loot = 0;   // stolen or taken, and nowhere else
  bool found = false;
  bool back_to_turn = false;  // it has parked before it searches, and does not park again at once
  bool here = false;          // idle() has seen work of its own
  bool elsewhere = false;     // ... and of others
  bool watching = false;      // wake-ups pause, and it will end that
  bool called = false;        // it was woken to search
  std::uint8_t todo = 0;      // tasks that it will still spawn or inject
  std::uint8_t posts = 0;     // messages that it will still post, to worker 0; completions that it will still find
};

struct state {
  std::array<thread, most_threads> threads{};
  std::array<std::uint8_t, most_workers> queue{};
  std::array<std::uint8_t, most_workers> inbox{};
  std::array<rest, most_workers> resting{};
  std::array<bool, most_workers> signalled{};  // the eventfd
  std::uint8_t injected = 0;
  std::uint8_t parked = 0;
  std::uint8_t searching = 0;
  bool pause = false;  // of wake-ups by workers

  bool operator==(const state& other) const { return std::memcmp(this, &other, sizeof *this) == 0; }
};
static_assert(std::has_unique_object_representations_v<state>);

struct hash {
  std::size_t operator()(const state& s) const {
    return std::hash<std::string_view>()({reinterpret_cast<const char*>(&s), sizeof s});
  }
};

struct setting {
  int workers = 2;
  int spawns = 0;                         // by a task that runs on worker 0 when it begins
  std::array<std::uint8_t, 2> injects{};  // by threads outside
  std::array<std::uint8_t, 2> posts{};
  int completions = 0;  // of I/O, that worker 0 finds when it polls
  bool pauses = true;   // wake-ups may pause
  mistake planted = mistake::none;
};

class model {
 public:
  explicit model(const setting& s) : setting_(s) {}

  /// Tries everything. Empty, or what can go wrong.
  std::string explore() {
    state first;
    for (int w = 0; w < setting_.workers; ++w) first.threads[index(w)].next = at::turn;
    if (setting_.spawns != 0) {
      first.threads[0].next = at::running;
      first.threads[0].todo = static_cast<std::uint8_t>(setting_.spawns);
    }
    first.threads[0].posts = static_cast<std::uint8_t>(setting_.completions);
    for (std::size_t p = 0; p < 2; ++p) {
      thread& t = first.threads[index(setting_.workers) + p];
      t.next = setting_.injects[p] + setting_.posts[p] != 0 ? at::outside : at::ended;
      t.todo = setting_.injects[p];
      t.posts = setting_.posts[p];
    }
    reach(first);
    while (!open_.empty() && wrong_.empty()) {
      const state s = open_.back();
      open_.pop_back();
      bool moves = false;
      for (int t = 0; t < setting_.workers + 2; ++t) moves = step(s, t) || moves;
      if (!moves) look_at_the_end(s);
    }
    return wrong_;
  }
  [[nodiscard]] std::size_t states() const { return seen_.size(); }

 private:
  static std::size_t index(int i) { return static_cast<std::size_t>(i); }

  void reach(state s) {
    // What a thread does not look at any more would only make more states.
    for (thread& x : s.threads) {
      const bool waking = x.next >= at::help && x.next <= at::wake_look_again;
      if (!waking && !loops(x.next)) x.index = 0;
      if (!waking) x.back = at::turn;
      if (x.next < at::count_parked || x.next > at::end_watch) x.here = x.elsewhere = false;
      if (x.next < at::announce || x.next > at::end_watch) x.watching = false;
      if (x.next != at::end_watch) x.called = false;
      const at then = waking ? x.back : x.next;
      if (then < at::steal || then > at::left_queue) x.found = false;
      if (then < at::steal || then > at::see_found) x.back_to_turn = false;
    }
    if (seen_.insert(s).second) open_.push_back(s);
  }
  static bool loops(at next) { return next == at::steal || next == at::left_queue || next == at::look_queue; }

  /// Nobody can go on: then nothing may be left that somebody could do.
  void look_at_the_end(const state& s) {
    bool resting = false;
    bool left = s.injected != 0;
    int parked = 0;
    for (int w = 0; w < setting_.workers; ++w) {
      const bool rests = s.threads[index(w)].next == at::rest;
      resting = resting || rests;
      parked += rests;
      left = left || s.queue[index(w)] != 0;
      if (rests && s.inbox[index(w)] != 0) wrong_ = "a worker rests on a message";
    }
    if (resting && left) wrong_ = "a worker rests beside work that nobody is about to start";
    if (s.pause) wrong_ = "wake-ups pause, and nobody will end that";
    if (s.searching != 0) wrong_ = "somebody counts as searching and is not";
    if (s.parked != parked) wrong_ = "the parked ones are counted wrongly";
  }

  /// What thread `t` can do next; false when it cannot go on.
  bool step(state s, int t) {
    const std::size_t me = index(t);
    thread& x = s.threads[me];
    const auto workers = static_cast<std::uint8_t>(setting_.workers);
    const auto go = [&](at next) {
      x.next = next;
      reach(s);
      return true;
    };
    const auto loop = [&](at next) {
      x.index = 0;
      return go(next);
    };
    /// In a loop over all workers but oneself, beginning behind oneself.
    const auto victim = [&] { return (me + 1 + x.index) % workers; };
    const auto others_left = [&] { return x.index + 1 < workers; };
    const auto wake_one = [&](at back) {
      x.back = back;
      return go(at::wake);
    };
    const auto back = [&] {
      const at to = x.back;
      x.back = at::turn;
      x.index = 0;
      return go(to);
    };

    switch (x.next) {
      case at::turn:  // next_frame()
        x.found = x.back_to_turn = x.here = x.elsewhere = false;
        x.index = 0;
        if (s.queue[me] != 0) {
          --s.queue[me];
          return go(at::running);
        }
        if (s.injected != 0) return go(at::take_injected);
        return go(at::deliver);
      case at::take_injected: {
        if (s.injected == 0) return go(at::deliver);
        --s.injected;
        x.loot = static_cast<std::uint8_t>(s.injected / workers);
        s.injected = static_cast<std::uint8_t>(s.injected - x.loot);
        return go(x.loot != 0 ? at::append_share : at::running);
      }
      case at::append_share:
        s.queue[me] = static_cast<std::uint8_t>(s.queue[me] + std::exchange(x.loot, std::uint8_t{0}));
        return wake_one(at::running);
      case at::running:
        if (x.todo != 0) {
          --x.todo;
          ++s.queue[me];
          x.back = at::running;
          return go(at::help);
        }
        go(at::stuck);
        return go(at::turn);
      case at::stuck:
        return false;
      case at::deliver: {  // what comes by message is ready here; the second such task is for a helper
        const bool delivered = s.inbox[me] != 0;
        s.queue[me] = static_cast<std::uint8_t>(s.queue[me] + std::exchange(s.inbox[me], std::uint8_t{0}));
        x.back = s.queue[me] != 0 || s.injected != 0 ? at::poll : at::idle;
        return go(delivered && s.queue[me] >= 2 ? at::help : x.back);
      }
      case at::poll:
        reach_polled(s, me, at::turn);
        return true;

      case at::idle:
        ++s.searching;
        return loop(at::steal);
      case at::steal: {
        std::uint8_t& queue = s.queue[victim()];
        if (queue != 0) {
          x.loot = static_cast<std::uint8_t>((queue + 1) / 2);
          queue = static_cast<std::uint8_t>(queue - x.loot);
          return go(at::take_loot);
        }
        ++x.index;
        return go(others_left() ? at::steal : at::end_search);
      }
      case at::take_loot:
        s.queue[me] = static_cast<std::uint8_t>(s.queue[me] + std::exchange(x.loot, std::uint8_t{0}));
        x.found = true;
        return go(at::end_search);
      case at::end_search: {
        if (--s.searching == 0 && setting_.planted != mistake::leaves_the_rest) return loop(at::left_injected);
        return loop(after_end(x));
      }
      case at::left_injected:
        if (s.injected + s.queue[me] > 1) return wake_one(after_end(x));
        return loop(at::left_queue);
      case at::left_queue:
        if (s.queue[victim()] > 1 || (s.queue[victim()] == 1 && !about_to_run(s.threads[victim()]))) {
          return wake_one(after_end(x));
        }
        ++x.index;
        return go(others_left() ? at::left_queue : after_end(x));

      case at::begin_watch:
        go(at::announce);
        if (!setting_.pauses || std::exchange(s.pause, true)) return true;
        x.watching = true;
        return go(at::announce);
      case at::announce:
        s.resting[me] = rest::parked;
        return go(at::count_parked);
      case at::count_parked:
        ++s.parked;
        if (setting_.planted == mistake::checks_before_announcing) return go(at::rest);
        x.here = s.inbox[me] != 0;
        return go(at::look_injected);
      case at::look_injected:
        if (setting_.planted == mistake::checks_before_announcing && s.inbox[me] != 0) x.here = true;
        x.elsewhere = s.injected != 0;
        return loop(setting_.planted == mistake::checks_no_queues ? at::rest : at::look_queue);
      case at::look_queue:
        if (s.queue[x.index] != 0) x.elsewhere = true;
        if (++x.index < workers) return go(at::look_queue);
        return loop(setting_.planted == mistake::checks_before_announcing ? at::announce : at::rest);
      case at::rest:
        if (x.here || x.elsewhere) {
          reach_polled(s, me, at::uncount);
          return true;
        }
        if (x.watching) go(at::uncount);  // it has rested long enough
        if (!s.signalled[me]) return x.watching;
        s.signalled[me] = false;
        return go(at::uncount);
      case at::uncount:
        --s.parked;
        return go(at::unrest);
      case at::unrest: {
        x.called = std::exchange(s.resting[me], rest::awake) == rest::to_search;
        x.back_to_turn = true;
        if (x.watching) return go(at::end_watch);
        if (x.called) return go(at::see_found);
        if (!x.elsewhere || setting_.planted == mistake::forgets_what_it_saw) return go(at::turn);
        ++s.searching;
        return go(at::see_found);
      }
      case at::end_watch:
        s.pause = setting_.planted == mistake::pauses_for_good;
        if (!x.called) ++s.searching;
        return go(at::see_found);
      case at::see_found:
        if (s.queue[me] != 0 || s.inbox[me] != 0) {
          x.found = true;
          return go(at::end_search);
        }
        if (s.injected == 0) return loop(at::steal);
        --s.injected;
        x.loot = static_cast<std::uint8_t>(1 + s.injected / workers);
        s.injected = static_cast<std::uint8_t>(s.injected + 1 - x.loot);
        return go(at::take_loot);

      case at::help:
        return s.pause ? back() : go(at::wake);
      case at::wake:
        return s.parked == 0 ? back() : go(at::wake_searching);
      case at::wake_searching:
        return s.searching != 0 ? back() : go(at::wake_claim_search);
      case at::wake_claim_search:
        if (s.searching != 0) return back();
        s.searching = 1;
        return loop(at::wake_find);
      case at::wake_find:
        if (s.resting[x.index] == rest::parked) {
          s.resting[x.index] = rest::to_search;
          return go(at::wake_signal);
        }
        if (++x.index < workers) return go(at::wake_find);
        return go(at::wake_give_up);
      case at::wake_signal:
        s.signalled[x.index] = true;
        return back();
      case at::wake_give_up:
        --s.searching;
        if (setting_.planted == mistake::gives_up_too_early) return back();
        return loop(at::wake_look_again);
      case at::wake_look_again:
        if (s.resting[x.index] == rest::parked) return go(at::wake_claim_search);
        if (++x.index < workers) return go(at::wake_look_again);
        return back();

      case at::outside:  // inject() and post()
        if (x.todo != 0) {
          state with_task = s;
          thread& y = with_task.threads[me];
          --y.todo;
          const bool late = setting_.planted == mistake::pushes_late;
          if (!late) ++with_task.injected;
          y.back = late ? at::outside_late : at::outside;
          y.next = at::wake;
          reach(with_task);
        }
        if (x.posts != 0) {
          --x.posts;
          ++s.inbox[0];
          return go(at::outside_wake);
        }
        return x.todo != 0 || go(at::ended);
      case at::outside_late:
        ++s.injected;
        return go(at::outside);
      case at::outside_wake:
        if (s.resting[0] == rest::parked) {
          s.resting[0] = rest::awake;
          s.signalled[0] = true;
        }
        return go(at::outside);
      case at::ended:
        return false;
    }
    return false;
  }

  static bool about_to_run(const thread& x) {
    return x.next == at::end_search || x.next == at::left_injected || x.next == at::left_queue;
  }
  /// Of a search. A worker with empty hands parks; one that comes from there goes round once more.
  [[nodiscard]] at after_end(const thread& x) const {
    if (x.found || x.back_to_turn) return at::turn;
    return setting_.planted == mistake::checks_before_announcing ? at::look_injected : at::begin_watch;
  }

  /// A poll may take a signal that is there, or not see it yet; and so for a completion.
  void reach_polled(state s, std::size_t me, at next) {
    s.threads[me].next = next;
    reach(s);
    if (s.threads[me].posts != 0) {
      state completed = s;
      --completed.threads[me].posts;
      if (++completed.queue[me] >= 2) {
        completed.threads[me].back = next;
        completed.threads[me].next = at::help;
      }
      reach(completed);
    }
    if (!s.signalled[me]) return;
    s.signalled[me] = false;
    reach(s);
  }

  const setting setting_;
  std::unordered_set<state, hash> seen_;
  std::vector<state> open_;
  std::string wrong_;
};

std::string explore(const setting& s) {
  model m(s);
  std::string wrong = m.explore();
  CHECK(m.states() > 50);
  return wrong;
}

}  // namespace

TEST_CASE("parking model: no worker rests beside work, however the steps interleave") {
  CHECK(explore({.workers = 2, .spawns = 3}) == "");
  CHECK(explore({.workers = 2, .injects = {2, 0}, .pauses = false}) == "");
  CHECK(explore({.workers = 2, .injects = {1, 0}, .posts = {1, 0}}) == "");
  CHECK(explore({.workers = 2, .injects = {1, 0}, .completions = 1}) == "");
  CHECK(explore({.workers = 2, .posts = {1, 0}, .completions = 1}) == "");
  if (test::sanitized) return;
  CHECK(explore({.workers = 2, .injects = {3, 0}, .pauses = false}) == "");
  CHECK(explore({.workers = 3, .spawns = 1, .pauses = false}) == "");
}

TEST_CASE("parking model: it finds what is done wrong on purpose") {
  const std::string rests = "a worker rests beside work that nobody is about to start";
  const auto found = [](setting s, mistake planted) {
    s.pauses = false;
    s.planted = planted;
    return explore(s);
  };
  CHECK(found({.workers = 2, .injects = {1, 0}}, mistake::checks_before_announcing) == rests);
  CHECK(found({.workers = 2, .injects = {1, 0}}, mistake::pushes_late) == rests);
  CHECK(found({.workers = 2, .spawns = 1}, mistake::checks_no_queues) == rests);
  CHECK(found({.workers = 2, .injects = {2, 0}}, mistake::leaves_the_rest) == rests);
  CHECK(found({.workers = 2, .injects = {1, 0}, .completions = 1}, mistake::forgets_what_it_saw) == rests);
  CHECK(found({.workers = 2, .injects = {1, 1}, .posts = {1, 0}}, mistake::gives_up_too_early) == rests);
  CHECK(explore({.workers = 2, .spawns = 2, .planted = mistake::pauses_for_good}) != "");
}
