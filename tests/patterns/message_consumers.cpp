#include <weir/patterns/actor.hpp>
#include <weir/patterns/topics.hpp>

#include "support.hpp"

#include <deque>
#include <map>

// Consumers of message queues, as the clouds' clients have them. The queue is a stand-in: in memory, and in this file.

using test::at;
using test::simulate;

namespace {

/// Hands out messages, which stay invisible to others for a while, and come back unless they are deleted by then.
class leased_queue {
 public:
  struct message {
    int id = 0;
    int attempt = 0;
  };

  explicit leased_queue(weir::duration invisible) : invisible_(invisible) {}
  void put(int id) {
    ready_.push_back({.id = id, .attempt = 1});
    arrived_.release();
  }
  /// A message, or nothing when none has come within `longest`: a long poll.
  weir::task<std::optional<message>> receive(weir::duration longest) {
    const weir::time_point until = weir::now() + longest;
    for (;;) {
      return_expired();
      const weir::time_point next = leases_.empty() ? until : std::min(until, leases_.front().second);
      auto chosen = co_await weir::select_ordered(arrived_.acquire(), weir::sleep_until(next));
      if (chosen.index() == 0) {
        auto permit = std::move(chosen).get<0>();
        permit.forget();
        break;
      }
      if (next == until) co_return std::nullopt;
    }
    const message m = ready_.front();
    ready_.pop_front();
    leases_.emplace_back(m, weir::now() + invisible_);
    co_return m;
  }
  /// Done with it: it does not come again.
  void ack(const message& m) { end(m); }
  /// Not done: somebody else may have it at once.
  void nack(const message& m) {
    if (end(m)) give_back(m);
  }
  [[nodiscard]] std::size_t ready() const { return ready_.size(); }
  [[nodiscard]] std::size_t leased() const { return leases_.size(); }

 private:
  bool end(const message& m) {
    return std::erase_if(leases_, [&](const auto& l) { return l.first.id == m.id && l.first.attempt == m.attempt; }) !=
           0;
  }
  void give_back(message m) {
    ++m.attempt;
    ready_.push_back(m);
    arrived_.release();
  }
  void return_expired() {
    while (!leases_.empty() && leases_.front().second <= weir::now()) {
      const message m = leases_.front().first;
      leases_.pop_front();
      give_back(m);
    }
  }

  weir::duration invisible_;
  weir::semaphore arrived_{0};
  std::deque<message> ready_;
  std::deque<std::pair<message, weir::time_point>> leases_;
};

}  // namespace

TEST_CASE("long poll: waits up to 20 s; a message is invisible for 300 s, deleted after success, or returns (S158)") {
  simulate([]() -> weir::task<> {
    leased_queue queue(300s);
    const auto nothing = co_await queue.receive(20s);
    CHECK(!nothing);
    CHECK(weir::now() == at(20s));
    auto consumer = [&]() -> weir::task<> {
      const auto first = co_await queue.receive(20s);  // comes at 25 s
      CHECK(weir::now() == at(25s));
      CHECK(first->attempt == 1);
      const auto hidden = co_await queue.receive(20s);
      CHECK(!hidden);  // it has not been deleted, but nobody sees it
      const auto again = co_await queue.receive(300s);
      CHECK(weir::now() == at(325s));
      CHECK(again->id == first->id);
      CHECK(again->attempt == 2);
      queue.ack(*first);  // too late
      CHECK(queue.leased() == 1);
      queue.ack(*again);
      const auto gone = co_await queue.receive(400s);
      CHECK(!gone);
    };
    auto producer = [&]() -> weir::task<> {
      co_await weir::sleep_for(5s);
      queue.put(7);
    };
    co_await weir::when_all(consumer(), producer());
  });
}

