#include "resolve.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "../runtime/offload_abandonable.hpp"
#include "detail/lookup.hpp"
#include "detail/path_name.hpp"
#include "detail/simulated_kernel.hpp"

namespace weir {

namespace {

class resolve_errors final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "resolve"; }
  [[nodiscard]] std::string message(int value) const override { return ::gai_strerror(value); }
  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    if (value == EAI_AGAIN) return std::make_error_condition(std::errc::resource_unavailable_try_again);
    if (value == EAI_MEMORY) return std::make_error_condition(std::errc::not_enough_memory);
    return {value, *this};
  }
};

struct free_list {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};
using address_list = std::unique_ptr<addrinfo, free_list>;

/// 0, or an error of getaddrinfo.
int ask(const std::string& host, const std::string& service, int flags, address_list& answer) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;  // or each address would come once for each kind of socket
  wanted.ai_flags = flags;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), service.c_str(), &wanted, &list);
  if (error == 0) answer.reset(list);
  return error;
}

[[noreturn]] void fail(std::error_code why, const std::string& host) {
  throw std::system_error(why, "resolve " + host);
}

}  // namespace

const std::error_category& resolve_category() noexcept {
  static const resolve_errors instance;
  return instance;
}

namespace detail {

std::vector<endpoint> endpoints_of(const addrinfo* list) {
  std::vector<endpoint> all;
  for (; list; list = list->ai_next) {
    const endpoint one = endpoint::from_native(list->ai_addr, list->ai_addrlen);
    if (one && std::find(all.begin(), all.end(), one) == all.end()) all.push_back(one);
  }
  return all;
}

std::vector<endpoint> look_up(const std::string& host, const std::string& service) {
  address_list answer;
  errno = 0;
  const int error = ask(host, service, 0, answer);
  if (error == EAI_SYSTEM) fail({errno, std::generic_category()}, host);
  if (error == EAI_SERVICE) fail({error, resolve_category()}, host + ":" + service);
  if (error != 0) fail({error, resolve_category()}, host);
  return endpoints_of(answer.get());
}

task<std::vector<endpoint>> resolve_by(lookup how, std::string host, std::string service) {
  if (is_cut_short(host) || is_cut_short(service)) {
    fail(std::make_error_code(std::errc::invalid_argument), host.substr(0, host.find('\0')));
  }
  address_list numeric;
  if (ask(host, service, AI_NUMERICHOST | AI_NUMERICSERV, numeric) == 0) co_return endpoints_of(numeric.get());
  if (simulated_kernel::here()) fail(std::make_error_code(std::errc::not_supported), host);
  const auto call = [how, host, service] { return how(host, service); };
  co_return co_await offload_abandonable(call);
}

}  // namespace detail

task<std::vector<endpoint>> resolve(std::string host, std::string service) {
  return detail::resolve_by(detail::look_up, std::move(host), std::move(service));
}

task<std::vector<endpoint>> resolve(std::string host, std::uint16_t port) {
  return resolve(std::move(host), std::to_string(port));
}

}  // namespace weir
