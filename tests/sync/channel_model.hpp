#pragma once

#include <algorithm>
#include <cstddef>
#include <set>
#include <vector>

// What channels and selects may do, said as plainly as possible: small programs over channels, and every outcome that
// some order of their steps allows. The library must never do anything else.

namespace model {

/// One case of a select, or an operation alone.
struct action {
  enum kinds : int { send, receive, reserve };
  kinds kind;
  std::size_t channel;
};

/// One step of a task.
struct step {
  enum kinds : int {
    wait,    ///< for one of `cases`: alone, with select or with select_ordered
    close,   ///< `channel`
    use,     ///< the permit that the task holds, if it holds one
    drop,    ///< it
    cancel,  ///< step `target_step` of task `target`
  };
  kinds kind = wait;
  std::vector<action> cases;
  bool in_select = false;
  bool ordered = false;
  std::size_t channel = 0;
  std::size_t target = 0;
  std::size_t target_step = 0;
};

struct program {
  std::vector<std::size_t> capacities;
  std::vector<std::vector<step>> tasks;
};

// How a step ended. A case adds 1000 times its index; what was received is `received` plus the item.
enum results : int { not_reached, blocked, cancelled, refused, sent, ended, no_permit, permit, done, received = 100 };

/// The item that a task sends with a case of a step.
constexpr int item_of(std::size_t task, std::size_t step, std::size_t which) {
  return static_cast<int>(task * 100 + step * 10 + which);
}

/// The results of all steps, and then, with -1 before each channel, what is left in them.
using outcome = std::vector<int>;

class world {
 public:
  explicit world(const program& p) : program_(&p) {
    for (const std::size_t capacity : p.capacities) channels_.push_back({capacity, {}, {}, {}, false, 0});
    for (const auto& steps : p.tasks) {
      tasks_.push_back({std::vector<int>(steps.size(), not_reached), std::vector<int>(steps.size(), 0), 0, false, -1});
    }
  }

  /// All ways in which the program can end.
  static std::set<outcome> outcomes(const program& p) {
    std::set<outcome> ends;
    std::set<std::vector<int>> seen;
    std::vector<world> open{world(p)};
    while (!open.empty()) {
      const world w = std::move(open.back());
      open.pop_back();
      if (!seen.insert(w.key()).second) continue;
      bool over = true;
      for (std::size_t t = 0; t < w.tasks_.size(); ++t) {
        if (w.tasks_[t].waits || w.tasks_[t].at == p.tasks[t].size()) continue;
        over = false;
        w.steps_of(t, open);
      }
      if (over) ends.insert(w.end());
    }
    return ends;
  }

 private:
  struct waiter {
    std::size_t task;
    std::size_t which;
    bool has_item;
  };
  struct state {
    std::size_t capacity;
    std::vector<int> items;
    std::vector<waiter> senders;
    std::vector<waiter> receivers;
    bool closed;
    std::size_t reserved;
    [[nodiscard]] bool has_room() const { return items.size() + reserved < capacity; }
    [[nodiscard]] bool at_end() const { return closed && items.empty() && reserved == 0; }
  };
  struct task {
    std::vector<int> results;
    std::vector<int> cancelled;  // steps whose token was cancelled
    std::size_t at;
    bool waits;
    int permit;  // the channel that gave it, or -1
  };

  /// Every state that follows from task `t` doing its next step.
  void steps_of(std::size_t t, std::vector<world>& next) const {
    const step& s = program_->tasks[t][tasks_[t].at];
    if (s.kind != step::wait) {
      next.push_back(*this);
      next.back().act(t, s);
      return;
    }
    if (tasks_[t].cancelled[tasks_[t].at]) {
      next.push_back(*this);
      next.back().finish(t, cancelled);
      return;
    }
    bool any = false;
    for (std::size_t i = 0; i < s.cases.size(); ++i) {
      if (!can(s.cases[i]) || (any && s.ordered)) continue;
      any = true;
      next.push_back(*this);
      next.back().commit(t, i, s.cases[i]);
    }
    if (any) return;
    next.push_back(*this);
    for (std::size_t i = 0; i < s.cases.size(); ++i) {
      state& c = next.back().channels_[s.cases[i].channel];
      (s.cases[i].kind == action::receive ? c.receivers : c.senders).push_back({t, i, s.cases[i].kind == action::send});
    }
    next.back().tasks_[t].waits = true;
  }

  [[nodiscard]] bool can(const action& a) const {
    const state& c = channels_[a.channel];
    switch (a.kind) {
      case action::send:
        return c.closed || c.has_room() || !c.receivers.empty();
      case action::reserve:
        return c.closed || c.has_room();
      case action::receive:
        return !c.items.empty() || c.at_end() ||
               std::any_of(c.senders.begin(), c.senders.end(), [](const waiter& w) { return w.has_item; });
    }
    return false;
  }

