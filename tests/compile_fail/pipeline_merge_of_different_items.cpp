// expect: merge: all pipelines must have items of the same type
#include <weir/patterns/from.hpp>
#include <weir/patterns/merge.hpp>

#include <vector>

auto mixed(std::vector<int> numbers, std::vector<long> others) {
  return weir::merge(weir::from(std::move(numbers)), weir::from(std::move(others)));
}
