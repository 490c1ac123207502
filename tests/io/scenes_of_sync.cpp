#include "scenes.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weir/patterns/collect.hpp>
#include <weir/patterns/for_each.hpp>
#include <weir/patterns/from.hpp>
#include <weir/patterns/transform.hpp>
#include <weir/sync/broadcast.hpp>
#include <weir/sync/channel.hpp>
#include <weir/sync/event.hpp>
#include <weir/sync/make_channel.hpp>
#include <weir/sync/select.hpp>

// Channels, select, and pipelines between them. What another one does for an operation, it tries until that is done.

using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::with_cancellation;

namespace test {
namespace {

using item = std::unique_ptr<int>;

/// With an item in the channel already, if it has room for one; what a sender waits for.
class sending_an_item : public scene {
 public:
  explicit sending_an_item(std::size_t capacity) : items_(capacity) {}
  task<> open() override {
    if (items_.capacity() != 0) expect(items_.try_send(std::make_unique<int>(1)), "there is no room");
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, items_.send(std::move(mine_))));
    if (!completed(r)) co_return false;
    expect(*r, "it was refused");
    co_return true;
  }
  void trigger() override { pump(); }
  void pump() override {
    if (!taken_) taken_ = items_.try_receive();
  }
  task<> settle(bool completed) override {
    expect(completed == !mine_, "the item was sent and is still here, or neither");
    std::size_t sent = items_.capacity() == 0 && taken_ ? 1 : 0;
    while (const auto left = items_.try_receive()) {
      expect(**left == 2, "another item came");
      ++sent;
    }
    expect(sent == (completed ? 1 : 0), "the item was lost, or is there twice");
    co_return;
  }

 private:
  weir::channel<item> items_;
  item mine_ = std::make_unique<int>(2);
  std::optional<item> taken_;
};

class receiving_an_item final : public scene {
 public:
  explicit receiving_an_item(std::size_t capacity) : items_(capacity) {}
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, items_.receive()));
    if (!completed(r)) co_return false;
    expect(*r && ***r == 2, "another item came");
    co_return true;
  }
  void trigger() override { pump(); }
  void pump() override {
    if (item_) sent_ = items_.try_send(std::move(item_)) || sent_;
  }
  task<> settle(bool completed) override {
    const auto left = items_.try_receive();
    expect(sent_ == !item_, "the item is with its sender and was sent, or neither");
    expect(sent_ == (completed || left), "the item was lost, or is there twice");
    co_return;
  }

 private:
  weir::channel<item> items_;
  item item_ = std::make_unique<int>(2);
  bool sent_ = false;
};

class reserving_room final : public scene {
 public:
  task<> open() override {
    expect(items_.try_send(1), "there is no room");
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, items_.reserve()));
    if (!completed(r)) co_return false;
    permit_.emplace(std::move(*r));
    expect(static_cast<bool>(*permit_), "it was refused");
    co_return true;
  }
  void trigger() override { expect(items_.try_receive() == 1, "another item came"); }
  task<> settle(bool completed) override {
    if (completed) {
      expect(!items_.try_send(2), "the room of a permit was given twice");
      permit_.reset();
    }
    expect(items_.try_send(3), "the room was lost");
    co_return;
  }

 private:
  weir::channel<int> items_{1};
  std::optional<weir::send_permit<int>> permit_;
};

enum class end_kind : std::uint8_t { send, reserve, receive };

/// Through an end: a receiver that waits, or a sender in front of a full channel.
class using_an_end final : public scene {
 public:
  explicit using_an_end(end_kind kind) : kind_(kind) {}
  task<> open() override {
    if (kind_ != end_kind::receive) expect(ends_.tx.try_send(1), "there is no room");
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    switch (kind_) {
      case end_kind::send: {
        auto r = co_await as_result(with_cancellation(token, ends_.tx.send(2)));
        co_return completed(r);
      }
      case end_kind::reserve: {
        auto r = co_await as_result(with_cancellation(token, ends_.tx.reserve()));
        if (!completed(r)) co_return false;
        r->send(2);
        co_return true;
      }
      case end_kind::receive: {
        auto r = co_await as_result(with_cancellation(token, ends_.rx.receive()));
        if (!completed(r)) co_return false;
        expect(*r == 1, "another item came");
        co_return true;
      }
    }
    co_return false;
  }
  void trigger() override {
    if (kind_ == end_kind::receive) {
      expect(ends_.tx.try_send(1), "there is no room");
    } else {
      expect(ends_.rx.try_receive() == 1, "another item came");
    }
  }
  task<> settle(bool completed) override {
    const auto left = ends_.rx.try_receive();
    if (kind_ == end_kind::receive) {
      expect(completed ? !left : left == 1, "the item was lost, or is there twice");
    } else {
      expect(completed ? left == 2 : !left, "the item was lost, or sent all the same");
    }
    co_return;
  }

