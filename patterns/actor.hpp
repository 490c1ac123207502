#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/cancellation.hpp"
#include "../runtime/current.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/group_core.hpp"
#include "../runtime/detail/owned_tasks.hpp"
#include "../runtime/shielded.hpp"
#include "../runtime/sleep.hpp"
#include "../runtime/task.hpp"
#include "../runtime/with_cancellation.hpp"
#include "../runtime/with_timeout.hpp"
#include "../sync/channel.hpp"
#include "../sync/event.hpp"
#include "../sync/mutex.hpp"
#include "detail/actor_letter.hpp"
#include "shutdown_mode.hpp"

namespace weir {

/// What becomes of an actor whose message has thrown.
enum class actor_failure : std::uint8_t {
  resume,   ///< it goes on with the state as the message has left it
  restart,  ///< it goes on with a new state, as it was made at first
  stop,     ///< it ends: what is in the mailbox is discarded, and whoever has asked is told
};

struct actor_options {
  /// Messages that may wait; 0: a sender waits until the actor takes his.
  std::size_t mailbox = 64;
  actor_failure on_failure = actor_failure::resume;
  /// Nothing runs but serve(), which a supervisor, or a group, is given.
  bool supervised = false;
};
static_assert(detail::trivially_destructible<actor_options>);

/// What an actor has done so far. Once it is at rest, accepted == handled + failed + withdrawn + discarded + queued.
struct actor_counters {
  std::uint64_t accepted = 0;   ///< messages that came into the mailbox
  std::uint64_t refused = 0;    ///< that did not: the actor had ended, or there was no room for a try_tell
  std::uint64_t handled = 0;    ///< that ran and returned
  std::uint64_t failed = 0;     ///< that ran and threw
  std::uint64_t withdrawn = 0;  ///< whose asker was stopped before their turn came
  std::uint64_t discarded = 0;  ///< that the actor's end has met in the mailbox, or stopped on their way
  std::uint64_t restarts = 0;   ///< of the state, because of a failure
  std::size_t queued = 0;       ///< that wait now
};

/// Thrown by an ask that the actor has not answered, because it has ended, or ended before its turn came.
/// code() is std::errc::operation_canceled.
class actor_stopped : public std::system_error {
 public:
  actor_stopped()
      : std::system_error(std::make_error_code(std::errc::operation_canceled),
                          "weir::actor: it has ended, and did not answer") {}
};

/// One task that owns a state, and the only one that ever touches it: others send it functions, which it calls with the
/// state, one after the other, in the order in which they came.
///
///     weir::actor counter(0L);
///     co_await counter.tell([](long& n) { ++n; });                            // fire and forget
///     const long now = co_await counter.ask([](long& n) { return n; });       // with an answer
///
/// A message is any callable of a State&: a lambda, or a struct with an operator(), which makes a typed message. It may
/// return a task; the next message begins when that has ended, so a message is atomic however often it waits. A message
/// that asks its own actor would wait for itself for ever.
///
/// It belongs to the runtime in which it is made or first used, and starts its task at the first message. Destroyed
/// without shutdown() it cancels that, and leaves the joining to the runtime; messages of tell() may then refer only to
/// what outlives run(). In a steady flow of messages nothing is allocated. Any task or thread may send, unless it was
/// made on a confined worker.
///
/// After C. Hewitt, P. Bishop, R. Steiger, "A Universal Modular ACTOR Formalism for Artificial Intelligence", 1973; the
/// answers to a failure are those of Akka's supervision.
template <class State>
class actor {
  static_assert(std::is_object_v<State> && std::is_move_constructible_v<State>, "an actor's state can be moved");
  static_assert(alignof(State) <= 16, "over-aligned states do not fit a coroutine frame: use a std::unique_ptr");

 public:
  using state_type = State;

  /// With this state, and at a restart with a copy of it. Throws std::invalid_argument when there may be a restart and
  /// it cannot be copied.
  explicit actor(State initial, const actor_options& options = {})
      : shared_(std::make_shared<core>(maker(std::move(initial), options), options)) {}
  /// With what `make()` returns, which is called by the actor's task as it starts, and at a restart. When it throws the
  /// actor ends.
  template <class Make>
    requires(std::is_invocable_r_v<State, Make&> && !std::convertible_to<Make, State>)
  explicit actor(Make make, const actor_options& options = {})
      : shared_(std::make_shared<core>(std::function<State()>(std::move(make)), options)) {}
  actor(const actor&) = delete;
  actor& operator=(const actor&) = delete;
  ~actor() { shared_->mailbox.close_and_clear(); }

