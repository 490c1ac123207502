#include "simulated_unix.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "simulated_kernel.hpp"
#include "simulated_socket.hpp"

namespace weir::detail {

namespace {

constexpr std::size_t most_messages = 10;         // net.unix.max_dgram_qlen
constexpr std::size_t longest_message = 212'960;  // what a send buffer of the usual size takes

}  // namespace

class simulated_unix_socket final : public simulated_socket_of<unix_endpoint>,
                                    public std::enable_shared_from_this<simulated_unix_socket> {
 public:
  /// One that has arrived; of a stream a piece of it, of which `read` bytes are taken.
  struct message {
    unix_endpoint from;
    std::vector<std::byte> bytes;
    std::size_t read = 0;
  };

  simulated_unix_socket(simulated_unix& all, int its_type) : all_(all), type_(its_type) {}
  void close() noexcept override;
  [[nodiscard]] unsigned ready() const override;
  [[nodiscard]] int type() const noexcept override { return type_; }
  [[nodiscard]] bool is_connected() const noexcept override { return was_connected; }
  [[nodiscard]] bool is_listening() const noexcept override { return listens; }
  int set_option(int, int, const void*, unsigned) override { return 0; }  // they change nothing here
  int bind(const unix_endpoint& wanted) override { return all_.bind(shared_from_this(), wanted); }
  int listen(int most) override;
  int connect(const unix_endpoint& to) override;
  int local_name(unix_endpoint& name) override;
  int peer_name(unix_endpoint& name) override;
  int shutdown(int how) override;
  int accept(endpoint& from) override;
  int receive(std::span<std::byte> into) override;
  int send(std::span<const std::byte> bytes) override;
  int receive_message(std::span<std::byte> into, unix_endpoint& from) override;
  int send_message(std::span<const std::byte> bytes, const unix_endpoint* to) override;

  void connect_with(const std::shared_ptr<simulated_unix_socket>& peer);
  [[nodiscard]] bool is_named() const noexcept { return static_cast<bool>(local); }
  [[nodiscard]] bool is_closed() const noexcept { return closed_; }

  unix_endpoint local;
  bool listens = false;
  bool was_connected = false;

 private:
  [[nodiscard]] simulated_kernel& kernel() const noexcept { return all_.kernel_; }
  [[nodiscard]] bool has_connections() const noexcept { return type_ != SOCK_DGRAM; }
  [[nodiscard]] int take_error() noexcept { return std::exchange(error_, 0); }
  [[nodiscard]] std::shared_ptr<simulated_unix_socket> peer() const noexcept { return other_.lock(); }
  /// How many bytes more it takes from whom it is connected with.
  [[nodiscard]] std::size_t room() const noexcept {
    const std::size_t most = std::max<std::size_t>(kernel().network.receive_buffer, 1);
    return most - std::min(most, unread_);
  }
  /// Whether a message of that size has room there.
  [[nodiscard]] bool takes(const simulated_unix_socket& from, std::size_t size) const noexcept {
    if (other_.lock().get() != &from) return queue_.size() <= most_messages;
    return unread_ == 0 || size <= room();
  }
  int connect_messages(const unix_endpoint& to);
  void put(message what);
  /// Somebody may send to it again.
  void tell_of_room();
  /// The other end says no more, and takes no more; `error` is what is heard of it.
  void lose_peer(int error);
  void break_connection();

  simulated_unix& all_;
  const int type_;
  bool closed_ = false;
  bool write_shut_ = false;
  bool read_shut_ = false;  // nothing more will come
  int error_ = 0;           // what the next operation fails with
  std::weak_ptr<simulated_unix_socket> other_;
  std::vector<std::weak_ptr<simulated_unix_socket>> senders_;  // those that are connected to this one
  std::deque<message> queue_;
  std::size_t unread_ = 0;
  std::size_t backlog_ = 0;
  std::deque<std::shared_ptr<simulated_unix_socket>> connections_;  // that nobody has accepted
};

// ---- sockets and their names

int simulated_unix::make(int type) { return kernel_.enter(std::make_shared<simulated_unix_socket>(*this, type)); }

int simulated_unix::make_pair(int type, std::array<int, 2>& numbers) {
  const auto first = std::make_shared<simulated_unix_socket>(*this, type);
  const auto second = std::make_shared<simulated_unix_socket>(*this, type);
  first->connect_with(second);
  second->connect_with(first);
  numbers[0] = kernel_.enter(first);
  if (numbers[0] < 0) return numbers[0];
  numbers[1] = kernel_.enter(second);
  if (numbers[1] >= 0) return 0;
  simulated_kernel::close(numbers[0]);
  return numbers[1];
}

int simulated_unix::file_of(const unix_endpoint& path, std::uint64_t& inode) const {
  const auto found = names_.find(path);
  if (found == names_.end() || !path.is_path()) return -ENOENT;
  inode = found->second.inode;
  return 0;
}

int simulated_unix::remove_file(const unix_endpoint& path) {
  return path.is_path() && names_.erase(path) != 0 ? 0 : -ENOENT;
}

int simulated_unix::bind(const socket& at, const unix_endpoint& local) {
  if (at->is_named()) return -EINVAL;
  unix_endpoint name = local;
  while (!name) {  // as the kernel picks them
    const unix_endpoint picked = unix_endpoint::abstract(fmt::format("{:05x}", ++last_name_ & 0xfffff));
    if (!names_.contains(picked)) name = picked;
  }
  std::uint64_t size = 0;
  std::uint64_t inode = 0;
  const bool is_a_file = name.is_path() && kernel_.disk().status(std::string(name.name()), size, inode) >= 0;
  if (is_a_file || !names_.try_emplace(name, named{at, ++last_inode_}).second) return -EADDRINUSE;
  at->local = name;
  return 0;
}

int simulated_unix::find(const unix_endpoint& name, int type, socket& found) const {
  const auto entry = names_.find(name);
  if (entry == names_.end()) return name.is_path() ? -ENOENT : -ECONNREFUSED;
  found = entry->second.owner.lock();
  if (!found || found->is_closed()) return -ECONNREFUSED;
  return found->type() == type ? 0 : -EPROTOTYPE;
}

int simulated_unix_socket::local_name(unix_endpoint& name) {
  name = local;
  return 0;
}

int simulated_unix_socket::peer_name(unix_endpoint& name) {
  const auto with = peer();
  if (!with) return -ENOTCONN;
  name = with->local;
  return 0;
}

int simulated_unix_socket::listen(int most) {
  if (!has_connections()) return -EOPNOTSUPP;
  if (!is_named()) return -EINVAL;
  listens = true;
  backlog_ = static_cast<std::size_t>(std::clamp(most, 0, 4096));
  return 0;
}

void simulated_unix_socket::connect_with(const std::shared_ptr<simulated_unix_socket>& peer) {
  other_ = peer;
  was_connected = true;
}

int simulated_unix_socket::connect(const unix_endpoint& to) {
  if (!has_connections()) return connect_messages(to);
  if (was_connected) return -EISCONN;
  std::shared_ptr<simulated_unix_socket> listener;
  if (const int result = all_.find(to, type_, listener); result != 0) return result;
  if (!listener->listens || kernel().chance(kernel().network.refuse)) return -ECONNREFUSED;
  if (listener->connections_.size() > listener->backlog_) return -EAGAIN;
  const auto made = std::make_shared<simulated_unix_socket>(all_, type_);
  made->local = listener->local;
  made->connect_with(shared_from_this());
  connect_with(made);
  listener->connections_.push_back(made);
  kernel().touch(listener);
  return 0;
}

int simulated_unix_socket::connect_messages(const unix_endpoint& to) {
  std::shared_ptr<simulated_unix_socket> found;
  if (const int result = all_.find(to, type_, found); result != 0) return result;
  if (const auto with = found->peer(); with && with.get() != this) return -EPERM;
  connect_with(found);
  std::erase_if(found->senders_, [](const auto& sender) { return sender.expired(); });
  found->senders_.push_back(weak_from_this());
  return 0;
}

int simulated_unix_socket::accept(endpoint&) {
  if (!listens || closed_) return -EINVAL;
  if (connections_.empty()) return -EAGAIN;
  if (kernel().chance(kernel().network.accept_error)) return kernel().below(2) == 0 ? -EMFILE : -ENOBUFS;
  const int made = kernel().enter(connections_.front());
  if (made >= 0) connections_.pop_front();
  return made;
}

// ---- how they end

void simulated_unix_socket::lose_peer(int error) {
  error_ = error;
  read_shut_ = true;
  write_shut_ = true;
  kernel().touch(shared_from_this());
}

void simulated_unix_socket::break_connection() {
  if (const auto with = peer()) with->lose_peer(ECONNRESET);
  read_shut_ = true;
  write_shut_ = true;
  other_.reset();
  kernel().touch(shared_from_this());
}

void simulated_unix_socket::close() noexcept {
  closed_ = true;
  if (local.is_abstract()) {
    // An accepted connection has its listener's name, which is not its own.
    const auto found = all_.names_.find(local);
    if (found != all_.names_.end() && found->second.owner.lock().get() == this) all_.names_.erase(found);
  }
  for (const auto& made : std::exchange(connections_, {})) {
    if (const auto client = made->peer()) client->lose_peer(ECONNRESET);
  }
  if (has_connections()) {
    if (const auto with = peer()) with->lose_peer(queue_.empty() ? 0 : ECONNRESET);
  }
  queue_.clear();
  unread_ = 0;
  tell_of_room();  // there is nobody to wait for
}

int simulated_unix_socket::shutdown(int how) {
  if (listens) {
    kernel().touch(shared_from_this());
    return 0;
  }
  const auto with = peer();
  if (!with) return -ENOTCONN;
  if (how != SHUT_WR) read_shut_ = true;
  if (how != SHUT_RD) write_shut_ = true;
  if (has_connections()) {
    if (how != SHUT_RD) with->read_shut_ = true;
    if (how != SHUT_WR) with->write_shut_ = true;
    kernel().touch(with);
  }
  kernel().touch(shared_from_this());
  return 0;
}

// ---- the operations

void simulated_unix_socket::put(message what) {
  unread_ += what.bytes.size();
  queue_.push_back(std::move(what));
  kernel().touch(shared_from_this());
}

void simulated_unix_socket::tell_of_room() {
  if (const auto with = peer()) kernel().touch(with);
  for (const auto& sender : senders_) {
    if (const auto waits = sender.lock()) kernel().touch(waits);
  }
}

int simulated_unix_socket::receive(std::span<std::byte> into) {
  if (!was_connected) return -EINVAL;
  if (queue_.empty()) {
    if (error_ != 0) return -take_error();
    return read_shut_ ? 0 : -EAGAIN;
  }
  if (!read_shut_ && kernel().chance(kernel().network.reset)) {
    break_connection();
    return -ECONNRESET;
  }
  const std::size_t size = kernel().part_of(std::min(into.size(), unread_), kernel().network.partial);
  std::size_t done = 0;
  while (done < size) {
    message& first = queue_.front();
    const std::size_t piece = std::min(size - done, first.bytes.size() - first.read);
    std::copy_n(first.bytes.begin() + static_cast<std::ptrdiff_t>(first.read), piece,
                into.begin() + static_cast<std::ptrdiff_t>(done));
    done += piece;
    first.read += piece;
    if (first.read == first.bytes.size()) queue_.pop_front();
  }
  unread_ -= size;
  tell_of_room();
  return static_cast<int>(size);
}

int simulated_unix_socket::send(std::span<const std::byte> bytes) {
  if (!was_connected) return -ENOTCONN;
  if (write_shut_) return -EPIPE;
  const auto to = peer();
  if (!to) return -EPIPE;
  if (to->room() == 0) return -EAGAIN;
  if (kernel().chance(kernel().network.reset)) {
    break_connection();
    return -ECONNRESET;
  }
  const std::size_t size = kernel().part_of(std::min(bytes.size(), to->room()), kernel().network.partial);
  const auto taken = bytes.first(size);
  to->put({.from = local, .bytes = {taken.begin(), taken.end()}});
  return static_cast<int>(size);
}

int simulated_unix_socket::receive_message(std::span<std::byte> into, unix_endpoint& from) {
  if (has_connections() && !was_connected) return -ENOTCONN;
  if (queue_.empty()) {
    if (error_ != 0) return -take_error();
    return read_shut_ ? 0 : -EAGAIN;
  }
  if (has_connections() && !read_shut_ && kernel().chance(kernel().network.reset)) {
    break_connection();
    return -ECONNRESET;
  }
  const message next = std::move(queue_.front());
  queue_.pop_front();
  unread_ -= next.bytes.size();
  if (!has_connections()) from = next.from;
  std::copy_n(next.bytes.begin(), std::min(into.size(), next.bytes.size()), into.begin());
  tell_of_room();
  return static_cast<int>(next.bytes.size());
}

int simulated_unix_socket::send_message(std::span<const std::byte> bytes, const unix_endpoint* to) {
  if (bytes.size() > longest_message) return -EMSGSIZE;
  std::shared_ptr<simulated_unix_socket> receiver = peer();
  if (to) {
    if (has_connections()) return was_connected ? -EISCONN : -EOPNOTSUPP;
    if (const int result = all_.find(*to, type_, receiver); result != 0) return result;
    if (const auto with = receiver->peer(); with && with.get() != this) return -EPERM;
  } else if (!was_connected) {
    return -ENOTCONN;
  }
  if (write_shut_) return -EPIPE;
  if (!receiver || receiver->closed_) {
    if (!has_connections()) was_connected = false;
    return has_connections() ? -EPIPE : -ECONNREFUSED;
  }
  if (receiver->read_shut_) return -EPIPE;
  if (!receiver->takes(*this, bytes.size())) return -EAGAIN;
  if (has_connections() && kernel().chance(kernel().network.reset)) {
    break_connection();
    return -ECONNRESET;
  }
  receiver->put({.from = local, .bytes = {bytes.begin(), bytes.end()}});
  return static_cast<int>(bytes.size());
}

unsigned simulated_unix_socket::ready() const {
  if (listens) return connections_.empty() ? 0 : POLLIN;
  if (has_connections() && !was_connected) return POLLOUT | POLLHUP;
  unsigned holds = 0;
  const auto add = [&holds](bool is_so, unsigned what) {
    if (is_so) holds |= what;
  };
  const auto with = peer();
  add(!queue_.empty() || read_shut_, POLLIN);
  add(read_shut_ && has_connections(), POLLRDHUP);
  add(read_shut_ && write_shut_ && has_connections(), POLLHUP);
  add(!with || write_shut_ || (type_ == SOCK_STREAM ? with->room() != 0 : with->takes(*this, 1)), POLLOUT);
  add(error_ != 0, POLLIN | POLLERR);
  return holds;
}

}  // namespace weir::detail