 private:
  const end_kind kind_;
  weir::channel_ends<int> ends_ = weir::make_channel<int>(1);
};

/// To a subscriber who is waited for and has no room.
class sending_to_all final : public scene {
 public:
  task<> open() override {
    expect(items_.try_send("one"), "there is no room");
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, items_.send(std::move(mine_))));
    if (!completed(r)) co_return false;
    expect(*r, "it was refused");
    co_return true;
  }
  void trigger() override { expect(full_.try_receive() == "one", "another item came"); }
  task<> settle(bool completed) override {
    expect(completed || mine_ == "two", "an item was taken that was not sent");
    for (auto* subscriber : {&full_, &roomy_}) {
      std::size_t sent = 0;
      while (const auto received = subscriber->try_receive()) sent += *received == "two" ? 1 : 0;
      expect(sent == (completed ? 1 : 0), "the item was not sent to all or nobody, or is there twice");
    }
    expect(full_.missed() + roomy_.missed() == 0, "an item was lost");
    co_return;
  }

 private:
  weir::broadcast<std::string> items_{1, weir::slow_subscriber::wait};
  weir::broadcast_subscription<std::string> full_ = items_.subscribe();
  weir::broadcast_subscription<std::string> roomy_ = items_.subscribe(weir::slow_subscriber::skip, 4);
  std::string mine_ = "two";
};

class receiving_as_one_of_many final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, mine_.receive()));
    if (!completed(r)) co_return false;
    expect(*r == "one", "another item came");
    co_return true;
  }
  void trigger() override { expect(items_.try_send("one"), "somebody has no room"); }
  task<> settle(bool completed) override {
    expect(mine_.try_receive().has_value() == !completed, "the item was lost, or is there twice");
    expect(other_.try_receive() == "one", "the item of another one was lost");
    co_return;
  }

 private:
  weir::broadcast<std::string> items_{1};
  weir::broadcast_subscription<std::string> mine_ = items_.subscribe();
  weir::broadcast_subscription<std::string> other_ = items_.subscribe();
};

enum class case_kind : std::uint8_t { receive, send, reserve, event, sleep, tick };

/// One case of each kind, of which one can be had in the end.
class selecting final : public scene {
 public:
  explicit selecting(case_kind which, bool ordered) : which_(which), ordered_(ordered) {}
  [[nodiscard]] completion completes() const override {
    return timed() ? completion::by_itself : completion::when_triggered;
  }
  task<> open() override {
    expect(out_.try_send(std::make_unique<int>(1)) && room_.try_send(1), "there is no room");
    every_.emplace(timed() ? 50us : weir::duration(24h));
    first_ = co_await every_->tick();
    due_ = weir::now() + (which_ == case_kind::sleep ? 50us : weir::duration(24h));
    if (which_ == case_kind::sleep) every_.emplace(24h, weir::missed_ticks::burst, weir::now() + 24h);
  }
  task<bool> attempt(cancellation_token token) override {
    if (ordered_) {
      auto r = co_await as_result(
          with_cancellation(token, weir::select_ordered(in_.receive(), out_.send(std::move(mine_)), room_.reserve(),
                                                        event_.wait(), weir::sleep_until(due_), every_->tick())));
      co_return holds(r);
    }
    auto r = co_await as_result(
        with_cancellation(token, weir::select(in_.receive(), out_.send(std::move(mine_)), room_.reserve(),
                                              event_.wait(), weir::sleep_until(due_), every_->tick())));
    co_return holds(r);
  }
  void trigger() override {
    switch (which_) {
      case case_kind::receive:
        expect(in_.try_send(std::make_unique<int>(3)), "there is no room");
        break;
      case case_kind::send:
        expect(out_.try_receive().has_value(), "there is no item");
        break;
      case case_kind::reserve:
        expect(room_.try_receive() == 1, "another item came");
        break;
      case case_kind::event:
        event_.set();
        break;
      case case_kind::sleep:
      case case_kind::tick:
        break;
    }
  }
  task<> settle(bool completed) override {
    const auto chosen = [&](case_kind kind) { return completed && kind == which_; };
    const auto offered = [&](case_kind kind) { return !completed && kind == which_; };
    expect(in_.try_receive().has_value() == offered(case_kind::receive), "an item was lost, or is there twice");
    expect(!mine_ == chosen(case_kind::send), "an item was taken that was not sent, or sent and is still here");
    const auto sent = out_.try_receive();
    expect(sent.has_value() != offered(case_kind::send), "an item was lost, or sent all the same");
    expect(!sent || **sent == (chosen(case_kind::send) ? 2 : 1), "another item was sent");
    permit_.reset();
    const bool room = room_.try_send(2);
    expect(room == (which_ == case_kind::reserve), "room was taken, or lost");
    expect(event_.try_wait() == offered(case_kind::event), "a signal was used up, or is there twice");
    if (which_ == case_kind::tick) {
      const weir::time_point next = co_await every_->tick();
      expect(next == first_ + (completed ? 100us : 50us), "a tick was lost, or came twice");
    }
  }

