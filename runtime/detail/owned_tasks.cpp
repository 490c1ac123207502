#include "owned_tasks.hpp"

#include <mutex>

#include "../as_result.hpp"
#include "../sleep.hpp"
#include "../task_group.hpp"
#include "../with_cancellation.hpp"
#include "worker.hpp"

namespace weir::detail {

owned_tasks::state::~state() {
  if (first_failure) runtime_core::report_to(on_error, first_failure);
}

void owned_tasks::state::note(std::exception_ptr failure) noexcept {
  failures.fetch_add(1, std::memory_order_release);
  {
    const std::lock_guard guard(lock);
    if (!std::exchange(failed, true)) {
      first_failure = std::move(failure);
      return;
    }
  }
  runtime_core::report_to(on_error, failure);
}

std::exception_ptr owned_tasks::state::take_failure() noexcept {
  const std::lock_guard guard(lock);
  return std::exchange(first_failure, nullptr);
}

owned_tasks::owned_tasks() : state_(std::make_shared<state>()) {
  if (worker* here = current_worker()) state_->runtime = &here->core();
}

owned_tasks& owned_tasks::operator=(owned_tasks&& other) noexcept {
  if (this != &other) {
    if (state_) cancel();
    state_ = std::move(other.state_);
  }
  return *this;
}

owned_tasks::~owned_tasks() {
  if (state_) cancel();
}

bool owned_tasks::start(task<>& child) {
  state& s = *state_;
  const std::lock_guard guard(s.lock);
  switch (s.admits) {
    case admission::closed:
      return false;
    case admission::open:
      s.group->spawn(std::move(child));
      return true;
    case admission::starting:
      s.put_aside.push_back(std::move(child));
      return true;
    case admission::not_started:
      break;
  }
  if (!s.runtime) {
    worker* here = current_worker();
    if (!here) {
      fatal(
          "weir: an object that owns tasks was made outside of a task and used there first: which runtime shall run "
          "them? Make it in a task, or use it in one first");
    }
    s.runtime = &here->core();
  }
  s.put_aside.push_back(std::move(child));
  s.on_error = s.runtime->options().on_error;
  s.admits = admission::starting;
  s.keeper = spawn_task(s.runtime->root(), keep(state_), std::source_location::current());
  return true;
}

task<> owned_tasks::keep(shared_state owner) {
  const auto body = [&owner](task_group& group) -> task<> {
    group.spawn(keep_the_door(owner, group));
    co_await group.join();
  };
  auto ended = co_await as_result(with_cancellation(owner->stopping.token(), with_supervisor(body)));
  static_cast<void>(ended);  // stopped, or all have ended: either is the end
}

task<> owned_tasks::keep_the_door(shared_state owner, task_group& group) {
  class shutting {
   public:
    explicit shutting(state& door) noexcept : door_(door) {}
    shutting(const shutting&) = delete;
    shutting& operator=(const shutting&) = delete;
    ~shutting() { close(door_); }

   private:
    state& door_;
  };
  const shutting at_the_end(*owner);
  std::vector<task<>> first;
  {
    const std::lock_guard guard(owner->lock);
    first.swap(owner->put_aside);
    if (owner->admits == admission::starting) {
      owner->admits = admission::open;
      owner->group = &group;
    }
  }
  for (task<>& child : first) group.spawn(std::move(child));
  auto ended = co_await as_result(with_cancellation(owner->closing.token(), sleep_until(time_point::max())));
  static_cast<void>(ended);
}

void owned_tasks::close(state& of) noexcept {
  const std::lock_guard guard(of.lock);
  of.admits = admission::closed;
  of.group = nullptr;
}

void owned_tasks::cancel() noexcept {
  close(*state_);
  state_->stopping.request_cancellation();
}

task<> owned_tasks::shutdown() { return end(state_); }

task<> owned_tasks::end(shared_state owner) {
  close(*owner);
  owner->closing.request_cancellation();
  if (owner->keeper) {
    auto ended = co_await as_result(owner->keeper.join());
    static_cast<void>(ended);
  }
  if (std::exception_ptr failure = owner->take_failure()) std::rethrow_exception(std::move(failure));
}

}  // namespace weir::detail
