#include <weir/sync/oneshot.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

#include <weir/sync/channel.hpp>
#include <weir/sync/select.hpp>

#include "support.hpp"

using test::settle;
using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::oneshot_sender<int>>);
static_assert(!std::is_copy_constructible_v<weir::oneshot_receiver<int>>);
static_assert(std::is_nothrow_move_constructible_v<weir::oneshot_sender<int>>);

TEST_CASE("oneshot: what is sent is received, before or after somebody waits for it") {
  simulate([]() -> weir::task<> {
    auto [early, first] = weir::make_oneshot<std::unique_ptr<int>>();
    CHECK(early.send(std::make_unique<int>(1)));
    CHECK(!early);
    const auto one = co_await first.receive();
    REQUIRE(one.has_value());
    CHECK(**one == 1);
    const auto nothing_more = co_await first.receive();
    CHECK(!nothing_more.has_value());

    auto ends = weir::make_oneshot<int>();
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto sends = [](weir::oneshot_sender<int> to) -> weir::task<> {
        co_await settle();
        CHECK(to.send(2));
      };
      g.spawn(sends, std::move(ends.sender));
      const auto two = co_await ends.receiver.receive();
      CHECK(two == 2);
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("oneshot: a sender that goes without sending is told") {
  simulate([]() -> weir::task<> {
    auto ends = weir::make_oneshot<int>();
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto forgets = [](weir::oneshot_sender<int>) -> weir::task<> { co_await settle(); };
      g.spawn(forgets, std::move(ends.sender));
      const auto none = co_await ends.receiver.receive();
      CHECK(!none.has_value());
    };
    co_await weir::with_task_group(body);
    CHECK(!ends.receiver.try_receive().has_value());
  });
}

TEST_CASE("oneshot: a receiver that goes is told, and the value stays where it was") {
  simulate([]() -> weir::task<> {
    auto ends = weir::make_oneshot<std::string>();
    bool told = false;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto watches = [&]() -> weir::task<> {
        co_await ends.sender.abandoned();
        told = true;
      };
      g.spawn(watches);
      co_await settle();
      CHECK(!told);
      CHECK(!ends.sender.is_abandoned());
      ends.receiver.reset();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(told);
    CHECK(ends.sender.is_abandoned());
    std::string answer = "a long answer that nobody wants to hear";
    CHECK(!ends.sender.send(std::move(answer)));
    CHECK(answer == "a long answer that nobody wants to hear");
  });
}

TEST_CASE("oneshot: a value that is not received is destroyed with the last end") {
  auto counted = std::make_shared<int>(1);
  {
    auto ends = weir::make_oneshot<std::shared_ptr<int>>();
    CHECK(ends.sender.send(counted));
    CHECK(counted.use_count() == 2);
    ends.receiver.reset();
    CHECK(counted.use_count() == 1);
  }
  CHECK(counted.use_count() == 1);
}

TEST_CASE("oneshot: a stop while waiting loses no value; a case that is not chosen leaves it") {
  simulate([]() -> weir::task<> {
    auto ends = weir::make_oneshot<int>();
    const auto late = co_await weir::as_result(weir::with_timeout(1ms, ends.receiver.receive()));
    CHECK(late.error() == std::errc::timed_out);
    auto chosen = co_await weir::select(ends.receiver.receive(), weir::sleep_for(1ms));
    CHECK(chosen.index() == 1);
    CHECK(!ends.receiver.try_receive().has_value());
    CHECK(ends.sender.send(7));
    weir::event set(weir::reset_mode::manual, true);
    auto other = co_await weir::select_ordered(set.wait(), ends.receiver.receive());
    CHECK(other.index() == 0);
    auto mine = co_await weir::select_ordered(ends.receiver.receive(), set.wait());
    CHECK(mine.index() == 0);
    CHECK(mine.template get<0>() == 7);
  });
}

TEST_CASE("oneshot: a value whose move throws was not sent, and can be sent again") {
  test::fragile::alive = 0;
  {
    auto ends = weir::make_oneshot<test::fragile>();
    test::fragile value(3);
    test::fragile::break_move(1);
    CHECK_THROWS_AS(ends.sender.send(std::move(value)), test::broken);
    CHECK(static_cast<bool>(ends.sender));
    CHECK(value.value == 3);
    CHECK(ends.sender.send(std::move(value)));
    const auto got = ends.receiver.try_receive();
    REQUIRE(got.has_value());
    CHECK(got->value == 3);
  }
  CHECK(test::fragile::alive == 0);
}

TEST_CASE("oneshot: replies to requests, over threads, when either side may give up") {
  struct request {
    int question;
    weir::oneshot_sender<int> reply;
  };
  const int rounds = test::scaled(5000, 400);
  int answered = 0;
  int unanswered = 0;
  std::atomic<int> wrong{0};
  auto main = [&]() -> weir::task<> {
    weir::channel<request> requests(4);
    auto serves = [&]() -> weir::task<> {
      while (auto r = co_await requests.receive()) {
        if (r->question % 7 == 0) continue;  // lets go of the reply
        if (r->question % 3 == 0) co_await weir::yield();
        r->reply.send(2 * r->question);
      }
    };
    auto asks = [&]() -> weir::task<> {
      for (int i = 0; i < rounds; ++i) {
        auto ends = weir::make_oneshot<int>();
        request r{i, std::move(ends.sender)};
        co_await requests.send(std::move(r));
        if (i % 5 == 0) continue;  // wants no answer any more
        const auto answer = co_await ends.receiver.receive();
        if (answer && *answer != 2 * i) ++wrong;
        if (!answer && i % 7 != 0) ++wrong;
        answer ? ++answered : ++unanswered;
      }
      requests.close();
    };
    co_await weir::when_all(serves(), serves(), asks());
  };
  weir::run(main(), {.workers = 2});
  CHECK(wrong == 0);
  CHECK(answered > unanswered);
  CHECK(unanswered > 0);
}

TEST_CASE("oneshot: a plain thread receives; on a worker receive_blocking throws where it would have to wait") {
  auto ends = weir::make_oneshot<int>();
  std::thread sends([&] { ends.sender.send(5); });
  CHECK(ends.receiver.receive_blocking() == 5);
  sends.join();
  simulate([]() -> weir::task<> {
    auto never = weir::make_oneshot<int>();
    CHECK_THROWS_AS(never.receiver.receive_blocking(), std::logic_error);
    co_return;
  });
}

TEST_CASE("oneshot: a steady flow of requests allocates nothing") {
  simulate([]() -> weir::task<> {
    std::uint64_t before = 0;
    for (int i = 0; i < 100; ++i) {
      auto ends = weir::make_oneshot<int>();
      if (i == 10) before = test::allocations();
      auto replies = [&]() -> weir::task<> {
        CHECK(ends.sender.send(i));
        co_return;
      };
      auto receives = [&]() -> weir::task<> {
        const auto answer = co_await ends.receiver.receive();
        CHECK(answer == i);
      };
      co_await weir::when_all(receives(), replies());
    }
    CHECK(test::allocations() == before);
  });
}
