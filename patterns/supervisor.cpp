#include "supervisor.hpp"

#include <algorithm>
#include <deque>
#include <optional>

#include "../runtime/as_result.hpp"
#include "../runtime/cancellation.hpp"
#include "../runtime/detail/group_core.hpp"
#include "../runtime/sleep.hpp"
#include "../runtime/with_cancellation.hpp"
#include "../sync/channel.hpp"
#include "../sync/select.hpp"
#include "detail/orderly.hpp"
#include "detail/random_duration.hpp"

namespace weir {

struct supervisor::child {
  child(std::string name, std::function<task<>()> how, const child_options& with)
      : start(std::move(how)), options(with) {
    status.name = std::move(name);
  }
  const std::function<task<>()> start;
  const child_options options;
  child_status status;  // guarded by the supervisor's lock

  // The manager's.
  std::unique_ptr<cancellation_source> stopping;  // of the present life
  time_point begun{};
  time_point due{};
  duration delay{};
  bool alive = false;
  std::exception_ptr failure;  // of the life that has ended; the child's own task writes it
};

/// One run().
class supervisor::manager {
 public:
  manager(supervisor& in, event& told) : in_(in), told_(told) {}

  task<> run() {
    const auto body = [this](task_group& group) { return manage(group); };
    co_await with_supervisor(body);
    if (given_up_) throw restart_limit_exceeded(*given_up_);
  }

 private:
  task<> manage(task_group& group) {
    for (const shared_child& c : children()) plan(*c, now(), duration::zero());
    for (;;) {
      const std::optional<time_point> next = start_due(group);
      if (!next) break;
      if (late_.empty()) {
        auto chosen = co_await select_ordered(in_.stopping_.wait(), told_.wait(), exits_.receive(), in_.changed_.wait(),
                                              sleep_until(*next));
        if (chosen.index() <= 1) break;
        if (chosen.index() != 2) continue;
        note_end(*std::move(chosen).get<2>());
      }
      const shared_child ended = std::move(late_.front());
      late_.pop_front();
      co_await answer(*ended);
      if (given_up_) break;
    }
    co_await stop_from(0);
  }

  /// What follows from the end of a child that nobody had asked to stop.
  task<> answer(child& ended) {
    if (!is_to_begin_again(ended)) co_return;
    if (too_often()) {
      give_up(ended);
      co_return;
    }
    const bool was_stable = now() - ended.begun > in_.options_.period;
    const duration delay = was_stable || ended.delay == duration::zero()
                               ? in_.options_.first_delay
                               : std::min(ended.delay * 2, in_.options_.most_delay);
    const std::vector<shared_child> all = children();
    const auto position = std::find_if(all.begin(), all.end(), [&](const auto& c) { return c.get() == &ended; });
    const auto index = static_cast<std::size_t>(position - all.begin());
    std::size_t from = index;
    std::size_t to = index + 1;
    if (in_.options_.strategy != restart_strategy::one_for_one) {
      to = all.size();
      if (in_.options_.strategy == restart_strategy::one_for_all) from = 0;
      std::vector<shared_child> affected;
      for (std::size_t i = from; i < to; ++i) {
        const bool unanswered = std::find(late_.begin(), late_.end(), all[i]) != late_.end();
        if (all[i]->alive || is_waiting(*all[i]) || (unanswered && is_to_begin_again(*all[i])))
          affected.push_back(all[i]);
      }
      co_await stop_from(from);
      for (const shared_child& c : affected) {
        if (c->options.restart != child_restart::temporary) restart(*c, delay);
      }
    }
    restart(ended, delay);
  }

  void restart(child& c, duration delay) {
    const auto most = std::chrono::duration<double, duration::period>(delay) * in_.options_.jitter;
    const duration longer = detail::random_between(duration::zero(), detail::to_duration(most));
    plan(c, detail::add_saturated(detail::add_saturated(now(), delay), longer), delay);
    in_.restarts_.fetch_add(1, std::memory_order_relaxed);
  }

  static bool is_to_begin_again(const child& ended) noexcept {
    return ended.options.restart == child_restart::permanent ||
           (ended.options.restart == child_restart::transient && ended.failure);
  }

  bool too_often() {
    const time_point current = now();
    recent_.push_back(current);
    while (current - recent_.front() > in_.options_.period) recent_.pop_front();
    return recent_.size() > in_.options_.most_restarts;
  }

  void give_up(const child& ended) {
    const auto seconds = std::chrono::duration<double>(in_.options_.period).count();
    given_up_.emplace("weir::supervisor: more than " + std::to_string(in_.options_.most_restarts) + " restarts in " +
                          std::to_string(seconds) + " s, the last one of \"" + ended.status.name + "\"",
                      ended.status.name, ended.failure);
  }

