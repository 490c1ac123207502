#include "connect.hpp"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/cancellation.hpp"
#include "../runtime/task_group.hpp"
#include "../runtime/with_cancellation.hpp"
#include "../runtime/with_timeout.hpp"
#include "detail/alternate_families.hpp"
#include "resolve.hpp"

namespace weir {

namespace detail {

std::vector<endpoint> alternate_families(const std::vector<endpoint>& addresses) {
  if (addresses.empty()) return {};
  std::array<std::vector<endpoint>, 2> turns;
  for (const endpoint& one : addresses) turns[one.is_v6() == addresses.front().is_v6() ? 0 : 1].push_back(one);
  std::vector<endpoint> all;
  all.reserve(addresses.size());
  for (std::size_t i = 0; all.size() < addresses.size(); ++i) {
    for (const auto& turn : turns) {
      if (i < turn.size()) all.push_back(turn[i]);
    }
  }
  return all;
}

}  // namespace detail

namespace {

struct attempt {
  endpoint peer;
  std::error_code failure;
};

/// Between attempts, which may run on several workers. What is not atomic is looked at when all have ended.
struct contest {
  std::vector<attempt> attempts;
  std::atomic<bool> is_decided{false};
  tcp_stream winner;
  cancellation_source decided;
};

task<> compete(contest& in, attempt& self) {
  auto made = co_await as_result(tcp_stream::connect(self.peer));
  if (!made.has_value()) {
    self.failure = made.error();
  } else if (!in.is_decided.exchange(true)) {
    in.winner = std::move(*made);
    in.decided.request_cancellation();
  }
}

task<> hold(contest& in, duration delay) {
  const auto body = [&](task_group& group) -> task<> {
    for (attempt& next : in.attempts) {
      auto newest = group.spawn(compete(in, next));
      if (&next == &in.attempts.back()) break;
      auto ended = co_await as_result(with_timeout(delay, newest.join()));
      static_cast<void>(ended);  // it has failed, or its time is up; when it has won this task is stopped
    }
    co_await group.join();
  };
  co_await with_task_group(body);
}

[[noreturn]] void fail(const std::vector<attempt>& attempts) {
  const attempt& first = attempts.front();
  if (attempts.size() == 1) throw std::system_error(first.failure, fmt::format("connect {}", first.peer));
  std::string all;
  for (const attempt& one : attempts) {
    all += fmt::format("{}{}: {}", all.empty() ? "" : "; ", one.peer, one.failure.message());
  }
  throw std::system_error(first.failure, fmt::format("connect to one of {} addresses ({})", attempts.size(), all));
}

}  // namespace

task<tcp_stream> connect(std::vector<endpoint> addresses, connect_options options) {
  if (addresses.empty())
    throw std::system_error(EDESTADDRREQ, std::generic_category(), "connect to one of no addresses");
  contest in;
  for (const endpoint& one : detail::alternate_families(addresses)) in.attempts.push_back({one, {}});
  auto held = co_await as_result(with_cancellation(in.decided.token(), hold(in, options.attempt_delay)));
  if (in.winner.is_open()) co_return std::move(in.winner);
  if (!held.has_value()) std::move(held).value();  // memory is out
  fail(in.attempts);
}

task<tcp_stream> connect(std::string host, std::string service, connect_options options) {
  std::vector<endpoint> addresses = co_await resolve(std::move(host), std::move(service));
  co_return co_await connect(std::move(addresses), options);
}

task<tcp_stream> connect(std::string host, std::uint16_t port, connect_options options) {
  return connect(std::move(host), std::to_string(port), options);
}

}  // namespace weir
