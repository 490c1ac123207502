#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <weir/io/tls.hpp>

#include "../io/contract_rows.hpp"
#include "../io/guarded_buffer.hpp"
#include "../io/scenes.hpp"
#include "../io/sockets.hpp"
#include "authority.hpp"
#include "tls_ends.hpp"

using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::task_group;
using weir::with_cancellation;
using weir::with_task_group;
using weir::detail::tls_step;

namespace test {

namespace {

/// The server at the other end: weir's engine over a plain socket, which any thread may drive. Nothing here waits.
class driven_server {
 public:
  explicit driven_server(plain_socket socket) : socket_(std::move(socket)) {}

  /// Takes what has come, up to `most` bytes of it, and answers.
  void step(std::size_t most = 100'000) {
    while (most != 0) {
      const std::span<std::byte> room = engine_.room();
      const ssize_t n = socket_.receive(room.first(std::min(room.size(), most)), 0);
      if (n < 0) break;
      engine_.filled(static_cast<std::size_t>(n));
      most -= static_cast<std::size_t>(n);
      take();
      if (n == 0) break;
    }
    send_output();
  }
  /// As bytes for the wire.
  std::string sealed(std::span<const std::byte> bytes) {
    std::size_t moved = 0;
    CHECK(engine_.write(bytes, moved) == tls_step::done);
    CHECK(moved == bytes.size());
    return output();
  }
  void send(std::string_view sealed) const { socket_.send(bytes_of(sealed)); }
  void finish() {
    CHECK(engine_.finish() == tls_step::done);
    send_output();
  }
  [[nodiscard]] bool established() const { return engine_.established(); }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] const std::string& received() const { return received_; }

 private:
  void take() {
    if (engine_.handshake() != tls_step::done) return;
    for (;;) {
      std::array<std::byte, 4096> bytes{};
      std::size_t moved = 0;
      if (engine_.read(bytes, moved) != tls_step::done) return;
      if (moved == 0) {
        ended_ = true;
        return;
      }
      received_.append(reinterpret_cast<const char*>(bytes.data()), moved);
    }
  }
  std::string output() {
    std::string all;
    for (;;) {
      const std::span<const std::byte> next = engine_.output();
      if (next.empty()) return all;
      all.append(reinterpret_cast<const char*>(next.data()), next.size());
      engine_.taken(next.size());
    }
  }
  void send_output() {
    const std::string bytes = output();
    if (!bytes.empty()) send(bytes);
  }

  plain_socket socket_;
  weir::detail::tls_engine engine_{server_context(), {}};
  std::string received_;
  bool ended_ = false;
};

/// Awaits `op` while the server does its part.
template <class Op>
task<> driven(Op op, driven_server& server) {
  const auto body = [&](task_group& group) -> task<> {
    auto running = group.spawn(std::move(op));
    while (!running.done()) {
      server.step();
      co_await weir::yield();
    }
  };
  co_await with_task_group(body);
}

/// A client over a socket that takes little at once.
class scene_of_tls : public scene {
 public:
  void pump() override { server_.step(); }
  void trigger() override { pump(); }

 protected:
  task<> connect() {
    co_await driven(stream_.handshake(), server_);
    while (!server_.established()) {
      server_.step();
      co_await weir::yield();
    }
  }
  /// Both say good-bye, and each has had all that the other said.
  task<> say_goodbye() {
    co_await driven(stream_.finish(), server_);
    for (int i = 0; i < 1'000'000 && !server_.ended(); ++i) {
      server_.step();
      co_await weir::yield();
    }
    expect(server_.ended(), "the server has not heard the farewell");
  }

  static std::pair<weir::unix_stream, weir::unix_stream> small_pair() {
    auto made = weir::unix_stream::pair();
    made.first.set_send_buffer(4096);
    return made;
  }

