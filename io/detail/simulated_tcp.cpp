#include "simulated_tcp.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <utility>

#include "simulated_addresses.hpp"
#include "simulated_kernel.hpp"
#include "simulated_socket.hpp"

namespace weir::detail {

using namespace std::chrono_literals;

class simulated_tcp_socket final : public simulated_socket_of<endpoint>,
                                   public std::enable_shared_from_this<simulated_tcp_socket> {
 public:
  enum class stage : std::uint8_t { fresh, bound, listening, connecting, connected, failed };
  /// What is on its way: data (the next so many bytes of `stream`), or the end behind it.
  struct part {
    std::size_t bytes;
    bool end;
  };

  simulated_tcp_socket(simulated_tcp& all, bool is_v6) : v6(is_v6), all_(all) {}
  void close() noexcept override { all_.close(*this); }
  [[nodiscard]] unsigned ready() const override;
  [[nodiscard]] int type() const noexcept override { return SOCK_STREAM; }
  [[nodiscard]] bool is_connected() const noexcept override { return at == stage::connected; }
  [[nodiscard]] bool is_listening() const noexcept override { return at == stage::listening; }
  int set_option(int level, int option, const void* value, unsigned size) override;
  int bind(const endpoint& wanted) override { return all_.bind(shared_from_this(), wanted); }
  int listen(int most) override;
  int connect(const endpoint& to) override { return all_.connect(shared_from_this(), to); }
  int local_name(endpoint& name) override;
  int peer_name(endpoint& name) override;
  int shutdown(int how) override { return all_.shutdown(shared_from_this(), how); }
  int accept(endpoint& from) override { return all_.accept(shared_from_this(), from); }
  int receive(std::span<std::byte> into) override { return all_.receive(shared_from_this(), into); }
  int send(std::span<const std::byte> bytes) override { return all_.send(shared_from_this(), bytes); }

  [[nodiscard]] std::size_t unread() const noexcept { return arrived - read; }
  void drop_read_bytes() {
    if (read != stream.size() && read < 65536) return;
    stream.erase(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(read));
    arrived -= std::exchange(read, 0);
  }
  [[nodiscard]] int take_error() noexcept { return std::exchange(error, 0); }
  [[nodiscard]] endpoint shown(const endpoint& address) const noexcept { return detail::shown(address, v6); }

  const bool v6;
  stage at = stage::fresh;
  bool closed = false;  // its number is given back
  int error = 0;        // what the next operation fails with
  endpoint local;
  endpoint peer;

  // A listener's.
  bool shares_port = false;
  std::size_t backlog = 0;
  std::size_t coming = 0;  // connections that will be in the queue soon
  std::deque<std::shared_ptr<simulated_tcp_socket>> queue;

  // A connection's.
  std::weak_ptr<simulated_tcp_socket> other;
  std::vector<std::byte> stream;  // for us to read: [read, arrived) is there, the rest on its way
  std::size_t read = 0;
  std::size_t arrived = 0;
  std::deque<part> coming_parts;
  time_point last_arrival{};  // of a part that is on its way to us: none overtakes another
  time_point line_free{};     // when what we have sent so far has left
  std::size_t room = 0;       // how much the other end will take, as far as we know
  bool ended = false;         // the other end has said all
  bool broken = false;
  bool read_shut = false;
  bool write_shut = false;
  bool resets_at_close = false;

 private:
  simulated_tcp& all_;
};

namespace {

using stage = simulated_tcp_socket::stage;

// How often, and for how long, as Linux does by default (tcp_syn_retries, tcp_retries2).
constexpr unsigned most_hellos = 6;
constexpr unsigned most_attempts = 15;

duration pause_before_hello(unsigned attempt) noexcept { return 1s * (1 << attempt); }
duration pause_before_attempt(unsigned attempt) noexcept { return std::min<duration>(200ms * (1 << attempt), 2min); }

}  // namespace

// ---- sockets and their names

int simulated_tcp::make(bool v6) { return kernel_.enter(std::make_shared<simulated_tcp_socket>(*this, v6)); }

int simulated_tcp_socket::set_option(int level, int option, const void* value, unsigned size) {
  if (level == SOL_SOCKET && option == SO_LINGER && size >= sizeof(linger)) {
    linger wanted{};
    std::memcpy(&wanted, value, sizeof wanted);
    resets_at_close = wanted.l_onoff != 0 && wanted.l_linger == 0;
  }
  if (level == SOL_SOCKET && option == SO_REUSEPORT && size >= sizeof(int)) {
    int on = 0;
    std::memcpy(&on, value, sizeof on);
    shares_port = on != 0;
  }
  return 0;  // the others change nothing here
}

bool simulated_tcp::is_taken(const endpoint& address, bool shareable) const {
  return std::any_of(bound_.begin(), bound_.end(), [&](const simulated_tcp_socket* other) {
    return overlap(other->local, address) && !(shareable && other->shares_port);
  });
}

std::uint16_t simulated_tcp::free_port() {
  return ports_.next([this](std::uint16_t port) { return is_taken(endpoint::any_v6(port), false); });
}

int simulated_tcp::bind(const socket& at, const endpoint& local) {
  if (at->at != stage::fresh) return -EINVAL;
  if (local.is_v6() != at->v6) return local.is_v6() ? -EAFNOSUPPORT : -EINVAL;
  const std::uint16_t port = local.port() != 0 ? local.port() : free_port();
  const endpoint wanted = with_port(local, port);
  if (port == 0 || is_taken(wanted, at->shares_port)) return -EADDRINUSE;
  at->local = wanted;
  at->at = stage::bound;
  bound_.push_back(at.get());
  return 0;
}

int simulated_tcp_socket::listen(int most) {
  if (at != stage::bound && at != stage::listening) return -EINVAL;
  at = stage::listening;
  backlog = static_cast<std::size_t>(std::clamp(most, 0, 4096));  // net.core.somaxconn
  return 0;
}

int simulated_tcp_socket::local_name(endpoint& name) {
  name = local ? shown(local) : v6 ? endpoint::any_v6(0) : endpoint::any(0);
  return 0;
}

int simulated_tcp_socket::peer_name(endpoint& name) {
  if (at != stage::connected || broken) return -ENOTCONN;
  name = shown(peer);
  return 0;
}

auto simulated_tcp::listener_at(const endpoint& address) -> socket {
  // The most special address first.
  for (const endpoint& name :
       {address, address.is_v6() ? endpoint::any_v6(address.port()) : endpoint::any(address.port()),
        endpoint::any_v6(address.port())}) {
    std::vector<simulated_tcp_socket*> found;
    std::copy_if(bound_.begin(), bound_.end(), std::back_inserter(found),
                 [&](const simulated_tcp_socket* s) { return s->local == name && s->at == stage::listening; });
    if (found.size() == 1) return found.front()->shared_from_this();
    if (!found.empty()) return found[kernel_.below(static_cast<std::uint32_t>(found.size()))]->shared_from_this();
  }
  return nullptr;
}

void simulated_tcp::forget_name(const simulated_tcp_socket& bound) { std::erase(bound_, &bound); }

// ---- what travels

void simulated_tcp::send_packet(packet p) {
  send_at(kernel_.now() + kernel_.delay(kernel_.network.latency, kernel_.network.jitter), std::move(p));
}

void simulated_tcp::send_at(time_point due, packet p, unsigned attempt) {
  kernel_.schedule(due, [this, p = std::move(p), attempt] {
    if (kernel_.network.down) {
      send_again(p, attempt);
    } else {
      arrive(p, attempt);
    }
  });
}

void simulated_tcp::send_again(packet p, unsigned attempt) {
  const bool hello = p.what == packet::kind::hello;
  if (attempt < (hello ? most_hellos : most_attempts)) {
    const duration pause = hello ? pause_before_hello(attempt) : pause_before_attempt(attempt);
    send_at(kernel_.now() + pause, std::move(p), attempt + 1);
    return;
  }
  switch (p.what) {
    case packet::kind::hello:
    case packet::kind::part:
      fail(p.from, ETIMEDOUT);
      break;
    case packet::kind::welcome:
    case packet::kind::room:
      fail(p.to, ETIMEDOUT);  // it has asked, and had no answer
      break;
    case packet::kind::ready:
      --p.to->coming;
      fail(p.from, ETIMEDOUT);
      break;
    case packet::kind::refusal:
    case packet::kind::reset:
      break;
  }
}

void simulated_tcp::arrive(const packet& p, unsigned attempt) {
  switch (p.what) {
    case packet::kind::hello:
      arrive_hello(p, attempt);
      break;
    case packet::kind::welcome:
      if (!p.to->closed && p.to->at == stage::connecting) {
        p.to->at = stage::connected;
        kernel_.touch(p.to);
      } else {
        send_packet({packet::kind::reset, p.to, p.from});
      }
      break;
    case packet::kind::ready:
      --p.to->coming;
      if (p.to->at == stage::listening) {
        p.to->queue.push_back(p.from);
        kernel_.touch(p.to);
      } else {
        send_reset(*p.from);
      }
      break;
    case packet::kind::refusal:
      fail(p.to, ECONNREFUSED);
      break;
    case packet::kind::part:
      arrive_part(p);
      break;
    case packet::kind::room:
      p.to->room += p.bytes;
      kernel_.touch(p.to);
      break;
    case packet::kind::reset:
      fail(p.to, ECONNRESET);
      break;
  }
}

void simulated_tcp::arrive_hello(const packet& p, unsigned attempt) {
  const socket& client = p.from;
  if (client->at != stage::connecting || client->closed) return;
  const socket listener = listener_at(client->peer);
  if (!listener) {
    send_packet({packet::kind::refusal, nullptr, client});
    return;
  }
  if (listener->queue.size() + listener->coming > listener->backlog) {
    send_again(p, attempt);
    return;
  }
  auto made = std::make_shared<simulated_tcp_socket>(*this, listener->v6);
  made->at = stage::connected;
  made->local = client->peer;
  made->peer = client->local;
  made->room = client->room = std::max<std::size_t>(kernel_.network.receive_buffer, 1);
  made->other = client;
  client->other = made;
  ++listener->coming;
  const time_point welcome = kernel_.now() + kernel_.delay(kernel_.network.latency, kernel_.network.jitter);
  const time_point ready = welcome + kernel_.delay(kernel_.network.latency, kernel_.network.jitter);
  send_at(welcome, {packet::kind::welcome, made, client});
  send_at(ready, {packet::kind::ready, made, listener});
}

void simulated_tcp::arrive_part(const packet& p) {
  simulated_tcp_socket& to = *p.to;
  if (to.coming_parts.empty()) return;  // it was lost with the connection
  const simulated_tcp_socket::part next = to.coming_parts.front();
  to.coming_parts.pop_front();
  if (to.closed || to.broken) {
    if (next.bytes != 0) send_packet({packet::kind::reset, nullptr, p.from});
    return;
  }
  to.arrived += next.bytes;
  to.ended = to.ended || next.end;
  kernel_.touch(p.to);
}

void simulated_tcp::send_part(simulated_tcp_socket& from, std::size_t bytes) {
  const socket to = from.other.lock();
  if (!to) {
    // Nobody is there any more: the answer is on its way.
    if (bytes != 0) send_packet({packet::kind::reset, nullptr, from.shared_from_this()});
    return;
  }
  from.line_free = std::max(from.line_free, kernel_.now());
  if (const std::uint64_t speed = kernel_.network.bytes_per_second; speed != 0) {
    from.line_free += std::chrono::duration_cast<duration>(
        std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(speed)));
  }
  to->coming_parts.push_back({bytes, bytes == 0});
  to->last_arrival =
      std::max(to->last_arrival, from.line_free + kernel_.delay(kernel_.network.latency, kernel_.network.jitter));
  send_at(to->last_arrival, {packet::kind::part, from.shared_from_this(), to});
}

