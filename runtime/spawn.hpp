#pragma once

#include <atomic>
#include <concepts>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include "detail/group_core.hpp"
#include "detail/invoke.hpp"
#include "detail/operation.hpp"
#include "detail/selection.hpp"
#include "detail/take.hpp"
#include "task.hpp"

namespace weir {

template <class T>
class join_handle;

namespace detail {

template <class T>
class join_operation;

/// A spawned task and its result, shared by the task and its join handle; the last of the two frees it.
///
/// Both sides meet in one word, link_: who joins, and which side has gone. On the only worker of the task's runtime
/// nobody else can change it meanwhile, and no locked instruction is needed: a handle is used by one thread at a time,
/// and what a cancellation from elsewhere does there comes as a message.
///
/// A case of a select can be taken back at any time, and its frame may then go. So the task's end marks the word before
/// it looks at a case, and whoever takes that back waits until the mark has gone.
class spawned_base : public strand {
 public:
  [[nodiscard]] bool done() const noexcept { return link_.load(std::memory_order_acquire) == finished(); }
  /// The handle goes. Any thread.
  void drop_handle() noexcept {
    if (done()) {
      free();
    } else {
      drop_unfinished();
    }
  }
  /// Stops the task if it still runs. Any thread.
  void cancel_from_handle() noexcept;

  enum class wait_answer : std::uint8_t { waiting, ended, withdrawn };
  /// Registers `waiting`, to be completed when the task ends; unless that is past, or unwait() came first. `in` is the
  /// runtime of the task that waits.
  wait_answer wait(leaf& waiting, const runtime_core* in) noexcept {
    leaf* found = nullptr;
    // Compared before anything is asked of it: when the task has ended, its runtime may have gone.
    const bool here = in == env().runtime && !is_shared(*in);
    // Not written again as it is: the task's worker may have seen a leaf that has withdrawn, and be reading it.
    if (joined_here_ != here) joined_here_ = here;
    if (here) {
      found = link_.load(std::memory_order_relaxed);
      if (!found) {
        link_.store(&waiting, std::memory_order_relaxed);
        return wait_answer::waiting;
      }
    } else if (link_.compare_exchange_strong(found, &waiting, std::memory_order_acq_rel)) {
      return wait_answer::waiting;
    }
    if (found == finished()) return wait_answer::ended;
    if (found != withdrawn()) fatal("weir: two tasks join the same join_handle at once");
    link_.compare_exchange_strong(found, nullptr, std::memory_order_acq_rel);
    return wait_answer::withdrawn;
  }
  /// Registers a case of a select, to be chosen when the task ends. False: it has ended.
  bool wait_as_case(const case_link& waiting) noexcept;
  /// When it returns, the task's end does not look at `waiting`, and will not.
  void unwait_as_case(const case_link& waiting) noexcept;
  /// True: `waiting` was registered and will not be completed by the task's end.
  bool unwait(leaf& waiting) noexcept {
    leaf* found = &waiting;
    for (;;) {
      if (found == &waiting) {
        if (link_.compare_exchange_strong(found, nullptr, std::memory_order_acq_rel)) return true;
      } else if (found) {
        return false;
      } else if (link_.compare_exchange_strong(found, withdrawn(), std::memory_order_acq_rel)) {
        return false;
      }
    }
  }

 protected:
  spawned_base() = default;
  virtual ~spawned_base();  // defined where report_unobserved is known

  const std::exception_ptr* harvest() noexcept final;
  void harvest_stopped() noexcept final;
  void release() noexcept final;

  /// Ends the task's frame, and with it its parameters, and then destroys what the task was made of. Keeps the
  /// exception, and the value when `wanted`.
  virtual void take_outcome(bool wanted) noexcept = 0;
  /// The same for a task that was stopped: its frame has gone.
  virtual void drop_call() noexcept {}

