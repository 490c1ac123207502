#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include <weir/runtime/detail/function.hpp>
#include <weir/runtime/detail/invoke.hpp>

namespace {

struct counter {
  int value = 0;
  int& add(int n) {
    value += n;
    return value;
  }
  [[nodiscard]] int twice() const noexcept { return 2 * value; }
  int&& taken() && { return std::move(value); }
};
int half(int n) { return n / 2; }

}  // namespace

TEST_CASE("invoke: it calls what std::invoke calls, and returns the same") {
  counter one{3};
  const auto shared = std::make_shared<counter>(counter{5});
  CHECK(weir::detail::invoke(half, 8) == 4);
  CHECK(weir::detail::invoke(&half, 8) == 4);
  CHECK(weir::detail::invoke([](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(7)) == 7);
  CHECK(weir::detail::invoke(std::function<int(int)>(half), 6) == 3);
  CHECK(weir::detail::invoke(std::ref(half), 6) == 3);
  CHECK(&weir::detail::invoke(&counter::add, one, 4) == &one.value);
  CHECK(weir::detail::invoke(&counter::twice, std::as_const(one)) == 14);
  CHECK(weir::detail::invoke(&counter::twice, shared) == 10);
  CHECK(weir::detail::invoke(&counter::value, std::ref(one)) == 7);
  weir::detail::invoke(&counter::value, &one) = 9;
  CHECK(one.value == 9);

  static_assert(std::is_same_v<decltype(weir::detail::invoke(&counter::value, std::declval<counter>())), int&&>);
  static_assert(std::is_same_v<decltype(weir::detail::invoke(&counter::taken, std::declval<counter>())), int&&>);
  static_assert(std::is_same_v<decltype(weir::detail::invoke([] {})), void>);
}
