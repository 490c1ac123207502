#pragma once

#include <cstddef>
#include <cstdint>

#include "owned.hpp"
#include "take.hpp"

namespace weir::detail {

/// What an entry of a hash_table derives from.
struct hash_link {
  hash_link* next = nullptr;  // in its chain
  std::uint64_t hash = 0;     // mixed
};

/// A hash table as far as it does not depend on what is in it: chains of links. A few links are one chain; more have a
/// power of two of chains that is not less than their number.
class hash_chains {
 public:
  hash_chains() = default;
  hash_chains(const hash_chains&) = delete;
  hash_chains& operator=(const hash_chains&) = delete;

  /// std::hash of a number is often the number itself. Mixed, every bit of it has a part in the low ones, which name
  /// the chain. (The first half of what ends MurmurHash3.)
  static std::uint64_t mixed(std::uint64_t hash) noexcept {
    hash ^= hash >> 33;
    hash *= 0xFF51AFD7ED558CCDu;
    return hash ^ hash >> 33;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// All of them, if they are so few that going through them takes less than a hash of a string.
  [[nodiscard]] bool is_one_chain() const noexcept { return chains_ <= 1; }
  [[nodiscard]] hash_link* chain_of(std::uint64_t hash) const noexcept {
    return size_ == 0 ? nullptr : heads_[hash & (chains_ - 1)];
  }
  /// Room for one more. May throw std::bad_alloc, and changes nothing then.
  void reserve() {
    if (size_ >= (chains_ == 1 ? few : chains_)) grow();
  }
  /// After reserve().
  void insert(hash_link& one) noexcept {
    hash_link*& head = heads_[one.hash & (chains_ - 1)];
    one.next = head;
    head = &one;
    ++size_;
  }
  void remove(hash_link& one) noexcept {
    hash_link** at = &heads_[one.hash & (chains_ - 1)];
    while (*at != &one) at = &(*at)->next;
    *at = one.next;
    --size_;
  }
  /// All, in any order: the first, and the one after `one`.
  [[nodiscard]] hash_link* first() const noexcept { return size_ == 0 ? nullptr : first_from(0); }
  [[nodiscard]] hash_link* after(const hash_link& one) const noexcept {
    return one.next ? one.next : first_from((one.hash & (chains_ - 1)) + 1);
  }
  void swap(hash_chains& other) noexcept {
    trade(heads_, other.heads_);
    trade(chains_, other.chains_);
    trade(size_, other.size_);
  }

 private:
  static constexpr std::size_t few = 4;
  void grow();
  [[nodiscard]] hash_link* first_from(std::size_t chain) const noexcept;

  owned_array<hash_link*> heads_;
  std::size_t chains_ = 0;
  std::size_t size_ = 0;
};

/// What is needed of std::unordered_map inside, where that would be a twentieth of what weir's headers cost to compile.
/// An Entry derives from hash_link and has a `key`. Entries stay where they are made, and are deleted with the table.
///
/// O(1) on average, and one allocation each time the number doubles; going through all takes as long as the table was
/// large. Not for several threads at once.
template <class Entry, class Hash, class Equal>
class hash_table {
 public:
  hash_table() = default;
  hash_table(const hash_table&) = delete;
  hash_table& operator=(const hash_table&) = delete;
  ~hash_table() {
    Entry* one = first();
    while (one) {
      Entry* const next = after(*one);
      delete one;
      one = next;
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return chains_.size(); }
  /// For find() and insert(), so that it is computed once for both.
  template <class Key>
  [[nodiscard]] std::uint64_t hash_of(const Key& key) const {
    return hash_chains::mixed(hash_(key));
  }
  template <class Key>
  [[nodiscard]] Entry* find(const Key& key, std::uint64_t hash) const {
    for (hash_link* at = chains_.chain_of(hash); at; at = at->next) {
      if (at->hash == hash && equal_(static_cast<Entry*>(at)->key, key)) return static_cast<Entry*>(at);
    }
    return nullptr;
  }
  template <class Key>
  [[nodiscard]] Entry* find(const Key& key) const {
    if (!chains_.is_one_chain()) return find(key, hash_of(key));
    for (hash_link* at = chains_.chain_of(0); at; at = at->next) {
      if (equal_(static_cast<Entry*>(at)->key, key)) return static_cast<Entry*>(at);
    }
    return nullptr;
  }
  /// No entry may have the key yet. May throw std::bad_alloc, and changes nothing then.
  Entry& insert(owned<Entry> made, std::uint64_t hash) {
    chains_.reserve();
    made->hash = hash;
    chains_.insert(*made);
    return *made.release();
  }
  void erase(Entry& one) noexcept {
    chains_.remove(one);
    delete &one;
  }

  /// All, in any order: the first, and the one after `one`; null at the end.
  [[nodiscard]] Entry* first() const noexcept { return static_cast<Entry*>(chains_.first()); }
  [[nodiscard]] Entry* after(const Entry& one) const noexcept { return static_cast<Entry*>(chains_.after(one)); }
  /// What is in them; the functions stay.
  void swap_entries(hash_table& other) noexcept { chains_.swap(other.chains_); }

 private:
  hash_chains chains_;
  [[no_unique_address]] Hash hash_;
  [[no_unique_address]] Equal equal_;
};

}  // namespace weir::detail
