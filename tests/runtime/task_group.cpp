#include <functional>
#include <thread>

#include "support.hpp"

using test::simulate;

namespace {

/// The order in which a group's things end, for each of its three exits.
weir::task<> child_with(test::log& to, std::string name) {
  test::mark m(to, std::move(name));
  co_await weir::sleep_for(1h);
}

weir::task<> nested_groups(int depth) {
  const test::counted guard;
  if (depth == 0) {
    co_await weir::sleep_for(1h);
  } else {
    auto body = [depth](weir::task_group& g) -> weir::task<> {
      const test::counted inner;
      g.spawn(nested_groups(0));
      co_await nested_groups(depth - 1);
    };
    co_await weir::with_task_group(body);
  }
}

}  // namespace

TEST_CASE("a group completes with its body's value once all children are joined") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto body = [&](weir::task_group& g) -> weir::task<std::unique_ptr<int>> {
      auto child = [&](weir::duration length, const char* name) -> weir::task<> {
        co_await weir::sleep_for(length);
        seen.push_back(name);
      };
      g.spawn(child, weir::duration(2ms), "b");
      g.spawn(child, weir::duration(1ms), "a");
      CHECK(g.size() == 2);
      seen.push_back("body");
      co_return std::make_unique<int>(3);
    };
    const auto value = co_await weir::with_task_group(body);
    CHECK(*value == 3);
    CHECK(weir::now() == weir::time_point() + 2ms);
  });
  CHECK(seen == test::log{"body", "a", "b"});
}

TEST_CASE("an empty group, a group of references and of nothing") {
  simulate([]() -> weir::task<> {
    auto empty = [](weir::task_group&) -> weir::task<> { co_return; };
    co_await weir::with_task_group(empty);
    int x = 0;
    auto reference = [&](weir::task_group&) -> weir::task<int&> { co_return x; };
    int& y = co_await weir::with_task_group(reference);
    y = 2;
    CHECK(x == 2);
  });
}

TEST_CASE("exit by return: the body's locals die before the join, children go on") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto body = [&](weir::task_group& g) -> weir::task<> {
      test::mark local(seen, "local");
      auto child = [&]() -> weir::task<> {
        co_await weir::sleep_for(1ms);
        seen.push_back("child");
      };
      g.spawn(child);
      co_return;
    };
    co_await weir::with_task_group(body);
    seen.push_back("after");
  });
  CHECK(seen == test::log{"local", "child", "after"});
}

TEST_CASE("exit by throw: locals die, children are stopped and joined, then the exception goes on") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto body = [&](weir::task_group& g) -> weir::task<> {
      test::mark local(seen, "local");
      g.spawn(child_with, std::ref(seen), "child");
      co_await weir::sleep_for(1ms);
      throw std::runtime_error("body");
    };
    try {
      co_await weir::with_task_group(body);
    } catch (const std::runtime_error& e) {
      seen.push_back(e.what());
    }
  });
  CHECK(seen == test::log{"local", "child!", "body"});
}

TEST_CASE("exit by stop: the body's locals outlive the children, which may refer to them") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto body = [&](weir::task_group& g) -> weir::task<> {
      test::mark local(seen, "local");
      auto data = std::make_unique<int>(1);
      auto child = [&seen](std::unique_ptr<int>& of_body) -> weir::task<> {
        class reader {
         public:
          reader(test::log& to, std::unique_ptr<int>& from) : to_(to), from_(from) {}
          reader(const reader&) = delete;
          reader& operator=(const reader&) = delete;
          ~reader() { to_.push_back("read " + std::to_string(*from_)); }

         private:
          test::log& to_;
          std::unique_ptr<int>& from_;
        };
        reader r(seen, of_body);
        co_await weir::shielded(weir::sleep_for(5ms));
        co_await weir::sleep_for(1h);
      };
      g.spawn(child, std::ref(data));
      co_await weir::sleep_for(1h);
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, weir::with_task_group(body)));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(weir::now() == weir::time_point() + 5ms);
  });
  CHECK(seen == test::log{"read 1", "local!"});
}

