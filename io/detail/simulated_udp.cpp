#include "simulated_udp.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <utility>

#include "../operations/datagram.hpp"
#include "simulated_kernel.hpp"
#include "simulated_socket.hpp"

namespace weir::detail {

namespace {

/// As the value of an option of type `T`.
template <class T>
bool read_option(const void* value, unsigned size, T& into) noexcept {
  if (size < sizeof into) return false;
  std::memcpy(&into, value, sizeof into);
  return true;
}

endpoint broadcast_at(std::uint16_t port) noexcept {
  sockaddr_in all{};
  all.sin_family = AF_INET;
  all.sin_addr.s_addr = htonl(INADDR_BROADCAST);
  all.sin_port = htons(port);
  return endpoint::from_native(&all, sizeof all);
}

}  // namespace

class simulated_udp_socket final : public simulated_socket_of<endpoint>,
                                   public std::enable_shared_from_this<simulated_udp_socket> {
 public:
  /// One that has arrived.
  struct message {
    endpoint from;
    std::vector<std::byte> bytes;
  };

  simulated_udp_socket(simulated_udp& all, bool is_v6) : v6(is_v6), all_(all) {}
  void close() noexcept override {
    closed = true;
    all_.forget_name(*this);
    queue.clear();
  }
  [[nodiscard]] unsigned ready() const override;
  [[nodiscard]] int type() const noexcept override { return SOCK_DGRAM; }
  [[nodiscard]] bool is_connected() const noexcept override { return static_cast<bool>(peer); }
  int set_option(int level, int option, const void* value, unsigned size) override;
  int bind(const endpoint& wanted) override;
  int connect(const endpoint& to) override;
  int local_name(endpoint& name) override;
  int peer_name(endpoint& name) override;
  int shutdown(int how) override;
  int receive_message(std::span<std::byte> into, endpoint& from) override;
  int send_message(std::span<const std::byte> bytes, const endpoint* to) override;

  [[nodiscard]] int take_error() noexcept { return std::exchange(error, 0); }
  /// Whether it is the receiver of what is sent to `to` from `from`, and how much so.
  [[nodiscard]] int score(const endpoint& from, const endpoint& to) const noexcept;
  [[nodiscard]] bool is_member(const endpoint& group) const noexcept {
    return std::find(groups.begin(), groups.end(), with_port(group, 0)) != groups.end();
  }
  /// Whether the line has left so much unsent that more has to wait.
  [[nodiscard]] bool line_is_full() const noexcept;

  const bool v6;
  bool closed = false;
  bool shares_address = false;
  bool shares_port = false;
  bool may_broadcast = false;
  bool loops = true;  // what it sends to a group comes back to this machine
  bool read_shut = false;
  bool write_shut = false;
  int error = 0;  // what the next operation fails with
  endpoint local;
  endpoint peer;
  std::vector<endpoint> groups;
  std::deque<message> queue;
  std::size_t unread = 0;
  time_point line_free{};     // when what it has sent so far has left
  time_point last_arrival{};  // of what it has sent: nothing overtakes it unless the dice say so

 private:
  int change_group(bool joins, const void* value, unsigned size);

  simulated_udp& all_;
};

// ---- sockets and their names

int simulated_udp::make(bool v6) { return kernel_.enter(std::make_shared<simulated_udp_socket>(*this, v6)); }

int simulated_udp_socket::set_option(int level, int option, const void* value, unsigned size) {
  int number = 0;
  if (level == SOL_SOCKET && read_option(value, size, number)) {
    if (option == SO_REUSEADDR) shares_address = number != 0;
    if (option == SO_REUSEPORT) shares_port = number != 0;
    if (option == SO_BROADCAST) may_broadcast = number != 0;
  }
  if (level == IPPROTO_UDP) return -ENOPROTOOPT;
  const bool of_ip = level == IPPROTO_IP || level == IPPROTO_IPV6;
  if (of_ip && (option == MCAST_JOIN_GROUP || option == MCAST_LEAVE_GROUP)) {
    return change_group(option == MCAST_JOIN_GROUP, value, size);
  }
  const int loop = level == IPPROTO_IP ? IP_MULTICAST_LOOP : IPV6_MULTICAST_LOOP;
  if (of_ip && option == loop && read_option(value, size, number)) loops = number != 0;
  return 0;  // the others change nothing here
}

int simulated_udp_socket::change_group(bool joins, const void* value, unsigned size) {
  group_req request{};
  if (!read_option(value, size, request)) return -EINVAL;
  const endpoint group = endpoint::from_native(&request.gr_group, sizeof request.gr_group);
  if (!is_multicast(group) || group.is_v6() != v6) return -EINVAL;
  if (joins) {
    if (is_member(group)) return -EADDRINUSE;
    groups.push_back(with_port(group, 0));
    return 0;
  }
  return std::erase(groups, with_port(group, 0)) != 0 ? 0 : -EADDRNOTAVAIL;
}

bool simulated_udp::is_taken(const endpoint& address, bool shares_address, bool shares_port) const {
  return std::any_of(bound_.begin(), bound_.end(), [&](const simulated_udp_socket* other) {
    const bool shared = (shares_address && other->shares_address) || (shares_port && other->shares_port);
    return overlap(other->local, address) && !shared;
  });
}

std::uint16_t simulated_udp::free_port() {
  return ports_.next([this](std::uint16_t port) { return is_taken(endpoint::any_v6(port), false, false); });
}

int simulated_udp::bind(simulated_udp_socket& at, const endpoint& local) {
  const std::uint16_t port = local.port() != 0 ? local.port() : free_port();
  const endpoint wanted = with_port(local, port);
  if (port == 0 || is_taken(wanted, at.shares_address, at.shares_port)) return -EADDRINUSE;
  at.local = wanted;
  bound_.push_back(&at);
  return 0;
}

int simulated_udp_socket::bind(const endpoint& wanted) {
  if (local) return -EINVAL;
  if (wanted.is_v6() != v6) return wanted.is_v6() ? -EAFNOSUPPORT : -EINVAL;
  return all_.bind(*this, wanted);
}

int simulated_udp_socket::connect(const endpoint& to) {
  const endpoint wanted = meant(to);
  if (wanted.is_v6() && !v6) return -EAFNOSUPPORT;
  if (!local) {
    if (const int result = all_.bind(*this, with_port(wanted, 0)); result != 0) return result;
  } else if (is_any(local)) {
    local = with_port(wanted, local.port());
  }
  peer = wanted;
  return 0;
}

int simulated_udp_socket::local_name(endpoint& name) {
  name = local ? shown(local, v6) : v6 ? endpoint::any_v6(0) : endpoint::any(0);
  return 0;
}

int simulated_udp_socket::peer_name(endpoint& name) {
  if (!peer) return -ENOTCONN;
  name = shown(peer, v6);
  return 0;
}

int simulated_udp_socket::shutdown(int how) {
  if (how != SHUT_WR) read_shut = true;
  if (how != SHUT_RD) write_shut = true;
  all_.kernel_.touch(shared_from_this());
  return peer ? 0 : -ENOTCONN;
}

// ---- what travels

bool simulated_udp_socket::line_is_full() const noexcept {
  const simulated_network& network = all_.kernel_.network;
  if (network.bytes_per_second == 0) return false;
  return line_free - all_.kernel_.now() >= std::max(all_.time_on_line(network.receive_buffer), duration(1));
}

duration simulated_udp::time_on_line(std::size_t bytes) const noexcept {
  const auto speed = static_cast<double>(kernel_.network.bytes_per_second);
  return std::chrono::duration_cast<duration>(std::chrono::duration<double>(static_cast<double>(bytes) / speed));
}

int simulated_udp::send(const socket& from, std::span<const std::byte> bytes, const endpoint& to) {
  const time_point now = kernel_.now();
  if (from->line_is_full()) return -EAGAIN;
  const auto size = static_cast<int>(bytes.size());
  from->line_free = std::max(from->line_free, now);
  if (kernel_.network.bytes_per_second != 0) {
    from->line_free += time_on_line(bytes.size());
    // It has room again when only so much is left.
    const time_point has_room = from->line_free - time_on_line(kernel_.network.receive_buffer) + duration(1);
    if (from->line_is_full()) kernel_.schedule(has_room, [this, from] { kernel_.touch(from); });
  }
  if (is_multicast(to) && !from->loops) return size;
  const simulated_network& network = kernel_.network;
  const endpoint sender =
      is_any(from->local) || is_multicast(from->local)
          ? with_port(is_multicast(to) || to == broadcast_at(to.port()) ? endpoint::loopback(0) : to,
                      from->local.port())
          : from->local;
  const auto travels = std::make_shared<const datagram>(datagram{from, sender, to, {bytes.begin(), bytes.end()}});
  for (int copies = kernel_.chance(network.duplicate) ? 2 : 1; copies != 0; --copies) {
    time_point arrival = from->line_free + kernel_.delay(network.latency, network.jitter);
    if (kernel_.chance(network.reorder)) {
      arrival += kernel_.delay(duration(1), 10 * (network.latency + network.jitter));
    } else {
      arrival = from->last_arrival = std::max(arrival, from->last_arrival);
    }
    kernel_.schedule(arrival, [this, travels] { arrive(*travels); });
  }
  return size;
}

int simulated_udp_socket::score(const endpoint& from, const endpoint& to) const noexcept {
  if (peer && peer != from) return 0;
  const bool exact = local == to;
  const bool any = local == endpoint::any_v6(to.port()) || (to.is_v4() && local == endpoint::any(to.port()));
  if (!exact && !any) return 0;
  return 1 + (to.is_v6() == v6 ? 1 : 0) + (exact ? 2 : 0) + (peer ? 4 : 0);
}

auto simulated_udp::receivers_of(const datagram& what) const -> std::vector<socket> {
  std::vector<socket> found;
  if (is_multicast(what.to) || what.to == broadcast_at(what.to.port())) {
    for (simulated_udp_socket* const s : bound_) {
      if (s->score(what.from, what.to) == 0) continue;
      if (!is_multicast(what.to) || s->is_member(what.to)) found.push_back(s->shared_from_this());
    }
    return found;
  }
  int best = 1;
  for (simulated_udp_socket* const s : bound_) {
    const int score = s->score(what.from, what.to);
    if (score > best) found.clear();
    if (score >= best) found.push_back(s->shared_from_this());
    best = std::max(best, score);
  }
  if (found.empty()) return found;
  // Those that share a port share the senders; of those that share an address the latest gets it.
  std::size_t chosen = found.size() - 1;
  if (found.back()->shares_port) chosen = what.from.port() % found.size();
  return {found[chosen]};
}

void simulated_udp::arrive(const datagram& what) {
  if (kernel_.network.down) return;
  const std::vector<socket> receivers = receivers_of(what);
  for (const socket& to : receivers) deliver(to, what);
  if (receivers.empty() && what.sender->peer == what.to) refuse(what);
}

void simulated_udp::deliver(const socket& to, const datagram& what) {
  if (kernel_.chance(kernel_.network.lose)) return;
  if (to->unread >= std::max<std::size_t>(kernel_.network.receive_buffer, 1)) return;  // it is full
  to->unread += what.bytes.size() + 1;
  to->queue.push_back({what.from, what.bytes});
  kernel_.touch(to);
}

void simulated_udp::refuse(const datagram& what) {
  if (kernel_.chance(kernel_.network.lose)) return;
  kernel_.schedule(kernel_.now() + kernel_.delay(kernel_.network.latency, kernel_.network.jitter),
                   [this, sender = what.sender] {
                     if (sender->closed || kernel_.network.down) return;
                     sender->error = ECONNREFUSED;
                     kernel_.touch(sender);
                   });
}

// ---- the operations

int simulated_udp_socket::receive_message(std::span<std::byte> into, endpoint& from) {
  if (error != 0) return -take_error();
  if (queue.empty()) return read_shut ? 0 : -EAGAIN;
  const message next = std::move(queue.front());
  queue.pop_front();
  unread -= next.bytes.size() + 1;
  from = shown(next.from, v6);
  std::copy_n(next.bytes.begin(), std::min(into.size(), next.bytes.size()), into.begin());
  return static_cast<int>(next.bytes.size());
}

int simulated_udp_socket::send_message(std::span<const std::byte> bytes, const endpoint* to) {
  if (bytes.size() > longest_datagram) return -EMSGSIZE;
  if (!to && !peer) return -EDESTADDRREQ;
  const endpoint where = to ? meant(*to) : peer;
  if (where.is_v6() && !v6) return -EAFNOSUPPORT;
  if (where.port() == 0) return -EINVAL;
  if (where == broadcast_at(where.port()) && !may_broadcast) return -EACCES;
  if (error != 0) return -take_error();
  if (write_shut) return -EPIPE;
  if (!local) {
    const endpoint any = v6 ? endpoint::any_v6(0) : endpoint::any(0);
    if (const int result = all_.bind(*this, any); result != 0) return result;
  }
  return all_.send(shared_from_this(), bytes, where);
}

unsigned simulated_udp_socket::ready() const {
  unsigned holds = 0;
  if (!queue.empty() || read_shut) holds |= POLLIN;
  if (!line_is_full()) holds |= POLLOUT;
  if (error != 0) holds |= POLLIN | POLLOUT | POLLERR;
  return holds;
}

}  // namespace weir::detail
