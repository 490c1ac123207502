// expect: filter: the predicate cannot be called with a const item of this pipeline, or does not return a bool
// A predicate only looks at an item.
#include <weir/patterns/filter.hpp>
#include <weir/patterns/from.hpp>

#include <memory>
#include <vector>

bool take(std::unique_ptr<int> item);

auto wanted(std::vector<std::unique_ptr<int>> items) { return weir::from(std::move(items)) | weir::filter(take); }
