// expect: a function behind | takes the items as a whole, as a weir::async_generator by value
#include <weir/patterns/from.hpp>

#include <vector>

int increment(int n);

auto incremented(std::vector<int> numbers) { return weir::from(std::move(numbers)) | increment; }
