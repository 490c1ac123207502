#include "epoll_reactor.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>
#include <new>
#include <system_error>
#include <utility>

#include "../../runtime/detail/worker.hpp"

namespace weir::detail {

namespace {

// Events taken at once: more only postpone the tasks that they wake.
constexpr int most_events = 256;

// A tag is a number and its descriptor's serial, so that an event for a former owner of the number is
// recognised.
constexpr std::uint64_t wake_tag = ~std::uint64_t{0};
constexpr std::uint64_t tag_of(int number, std::uint32_t serial) noexcept {
  return std::uint64_t{serial} << 32 | static_cast<std::uint32_t>(number);
}

constexpr std::uint32_t interest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
constexpr std::uint32_t makes_readable = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t makes_writable = EPOLLOUT | EPOLLHUP | EPOLLERR;
// Behind the data there is something that comes without another edge: the end, an error, an urgent byte.
constexpr std::uint32_t more_than_data = EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR;

// After this many events in a row for a descriptor that is not used here any more (its task has moved to another
// worker, or computes) it is watched no longer.
constexpr std::uint8_t most_unclaimed = 4;

int made(int number, const char* what) {
  if (number < 0) throw std::system_error(errno, std::generic_category(), what);
  return number;
}

int wait_microseconds(int epoll, epoll_event* events, int most, const timespec* timeout) noexcept {
#if defined(SYS_epoll_pwait2)
  // Not through libc, whose version may be older than the kernel's.
  return static_cast<int>(::syscall(SYS_epoll_pwait2, epoll, events, most, timeout, nullptr, 0));
#else
  errno = ENOSYS;
  return -1;
#endif
}

}  // namespace

epoll_reactor::owned_number::~owned_number() { static_cast<void>(::close(number_)); }

epoll_reactor::epoll_reactor(const reactor_options& options)
    : io_reactor(options),
      epoll_(made(epoll_create1(EPOLL_CLOEXEC), "epoll_create1 for a worker's reactor")),
      wake_(made(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd for a worker's wake-ups")) {
  epoll_event event{};
  const timespec at_once{};
  microseconds_ = wait_microseconds(epoll_.get(), &event, 1, &at_once) >= 0;
  // Edge-triggered: each write is an event, so that the counter never needs to be read.
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = wake_tag;
  made(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event), "epoll_ctl for a worker's wake-ups");
}

epoll_reactor::~epoll_reactor() = default;

// ---- what is known of descriptors

epoll_reactor::watch* epoll_reactor::find(const io_leaf& op) noexcept {
  const descriptor* target = op.target();
  if (!target) return nullptr;
  const auto index = static_cast<std::size_t>(target->number());
  if (index >= watches_.size() || watches_[index].serial != target->serial()) return nullptr;
  return &watches_[index];
}

/// 0 or -errno. The first event reports what is ready now; until then nothing is taken to be.
int epoll_reactor::register_target(const io_leaf& op) noexcept {
  const descriptor& target = *op.target();
  const auto index = static_cast<std::size_t>(target.number());
  if (index >= watches_.size()) {
    try {
      watches_.resize(index + 1);
    } catch (const std::bad_alloc&) {
      return -ENOMEM;
    }
  }
  epoll_event event{};
  counters_.calls.add();
  event.events = interest;
  event.data.u64 = tag_of(target.number(), target.serial());
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, target.number(), &event) != 0) {
    // EEXIST: the same open file was released and adopted again. Changing a registration also reports what is ready.
    if (errno != EEXIST || epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, target.number(), &event) != 0) return -errno;
  }
  watches_[index] = watch{};
  watches_[index].serial = target.serial();
  return 0;
}

/// Tries `op` and notes what its result says about the readiness of its descriptor.
///
/// No edge is lost by noting "not ready" after a short transfer. What arrives after the transfer is a new event. What
/// had arrived before it was taken by the transfer, except for what ends a transfer early although there is more: the
/// end of the stream behind the data, an error, an urgent mark. Each of these shows in the state that the latest event
/// reported, or else came after that report, and then there is another event. (The kernel reads the state of an
/// edge-triggered descriptor after it has taken it off the list of pending events, and puts it back for any change.)
int epoll_reactor::attempt(io_leaf& op, watch* known) noexcept {
  const int result = io_reactor::attempt(op);
  if (known && (result == -EAGAIN || (result > 0 && known->short_is_empty && op.drained(result)))) {
    known->ready[direction_of(op)] = false;
  }
  return result;
}

// ---- operations

