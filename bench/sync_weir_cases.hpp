#pragma once
// More of what sync_bench measures, of things for which the raw floor has no counterpart: see sync_cases.hpp.

#include "sync_cases.hpp"
#include "weir_library.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace bench {

/// Four tasks that lock one mutex and yield while they hold it: each lock is waited for. An operation is one of them.
class contended_case {
 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    guarded_ = 0;
    expected_ = operations / tasks * tasks;
    for (unsigned i = 0; i < tasks; ++i) spawn(lock_often(operations / tasks));
  }
  bool right() const { return guarded_ == expected_; }

 private:
  static constexpr unsigned tasks = 4;
  weir::task<> lock_often(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      auto guard = co_await mutex_.lock();
      ++guarded_;
      co_await weir::yield();
    }
  }

  weir::mutex mutex_;
  std::uint64_t guarded_ = 0;
  std::uint64_t expected_ = 0;
};

/// Eight senders with a channel each, and one who selects. An operation is one number.
class select_eight_case : channel_bodies<weir_library>, public counted_case {
 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    const std::uint64_t each = operations / channels_.size();
    std::uint64_t& sum = expect(sum_of(0, each * channels_.size()));
    std::uint64_t first = 0;
    for (auto& c : channels_) {
      spawn(send_numbers(*c, first, each));
      first += each;
    }
    spawn(sum_any(each * channels_.size(), sum));
  }

 private:
  template <std::size_t... Is>
  auto receive_any(std::index_sequence<Is...>) {
    return weir::select(channels_[Is]->receive()...);
  }
  weir::task<> sum_any(std::uint64_t count, std::uint64_t& sum) {
    for (std::uint64_t i = 0; i < count; ++i) {
      auto chosen = co_await receive_any(std::make_index_sequence<8>());
      sum += value_of(chosen);
    }
  }
  template <std::size_t I = 0, class Chosen>
  static std::uint64_t value_of(const Chosen& chosen) {
    if constexpr (I < 7) {
      if (chosen.index() != I) return value_of<I + 1>(chosen);
    }
    return *chosen.template get<I>();
  }

  struct room_for_128 : weir::channel<std::uint64_t> {
    room_for_128() : channel(128) {}
  };
  std::array<std::unique_ptr<room_for_128>, 8> channels_ = [] {
    std::array<std::unique_ptr<room_for_128>, 8> made;
    for (auto& c : made) c = std::make_unique<room_for_128>();
    return made;
  }();
};

/// A question with a oneshot for the answer, through a channel without room. An operation is one of them answered.
class oneshot_case : public counted_case {
 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t& sum = expect(sum_of(1, operations));
    spawn(ask(operations, sum));
    spawn(answer(operations));
  }

 private:
  struct question {
    std::uint64_t number;
    weir::oneshot_sender<std::uint64_t> reply;
  };
  weir::task<> ask(std::uint64_t count, std::uint64_t& sum) {
    for (std::uint64_t i = 0; i < count; ++i) {
      auto ends = weir::make_oneshot<std::uint64_t>();
      question q{i, std::move(ends.sender)};
      co_await questions_.send(std::move(q));
      auto answered = co_await ends.receiver.receive();
      sum += *answered;
    }
  }
  weir::task<> answer(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      auto received = co_await questions_.receive();
      static_cast<void>(received->reply.send(received->number + 1));
    }
  }

  weir::channel<question> questions_{0};
};

/// One sender and a thousand subscribers that it waits for. An operation is one number for one of them.
class broadcast_case {
 public:
  broadcast_case() {
    for (auto& subscriber : subscribers_) subscriber = numbers_.subscribe();
    // As full as it will ever be, once: from then on it has all of its memory.
    for (std::size_t i = 0; i < room; ++i) static_cast<void>(numbers_.try_send(i));
    for (auto& subscriber : subscribers_) {
      while (subscriber.try_receive()) continue;
    }
  }
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    const std::uint64_t count = operations / subscribers_.size() + 1;
    sums_.assign(subscribers_.size(), 0);
    expected_ = sum_of(0, count);
    for (std::size_t i = 0; i < subscribers_.size(); ++i) spawn(sum_numbers(subscribers_[i], count, sums_[i]));
    spawn(send_numbers(count));
  }
  bool right() const {
    for (const std::uint64_t sum : sums_) {
      if (sum != expected_) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t room = 64;
  using subscription = weir::broadcast_subscription<std::uint64_t>;
  static weir::task<> sum_numbers(subscription& from, std::uint64_t count, std::uint64_t& sum) {
    for (std::uint64_t i = 0; i < count; ++i) {
      auto received = co_await from.receive();
      sum += *received;
    }
  }
  weir::task<> send_numbers(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) co_await numbers_.send(i);
  }

  weir::broadcast<std::uint64_t> numbers_{room, weir::slow_subscriber::wait};
  std::array<subscription, 1000> subscribers_;
  std::vector<std::uint64_t> sums_;
  std::uint64_t expected_ = 0;
};

/// A token bucket that has enough. An operation is one token.
class limiter_case : public counted_case {
 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t& count = expect(operations);
    spawn(acquire_often(operations, count));
  }

 private:
  weir::task<> acquire_often(std::uint64_t operations, std::uint64_t& count) {
    for (std::uint64_t i = 0; i < operations; ++i) {
      co_await limiter_.acquire();
      ++count;
    }
  }

  weir::rate_limiter limiter_{1'000'000'000, std::chrono::seconds(1), 1'000'000'000};
};

/// A million keys that all have been used. An operation is one token of one of them, in no order.
class keyed_case : public counted_case {
 public:
  keyed_case() {
    for (std::uint64_t key = 0; key < keys; ++key) static_cast<void>(users_.try_acquire(key));
  }
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    std::uint64_t& count = expect(operations);
    spawn(acquire_often(operations, count));
  }

 private:
  static constexpr std::uint64_t keys = 1'000'000;
  weir::task<> acquire_often(std::uint64_t operations, std::uint64_t& count) {
    std::uint64_t key = 0;
    for (std::uint64_t i = 0; i < operations; ++i) {
      key = (key + 618'033) % keys;  // meets all of them: the two have no common factor
      if (users_.try_acquire(key)) ++count;
    }
    co_return;
  }

  weir::keyed_limiter<std::uint64_t, weir::rate_limiter> users_{
      [] { return weir::rate_limiter(1, std::chrono::hours(1), 100'000); }};
};

/// with_case() for those of sync_case that are here.
template <class Visit>
auto with_weir_case(sync_case which, Visit visit) {
  switch (which) {
    case sync_case::contended:
      return visit(std::type_identity<contended_case>());
    case sync_case::select_eight:
      return visit(std::type_identity<select_eight_case>());
    case sync_case::oneshot:
      return visit(std::type_identity<oneshot_case>());
    case sync_case::broadcast:
      return visit(std::type_identity<broadcast_case>());
    case sync_case::limiter:
      return visit(std::type_identity<limiter_case>());
    case sync_case::keyed:
      return visit(std::type_identity<keyed_case>());
    default:
      return with_case<weir_library>(which, visit);
  }
}

}  // namespace bench