TEST_CASE("the three exits with a body that joins at its end") {
  for (const char* exit : {"return", "throw", "stop"}) {
    CAPTURE(exit);
    test::log seen;
    simulate([&]() -> weir::task<> {
      auto body = [&](weir::task_group& g) -> weir::task<> {
        test::mark local(seen, "local");
        auto child = [&]() -> weir::task<> {
          test::mark m(seen, "child");
          const std::chrono::milliseconds length = exit == std::string("stop") ? 1h : 1ms;
          co_await weir::sleep_for(length);
          if (exit == std::string("throw")) throw std::runtime_error("child");
        };
        g.spawn(child);
        co_await g.join();
        seen.push_back("joined");
      };
      const auto r = co_await weir::as_result(weir::with_timeout(2ms, weir::with_task_group(body)));
      seen.push_back(r.has_value() ? "value" : r.error().message());
    });
    if (exit == std::string("return")) CHECK(seen == test::log{"child", "joined", "local", "value"});
    if (exit == std::string("throw")) CHECK(seen == test::log{"child", "local!", "an exception without an error code"});
    if (exit == std::string("stop")) CHECK(seen == test::log{"child!", "local!", "Connection timed out"});
  }
}

TEST_CASE("the first failure of a child cancels body and siblings, and is rethrown") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto body = [&](weir::task_group& g) -> weir::task<> {
      test::mark local(seen, "body");
      g.spawn(child_with, std::ref(seen), "sibling");
      g.spawn(test::fail_after(1ms, "first"));
      g.spawn(test::fail_after(2ms, "second"));
      co_await weir::sleep_for(1h);
      seen.push_back("went on");
    };
    const auto r = co_await weir::as_result(weir::with_task_group(body));
    CHECK(test::unobserved::what(r.exception()) == "first");
    CHECK(weir::now() == weir::time_point() + 1ms);
  });
  CHECK(seen == test::log{"sibling!", "body!"});
}

TEST_CASE("later failures go to on_error, each once: of children, and of the body") {
  test::unobserved errors;
  auto late = [](const char* what) -> weir::task<> {
    co_await weir::shielded(weir::sleep_for(5ms));
    throw std::runtime_error(what);
  };
  SUBCASE("of a child") {
    test::simulate_reporting([&]() -> weir::task<> {
      auto body = [&](weir::task_group& g) -> weir::task<> {
        g.spawn(test::fail_after(1ms, "first"));
        g.spawn(late("later"));
        co_return;
      };
      const auto r = co_await weir::as_result(weir::with_task_group(body));
      CHECK(test::unobserved::what(r.exception()) == "first");
    });
  }
  SUBCASE("of the body") {
    test::simulate_reporting([&]() -> weir::task<> {
      auto body = [&](weir::task_group& g) -> weir::task<> {
        g.spawn(test::fail_after(1ms, "first"));
        co_await late("later");
      };
      const auto r = co_await weir::as_result(weir::with_task_group(body));
      CHECK(test::unobserved::what(r.exception()) == "first");
    });
  }
  SUBCASE("of a child, after the body's own") {
    test::simulate_reporting([&]() -> weir::task<> {
      auto body = [&](weir::task_group& g) -> weir::task<> {
        g.spawn(late("later"));
        co_await weir::yield();
        throw std::runtime_error("first");
      };
      const auto r = co_await weir::as_result(weir::with_task_group(body));
      CHECK(test::unobserved::what(r.exception()) == "first");
    });
  }
  SUBCASE("the first too, when the group itself is stopped from outside") {
    test::simulate_reporting([&]() -> weir::task<> {
      auto body = [&](weir::task_group& g) -> weir::task<> {
        g.spawn(late("later"));
        co_await weir::sleep_for(1h);
      };
      const auto r = co_await weir::as_result(weir::with_timeout(1ms, weir::with_task_group(body)));
      CHECK(r.error() == std::errc::timed_out);
    });
  }
  CHECK(errors.take() == test::log{"later"});
}

