#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>

#include "../../runtime/detail/intrusive_list.hpp"
#include "../../runtime/detail/operation.hpp"
#include "../../runtime/detail/owned.hpp"
#include "../../runtime/detail/reactor.hpp"
#include "descriptor.hpp"

namespace weir::detail {

/// A submission entry of io_uring, to be seen as such only by the files that know the kernel's names
/// (ring_entry_impl.hpp).
struct ring_entry;

class simulated_kernel;
class blocking_step;  // NOLINT(cppcoreguidelines-virtual-class-destructor): it is final

/// What an operation waits for where there is no ring.
enum class readiness : std::uint8_t {
  input,     ///< the descriptor can be read from, or accepted from
  output,    ///< it can be written to, or is connected
  blocking,  ///< it is never "ready": attempt() blocks and belongs to the offload pool (files, names)
  foreign,   ///< a descriptor that is not weir's is as foreign() says: it is watched for this operation alone
};

/// What an operation waits for at a descriptor that is not weir's.
struct foreign_watch {
  int number;
  std::uint32_t events;  // as those of poll(2), which are those of epoll
  int watched = -1;      // the readiness reactor's: by which number it watches
};

/// An I/O leaf. It lives in the awaiting frame and is shown to the kernel there, so the frame is neither resumed nor
/// destroyed before the operation's own final completion.
///
/// A derived operation is one file with its forms side by side: prepare() for the ring, attempt() with needs() for
/// readiness, simulate() for simulations.
class io_leaf : public leaf, public io_operation, public list_hook {
 public:
  /// Ring form: fills in everything but the user data.
  virtual void prepare(ring_entry& entry) noexcept = 0;
  /// Readiness form: the system call, without waiting unless needs() says blocking. The result as the ring gives it;
  /// -EAGAIN when it is not ready.
  virtual int attempt() noexcept = 0;
  /// Simulated form: the same against the kernel of a simulation, when its time has come. An operation that has none
  /// is refused there.
  virtual int simulate(simulated_kernel&) noexcept { return -ENOTSUP; }
  /// Does not change while a reactor has the operation.
  [[nodiscard]] virtual readiness needs() const noexcept = 0;
  /// Its way to the offload pool and back, for those that need `blocking`.
  [[nodiscard]] virtual blocking_step* blocking() noexcept { return nullptr; }
  /// For those that need `foreign`.
  [[nodiscard]] virtual foreign_watch* foreign() noexcept { return nullptr; }
  /// For those that ask_probe(): the ring's opcode. A kernel that does not know it leaves the operation to the offload
  /// pool, as an operation whose opcode is in_no_ring is everywhere.
  [[nodiscard]] virtual std::uint8_t ring_opcode() const noexcept { return in_no_ring; }
  static constexpr std::uint8_t in_no_ring = 0xff;
  [[nodiscard]] bool asks_probe() const noexcept { return asks_probe_; }
  /// A transfer past the kernel's cache: a device does it, and may idle until it is handed in.
  [[nodiscard]] bool is_direct() const noexcept { return direct_; }
  /// Ring form: the kernel has chosen this one of its ring of buffers for the operation, whatever its result is. Before
  /// completed().
  virtual void buffer_chosen(unsigned /*index*/) noexcept {}
  [[nodiscard]] virtual io_use use() const noexcept = 0;
  /// Whether an attempt that moved `result` bytes has seen the last of what was ready: true only where less than was
  /// asked for proves that, as on TCP streams (see descriptor).
  [[nodiscard]] virtual bool drained(int /*result*/) const noexcept { return false; }
  /// The descriptor that is waited for, or -1 when there is none yet (open).
  [[nodiscard]] int fd() const noexcept { return descriptor_ ? descriptor_->number() : -1; }
  [[nodiscard]] descriptor* target() const noexcept { return descriptor_; }

  [[nodiscard]] std::string describe() const final { return std::string(name()) + " " + object(); }
  void completed(int result, std::uint32_t flags) noexcept final;
  /// The descriptor is being closed under the operation. Any thread, under the descriptor's lock.
  void cancel_for_close() noexcept;
  /// Keeps the object's name for the failure's sentence: once the operation has left its descriptor, that may be
  /// closed.
  void keep_name() noexcept;

  /// What it has completed with: to be delivered, or delivered.
  [[nodiscard]] int result() const noexcept { return result_; }
  void set_result(int result) noexcept { result_ = result; }

  /// Where its reactor has it.
  enum class place : std::uint8_t {
    nowhere,
    waiting_for_entry,  // ring: there was no entry for it
    submitted,          // ring: the kernel has it
    waiting,            // readiness: for its descriptor
    offloaded,          // in the pool
    completing,         // result() is to be delivered
    elsewhere,          // no reactor has it: it waits for something else, see intercept()
  };

 protected:
  explicit io_leaf(descriptor* target) noexcept : descriptor_(target) {}
  io_leaf(const io_leaf& other) noexcept
      : leaf(other),
        io_operation(other),
        list_hook(),
        descriptor_(other.descriptor_),
        asks_probe_(other.asks_probe_),
        intercepts_(other.intercepts_) {}
  ~io_leaf() = default;

  /// Before try_io(): it is tried without the ring, too, which does not do so with others.
  void try_first() noexcept { tries_first_ = true; }

  /// For blocking operations that not every kernel with a ring has there.
  void ask_probe() noexcept { asks_probe_ = true; }

