#include <array>
#include <deque>
#include <ranges>
#include <set>
#include <span>
#include <sstream>
#include <string_view>

#include "support.hpp"

using test::simulate;
using weir::collect;
using weir::for_each;
using weir::from;
using weir::transform;

namespace {

/// Counts how often any of them was copied and moved.
class tracked {
 public:
  explicit tracked(int number) : value(number) {}
  tracked(const tracked& other) : value(other.value) { ++copies; }
  tracked(tracked&& other) noexcept : value(std::exchange(other.value, -1)) { ++moves; }
  tracked& operator=(const tracked&) = default;
  tracked& operator=(tracked&&) = default;
  int value;
  static inline int copies = 0;
  static inline int moves = 0;
};

std::vector<tracked> three_tracked() {
  std::vector<tracked> all;
  for (int i = 0; i < 3; ++i) all.emplace_back(i);
  tracked::copies = tracked::moves = 0;
  return all;
}

weir::async_generator<int> marked(test::log& seen, int n) {
  const test::mark here(seen, "source");
  seen.push_back("begins");
  for (int i = 0; i < n; ++i) co_yield i;
}

weir::async_generator<std::string&> each_word(std::vector<std::string>& words) {
  for (std::string& word : words) co_yield word;
}

weir::async_generator<const std::string&> each_const_word(const std::vector<std::string>& words) {
  for (const std::string& word : words) co_yield word;
}

}  // namespace

TEST_CASE("from a generator: its values in order; it is owned, and gone at the end") {
  simulate([]() -> weir::task<> {
    test::log seen;
    auto all = co_await (from(marked(seen, 3)) | collect());
    CHECK(all == test::up_to(3));
    CHECK(seen == test::log{"begins", "source"});
  });
}

TEST_CASE("from: nothing is read before the pipeline is awaited, and one that never is destroys its source") {
  simulate([]() -> weir::task<> {
    test::log seen;
    auto [tx, rx] = weir::make_channel<int>(1);
    {
      auto one = from(marked(seen, 3)) | collect();
      auto other = from(std::move(rx)) | collect();
      CHECK(tx.try_send(1));
      co_await test::settle();
      CHECK(tx.size() == 1);
    }
    CHECK(seen.empty());  // a generator that never ran has no locals
    const bool sent = co_await tx.send(2);
    CHECK(!sent);  // its only receiver is gone
  });
}

TEST_CASE("from a generator of references: copies, what it refers to is not touched") {
  simulate([]() -> weir::task<> {
    std::vector<std::string> words{"a string too long to be stored in place, one", "a string too long, two"};
    const auto original = words;
    auto all = co_await (from(each_word(words)) | collect());
    CHECK(all == original);
    CHECK(words == original);
    auto take = [](std::string&& s) { return std::move(s); };
    auto taken = co_await (from(each_word(words)) | transform(take) | collect());
    CHECK(taken == original);
    CHECK(words == original);
    auto generic = [](auto&& s) { return std::string(std::forward<decltype(s)>(s)); };
    auto again = co_await (from(each_const_word(words)) | transform(generic) | collect());
    CHECK(again == original);
    CHECK(words == original);
  });
}

TEST_CASE("from a channel: until it is closed; what is sent meanwhile comes along") {
  simulate([]() -> weir::task<> {
    weir::channel<int> numbers(2);
    auto feed = [&]() -> weir::task<> {
      for (int i = 0; i < 10; ++i) {
        co_await numbers.send(i);
        co_await weir::sleep_for(1ms);
      }
      numbers.close();
    };
    auto body = [&](weir::task_group& g) -> weir::task<std::vector<int>> {
      g.spawn(feed);
      co_return co_await (from(numbers) | collect());
    };
    auto all = co_await weir::with_task_group(body);
    CHECK(all == test::up_to(10));
    CHECK(numbers.is_closed());
  });
}