 private:
  using outcome = weir::indexed_result<std::optional<item>, bool, weir::send_permit<int>, void, void, weir::time_point>;
  [[nodiscard]] bool timed() const { return which_ == case_kind::sleep || which_ == case_kind::tick; }
  bool holds(weir::result<outcome>& r) {
    if (!completed(r)) return false;
    expect(r->index() == static_cast<std::size_t>(which_), "another case was chosen");
    if (which_ == case_kind::reserve) permit_.emplace(std::move(*r).get<2>());
    return true;
  }

  const case_kind which_;
  const bool ordered_;
  weir::channel<item> in_{1};
  weir::channel<item> out_{1};
  weir::channel<int> room_{1};
  weir::event event_{weir::reset_mode::automatic};
  std::optional<weir::interval> every_;
  weir::time_point first_;
  weir::time_point due_;
  item mine_ = std::make_unique<int>(2);
  std::optional<weir::send_permit<int>> permit_;
};

/// The end of a task, or of a group's children.
class selecting_a_join final : public scene {
 public:
  explicit selecting_a_join(bool of_group) : of_group_(of_group) {}
  task<> open() override {
    auto child = [this]() -> task<int> {
      co_await gate_.wait();
      co_return 42;
    };
    if (!of_group_) child_ = weir::spawn(child);
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    if (!of_group_) {
      auto r = co_await as_result(with_cancellation(token, weir::select(nobody_.receive(), child_.join())));
      if (!completed(r)) co_return false;
      expect(r->index() == 1 && r->get<1>() == 42, "another value came");
      co_return true;
    }
    bool joined = false;
    auto body = [&](weir::task_group& group) -> task<> {
      auto child = [this]() -> task<> { co_await gate_.wait(); };
      group.spawn(child);
      auto r = co_await as_result(with_cancellation(token, weir::select(nobody_.receive(), group.join())));
      joined = completed(r);
      if (joined) expect(r->index() == 1 && group.size() == 0, "there is still a child");
      if (!joined) gate_.set();  // only the select was cancelled: the child has to end, too
    };
    co_await weir::with_task_group(body);
    co_return joined;
  }
  void trigger() override { gate_.set(); }
  task<> settle(bool completed) override {
    expect(!nobody_.try_send(1), "somebody is left waiting");
    if (of_group_ || completed) co_return;
    const int value = co_await child_.join();
    expect(value == 42, "another value came");
  }

 private:
  const bool of_group_;
  weir::event gate_;
  weir::channel<int> nobody_{0};
  weir::join_handle<int> child_;
};

enum class pipeline_end : std::uint8_t { for_each, collect, own };

