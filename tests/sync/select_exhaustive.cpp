#include <weir/sync/select.hpp>

#include <cstdlib>
#include <variant>

#include <weir/sync/channel.hpp>

#include "channel_model.hpp"
#include "support.hpp"

// Small programs of two or three tasks, run in every order that a simulation finds in many seeds, against a model that
// knows all outcomes. WEIR_TEST_PROGRAMS=N tries N programs of each size instead of a few hundred.

namespace {

/// Tells whether it was moved from.
class item {
 public:
  explicit item(int v) : value(v) {}
  item(item&& other) noexcept : value(std::exchange(other.value, -1)) {}
  item& operator=(item&&) = delete;
  ~item() = default;
  int value;
};
/// The same, and its move may throw, for all that the channel knows.
class wild_item {
 public:
  explicit wild_item(int v) : value(v) {}
  wild_item(wild_item&& other) noexcept(false) : value(std::exchange(other.value, -1)) {}
  wild_item& operator=(wild_item&&) = delete;
  ~wild_item() = default;
  int value;
};

/// A send, receive or reserve, whichever the program says. Its value is a model::results.
template <class T>
class any_case final : public weir::detail::operation_base {
  using send = decltype(std::declval<weir::channel<T>&>().send(std::declval<T>()));
  using receive = decltype(std::declval<weir::channel<T>&>().receive());
  using reserve = decltype(std::declval<weir::channel<T>&>().reserve());

 public:
  using value_type = int;

  any_case(weir::channel<T>& c, model::action::kinds kind, T& value, weir::send_permit<T>& permit)
      : operation_(make(c, kind, value)), permit_(&permit) {}

  bool ready(const weir::detail::await_context& context) noexcept {
    return std::visit([&](auto& op) { return op.ready(context); }, operation_);
  }
  std::coroutine_handle<> start(const weir::detail::await_context& context) noexcept {
    return std::visit([&](auto& op) { return op.start(context); }, operation_);
  }
  int resume() {
    return std::visit([&](auto& op) { return code(op.resume()); }, operation_);
  }
  weir::result<int> resume_result() noexcept { return weir::result<int>(std::in_place, resume()); }

  bool try_commit() noexcept {
    return std::visit([](auto& op) { return op.try_commit(); }, operation_);
  }
  bool arm_case(weir::detail::case_link link) noexcept {
    return std::visit([&](auto& op) { return op.arm_case(link); }, operation_);
  }
  void withdraw_case() noexcept {
    std::visit([](auto& op) { op.withdraw_case(); }, operation_);
  }
  [[nodiscard]] const void* case_object() const noexcept {
    return std::visit([](const auto& op) { return op.case_object(); }, operation_);
  }

 private:
  using any = std::variant<send, receive, reserve>;
  static any make(weir::channel<T>& c, model::action::kinds kind, T& value) {
    if (kind == model::action::send) return any(c.send(std::move(value)));
    if (kind == model::action::receive) return any(c.receive());
    return any(c.reserve());
  }
  static int code(bool sent) { return sent ? model::sent : model::refused; }
  static int code(const std::optional<T>& got) { return got ? model::received + got->value : model::ended; }
  int code(weir::send_permit<T> got) {
    if (!got) return model::no_permit;
    *permit_ = std::move(got);
    return model::permit;
  }

  any operation_;
  weir::send_permit<T>* permit_;
};

/// A program as tasks and channels of weir.
template <class T>
class run {
 public:
  explicit run(const model::program& p) : program_(p), cancels_(p.tasks.size()), results_(p.tasks.size()) {
    for (const std::size_t capacity : p.capacities) channels_.push_back(std::make_unique<weir::channel<T>>(capacity));
    for (std::size_t t = 0; t < p.tasks.size(); ++t) {
      results_[t].assign(p.tasks[t].size(), model::not_reached);
      for (std::size_t i = 0; i < p.tasks[t].size(); ++i) {
        cancels_[t].push_back(std::make_unique<weir::cancellation_source>());
      }
    }
  }

