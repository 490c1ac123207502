#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "../../runtime/detail/config.hpp"

// How many hold an object to which one shared word points, when everybody may follow the word and take hold at any
// time: a reference count in two parts. The word has the pointer and the number of those who have come through it; the
// object has the number of those who have gone. One instruction reads the pointer and counts, so nothing lies between
// in which the object could end. Who replaces the pointer adds the word's number to the object's; the last one to go
// finds that the sum is zero.
//
// This is the split count of A. Williams, C++ Concurrency in Action, 2nd edition, 7.2.4, first described as
// differential counting by D. Vyukov. There and elsewhere it takes a loop on two words; here pointer and number share
// 64 bits, so that fetch_add does it. That is one instruction on x86-64, and on ARM from 8.1 on.

namespace weir::detail {

/// An object that a counted_link can point to.
class alignas(128) counted_object {
 public:
  counted_object() = default;
  counted_object(const counted_object&) = delete;
  counted_object& operator=(const counted_object&) = delete;

  /// For who holds it already: once more.
  void hold() noexcept { add(1); }
  /// True: that was the last one, the object has no holder and no link any more. Whatever all others did with it is
  /// seen by the one who is told.
  [[nodiscard]] bool release() noexcept { return count_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

 protected:
  ~counted_object() = default;

 private:
  template <unsigned>
  friend class counted_link;
  // As long as a link points to it the count stands so high that releases alone never bring it to zero.
  static constexpr std::int64_t linked = std::int64_t{1} << 62;

  void add(std::int64_t holders) noexcept { count_.fetch_add(holders, std::memory_order_relaxed); }
  /// As release(), by the link, through which `holders` have come who were not added before.
  [[nodiscard]] bool unlink(std::int64_t holders) noexcept {
    return count_.fetch_add(holders - linked, std::memory_order_acq_rel) == linked - holders;
  }

  std::atomic<std::int64_t> count_{linked};
};

/// What a link pointed to, and whether nobody holds it.
struct replaced_object {
  counted_object* object;
  bool unheld;
};

/// The word. Of the 48 bits of an address in user space the lowest seven are those of the alignment, which leaves 23
/// for the number. Every `1 << LimitBits` holders it is moved to the object. Others may come while that is under way,
/// one for each thread of the machine: Linux has at most 2^22 threads, so the number never overflows.
template <unsigned LimitBits = 22>
class counted_link {
  static_assert(LimitBits >= 1 && LimitBits <= 22);

 public:
  explicit counted_link(counted_object& first) noexcept : word_(packed(first)) {}
  counted_link(const counted_link&) = delete;
  counted_link& operator=(const counted_link&) = delete;

  /// The object, held once more. Wait-free: one instruction. One in `1 << LimitBits` moves the number, and tries again
  /// only when another thread has come meanwhile; that one stays for the same until it is done.
  [[nodiscard]] counted_object& hold() noexcept {
    const std::uint64_t before = word_.fetch_add(one, std::memory_order_acquire);
    counted_object& object = *pointer(before);
    if (number(before) + 1 >= limit) [[unlikely]]
      move_number(object);
    return object;
  }

  /// Points to `next` from now on.
  replaced_object replace(counted_object& next) noexcept {
    return let_go(word_.exchange(packed(next), std::memory_order_acq_rel));
  }
  /// The link is not used any more.
  replaced_object end() noexcept { return let_go(word_.load(std::memory_order_acquire)); }

 private:
  static constexpr unsigned address_bits = 48;
  static constexpr unsigned aligned_bits = 7;
  static constexpr unsigned pointer_bits = address_bits - aligned_bits;
  static constexpr std::uint64_t one = std::uint64_t{1} << pointer_bits;
  static constexpr std::uint64_t limit = std::uint64_t{1} << LimitBits;
  static_assert(alignof(counted_object) == std::size_t{1} << aligned_bits);

  static std::uint64_t packed(counted_object& object) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(&object);
    if (address >> address_bits != 0) fatal("weir: an address of more than 48 bits cannot be counted through a link");
    return address >> aligned_bits;
  }
  static counted_object* pointer(std::uint64_t word) noexcept {
    return reinterpret_cast<counted_object*>((word & (one - 1)) << aligned_bits);
  }
  static std::uint64_t number(std::uint64_t word) noexcept { return word >> pointer_bits; }

  static replaced_object let_go(std::uint64_t word) noexcept {
    counted_object* const object = pointer(word);
    return {object, object->unlink(static_cast<std::int64_t>(number(word)))};
  }
  /// `object` is held by the caller, so it is no other one at the same address. It is given the holders first: at no
  /// moment may its count be too low.
  void move_number(counted_object& object) noexcept {
    object.add(static_cast<std::int64_t>(limit));
    std::uint64_t seen = word_.load(std::memory_order_relaxed);
    while (pointer(seen) == &object && number(seen) >= limit) {
      if (word_.compare_exchange_weak(seen, seen - limit * one, std::memory_order_relaxed)) return;
    }
    object.add(-static_cast<std::int64_t>(limit));  // it was replaced, or another thread has moved the number
  }

  std::atomic<std::uint64_t> word_;
};

}  // namespace weir::detail
