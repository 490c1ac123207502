// expect: transform: the function cannot be called with the items of this pipeline
// Items are moved in: a function that changes one takes it by value, or as an rvalue.
#include <weir/patterns/collect.hpp>
#include <weir/patterns/from.hpp>
#include <weir/patterns/transform.hpp>

#include <vector>

int increment(int& n);

auto incremented(std::vector<int> numbers) {
  return weir::from(std::move(numbers)) | weir::transform(increment, {.workers = 2}) | weir::collect();
}