TEST_CASE("callback consumer: 10 handlers, at most 100 messages unacknowledged, ack or nack for each (S159)") {
  simulate([]() -> weir::task<> {
    leased_queue queue(300s);
    for (int i = 0; i < 500; ++i) queue.put(i);
    weir::semaphore outstanding(100);
    weir::semaphore handlers(10);
    std::size_t most_leased = 0;
    int at_once = 0, most_at_once = 0, done = 0, nacks = 0;
    auto handle = [&](leased_queue::message m, weir::semaphore_permit counted) -> weir::task<> {
      auto turn = co_await handlers.acquire();
      most_at_once = std::max(most_at_once, ++at_once);
      co_await weir::sleep_for(10ms);
      --at_once;
      if (m.id % 10 == 0 && m.attempt == 1) {
        ++nacks;
        queue.nack(m);
      } else {
        ++done;
        queue.ack(m);
      }
      counted.release();
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (;;) {
        auto permit = co_await outstanding.acquire();
        auto m = co_await queue.receive(1s);
        if (!m) break;
        group.spawn(handle, *m, std::move(permit));
        most_leased = std::max(most_leased, queue.leased());
      }
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(most_leased == 100);
    CHECK(most_at_once == 10);
    CHECK(nacks == 50);
    CHECK(done == 500);
    CHECK(queue.ready() + queue.leased() == 0);
  });
}

TEST_CASE("receive, complete or abandon: one message at a time, until it is cancelled (S160)") {
  simulate([]() -> weir::task<> {
    leased_queue queue(60s);
    for (int i = 0; i < 10; ++i) queue.put(i);
    std::vector<int> completed;
    int abandoned = 0;
    auto handle = [](const leased_queue::message& m) -> weir::task<> {
      const bool breaks = m.id == 3 && m.attempt < 3;
      co_await weir::sleep_for(1s);
      if (breaks) throw std::runtime_error("broken");
    };
    auto consumer = [&]() -> weir::task<> {
      for (;;) {
        const auto m = co_await queue.receive(20s);
        if (!m) continue;
        const auto ended = co_await weir::as_result(handle(*m));
        if (ended) {
          queue.ack(*m);
          completed.push_back(m->id);
        } else {
          queue.nack(*m);
          ++abandoned;
        }
      }
    };
    weir::cancellation_source stop;
    auto stops = [&]() -> weir::task<> {
      co_await weir::sleep_for(100s);
      stop.request_cancellation();
    };
    auto runs = [&]() -> weir::task<> {
      const auto ended = co_await weir::as_result(weir::with_cancellation(stop.token(), consumer()));
      CHECK(ended.is_cancelled());
    };
    co_await weir::when_all(runs(), stops());
    CHECK(weir::now() == at(100s));
    CHECK(abandoned == 2);
    CHECK(completed == std::vector{0, 1, 2, 4, 5, 6, 7, 8, 9, 3});
  });
}

// ---- how such systems are tested: no test sleeps to let something happen

namespace {

struct job {
  std::string type;
  int number = 0;
};

/// What a worker knows to do.
long handle(const job& j) {
  if (j.type == "square") return static_cast<long>(j.number) * j.number;
  if (j.type == "negate") return -j.number;
  throw std::invalid_argument("unknown task type \"" + j.type + "\"");
}

}  // namespace

TEST_CASE("a worker's tests: a table of cases, unknown types are errors, and what was published is seen (S137, P71)") {
  struct row {
    job given;
    long expected;
    const char* error;
  };
  const std::vector<row> table = {{{"square", 7}, 49, ""},
                                  {{"square", 0}, 0, ""},
                                  {{"negate", 5}, -5, ""},
                                  {{"mail", 1}, 0, "unknown task type \"mail\""},
                                  {{"", 1}, 0, "unknown task type \"\""}};
  simulate([&]() -> weir::task<> {
    weir::actor<int> worker(0);
    for (const row& r : table) {
      CAPTURE(r.given.type);
      auto work = [&r](int& done) {
        ++done;
        return handle(r.given);
      };
      auto ended = co_await weir::as_result(worker.ask(work));
      CHECK(bool(ended) == (*r.error == '\0'));
      if (ended) {
        CHECK(*ended == r.expected);
      } else {
        CHECK(test::unobserved::what(ended.exception()) == r.error);
      }
    }
    co_await worker.shutdown(weir::shutdown_mode::drain, 1s);
    CHECK(worker.counters().handled == 3);
    CHECK(worker.counters().failed == 2);
    CHECK(weir::now() == at(0s));  // nobody slept
  });
}

TEST_CASE("a worker's load test: 10,000 tasks from 100 publishers, all are processed (S137)") {
  const auto main = []() -> weir::task<> {
    weir::actor<long> worker(0L, {.mailbox = 64});
    auto publisher = [&](int first) -> weir::task<> {
      for (int i = first; i < first + 100; ++i) {
        auto work = [i](long& sum) { sum += i; };
        const bool sent = co_await worker.tell(work);
        if (!sent) FAIL("it was refused");
      }
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int p = 0; p < 100; ++p) group.spawn(publisher, p * 100);
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    const long sum = co_await worker.ask([](const long& n) { return n; });
    CHECK(sum == 10'000L * 9'999 / 2);
    co_await worker.shutdown(weir::shutdown_mode::drain);
    CHECK(worker.counters().handled == 10'001);
  };
  for (const unsigned workers : {1u, 2u}) weir::run(main(), {.workers = workers});
}
