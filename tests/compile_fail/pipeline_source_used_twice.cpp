// expect: source is used once: write std::move(source) | ...
#include <weir/patterns/collect.hpp>
#include <weir/patterns/from.hpp>

#include <vector>

auto twice(std::vector<int> numbers) {
  auto source = weir::from(std::move(numbers));
  return source | weir::collect();
}
