#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/task.hpp"
#include "detail/protected_call.hpp"

namespace weir {

/// A message that could not be dealt with, and what is known about that.
template <class T>
struct dead_letter {
  T message;
  std::string reason{};                  ///< of the last failure
  std::string origin{};                  ///< the queue, or the worker, that it comes from
  unsigned attempts = 1;                 ///< how often it was tried in all
  unsigned replays = 0;                  ///< how often it was sent back
  time_point first = time_point::min();  ///< failure; push() puts in the present where nothing is said
  time_point last = time_point::min();   ///< failure; the same
};

/// Why a dead letter was thrown away.
enum class dead_letter_loss : std::uint8_t {
  expired,  ///< it was there for too long
  evicted,  ///< others needed its place
};

struct dead_letter_options {
  std::size_t most = 10'000;               ///< letters that are kept; the oldest give way
  duration keep = std::chrono::hours(24);  ///< how long after its last failure a letter is kept
  unsigned most_replays = 3;               ///< of each letter
};
static_assert(detail::trivially_destructible<dead_letter_options>);

/// added = size + in_hand + taken + replayed + expired + evicted
struct dead_letter_stats {
  std::uint64_t added = 0;
  std::uint64_t taken = 0;
  std::uint64_t replayed = 0;
  std::uint64_t expired = 0;
  std::uint64_t evicted = 0;
  std::size_t size = 0;
  std::size_t in_hand = 0;  ///< a replay is about to send them
};

/// Keeps what could not be dealt with, to be looked at, and to be sent again once the reason is gone. Bounded in number
/// and in age, so that it may be forgotten.
///
///     weir::dead_letter_queue<order> dead;
///     dead.push({.message = std::move(o), .reason = "no such customer", .origin = "orders"});
///     ...
///     std::size_t n = co_await dead.replay([&](weir::dead_letter<order>& l) { return
///     orders.send(std::move(l.message)); });
///
/// It goes by weir::now(), and does not outlive the process: for_each() and push() are there for who wants to store and
/// load it. Any task of any runtime and any thread may use it. Nothing runs in the background: what has expired goes at
/// the next use.
template <class T>
class dead_letter_queue {
 public:
  using letter = dead_letter<T>;

  /// Throws std::invalid_argument when it could keep nothing.
  explicit dead_letter_queue(const dead_letter_options& options = {}) : options_(options) {
    if (options.most == 0 || options.keep <= duration::zero()) {
      throw std::invalid_argument(
          "weir: dead_letter_queue: it must be allowed to keep at least one letter for a while");
    }
  }
  dead_letter_queue(const dead_letter_queue&) = delete;
  dead_letter_queue& operator=(const dead_letter_queue&) = delete;
  ~dead_letter_queue() { WEIR_DETAIL_ASSERT(in_hand_ == 0, "a dead_letter_queue was destroyed during a replay"); }

  /// Told of each letter that is thrown away, by whoever's use brings it about. Set it before the first letter.
  void on_loss(std::function<void(letter&&, dead_letter_loss)> callback) { on_loss_ = std::move(callback); }

  /// Keeps a letter. When it is full the oldest one goes. Allocates; O(1).
  void push(letter dead) {
    const time_point now = clock::now();
    if (dead.last == time_point::min()) dead.last = now;
    if (dead.first == time_point::min()) dead.first = dead.last;
    entries made;
    made.emplace_back(std::move(dead), 0);
    changing section(*this, now);
    made.front().number = next_number_++;
    letters_.splice(letters_.end(), made);
    ++stats_.added;
    section.make_room();
  }

  /// The oldest letter, for good; empty when there is none.
  [[nodiscard]] std::optional<letter> take() {
    entries taken;
    {
      const changing section(*this, clock::now());
      if (letters_.empty()) return std::nullopt;
      taken.splice(taken.end(), letters_, letters_.begin());
      ++stats_.taken;
    }
    return std::move(taken.front().dead);
  }

  /// Calls `look(const letter&)` for each, the oldest first, under the lock: it must be short, and must not use the
  /// queue.
  template <class F>
  void for_each(F look) {
    const changing section(*this, clock::now());
    for (const entry& one : letters_) look(std::as_const(one.dead));
  }

  /// Sends the letters that are there now, the oldest first, and each that has been sent back less than most_replays
  /// times. `send(letter&)` moves the message out of it and returns true, or a task of true, when the message is on its
  /// way, with `replays` one higher; false ends the replay. Completes with how many were sent. Those that fail again
  /// are pushed again by who finds that, with the letter's own numbers, or they would come back for ever. What stays
  /// has had its replays: it waits to be taken, or expires.
  ///
  /// Cancelled, or when `send` throws: the letter that was not sent is back in its place. A frame.
  template <class F>
  task<std::size_t> replay(F&& send) WEIR_DETAIL_LIFETIMEBOUND {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return replay_kept<std::decay_t<F>>(std::forward<F>(send));
  }