  /// Sends `message(State&)`, which returns nothing or a task of nothing. Completes with true once it is in the
  /// mailbox, and with false, with nothing done, when the actor has ended. What it throws is given to
  /// runtime_options::on_error. It is kept until it has run, so it refers only to what lives until then.
  ///
  /// Cancelled while it waits for room: nothing was sent.
  template <class F>
    requires std::invocable<std::decay_t<F>&, State&>
  [[nodiscard]] task<bool> tell(F&& message) {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    start();
    return send(shared_, std::decay_t<F>(std::forward<F>(message)));
  }
  /// The same if that takes no waiting. False: there is no room, or it has ended.
  template <class F>
    requires std::invocable<std::decay_t<F>&, State&>
  bool try_tell(F&& message) {
    using L = detail::told_letter<State, std::decay_t<F>>;
    start();
    detail::outgoing_letter<State> out(new L(std::decay_t<F>(std::forward<F>(message))), shared_->tally);
    return shared_->note_sent(shared_->mailbox.try_send(std::move(out.item)));
  }

  /// Sends `message(State&)` and completes with what it returns, or its task completes with; throws what it throws, and
  /// actor_stopped when the actor ends before it was run to its end.
  ///
  /// Cancelled before its turn has come: it is taken back, and has not run. While it runs: the stop waits for its end,
  /// and its value is delivered. So the message may refer to what the asking task owns.
  template <class F>
    requires std::invocable<std::decay_t<F>&, State&>
  [[nodiscard]] task<detail::message_result_t<std::decay_t<F>, State>> ask(F&& message) {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    start();
    return request(shared_, std::decay_t<F>(std::forward<F>(message)));
  }

  /// With `supervised`: handles messages, with a new state, until the mailbox is closed and empty. Throws what a
  /// message throws, if on_failure is `stop`: then who supervises calls it again, and what is in the mailbox has
  /// waited. Throws std::logic_error when the actor is not supervised, or is being served.
  ///
  /// Cancelled: the message that runs is stopped, its asker told; the others wait for the next serve().
  [[nodiscard]] task<> serve() { return serve_until_closed(shared_); }

  /// Takes no more messages; those that there are will be handled. Does not wait. Idempotent; any thread, also from a
  /// message.
  void close() noexcept { shared_->mailbox.close(); }

  /// Takes no more messages, and completes when the actor has ended, with the number of messages that it had taken and
  /// has not handled to their end. drain: when all are handled, but after `limit` it goes on as with cancel. cancel: at
  /// once; the message that runs is stopped. Rethrows, once, the failure that has ended the actor. Idempotent, from
  /// several tasks at once: the most urgent one wins.
  ///
  /// Cancelled while waiting: the actor goes on as it was told.
  [[nodiscard]] task<std::size_t> shutdown(shutdown_mode mode = shutdown_mode::drain,
                                           duration limit = duration::max()) {
    core& self = *shared_;
    self.mailbox.close();
    if (mode == shutdown_mode::cancel) self.stop();
    if (self.runs()) {
      auto in_time = co_await as_result(with_timeout(limit, self.ended.wait()));
      if (!in_time) {
        self.stop();
        co_await self.ended.wait();
      }
      auto turn = co_await self.joining.lock();
      co_await tasks_.shutdown();
    }
    self.mailbox.close_and_clear();  // of one that was never served
    co_return self.counters().discarded;
  }

  /// Any thread. O(1).
  [[nodiscard]] actor_counters counters() const { return shared_->counters(); }

 private:
  using posted = detail::posted_letter<State>;

  struct core {
    core(std::function<State()> maker, const actor_options& how)
        : make(std::move(maker)), options(how), mailbox(how.mailbox) {}

    [[nodiscard]] bool runs() const noexcept { return (options.supervised ? serving : started).load(); }
    bool note_sent(bool sent) noexcept {
      (sent ? tally.accepted : tally.refused).fetch_add(1, std::memory_order_relaxed);
      return sent;
    }
    void stop() noexcept {
      mailbox.close_and_clear();
      stopping.request_cancellation();
      if (!runs()) end();
    }
    /// Nobody serves any more. Whoever stops it meanwhile sees that, or is seen here.
    void leave() noexcept {
      serving.store(false);
      if (stopping.is_cancellation_requested()) end();
    }
    void end() noexcept {
      mailbox.close_and_clear();
      ended.set();
    }
    [[nodiscard]] actor_counters counters() {
      return {tally.accepted,  tally.refused,   tally.handled,  tally.failed,
              tally.withdrawn, tally.discarded, tally.restarts, mailbox.size()};
    }

