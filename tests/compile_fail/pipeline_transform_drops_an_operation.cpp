// expect: transform: the function returns an operation that nobody would await: make it a coroutine that does
#include <weir/patterns/from.hpp>
#include <weir/patterns/transform.hpp>
#include <weir/sync/channel.hpp>

#include <vector>

auto sent(std::vector<int> numbers, weir::channel<int>& to) {
  return weir::from(std::move(numbers)) | weir::transform([&to](const int& n) { return to.send(n); });
}