  std::pair<weir::unix_stream, weir::unix_stream> sockets_ = small_pair();
  driven_server server_{plain_socket(sockets_.second.release())};
  weir::tls_stream<weir::unix_stream&> stream_{client_context(), sockets_.first, "server.test"};
};

class shaking_hands final : public scene_of_tls {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, stream_.handshake()));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    if (!completed) co_await connect();
    expect(stream_.version() == "TLSv1.3", "there was no handshake");
    co_await driven(stream_.write_all(bytes_of("hello")), server_);
    co_await say_goodbye();
    expect(server_.received() == "hello", "what was said is not what came");
  }
};

/// `parts`: the record comes in two, one of them before the read.
class reading final : public scene_of_tls {
 public:
  explicit reading(bool parts) : parts_(parts) {}
  task<> open() override {
    co_await connect();
    fill_pattern(sent_);
    sealed_ = server_.sealed(sent_);
    at_ = parts_ ? sealed_.size() / 2 : 0;
    server_.send(sealed_.substr(0, at_));
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, stream_.read_some(wanted_)));
    if (!completed(r)) co_return false;
    taken_ = *r;
    expect(taken_ >= 1 && is_pattern(wanted_.first(taken_)), "it read something else");
    co_return true;
  }
  void trigger() override { server_.send(sealed_.substr(at_)); }
  void pump() override {}
  task<> settle(bool /*completed*/) override {
    guarded_buffer rest(sent_.size() - taken_);
    auto r = co_await as_result(weir::with_timeout(5s, weir::read_exactly(stream_, rest)));
    expect(r.has_value() && is_pattern(rest, taken_), "bytes were lost");
  }

 private:
  const bool parts_;
  guarded_buffer sent_{100};
  guarded_buffer wanted_{64};
  std::string sealed_;
  std::size_t at_ = 0;
  std::size_t taken_ = 0;
};

class writing : public scene_of_tls {
 public:
  task<> open() override {
    co_await connect();
    fill_pattern(bytes_);
  }
  task<> settle(bool /*completed*/) override {
    co_await say_goodbye();
    const std::string& got = server_.received();
    expect(got.size() == before_ + moved(), "another number of bytes came than was taken");
    expect(is_pattern(bytes_of(got)), "something else came");
  }

 protected:
  [[nodiscard]] virtual std::size_t moved() const { return moved_; }
  /// A write that is stopped, and leaves bytes behind.
  task<> leave_bytes_behind() {
    weir::cancellation_source enough;
    const auto body = [&](task_group& group) -> task<> {
      const auto writes = [&]() -> task<> {
        auto r = co_await as_result(with_cancellation(enough.token(), stream_.write_all(bytes_)));
        expect(r.is_cancelled(), "the socket takes more than it should");
      };
      group.spawn(writes());
      co_await settle_down(yields_per_turn);
      enough.request_cancellation();
      co_await group.join();
    };
    co_await with_task_group(body);
    before_ = stream_.bytes_written();
  }

  guarded_buffer bytes_{std::size_t{1} << 18};
  std::size_t before_ = 0;  // taken without the operation
  std::size_t moved_ = 0;
};

/// What it takes may wait in the stream: being stopped then completes it.
class writing_some final : public writing {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, stream_.write_some(bytes_)));
    if (!completed(r)) co_return false;
    moved_ = *r;
    expect(moved_ >= 1, "it completed without a byte");
    co_return true;
  }
};

enum class behind : std::uint8_t { write_some, finish, shutdown };

/// Behind bytes that a stopped write has left.
class waiting_behind final : public writing {
 public:
  explicit waiting_behind(behind form) : form_(form) {}
  task<> open() override {
    co_await writing::open();
    co_await leave_bytes_behind();
  }
  task<bool> attempt(cancellation_token token) override {
    if (form_ == behind::write_some) {
      auto r = co_await as_result(with_cancellation(token, stream_.write_some(bytes_.last_from(before_))));
      if (!completed(r)) co_return false;
      moved_ = *r;
      expect(moved_ >= 1, "it completed without a byte");
    } else if (form_ == behind::finish) {
      auto r = co_await as_result(with_cancellation(token, stream_.finish()));
      if (!completed(r)) co_return false;
    } else {
      auto r = co_await as_result(with_cancellation(token, stream_.shutdown()));
      if (!completed(r)) co_return false;
    }
    co_return true;
  }
  void pump() override {
    server_.step();
    if (form_ == behind::shutdown && server_.ended() && !std::exchange(finished_, true)) server_.finish();
  }

