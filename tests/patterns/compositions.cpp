#include "support.hpp"

#include <weir/patterns/into.hpp>
#include <weir/patterns/or_else.hpp>

// What is written in a few lines of tasks, channels and pipelines and needs no pattern of its own: calls in parallel,
// phases, fan-out and fan-in, limits, what happens when everything is full.

using test::after;
using test::at;
using test::simulate;
using weir::as_result;
using weir::collect;
using weir::for_each;
using weir::from;
using weir::transform;
using weir::when_all;
using weir::with_timeout;

namespace {

weir::task<std::string> answer(const char* name, weir::duration takes, bool fails = false) {
  co_await weir::sleep_for(takes);
  if (fails) throw std::runtime_error(std::string(name) + " failed");
  co_return name;
}

}  // namespace

TEST_CASE("compositions: profile and posts beside each other behind the user; a part that fails is left out (S41)") {
  for (const bool posts_fail : {false, true}) {
    simulate([posts_fail]() -> weir::task<> {
      auto page = [posts_fail]() -> weir::task<test::log> {
        test::log parts;
        auto user = co_await answer("user", 100ms);
        parts.push_back(user);
        auto [profile, posts] =
            co_await when_all(as_result(answer("profile", 150ms)), as_result(answer("posts", 100ms, posts_fail)));
        if (profile) parts.push_back(*profile);
        if (posts) parts.push_back(*posts);
        if (!posts) CHECK(test::unobserved::what(posts.exception()) == "posts failed");
        co_return parts;
      };
      auto parts = co_await page();
      CHECK(parts == (posts_fail ? test::log{"user", "profile"} : test::log{"user", "profile", "posts"}));
      CHECK(weir::now() == at(250ms));
    });
  }
}

TEST_CASE("compositions: two phases of calls, 350 ms; a check that fails stops its phase and the next (S42, D14)") {
  for (const bool in_stock : {true, false}) {
    simulate([in_stock]() -> weir::task<> {
      test::log done;
      auto call = [&](const char* name, weir::duration takes, bool good) -> weir::task<> {
        co_await weir::sleep_for(takes);
        if (!good) throw std::runtime_error(name);
        done.push_back(name);
      };
      auto order = [&]() -> weir::task<> {
        co_await when_all(call("auth", 100ms, true), call("user", 150ms, true), call("inventory", 120ms, in_stock));
        co_await when_all(call("payment", 200ms, true), call("shipping", 180ms, true));
      };
      const auto how = co_await test::how_it_ends(order());
      if (in_stock) {
        CHECK(how.empty());
        CHECK(done == test::log{"auth", "inventory", "user", "shipping", "payment"});
        CHECK(weir::now() == at(350ms));
      } else {
        CHECK(how == "inventory");
        CHECK(done == test::log{"auth"});  // no card was charged, and the user was not waited for
        CHECK(weir::now() == at(120ms));
      }
    });
  }
}

TEST_CASE("compositions: what has answered within a second, and who has not (S43, D15)") {
  simulate([]() -> weir::task<> {
    test::log stopped;
    auto service = [&](const char* name, weir::duration takes) -> weir::task<std::string> {
      test::mark here(stopped, name);
      co_await weir::sleep_for(takes);
      co_return name;
    };
    auto [a, b, c] = co_await when_all(as_result(with_timeout(1s, service("A", 100ms))),
                                       as_result(with_timeout(1s, service("B", 200ms))),
                                       as_result(with_timeout(1s, service("C", 5s))));
    CHECK(weir::now() == at(1s));
    CHECK(a.value() == "A");
    CHECK(b.value() == "B");
    CHECK(c.error() == std::errc::timed_out);
    CHECK(c.cause() == weir::cancellation_cause::deadline);
    CHECK(stopped == test::log{"A", "B", "C!"});
  });
}