bool epoll_reactor::try_now(io_operation& operation, int& result) noexcept {
  auto& op = static_cast<io_leaf&>(operation);
  if (op.needs() == readiness::blocking) return false;
  watch* const known = find(op);
  if (known) {
    known->unclaimed = 0;
    if (!known->ready[direction_of(op)]) return false;
  }
  const int attempted = attempt(op, known);
  if (attempted == -EAGAIN && op.needs() == readiness::foreign) return false;
  if (attempted == -EAGAIN && op.target()) {
    // It will be submitted next. Registered now, it is not attempted a second time there.
    if (!known) static_cast<void>(register_target(op));
    return false;
  }
  counters_.started.add();
  counters_.completed.add();
  result = attempted;
  return true;
}

void epoll_reactor::submit(io_operation& operation) noexcept {
  auto& op = static_cast<io_leaf&>(operation);
  ++in_flight_;
  counters_.started.add();
  if (op.needs() == readiness::blocking) {
    submit_blocking(op);
    return;
  }
  if (op.needs() == readiness::foreign) {
    submit_foreign(op);
    return;
  }
  watch* known = find(op);
  if (known) known->unclaimed = 0;
  if (!known || known->ready[direction_of(op)]) {
    const int result = attempt(op, known);
    if (result != -EAGAIN || !op.target()) {
      complete_later(op, result);
      return;
    }
  }
  if (!known) {
    if (const int failed = register_target(op); failed != 0) {
      // EPERM: the file has no readiness, so the attempt's answer is all there is.
      complete_later(op, failed == -EPERM ? -EAGAIN : failed);
      return;
    }
    known = find(op);
  }
  enqueue(*known, op);
}

void epoll_reactor::submit_blocking(io_leaf& op) noexcept {
  op.where = io_leaf::place::offloaded;
  if (!op.blocking()->begin(*this)) complete_later(op, -EAGAIN);
}

void epoll_reactor::submit_foreign(io_leaf& op) noexcept {
  const int result = attempt(op, nullptr);
  if (result != -EAGAIN) {
    complete_later(op, result);
    return;
  }
  foreign_watch& wanted = *op.foreign();
  counters_.calls.add();
  wanted.watched = ::fcntl(wanted.number, F_DUPFD_CLOEXEC, 0);
  if (wanted.watched < 0) {
    complete_later(op, -errno);
    return;
  }
  const auto index = static_cast<std::size_t>(wanted.watched);
  epoll_event event{};
  event.events = wanted.events | EPOLLET;
  event.data.u64 = tag_of(wanted.watched, 0);
  int failed = 0;
  try {
    if (index >= watches_.size()) watches_.resize(index + 1);
    counters_.calls.add();
    // EEXIST: as in register_target().
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wanted.watched, &event) != 0 &&
        (errno != EEXIST || epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, wanted.watched, &event) != 0)) {
      failed = -errno;
    }
  } catch (const std::bad_alloc&) {
    failed = -ENOMEM;
  }
  if (failed != 0) {
    static_cast<void>(::close(std::exchange(wanted.watched, -1)));
    complete_later(op, failed);
    return;
  }
  watches_[index] = watch{};
  enqueue(watches_[index], op);
}

/// Not by closing the number alone: the registration is that of the open file, which others have, too.
void epoll_reactor::stop_watching(foreign_watch& wanted) noexcept {
  counters_.calls.add(2);
  static_cast<void>(epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, wanted.watched, nullptr));
  static_cast<void>(::close(wanted.watched));
  watches_[static_cast<std::size_t>(wanted.watched)] = watch{};
  wanted.watched = -1;
  --waiting_;
}

void epoll_reactor::came_back(io_leaf& op, int result) noexcept { complete(op, result); }

void epoll_reactor::cancel(io_operation& operation) noexcept {
  auto& op = static_cast<io_leaf&>(operation);
  switch (op.where) {
    case io_leaf::place::waiting:
      if (foreign_watch* const foreign = op.foreign()) {
        stop_watching(*foreign);
      } else {
        find(op)->waiting[direction_of(op)].remove(op);
        --waiting_;
      }
      complete_later(op, -ECANCELED);
      break;
    case io_leaf::place::offloaded:
      if (op.blocking()->withdraw()) complete_later(op, -ECANCELED);
      break;
    default:
      break;  // it has its result
  }
}

void epoll_reactor::enqueue(watch& at, io_leaf& op) noexcept {
  op.where = io_leaf::place::waiting;
  ++waiting_;
  at.waiting[direction_of(op)].push(op);
}

// ---- completions

