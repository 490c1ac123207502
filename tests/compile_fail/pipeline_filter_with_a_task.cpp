// expect: filter: the predicate cannot be called with a const item of this pipeline, or does not return a bool
#include <weir/patterns/filter.hpp>
#include <weir/patterns/from.hpp>

#include <vector>

weir::task<bool> is_known(int n);

auto known(std::vector<int> numbers) { return weir::from(std::move(numbers)) | weir::filter(is_known); }