TEST_CASE("a child that is stopped alone just ends") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto body = [&](weir::task_group& g) -> weir::task<int> {
      auto h = g.spawn(child_with, std::ref(seen), "child");
      co_await weir::sleep_for(1ms);
      h.request_cancellation();
      co_await g.join();
      CHECK(!g.token().is_cancellation_requested());
      co_return 1;
    };
    const int value = co_await weir::with_task_group(body);
    CHECK(value == 1);
  });
  CHECK(seen == test::log{"child!"});
}

TEST_CASE("group.cancel(): the scope throws cancelled if the body was stopped, and has its value if not") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto stopped = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(child_with, std::ref(seen), "child");
      auto canceller = [&]() -> weir::task<> {
        co_await weir::sleep_for(1ms);
        g.cancel();
        CHECK(g.token().is_cancellation_requested());
        co_await weir::yield();
        seen.push_back("canceller went on");
      };
      g.spawn(canceller);
      co_await weir::sleep_for(1h);
    };
    bool threw = false;
    try {
      co_await weir::with_task_group(stopped);
    } catch (const weir::cancelled& e) {
      threw = e.cause() == weir::cancellation_cause::requested;
    }
    CHECK(threw);
    CHECK(seen == test::log{"child!"});

    auto value = [&](weir::task_group& g) -> weir::task<int> {
      g.spawn(child_with, std::ref(seen), "other");
      co_await weir::yield();
      g.cancel();
      g.cancel();
      co_return 4;
    };
    const int got = co_await weir::with_task_group(value);
    CHECK(got == 4);
    CHECK(seen == test::log{"child!", "other!"});
  });
}

TEST_CASE("a stop from outside that cuts a child short stops the scope, also when its body has returned") {
  for (const bool isolated : {false, true}) {
    CAPTURE(isolated);
    test::log seen;
    simulate([&]() -> weir::task<> {
      auto body = [&](weir::task_group& g) -> weir::task<int> {
        g.spawn(child_with, std::ref(seen), "child");
        co_return 1;
      };
      const auto scope = [&]() -> weir::task<int> {
        test::mark local(seen, "scope");
        if (isolated) co_return co_await weir::with_supervisor(body);
        co_return co_await weir::with_task_group(body);
      };
      const auto r = co_await weir::as_result(weir::with_timeout(1ms, scope()));
      CHECK(r.error() == std::errc::timed_out);
      CHECK(weir::now() == weir::time_point() + 1ms);
    });
    CHECK(seen == test::log{"child!", "scope!"});
  }
}

TEST_CASE("a stop from outside that finds the body at work and the child already gone") {
  simulate([]() -> weir::task<> {
    weir::cancellation_source source;
    const auto asleep = []() -> weir::task<> { co_await weir::sleep_for(1h); };
    auto body = [&](weir::task_group& g) -> weir::task<int> {
      g.spawn(asleep);
      const auto patient = [&]() -> weir::task<> {
        co_await weir::sleep_for(1ms);
        source.request_cancellation();
        co_await weir::sleep_for(1ms);
      };
      co_await weir::shielded(patient());
      CHECK(g.size() == 0);
      co_return 1;
    };
    const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), weir::with_task_group(body)));
    CHECK(r.is_cancelled());
  });
}

TEST_CASE("a stop from outside that cuts no child short leaves the scope its value") {
  simulate([]() -> weir::task<> {
    const auto asleep = []() -> weir::task<> { co_await weir::sleep_for(1h); };
    const auto patient = []() -> weir::task<> { co_await weir::shielded(weir::sleep_for(2ms)); };
    // One child is stopped alone, before; another one completes in spite of the stop.
    auto body = [&](weir::task_group& g) -> weir::task<int> {
      auto alone = g.spawn(asleep);
      g.spawn(patient);
      co_await weir::yield();
      alone.request_cancellation();
      co_return 1;
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, weir::with_task_group(body)));
    REQUIRE(r.has_value());
    CHECK(*r == 1);
    CHECK(weir::now() == weir::time_point() + 2ms);
  });
}