 private:
  // Values of link_ that no leaf has. A case of a select is its link's address with the lowest bit set.
  static leaf* finished() noexcept { return reinterpret_cast<leaf*>(std::uintptr_t{1}); }   // the task has ended
  static leaf* withdrawn() noexcept { return reinterpret_cast<leaf*>(std::uintptr_t{2}); }  // unwait() before wait()
  static leaf* dropped() noexcept { return reinterpret_cast<leaf*>(std::uintptr_t{3}); }    // the handle has gone
  static leaf* telling() noexcept { return reinterpret_cast<leaf*>(std::uintptr_t{4}); }    // the end looks at a case
  static bool is_joiner(const leaf* found) noexcept { return reinterpret_cast<std::uintptr_t>(found) > 4; }
  static bool is_case(const leaf* found) noexcept {
    return is_joiner(found) && (reinterpret_cast<std::uintptr_t>(found) & 1) != 0;
  }
  static leaf* value_of(const case_link& waiting) noexcept {
    return reinterpret_cast<leaf*>(reinterpret_cast<std::uintptr_t>(&waiting) | 1);
  }
  static const case_link& case_in(const leaf* found) noexcept {
    return *reinterpret_cast<const case_link*>(reinterpret_cast<std::uintptr_t>(found) - 1);
  }

  /// The task has ended: tells the case of a select that waits for that, and then says that it has.
  void release_to_case(leaf* found) noexcept;

  void drop_unfinished() noexcept;
  /// release() for whoever `found` in link_ is.
  void release_to(leaf* found) noexcept;
  /// Task and handle have gone.
  void free() noexcept;
  void requested_outside() noexcept final;

  // Four small members: they stand in the last word of the strand.
  std::atomic<bool> one_gone_{false};  // of the record and of a request from outside, which holds it while under way
  bool joined_here_ = false;           // link_ was written by the task's only worker, which is to write it next

 protected:
  cancellation_cause stopped_because_ = cancellation_cause::none;
  bool observed_ = false;  // somebody asked for the result

 private:
  std::atomic<leaf*> link_{nullptr};

