#include "descriptor.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "../../runtime/detail/worker.hpp"
#include "io_operation.hpp"

namespace weir::detail {

namespace {

std::uint64_t next_serial() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

runtime_core* domain_here() noexcept {
  worker* here = current_worker();
  return here && !here->core().shared() ? &here->core() : nullptr;
}

void close_number(int number) noexcept {
  // The number is free after close() whatever it returns; trying again would hit somebody else's.
  static_cast<void>(::close(number));
}

}  // namespace

descriptor::descriptor(int number, kind what, const endpoint& peer, std::unique_ptr<const std::string> name)
    : number_(number),
      kind_(what),
      domain_(domain_here()),
      serial_(next_serial()),
      peer_(peer),
      name_(std::move(name)) {}

descriptor::~descriptor() = default;

descriptor* descriptor::adopt(int number, kind what, std::string name) {
  try {
    return new descriptor(number, what, endpoint(), std::make_unique<const std::string>(std::move(name)));
  } catch (...) {
    close_number(number);
    throw;
  }
}

descriptor* descriptor::adopt(int number, const endpoint& peer) {
  if (descriptor* made = try_adopt(number, peer)) return made;
  throw std::bad_alloc();
}

descriptor* descriptor::try_adopt(int number, const endpoint& peer) noexcept {
  auto* made = new (std::nothrow) descriptor(number, kind::socket, peer, nullptr);
  if (!made) close_number(number);
  return made;
}

std::string descriptor::name() const {
  if (peer_) return peer_.to_string();
  if (name_) return *name_;
  return fmt::format("fd {}", number_);
}

int descriptor::enter(io_leaf& op, io_use use, const runtime_core& runtime) noexcept {
  if (domain_ && domain_ != &runtime) {
    fatal(
        "weir: a descriptor made in a single-worker runtime is used by a task of another runtime: move it with "
        "release() and adopt()");
  }
  optional_guard guard(lock_, locked());
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
  operations_.push_back(op);
  in_flight_.store(in_flight_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return 0;
}

bool descriptor::leave(io_leaf& op, io_use use) noexcept {
  optional_guard guard(lock_, locked());
  op.list_hook::unlink();
  if (use == io_use::reading) reading_ = false;
  if (use == io_use::writing) writing_ = false;
  const std::uint32_t left = in_flight_.load(std::memory_order_relaxed) - 1;
  in_flight_.store(left, std::memory_order_relaxed);
  if (!closing_) return false;
  op.keep_name();  // afterwards there may be nothing left to ask
  guard.unlock();
  if (left == 0) {
    close_number(number_);
    delete this;
  }
  return true;
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
  if (operations_.empty()) {
    guard.unlock();
    close_number(number_);
    delete this;
    return;
  }
  // The peer learns at once; the number stays taken until the kernel has given back every operation.
  if (kind_ == kind::socket) static_cast<void>(::shutdown(number_, SHUT_RDWR));
  for (io_leaf* op = operations_.first(); op; op = operations_.after(*op)) op->cancel_for_close();
}

int descriptor::release() noexcept {
  WEIR_DETAIL_ASSERT(in_flight_.load() == 0, "release() of a descriptor with operations in flight: cancel them first");
  const int number = number_;
  delete this;
  return number;
}

}  // namespace weir::detail
