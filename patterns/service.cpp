#include "service.hpp"

#include <algorithm>
#include <stdexcept>

#include "../runtime/as_result.hpp"
#include "../runtime/detail/group_core.hpp"
#include "../runtime/sleep.hpp"
#include "../runtime/with_cancellation.hpp"
#include "../sync/select.hpp"
#include "detail/orderly.hpp"

namespace weir {

namespace {

std::string in_seconds(duration length) {
  std::string text = std::to_string(std::chrono::duration<double>(length).count());
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " s";
}

}  // namespace

const char* to_string(service_state state) noexcept {
  switch (state) {
    case service_state::idle:
      return "idle";
    case service_state::starting:
      return "starting";
    case service_state::running:
      return "running";
    case service_state::draining:
      return "draining";
    case service_state::stopped:
      return "stopped";
  }
  return "?";
}

service_component::service_component(std::string name, std::function<task<>(service_component&)> life,
                                     const component_options& options, event& changed)
    : name_(std::move(name)), life_(std::move(life)), options_(options), changed_(changed) {}

void service_component::set_ready(bool ready) noexcept {
  ready_.store(ready, std::memory_order_release);
  changed_.set();
}

service::service(const service_options& options) : options_(options) {}
service::~service() = default;

void service::observe(std::function<void(std::string_view)> observer) { observer_ = std::move(observer); }

void service::add_component(std::string name, std::function<task<>(component&)> life,
                            const component_options& options) {
  if (state() != service_state::idle) throw std::logic_error("weir::service: add() after run()");
  components_.push_back(detail::owned<component>(new component(std::move(name), std::move(life), options, changed_)));
}

bool service::is_live() const noexcept {
  return std::all_of(components_.begin(), components_.end(),
                     [](const auto& c) { return c->healthy_.load(std::memory_order_acquire); });
}

bool service::is_ready() const noexcept {
  return state() == service_state::running && std::all_of(components_.begin(), components_.end(), [](const auto& c) {
           return c->ready_.load(std::memory_order_acquire) || c->ended_.is_set();
         });
}

std::vector<std::string> service::running() const {
  std::vector<std::string> names;
  const std::size_t started = started_.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < started; ++i) {
    if (!components_[i]->ended_.is_set()) names.push_back(components_[i]->name_);
  }
  return names;
}

task<service_report> service::run(cancellation_token stopping) {
  service_state expected = service_state::idle;
  if (!state_.compare_exchange_strong(expected, service_state::starting)) {
    throw std::logic_error("weir::service: run() is for once");
  }
  auto end = [this]() noexcept { stop(); };
  const cancellation_callback on_stopping(stopping, end);
  event told;
  co_return co_await detail::end_orderly(told, operate(told));
}

task<service_report> service::operate(event& told) {
  service_report report;
  const auto body = [&](task_group& group) -> task<> {
    const bool complete = co_await start_all(group, told);
    if (complete) {
      state_ = service_state::running;
      tell("running");
      co_await run_until_end(told);
    }
    state_ = service_state::draining;
    co_await end_all(report, told);
    co_await group.join();
  };
  co_await with_supervisor(body);
  state_ = service_state::stopped;
  if (has_failed() || !report.cancelled.empty()) report.exit_code = 1;
  report.failed = failed_;
  report.failure = failure_;
  tell("stopped");
  co_return std::move(report);
}

task<> service::live(component& of) {
  // A task of its own, so that what is thrown by a function that is no coroutine goes the same way.
  const auto call = [&of]() -> task<> { co_await of.life_(of); };
  auto ended = co_await as_result(with_cancellation(of.stopping_.token(), call()));
  const bool as_asked = ended.is_cancelled() && of.stopping_.is_cancellation_requested();
  if (!ended && !as_asked) of.failure_ = ended.exception();
  of.ended_.set();
  changed_.set();
}

bool service::has_failed() {
  const std::size_t started = started_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < started; ++i) {
    component& c = *components_[i];
    if (c.ended_.is_set() && c.failure_) note_failure(c, std::exchange(c.failure_, nullptr));
  }
  return failure_ != nullptr;
}

void service::note_failure(const component& of, std::exception_ptr failure) {
  tell(of.name_ + ": failed");
  if (failure_) return detail::report_unobserved(failure);
  failed_ = of.name_;
  failure_ = std::move(failure);
}

/// False: one of them could not be started, or there is no need any more.
task<bool> service::start_all(task_group& group, event& told) {
  for (const detail::owned<component>& c : components_) {
    const time_point limit = detail::add_saturated(now(), c->options_.start_limit);
    started_.fetch_add(1, std::memory_order_release);
    group.spawn(live(*c));
    while (!c->ready_ && !c->ended_.is_set()) {
      auto chosen = co_await select_ordered(stop_.wait(), told.wait(), changed_.wait(), sleep_until(limit));
      if (chosen.index() <= 1) co_return false;
      if (has_failed()) co_return false;
      if (chosen.index() == 3) {
        const std::string sentence = c->name_ + ": not ready after " + in_seconds(c->options_.start_limit);
        note_failure(*c, std::make_exception_ptr(std::runtime_error("weir::service: " + sentence)));
        co_return false;
      }
    }
    if (has_failed()) co_return false;
    tell(c->name_ + ": ready");
  }
  co_return true;
}

task<> service::run_until_end(event& told) {
  const auto ended = [](const auto& c) { return c->ended_.is_set(); };
  while (!has_failed() && !std::all_of(components_.begin(), components_.end(), ended)) {
    auto chosen = co_await select_ordered(stop_.wait(), told.wait(), changed_.wait());
    if (chosen.index() <= 1) break;
  }
}

task<> service::end_all(service_report& report, event& told) {
  tell("draining");
  const time_point limit = detail::add_saturated(now(), options_.shutdown_limit);
  const std::size_t started = started_.load(std::memory_order_relaxed);
  const auto ended = [](const auto& c) { return c->ended_.is_set(); };
  const bool serves = !std::all_of(components_.begin(), components_.end(), ended);
  if (serves) {
    const time_point begin = std::min(limit, detail::add_saturated(now(), options_.drain_delay));
    static_cast<void>(co_await select_ordered(told.wait(), sleep_until(begin)));
  }
  for (std::size_t i = started; i-- > 0;) co_await end_one(*components_[i], limit, report, told);
}

task<> service::end_one(component& of, time_point limit, service_report& report, event& told) {
  of.drain_.set();
  of.draining_.request_cancellation();
  const time_point begun = now();
  const time_point last = std::min(limit, detail::add_saturated(begun, of.options_.drain_limit));
  auto drained = co_await select_ordered(of.ended_.wait(), told.wait(), sleep_until(last));
  if (drained.index() == 0) {
    tell(of.name_ + ": ended");
    co_return;
  }
  report.cancelled.push_back(of.name_);
  tell(of.name_ + ": cancelled, after " + in_seconds(now() - begun));
  of.stopping_.request_cancellation();
  auto stopped = co_await select_ordered(of.ended_.wait(), sleep_for(options_.cancel_limit));
  if (stopped.index() == 0) co_return;
  report.stuck.push_back(of.name_);
  tell(of.name_ + ": is still running, " + in_seconds(options_.cancel_limit) + " after it was cancelled");
}

}  // namespace weir
