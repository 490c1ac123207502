#include "simulated_reactor.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "../../runtime/detail/worker.hpp"

namespace weir::detail {

namespace {

// Of what could complete now: how much is left for a later turn, so that others come in between.
constexpr double left_for_later = 0.25;

/// What it waits for, or -1.
int number_of(io_leaf& op) noexcept {
  const foreign_watch* const foreign = op.foreign();
  return foreign ? foreign->number : op.fd();
}

bool is_real(io_leaf& op) noexcept {
  const int number = number_of(op);
  return number >= 0 && !simulated_kernel::is_simulated(number);
}

std::uint64_t hash_of(std::string_view text) noexcept {  // FNV-1a
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

void note(simulated_kernel& kernel, io_leaf& op, int result) noexcept {
  run_trace& trace = kernel.trace();
  trace.note(run_trace::step::completion, hash_of(op.name()));
  trace.note(run_trace::step::completion, simulated_kernel::index_of(number_of(op)));
  // A new descriptor counts by what it is in this simulation.
  trace.note(run_trace::step::completion, simulated_kernel::is_simulated(result) ? simulated_kernel::index_of(result)
                                                                                 : static_cast<std::uint64_t>(result));
}

}  // namespace

simulated_reactor::simulated_reactor(const reactor_options& options)
    : io_reactor(options), kernel_(*options.simulation, options.simulation->simulation().seed) {}

bool simulated_reactor::try_now(io_operation& operation, int& result) noexcept {
  auto& op = static_cast<io_leaf&>(operation);
  if (is_real(op)) {
    result = -ENOTSUP;
    return true;
  }
  // As a ring does, it may also be put off to a submission.
  if (op.needs() == readiness::blocking || kernel_.chance(0.5)) return false;
  const int attempted = op.simulate(kernel_);
  if (attempted == -EAGAIN) return false;
  note(kernel_, op, attempted);
  counters_.started.add();
  counters_.completed.add();
  result = attempted;
  return true;
}

void simulated_reactor::submit(io_operation& operation) noexcept {
  auto& op = static_cast<io_leaf&>(operation);
  ++in_flight_;
  counters_.started.add();
  op.cancel_submitted = false;
  if (is_real(op)) {
    complete_later(op, -ENOTSUP);
    return;
  }
  if (op.needs() == readiness::blocking) {
    op.where = io_leaf::place::offloaded;
    const std::uint64_t ticket = tickets_++;
    busy_.emplace(ticket, &op);
    kernel_.schedule(kernel_.now() + kernel_.delay(kernel_.files.latency, kernel_.files.jitter),
                     [this, ticket] { finish_busy(ticket); });
    return;
  }
  const std::shared_ptr<simulated_object> object = kernel_.at(number_of(op));
  if (!object) {
    // What has no descriptor waits for none.
    complete_later(op, op.use() == io_use::nothing && !op.foreign() ? op.simulate(kernel_) : -EBADF);
    return;
  }
  op.where = io_leaf::place::waiting;
  object->waiting.push_back(&op);
  kernel_.touch(object);
}

void simulated_reactor::finish_busy(std::uint64_t ticket) {
  const auto found = busy_.find(ticket);
  if (found == busy_.end()) return;  // it was withdrawn
  io_leaf& op = *found->second;
  busy_.erase(found);
  complete_later(op, op.simulate(kernel_));
}

void simulated_reactor::cancel(io_operation& operation) noexcept {
  auto& op = static_cast<io_leaf&>(operation);
  switch (op.where) {
    case io_leaf::place::waiting:
      op.cancel_submitted = true;
      // Without its object it is about to hear that the number has gone.
      if (const auto object = kernel_.at(number_of(op))) kernel_.touch(object);
      break;
    case io_leaf::place::offloaded:
      // What a disk has begun is not ended early.
      if (kernel_.chance(0.5)) {
        std::erase_if(busy_, [&op](const auto& one) { return one.second == &op; });
        complete_later(op, -ECANCELED);
      }
      break;
    default:
      break;  // it has its result
  }
}

time_point simulated_reactor::next_event() const noexcept {
  if (kernel_.has_touched() || !completed_.empty()) return time_point::min();
  return kernel_.next_event();
}

void simulated_reactor::poll() noexcept {
  kernel_.run_events();
  try_waiting();
  deliver_completions();
}

void simulated_reactor::try_waiting() {
  std::vector<candidate> candidates;
  for (const auto& object : kernel_.take_touched()) {
    for (io_leaf* const op : object->waiting) candidates.push_back({object, op});
  }
  while (!candidates.empty()) {
    candidate& chosen = candidates[kernel_.below(static_cast<std::uint32_t>(candidates.size()))];
    std::swap(chosen, candidates.back());
    const candidate next = std::move(candidates.back());
    candidates.pop_back();
    io_leaf& op = *next.op;
    if (kernel_.chance(left_for_later)) {
      kernel_.touch(next.object);
      continue;
    }
    // What it could have done may be done all the same.
    int result = op.cancel_submitted && kernel_.chance(0.5) ? -ECANCELED : op.simulate(kernel_);
    if (result == -EAGAIN) {
      if (!op.cancel_submitted) continue;
      result = -ECANCELED;
    }
    std::erase(next.object->waiting, &op);
    complete_later(op, result);
  }
}

void simulated_reactor::complete_later(io_leaf& op, int result) {
  op.where = io_leaf::place::completing;
  op.set_result(result);
  completed_.push_back(&op);
}

/// An operation may submit itself again from completed(), and close others: what completes that way is left for the
/// next turn.
void simulated_reactor::deliver_completions() {
  std::vector<io_leaf*> now = std::exchange(completed_, {});
  while (!now.empty()) {
    std::swap(now[kernel_.below(static_cast<std::uint32_t>(now.size()))], now.back());
    io_leaf& op = *now.back();
    now.pop_back();
    if (kernel_.chance(left_for_later)) {
      completed_.push_back(&op);
      continue;
    }
    op.where = io_leaf::place::nowhere;
    --in_flight_;
    counters_.completed.add();
    note(kernel_, op, op.result());
    op.completed(op.result(), 0);
  }
}

}  // namespace weir::detail
