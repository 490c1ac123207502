#include "hash_table.hpp"

#include <utility>

namespace weir::detail {

void hash_chains::grow() {
  const std::size_t chains = chains_ == 0 ? 1 : chains_ == 1 ? 2 * few : 2 * chains_;
  owned_array<hash_link*> heads(new hash_link* [chains] {});
  for (std::size_t i = 0; i < chains_; ++i) {
    while (hash_link* const one = heads_[i]) {
      heads_[i] = one->next;
      hash_link*& head = heads[one->hash & (chains - 1)];
      one->next = head;
      head = one;
    }
  }
  heads_ = std::move(heads);
  chains_ = chains;
}

hash_link* hash_chains::first_from(std::size_t chain) const noexcept {
  for (; chain < chains_; ++chain) {
    if (heads_[chain]) return heads_[chain];
  }
  return nullptr;
}

}  // namespace weir::detail