 private:
  const behind form_;
  bool finished_ = false;
};

class writing_all final : public writing {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, stream_.write_all(bytes_)));
    co_return completed(r);
  }

 private:
  [[nodiscard]] std::size_t moved() const override { return stream_.bytes_written(); }
};

class connecting final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    const weir::tls_context context = weir::tls_context::client(
        common_authority().roots(), {.accept_any_certificate_without_knowing_who_is_at_the_other_end = true});
    auto r =
        co_await as_result(with_cancellation(token, weir::tls_connect(context, "127.0.0.1", listener_.local().port())));
    if (!completed(r)) co_return false;
    stream_ = std::move(*r);
    co_return true;
  }
  void trigger() override { pump(); }
  void pump() override {
    if (!server_ && listener_.readable(0)) server_ = std::make_unique<driven_server>(listener_.accept());
    if (server_) server_->step();
  }
  task<> settle(bool completed) override {
    if (completed) {
      co_await driven(stream_.write_all(bytes_of("hello")), *server_);
      co_await driven(stream_.finish(), *server_);
      for (int i = 0; i < 1'000'000 && !server_->ended(); ++i) {
        server_->step();
        co_await weir::yield();
      }
      expect(server_->received() == "hello", "the connection is a wrong one");
      stream_.transport().set_linger(std::chrono::seconds(0));
    }
    while (listener_.readable(0)) {
      const plain_socket peer = listener_.accept();
      expect(!completed, "there is a second connection");
      std::array<std::byte, 4096> hello{};
      while (peer.receive(hello) > 0) continue;
      expect(peer.at_end(), "a connection was left behind");
    }
  }

 private:
  plain_socket listener_ = plain_socket::listening();
  std::unique_ptr<driven_server> server_;
  weir::tls_stream<weir::tcp_stream> stream_;
};

constexpr const char* write_row = "`tls_stream::write_some`";
constexpr const char* end_row = "`tls_stream::finish()`, `shutdown()`";

// Making a connection takes a millisecond, so most are tried less often.
constexpr std::array kinds = {
    kind_of_operation{"`tls_stream::handshake()`", "tls_stream::handshake", make_scene<shaking_hands>, false, true},
    kind_of_operation{"`tls_stream::read_some`", "tls_stream::read_some", make_scene<reading, false>, false, true},
    kind_of_operation{"`tls_stream::read_some`", "tls_stream::read_some of a record in parts",
                      make_scene<reading, true>},
    kind_of_operation{write_row, "tls_stream::write_some", make_scene<writing_some>, false, true},
    kind_of_operation{write_row, "tls_stream::write_some behind others",
                      make_scene<waiting_behind, behind::write_some>},
    kind_of_operation{"`tls_stream::write_all`", "tls_stream::write_all", make_scene<writing_all>, false, true},
    kind_of_operation{end_row, "tls_stream::finish", make_scene<waiting_behind, behind::finish>, false, true},
    kind_of_operation{end_row, "tls_stream::shutdown", make_scene<waiting_behind, behind::shutdown>, false, true},
    kind_of_operation{"`tls_connect(context, host, service)`", "tls_connect", make_scene<connecting>, false, true},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_operations() { return kinds; }

}  // namespace test

TEST_CASE("tls contracts: each row of the table has a case, and each case a row") {
  test::expect_rows_held(test::rows_of_contracts(true), test::kinds_of_operations());
}