  /// For transfers of files, before they are submitted.
  void look_whether_direct() noexcept { direct_ = descriptor_ && descriptor_->is_direct(); }

  /// For those that wait for more than their descriptor.
  void intercept_completions() noexcept { intercepts_ = true; }
  /// Before anything is made of a completion: `result` may be replaced. `ending`: an early end was asked for. True: the
  /// operation is submitted again, or waits at the place `elsewhere` and will be.
  virtual bool intercept(int& /*result*/, bool /*ending*/) noexcept { return false; }
  /// It waits elsewhere, and an early end is asked for: it is submitted again, to be ended by its reactor.
  virtual void come_back() noexcept {}
  void submit() noexcept;

  /// The two steps of every I/O operation; `result_` holds the outcome when they have completed.
  bool try_io(const await_context& context) noexcept { return try_in(*context.env); }
  /// In place of try_io when there is nothing to do.
  bool finish_empty(const await_context& context) noexcept { return finish_empty_in(*context.env); }
  void start_io(const await_context& context) noexcept;

  /// In place of both, for a case of a select, on the worker whose task waits: no frame is suspended in it, and
  /// end_as_case() is called instead of completing, once, from here or from the reactor.
  void start_as_case() noexcept;
  /// Asks for an early end of that, on the same worker. Nothing when it has ended.
  void withdraw_as_case() noexcept;
  /// It has ended with result(), and may be gone when this returns.
  virtual void end_as_case() noexcept {}

  /// A completion is here. True: it was a part, submit again for the rest (prepare() and attempt() now speak of that).
  virtual bool goes_on(int /*result*/) noexcept { return false; }
  /// A failure that is not the caller's business: the operation is submitted once more.
  [[nodiscard]] virtual bool try_again(int /*result*/) noexcept { return false; }
  /// For those that have no descriptor to name.
  [[nodiscard]] virtual std::string object() const;

  void set_target(descriptor* target) noexcept { descriptor_ = target; }
  /// Lengths as the kernel takes them in one go.
  static unsigned transfer_size(std::size_t size) noexcept {
    return static_cast<unsigned>(size < 0x7ffff000 ? size : 0x7ffff000);
  }
  /// The failure that result() stands for, or none. `verb` is the operation's name.
  [[nodiscard]] failure failure_of(const char* verb) const;
  [[noreturn]] void fail(const char* verb) const { failure_of(verb).rethrow(); }

 private:
  bool try_in(const environment& env) noexcept;
  bool finish_empty_in(const environment& env) noexcept;
  /// Joins the descriptor's operations, so that it stays open: 0 or the error to complete with.
  int enter(const environment& env) noexcept;
  /// The operation has ended with `result`: returns what that means to the caller.
  int leave(int result) noexcept;
  /// Nobody new asks for an early end. Who has asked from another thread may still have a message in our inbox, which
  /// lives in this object: takes it out.
  void take_delivery() noexcept;
  void complete_with(int result) noexcept;
  [[nodiscard]] bool woken_in_vain(int result) const noexcept;

  void request_stop(cancellation_cause) noexcept override;
  void deliver() noexcept override;
  void ask(std::uint8_t why) noexcept;
  void end_early() noexcept;

  // Why an early end was asked for; `posted` is set with the first reason that came from another thread.
  static constexpr std::uint8_t for_stop = 1;
  static constexpr std::uint8_t for_close = 2;
  static constexpr std::uint8_t posted = 4;

  descriptor* descriptor_;
  worker* owner_ = nullptr;  // who armed it, until its final completion
  owned<std::string> name_;

 public:
  // For the reactor that has the operation. Here, so that all small members share a word.
  io_leaf* next_waiting = nullptr;
  io_leaf* previous_waiting = nullptr;
  place where = place::nowhere;
  bool cancel_submitted = false;

 private:
  std::atomic<std::uint8_t> asked_{0};
  // The owner's.
  bool delivered_ : 1 = false;
  bool entered_ : 1 = false;  // it is among its descriptor's operations
  bool empty_ : 1 = false;    // there is nothing to do
  bool as_case_ : 1 = false;  // start_as_case() was called, and it has not ended
  bool asks_probe_ : 1 = false;
  bool intercepts_ : 1 = false;
  bool direct_ : 1 = false;
  bool tries_first_ : 1 = false;
  int result_ = 0;
};

/// What every I/O operation that completes with a T has in common. `Derived` has `T value()`, `static constexpr const
/// char* verb`, and may have its own `failure failed()`. `Base` is blocking_io_leaf for those that block.
template <class Derived, class T, class Base = io_leaf>
class [[nodiscard]] io_awaitable : public operation_base, public Base {
 public:
  using value_type = T;

  bool ready(const await_context& context) noexcept { return this->try_io(context); }
  std::coroutine_handle<> start(const await_context& context) noexcept {
    this->start_io(context);
    return std::noop_coroutine();
  }
  T resume() {
    if (failure f = static_cast<Derived&>(*this).failed()) f.rethrow();
    return static_cast<Derived&>(*this).value();
  }
  weir::result<T> resume_result() noexcept {
    if (failure f = static_cast<Derived&>(*this).failed()) return f;
    return capture<T>([this]() -> T { return static_cast<Derived&>(*this).value(); });
  }
  [[nodiscard]] failure failed() const {
    if (this->io_leaf::result() >= 0) return {};
    return this->failure_of(name());
  }
  [[nodiscard]] const char* name() const noexcept override { return Derived::verb; }

 protected:
  using Base::Base;
};

}  // namespace weir::detail
