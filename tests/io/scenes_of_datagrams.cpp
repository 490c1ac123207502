#include <sys/socket.h>

#include <array>
#include <cerrno>

#include <weir/io/udp.hpp>

#include "guarded_buffer.hpp"
#include "scenes.hpp"

namespace test {

namespace {

using weir::as_result;
using weir::cancellation_token;
using weir::endpoint;
using weir::task;
using weir::udp_socket;
using weir::with_cancellation;

class receiving_a_datagram final : public scene {
 public:
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, socket_.receive(into_)));
    if (!completed(r)) co_return false;
    expect(r->size == into_.size() && is_pattern(into_), "it received something else");
    co_return true;
  }
  void trigger() override {
    guarded_buffer sent(into_.size());
    fill_pattern(sent);
    sockaddr_storage address{};
    const auto size = static_cast<socklen_t>(socket_.local_endpoint().to_native(&address));
    const std::span<const std::byte> bytes = sent;
    expect(::sendto(peer_.native_handle(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&address),
                    size) > 0,
           "the test's own sendto");
  }
  task<> settle(bool completed) override {
    if (!completed) {
      auto r = co_await as_result(weir::with_timeout(5s, socket_.receive(into_)));
      expect(r.has_value() && is_pattern(into_), "the datagram was lost");
    }
    expect(::recv(socket_.native_handle(), nullptr, 0, MSG_DONTWAIT) < 0 && errno == EAGAIN, "there is a second one");
  }

 private:
  udp_socket socket_ = udp_socket::bind(endpoint::loopback(0));
  udp_socket peer_ = udp_socket::bind(endpoint::loopback(0));
  guarded_buffer into_{64};
};

class sending_a_datagram final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    fill_pattern(bytes_);
    auto r = co_await as_result(with_cancellation(token, socket_.send_to(bytes_, peer_.local_endpoint())));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    std::array<std::byte, 100> got{};
    const ssize_t n = ::recv(peer_.native_handle(), got.data(), got.size(), MSG_DONTWAIT);
    expect((n > 0) == completed, "it was sent, or not, against what it says");
    co_return;
  }

 private:
  udp_socket socket_ = udp_socket::bind(endpoint::loopback(0));
  udp_socket peer_ = udp_socket::bind(endpoint::loopback(0));
  guarded_buffer bytes_{64};
};

class sending_segments final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    fill_pattern(bytes_);
    auto r = co_await as_result(with_cancellation(token, socket_.send_to(bytes_, peer_.local_endpoint(), 16)));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    int count = 0;
    std::array<std::byte, 100> got{};
    while (::recv(peer_.native_handle(), got.data(), got.size(), MSG_DONTWAIT) == 16) ++count;
    expect(completed ? count == 4 : count < 4, "they were sent, or not, against what it says");
    co_return;
  }

 private:
  udp_socket socket_ = udp_socket::bind(endpoint::loopback(0));
  udp_socket peer_ = udp_socket::bind(endpoint::loopback(0));
  guarded_buffer bytes_{64};
};

constexpr std::array kinds = {
    kind_of_operation{"`udp_socket::receive`", "udp_socket::receive", make_scene<receiving_a_datagram>},
    kind_of_operation{"`udp_socket::send_to`, `send`", "udp_socket::send_to", make_scene<sending_a_datagram>},
    kind_of_operation{"`send_to`, `send` of segments", "udp_socket::send_to of segments", make_scene<sending_segments>},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_datagrams() { return kinds; }

}  // namespace test