TEST_CASE(
    "from a channel that is lent: a pipeline that ends early leaves it open, and leaves in it what it did not take") {
  simulate([]() -> weir::task<> {
    weir::channel<int> numbers(8);
    for (int i = 0; i < 8; ++i) CHECK(numbers.try_send(i));
    auto fails = [](int n) {
      if (n == 2) throw std::runtime_error("two");
    };
    auto how = co_await test::how_it_ends(from(numbers) | for_each(fails));
    CHECK(how == "two");
    CHECK(!numbers.is_closed());
    CHECK(numbers.size() == 5);
    CHECK(*numbers.try_receive() == 3);
  });
}

TEST_CASE("from a channel: two pipelines share it, each item reaches one") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    simulate(
        []() -> weir::task<> {
          weir::channel<int> shared(4);
          std::vector<int> one;
          std::vector<int> other;
          auto feed = [&]() -> weir::task<> {
            for (int i = 0; i < 50; ++i) co_await shared.send(i);
            shared.close();
          };
          co_await weir::when_all(feed(), from(shared) | for_each([&](int n) { one.push_back(n); }),
                                  from(shared) | for_each([&](int n) { other.push_back(n); }));
          one.insert(one.end(), other.begin(), other.end());
          CHECK(test::sorted(one) == test::up_to(50));
        },
        seed);
  }
}

