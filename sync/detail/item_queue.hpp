#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "../../runtime/detail/take.hpp"

namespace weir::detail {

/// First in, first out, for a channel's items. With a capacity it is a ring that is allocated once; without a limit a
/// chain of blocks, of which one spare is kept so that a queue that goes up and down does not allocate. Items are never
/// moved once they are in.
template <class T>
class item_queue {
 public:
  static constexpr std::size_t unlimited = static_cast<std::size_t>(-1);

  /// Throws std::bad_alloc.
  explicit item_queue(std::size_t capacity) : capacity_(capacity) {
    if (capacity == 0) return;
    if (capacity == unlimited) capacity_ = block_items;
    chained_ = capacity == unlimited;
    front_ = back_ = make_block(capacity_);
  }
  item_queue(item_queue&& other) noexcept
      : capacity_(other.capacity_),
        chained_(other.chained_),
        front_(detail::take(other.front_)),
        back_(detail::take(other.back_)),
        spare_(detail::take(other.spare_)),
        read_(detail::take(other.read_)),
        write_(detail::take(other.write_)),
        size_(detail::take(other.size_)) {}
  item_queue& operator=(item_queue&&) = delete;
  ~item_queue() {
    while (size_ != 0) pop_front();
    // More than one is left where a block was appended for an item whose constructor then threw.
    while (front_) free_block(std::exchange(front_, front_->next));
    if (spare_) free_block(spare_);
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  /// There must be room. What the constructor of T or the allocation throws leaves the queue as it was.
  template <class U>
  void push_back(U&& item) {
    if (write_ == capacity_) {
      if (chained_) {
        append_block();
      } else {
        write_ = 0;
      }
    }
    std::construct_at(slot(back_, write_), std::forward<U>(item));
    ++write_;
    ++size_;
  }

  /// There must be one.
  [[nodiscard]] T& front() noexcept {
    if (read_ == capacity_) next_block();
    return *slot(front_, read_);
  }
  void pop_front() noexcept {
    static_cast<void>(front());
    pop_seen();
  }
  /// The same after front() alone.
  void pop_seen() noexcept {
    std::destroy_at(slot(front_, read_));
    ++read_;
    --size_;
  }

 private:
  struct block {
    block* next;
  };
  static constexpr std::size_t block_alignment = alignof(T) > alignof(block) ? alignof(T) : alignof(block);
  static constexpr std::size_t header = (sizeof(block) + alignof(T) - 1) / alignof(T) * alignof(T);
  static constexpr std::size_t block_items = sizeof(T) >= 256 ? 8 : 2048 / sizeof(T);

  static T* slot(block* in, std::size_t index) noexcept {
    return std::launder(reinterpret_cast<T*>(reinterpret_cast<std::byte*>(in) + header) + index);
  }
  static block* make_block(std::size_t items) {
    if (items > (static_cast<std::size_t>(-1) / 2 - header) / sizeof(T)) throw std::bad_alloc();
    void* memory = ::operator new(header + items * sizeof(T), std::align_val_t(block_alignment));
    return ::new (memory) block{nullptr};
  }
  static void free_block(block* done) noexcept { ::operator delete(done, std::align_val_t(block_alignment)); }
  // Out of line, so that what happens to every item can be inlined.
  [[gnu::noinline]] void append_block() {
    block* made = spare_ ? detail::take(spare_) : make_block(capacity_);
    made->next = nullptr;
    back_->next = made;
    back_ = made;
    write_ = 0;
  }
  // The reader has come to the end of a block: the ring goes round, the chain goes on.
  [[gnu::noinline]] void next_block() noexcept {
    read_ = 0;
    if (!chained_) return;
    block* done = front_;
    front_ = front_->next;
    if (spare_) {
      free_block(done);
    } else {
      spare_ = done;
    }
  }

  std::size_t capacity_;  // of one block
  bool chained_ = false;
  block* front_ = nullptr;
  block* back_ = nullptr;
  block* spare_ = nullptr;
  std::size_t read_ = 0;   // in front_
  std::size_t write_ = 0;  // in back_
  std::size_t size_ = 0;
};

}  // namespace weir::detail
