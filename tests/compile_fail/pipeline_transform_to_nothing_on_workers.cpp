// expect: transform: the function returns nothing to go on with: use for_each
#include <weir/patterns/from.hpp>
#include <weir/patterns/transform.hpp>

#include <vector>

weir::task<> store(int n);

auto stored(std::vector<int> numbers) {
  return weir::from(std::move(numbers)) | weir::transform(store, {.workers = 4});
}
