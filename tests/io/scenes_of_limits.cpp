#include "scenes.hpp"

#include <array>
#include <string>
#include <utility>

#include <weir/sync/concurrency_limiter.hpp>
#include <weir/sync/keyed_limiter.hpp>
#include <weir/sync/limiter_hierarchy.hpp>
#include <weir/sync/rate_limiter.hpp>

// Limiters. One token is there, and somebody before has reserved two, for in an hour.

using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::with_cancellation;

namespace test {
namespace {

weir::rate_limiter slow() { return weir::rate_limiter(1, std::chrono::hours(1), 2, 1); }

class acquiring_tokens final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, limiter_.acquire()));
    co_return completed(r);
  }
  void trigger() override { before_.cancel(); }
  task<> settle(bool completed) override {
    expect(limiter_.available() == (completed ? 0 : 1), "a token was taken, or lost");
    co_return;
  }

 private:
  weir::rate_limiter limiter_ = slow();
  weir::limiter_reservation before_ = limiter_.reserve(2);
};

class acquiring_by_key final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, users_.acquire("alice")));
    co_return completed(r);
  }
  void trigger() override { before_.cancel(); }
  task<> settle(bool completed) override {
    expect(users_.at("alice")->available() == (completed ? 0 : 1), "a token was taken, or lost");
    co_return;
  }

 private:
  weir::keyed_limiter<std::string, weir::rate_limiter> users_{slow};
  weir::keyed_limiter<std::string, weir::rate_limiter>::handle alice_ = users_.at("alice");
  weir::limiter_reservation before_ = alice_->reserve(2);
};

class acquiring_at_all_levels final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    const weir::limiter_hierarchy levels(wide_, narrow_);
    auto r = co_await as_result(with_cancellation(token, levels.acquire()));
    co_return completed(r);
  }
  void trigger() override { before_.cancel(); }
  task<> settle(bool completed) override {
    expect(wide_.available() == (completed ? 0 : 1), "a token of the wide one was taken, or lost");
    expect(narrow_.available() == (completed ? 0 : 1), "a token of the narrow one was not given back, or lost");
    co_return;
  }

 private:
  weir::rate_limiter wide_ = slow();
  weir::rate_limiter narrow_ = slow();
  weir::limiter_reservation before_ = wide_.reserve(2);
};

class acquiring_a_place final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, limiter_.acquire()));
    if (!completed(r)) co_return false;
    permit_ = std::move(*r);
    co_return true;
  }
  void trigger() override { held_.release(); }
  task<> settle(bool completed) override {
    expect(limiter_.in_flight() == (completed ? 1 : 0), "a place was taken, or lost");
    permit_.release();
    expect(limiter_.in_flight() == 0, "a place was lost");
    co_return;
  }

 private:
  weir::concurrency_limiter limiter_{{.initial = 1, .most = 1}};
  weir::concurrency_permit held_ = limiter_.try_acquire();
  weir::concurrency_permit permit_;
};

constexpr std::array kinds = {
    kind_of_operation{"`limiter::acquire(n)`", "rate_limiter::acquire", make_scene<acquiring_tokens>, true},
    kind_of_operation{"`keyed_limiter::acquire(key, n)`", "keyed_limiter::acquire", make_scene<acquiring_by_key>, true},
    kind_of_operation{"`limiter_hierarchy::acquire(n)`", "limiter_hierarchy::acquire",
                      make_scene<acquiring_at_all_levels>, true},
    kind_of_operation{"`concurrency_limiter::acquire()`", "concurrency_limiter::acquire", make_scene<acquiring_a_place>,
                      true},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_limits() { return kinds; }

}  // namespace test
