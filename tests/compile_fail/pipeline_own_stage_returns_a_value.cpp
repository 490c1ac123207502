// expect: a function behind | returns a weir::async_generator of what goes on, or, at the end, a weir::task
#include <weir/patterns/from.hpp>

#include <vector>

int sum(weir::async_generator<int> in);

auto added(std::vector<int> numbers) { return weir::from(std::move(numbers)) | sum; }