/// For the next poll() or wait().
void epoll_reactor::complete_later(io_leaf& op, int result) noexcept {
  op.where = io_leaf::place::completing;
  op.set_result(result);
  completed_.push(op);
}

void epoll_reactor::complete(io_leaf& op, int result) noexcept {
  op.where = io_leaf::place::nowhere;
  --in_flight_;
  counters_.completed.add();
  op.completed(result, 0);
}

/// An operation may submit itself again from completed(). What completes that way is left for the next turn.
void epoll_reactor::deliver_completions() noexcept {
  leaf_queue now = std::move(completed_);
  while (io_leaf* const op = now.pop()) complete(*op, op->result());
}

void epoll_reactor::poll() noexcept {
  if (waiting_ != 0) collect(time_point::min());
  deliver_completions();
}

void epoll_reactor::wait(time_point deadline) noexcept {
  collect(woken_ || !completed_.empty() ? time_point::min() : deadline);
  woken_ = false;
  deliver_completions();
}

void epoll_reactor::wake() noexcept {
  const int before = errno;
  const std::uint64_t one = 1;
  // It can only fail after 2^64 - 1 wake-ups.
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
  errno = before;
}

// ---- events

int epoll_reactor::wait_in_kernel(void* events, int most, time_point deadline) const noexcept {
  auto* const into = static_cast<epoll_event*>(events);
  if (deadline == time_point::min()) return epoll_wait(epoll_.get(), into, most, 0);
  if (deadline == no_deadline) return epoll_wait(epoll_.get(), into, most, -1);
  const duration left = std::max(deadline - monotonic_now(), duration::zero());
  if (microseconds_) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
    timespec timeout{};
    timeout.tv_sec = static_cast<std::time_t>(seconds.count());
    timeout.tv_nsec = static_cast<long>((left - seconds).count());
    return wait_microseconds(epoll_.get(), into, most, &timeout);
  }
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return epoll_wait(epoll_.get(), into, most, static_cast<int>(std::min<decltype(rounded)>(rounded, INT_MAX)));
}

void epoll_reactor::collect(time_point deadline) noexcept {
  std::array<epoll_event, most_events> events;  // NOLINT(cppcoreguidelines-pro-type-member-init): the kernel fills it
  counters_.calls.add();
  const int count = wait_in_kernel(events.data(), most_events, deadline);
  // Interrupted by a signal (-1): the caller comes again.
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    handle(event.data.u64, event.events);
  }
}

void epoll_reactor::handle(std::uint64_t tag, std::uint32_t events) noexcept {
  if (tag == wake_tag) {
    woken_ = true;
    return;
  }
  const auto number = static_cast<std::uint32_t>(tag);
  // Every registered number has its place in the table. Its present owner need not be the one that this event is for:
  // a registration survives its descriptor when the open file has another number or process.
  watch& at = watches_[number];
  if (tag_of(static_cast<int>(number), at.serial) != tag) return;
  if (at.serial == 0) {
    handle_foreign(at);
    return;
  }
  at.short_is_empty = (events & more_than_data) == 0;
  const bool claimed = !at.waiting[reading].empty() || !at.waiting[writing].empty();
  if ((events & makes_readable) != 0) {
    at.ready[reading] = true;
    serve(at, reading);
  }
  if ((events & makes_writable) != 0) {
    at.ready[writing] = true;
    serve(at, writing);
  }
  if (claimed) {
    at.unclaimed = 0;
  } else if (++at.unclaimed == most_unclaimed) {
    // Meanwhile another worker may have closed the number, and it may be another file's: that one is not registered
    // here, and nothing happens. As a plain system call, which TSan does not take for a use of the number.
    static_cast<void>(::syscall(SYS_epoll_ctl, epoll_.get(), EPOLL_CTL_DEL, number, nullptr));
    at = watch{};
  }
}

void epoll_reactor::handle_foreign(watch& at) noexcept {
  io_leaf* const op = at.waiting[reading].first();
  if (!op) return;
  const int result = attempt(*op, nullptr);
  if (result == -EAGAIN) return;
  stop_watching(*op->foreign());
  complete_later(*op, result);
}

void epoll_reactor::serve(watch& at, direction which) noexcept {
  leaf_queue& waiting = at.waiting[which];
  while (at.ready[which] && !waiting.empty()) {
    io_leaf& op = *waiting.first();
    const int result = attempt(op, &at);
    if (result == -EAGAIN) return;
    waiting.remove(op);
    --waiting_;
    complete_later(op, result);
  }
}

}  // namespace weir::detail