TEST_CASE("a failure outlasts a stop from outside where it came first, and where nobody else was cut short") {
  simulate([]() -> weir::task<> {
    const auto patient = []() -> weir::task<> { co_await weir::shielded(weir::sleep_for(2ms)); };
    const auto failing = []() -> weir::task<> {
      co_await weir::yield();
      throw std::runtime_error("first");
    };
    auto body = [&](weir::task_group& g) -> weir::task<int> {
      g.spawn(patient);
      g.spawn(failing);
      co_return 1;
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, weir::with_task_group(body)));
    CHECK(!r.is_cancelled());
    CHECK_THROWS_WITH(r.value(), "first");
  });
}

TEST_CASE("a child spawned into a cancelled group still runs up to its first leaf") {
  simulate([]() -> weir::task<> {
    int steps = 0;
    auto body = [&](weir::task_group& g) -> weir::task<int> {
      g.cancel();
      auto child = [&]() -> weir::task<> {
        ++steps;
        co_await weir::checkpoint();
        ++steps;
      };
      g.spawn(child);
      co_return 1;
    };
    const int value = co_await weir::with_task_group(body);
    CHECK(value == 1);
    CHECK(steps == 1);
  });
}

TEST_CASE("children may spawn siblings, even while the group is being joined or unwound") {
  simulate([]() -> weir::task<> {
    int ran = 0;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      std::function<weir::task<>(int)> chain = [&](int n) -> weir::task<> {
        ++ran;
        co_await weir::sleep_for(1us);
        if (n > 0) g.spawn(chain, n - 1);
      };
      g.spawn(chain, 99);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(ran == 100);

    int from_destructors = 0;
    auto stopped = [&](weir::task_group& g) -> weir::task<> {
      class spawns_when_it_dies {
       public:
        spawns_when_it_dies(weir::task_group& g, int& count) : group_(g), count_(count) {}
        spawns_when_it_dies(const spawns_when_it_dies&) = delete;
        spawns_when_it_dies& operator=(const spawns_when_it_dies&) = delete;
        ~spawns_when_it_dies() {
          auto child = [](int& count) -> weir::task<> {
            ++count;
            co_await weir::sleep_for(1h);
            ++count;
          };
          group_.spawn(child, std::ref(count_));
        }

       private:
        weir::task_group& group_;
        int& count_;
      };
      auto child = [&]() -> weir::task<> {
        spawns_when_it_dies s(g, from_destructors);
        co_await weir::sleep_for(1h);
      };
      g.spawn(child);
      g.spawn(child);
      co_await weir::sleep_for(1h);
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, weir::with_task_group(stopped)));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(from_destructors == 2);
  });
}

TEST_CASE("a body that is no coroutine may spawn, and may throw afterwards") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto plain = [&](weir::task_group& g) -> weir::task<int> {
      g.spawn(test::nap(1ms));
      return test::after(2ms, 3);
    };
    const int value = co_await weir::with_task_group(plain);
    CHECK(value == 3);
    auto throws = [&](weir::task_group& g) -> weir::task<int> {
      g.spawn(child_with, std::ref(seen), "child");
      throw std::runtime_error("no body");
    };
    const auto r = co_await weir::as_result(weir::with_task_group(throws));
    CHECK(test::unobserved::what(r.exception()) == "no body");
    std::string what;
    try {
      co_await weir::with_supervisor(throws);
    } catch (const std::exception& e) {
      what = e.what();
    }
    CHECK(what == "no body");
  });
  // They were stopped: under a token that is cancelled already a task still begins.
  CHECK(seen == test::log{"child!", "child!"});
}