TEST_CASE("compositions: a function returns a receiver; its producer leaves when nobody reads (S44)") {
  simulate([]() -> weir::task<> {
    bool left = false;
    auto produce = [&](weir::sender<int> to) -> weir::task<> {
      for (int i = 0; i < 5; ++i) {
        auto sent = co_await as_result(with_timeout(5s, to.send(i)));
        if (!sent || !*sent) {
          left = true;
          CHECK(i == 2);  // told, so that nobody takes what there is for all (D10)
          co_return;
        }
      }
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      auto numbers = [&]() {
        auto [tx, rx] = weir::make_channel<int>(1);
        group.spawn(produce, std::move(tx));
        return std::move(rx);
      };
      auto read = co_await (from(numbers()) | collect());
      CHECK(read == test::up_to(5));
      CHECK_FALSE(left);
      auto unread = numbers();
      auto first = co_await unread.receive();
      CHECK(first == 0);
      const auto begin = weir::now();
      co_await group.join();
      CHECK(left);
      CHECK(weir::now() == begin + 5s);
      left = false;
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("compositions: three stages of a task each, which end one after the other from the front (S46, P09)") {
  simulate([]() -> weir::task<> {
    auto slow = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(1ms);
      co_return n + 1;
    };
    auto all = co_await (from(test::numbers(100)) | transform(slow, {.workers = 1, .buffer = 10}) |
                         transform(slow, {.workers = 1, .buffer = 10}) | transform(slow, {.workers = 1, .buffer = 10}) |
                         collect());
    CHECK(all.front() == 3);
    CHECK(all.back() == 102);
    CHECK(weir::now() == at(102ms));  // the stages overlap
  });
}

TEST_CASE("compositions: many workers read one channel; each item once, and who is free takes the next (S48)") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    simulate(
        []() -> weir::task<> {
          weir::channel<int> jobs(100);
          for (int i = 0; i < 100; ++i) CHECK(jobs.try_send(i));
          jobs.close();
          std::vector<int> seen;
          auto work = [&](int n) -> weir::task<> {
            seen.push_back(n);
            const weir::duration takes = n == 0 ? 33ms : 1ms;
            co_await weir::sleep_for(takes);
          };
          co_await (from(jobs) | for_each(work, {.workers = 4}));
          CHECK(test::sorted(seen) == test::up_to(100));
          CHECK(weir::now() == at(33ms));  // the other three have done 33 each meanwhile
        },
        seed);
  }
}

TEST_CASE("compositions: squares of 0 to 9 from two workers with a channel each, merged (S49)") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    simulate(
        []() -> weir::task<> {
          weir::channel<int> numbers(10);
          for (int i = 0; i < 10; ++i) CHECK(numbers.try_send(i));
          numbers.close();
          auto square = transform([](int n) { return n * n; });
          auto all = co_await (weir::merge(from(numbers) | square, from(numbers) | square) | collect());
          CHECK(test::sorted(all) == std::vector{0, 1, 4, 9, 16, 25, 36, 49, 64, 81});
        },
        seed);
  }
}

TEST_CASE("compositions: ten workers, results in a buffer of 100, and a loop that ends behind them (S54)") {
  simulate([]() -> weir::task<> {
    auto work = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(10ms);
      co_return 2 * n;
    };
    long sum = 0;
    co_await (from(test::numbers(100)) | transform(work, {.workers = 10, .buffer = 100}) |
              for_each([&](int n) { sum += n; }));
    CHECK(sum == 9900);
    CHECK(weir::now() == at(100ms));
  });
}

TEST_CASE("compositions: ten jobs, two workers, nothing buffered anywhere: no deadlock (S55)") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    simulate(
        []() -> weir::task<> {
          weir::channel<int> jobs(0);
          weir::channel<int> results(0);
          auto twice = [](int n) { return 2 * n; };
          std::vector<int> seen;
          auto read = [&]() -> weir::task<> {
            while (auto n = co_await results.receive()) seen.push_back(*n);
          };
          co_await when_all(from(test::numbers(10)) | weir::into(jobs),
                            from(jobs) | transform(twice, {.workers = 2, .buffer = 0}) | weir::into(results), read());
          CHECK(test::sorted(seen) == std::vector{0, 2, 4, 6, 8, 10, 12, 14, 16, 18});
        },
        seed);
  }
}