  void commit(std::size_t t, std::size_t which, const action& a) {
    state& c = channels_[a.channel];
    const int base = static_cast<int>(which) * 1000;
    switch (a.kind) {
      case action::send:
        if (!c.closed) place(c, item_of(t, tasks_[t].at, which));
        finish(t, base + (c.closed ? refused : sent));
        break;
      case action::reserve:
        finish(t, base + (c.closed ? no_permit : permit));
        if (!c.closed) grant(t, a.channel);
        break;
      case action::receive:
        if (!c.items.empty()) {
          const int item = c.items.front();
          c.items.erase(c.items.begin());
          admit(a.channel);
          finish(t, base + received + item);
          return;
        }
        for (const waiter& w : c.senders) {
          if (!w.has_item) continue;
          const waiter from = w;
          finish(t, base + received + item_of(from.task, tasks_[from.task].at, from.which));
          finish(from.task, static_cast<int>(from.which) * 1000 + sent);
          return;
        }
        finish(t, base + ended);
        break;
    }
  }

  void act(std::size_t t, const step& s) {
    switch (s.kind) {
      case step::wait:
        break;
      case step::close: {
        state& c = channels_[s.channel];
        c.closed = true;
        while (!c.senders.empty()) {
          const waiter w = c.senders.front();
          finish(w.task, static_cast<int>(w.which) * 1000 + (w.has_item ? refused : no_permit));
        }
        end_receivers(c);
        break;
      }
      case step::use:
      case step::drop:
        if (tasks_[t].permit >= 0) {
          const auto channel = static_cast<std::size_t>(tasks_[t].permit);
          state& c = channels_[channel];
          --c.reserved;
          tasks_[t].permit = -1;
          if (s.kind == step::use) place(c, item_of(t, tasks_[t].at, 9));
          if (!c.closed) admit(channel);
          end_receivers(c);
        }
        break;
      case step::cancel:
        tasks_[s.target].cancelled[s.target_step] = 1;
        if (tasks_[s.target].waits && tasks_[s.target].at == s.target_step) finish(s.target, cancelled);
        break;
    }
    finish(t, done);
  }

  void place(state& c, int item) {
    if (c.receivers.empty()) {
      c.items.push_back(item);
      return;
    }
    const waiter first = c.receivers.front();
    finish(first.task, static_cast<int>(first.which) * 1000 + received + item);
  }
  void grant(std::size_t t, std::size_t channel) {
    ++channels_[channel].reserved;
    tasks_[t].permit = static_cast<int>(channel);
  }
  void admit(std::size_t channel) {
    state& c = channels_[channel];
    while (c.has_room() && !c.senders.empty()) {
      const waiter first = c.senders.front();
      const int item = item_of(first.task, tasks_[first.task].at, first.which);
      finish(first.task, static_cast<int>(first.which) * 1000 + (first.has_item ? sent : permit));
      if (first.has_item) {
        place(c, item);
      } else {
        grant(first.task, channel);
      }
    }
  }
  void end_receivers(state& c) {
    while (c.at_end() && !c.receivers.empty()) {
      const waiter w = c.receivers.front();
      finish(w.task, static_cast<int>(w.which) * 1000 + ended);
    }
  }

  /// The present step of `t` has ended: it waits nowhere any more.
  void finish(std::size_t t, int result) {
    task& own = tasks_[t];
    own.results[own.at++] = result;
    own.waits = false;
    for (state& c : channels_) {
      std::erase_if(c.senders, [t](const waiter& w) { return w.task == t; });
      std::erase_if(c.receivers, [t](const waiter& w) { return w.task == t; });
    }
  }

  [[nodiscard]] outcome end() const {
    outcome all;
    for (const task& t : tasks_) {
      for (std::size_t i = 0; i < t.results.size(); ++i) {
        all.push_back(t.waits && i == t.at ? static_cast<int>(blocked) : t.results[i]);
      }
    }
    for (const state& c : channels_) {
      all.push_back(-1);
      all.insert(all.end(), c.items.begin(), c.items.end());
    }
    return all;
  }

  /// Tells this state from every other one.
  [[nodiscard]] std::vector<int> key() const {
    std::vector<int> all = end();
    for (const task& t : tasks_) {
      all.push_back(static_cast<int>(t.at));
      all.push_back(t.permit);
      all.insert(all.end(), t.cancelled.begin(), t.cancelled.end());
    }
    for (const state& c : channels_) {
      all.push_back(c.closed ? 1 : 0);
      all.push_back(static_cast<int>(c.reserved));
      for (const auto* queue : {&c.senders, &c.receivers}) {
        all.push_back(-2);
        for (const waiter& w : *queue) all.push_back(static_cast<int>(w.task * 10 + w.which));
      }
    }
    return all;
  }

  const program* program_;
  std::vector<state> channels_;
  std::vector<task> tasks_;
};

}  // namespace model
