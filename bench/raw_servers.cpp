// Servers by hand that send datagrams back, and that close what they have accepted, each with epoll and with liburing.
// Usage: raw_servers udp|accept epoll|uring [PORT]. One thread. Ends on SIGINT or SIGTERM.

#include "listening_socket.hpp"
#include "next_entry.hpp"

#include <liburing.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <array>
#include <cstddef>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t longest_datagram = 9000;

/// Calls `serve()`, which takes all that there is, whenever `subject` is readable.
template <class Serve>
void run_epoll(int signals, int subject, Serve serve) {
  const int epoll = bench::check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  for (const int fd : {signals, subject}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    bench::check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }
  for (;;) {
    std::array<epoll_event, 2> events;
    const int n = epoll_wait(epoll, events.data(), 2, -1);
    if (n < 0 && errno != EINTR) bench::fail("epoll_wait", errno);
    for (int i = 0; i < n; ++i) {
      if (events[static_cast<std::size_t>(i)].data.fd == signals) return;
      serve();
    }
  }
}

void udp_on_epoll(int signals, int socket) {
  std::array<std::byte, longest_datagram> buffer;
  run_epoll(signals, socket, [&] {
    for (;;) {
      sockaddr_in from{};
      socklen_t length = sizeof from;
      const ssize_t n = recvfrom(socket, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
      if (n < 0) return;
      sendto(socket, buffer.data(), static_cast<std::size_t>(n), 0, reinterpret_cast<sockaddr*>(&from), length);
    }
  });
}

void accept_on_epoll(int signals, int listener) {
  run_epoll(signals, listener, [&] {
    for (;;) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      close(fd);
    }
  });
}

/// What a completion is of: numbers from `first_of_server` on are the server's.
enum : std::uint64_t { of_signal = 0, ignored = 1, first_of_server = 2 };

class ring {
 public:
  ring() {
    io_uring_params parameters{};
    parameters.flags =
        IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    const int result = io_uring_queue_init_params(1024, &ring_, &parameters);
    if (result < 0) bench::fail("io_uring_setup", -result);
    io_uring_register_ring_fd(&ring_);
  }
  ~ring() { io_uring_queue_exit(&ring_); }
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;

  io_uring_sqe* next() { return bench::next_entry(ring_); }

  /// Calls `handle(completion)` for each of the server's until a signal comes.
  template <class Handle>
  void run(int signals, Handle handle) {
    io_uring_sqe* const sqe = next();
    io_uring_prep_poll_add(sqe, signals, POLLIN);
    sqe->user_data = of_signal;
    for (bool finished = false; !finished;) {
      const int result = io_uring_submit_and_wait(&ring_, 1);
      if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY)
        bench::fail("io_uring_enter", -result);
      io_uring_cqe* cqe = nullptr;
      unsigned head = 0;
      unsigned seen = 0;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++seen;
        if (cqe->user_data == of_signal) finished = true;
        if (cqe->user_data >= first_of_server) handle(*cqe);
      }
      io_uring_cq_advance(&ring_, seen);
    }
  }

 private:
  io_uring ring_{};
};

/// Each slot receives one datagram and sends it back, by turns.
void udp_on_ring(int signals, int socket) {
  struct slot {
    msghdr message{};
    iovec part{};
    sockaddr_in from{};
    bool sending = false;
    std::array<std::byte, longest_datagram> buffer;
  };
  ring kernel;
  std::vector<slot> slots(32);
  const auto begin = [&](std::size_t index) {
    slot& s = slots[index];
    io_uring_sqe* const sqe = kernel.next();
    if (s.sending) {
      io_uring_prep_sendmsg(sqe, socket, &s.message, 0);
    } else {
      s.part = {s.buffer.data(), s.buffer.size()};
      s.message = {};
      s.message.msg_name = &s.from;
      s.message.msg_namelen = sizeof s.from;
      s.message.msg_iov = &s.part;
      s.message.msg_iovlen = 1;
      io_uring_prep_recvmsg(sqe, socket, &s.message, 0);
    }
    sqe->user_data = first_of_server + index;
  };
  for (std::size_t i = 0; i < slots.size(); ++i) begin(i);
  kernel.run(signals, [&](const io_uring_cqe& done) {
    const std::size_t index = done.user_data - first_of_server;
    slot& s = slots[index];
    s.sending = !s.sending && done.res >= 0;
    if (s.sending) s.part.iov_len = static_cast<std::size_t>(done.res);
    begin(index);
  });
}

void accept_on_ring(int signals, int listener) {
  ring kernel;
  const auto arm = [&] {
    io_uring_sqe* const sqe = kernel.next();
    io_uring_prep_multishot_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
    sqe->user_data = first_of_server;
  };
  arm();
  kernel.run(signals, [&](const io_uring_cqe& done) {
    if (done.res >= 0) {
      io_uring_sqe* const sqe = kernel.next();
      io_uring_prep_close(sqe, done.res);
      sqe->user_data = ignored;
    }
    if ((done.flags & IORING_CQE_F_MORE) == 0) arm();
  });
}

void run(std::string_view what, std::string_view how, std::uint16_t port) {
  const int signals = bench::termination_signals();
  const int flags = how == "epoll" ? SOCK_NONBLOCK : 0;
  if (what == "udp") {
    (how == "epoll" ? udp_on_epoll : udp_on_ring)(signals, bench::receive_on_loopback(port, flags));
  } else {
    (how == "epoll" ? accept_on_epoll : accept_on_ring)(signals, bench::listen_on_loopback(port, flags));
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 3) throw std::runtime_error("usage: raw_servers udp|accept epoll|uring [PORT]");
    run(argv[1], argv[2], bench::port_argument(argc - 2, argv + 2));
  } catch (const std::exception& e) {
    fmt::print(stderr, "raw_servers: {}\n", e.what());
    return 1;
  }
}