  model::outcome with_seed(std::uint64_t seed) {
    auto body = [this](weir::task_group& g) {
      for (std::size_t t = 0; t < program_.tasks.size(); ++t) g.spawn([this, t] { return task(t); });
    };
    weir::simulation world{{.seed = seed}};
    try {
      world.run(test::together(body));
    } catch (const weir::deadlock&) {
    }
    model::outcome all;
    for (const auto& of_task : results_) all.insert(all.end(), of_task.begin(), of_task.end());
    for (const auto& c : channels_) {
      all.push_back(-1);
      while (auto left = c->try_receive()) all.push_back(left->value);
    }
    return all;
  }

 private:
  weir::task<> task(std::size_t t) {
    weir::send_permit<T> permit;
    for (std::size_t i = 0; i < program_.tasks[t].size(); ++i) {
      co_await weir::yield();  // what comes then happens at once
      const model::step& s = program_.tasks[t][i];
      results_[t][i] = model::blocked;
      switch (s.kind) {
        case model::step::wait:
          co_await wait(t, i, s, permit);
          break;
        case model::step::close:
          channels_[s.channel]->close();
          break;
        case model::step::use:
          if (permit) CHECK(permit.send(T(model::item_of(t, i, 9))));
          break;
        case model::step::drop:
          permit = {};
          break;
        case model::step::cancel:
          cancels_[s.target][s.target_step]->request_cancellation();
          break;
      }
      if (s.kind != model::step::wait) results_[t][i] = model::done;
    }
  }

  weir::task<> wait(std::size_t t, std::size_t i, const model::step& s, weir::send_permit<T>& permit) {
    std::vector<T> items;
    items.reserve(s.cases.size());
    for (std::size_t n = 0; n < s.cases.size(); ++n) items.emplace_back(model::item_of(t, i, n));
    const auto make = [&](std::size_t n) {
      return any_case<T>(*channels_[s.cases[n].channel], s.cases[n].kind, items[n], permit);
    };
    const weir::cancellation_token token = cancels_[t][i]->token();
    int result = model::cancelled;
    if (!s.in_select) {
      const auto r = co_await weir::as_result(weir::with_cancellation(token, make(0)));
      if (r.has_value()) result = *r;
    } else if (s.cases.size() == 1) {
      const auto r = co_await weir::as_result(weir::with_cancellation(token, weir::select(make(0))));
      if (r.has_value()) result = r->template get<0>();
    } else if (s.cases.size() == 2 && s.ordered) {
      const auto r = co_await weir::as_result(weir::with_cancellation(token, weir::select_ordered(make(0), make(1))));
      if (r.has_value()) result = code(*r, std::make_index_sequence<2>());
    } else if (s.cases.size() == 2) {
      const auto r = co_await weir::as_result(weir::with_cancellation(token, weir::select(make(0), make(1))));
      if (r.has_value()) result = code(*r, std::make_index_sequence<2>());
    } else if (s.ordered) {
      const auto r =
          co_await weir::as_result(weir::with_cancellation(token, weir::select_ordered(make(0), make(1), make(2))));
      if (r.has_value()) result = code(*r, std::make_index_sequence<3>());
    } else {
      const auto r = co_await weir::as_result(weir::with_cancellation(token, weir::select(make(0), make(1), make(2))));
      if (r.has_value()) result = code(*r, std::make_index_sequence<3>());
    }
    results_[t][i] = result;
    // The item of what was sent has gone; every other one is as it was.
    for (std::size_t n = 0; n < items.size(); ++n) {
      const bool gone = result == static_cast<int>(n) * 1000 + model::sent;
      CHECK(items[n].value == (gone ? -1 : model::item_of(t, i, n)));
    }
  }

  template <class Chosen, std::size_t... n>
  static int code(const Chosen& chosen, std::index_sequence<n...>) {
    int result = 0;
    static_cast<void>(
        ((chosen.index() == n && (result = static_cast<int>(n) * 1000 + chosen.template get<n>(), true)) || ...));
    return result;
  }

