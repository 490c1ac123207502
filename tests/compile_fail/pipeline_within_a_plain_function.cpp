// expect: within: the function must return a task; a plain one cannot be stopped
#include <weir/patterns/from.hpp>
#include <weir/patterns/transform.hpp>
#include <weir/patterns/within.hpp>

#include <chrono>
#include <vector>

int compute(int n);

auto computed(std::vector<int> numbers) {
  return weir::from(std::move(numbers)) | weir::transform(weir::within(std::chrono::seconds(1), compute));
}
