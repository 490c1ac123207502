// The load engine for kernels and containers that refuse io_uring: level-triggered epoll.

#include "error_text.hpp"
#include "load_session.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>

namespace bench {
namespace {

class epoll_engine {
 public:
  explicit epoll_engine(load_session& session) : session_(session), blocked_(session.size()) {
    if (epoll_ < 0) throw std::runtime_error(std::string("load client: epoll_create1: ") + error_text(errno));
  }
  ~epoll_engine() { close(epoll_); }
  epoll_engine(const epoll_engine&) = delete;
  epoll_engine& operator=(const epoll_engine&) = delete;

  void run() {
    for (std::size_t i = 0; i < session_.size(); ++i) {
      watch(EPOLL_CTL_ADD, i, EPOLLIN);
      send_owed(i);
    }
    std::array<epoll_event, 512> events;
    while (!session_.finished()) {
      const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 50);
      session_.begin_turn();
      for (int i = 0; i < n; ++i) serve(events[static_cast<std::size_t>(i)]);
    }
  }

 private:
  void watch(int operation, std::size_t index, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = index;
    if (epoll_ctl(epoll_, operation, session_.descriptor(index), &event) < 0)
      throw std::runtime_error(std::string("load client: epoll_ctl: ") + error_text(errno));
  }

  void serve(const epoll_event& event) {
    const auto index = static_cast<std::size_t>(event.data.u64);
    if ((event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
      const ssize_t n = recv(session_.descriptor(index), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (n > 0) {
        session_.received(index, {buffer_.data(), static_cast<std::size_t>(n)});
      } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        watch(EPOLL_CTL_DEL, index, 0);
        return session_.ended(index, n == 0 ? 0 : errno, "receive");
      }
    }
    send_owed(index);
  }

  void send_owed(std::size_t index) {
    const std::span<const std::byte> bytes = session_.to_send(index);
    if (!bytes.empty()) {
      const ssize_t n = send(session_.descriptor(index), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n > 0) session_.sent(index, static_cast<std::size_t>(n));
      // A hard error is reported by the receive that follows from EPOLLERR or EPOLLHUP.
    }
    const bool blocked = !session_.to_send(index).empty();
    if (blocked == blocked_[index]) return;
    blocked_[index] = blocked;
    watch(EPOLL_CTL_MOD, index, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }

  load_session& session_;
  std::vector<bool> blocked_;
  std::array<std::byte, 65'536> buffer_;
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
};

}  // namespace

void load_epoll(load_session& session) { epoll_engine(session).run(); }

}  // namespace bench