 protected:
  std::exception_ptr exception_;
};

template <class T>
class spawned : public spawned_base {
 public:
  static void* operator new(std::size_t size) { return allocate_record(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { release_record(memory, size); }

  [[nodiscard]] promise_base& root() noexcept final { return body_.root(); }

  /// Once it is done(): whether take_result() would be no failure. Enough where there is no value.
  bool take_success() noexcept {
    observed_ = true;
    return stopped_because_ == cancellation_cause::none && !exception_;
  }
  /// Once it is done().
  result<T> take_result() noexcept {
    observed_ = true;
    if (stopped_because_ != cancellation_cause::none) return failure::cancellation(stopped_because_);
    if (exception_) return failure(exception_);
    if constexpr (std::is_void_v<T>) {
      return result<T>(std::in_place);
    } else if constexpr (std::is_reference_v<T>) {
      return result<T>(std::in_place, *value_.value);
    } else {
      return capture<T>([this]() -> T { return std::move(*value_.value); });
    }
  }

 protected:
  void take_outcome(bool wanted) noexcept override {
    const task<T> ended = std::move(body_);
    if (const std::exception_ptr* thrown = ended.thrown()) {
      exception_ = *thrown;
      return;
    }
    if (!wanted) return;
    try {
      if constexpr (std::is_reference_v<T>) {
        value_.value = std::addressof(ended.take());
      } else if constexpr (!std::is_void_v<T>) {
        value_.value.emplace(ended.take());
      }
    } catch (...) {
      exception_ = std::current_exception();
    }
  }

  task<T> body_;

 private:
  [[no_unique_address]] result_storage<T> value_;
};

template <class T>
class spawned_task final : public spawned<T> {
 public:
  explicit spawned_task(task<T>&& body) noexcept { this->body_ = std::move(body); }
};

/// The callable and its arguments live as long as the task made of them, and no longer, whoever keeps its handle.
template <class T, class F, class... Args>
class spawned_call final : public spawned<T> {
  static_assert(alignof(F) <= 16 && ((alignof(Args) <= 16) && ...),
                "over-aligned callables and arguments do not fit a task's record: pass a std::unique_ptr");

 public:
  template <class G, class... As>
  explicit spawned_call(G&& callable, As&&... args) {
    call_.emplace(std::forward<G>(callable), std::forward<As>(args)...);
    this->body_ =
        std::apply([this](auto&... as) { return detail::invoke(call_->callable, std::move(as)...); }, call_->arguments);
  }

 private:
  struct call {
    template <class G, class... As>
    explicit call(G&& f, As&&... args) : callable(std::forward<G>(f)), arguments(std::forward<As>(args)...) {}
    F callable;
    [[no_unique_address]] std::tuple<Args...> arguments;
  };
  void take_outcome(bool wanted) noexcept override {
    spawned<T>::take_outcome(wanted);
    call_.reset();
  }
  void drop_call() noexcept override { call_.reset(); }

  std::optional<call> call_;
};

template <class F, class... Args>
using task_of = std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>...>;

template <class F, class... Args>
concept task_function = std::invocable<std::decay_t<F>&, std::decay_t<Args>...> && is_task<task_of<F, Args...>>;

template <class T>
class [[nodiscard]] join_operation final : public operation_base, public leaf {
 public:
  using value_type = T;

  explicit join_operation(spawned<T>* target) noexcept : target_(target) {}
  join_operation(const join_operation&) = default;
  ~join_operation() = default;

  bool ready(const await_context& context) noexcept {
    require_target();
    return target_->done() && may_complete_now(context);
  }
  std::coroutine_handle<> start(const await_context& context) noexcept {
    spawned<T>* target = target_;
    if (!begin(context)) return std::noop_coroutine();
    // From wait() on the frame may be resumed elsewhere: if we are waiting, nothing of this object is used after it.
    switch (target->wait(*this, context.env->runtime)) {
      case spawned_base::wait_answer::waiting:
        break;
      case spawned_base::wait_answer::ended:
        complete();
        break;
      case spawned_base::wait_answer::withdrawn:
        complete_stopped();
        break;
    }
    return std::noop_coroutine();
  }
  T resume() {
    finish();
    if constexpr (std::is_void_v<T>) {
      if (target_->take_success()) return;
    }
    return target_->take_result().value();
  }
  result<T> resume_result() noexcept {
    finish();
    return target_->take_result();
  }
  [[nodiscard]] const char* name() const noexcept override { return "join"; }

  // The selectable protocol.
  bool try_commit() noexcept {
    require_target();
    return target_->done();
  }
  bool arm_case(case_link link) noexcept {
    require_target();
    in_select_ = link;
    return target_->wait_as_case(in_select_);
  }
  void withdraw_case() noexcept { target_->unwait_as_case(in_select_); }
  [[nodiscard]] const void* case_object() const noexcept { return nullptr; }

 private:
  void request_stop(cancellation_cause) noexcept override {
    if (target_->unwait(*this)) complete_stopped();
  }
  void require_target() const noexcept {
    if (!target_) fatal("weir: join() of an empty join_handle");
  }

  spawned<T>* target_;
  case_link in_select_;
};

}  // namespace detail

/// Stands for a spawned task: join it, cancel it, or drop the handle (the task goes on; its group still joins it, and a
/// failure that nobody observed goes to runtime_options::on_error). Move-only.
template <class T = void>
class join_handle {
 public:
  join_handle() = default;
  explicit join_handle(detail::spawned<T>* target) noexcept : target_(target) {}
  join_handle(join_handle&& other) noexcept : target_(detail::take(other.target_)) {}
  join_handle& operator=(join_handle&& other) noexcept {
    detail::trade(target_, other.target_);
    return *this;
  }
  ~join_handle() {
    if (target_) target_->drop_handle();
  }

  explicit operator bool() const noexcept { return target_ != nullptr; }
  [[nodiscard]] bool done() const noexcept { return target_ && target_->done(); }

  /// Completes with the task's value, once; throws its exception; throws `cancelled` when it was stopped. Cancelled
  /// while waiting: the task goes on. Selectable: when another case is chosen, the task goes on and can still be
  /// joined. One joiner at a time. Allocates nothing.
  [[nodiscard]] detail::join_operation<T> join() noexcept { return detail::join_operation<T>(target_); }