  [[nodiscard]] std::size_t size() {
    const changing section(*this, clock::now());
    return letters_.size();
  }
  [[nodiscard]] dead_letter_stats stats() {
    const changing section(*this, clock::now());
    dead_letter_stats all = stats_;
    all.size = letters_.size();
    all.in_hand = in_hand_;
    return all;
  }

 private:
  struct entry {
    entry(letter&& l, std::uint64_t n) : dead(std::move(l)), number(n) {}
    letter dead;
    std::uint64_t number;
  };
  using entries = std::list<entry>;

  /// The lock, held, with nothing in the queue that has expired. What goes is dealt with after the lock.
  class changing {
   public:
    changing(dead_letter_queue& queue, time_point now) : queue_(queue) {
      queue_.lock_.lock();
      entries& letters = queue_.letters_;
      while (!letters.empty() && now - letters.front().dead.last >= queue_.options_.keep) {
        expired_.splice(expired_.end(), letters, letters.begin());
        ++queue_.stats_.expired;
      }
    }
    changing(const changing&) = delete;
    changing& operator=(const changing&) = delete;
    ~changing() {
      queue_.lock_.unlock();
      if (!queue_.on_loss_) return;
      for (entry& one : expired_) queue_.on_loss_(std::move(one.dead), dead_letter_loss::expired);
      for (entry& one : evicted_) queue_.on_loss_(std::move(one.dead), dead_letter_loss::evicted);
    }
    void make_room() noexcept {
      entries& letters = queue_.letters_;
      while (!letters.empty() && letters.size() + queue_.in_hand_ > queue_.options_.most) {
        evicted_.splice(evicted_.end(), letters, letters.begin());
        ++queue_.stats_.evicted;
      }
    }

   private:
    dead_letter_queue& queue_;
    entries expired_;
    entries evicted_;
  };

  /// A letter that is out of the queue while it is being sent. Unless it was sent it goes back to where it was.
  class in_hand {
   public:
    /// The first one with such a number that may be replayed.
    in_hand(dead_letter_queue& queue, std::uint64_t least, std::uint64_t end) : queue_(queue) {
      const changing section(queue_, clock::now());
      for (auto i = queue_.letters_.begin(); i != queue_.letters_.end() && i->number < end; ++i) {
        if (i->number < least || i->dead.replays >= queue_.options_.most_replays) continue;
        held_.splice(held_.end(), queue_.letters_, i);
        ++held_.front().dead.replays;
        ++queue_.in_hand_;
        return;
      }
    }
    in_hand(const in_hand&) = delete;
    in_hand& operator=(const in_hand&) = delete;
    ~in_hand() {
      if (held_.empty()) return;
      const std::lock_guard guard(queue_.lock_);
      --queue_.in_hand_;
      if (sent_) {
        ++queue_.stats_.replayed;
        return;
      }
      --held_.front().dead.replays;
      auto place = queue_.letters_.begin();
      while (place != queue_.letters_.end() && place->number < held_.front().number) ++place;
      queue_.letters_.splice(place, held_);
    }
    explicit operator bool() const noexcept { return !held_.empty(); }
    [[nodiscard]] entry& operator*() noexcept { return held_.front(); }
    void sent() noexcept { sent_ = true; }

   private:
    dead_letter_queue& queue_;
    entries held_;
    bool sent_ = false;
  };

  template <class F>
  task<std::size_t> replay_kept(F send) {
    const std::uint64_t end = next_number();
    std::uint64_t least = 0;
    for (std::size_t sent = 0;; ++sent) {
      in_hand held(*this, least, end);
      if (!held) co_return sent;
      least = (*held).number + 1;
      auto call = [&] { return detail::invoke(send, (*held).dead); };
      auto sending = detail::start_call(call);
      const bool gone = co_await std::move(sending);
      if (!gone) co_return sent;
      held.sent();
    }
  }
  [[nodiscard]] std::uint64_t next_number() noexcept {
    const std::lock_guard guard(lock_);
    return next_number_;
  }

  const dead_letter_options options_;
  std::function<void(letter&&, dead_letter_loss)> on_loss_;
  std::mutex lock_;
  // Guarded by lock_.
  entries letters_;  // by number, which is by last failure
  std::uint64_t next_number_ = 0;
  std::size_t in_hand_ = 0;
  dead_letter_stats stats_;
};

}  // namespace weir
