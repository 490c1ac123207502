#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include <weir/io/split.hpp>
#include <weir/io/unix_messages.hpp>

#include "guarded_buffer.hpp"
#include "scenes.hpp"

namespace test {

namespace {

using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::unix_datagram_socket;
using weir::unix_endpoint;
using weir::unix_listener;
using weir::unix_seqpacket;
using weir::unix_stream;
using weir::with_cancellation;

/// Nothing is there to be taken.
bool is_empty(int number) {
  std::byte one{};
  return ::recv(number, &one, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

class accepting_unix final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, listener_.accept()));
    co_return completed(r);
  }
  void trigger() override {
    std::array<std::byte, 128> address{};
    const auto size = static_cast<socklen_t>(listener_.local_endpoint().to_native(address.data()));
    expect(::connect(client_.number(), reinterpret_cast<const sockaddr*>(address.data()), size) == 0,
           "the test's own connect");
  }
  task<> settle(bool completed) override {
    if (!completed) {
      auto r = co_await as_result(weir::with_timeout(5s, listener_.accept()));
      expect(r.has_value(), "the connection was lost");
    }
    expect(::accept(listener_.native_handle(), nullptr, nullptr) < 0, "there is a second connection");
  }

 private:
  unix_listener listener_ = unix_listener::bind(unix_endpoint::any());
  weir::unique_descriptor client_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
};

class connecting_unix final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, unix_stream::connect(listener_.local_endpoint())));
    if (!completed(r)) co_return false;
    stream_ = std::move(*r);
    co_return true;
  }
  task<> settle(bool completed) override {
    const int peer = ::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    std::byte one{};
    if (completed) expect(peer >= 0 && is_empty(peer), "it is not connected");
    // A connection that nobody wanted any more has been closed.
    if (!completed && peer >= 0) expect(::recv(peer, &one, 1, 0) == 0, "a connection was left behind");
    if (peer >= 0) ::close(peer);
    co_return;
  }

 private:
  unix_listener listener_ = unix_listener::bind(unix_endpoint::any());
  unix_stream stream_;
};

/// Of a stream, or of its half.
template <bool split>
class reading_unix final : public scene {
 public:
  task<> open() override {
    auto ends = unix_stream::pair();
    peer_ = std::move(ends.second);
    if constexpr (split) {
      auto halves = weir::split(std::move(ends.first));
      reader_ = std::move(halves.first);
      writer_ = std::move(halves.second);
    } else {
      reader_ = std::move(ends.first);
    }
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, reader_.read_some(into_)));
    if (!completed(r)) co_return false;
    expect(*r == into_.size(), "it read too little");
    co_return true;
  }
  void trigger() override {
    guarded_buffer sent(into_.size());
    fill_pattern(sent);
    expect(::send(peer_.native_handle(), sent.data(), sent.size(), 0) == 64, "the test's own send");
  }
  task<> settle(bool completed) override {
    if (!completed) co_await weir::with_timeout(5s, reader_.read_exactly(into_));
    expect(is_pattern(into_), "it read something else");
    expect(::recv(peer_.native_handle(), into_.data(), 1, MSG_DONTWAIT) < 0, "the stream was closed");
  }

 private:
  std::conditional_t<split, weir::read_half<unix_stream>, unix_stream> reader_;
  weir::write_half<unix_stream> writer_;
  unix_stream peer_;
  guarded_buffer into_{64};
};

template <class Socket>
class receiving_a_message final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, ends_.first.receive(into_)));
    if (!completed(r)) co_return false;
    expect(is_pattern(into_), "it received something else");
    co_return true;
  }
  void trigger() override {
    guarded_buffer sent(into_.size());
    fill_pattern(sent);
    expect(::send(ends_.second.native_handle(), sent.data(), sent.size(), 0) == 64, "the test's own send");
  }
  task<> settle(bool completed) override {
    if (!completed) {
      auto r = co_await as_result(weir::with_timeout(5s, ends_.first.receive(into_)));
      expect(r.has_value() && is_pattern(into_), "the message was lost");
    }
    expect(is_empty(ends_.first.native_handle()), "there is a second one");
  }

 private:
  std::pair<Socket, Socket> ends_ = Socket::pair();
  guarded_buffer into_{64};
};

