// TLS echo with nothing but OpenSSL and epoll: one thread, level-triggered.
// Usage: raw_tls_echo PORT CERTIFICATE.pem KEY.pem. Ends on SIGINT or SIGTERM.

#include "listening_socket.hpp"

#include <openssl/ssl.h>

#include <sys/epoll.h>
#include <unistd.h>
#include <array>
#include <csignal>
#include <exception>
#include <memory>
#include <stdexcept>
#include <unordered_map>

namespace {

struct connection {
  int descriptor;
  SSL* tls;
  bool greeted = false;
  int begin = 0;  // [begin, end) is to be sent back
  int end = 0;
  std::uint32_t watched = EPOLLIN;
  std::array<char, 16'384> buffer;

  connection(int fd, SSL_CTX* context) : descriptor(fd), tls(SSL_new(context)) {
    SSL_set_fd(tls, fd);
    SSL_set_accept_state(tls);
  }
  ~connection() {
    SSL_free(tls);
    close(descriptor);
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
};

class echo_server {
 public:
  echo_server(std::uint16_t port, const char* certificate, const char* key) {
    SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(context_, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context_, key, SSL_FILETYPE_PEM) != 1)
      throw std::runtime_error("the certificate cannot be used");
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes with write(2)
    signals_ = bench::termination_signals();
    listener_ = bench::listen_on_loopback(port, SOCK_NONBLOCK);
    watch(EPOLL_CTL_ADD, signals_, EPOLLIN);
    watch(EPOLL_CTL_ADD, listener_, EPOLLIN);
  }
  ~echo_server() {
    connections_.clear();
    SSL_CTX_free(context_);
  }
  echo_server(const echo_server&) = delete;
  echo_server& operator=(const echo_server&) = delete;

  void run() {
    std::array<epoll_event, 512> events;
    for (;;) {
      const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      if (n < 0 && errno != EINTR) bench::fail("epoll_wait", errno);
      for (int i = 0; i < n; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == signals_) return;
        if (fd == listener_) {
          accept_all();
        } else if (!serve(*connections_.at(fd))) {
          connections_.erase(fd);
        }
      }
    }
  }

 private:
  void watch(int operation, int descriptor, std::uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.fd = descriptor;
    bench::check(epoll_ctl(epoll_, operation, descriptor, &event), "epoll_ctl");
  }

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      connections_[fd] = std::make_unique<connection>(fd, context_);
      watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
  }

  // As far as it goes; false when the connection has ended.
  bool serve(connection& peer) const {
    int result = 0;
    for (;;) {
      if (!peer.greeted) {
        result = SSL_do_handshake(peer.tls);
        peer.greeted = result == 1;
      } else if (peer.begin != peer.end) {
        result = SSL_write(peer.tls, peer.buffer.data() + peer.begin, peer.end - peer.begin);
        if (result > 0) peer.begin += result;
        // What has come is told by the next event; only what OpenSSL already holds is not.
        if (peer.begin == peer.end && SSL_has_pending(peer.tls) == 0) return wait_for(peer, EPOLLIN);
      } else {
        result = SSL_read(peer.tls, peer.buffer.data(), static_cast<int>(peer.buffer.size()));
        if (result > 0) {
          peer.begin = 0;
          peer.end = result;
        }
      }
      if (result > 0) continue;
      switch (SSL_get_error(peer.tls, result)) {
        case SSL_ERROR_WANT_READ:
          return wait_for(peer, EPOLLIN);
        case SSL_ERROR_WANT_WRITE:
          return wait_for(peer, EPOLLOUT);
        default:
          return false;
      }
    }
  }

  bool wait_for(connection& peer, std::uint32_t events) const {
    if (peer.watched != events) watch(EPOLL_CTL_MOD, peer.descriptor, events);
    peer.watched = events;
    return true;
  }

  SSL_CTX* context_ = SSL_CTX_new(TLS_server_method());
  int epoll_ = bench::check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  int signals_ = -1;
  int listener_ = -1;
  std::unordered_map<int, std::unique_ptr<connection>> connections_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 4) throw std::runtime_error("usage: raw_tls_echo PORT CERTIFICATE.pem KEY.pem");
    bench::raise_open_files();
    echo_server(bench::port_argument(argc, argv), argv[2], argv[3]).run();
  } catch (const std::exception& e) {
    fmt::print(stderr, "raw_tls_echo: {}\n", e.what());
    return 1;
  }
}
