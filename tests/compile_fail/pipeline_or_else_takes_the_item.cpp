// expect: or_else: the function must take its item by const reference, or the item must be copyable
#include <weir/patterns/for_each.hpp>
#include <weir/patterns/from.hpp>

#include <memory>
#include <vector>

void store(std::unique_ptr<int> n);

auto stored(std::vector<std::unique_ptr<int>> numbers, weir::channel<weir::failed_item<std::unique_ptr<int>>>& failed) {
  return weir::from(std::move(numbers)) | weir::for_each(store).or_else(failed);
}