void simulated_tcp::send_end(simulated_tcp_socket& from) {
  if (std::exchange(from.write_shut, true) || from.broken) return;
  send_part(from, 0);
}

void simulated_tcp::send_reset(simulated_tcp_socket& from) {
  const socket to = from.other.lock();
  if (!to || std::exchange(from.broken, true)) return;
  // It may overtake what was sent before, which is lost then.
  const time_point arrival = kernel_.now() + kernel_.delay(kernel_.network.latency, kernel_.network.jitter);
  send_at(kernel_.chance(0.5) ? arrival : std::max(arrival, to->last_arrival),
          {packet::kind::reset, from.shared_from_this(), to});
}

void simulated_tcp::fail(const socket& at, int error) {
  if (at->closed || at->broken) return;
  if (at->at == stage::connecting) {
    at->at = stage::failed;
    at->error = error;
  } else if (at->at == stage::connected) {
    at->broken = true;
    // As Linux tells it: the other end had said all, so it is only our own data that nobody wants.
    at->error = error == ECONNRESET && at->ended ? EPIPE : error;
    at->coming_parts.clear();
    at->stream.resize(at->arrived);
  }
  kernel_.touch(at);
}

void simulated_tcp::break_connection(const socket& at) {
  send_reset(*at);
  at->broken = true;
  at->coming_parts.clear();
  at->stream.resize(at->arrived);
  kernel_.touch(at);
}

