#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "lease_pool.hpp"
#include "ring_entry_impl.hpp"
#include "uring_reactor_impl.hpp"

namespace weir::detail {

namespace {

// Constants that Debian 12's headers may not know; the kernel's ABI fixes them.
constexpr unsigned feature_no_iowait = 1u << 17;  // Linux 6.15
constexpr unsigned enter_no_iowait = 1u << 7;
constexpr unsigned notification_copied = 1u << 31;  // Linux 6.2
constexpr unsigned needed_features = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_RW_CUR_POS |
                                     IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG;

// User data that is no operation's address.
constexpr std::uint64_t ignored = 1;
constexpr std::uint64_t woken = 2;

constexpr unsigned smallest_ring = 64;

// A device that could begin with the first of these should not wait until the last task of the turn has asked for
// something; handing in each alone would be a system call each. With two it is as busy as with one.
constexpr unsigned enough_for_a_device = 2;

// When to try again what the kernel did not take.
constexpr __kernel_timespec soon{.tv_sec = 0, .tv_nsec = 1'000'000};

std::uint64_t address_of(io_operation& op) noexcept { return reinterpret_cast<std::uintptr_t>(&op); }

/// kernel.io_uring_disabled, or -1 where the kernel has no such setting.
int disabled_setting() noexcept {
  int value = -1;
  if (std::FILE* file = std::fopen("/proc/sys/kernel/io_uring_disabled", "re")) {
    if (std::fscanf(file, "%d", &value) != 1) value = -1;
    static_cast<void>(std::fclose(file));
  }
  return value;
}

std::string explain(const char* call, int error) {
  std::string what = fmt::format("{}: {}", call, std::generic_category().message(error));
  const int disabled = disabled_setting();
  switch (error) {
    case EPERM:
    case EACCES:
      if (disabled > 0) {
        return fmt::format("{} (the sysctl kernel.io_uring_disabled is {}{})", what, disabled,
                           disabled == 1 ? ": only CAP_SYS_ADMIN or kernel.io_uring_group may use it" : "");
      }
      return what + " (denied by a security policy, most likely a container's default seccomp profile)";
    case ENOSYS:
      return what + " (the kernel was built without io_uring, or a seccomp profile hides it)";
    case ENOMEM: {
      rlimit limit{};
      getrlimit(RLIMIT_MEMLOCK, &limit);
      return fmt::format("{} (RLIMIT_MEMLOCK is {} KiB: raise it, or ask for fewer ring_entries)", what,
                         limit.rlim_cur / 1024);
    }
    default:
      return what;
  }
}

template <class T>
T load_acquire(const T* from) noexcept {
  return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}
template <class T>
void store_release(T* to, T value) noexcept {
  __atomic_store_n(to, value, __ATOMIC_RELEASE);
}

}  // namespace

// ---- set-up

namespace {

// liburing maps and unmaps rings by system calls of its own, of which ThreadSanitizer knows nothing: this orders what
// one thread did with a ring and what another one does with a new ring at the same place, as the kernel does.
constinit std::atomic<unsigned> rings_closed{0};

}  // namespace

std::unique_ptr<uring_reactor> uring_reactor::create(const reactor_options& options, std::string& why_not) {
  // The best flags that the kernel takes; each line is a kernel version that knows them.
  constexpr unsigned common = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
  constexpr std::array<unsigned, 5> chain = {
      common | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
          IORING_SETUP_TASKRUN_FLAG,  // 6.1
      common | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
          IORING_SETUP_TASKRUN_FLAG,                                                             // 6.0
      common | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,  // 5.19
      common | IORING_SETUP_SUBMIT_ALL,                                                          // 5.18
      common,                                                                                    // 5.11
  };

  std::unique_ptr<uring_reactor> made(new uring_reactor(options));
  made->wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made->wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd for a worker's wake-ups");

  unsigned entries = std::clamp(options.entries, 1u, 32768u);
  int error = EINVAL;
  for (std::size_t i = 0; i < chain.size();) {
    error = made->set_up(entries, chain[i]);
    if (error == ENOMEM && entries > smallest_ring) {
      entries /= 2;
    } else if (error == EINVAL) {
      ++i;
    } else {
      break;
    }
  }
  if (error == EMFILE || error == ENFILE) {
    throw std::system_error(error, std::generic_category(), "io_uring_setup for a worker's reactor");
  }
  if (error != 0) {
    why_not = explain("io_uring_setup", error);
    return nullptr;
  }
  if ((made->ring_.features & needed_features) != needed_features) {
    why_not = fmt::format("io_uring: the kernel lacks needed features (has {:#x}, needs {:#x}: Linux 5.11 or newer)",
                          made->ring_.features, needed_features);
    return nullptr;
  }
  error = made->try_out();
  if (error != 0) {
    why_not = explain("io_uring_enter", error);
    return nullptr;
  }
  made->wakeable_ = true;
  made->arm_wake();
  return made;
}

int uring_reactor::set_up(unsigned entries, unsigned flags) noexcept {
  io_uring_params params{};
  params.flags = flags;
  params.cq_entries = 4 * entries;
  const int result = io_uring_queue_init_params(entries, &ring_, &params);
  if (result < 0) return -result;
  static_cast<void>(rings_closed.load(std::memory_order_acquire));
  ring_open_ = true;
  deferred_ = (flags & IORING_SETUP_DEFER_TASKRUN) != 0;
  has_task_run_flag_ = (flags & IORING_SETUP_TASKRUN_FLAG) != 0;
  no_iowait_ = (ring_.features & feature_no_iowait) != 0;
  // The order of the entries never changes: entry i of the array is entry i of the ring. Newer liburing sets up rings
  // without an array.
  if (ring_.sq.array) {
    for (unsigned i = 0; i < *ring_.sq.kring_entries; ++i) ring_.sq.array[i] = i;
  }
  tail_ = *ring_.sq.ktail;
  // Saves the kernel a look-up at each enter. A thread may have 16 of these; without one the ring works as well.
  static_cast<void>(io_uring_register_ring_fd(&ring_));
  // A forked child must not share our rings. Errors of these two only cost comfort.
  static_cast<void>(io_uring_ring_dontfork(&ring_));
  std::array<unsigned, 2> most_threads = {4, 64};  // bounded (files), unbounded (the rest) kernel workers
  static_cast<void>(io_uring_register_iowq_max_workers(&ring_, most_threads.data()));
  learn_operations();
  return 0;
}

// Where the kernel does not tell, the pool takes all that need not be known.
void uring_reactor::learn_operations() noexcept {
  known_.reset();
  io_uring_probe* const probe = io_uring_get_probe_ring(&ring_);
  if (!probe) return;
  for (unsigned i = 0; i < probe->ops_len; ++i) {
    const io_uring_probe_op& one = probe->ops[i];
    known_[one.op] = (one.flags & IO_URING_OP_SUPPORTED) != 0;
  }
  known_[io_leaf::in_no_ring] = false;
  io_uring_free_probe(probe);
}

// Some sandboxes allow the set-up and deny its use: one empty operation with a bounded wait tells.
int uring_reactor::try_out() noexcept {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_nop(entry);
  entry->user_data = ignored;
  const __kernel_timespec limit{.tv_sec = 1, .tv_nsec = 0};
  const int result = enter(1, &limit);
  if (result < 0 && result != -EINTR && result != -ETIME) return -result;
  reap();
  return unsubmitted() == 0 ? 0 : EIO;
}

// Kernels before 5.19 refuse it, and where memory may not be locked it can fail, too: then operations wait until they
// can read, and take a buffer themselves.
void uring_reactor::publish_leases(lease_pool& pool) noexcept {
  io_uring_buf_reg ring{};
  ring.ring_addr = reinterpret_cast<std::uintptr_t>(pool.make_ring());
  ring.ring_entries = pool.ring_entries();
  ring.bgid = lease_pool::ring_group;
  if (ring.ring_addr == 0 || io_uring_register_buf_ring(&ring_, &ring, 0) != 0) return;
  has_buffer_ring_ = true;
  pool.use_ring();
}

uring_reactor::~uring_reactor() {
  if (ring_open_) {
    rings_closed.fetch_add(1, std::memory_order_release);
    io_uring_queue_exit(&ring_);
  }
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

// The kernel tears a ring down in the background, and whatever is in flight then may still write into our memory: the
// read of the eventfd is ended and reaped first.
void uring_reactor::shut_down() noexcept {
  wakeable_ = false;
  if (wake_armed_) wake();
  const __kernel_timespec limit{.tv_sec = 1, .tv_nsec = 0};
  for (int tries = 0; tries < 10 && wake_armed_; ++tries) flush_and_reap(1, &limit);
  buffers_.end(ring_, *this);
  // Nothing is in flight that could still choose one of its buffers.
  if (has_buffer_ring_) static_cast<void>(io_uring_unregister_buf_ring(&ring_, lease_pool::ring_group));
  io_reactor::shut_down();
  // The registration is this thread's: on another one the same index would be somebody else's ring.
  if (ring_.enter_ring_fd != ring_.ring_fd) static_cast<void>(io_uring_unregister_ring_fd(&ring_));
}

void uring_reactor::arm_wake() noexcept {
  if (!wakeable_) return;
  if (io_uring_sqe* entry = next_entry()) {
    io_uring_prep_read(entry, wake_fd_, &wake_buffer_, sizeof wake_buffer_, 0);
    entry->user_data = woken;
    wake_armed_ = true;
  }
}

// ---- submitting

unsigned uring_reactor::unsubmitted() const noexcept { return tail_ - load_acquire(ring_.sq.khead); }
unsigned uring_reactor::completions() const noexcept { return load_acquire(ring_.cq.ktail) - *ring_.cq.khead; }

io_uring_sqe* uring_reactor::next_entry() noexcept {
  const unsigned size = *ring_.sq.kring_entries;
  if (unsubmitted() >= size) {
    // Full: hand it in. If the kernel takes nothing now (it is out of memory, or wants completions reaped first), the
    // caller waits in a queue of ours.
    static_cast<void>(enter(0, nullptr));
    if (unsubmitted() >= size) return nullptr;
  }
  io_uring_sqe* entry = &ring_.sq.sqes[tail_ & *ring_.sq.kring_mask];
  std::memset(entry, 0, sizeof *entry);
  ++tail_;
  return entry;
}

void uring_reactor::put(io_leaf& op, io_uring_sqe& entry) noexcept {
  op.prepare(*reinterpret_cast<ring_entry*>(&entry));
  // Only where a device reads and writes the memory: for what is copied a registered buffer saves next to nothing.
  if (op.is_direct() && registered_buffers::changes() != 0 && buffers_.use(entry, ring_, *this)) {
    counters_.registered_transfers.add();
  }
  entry.user_data = address_of(op);
  op.where = io_leaf::place::submitted;
}

void uring_reactor::put_cancel(io_leaf& op, io_uring_sqe& entry) noexcept {
  // By the operation's own address, never by descriptor: the number may be somebody else's by then.
  io_uring_prep_cancel64(&entry, address_of(op), 0);
  entry.user_data = ignored;
}

bool uring_reactor::try_now(io_operation& operation, int& result) noexcept {
  result = attempt(static_cast<io_leaf&>(operation));
  if (result == -EAGAIN) return false;
  counters_.started.add();
  counters_.completed.add();
  return true;
}

void uring_reactor::submit(io_operation& operation) noexcept {
  auto& op = static_cast<io_leaf&>(operation);
  op.cancel_submitted = false;
  ++in_flight_;
  counters_.started.add();
  if (!knows(op)) {
    submit_blocking(op);
    return;
  }
  if (waiting_.empty()) {
    if (io_uring_sqe* entry = next_entry()) {
      put(op, *entry);
      if (op.is_direct() && ++for_device_ >= enough_for_a_device) static_cast<void>(enter(0, nullptr));
      return;
    }
  }
  op.where = io_leaf::place::waiting_for_entry;
  counters_.ring_full.add();
  waiting_.push(op);
}

void uring_reactor::submit_blocking(io_leaf& op) noexcept {
  op.where = io_leaf::place::offloaded;
  if (!op.blocking()->begin(*this)) complete_later(op, -EAGAIN);
}

void uring_reactor::came_back(io_leaf& op, int result) noexcept { complete(op, result, 0); }

void uring_reactor::cancel(io_operation& operation) noexcept {
  auto& op = static_cast<io_leaf&>(operation);
  const bool has_result = op.where == io_leaf::place::nowhere || op.where == io_leaf::place::completing;
  if (has_result || op.cancel_submitted) return;
  op.cancel_submitted = true;
  if (op.where == io_leaf::place::offloaded) {
    if (op.blocking()->withdraw()) complete_later(op, -ECANCELED);
    return;
  }
  if (op.where == io_leaf::place::waiting_for_entry) {
    waiting_.remove(op);
    complete_later(op, -ECANCELED);
    return;
  }
  if (io_uring_sqe* entry = next_entry()) {
    put_cancel(op, *entry);
  } else {
    uncancelled_.push(op);
  }
}

void uring_reactor::fill_from_queues() noexcept {
  while (!uncancelled_.empty()) {
    io_uring_sqe* entry = next_entry();
    if (!entry) return;
    put_cancel(*uncancelled_.pop(), *entry);
  }
  while (!waiting_.empty()) {
    io_uring_sqe* entry = next_entry();
    if (!entry) return;
    put(*waiting_.pop(), *entry);
  }
}

int uring_reactor::enter(unsigned wanted, const __kernel_timespec* timeout) noexcept {
  store_release(ring_.sq.ktail, tail_);
  for_device_ = 0;
  unsigned flags = 0;
  if (wanted != 0 || deferred_ || has_task_run_flag_ || (load_acquire(ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0) {
    flags |= IORING_ENTER_GETEVENTS;
  }
  io_uring_getevents_arg arg{};
  void* argument = nullptr;
  std::size_t size = _NSIG / 8;
  if (wanted != 0) {
    if (no_iowait_) flags |= enter_no_iowait;
    if (timeout) {
      arg.ts = reinterpret_cast<std::uintptr_t>(timeout);
      arg.sigmask_sz = _NSIG / 8;
      argument = &arg;
      size = sizeof arg;
      flags |= IORING_ENTER_EXT_ARG;
    }
  }
  if (ring_.enter_ring_fd != ring_.ring_fd) flags |= IORING_ENTER_REGISTERED_RING;
  counters_.calls.add();
  const int result = io_uring_enter2(static_cast<unsigned>(ring_.enter_ring_fd), unsubmitted(), wanted, flags,
                                     static_cast<sigset_t*>(argument), size);
  // EBADR: completions are really lost, and with them frames that nobody can ever resume.
  if (result == -EBADR) fatal("weir: the kernel lost io_uring completions (EBADR); the process cannot go on");
  return result < 0 ? result : 0;
}

// ---- completions

void uring_reactor::handle(std::uint64_t user_data, int result, std::uint32_t flags) noexcept {
  if (user_data == ignored) return;
  if (user_data == woken) {
    wake_armed_ = false;
    return;
  }
  auto& op = static_cast<io_leaf&>(*reinterpret_cast<io_operation*>(user_data));  // NOLINT(performance-no-int-to-ptr)
  // Of a send that does not copy: the kernel still has the memory, and says in another completion when it has let go.
  if ((flags & IORING_CQE_F_MORE) != 0) {
    op.set_result(result);
    return;
  }
  if ((flags & IORING_CQE_F_NOTIF) != 0) {
    const bool copied = (static_cast<unsigned>(result) & notification_copied) != 0;
    result = op.result();  // a refusal may be followed by a notification, too
    if (result >= 0) counters_.zero_copy_sends.add();
    if (result >= 0 && copied) counters_.zero_copy_copied.add();
  }
  // No entry was there for its cancel, and none is needed any more.
  if (op.next_waiting) uncancelled_.remove(op);
  complete(op, result, flags);
}

void uring_reactor::complete(io_leaf& op, int result, std::uint32_t flags) noexcept {
  op.where = io_leaf::place::nowhere;
  --in_flight_;
  counters_.completed.add();
  if ((flags & IORING_CQE_F_BUFFER) != 0) op.buffer_chosen(flags >> IORING_CQE_BUFFER_SHIFT);
  op.completed(result, flags);
}

void uring_reactor::reap() noexcept {
  for (;;) {
    unsigned head = *ring_.cq.khead;
    unsigned tail = load_acquire(ring_.cq.ktail);
    if (head == tail) {
      // The kernel keeps what did not fit until it is asked again.
      if ((load_acquire(ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) == 0) break;
      counters_.ring_overflows.add();
      if (enter(0, nullptr) < 0 && load_acquire(ring_.cq.ktail) == head) break;
      tail = load_acquire(ring_.cq.ktail);
      if (head == tail) break;
    }
    // Only what was there: an operation that completes at once in here must not keep us.
    while (head != tail) {
      const io_uring_cqe entry = ring_.cq.cqes[head & *ring_.cq.kring_mask];
      store_release(ring_.cq.khead, ++head);
      handle(entry.user_data, entry.res, entry.flags);
    }
    if ((load_acquire(ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) == 0) break;
  }
  if (!wake_armed_) arm_wake();
}

void uring_reactor::complete_later(io_leaf& op, int result) noexcept {
  op.where = io_leaf::place::completing;
  op.set_result(result);
  completed_.push(op);
}

void uring_reactor::deliver_completions() noexcept {
  // Those that come by what completes here wait for the next turn.
  leaf_queue now = std::move(completed_);
  while (io_leaf* op = now.pop()) complete(*op, op->result(), 0);
}

// Kernels since November 2024 run so many pieces of deferred work at a time and leave the rest for the next enter. What
// completes while it is being submitted does not wait there: connections whose peer is quick would be served again and
// again while others wait for several rounds. `inline_at_most`: of what is there, so much may have completed so.
void uring_reactor::run_deferred_work(unsigned inline_at_most) noexcept {
  constexpr unsigned at_one_enter = 20;
  const unsigned room = *ring_.cq.kring_entries / 2;
  unsigned ready = completions();
  if (ready < inline_at_most + at_one_enter) return;
  while (ready < room) {
    static_cast<void>(enter(0, nullptr));
    const unsigned now = completions();
    if (now - ready < at_one_enter) return;
    ready = now;
  }
}

void uring_reactor::flush_and_reap(unsigned wanted, const __kernel_timespec* timeout) noexcept {
  buffers_.catch_up(ring_);
  if (!waiting_.empty() || !uncancelled_.empty()) fill_from_queues();
  if (wakeable_ && !wake_armed_) arm_wake();
  // What the kernel does not take now must not wait for what it has: the missing one may be what ends the wait.
  const bool held_back = !waiting_.empty() || !uncancelled_.empty() || (wakeable_ && !wake_armed_);
  if (wanted != 0 && held_back && (!timeout || timeout->tv_sec != 0 || timeout->tv_nsec > soon.tv_nsec)) {
    timeout = &soon;
  }
  // With deferred task work completions appear only inside enter; otherwise the kernel says when there is some.
  const bool deferred_work =
      deferred_ || (has_task_run_flag_ && (load_acquire(ring_.sq.kflags) & IORING_SQ_TASKRUN) != 0);
  const unsigned submitted = unsubmitted();
  if (wanted != 0 || submitted != 0 || deferred_work) {
    // EINTR: a signal; the caller's loop comes back. EAGAIN and EBUSY: the kernel wants completions taken first, which
    // happens now; what it has not taken stays in the ring for the next turn. ETIME: the deadline.
    static_cast<void>(enter(wanted, timeout));
    if (deferred_) run_deferred_work(submitted);
  }
  reap();
  if (!completed_.empty()) deliver_completions();
}

void uring_reactor::poll() noexcept { flush_and_reap(0, nullptr); }

void uring_reactor::wait(time_point deadline) noexcept {
  if (!completed_.empty()) {
    poll();
    return;
  }
  if (deadline == no_deadline) {
    flush_and_reap(1, nullptr);
    return;
  }
  const duration left = deadline - clock::now();
  if (left <= duration::zero()) {
    poll();
    return;
  }
  __kernel_timespec timeout{};
  timeout.tv_sec = left.count() / 1'000'000'000;
  timeout.tv_nsec = left.count() % 1'000'000'000;
  flush_and_reap(1, &timeout);
}

void uring_reactor::wake() noexcept {
  const std::uint64_t one = 1;
  // A full counter means that a wake-up is pending anyway.
  static_cast<void>(::write(wake_fd_, &one, sizeof one));
}

}  // namespace weir::detail
