#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>

#include "../../runtime/detail/operation.hpp"

namespace weir::detail {

/// The hash of a key of any type that std::hash knows. Whatever reads as a string hashes as one, so that a std::string
/// and a literal find the same shard.
struct any_hash {
  template <class Key>
  std::size_t operator()(const Key& key) const {
    if constexpr (std::convertible_to<const Key&, std::string_view>) {
      return std::hash<std::string_view>()(key);
    } else {
      return std::hash<Key>()(key);
    }
  }
};

/// Spreads a hash over all bits: that of an integer is the integer itself, as a rule, and those of pointers have the
/// same lowest bits. This is the finaliser of A. Appleby's MurmurHash3 (64 bits).
constexpr std::uint64_t spread(std::uint64_t hash) noexcept {
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdU;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53U;
  return hash ^ (hash >> 33);
}

/// A power of two of objects, each with its own lock, on cache lines of their own (two: processors fetch pairs).
template <class T, class Lock, class Hash>
class shards {
 public:
  struct alignas(128) shard {
    Lock lock;
    T value{};
  };

  explicit shards(std::size_t at_least)
      : mask_(std::bit_ceil(at_least) - 1), shards_(std::make_unique<shard[]>(mask_ + 1)) {}

  [[nodiscard]] std::size_t size() const noexcept { return mask_ + 1; }
  [[nodiscard]] shard* begin() const noexcept { return shards_.get(); }
  [[nodiscard]] shard* end() const noexcept { return begin() + size(); }
  template <class Key>
  [[nodiscard]] std::size_t index(const Key& key) const {
    return static_cast<std::size_t>(spread(Hash()(key))) & mask_;
  }
  template <class Key>
  [[nodiscard]] shard& of(const Key& key) const {
    return shards_[index(key)];
  }

 private:
  std::size_t mask_;
  std::unique_ptr<shard[]> shards_;
};

}  // namespace weir::detail
