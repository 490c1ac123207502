#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "../runtime/detail/take.hpp"
#include "channel.hpp"

namespace weir {

template <class T>
class sender;
template <class T>
class receiver;

/// Both ends of a channel: what make_channel() returns, for `auto [tx, rx] = make_channel<int>(16);`.
template <class T>
struct channel_ends;

namespace detail {

/// A channel that is owned by its ends together.
template <class T>
class shared_channel {
 public:
  template <class Size>
  explicit shared_channel(Size capacity) : items(capacity) {}
  template <class Size>
  static channel_ends<T> make(Size capacity) {
    auto* const made = new shared_channel(capacity);
    return {sender<T>(made), receiver<T>(made)};
  }

  channel<T> items;
  std::array<std::atomic<std::size_t>, 2> ends{1, 1};  // of each end_kind
  std::atomic<unsigned> kinds{2};                      // of which there are any
};

/// For weir's own patterns: the channel behind an end.
class channel_end_access {
 public:
  template <class End>
  static auto& items(const End& end) noexcept {
    return end.items();
  }
};

enum class end_kind : std::uint8_t { sending, receiving };

/// One end: what sender and receiver have in common. T may be incomplete: items can have ends of their own channel.
template <class T, end_kind kind>
class channel_end {
 public:
  explicit operator bool() const noexcept { return shared_ != nullptr; }

  [[nodiscard]] std::size_t size() const noexcept { return items().size(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return items().capacity(); }
  [[nodiscard]] bool is_closed() const noexcept { return items().is_closed(); }
  /// Closes for all ends, whoever is left: see channel::close().
  void close() noexcept { items().close(); }

 protected:
  friend channel_end_access;
  channel_end() = default;
  explicit channel_end(shared_channel<T>* adopted) noexcept : shared_(adopted) {}
  channel_end(const channel_end& other) noexcept : shared_(other.shared_) {
    if (shared_) count(*shared_).fetch_add(1, std::memory_order_relaxed);
  }
  channel_end(channel_end&& other) noexcept : shared_(detail::take(other.shared_)) {}
  ~channel_end() = default;

  void swap(channel_end& other) noexcept { detail::trade(shared_, other.shared_); }
  [[nodiscard]] channel<T>& items() const noexcept {
    WEIR_DETAIL_ASSERT(shared_, "a channel's end is used after it was moved from or reset");
    return shared_->items;
  }
  /// `last(channel)` is called when this was the last end of its kind.
  template <class F>
  void drop(F last) noexcept {
    shared_channel<T>* const shared = detail::take(shared_);
    if (!shared || count(*shared).fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    last(shared->items);
    if (shared->kinds.fetch_sub(1, std::memory_order_acq_rel) == 1) delete shared;
  }

 private:
  static std::atomic<std::size_t>& count(shared_channel<T>& of) noexcept {
    return of.ends[static_cast<std::size_t>(kind)];
  }
  shared_channel<T>* shared_ = nullptr;
};

}  // namespace detail

/// The sending end of a channel made by make_channel(). Copies are further senders; when the last one goes the channel
/// is closed. Must not go, or be reset, while an operation or permit that was made through it lives. An end may be used
/// by one thread at a time; give each task its own copy.
template <class T>
class sender : public detail::channel_end<T, detail::end_kind::sending> {
  using base = detail::channel_end<T, detail::end_kind::sending>;

 public:
  sender() = default;
  sender(const sender&) = default;
  sender(sender&&) noexcept = default;
  sender& operator=(sender other) noexcept {
    base::swap(other);
    return *this;
  }
  ~sender() { reset(); }

  /// See channel::send(). False also when every receiver has gone.
  [[nodiscard]] auto send(T&& item WEIR_DETAIL_LIFETIMEBOUND) noexcept { return this->items().send(std::move(item)); }
  [[nodiscard]] auto send(const T& item)
    requires std::copy_constructible<T>
  {
    return this->items().send(item);
  }
  /// See channel::reserve().
  [[nodiscard]] auto reserve() noexcept { return this->items().reserve(); }
  /// See channel::try_send().
  bool try_send(T&& item) { return this->items().try_send(std::move(item)); }
  bool try_send(const T& item)
    requires std::copy_constructible<T>
  {
    return this->items().try_send(item);
  }
  /// See channel::send_blocking().
  bool send_blocking(T&& item) { return this->items().send_blocking(std::move(item)); }
  bool send_blocking(const T& item)
    requires std::copy_constructible<T>
  {
    return this->items().send_blocking(item);
  }

  /// Lets go of the channel. Idempotent.
  void reset() noexcept {
    base::drop([](channel<T>& items) { items.close(); });
  }

 private:
  friend detail::shared_channel<T>;
  explicit sender(detail::shared_channel<T>* adopted) noexcept : base(adopted) {}
};

/// The receiving end. Copies are further receivers, of which each item reaches one; when the last one goes the channel
/// is closed, what lies in it is destroyed, and senders are told. The rest as for sender.
template <class T>
class receiver : public detail::channel_end<T, detail::end_kind::receiving> {
  using base = detail::channel_end<T, detail::end_kind::receiving>;

 public:
  using value_type = T;

  receiver() = default;
  receiver(const receiver&) = default;
  receiver(receiver&&) noexcept = default;
  receiver& operator=(receiver other) noexcept {
    base::swap(other);
    return *this;
  }
  ~receiver() { reset(); }

  /// See channel::receive().
  [[nodiscard]] auto receive() noexcept { return this->items().receive(); }
  /// See channel::try_receive().
  std::optional<T> try_receive() { return this->items().try_receive(); }
  /// See channel::receive_blocking().
  std::optional<T> receive_blocking() { return this->items().receive_blocking(); }

  /// Lets go of the channel. Idempotent.
  void reset() noexcept {
    base::drop([](channel<T>& items) { items.close_and_clear(); });
  }

 private:
  friend detail::shared_channel<T>;
  explicit receiver(detail::shared_channel<T>* adopted) noexcept : base(adopted) {}
};

template <class T>
struct channel_ends {
  sender<T> tx;
  receiver<T> rx;
};

/// A channel that lives as long as one of its ends. One allocation beside the room for the items. Throws
/// std::bad_alloc.
template <class T>
channel_ends<T> make_channel(std::size_t capacity) {
  return detail::shared_channel<T>::make(capacity);
}
template <class T>
channel_ends<T> make_channel(unbounded_t) {
  return detail::shared_channel<T>::make(unbounded);
}

}  // namespace weir
