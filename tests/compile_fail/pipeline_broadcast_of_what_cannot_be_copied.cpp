// expect: broadcast_to: every branch gets a copy: for items that cannot be copied, send a std::shared_ptr
#include <weir/patterns/broadcast_to.hpp>
#include <weir/patterns/collect.hpp>
#include <weir/patterns/from.hpp>

#include <memory>
#include <vector>

auto twice(std::vector<std::unique_ptr<int>> numbers) {
  return weir::from(std::move(numbers)) | weir::broadcast_to(weir::collect(), weir::collect());
}
