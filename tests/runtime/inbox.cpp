#include <thread>

#include <weir/runtime/detail/inbox.hpp>

#include "support.hpp"

namespace {

using weir::detail::inbox;
using weir::detail::message;

class letter final : public message {
 public:
  letter() = default;
  letter(std::vector<int>& to, int name) : to_(&to), name_(name) {}
  std::function<void()> then;

 private:
  void deliver() noexcept override {
    to_->push_back(name_);
    if (then) then();
  }
  std::vector<int>* to_ = nullptr;
  int name_ = 0;
};

}  // namespace

TEST_CASE("inbox: messages are delivered once, in the order in which they were posted") {
  inbox box;
  std::vector<int> got;
  CHECK(box.empty());
  std::vector<letter> letters;
  for (int i = 0; i < 10; ++i) letters.emplace_back(got, i);
  for (letter& l : letters) box.push(l);
  CHECK(!box.empty_now());
  box.deliver_all();
  CHECK(got == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(box.empty());
  box.push(letters[3]);  // one may be posted again
  box.deliver_all();
  CHECK(got.size() == 11);
}

TEST_CASE("inbox: a message may be delivered inside of another one's delivery, and post more") {
  inbox box;
  std::vector<int> got;
  letter first(got, 1);
  letter second(got, 2);
  letter third(got, 3);
  first.then = [&] {
    box.push(third);
    box.deliver_all();
    CHECK(got == std::vector<int>{1, 2, 3});
  };
  box.push(first);
  box.push(second);
  box.deliver_all();
  CHECK(got == std::vector<int>{1, 2, 3});
}

TEST_CASE("inbox: what is posted while it delivers waits for the next time, so that nobody can keep the owner there") {
  inbox box;
  std::vector<int> got;
  letter again(got, 1);
  letter other(got, 2);
  again.then = [&] { box.push(again); };
  box.push(again);
  box.push(other);
  box.deliver_all();
  CHECK(got == std::vector<int>{1, 2});
  CHECK(!box.empty());
  box.deliver_all();
  CHECK(got == std::vector<int>{1, 2, 1});
}

TEST_CASE("inbox: from several threads nothing is lost, and each thread's order is kept") {
  constexpr int threads = 3;
  const int each = test::scaled(100'000, 10'000);
  inbox box;
  std::vector<int> got[threads];
  std::vector<std::vector<letter>> letters(threads);
  for (std::size_t t = 0; t < threads; ++t) {
    for (int i = 0; i < each; ++i) letters[t].emplace_back(got[t], i);
  }
  std::vector<std::thread> senders;
  for (std::size_t t = 0; t < threads; ++t) {
    senders.emplace_back([&box, &mine = letters[t]] {
      for (letter& l : mine) box.push(l);
    });
  }
  const auto complete = [&] {
    return got[0].size() + got[1].size() + got[2].size() == static_cast<std::size_t>(threads * each);
  };
  while (!complete()) box.deliver_all();
  for (std::thread& s : senders) s.join();
  for (const auto& in_order : got) {
    CHECK(in_order.size() == static_cast<std::size_t>(each));
    CHECK(std::is_sorted(in_order.begin(), in_order.end()));
  }
}
