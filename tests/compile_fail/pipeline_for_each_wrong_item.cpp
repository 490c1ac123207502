// expect: for_each: the function cannot be called with the items of this pipeline
#include <weir/patterns/for_each.hpp>
#include <weir/patterns/from.hpp>

#include <string>
#include <vector>

void print(const std::string& text);

auto printed(std::vector<int> numbers) { return weir::from(std::move(numbers)) | weir::for_each(print); }
