#include "kernel_copy.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "../../runtime/as_result.hpp"
#include "../../runtime/detail/worker.hpp"
#include "../operations/copy_file.hpp"
#include "../operations/poll.hpp"
#include "../operations/splice.hpp"
#include "../unique_descriptor.hpp"
#include "buffered_write.hpp"
#include "held_end.hpp"
#include "io_reactor.hpp"
#include "simulated_kernel.hpp"
#include "system_calls.hpp"

namespace weir::detail {

namespace {

constexpr std::size_t pipe_size = 65'536;  // as the kernel makes them
// A pipe takes whole pages: less than one of them at a time is better read and written.
constexpr std::size_t least_buffer = 4096;

/// The pipe that bytes lie in between the ends of a copy.
class copy_pipe {
 public:
  copy_pipe(copy_progress& progress, bool keep) : progress_(progress), keep_(keep) {
    if (keep) progress.rest.reserve(pipe_size);  // so that nothing can fail later
  }
  copy_pipe(const copy_pipe&) = delete;
  copy_pipe& operator=(const copy_pipe&) = delete;
  ~copy_pipe() {
    if (keep_) take_back();
  }

  bool open() noexcept {
    std::array<int, 2> numbers{};
    if (system_calls::make_pipe(numbers, true) != 0) return false;
    reads_ = unique_descriptor(numbers[0]);
    writes_ = unique_descriptor(numbers[1]);
    return true;
  }
  [[nodiscard]] int reads() const noexcept { return reads_.number(); }
  [[nodiscard]] int writes() const noexcept { return writes_.number(); }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  void filled(std::size_t bytes) noexcept { size_ += bytes; }
  void emptied(std::size_t bytes) noexcept { size_ -= bytes; }

  /// What is in it goes into progress.rest. Allocates unless it keeps.
  void take_back() {
    std::vector<std::byte>& rest = progress_.rest;
    const std::size_t before = rest.size();
    rest.resize(before + size_);
    std::size_t done = 0;
    while (done < size_) {
      const ssize_t n = ::read(reads(), rest.data() + before + done, size_ - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      done += static_cast<std::size_t>(n);
    }
    rest.resize(before + done);
    size_ = 0;
  }

 private:
  copy_progress& progress_;
  bool keep_;
  unique_descriptor reads_;
  unique_descriptor writes_;
  std::size_t size_ = 0;
};

/// Whether these descriptors, this file system or this kernel cannot do it; a failure of the copy itself is not
/// among them, but for those that reading and writing will meet again.
bool is_refusal(const std::error_code& error) noexcept {
  constexpr std::array refusals = {EINVAL,  ENOSYS,    EXDEV, EOPNOTSUPP, EPERM, EBADF,
                                   ETXTBSY, EOVERFLOW, EIO,   ENOMEM,     EAGAIN};
  return error.category() == std::generic_category() && std::ranges::find(refusals, error.value()) != refusals.end();
}

bool can_be_asked(const copy_end& end) noexcept {
  return end.target && end.what != copy_end::kind::other && !simulated_kernel::is_simulated(end.target->number());
}

/// Reads and writes with flags of their own do not depend on this; these calls do. False when it cannot be had.
bool never_blocks(const copy_end& end) noexcept {
  return end.what != copy_end::kind::socket || system_calls::make_non_blocking(end.target->number()) == 0;
}

/// Whether a file is long enough, from where it stands, for a thread to be asked: a ring reads files without one, and
/// then it has to be much longer than what is read in one step.
bool is_worth_it(const copy_end& from, std::size_t buffer) noexcept {
  const bool ring = current_worker()->core().backend() == backend_kind::uring;
  const std::size_t least = ring ? std::min(buffer, std::size_t{1} << 40) * 16 : buffer;
  std::uint64_t size = 0;
  if (system_calls::size_of_file(from.target->number(), size) != 0) return false;
  const std::uint64_t at =
      from.how == file_access::own_position ? from.target->position().load(std::memory_order_relaxed) : 0;
  return size > at && size - at > least;
}

task<bool> copy_from_file(copy_end from, copy_end to, copy_progress& progress) {
  const copy_path path = to.what == copy_end::kind::file ? copy_path::range : copy_path::sendfile;
  const held_end target(*to.target, io_use::writing);
  const held_end source(*from.target, io_use::other);
  if (!target || !source || !never_blocks(to)) co_return false;
  for (;;) {
    if (to.target->is_closing()) {
      throw std::system_error(ECANCELED, std::generic_category(), fmt::format("write {}", to.target->name()));
    }
    copy_file_operation copying(from, to);
    const result<copy_step> step = co_await as_result(std::move(copying));
    if (!step.has_value() && is_refusal(step.error())) co_return false;
    const copy_step done = step.value();
    progress.copied += done.moved;
    io_reactor::here().note_copied(path, done.moved);
    if (done.full) {
      co_await readiness_operation::writable(to.target);
    } else if (done.moved == 0) {
      co_return false;  // most likely the end; but a file of /proc ends here and has more to read
    }
  }
}

task<bool> copy_through_pipe(copy_end from, copy_end to, std::size_t most, copy_progress& progress, bool keep) {
  copy_pipe between(progress, keep);
  const held_end source(*from.target, io_use::other);
  const held_end target(*to.target, io_use::other);
  if (!source || !target || !never_blocks(from) || !never_blocks(to) || !between.open()) co_return false;
  for (;;) {
    const result<std::size_t> in = co_await as_result(splice_in_operation(from.target, between.writes(), most));
    if (!in.has_value() && is_refusal(in.error())) co_return false;
    if (in.value() == 0) co_return true;
    between.filled(in.value());
    while (between.size() != 0) {
      const result<std::size_t> out =
          co_await as_result(splice_out_operation(to.target, between.reads(), between.size()));
      if (!out.has_value() && is_refusal(out.error())) {
        between.take_back();
        co_return false;
      }
      if (out.value() == 0) fail_stuck(to.target->name());
      between.emptied(out.value());
      progress.copied += out.value();
      io_reactor::here().note_copied(copy_path::splice, out.value());
    }
  }
}

}  // namespace

task<bool> copy_in_kernel(copy_end from, copy_end to, std::size_t buffer, copy_progress& progress, bool keep) {
  using kind = copy_end::kind;
  bool at_end = false;
  // Unlike send(2), none of these calls can be told to raise no SIGPIPE.
  const bool may_be_killed = to.what == kind::socket && current_worker()->core().options().keep_sigpipe;
  if (!can_be_asked(from) || !can_be_asked(to) || may_be_killed || buffer < least_buffer) co_return at_end;
  if (from.what == kind::file) {
    if (to.what != kind::file && !is_worth_it(from, buffer)) co_return at_end;
    at_end = co_await copy_from_file(from, to, progress);
  } else if (to.what != kind::file) {
    at_end = co_await copy_through_pipe(from, to, std::min(buffer, pipe_size), progress, keep);
  }
  co_return at_end;
}

void note_copied_by_buffer(std::uint64_t bytes) noexcept { io_reactor::here().note_copied(copy_path::buffer, bytes); }

}  // namespace weir::detail