// The seed's program sends all jobs before anybody reads a result.
TEST_CASE("compositions: all jobs sent before anyone reads results, or sent to oneself, is told (P06, P07)") {
  weir::simulation world;
  auto main = []() -> weir::task<> {
    weir::channel<int> jobs(0);
    weir::channel<int> results(0);
    auto body = [&](weir::task_group& group) -> weir::task<> {
      auto feed = [&]() -> weir::task<> { co_await (from(jobs) | weir::into(results)); };
      group.spawn(feed);
      for (int i = 0; i < 10; ++i) co_await jobs.send(i);
      jobs.close();
    };
    co_await weir::with_task_group(body);
  };
  std::string report;
  try {
    world.run(main());
  } catch (const weir::deadlock& e) {
    report = e.what();
  }
  CHECK(report.find("channel::send") != std::string::npos);
  CHECK(report.find("compositions.cpp") != std::string::npos);
  weir::simulation alone;
  auto to_itself = []() -> weir::task<> {
    weir::channel<int> own(0);
    co_await own.send(1);
    co_await own.receive();
  };
  CHECK_THROWS_AS(alone.run(to_itself()), weir::deadlock);
}

TEST_CASE("compositions: what comes while a buffer of 1,000 is full is dropped and counted, and nobody waits (S57)") {
  simulate([]() -> weir::task<> {
    weir::channel<int> ingest(1000);
    int dropped = 0;
    for (int i = 0; i < 1500; ++i) {
      if (!ingest.try_send(i)) ++dropped;
    }
    CHECK(weir::now() == at(0s));
    CHECK(dropped == 500);
    ingest.close();
    auto kept = co_await (from(ingest) | collect());
    CHECK(kept == test::up_to(1000));  // the newest are dropped
  });
}

TEST_CASE("compositions: the earlier of completion and limit, and which it was (S59)") {
  simulate([]() -> weir::task<> {
    auto quick = co_await as_result(with_timeout(2s, after(1s, 7)));
    CHECK(*quick == 7);
    CHECK(weir::now() == at(1s));
    test::log seen;
    auto slow = co_await as_result(with_timeout(2s, test::stuck(seen, "held")));
    CHECK(slow.error() == std::errc::timed_out);
    CHECK(seen == test::log{"held!"});
    CHECK(weir::now() == at(3s));
  });
}

TEST_CASE("compositions: a limit around what cannot be stopped: late results are dropped (S60)") {
  for (const weir::duration takes : {weir::duration(100ms), weir::duration(12s)}) {
    simulate([takes]() -> weir::task<> {
      test::log seen;
      auto uncancellable = [&]() -> weir::task<std::string> {
        co_await weir::shielded(weir::sleep_for(takes));
        seen.push_back("worked");
        co_return "result";
      };
      auto body = [&](weir::task_group& group) -> weir::task<> {
        auto working = group.spawn(uncancellable);
        auto result = co_await as_result(with_timeout(5s, working.join()));
        if (takes < 5s) {
          CHECK(weir::now() == at(100ms));
          CHECK(*result == "result");
        } else {
          CHECK(weir::now() == at(5s));
          CHECK(result.error() == std::errc::timed_out);
          CHECK(seen.empty());
        }
      };
      co_await weir::with_task_group(body);
      CHECK(seen == test::log{"worked"});
      CHECK(weir::now() == at(takes));
    });
  }
}

TEST_CASE("compositions: a buffer takes a burst, then the producer is slowed down, then load is shed (S62)") {
  simulate([]() -> weir::task<> {
    weir::channel<int> queue(8);
    int shed = 0;
    int handled = 0;
    auto consume = [&]() -> weir::task<> {
      auto work = [&](int) -> weir::task<> {
        co_await weir::sleep_for(10ms);
        ++handled;
      };
      co_await (from(queue) | for_each(work));
    };
    auto produce = [&]() -> weir::task<> {
      for (int i = 0; i < 8; ++i) co_await queue.send(i);
      CHECK(weir::now() == at(0s));  // absorbed
      CHECK(queue.size() >= 7);
      for (int i = 0; i < 10; ++i) co_await queue.send(i);
      CHECK(weir::now() >= at(80ms));  // at the pace of the consumer
      for (int i = 0; i < 40; ++i) {
        auto sent = co_await as_result(with_timeout(3ms, queue.send(i)));
        if (!sent) ++shed;
      }
      queue.close();
    };
    co_await when_all(produce(), consume());
    CHECK(shed > 20);
    CHECK(handled + shed == 58);
  });
}

