#pragma once
// The floor that sync_bench compares with: the least that coroutines with channels can cost. One thread, one FIFO queue
// of what is ready, intrusive lists. No atomics, no cancellation, no fairness, no errors, no way to wait for I/O; the
// frames come from a free list. Written for these figures only: nobody should build on it.

#include <array>
#include <bit>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <exception>
#include <new>
#include <utility>
#include <vector>

namespace raw {

/// A suspended coroutine, in a queue. It stands in that coroutine's frame.
struct waiter {
  waiter* next = nullptr;
  waiter* previous = nullptr;
  std::coroutine_handle<> frame;
};

/// First in, first out, and out of the middle.
class waiter_list {
 public:
  waiter_list() noexcept { head_.next = head_.previous = &head_; }
  waiter_list(const waiter_list&) = delete;
  waiter_list& operator=(const waiter_list&) = delete;

  [[nodiscard]] bool empty() const noexcept { return head_.next == &head_; }
  void push(waiter& w) noexcept {
    w.next = &head_;
    w.previous = head_.previous;
    head_.previous->next = &w;
    head_.previous = &w;
  }
  waiter& pop() noexcept {
    waiter& w = *head_.next;
    unlink(w);
    return w;
  }
  static void unlink(waiter& w) noexcept {
    w.previous->next = w.next;
    w.next->previous = w.previous;
  }

 private:
  waiter head_;
};

/// What is ready, first in, first out.
class ready_queue {
 public:
  void push(waiter& w) noexcept {
    w.next = nullptr;
    (head_ ? tail_->next : head_) = &w;
    tail_ = &w;
  }
  void run() {
    while (head_) std::exchange(head_, head_->next)->frame.resume();
  }

 private:
  waiter* head_ = nullptr;
  waiter* tail_ = nullptr;
};

inline constinit ready_queue ready;

/// Frames by size, for ever.
class frame_store {
 public:
  void* allocate(std::size_t size) {
    block*& free = classes_[class_of(size)];
    if (!free) return ::operator new((class_of(size) + 1) * step);
    return std::exchange(free, free->next);
  }
  void release(void* memory, std::size_t size) noexcept {
    block*& free = classes_[class_of(size)];
    free = ::new (memory) block{free};
  }

 private:
  struct block {
    block* next;
  };
  static constexpr std::size_t step = 64;
  static std::size_t class_of(std::size_t size) noexcept { return (size - 1) / step; }
  std::array<block*, 64> classes_{};  // up to 4 KiB: the frames here are smaller
};

inline constinit frame_store frames;

/// A coroutine to be spawned.
class [[nodiscard]] task {
 public:
  struct promise_type {
    waiter self;       // for the ready queue
    waiter* joiner{};  // who is to be resumed at the end
    bool done = false;
    bool detached = false;

    static void* operator new(std::size_t size) { return frames.allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept { frames.release(memory, size); }

    task get_return_object() noexcept { return task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct awaiter {
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) const noexcept {
          promise_type& promise = ended.promise();
          promise.done = true;
          if (promise.joiner) return promise.joiner->frame;
          if (promise.detached) ended.destroy();
          return std::noop_coroutine();
        }
        void await_resume() const noexcept {}
      };
      return awaiter();
    }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };

  task(task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  task& operator=(task&&) = delete;
  ~task() {
    if (handle_) handle_.destroy();
  }

  std::coroutine_handle<promise_type> release() noexcept { return std::exchange(handle_, {}); }

 private:
  explicit task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

inline std::coroutine_handle<task::promise_type> start(task&& started) noexcept {
  const auto handle = started.release();
  handle.promise().self.frame = handle;
  ready.push(handle.promise().self);
  return handle;
}

/// Runs on its own and frees its frame at its end.
inline void detach(task&& started) noexcept { start(std::move(started)).promise().detached = true; }

class join_handle {
 public:
  explicit join_handle(task&& started) noexcept : handle_(start(std::move(started))) {}
  join_handle(join_handle&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  join_handle& operator=(join_handle&&) = delete;
  ~join_handle() {
    if (handle_) handle_.destroy();
  }

  struct [[nodiscard]] join_operation : waiter {
    explicit join_operation(task::promise_type& promise) noexcept : joined(promise) {}
    bool await_ready() const noexcept { return joined.done; }
    void await_suspend(std::coroutine_handle<> self) noexcept {
      frame = self;
      joined.joiner = this;
    }
    void await_resume() const noexcept {}
    task::promise_type& joined;
  };
  join_operation join() noexcept { return join_operation(handle_.promise()); }

 private:
  std::coroutine_handle<task::promise_type> handle_;
};

/// Awaits a task as part of the caller, without the queue.
class [[nodiscard]] child : waiter {
 public:
  explicit child(task&& awaited) noexcept : handle_(awaited.release()) {}
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child() { handle_.destroy(); }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> self) noexcept {
    frame = self;
    handle_.promise().joiner = this;
    return handle_;
  }
  void await_resume() const noexcept {}

 private:
  std::coroutine_handle<task::promise_type> handle_;
};

struct [[nodiscard]] yield_operation : waiter {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> self) noexcept {
    frame = self;
    ready.push(*this);
  }
  void await_resume() const noexcept {}
};
inline yield_operation yield() noexcept { return {}; }

template <class T>
class channel {
 public:
  /// 0 for a rendezvous, or a power of two.
  explicit channel(std::size_t capacity) : items_(capacity) {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;

  struct [[nodiscard]] receive_operation : waiter {
    explicit receive_operation(channel& channel) noexcept : from(channel) {}
    bool await_ready() noexcept { return from.take(item); }
    void await_suspend(std::coroutine_handle<> self) noexcept {
      frame = self;
      from.receivers_.push(*this);
    }
    T await_resume() noexcept { return std::move(item); }
    channel& from;
    T item{};
    receive_operation* other = nullptr;  // of a select: waits for the same coroutine
    bool chosen = false;
  };
  struct [[nodiscard]] send_operation : waiter {
    send_operation(channel& channel, T value) noexcept : to(channel), item(std::move(value)) {}
    bool await_ready() noexcept { return to.put(item); }
    void await_suspend(std::coroutine_handle<> self) noexcept {
      frame = self;
      to.senders_.push(*this);
    }
    void await_resume() const noexcept {}
    channel& to;
    T item;
  };

  send_operation send(T item) noexcept { return send_operation(*this, std::move(item)); }
  receive_operation receive() noexcept { return receive_operation(*this); }

  bool take(T& item) noexcept {
    if (size_ != 0) {
      item = std::move(items_[read_++ & (items_.size() - 1)]);
      --size_;
      if (!senders_.empty()) {
        auto& first = static_cast<send_operation&>(senders_.pop());
        append(first.item);
        ready.push(first);
      }
      return true;
    }
    if (senders_.empty()) return false;
    auto& first = static_cast<send_operation&>(senders_.pop());
    item = std::move(first.item);
    ready.push(first);
    return true;
  }
  bool put(T& item) noexcept {
    if (!receivers_.empty()) {
      auto& first = static_cast<receive_operation&>(receivers_.pop());
      if (first.other) waiter_list::unlink(*first.other);
      first.item = std::move(item);
      first.chosen = true;
      ready.push(first);
      return true;
    }
    if (size_ == items_.size()) return false;
    append(item);
    return true;
  }

 private:
  void append(T& item) noexcept {
    items_[write_++ & (items_.size() - 1)] = std::move(item);
    ++size_;
  }

  std::vector<T> items_;
  std::size_t size_ = 0;
  std::size_t read_ = 0;
  std::size_t write_ = 0;
  waiter_list senders_;
  waiter_list receivers_;
};

/// Receives from whichever of two channels has something; it begins to look at either in turn.
template <class T>
struct [[nodiscard]] select_operation {
  select_operation(channel<T>& first, channel<T>& second) noexcept : a(first), b(second) {}
  bool await_ready() noexcept {
    static bool turn = false;
    auto& sooner = std::exchange(turn, !turn) ? a : b;
    auto& later = &sooner == &a ? b : a;
    sooner.chosen = sooner.from.take(sooner.item);
    later.chosen = !sooner.chosen && later.from.take(later.item);
    return sooner.chosen || later.chosen;
  }
  void await_suspend(std::coroutine_handle<> self) noexcept {
    a.other = &b;
    b.other = &a;
    a.await_suspend(self);
    b.await_suspend(self);
  }
  T await_resume() noexcept { return a.chosen ? std::move(a.item) : std::move(b.item); }
  typename channel<T>::receive_operation a;
  typename channel<T>::receive_operation b;
};

class mutex {
 public:
  class guard {
   public:
    explicit guard(mutex& held) noexcept : held_(held) {}
    guard(const guard&) = delete;
    guard& operator=(const guard&) = delete;
    ~guard() { held_.unlock(); }