/// From a channel, which is closed behind three items.
class running_a_pipeline final : public scene {
 public:
  explicit running_a_pipeline(pipeline_end end) : end_(end) {}
  task<bool> attempt(cancellation_token token) override {
    const auto through = [this](item i) {
      ++taken_;
      return i;
    };
    switch (end_) {
      case pipeline_end::for_each: {
        const auto note = [this](item i) -> task<> {
          const item mine = std::move(i);
          co_await weir::yield();
          arrived_ += *mine == 2 ? 1 : 100;
        };
        auto r = co_await as_result(
            with_cancellation(token, weir::from(items_) | weir::transform(through) | weir::for_each(note)));
        co_return completed(r);
      }
      case pipeline_end::collect: {
        auto r = co_await as_result(
            with_cancellation(token, weir::from(items_) | weir::transform(through, {.workers = 2}) | weir::collect()));
        if (!completed(r)) co_return false;
        arrived_ = static_cast<int>(r->size());
        co_return true;
      }
      case pipeline_end::own: {
        const auto count = [](weir::async_generator<item> in) -> task<int> {
          int n = 0;
          while (const auto i = co_await in.next()) ++n;
          co_return n;
        };
        auto r = co_await as_result(with_cancellation(token, weir::from(items_) | weir::transform(through) | count));
        if (!completed(r)) co_return false;
        arrived_ = *r;
        co_return true;
      }
    }
    co_return false;
  }
  void trigger() override {
    for (int i = 0; i < all_; ++i) expect(items_.try_send(std::make_unique<int>(2)), "there is no room");
    items_.close();
  }
  task<> settle(bool completed) override {
    int left = 0;
    while (const auto i = items_.try_receive()) ++left;
    expect(arrived_ <= taken_ && taken_ + left <= all_, "an item is there twice");
    if (completed) expect(arrived_ == all_, "it completed before every item was done with");
    // Without workers there is no queue between the channel and the first stage.
    if (end_ != pipeline_end::collect) expect(taken_ + left == all_, "an item was received and not looked at");
    co_return;
  }

 private:
  static constexpr int all_ = 5;
  const pipeline_end end_;
  weir::channel<item> items_{all_};
  std::atomic<int> taken_{0};
  std::atomic<int> arrived_{0};
};

constexpr const char* send_row = "`channel::send(item)`, `sender::send(item)`";
constexpr const char* receive_row = "`channel::receive()`, `receiver::receive()`";
constexpr const char* reserve_row = "`channel::reserve()`, `sender::reserve()`";
constexpr const char* select_row = "`select(ops...)`, `select_ordered`";

constexpr std::array kinds = {
    kind_of_operation{send_row, "channel::send", make_scene<sending_an_item, std::size_t{1}>, true},
    kind_of_operation{send_row, "channel::send, rendezvous", make_scene<sending_an_item, std::size_t{0}>, true},
    kind_of_operation{send_row, "sender::send", make_scene<using_an_end, end_kind::send>, true},
    kind_of_operation{receive_row, "channel::receive", make_scene<receiving_an_item, std::size_t{1}>, true},
    kind_of_operation{receive_row, "channel::receive, rendezvous", make_scene<receiving_an_item, std::size_t{0}>, true},
    kind_of_operation{receive_row, "receiver::receive", make_scene<using_an_end, end_kind::receive>, true},
    kind_of_operation{reserve_row, "channel::reserve", make_scene<reserving_room>, true},
    kind_of_operation{reserve_row, "sender::reserve", make_scene<using_an_end, end_kind::reserve>, true},
    kind_of_operation{"`broadcast::send(item)`", "broadcast::send", make_scene<sending_to_all>, true},
    kind_of_operation{"`broadcast_subscription::receive()`", "broadcast_subscription::receive",
                      make_scene<receiving_as_one_of_many>, true},
    kind_of_operation{select_row, "select, a receive", make_scene<selecting, case_kind::receive, false>, true},
    kind_of_operation{select_row, "select, a send", make_scene<selecting, case_kind::send, false>, true},
    kind_of_operation{select_row, "select, a permit", make_scene<selecting, case_kind::reserve, false>, true},
    kind_of_operation{select_row, "select, an event", make_scene<selecting, case_kind::event, false>, true},
    kind_of_operation{select_row, "select, a sleep", make_scene<selecting, case_kind::sleep, false>, true},
    kind_of_operation{select_row, "select, a tick", make_scene<selecting, case_kind::tick, false>, true},
    kind_of_operation{select_row, "select, a join", make_scene<selecting_a_join, false>, true},
    kind_of_operation{select_row, "select, a group's join", make_scene<selecting_a_join, true>, true},
    kind_of_operation{select_row, "select_ordered, a receive", make_scene<selecting, case_kind::receive, true>, true},
    kind_of_operation{select_row, "select_ordered, a send", make_scene<selecting, case_kind::send, true>, true},
    kind_of_operation{"`from(...)`, stages, `for_each(f)`", "a pipeline with for_each",
                      make_scene<running_a_pipeline, pipeline_end::for_each>, true},
    kind_of_operation{"the same with `collect()`", "a pipeline with collect",
                      make_scene<running_a_pipeline, pipeline_end::collect>, true},
    kind_of_operation{"the same with an end of one's own", "a pipeline with an end of one's own",
                      make_scene<running_a_pipeline, pipeline_end::own>, true},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_sync() { return kinds; }

}  // namespace test
