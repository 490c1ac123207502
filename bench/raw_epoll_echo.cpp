// The best simple epoll echo server: one thread, level-triggered, one recv and one send per request.
// It is what weir has to beat. Usage: raw_epoll_echo [PORT]. Ends on SIGINT or SIGTERM.

#include "error_text.hpp"
#include "listening_socket.hpp"

#include <sys/epoll.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstddef>
#include <exception>
#include <memory>
#include <vector>

namespace {

// A little more than a page, so that the buffers of many connections do not share their cache sets.
struct connection {
  int descriptor;
  std::size_t begin = 0;  // [begin, end) waits for room in the peer's window
  std::size_t end = 0;
  std::array<std::byte, 4096> buffer;

  explicit connection(int fd) : descriptor(fd) {}
  ~connection() { close(descriptor); }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
};

class echo_server {
 public:
  explicit echo_server(std::uint16_t port)
      : signals_(bench::termination_signals()), listener_(bench::listen_on_loopback(port, SOCK_NONBLOCK)) {
    watch(EPOLL_CTL_ADD, signals_, EPOLLIN, &signals_);
    watch(EPOLL_CTL_ADD, listener_, EPOLLIN, &listener_);
  }

  void run() {
    std::array<epoll_event, 512> events;
    for (;;) {
      const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      if (n < 0 && errno != EINTR) bench::fail("epoll_wait", errno);
      for (int i = 0; i < n; ++i) {
        void* const subject = events[static_cast<std::size_t>(i)].data.ptr;
        if (subject == &signals_) return;
        if (subject == &listener_) {
          accept_all();
        } else if (auto* peer = static_cast<connection*>(subject); !serve(*peer)) {
          connections_[static_cast<std::size_t>(peer->descriptor)].reset();
        }
      }
    }
  }

 private:
  void watch(int operation, int descriptor, std::uint32_t events, void* subject) const {
    epoll_event event{};
    event.events = events;
    event.data.ptr = subject;
    bench::check(epoll_ctl(epoll_, operation, descriptor, &event), "epoll_ctl");
  }

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        const auto index = static_cast<std::size_t>(fd);
        if (index >= connections_.size()) connections_.resize(2 * index);
        connections_[index] = std::make_unique<connection>(fd);
        watch(EPOLL_CTL_ADD, fd, EPOLLIN, connections_[index].get());
        continue;
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        // A level-triggered listener that cannot accept would spin.
        fmt::print(stderr, "accept: {}; no further connection is taken\n", bench::error_text(errno));
        watch(EPOLL_CTL_MOD, listener_, 0, &listener_);
        return;
      }
      // Everything else (ECONNABORTED, EINTR, ...) concerns that one connection.
    }
  }

  // False when the connection has ended.
  bool serve(connection& peer) const {
    const bool was_blocked = peer.begin != peer.end;
    if (!was_blocked) {
      const ssize_t n = recv(peer.descriptor, peer.buffer.data(), peer.buffer.size(), 0);
      if (n == 0) return false;
      if (n < 0) return errno == EAGAIN || errno == EINTR;
      peer.begin = 0;
      peer.end = static_cast<std::size_t>(n);
    }
    const ssize_t n = send(peer.descriptor, peer.buffer.data() + peer.begin, peer.end - peer.begin, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (n > 0) peer.begin += static_cast<std::size_t>(n);
    // While an answer is stuck nothing more is read: the peer's window is the only queue.
    const bool is_blocked = peer.begin != peer.end;
    if (is_blocked != was_blocked) watch(EPOLL_CTL_MOD, peer.descriptor, is_blocked ? EPOLLOUT : EPOLLIN, &peer);
    return true;
  }

  int epoll_ = bench::check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  int signals_;
  int listener_;
  std::vector<std::unique_ptr<connection>> connections_;  // by descriptor
};

}  // namespace

int main(int argc, char** argv) {
  try {
    bench::raise_open_files();
    echo_server(bench::port_argument(argc, argv)).run();
  } catch (const std::exception& e) {
    fmt::print(stderr, "raw_epoll_echo: {}\n", e.what());
    return 1;
  }
}