void simulated_tcp::close(simulated_tcp_socket& closing) {
  closing.closed = true;
  switch (closing.at) {
    case stage::bound:
    case stage::listening:
      forget_name(closing);
      for (const socket& waiting : std::exchange(closing.queue, {})) send_reset(*waiting);
      closing.at = stage::bound;
      break;
    case stage::connected:
      if (closing.unread() != 0 || closing.resets_at_close) {
        send_reset(closing);
      } else {
        send_end(closing);
      }
      closing.stream.clear();
      closing.read = closing.arrived = 0;
      break;
    default:
      break;
  }
}

int simulated_tcp::shutdown(const socket& at, int how) {
  if (at->at == stage::listening && how != SHUT_WR) {
    at->at = stage::bound;
    for (const socket& waiting : std::exchange(at->queue, {})) send_reset(*waiting);
    kernel_.touch(at);
    return 0;
  }
  if (at->at != stage::connected || at->broken) return -ENOTCONN;
  if (how != SHUT_WR) at->read_shut = true;
  if (how != SHUT_RD) send_end(*at);
  kernel_.touch(at);
  return 0;
}

// ---- the operations

int simulated_tcp::connect(const socket& at, const endpoint& peer) {
  switch (at->at) {
    case stage::connected:
      return at->broken ? -at->take_error() : 0;
    case stage::connecting:
      return -EAGAIN;
    case stage::failed:
      return at->error != 0 ? -at->take_error() : -ECONNABORTED;
    case stage::listening:
      return -EISCONN;
    default:
      break;
  }
  at->peer = meant(peer);
  if (!at->local) {
    const std::uint16_t port = free_port();
    if (port == 0) return -EADDRNOTAVAIL;
    at->local = with_port(at->peer, port);
  }
  at->at = stage::connecting;
  if (kernel_.chance(kernel_.network.refuse)) {
    send_packet({packet::kind::refusal, nullptr, at});
  } else {
    send_packet({packet::kind::hello, at, nullptr});
  }
  return -EAGAIN;
}

