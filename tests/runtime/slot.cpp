#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <weir/runtime/detail/owned.hpp>
#include <weir/runtime/detail/slot.hpp>
#include <weir/runtime/detail/take.hpp>
#include <weir/runtime/result.hpp>

namespace {

using weir::detail::owned;
using weir::detail::owned_array;
using weir::detail::slot;

struct counted {
  explicit counted(int& alive) : count(alive) { ++count; }
  counted(const counted& other) : count(other.count) { ++count; }
  counted& operator=(const counted&) = delete;
  ~counted() { --count; }
  int& count;
};

// What may be copied or moved is what its value says, so that results are as before.
static_assert(std::is_copy_constructible_v<slot<std::string>> && std::is_copy_assignable_v<slot<std::string>>);
static_assert(!std::is_copy_constructible_v<slot<std::unique_ptr<int>>>);
static_assert(std::is_nothrow_move_constructible_v<slot<std::unique_ptr<int>>>);
static_assert(!std::is_move_constructible_v<slot<std::atomic<int>>>);
static_assert(std::is_copy_constructible_v<weir::result<int>> &&
              !std::is_copy_constructible_v<weir::result<owned<int>>>);
static_assert(std::is_nothrow_move_constructible_v<owned<int>> && !std::is_copy_constructible_v<owned<int>>);

}  // namespace

TEST_CASE("slot: a value lives from emplace() to reset(), the next one, or the end") {
  int alive = 0;
  {
    slot<counted> one;
    CHECK(!one);
    CHECK(&one.emplace(alive) == &*one);
    CHECK((one && one.has_value() && alive == 1));
    one.emplace(alive);
    CHECK(alive == 1);
    one.reset();
    one.reset();
    CHECK((!one && alive == 0));
    one.emplace(alive);
  }
  CHECK(alive == 0);
}

TEST_CASE("slot: copies and moves as its value does, an empty one too") {
  int alive = 0;
  {
    slot<counted> one;
    one.emplace(alive);
    slot<counted> copy(one);
    CHECK((one && copy && alive == 2));
    copy = slot<counted>();
    CHECK((!copy && alive == 1));
    copy = one;
    copy = *&copy;
    CHECK((copy && alive == 2));
  }
  CHECK(alive == 0);
  slot<std::unique_ptr<int>> from;
  from.emplace(std::make_unique<int>(7));
  const slot<std::unique_ptr<int>> to(std::move(from));
  CHECK((to && **to == 7));
  CHECK((from.has_value() && !*from));  // NOLINT(bugprone-use-after-move): what is left of its value
}

TEST_CASE("owned: deletes what it has once, when it is given something else, and at its end") {
  int alive = 0;
  {
    owned<counted> one(new counted(alive));
    owned<counted> other(std::move(one));
    CHECK((!one && other && alive == 1));  // NOLINT(bugprone-use-after-move): it is empty then
    other.reset(new counted(alive));
    CHECK(alive == 1);
    other = owned<counted>();
    CHECK((!other && alive == 0));
    other.reset(new counted(alive));
    other = std::move(*&other);
    CHECK((other && alive == 1));
    const owned<counted> released(other.release());
    CHECK((!other && released.get() == &*released));
  }
  CHECK(alive == 0);
  owned_array<int> numbers(new int[3]{1, 2, 3});
  const owned_array<int> moved(std::move(numbers));
  CHECK((!numbers && moved[2] == 3));  // NOLINT(bugprone-use-after-move): it is empty then
}

TEST_CASE("take leaves nothing, and trade gives each the other's") {
  int number = 5;
  std::string text = "text";
  std::string other = "other";
  CHECK((weir::detail::take(number) == 5 && number == 0));
  weir::detail::trade(text, other);
  CHECK((text == "other" && other == "text"));
  CHECK((weir::detail::take(text) == "other" && text.empty()));
}