TEST_CASE("join() can be repeated, is stopped with the group, and completes at once when nobody is left") {
  simulate([]() -> weir::task<> {
    auto body = [](weir::task_group& g) -> weir::task<> {
      co_await g.join();
      g.spawn(test::nap(1ms));
      co_await g.join();
      CHECK(g.size() == 0);
      g.spawn(test::nap(1ms));
      const auto r = co_await weir::as_result(weir::with_timeout(10us, g.join()));
      CHECK(r.error() == std::errc::timed_out);
      CHECK(g.size() == 1);
      co_await g.join();
      CHECK(weir::now() == weir::time_point() + 2ms);
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("a supervisor: a failed child ends alone, is counted, and is reported where nobody joins") {
  test::unobserved errors;
  test::simulate_reporting([]() -> weir::task<> {
    auto body = [](weir::task_group& g) -> weir::task<int> {
      g.spawn(test::fail_after(1ms, "unjoined"));
      auto joined = g.spawn(test::fail_after(2ms, "joined"));
      auto sibling = g.spawn(test::after(3ms, 7));
      const auto r = co_await weir::as_result(joined.join());
      CHECK(test::unobserved::what(r.exception()) == "joined");
      const int value = co_await sibling.join();
      CHECK(g.failures() == 2);
      CHECK(!g.token().is_cancellation_requested());
      co_return value;
    };
    const int value = co_await weir::with_supervisor(body);
    CHECK(value == 7);
  });
  CHECK(errors.take() == test::log{"unjoined"});
}

TEST_CASE("a supervisor's failed body cancels the children, joins them and is rethrown") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(child_with, std::ref(seen), "child");
      co_await weir::sleep_for(1ms);
      throw std::runtime_error("body");
    };
    const auto r = co_await weir::as_result(weir::with_supervisor(body));
    seen.push_back(test::unobserved::what(r.exception()));
  });
  CHECK(seen == test::log{"child!", "body"});
}

TEST_CASE("the group lives in its awaiter: the functor given to it lives until all is joined") {
  simulate([]() -> weir::task<> {
    auto shared = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = shared;
    auto body = [held = std::move(shared)](weir::task_group& g) -> weir::task<> {
      const int* raw = held.get();
      auto child = [raw]() -> weir::task<> {
        co_await weir::sleep_for(1ms);
        CHECK(*raw == 1);
      };
      g.spawn(child);
      co_return;
    };
    co_await weir::with_task_group(TEST_MOVE_CALLABLE(body));
    CHECK(watch.expired() == !WEIR_DETAIL_FRAGILE_TEMPORARIES);  // lent, not given, where it cannot be moved
  });
}

TEST_CASE("groups nested 10,000 deep are stopped, and all that was made is destroyed") {
  const int depth = test::scaled(10'000, 3'000);
  simulate([&]() -> weir::task<> {
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, nested_groups(depth)));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("100,000 children end, fail or are stopped") {
  const int children = test::scaled(100'000, 10'000);
  for (int kind = 0; kind < 3; ++kind) {
    simulate([&]() -> weir::task<> {
      auto body = [&](weir::task_group& g) -> weir::task<> {
        auto child = [&](int i) -> weir::task<> {
          const test::counted guard;
          const std::chrono::microseconds length = kind == 0 ? i * 1us : 1h;
          co_await weir::sleep_for(length);
        };
        for (int i = 0; i < children; ++i) g.spawn(child, i);
        co_await weir::sleep_for(1ms);
        if (kind == 1) throw std::runtime_error("body");
        if (kind == 2) g.cancel();
        co_await g.join();
      };
      const auto r = co_await weir::as_result(weir::with_task_group(body));
      CHECK(r.has_value() == (kind == 0));
      CHECK(r.is_cancelled() == (kind == 2));
      CHECK(test::counted::alive == 0);
    });
  }
}