TEST_CASE("from a receiver: the senders are told when the pipeline ends early") {
  simulate([]() -> weir::task<> {
    auto [tx, rx] = weir::make_channel<test::item>(1);
    int sent = 0;
    bool told = false;
    auto feed = [&]() -> weir::task<> {
      for (int i = 0;; ++i) {
        const bool taken = co_await tx.send(test::item(i));
        if (!taken) break;
        ++sent;
      }
      told = true;
    };
    auto consume = [&]() -> weir::task<> {
      auto fails = [](test::item i) {
        if (i.value == 3) throw std::runtime_error("three");
      };
      auto how = co_await test::how_it_ends(from(std::move(rx)) | for_each(fails));
      CHECK(how == "three");
    };
    co_await weir::when_all(feed(), consume());
    CHECK(told);
    CHECK(sent >= 4);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("from a receiver: the senders are told when the pipeline is cancelled") {
  simulate([]() -> weir::task<> {
    auto [tx, rx] = weir::make_channel<int>(1);
    auto feed = [&]() -> weir::task<> {
      for (int i = 0;; ++i) {
        const bool taken = co_await tx.send(i);
        if (!taken) break;
      }
      CHECK(weir::now().time_since_epoch() == 10ms);
    };
    auto consume = [&]() -> weir::task<> {
      auto stalls = [](int) -> weir::task<> { co_await test::never(); };
      auto pipeline = from(std::move(rx)) | for_each(stalls);
      auto ended = co_await weir::as_result(weir::with_timeout(10ms, std::move(pipeline)));
      CHECK(ended.error() == std::errc::timed_out);
    };
    co_await weir::when_all(feed(), consume());
  });
}

TEST_CASE("from a receiver by name: a further end; the channel ends with its last sender") {
  simulate([]() -> weir::task<> {
    auto [tx, rx] = weir::make_channel<int>(4);
    CHECK(tx.try_send(7));
    auto pipeline = from(rx) | collect();
    tx.reset();
    auto all = co_await std::move(pipeline);
    CHECK(all == std::vector{7});
    CHECK(static_cast<bool>(rx));
  });
}

TEST_CASE("from a range by name: copies, the range is untouched") {
  simulate([]() -> weir::task<> {
    auto source = three_tracked();
    auto all = co_await (from(source) | collect());
    CHECK(all.size() == 3);
    CHECK(source[2].value == 2);
    CHECK(tracked::copies == 3);
    const auto& fixed = source;
    auto again = co_await (from(fixed) | collect());
    CHECK(again[1].value == 1);
    int raw[] = {4, 5, 6};
    auto from_array = co_await (from(raw) | collect());
    CHECK(from_array == std::vector{4, 5, 6});
    std::vector<bool> bits{true, false, true};
    auto from_bits = co_await (from(bits) | collect());
    CHECK(from_bits == bits);
    CHECK(bits == std::vector<bool>{true, false, true});
  });
}

TEST_CASE("from a range that is given away: moved, not copied") {
  simulate([]() -> weir::task<> {
    auto source = three_tracked();
    auto all = co_await (from(std::move(source)) | collect());
    CHECK(all.size() == 3);
    CHECK(all[2].value == 2);
    CHECK(tracked::copies == 0);
    std::vector<test::item> move_only;
    for (int i = 0; i < 3; ++i) move_only.emplace_back(i);
    auto moved = co_await (from(std::move(move_only)) | collect());
    CHECK(test::values_of(moved) == test::up_to(3));
    std::vector<bool> bits{true, false, true};
    auto from_bits = co_await (from(std::move(bits)) | collect());
    CHECK(from_bits == std::vector<bool>{true, false, true});
    std::set<std::string> constant{"a", "b"};
    auto words = co_await (from(std::move(constant)) | collect());
    CHECK(words == std::vector<std::string>{"a", "b"});
    std::deque<int> queue{1, 2};
    auto from_queue = co_await (from(std::move(queue)) | collect());
    CHECK(from_queue == std::vector{1, 2});
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("from a view: what it shows is copied, whether the view is named or not; made values are moved") {
  simulate([]() -> weir::task<> {
    auto source = three_tracked();
    const std::span<tracked> window(source);
    auto all = co_await (from(window) | collect());
    CHECK(all[2].value == 2);
    auto last = co_await (from(window.last(1)) | collect());
    CHECK(last.size() == 1);
    auto rest = co_await (from(source | std::views::drop(1)) | collect());
    CHECK(rest.size() == 2);
    CHECK(source[2].value == 2);
    auto doubled = source | std::views::transform([](const tracked& t) { return 2 * t.value; });
    auto made = co_await (from(doubled) | collect());
    CHECK(made == std::vector{0, 2, 4});
    auto counted = co_await (from(std::views::iota(0, 5)) | collect());
    CHECK(counted == test::up_to(5));
    auto letters = co_await (from(std::string_view("abc")) | collect());
    CHECK(letters == std::vector{'a', 'b', 'c'});
    auto items = std::views::iota(0, 3) | std::views::transform([](int i) { return test::item(i); });
    auto move_only = co_await (from(items) | collect());
    CHECK(test::values_of(move_only) == test::up_to(3));
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("from a range that can be read only once") {
  simulate([]() -> weir::task<> {
    std::istringstream text("3 1 4 1 5");
    auto all = co_await (from(std::views::istream<int>(text)) | collect());
    CHECK(all == std::vector{3, 1, 4, 1, 5});
  });
}

TEST_CASE("from a list: copied when the source is made, so that it may be gone when the pipeline runs") {
  simulate([]() -> weir::task<> {
    auto pipeline = from({std::string("a string too long to be stored in place"), std::string("b")}) | collect();
    auto all = co_await std::move(pipeline);
    CHECK(all == std::vector<std::string>{"a string too long to be stored in place", "b"});
    const std::initializer_list<int> named{1, 2, 3};
    auto numbers = co_await (from(named) | collect());
    CHECK(numbers == std::vector{1, 2, 3});
  });
}

TEST_CASE("from an empty range, generator or channel: a pipeline without items") {
  simulate([]() -> weir::task<> {
    auto none = co_await (from(std::vector<int>()) | collect());
    CHECK(none.empty());
    auto nothing = co_await (from(test::numbers(0)) | collect());
    CHECK(nothing.empty());
    weir::channel<int> closed(1);
    closed.close();
    auto end = co_await (from(closed) | collect());
    CHECK(end.empty());
    auto ended = co_await (from(weir::async_generator<int>()) | collect());
    CHECK(ended.empty());
  });
}

TEST_CASE("from a range whose iterator throws: the pipeline fails with that") {
  simulate([]() -> weir::task<> {
    auto risky = std::views::iota(0, 5) | std::views::transform([](int i) {
                   if (i == 3) throw std::runtime_error("iterator");
                   return i;
                 });
    int seen = 0;
    auto how = co_await test::how_it_ends(from(risky) | for_each([&](int) { ++seen; }));
    CHECK(how == "iterator");
    CHECK(seen == 3);
  });
}
