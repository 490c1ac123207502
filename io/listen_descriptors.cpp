#include "listen_descriptors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <system_error>

#include "detail/simulated_kernel.hpp"

namespace weir {

namespace {

constexpr int first_number = 3;  // SD_LISTEN_FDS_START
constexpr int most = 4096;

struct socket_kind {
  int domain = 0;
  int type = 0;
  int listens = 0;

  [[nodiscard]] bool is_of_network() const noexcept { return domain == AF_INET || domain == AF_INET6; }
};

/// Nothing for what is no socket.
std::optional<socket_kind> kind_of(int number) noexcept {
  socket_kind kind;
  const auto ask = [number](int option, int& value) {
    socklen_t size = sizeof value;
    return ::getsockopt(number, SOL_SOCKET, option, &value, &size) == 0;
  };
  if (!ask(SO_DOMAIN, kind.domain) || !ask(SO_TYPE, kind.type)) return std::nullopt;
  if (!ask(SO_ACCEPTCONN, kind.listens)) kind.listens = 0;
  return kind;
}

const char* what_is(int number) noexcept {
  const std::optional<socket_kind> kind = kind_of(number);
  if (!kind) return "no socket";
  const bool listens = kind->listens != 0;
  if (kind->is_of_network() && kind->type == SOCK_STREAM) return listens ? "a TCP listener" : "a TCP stream";
  if (kind->is_of_network() && kind->type == SOCK_DGRAM) return "a UDP socket";
  if (kind->domain == AF_UNIX) {
    switch (kind->type) {
      case SOCK_STREAM:
        return listens ? "a unix listener" : "a unix stream";
      case SOCK_SEQPACKET:
        return listens ? "a unix seqpacket listener" : "a unix seqpacket";
      case SOCK_DGRAM:
        return "a unix datagram socket";
      default:
        break;
    }
  }
  return "a socket of a kind that weir does not know";
}

[[noreturn]] void refuse(int error, const std::string& why) {
  throw std::system_error(error, std::generic_category(), "listen_descriptors: " + why);
}

/// As a whole number that is not negative.
int number_in(const char* variable, const char* text) {
  const std::string_view digits = text;
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || value < 0) {
    refuse(EINVAL, fmt::format("{} is \"{}\"", variable, text));
  }
  return value;
}

std::vector<std::string> split_names(std::string_view names) {
  std::vector<std::string> all;
  for (;;) {
    const std::size_t colon = names.find(':');
    all.emplace_back(names.substr(0, colon));
    if (colon == std::string_view::npos) return all;
    names.remove_prefix(colon + 1);
  }
}

}  // namespace

void listen_descriptor::check(const char* wanted) const {
  const std::string_view is = number() < 0 ? "taken over already" : what_is(number());
  if (is == wanted) return;
  throw std::system_error(number() < 0 ? EBADF : EPROTOTYPE, std::generic_category(),
                          fmt::format("adopt fd {} (\"{}\") as {}: it is {}", number(), name_, wanted, is));
}

tcp_listener listen_descriptor::take_tcp_listener() {
  check("a TCP listener");
  return tcp_listener::adopt(release());
}
tcp_stream listen_descriptor::take_tcp_stream() {
  check("a TCP stream");
  return tcp_stream::adopt(release());
}
udp_socket listen_descriptor::take_udp_socket() {
  check("a UDP socket");
  return udp_socket::adopt(release());
}
unix_listener listen_descriptor::take_unix_listener() {
  check("a unix listener");
  return unix_listener::adopt(release());
}
unix_seqpacket_listener listen_descriptor::take_unix_seqpacket_listener() {
  check("a unix seqpacket listener");
  return unix_seqpacket_listener::adopt(release());
}
unix_datagram_socket listen_descriptor::take_unix_datagram_socket() {
  check("a unix datagram socket");
  return unix_datagram_socket::adopt(release());
}

// NOLINTBEGIN(concurrency-mt-unsafe): said to who calls it
std::vector<listen_descriptor> listen_descriptors() {
  std::vector<listen_descriptor> all;
  const char* const pid = std::getenv("LISTEN_PID");
  const char* const count_text = std::getenv("LISTEN_FDS");
  if (!pid || !count_text || detail::simulated_kernel::here()) return all;
  if (number_in("LISTEN_PID", pid) != ::getpid()) return all;  // they are for somebody else
  const int count = number_in("LISTEN_FDS", count_text);
  if (count > most) refuse(EINVAL, fmt::format("LISTEN_FDS is {}, and at most {} are taken", count, most));
  std::vector<std::string> names(static_cast<std::size_t>(count), "unknown");
  if (const char* const given = std::getenv("LISTEN_FDNAMES"); given && count != 0) {
    names = split_names(given);
    if (names.size() != static_cast<std::size_t>(count)) {
      refuse(EINVAL, fmt::format("LISTEN_FDNAMES has {} names for {} descriptors", names.size(), count));
    }
  }
  for (int number = first_number; number < first_number + count; ++number) {
    if (::fcntl(number, F_GETFD) < 0) refuse(errno, fmt::format("fd {} was promised", number));
  }
  all.reserve(names.size());
  for (int i = 0; i < count; ++i) {
    const int number = first_number + i;
    static_cast<void>(::fcntl(number, F_SETFD, FD_CLOEXEC));
    all.emplace_back(std::move(names[static_cast<std::size_t>(i)]), unique_descriptor(number));
  }
  for (const char* const name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  return all;
}
// NOLINTEND(concurrency-mt-unsafe)

}  // namespace weir