// 50 workers for 1,000 images of 50 + id % 150 ms: 2.44 s at best.
TEST_CASE("compositions: 1,000 images on 50 workers: an outcome for each, cut off or not (S50, D12)") {
  struct outcome {
    int id;
    bool good;
    weir::duration took;
  };
  for (const weir::duration limit : {weir::duration(30s), weir::duration(1s), weir::duration(10ms)}) {
    simulate([limit]() -> weir::task<> {
      const auto due = weir::now() + limit;
      auto process = [due](int id) -> weir::task<outcome> {
        const auto begin = weir::now();
        auto worked = co_await as_result(weir::with_deadline(due, weir::sleep_for((50 + id % 150) * 1ms)));
        co_return outcome{id, worked.has_value(), weir::now() - begin};
      };
      int good = 0;
      int cut_off = 0;
      weir::duration spent{};
      std::vector<int> ids;
      auto gather = [&](const outcome& o) {
        ids.push_back(o.id);
        o.good ? ++good : ++cut_off;
        if (o.good) spent += o.took;
      };
      co_await (from(test::numbers(1000)) | transform(process, {.workers = 50, .buffer = 100}) | for_each(gather));
      CHECK(test::sorted(ids) == test::up_to(1000));  // every image has an outcome
      CHECK(good + cut_off == 1000);
      if (limit == 30s) {
        CHECK(good == 1000);
        const weir::duration ideal = spent / 50;
        CHECK(weir::now() - at(0s) >= ideal);
        CHECK(weir::now() - at(0s) <= ideal * 108 / 100);
        CHECK(spent / good == 122ms);
      } else if (limit == 1s) {
        CHECK(weir::now() == at(1s));
        CHECK(good > 300);
        CHECK(cut_off > 300);
      } else {
        CHECK(weir::now() == at(10ms));
        CHECK(good == 0);
        const double mean = good == 0 ? 0.0 : static_cast<double>(spent.count()) / good;
        CHECK(mean == 0.0);
      }
    });
  }
}

TEST_CASE("compositions: orders through stages of 10, 20 and 15 workers at 400 a second; bad ones are dropped (S51)") {
  for (const bool all_good : {true, false}) {
    simulate([all_good]() -> weir::task<> {
      auto stage = [all_good](weir::duration takes, int each) {
        return [=](int order) -> weir::task<int> {
          co_await weir::sleep_for(takes);
          if (!all_good && order % each == 0) throw std::runtime_error("refused");
          co_return std::move(order);
        };
      };
      auto validate = stage(10ms, 10);
      auto pay = stage(50ms, 7);
      auto fulfil = stage(30ms, 1'000'000);
      weir::stage_counters valid{"validate"};
      weir::stage_counters paid{"pay"};
      weir::stage_counters fulfilled{"fulfil"};
      int refused = 0;
      auto drop = [&](const weir::failed_item<int>&) { ++refused; };
      std::vector<int> orders = test::up_to(1001);
      orders.erase(orders.begin());
      auto whole = from(orders) |
                   transform(validate, {.workers = 10, .buffer = 100, .counters = &valid}).or_else(drop) |
                   transform(pay, {.workers = 20, .buffer = 100, .counters = &paid}).or_else(drop) |
                   transform(fulfil, {.workers = 15, .buffer = 100, .counters = &fulfilled}) | collect();
      auto done = co_await with_timeout(1min, std::move(whole));
      CHECK(valid.in() == 1000);
      CHECK(done.size() + static_cast<std::size_t>(refused) == 1000);
      CHECK(fulfilled.out() == done.size());
      if (all_good) {
        CHECK(done.size() == 1000);
        CHECK(weir::now() - at(0s) >= 2500ms);
        CHECK(weir::now() - at(0s) <= 2625ms);
      } else {
        CHECK(valid.errors() == 100);
        CHECK(paid.errors() == 128);  // of 142 sevenths 14 were invalid
      }
    });
  }
}