  /// Asks the task to stop. Any thread.
  void request_cancellation() noexcept {
    if (target_) target_->cancel_from_handle();
  }

 private:
  detail::spawned<T>* target_ = nullptr;
};

namespace detail {

template <class T>
join_handle<T> spawn_into(group_core& group, spawned<T>* child, std::source_location where,
                          unsigned worker = any_worker) {
  child->spawned_at = where;
  join_handle<T> handle(child);
  group.add(*child, child->root(), worker);
  return handle;
}

template <class T>
join_handle<T> spawn_task(group_core& group, task<T>&& body, std::source_location where, unsigned worker = any_worker) {
  if (!body) fatal("weir: spawn of a task that was moved from or already awaited");
  return spawn_into<T>(group, new spawned_task<T>(std::move(body)), where, worker);
}

/// A callable does not know where it is spawned: after any number of arguments no default one can stand.
template <class F, class... Args>
auto spawn_call(group_core& group, unsigned worker, F&& callable, Args&&... args) {
  using T = typename task_of<F, Args...>::value_type;
  using child = spawned_call<T, std::decay_t<F>, std::decay_t<Args>...>;
  return spawn_into<T>(group, new child(std::forward<F>(callable), std::forward<Args>(args)...), std::source_location(),
                       worker);
}

/// The group of the runtime whose task runs on this thread.
group_core& root_group();

template <class What>
void refuse_spawn() noexcept {
  static_assert(!leaf_operation<What>, "a leaf such as sleep_for is no task: spawn a function that awaits it");
  static_assert(leaf_operation<What>, "a task is given away: spawn(std::move(it)), or spawn(the call)");
}

/// Throws std::out_of_range with a sentence unless `runtime` has a worker with this index.
void require_worker(const runtime_core& runtime, unsigned index);

}  // namespace detail

/// Starts `body` beside the caller, in the runtime's own group: it is cancelled and joined when the runtime ends. From
/// a task only; threads outside use runtime::spawn. One allocation for the task's frame and one for its record, both
/// recycled; O(1). A failure that no join() observes goes to runtime_options::on_error.
template <class T>
join_handle<T> spawn(task<T>&& body, std::source_location where = std::source_location::current()) {
  return detail::spawn_task(detail::root_group(), std::move(body), where);
}

/// The same for a function that returns a task. The callable and its arguments are moved into the task's own record and
/// live as long as it does, so capturing lambdas are safe here.
template <class F, class... Args>
  requires detail::task_function<F, Args...>
auto spawn(F&& callable, Args&&... args) {
  WEIR_DETAIL_REQUIRE_NAMED(F);
  return detail::spawn_call(detail::root_group(), detail::any_worker, std::forward<F>(callable),
                            std::forward<Args>(args)...);
}

/// spawn() for which the task starts on the worker with this index, from 0, of the caller's runtime. With
/// runtime_options::stealing it may go on elsewhere after its first suspension; without, it stays there. Throws
/// std::out_of_range when there is no such worker.
template <class T>
join_handle<T> spawn_on(unsigned worker, task<T>&& body, std::source_location where = std::source_location::current()) {
  detail::group_core& root = detail::root_group();
  detail::require_worker(*root.env().runtime, worker);
  return detail::spawn_task(root, std::move(body), where, worker);
}
template <class F, class... Args>
  requires detail::task_function<F, Args...>
auto spawn_on(unsigned worker, F&& callable, Args&&... args) {
  WEIR_DETAIL_REQUIRE_NAMED(F);
  detail::group_core& root = detail::root_group();
  detail::require_worker(*root.env().runtime, worker);
  return detail::spawn_call(root, worker, std::forward<F>(callable), std::forward<Args>(args)...);
}

/// Refused, with a sentence: a leaf has no frame, and a task that has a name has to be given away.
template <detail::leaf_operation Op>
void spawn(Op&&) {
  detail::refuse_spawn<Op>();
}
template <class T>
void spawn(task<T>&) {
  detail::refuse_spawn<task<T>&>();
}

}  // namespace weir