  const model::program& program_;
  std::vector<std::unique_ptr<weir::channel<T>>> channels_;
  std::vector<std::vector<std::unique_ptr<weir::cancellation_source>>> cancels_;
  std::vector<std::vector<int>> results_;
};

model::program any_program(std::uint64_t seed, unsigned tasks, unsigned steps) {
  test::dice dice(seed);
  model::program p;
  const unsigned channels = 1 + dice.roll(2);
  for (unsigned c = 0; c < channels; ++c) p.capacities.push_back(std::array<std::size_t, 4>{0, 0, 1, 2}[dice.roll(4)]);
  p.tasks.resize(tasks);
  for (unsigned t = 0; t < tasks; ++t) {
    for (unsigned i = 0; i < steps; ++i) {
      model::step s;
      const unsigned what = dice.roll(12);
      if (what == 0) {
        s.kind = model::step::close;
        s.channel = dice.roll(channels);
      } else if (what == 1) {
        s.kind = model::step::cancel;
        s.target = dice.roll(tasks);
        s.target_step = dice.roll(steps);
      } else {
        s.in_select = what < 9;
        s.ordered = what == 2;
        const unsigned cases = s.in_select ? 1 + dice.roll(3) : 1;
        for (unsigned n = 0; n < cases; ++n) {
          model::action a{static_cast<model::action::kinds>(dice.roll(2)), dice.roll(channels)};
          if (dice.roll(6) == 0 && p.capacities[a.channel] != 0) a.kind = model::action::reserve;
          s.cases.push_back(a);
        }
      }
      const bool reserves = std::any_of(s.cases.begin(), s.cases.end(),
                                        [](const model::action& a) { return a.kind == model::action::reserve; });
      p.tasks[t].push_back(std::move(s));
      if (!reserves) continue;
      model::step then;
      then.kind = dice.roll(3) == 0 ? model::step::drop : model::step::use;
      p.tasks[t].push_back(then);
    }
  }
  return p;
}

std::uint64_t programs(int otherwise) {
  const char* asked = std::getenv("WEIR_TEST_PROGRAMS");  // NOLINT(concurrency-mt-unsafe)
  return asked ? std::stoull(asked) : static_cast<std::uint64_t>(otherwise);
}

std::string show(const model::outcome& o) {
  std::string text;
  for (const int n : o) text += std::to_string(n) + " ";
  return text;
}

/// Runs `p` with many seeds: nothing else happens than the model allows. Returns how many of its outcomes were seen.
template <class T>
std::size_t check_program(const model::program& p, const std::set<model::outcome>& allowed, std::uint64_t seeds) {
  std::set<model::outcome> seen;
  for (std::uint64_t seed = 1; seed <= seeds && seen.size() < allowed.size(); ++seed) {
    const model::outcome o = run<T>(p).with_seed(seed);
    CAPTURE(seed);
    CAPTURE(show(o));
    REQUIRE(allowed.count(o) == 1);
    seen.insert(o);
  }
  return seen.size();
}

}  // namespace

TEST_CASE("two tasks of two steps: every outcome that the model allows comes about, and no other") {
  std::size_t outcomes = 0;
  for (std::uint64_t number = 1; number <= programs(test::scaled(1000, 60)); ++number) {
    const model::program p = any_program(number, 2, 2);
    const auto allowed = model::world::outcomes(p);
    CAPTURE(number);
    CHECK(check_program<item>(p, allowed, 20'000) == allowed.size());
    outcomes += allowed.size();
  }
  MESSAGE("outcomes: ", outcomes);
}

TEST_CASE("three tasks of three steps: nothing comes about that the model does not allow") {
  std::size_t outcomes = 0;
  std::size_t seen = 0;
  for (std::uint64_t number = 1; number <= programs(test::scaled(150, 15)); ++number) {
    const model::program p = any_program(number + 1'000'000, 3, 3);
    const auto allowed = model::world::outcomes(p);
    CAPTURE(number);
    seen += number % 2 == 0 ? check_program<item>(p, allowed, 100) : check_program<wild_item>(p, allowed, 100);
    outcomes += allowed.size();
  }
  MESSAGE("seen ", seen, " of ", outcomes);
}
