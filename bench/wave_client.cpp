#include "wave_client.hpp"

#include "byte_pattern.hpp"
#include "error_text.hpp"
#include "loopback.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <cerrno>
#include <stdexcept>
#include <utility>
#include <vector>

namespace bench {
namespace {

class descriptor {
 public:
  explicit descriptor(int number) noexcept : number_(number) {}
  descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  descriptor& operator=(descriptor&&) = delete;
  ~descriptor() {
    if (number_ >= 0) close(number_);
  }
  [[nodiscard]] int get() const noexcept { return number_; }

 private:
  int number_;
};

ssize_t receive(const descriptor& from, void* into, std::size_t size) {
  ssize_t n = 0;
  do n = recv(from.get(), into, size, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) {
    throw std::runtime_error(errno == EAGAIN ? "no answer within 5 s"
                                             : fmt::format("receiving an answer: {}", error_text(errno)));
  }
  return n;
}

descriptor datagram_socket(std::uint16_t port) {
  descriptor made(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  sockaddr_in server{};
  server.sin_family = AF_INET;
  server.sin_port = htons(port);
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (made.get() < 0 || setsockopt(made.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      connect(made.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0)
    throw std::runtime_error(fmt::format("a socket for datagrams: {}", error_text(errno)));
  return made;
}

class datagram_waves final : public wave_client {
 public:
  datagram_waves(std::uint16_t port, std::size_t size) : pattern_(size), answer_(size + 1) {
    // A socket has room for 208 KiB if nobody asks for more, and a datagram takes up to twice its size: none may be
    // lost.
    const int sockets = size <= 1500 ? 64 : 8;
    for (int i = 0; i < sockets; ++i) sockets_.push_back(datagram_socket(port));
    positions_.resize(sockets_.size());
    for (std::size_t i = 0; i < positions_.size(); ++i) positions_[i] = pattern_.start(i);
  }

  unsigned ask() override {
    const std::size_t size = answer_.size() - 1;
    for (std::size_t i = 0; i < sockets_.size(); ++i) {
      // Each datagram differs from the ones before, so that a late answer is not taken for the next.
      positions_[i] = pattern_.advance(positions_[i], 1);
      const auto message = pattern_.from(positions_[i], size);
      if (send(sockets_[i].get(), message.data(), size, 0) != static_cast<ssize_t>(size))
        throw std::runtime_error(fmt::format("sending a datagram: {}", error_text(errno)));
    }
    for (std::size_t i = 0; i < sockets_.size(); ++i) {
      const ssize_t n = receive(sockets_[i], answer_.data(), answer_.size());
      if (static_cast<std::size_t>(n) != size || !pattern_.matches(positions_[i], {answer_.data(), size}))
        throw std::runtime_error(fmt::format("socket {}: the answer differs from what was sent", i));
    }
    return static_cast<unsigned>(sockets_.size());
  }

 private:
  byte_pattern pattern_;
  std::vector<std::byte> answer_;  // with room for a byte too many
  std::vector<descriptor> sockets_;
  std::vector<std::size_t> positions_;
};

class connecting_waves final : public wave_client {
 public:
  explicit connecting_waves(std::uint16_t port) : port_(port) {}

  unsigned ask() override {
    constexpr unsigned at_once = 32;
    std::vector<descriptor> open;
    open.reserve(at_once);
    for (unsigned i = 0; i < at_once; ++i) {
      open.emplace_back(connect_loopback(port_, i));
      // Closed by both without a reset, an address would be taken for a minute.
      const linger reset{.l_onoff = 1, .l_linger = 0};
      setsockopt(open.back().get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    for (const descriptor& d : open) {
      char byte = 0;
      if (receive(d, &byte, 1) != 0) throw std::runtime_error("a connection that had to be closed was sent something");
    }
    return at_once;
  }

 private:
  std::uint16_t port_;
};

}  // namespace

std::unique_ptr<wave_client> datagram_client(std::uint16_t port, std::size_t size) {
  return std::make_unique<datagram_waves>(port, size);
}
std::unique_ptr<wave_client> connecting_client(std::uint16_t port) { return std::make_unique<connecting_waves>(port); }

}  // namespace bench
