// expect: unused
// A pipeline runs when it is awaited.
#include <weir/patterns/for_each.hpp>
#include <weir/patterns/from.hpp>

#include <vector>

void print(int n);

void start(std::vector<int> numbers) { weir::from(std::move(numbers)) | weir::for_each(print); }