int simulated_tcp::accept(const socket& at, endpoint& peer) {
  if (at->at != stage::listening) return -EINVAL;
  if (at->queue.empty()) return -EAGAIN;
  if (kernel_.chance(kernel_.network.accept_error)) {
    const std::uint32_t which = kernel_.below(3);
    if (which != 0) return which == 1 ? -EMFILE : -ENOBUFS;
    send_reset(*at->queue.front());
    at->queue.pop_front();
    return -ECONNABORTED;
  }
  const socket accepted = at->queue.front();
  const int made = kernel_.enter(accepted);
  if (made < 0) return made;
  at->queue.pop_front();
  peer = accepted->shown(accepted->peer);
  return made;
}

int simulated_tcp::receive(const socket& at, std::span<std::byte> into) {
  if (at->at != stage::connected) return -ENOTCONN;
  if (at->unread() == 0) {
    if (at->error != 0) return -at->take_error();
    return at->broken || at->ended || at->read_shut ? 0 : -EAGAIN;
  }
  if (!at->broken && kernel_.chance(kernel_.network.reset)) {
    break_connection(at);
    return -ECONNRESET;
  }
  const std::size_t size = kernel_.part_of(std::min(into.size(), at->unread()), kernel_.network.partial);
  std::memcpy(into.data(), at->stream.data() + at->read, size);
  at->read += size;
  at->drop_read_bytes();
  if (const socket from = at->other.lock()) send_packet({packet::kind::room, at, from, size});
  return static_cast<int>(size);
}

int simulated_tcp::send(const socket& at, std::span<const std::byte> from) {
  if (at->at != stage::connected) return -ENOTCONN;
  if (at->error != 0) return -at->take_error();
  if (at->broken || at->write_shut) return -EPIPE;
  if (at->room == 0) return -EAGAIN;
  if (kernel_.chance(kernel_.network.reset)) {
    break_connection(at);
    return -ECONNRESET;
  }
  const std::size_t size = kernel_.part_of(std::min(from.size(), at->room), kernel_.network.partial);
  at->room -= size;
  const socket to = at->other.lock();
  if (to && !to->closed && !to->broken)
    to->stream.insert(to->stream.end(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(size));
  send_part(*at, size);
  return static_cast<int>(size);
}

unsigned simulated_tcp_socket::ready() const {
  unsigned holds = 0;
  const auto add = [&holds](bool is_so, unsigned what) {
    if (is_so) holds |= what;
  };
  switch (at) {
    case stage::listening:
      add(!queue.empty(), POLLIN);
      break;
    case stage::connected:
      add(unread() != 0 || ended || read_shut, POLLIN);
      add(ended || read_shut, POLLRDHUP);
      add(room != 0 || write_shut, POLLOUT);
      add(broken || error != 0, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
      add(ended && write_shut, POLLHUP);
      add(error != 0, POLLERR);
      break;
    case stage::connecting:
      break;
    case stage::failed:
      holds = POLLIN | POLLOUT | POLLERR | POLLHUP;
      break;
    default:
      holds = POLLOUT | POLLHUP;
      break;
  }
  return holds;
}

}  // namespace weir::detail