   private:
    mutex& held_;
  };
  struct [[nodiscard]] lock_operation : waiter {
    explicit lock_operation(mutex& mutex) noexcept : wanted(mutex) {}
    bool await_ready() noexcept { return !std::exchange(wanted.locked_, true); }
    void await_suspend(std::coroutine_handle<> self) noexcept {
      frame = self;
      wanted.waiting_.push(*this);
    }
    guard await_resume() noexcept { return guard(wanted); }
    mutex& wanted;
  };
  lock_operation lock() noexcept { return lock_operation(*this); }

 private:
  void unlock() noexcept {
    if (waiting_.empty()) {
      locked_ = false;
    } else {
      ready.push(waiting_.pop());
    }
  }
  bool locked_ = false;
  waiter_list waiting_;
};

/// Each set() lets one through, or with `stays` everybody from then on.
class event {
 public:
  explicit event(bool stays) noexcept : stays_(stays) {}
  void set() noexcept {
    if (waiting_.empty()) {
      set_ = true;
    } else {
      ready.push(waiting_.pop());
    }
  }
  struct [[nodiscard]] wait_operation : waiter {
    explicit wait_operation(event& event) noexcept : awaited(event) {}
    bool await_ready() noexcept { return awaited.stays_ ? awaited.set_ : std::exchange(awaited.set_, false); }
    void await_suspend(std::coroutine_handle<> self) noexcept {
      frame = self;
      awaited.waiting_.push(*this);
    }
    void await_resume() const noexcept {}
    event& awaited;
  };
  wait_operation wait() noexcept { return wait_operation(*this); }

 private:
  bool stays_;
  bool set_ = false;
  waiter_list waiting_;
};

/// The part of a hierarchical timer wheel (six bits for each level, nanoseconds) that a timeout which does not come
/// needs: nothing here ever fires.
class timer_wheel {
 public:
  void arm(waiter& w, std::uint64_t due) noexcept {
    const unsigned level = (static_cast<unsigned>(std::bit_width((due ^ elapsed_) | 63)) - 1) / 6;
    slots_[level][(due >> (6 * level)) & 63].push(w);
  }
  static void cancel(waiter& w) noexcept { waiter_list::unlink(w); }

  static std::uint64_t now() noexcept {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
  }

 private:
  std::uint64_t elapsed_ = now();
  std::array<std::array<waiter_list, 64>, 11> slots_;
};

inline timer_wheel timers;

/// yield() with a timer that is armed meanwhile.
struct [[nodiscard]] timed_yield_operation : yield_operation {
  explicit timed_yield_operation(std::uint64_t nanoseconds) noexcept : length(nanoseconds) {}
  void await_suspend(std::coroutine_handle<> self) noexcept {
    timers.arm(timer, timer_wheel::now() + length);
    yield_operation::await_suspend(self);
  }
  void await_resume() noexcept { timer_wheel::cancel(timer); }
  std::uint64_t length;
  waiter timer;
};
inline timed_yield_operation timed_yield(std::uint64_t nanoseconds) noexcept {
  return timed_yield_operation(nanoseconds);
}

/// Waits for a timer that nobody lives to see.
struct [[nodiscard]] sleep_operation : waiter {
  explicit sleep_operation(std::uint64_t nanoseconds) noexcept : length(nanoseconds) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> self) noexcept {
    frame = self;
    timers.arm(*this, timer_wheel::now() + length);
  }
  void await_resume() const noexcept {}
  std::uint64_t length;
};
inline sleep_operation long_sleep(std::uint64_t nanoseconds) noexcept { return sleep_operation(nanoseconds); }

}  // namespace raw