    const std::function<State()> make;
    const actor_options options;
    detail::actor_tally tally;  // before the mailbox, whose letters count into it
    channel<posted> mailbox;
    event ended;
    mutex joining;
    cancellation_source stopping;
    std::atomic<bool> started{false};  // the actor's own task
    std::atomic<bool> serving{false};
  };
  using shared_core = std::shared_ptr<core>;

  static std::function<State()> maker(State&& initial, const actor_options& options) {
    if constexpr (std::is_copy_constructible_v<State>) {
      return [kept = std::move(initial)] { return kept; };
    } else {
      if (options.supervised || options.on_failure == actor_failure::restart) {
        throw std::invalid_argument(
            "weir::actor: a state that cannot be copied cannot be made again: give a function that makes it");
      }
      return [kept = std::make_shared<State>(std::move(initial))] { return std::move(*kept); };
    }
  }

  void start() {
    if (shared_->options.supervised || shared_->started.load(std::memory_order_relaxed)) return;
    if (shared_->started.exchange(true, std::memory_order_acq_rel)) return;
    if (!tasks_.spawn(run, shared_)) shared_->end();  // the runtime ends
  }

  static task<> run(shared_core self) {
    const at_end ends(*self, &core::end);
    co_await handle_until_stopped(*self);
  }

  static task<> serve_until_closed(shared_core self) {
    if (!self->options.supervised) throw std::logic_error("weir::actor: serve() is for those with .supervised = true");
    if (self->serving.exchange(true)) {
      throw std::logic_error("weir::actor: serve() was called while it is being served");
    }
    const at_end leaves(*self, &core::leave);
    co_await handle_until_stopped(*self);
    self->end();
  }

  class at_end {
   public:
    at_end(core& of, void (core::*what)() noexcept) noexcept : core_(of), what_(what) {}
    at_end(const at_end&) = delete;
    at_end& operator=(const at_end&) = delete;
    ~at_end() { (core_.*what_)(); }

   private:
    core& core_;
    void (core::*what_)() noexcept;
  };

  static task<> handle_until_stopped(core& self) {
    auto ended = co_await as_result(with_cancellation(self.stopping.token(), handle_all(self)));
    if (!ended && !self.stopping.is_cancellation_requested()) std::rethrow_exception(ended.exception());
  }

  static task<> handle_all(core& self) {
    std::optional<State> state(self.make());
    while (auto next = co_await self.mailbox.receive()) {
      posted current = std::move(*next);
      if (!current->claim()) {
        current.take_back();
        self.tally.withdrawn.fetch_add(1, std::memory_order_relaxed);
        continue;
      }
      std::exception_ptr failure;
      try {
        task<> rest = current->open(*state);
        if (rest) co_await std::move(rest);
      } catch (...) {
        failure = std::current_exception();
      }
      (failure ? self.tally.failed : self.tally.handled).fetch_add(1, std::memory_order_relaxed);
      const bool seen = current.answer(failure);
      if (!failure) continue;
      if (self.options.on_failure == actor_failure::stop) std::rethrow_exception(failure);
      if (!seen) detail::report_unobserved(failure);
      if (self.options.on_failure == actor_failure::restart) {
        self.tally.restarts.fetch_add(1, std::memory_order_relaxed);
        state.reset();
        state.emplace(self.make());
      }
    }
  }

  template <class F>
  static task<bool> send(shared_core self, F message) {
    detail::outgoing_letter<State> out(new detail::told_letter<State, F>(std::move(message)), self->tally);
    const bool sent = co_await self->mailbox.send(std::move(out.item));
    co_return self->note_sent(sent);
  }

  template <class F>
  static task<detail::message_result_t<F, State>> request(shared_core self, F message) {
    detail::letter_owner<detail::asked_letter<State, F>> mine(new detail::asked_letter<State, F>(std::move(message)));
    detail::outgoing_letter<State> out(mine.operator->(), self->tally);
    const bool sent = co_await self->mailbox.send(std::move(out.item));
    if (!self->note_sent(sent)) throw actor_stopped();
    {
      auto withdraw = [&mine]() noexcept { mine->withdraw(); };
      const cancellation_callback on_stop(current_token(), withdraw);
      co_await shielded(mine->done().wait());
    }
    if (mine->is_withdrawn()) co_await checkpoint();  // stops here
    if (!mine->is_answered()) throw actor_stopped();
    co_return mine->take();
  }

  shared_core shared_;
  detail::owned_tasks tasks_;
};

}  // namespace weir