  /// Stops the children from the one with this index on, last first, and waits for their end.
  task<> stop_from(std::size_t first) {
    const std::vector<shared_child> all = children();
    for (std::size_t i = all.size(); i-- > first;) {
      child& c = *all[i];
      set_state(c, c.alive ? child_state::stopping : child_state::ended);
      if (!c.alive) continue;
      c.stopping->request_cancellation();
      const time_point limit = detail::add_saturated(now(), c.options.stop_limit);
      while (c.alive) {
        auto chosen = co_await select_ordered(exits_.receive(), sleep_until(limit));
        if (chosen.index() == 1) break;
        note_end(*std::move(chosen).get<0>());
      }
    }
    for (std::size_t i = first; i < all.size(); ++i) {
      while (all[i]->alive) {
        auto ended = co_await exits_.receive();
        note_end(*std::move(ended));
      }
    }
    // Whoever has ended here needs no other answer. Of the others, some may have ended by themselves meanwhile.
    const auto from = all.begin() + static_cast<std::ptrdiff_t>(first);
    std::erase_if(late_, [&](const shared_child& c) { return std::find(from, all.end(), c) != all.end(); });
  }

  /// Starts whoever is due. When the next one will be; nothing when all have ended for good.
  std::optional<time_point> start_due(task_group& group) {
    bool some = !late_.empty();
    time_point next = time_point::max();
    for (const shared_child& c : children()) {
      if (is_waiting(*c)) {
        if (c->due <= now()) {
          begin(c, group);
        } else {
          next = std::min(next, c->due);
        }
        some = true;
      }
      some = some || c->alive;
    }
    return some ? std::optional(next) : std::nullopt;
  }

  void begin(const shared_child& c, task_group& group) {
    c->stopping = std::make_unique<cancellation_source>();
    c->failure = nullptr;
    c->begun = now();
    c->alive = true;
    {
      const std::lock_guard guard(in_.lock_);
      c->status.state = child_state::running;
      ++c->status.starts;
    }
    group.spawn(live(c));
  }

  task<> live(shared_child c) {
    auto ended = co_await as_result(with_cancellation(c->stopping->token(), call(*c)));
    const bool as_asked = ended.is_cancelled() && c->stopping->is_cancellation_requested();
    if (!ended && !as_asked) c->failure = ended.exception();
    exits_.try_send(c);
  }
  static task<> call(const child& c) { co_await c.start(); }

  void note_end(shared_child ended) {
    child& c = *ended;
    late_.push_back(std::move(ended));
    c.alive = false;
    {
      const std::lock_guard guard(in_.lock_);
      c.status.state = child_state::ended;
      if (c.failure) {
        ++c.status.failures;
        c.status.last_failure = c.failure;
      }
    }
    if (in_.observer_) {
      in_.observer_(c.status.name, c.failure);
    } else if (c.failure) {
      detail::report_unobserved(c.failure);
    }
  }

  void plan(child& c, time_point due, duration delay) {
    c.due = due;
    c.delay = delay;
    set_state(c, child_state::waiting);
  }
  void set_state(child& c, child_state to) {
    const std::lock_guard guard(in_.lock_);
    c.status.state = to;
  }
  bool is_waiting(const child& c) {
    const std::lock_guard guard(in_.lock_);
    return c.status.state == child_state::waiting;
  }
  std::vector<shared_child> children() {
    const std::lock_guard guard(in_.lock_);
    return in_.children_;
  }

  supervisor& in_;
  event& told_;
  channel<shared_child> exits_{unbounded};  // as many as there are children, at most
  std::deque<shared_child> late_;           // have ended, and were not answered yet
  std::deque<time_point> recent_;           // restarts
  std::optional<restart_limit_exceeded> given_up_;
};

supervisor::supervisor(const supervisor_options& options) : options_(options) {
  const duration least = std::min({options.period, options.first_delay, options.most_delay});
  if (least < duration::zero()) throw std::invalid_argument("weir::supervisor: a period or delay is negative");
  if (!(options.jitter >= 0)) throw std::invalid_argument("weir::supervisor: the jitter is negative");
}

supervisor::~supervisor() = default;

void supervisor::observe(std::function<void(std::string_view, const std::exception_ptr&)> observer) {
  observer_ = std::move(observer);
}

void supervisor::add(std::string name, std::function<task<>()> start, const child_options& options) {
  auto made = std::make_shared<child>(std::move(name), std::move(start), options);
  {
    const std::lock_guard guard(lock_);
    const auto same = [&](const shared_child& c) { return c->status.name == made->status.name; };
    const auto found = std::find_if(children_.begin(), children_.end(), same);
    if (found != children_.end()) {
      if ((*found)->status.state != child_state::ended) {
        throw std::invalid_argument("weir::supervisor: there is a child \"" + made->status.name + "\" already");
      }
      children_.erase(found);
    }
    children_.push_back(std::move(made));
  }
  changed_.set();
}

task<> supervisor::run() {
  const detail::running_alone here(running_, "weir::supervisor: run() was called while it runs");
  event told;
  manager one(*this, told);
  co_await detail::end_orderly(told, one.run());
}

void supervisor::stop() noexcept { stopping_.set(); }

std::vector<child_status> supervisor::children() const {
  std::vector<child_status> all;
  const std::lock_guard guard(lock_);
  all.reserve(children_.size());
  for (const shared_child& c : children_) all.push_back(c->status);
  return all;
}

}  // namespace weir