/// What was sent has to be there, and nothing else.
class sending_a_message : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<> settle(bool completed) override {
    expect(is_empty(to_.native_handle()) != completed, "it was sent, or not, against what it says");
    co_return;
  }

 protected:
  unix_datagram_socket to_ = unix_datagram_socket::bind(unix_endpoint::any());
  unix_datagram_socket from_ = unix_datagram_socket::connect(to_.local_endpoint());
  guarded_buffer bytes_{64};
};

class sending_connected final : public sending_a_message {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, from_.send(bytes_)));
    co_return completed(r);
  }
};

class sending_to final : public sending_a_message {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, from_.send_to(bytes_, to_.local_endpoint())));
    co_return completed(r);
  }
};

class receiving_descriptors final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, ends_.first.receive_descriptors(into_)));
    if (!completed(r)) co_return false;
    expect(r->descriptors.size() == 1, "the descriptor did not come");
    co_return true;
  }
  void trigger() override {
    char byte = 'x';
    iovec part{.iov_base = &byte, .iov_len = 1};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr& rights = *CMSG_FIRSTHDR(&message);
    rights = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    const int number = ends_.second.native_handle();
    std::memcpy(CMSG_DATA(&rights), &number, sizeof number);
    expect(::sendmsg(number, &message, 0) == 1, "the test's own sendmsg");
  }
  task<> settle(bool completed) override {
    if (completed) co_return;
    auto r = co_await as_result(weir::with_timeout(5s, ends_.first.receive_descriptors(into_)));
    expect(r.has_value() && r->descriptors.size() == 1, "the descriptor was lost");
  }

 private:
  std::pair<unix_stream, unix_stream> ends_ = unix_stream::pair();
  guarded_buffer into_{8};
};

class sending_descriptors final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    const std::array<int, 1> number = {ends_.first.native_handle()};
    auto r = co_await as_result(with_cancellation(token, ends_.first.send_descriptors(bytes_, number)));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    expect(ends_.first.bytes_written() == (completed ? 8u : 0u), "bytes_written() is wrong");
    expect(is_empty(ends_.second.native_handle()) != completed, "it was sent, or not, against what it says");
    if (!completed) co_return;
    const weir::received_descriptors got = co_await ends_.second.receive_descriptors(bytes_);
    expect(got.descriptors.size() == 1, "the descriptor did not go");
  }

 private:
  std::pair<unix_stream, unix_stream> ends_ = unix_stream::pair();
  guarded_buffer bytes_{8};
};

constexpr std::array kinds = {
    kind_of_operation{"`unix_listener::accept()`, `unix_seqpacket_listener::accept()`", "unix_listener::accept",
                      make_scene<accepting_unix>},
    kind_of_operation{"`unix_stream::connect(peer)`, `unix_seqpacket::connect(peer)`", "unix_stream::connect",
                      make_scene<connecting_unix>},
    kind_of_operation{"reads and writes of `unix_stream`, and of the halves that `split` makes",
                      "unix_stream::read_some", make_scene<reading_unix<false>>},
    kind_of_operation{"reads and writes of `unix_stream`, and of the halves that `split` makes", "read_half::read_some",
                      make_scene<reading_unix<true>>},
    kind_of_operation{"`unix_datagram_socket::receive`, `unix_seqpacket::receive`", "unix_datagram_socket::receive",
                      make_scene<receiving_a_message<unix_datagram_socket>>},
    kind_of_operation{"`unix_datagram_socket::receive`, `unix_seqpacket::receive`", "unix_seqpacket::receive",
                      make_scene<receiving_a_message<unix_seqpacket>>},
    kind_of_operation{"`send` of both, `unix_datagram_socket::send_to`", "unix_datagram_socket::send",
                      make_scene<sending_connected>},
    kind_of_operation{"`send` of both, `unix_datagram_socket::send_to`", "unix_datagram_socket::send_to",
                      make_scene<sending_to>},
    kind_of_operation{"`receive_descriptors` of unix sockets", "unix_stream::receive_descriptors",
                      make_scene<receiving_descriptors>},
    kind_of_operation{"`send_descriptors` of unix sockets", "unix_stream::send_descriptors",
                      make_scene<sending_descriptors>},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_unix_sockets() { return kinds; }

}  // namespace test
