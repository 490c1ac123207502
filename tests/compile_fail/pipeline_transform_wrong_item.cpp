// expect: transform: the function cannot be called with the items of this pipeline
#include <weir/patterns/collect.hpp>
#include <weir/patterns/from.hpp>
#include <weir/patterns/transform.hpp>

#include <string>
#include <vector>

std::size_t length(const std::string& text);

auto lengths(std::vector<int> numbers) {
  return weir::from(std::move(numbers)) | weir::transform(length) | weir::collect();
}
