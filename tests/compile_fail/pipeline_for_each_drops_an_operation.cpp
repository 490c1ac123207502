// expect: for_each: the function returns an operation that nobody would await: make it a coroutine that does
#include <weir/patterns/for_each.hpp>
#include <weir/patterns/from.hpp>
#include <weir/sync/channel.hpp>

#include <vector>

auto sent(std::vector<int> numbers, weir::channel<int>& to) {
  return weir::from(std::move(numbers)) | weir::for_each([&to](const int& n) { return to.send(n); });
}
