#include "descriptor.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <new>

#include "../../runtime/detail/worker.hpp"
#include "io_operation.hpp"
#include "system_calls.hpp"

namespace weir::detail {

namespace {

std::uint32_t next_serial() noexcept {
  static std::atomic<std::uint32_t> last{0};
  const std::uint32_t next = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return next != 0 ? next : last.fetch_add(1, std::memory_order_relaxed) + 1;
}

runtime_core* domain_here() noexcept {
  worker* here = current_worker();
  return here && !here->core().shared() ? &here->core() : nullptr;
}

}  // namespace

descriptor::descriptor(int number, const endpoint& peer) noexcept
    : number_(number),
      serial_(next_serial()),
      identity_(identity::peer),
      domain_(domain_here()),
      domain_serial_(domain_ ? domain_->serial() : 0),
      peer_(peer) {}

descriptor::descriptor(int number, kind what, owned<named> called) noexcept
    : number_(number),
      serial_(next_serial()),
      identity_(what == kind::socket ? identity::named_socket : identity::file),
      domain_(domain_here()),
      domain_serial_(domain_ ? domain_->serial() : 0),
      named_(std::move(called)) {}

descriptor::~descriptor() {
  if (identity_ != identity::peer) std::destroy_at(&named_);
}

descriptor* descriptor::adopt(int number, kind what, std::string name) {
  try {
    owned<named> called(new named(std::move(name)));
    return new descriptor(number, what, std::move(called));
  } catch (...) {
    system_calls::close(number);
    throw;
  }
}

descriptor* descriptor::adopt(int number, const endpoint& peer) {
  if (descriptor* made = try_adopt(number, peer)) return made;
  throw std::bad_alloc();
}

descriptor* descriptor::try_adopt(int number, const endpoint& peer) noexcept {
  auto* made = new (std::nothrow) descriptor(number, peer);
  if (!made) system_calls::close(number);
  return made;
}

std::string descriptor::name() const {
  if (identity_ == identity::peer) return peer_ ? peer_.to_string() : fmt::format("fd {}", number_);
  return named_->name.empty() ? fmt::format("fd {}", number_) : named_->name;
}

void descriptor::require_domain(const runtime_core& runtime) const noexcept {
  if (domain_ && domain_serial_ != runtime.serial()) {
    fatal(
        "weir: a descriptor made in a single-worker runtime is used by a task of another runtime: move it with "
        "release() and adopt()");
  }
}

int descriptor::begin_use(io_use use) noexcept {
  if (closing_) return -ECANCELED;
  if (use == io_use::reading) {
    if (reading_) return -EBUSY;
    reading_ = true;
    bytes_read_ = 0;
  } else if (use == io_use::writing) {
    if (writing_) return -EBUSY;
    writing_ = true;
    bytes_written_ = 0;
  }
  in_flight_.store(in_flight_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return 0;
}

std::uint32_t descriptor::end_use(io_use use) noexcept {
  if (use == io_use::reading) reading_ = false;
  if (use == io_use::writing) writing_ = false;
  const std::uint32_t left = in_flight_.load(std::memory_order_relaxed) - 1;
  in_flight_.store(left, std::memory_order_relaxed);
  return left;
}

int descriptor::enter(io_leaf& op, io_use use, const runtime_core& runtime) noexcept {
  require_domain(runtime);
  optional_guard guard(lock_, locked());
  const int refused = begin_use(use);
  if (refused == 0) operations_.push_back(op);
  return refused;
}

bool descriptor::leave(io_leaf& op, io_use use) noexcept {
  optional_guard guard(lock_, locked());
  operations_.remove(op);
  const std::uint32_t left = end_use(use);
  if (!closing_) return false;
  op.keep_name();  // afterwards there may be nothing left to ask
  guard.unlock();
  if (left == 0) end();
  return true;
}

int descriptor::hold(io_use use, const runtime_core& runtime) noexcept {
  require_domain(runtime);
  optional_guard guard(lock_, locked());
  return begin_use(use);
}

void descriptor::let_go(io_use use) noexcept {
  optional_guard guard(lock_, locked());
  const bool last = end_use(use) == 0 && closing_;
  guard.unlock();
  if (last) end();
}

void descriptor::end() noexcept {
  system_calls::close(number_);
  delete this;
}

bool descriptor::is_closing() noexcept {
  const optional_guard guard(lock_, locked());
  return closing_;
}

void descriptor::close() noexcept {
  worker* here = current_worker();
  if (domain_ && (!here || &here->core() != domain_) && in_flight_.load(std::memory_order_acquire) != 0) {
    // Something is in flight, so the runtime lives; only its worker may touch the list.
    post(domain_->first(), *this);
    return;
  }
  close_here();
}

void descriptor::close_here() noexcept {
  optional_guard guard(lock_, locked());
  closing_ = true;
  if (in_flight_.load(std::memory_order_relaxed) == 0) {
    guard.unlock();
    end();
    return;
  }
  // The peer learns at once; the number stays taken until the kernel has given back every operation.
  if (is_socket()) static_cast<void>(system_calls::shutdown(number_, SHUT_RDWR));
  for (io_leaf* op = operations_.first(); op; op = operations_.after(*op)) op->cancel_for_close();
}

int descriptor::release() noexcept {
  WEIR_DETAIL_ASSERT(in_flight_.load() == 0, "release() of a descriptor with operations in flight: cancel them first");
  const int number = number_;
  delete this;
  return number;
}

}  // namespace weir::detail
