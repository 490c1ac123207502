#include <deque>

#include <weir/runtime/detail/intrusive_ring.hpp>

#include "support.hpp"

namespace {

using weir::detail::intrusive_ring;

struct item : weir::detail::list_hook {
  explicit item(int its_name) : name(its_name) {}
  int name;
};

std::vector<int> names(intrusive_ring<item>& ring) {
  std::vector<int> found;
  for (item* at = ring.first(); at; at = ring.after(*at)) found.push_back(at->name);
  return found;
}

}  // namespace

TEST_CASE("intrusive ring: items stand in the order in which they came, and leave from anywhere") {
  std::deque<item> items;
  for (int i = 0; i < 5; ++i) items.emplace_back(i);
  // Each one first, and then the rest from both ends.
  for (std::size_t first = 0; first < items.size(); ++first) {
    intrusive_ring<item> ring;
    CHECK(ring.empty());
    CHECK(ring.first() == nullptr);
    std::vector<int> expected;
    for (item& i : items) {
      ring.push_back(i);
      expected.push_back(i.name);
      CHECK(i.linked());
      CHECK(names(ring) == expected);
    }
    ring.remove(items[first]);
    CHECK(!items[first].linked());
    expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(first));
    CHECK(names(ring) == expected);
    ring.push_back(items[first]);
    expected.push_back(items[first].name);
    CHECK(names(ring) == expected);
    while (!expected.empty()) {
      if (expected.size() % 2 == 0) {
        ring.remove(items[static_cast<std::size_t>(expected.back())]);
        expected.pop_back();
      } else {
        CHECK(ring.pop_front().name == expected.front());
        expected.erase(expected.begin());
      }
      CHECK(names(ring) == expected);
    }
    CHECK(ring.empty());
  }
}
