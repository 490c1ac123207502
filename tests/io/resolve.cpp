#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <latch>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <weir/io/detail/lookup.hpp>
#include <weir/io/resolve.hpp>
#include <weir/patterns/is_transient.hpp>

#include "tcp_support.hpp"

using test::run_checked;
using test::sentence_of;
using weir::as_result;
using weir::endpoint;
using weir::resolve;
using weir::task;
using weir::detail::resolve_by;

using addresses = std::vector<endpoint>;

namespace {

/// No test asks a name server: what is looked up is in /etc/hosts, or an answer of the test's own.
addresses never(const std::string&, const std::string&) {
  ADD_FAIL_CHECK_AT(__FILE__, __LINE__, "a thread was asked");
  return {};
}

}  // namespace

TEST_CASE("resolve: numeric addresses are answered without a thread, in simulations too") {
  auto main = []() -> task<> {
    const addresses v4 = co_await resolve_by(never, "127.0.0.1", "80");
    CHECK(v4 == addresses{endpoint::loopback(80)});
    const addresses v6 = co_await resolve_by(never, "::1", "443");
    CHECK(v6 == addresses{endpoint::loopback_v6(443)});
    const addresses by_number = co_await resolve("10.1.2.3", 65535);
    CHECK(by_number == addresses{endpoint::parse("10.1.2.3:65535")});
    auto cut = co_await as_result(resolve(std::string("127.0.0.1\0.org", 14), 80));
    CHECK(sentence_of(cut) == "resolve 127.0.0.1: Invalid argument");
  };
  run_checked(main());
  test::simulate(main);
}

TEST_CASE("resolve: names of this machine") {
  auto main = []() -> task<> {
    const addresses here = co_await resolve("localhost", 80);
    const bool loopback = std::all_of(here.begin(), here.end(), [](const endpoint& one) {
      return one == endpoint::loopback(80) || one == endpoint::loopback_v6(80);
    });
    CHECK(!here.empty());
    CHECK(loopback);
  };
  run_checked(main());
}

TEST_CASE("resolve: what fails says so, and whether it may work later") {
  auto main = []() -> task<> {
    auto service = co_await as_result(resolve("127.0.0.1", "no-such-service"));
    CHECK(service.error() == std::error_code(EAI_SERVICE, weir::resolve_category()));
    CHECK(sentence_of(service) == "resolve 127.0.0.1:no-such-service: Servname not supported for ai_socktype");
    auto name = co_await as_result(resolve("two..dots", 80));
    CHECK(sentence_of(name).starts_with("resolve two..dots: "));
    CHECK(name.error().category() == weir::resolve_category());
    CHECK(!weir::is_transient(name.error()));
    const auto broken = [](const std::string&, const std::string&) -> addresses {
      throw std::system_error(EAI_AGAIN, weir::resolve_category(), "resolve");
    };
    auto again = co_await as_result(resolve_by(broken, "name", "80"));
    CHECK(again.error() == std::errc::resource_unavailable_try_again);
    CHECK(weir::is_transient(again.error()));
    CHECK(again.error().category().name() == std::string("resolve"));
    CHECK(std::error_code(EAI_MEMORY, weir::resolve_category()) == std::errc::not_enough_memory);
  };
  run_checked(main());
}

TEST_CASE("resolve: the order of the answer is kept, and each address comes once") {
  std::array<sockaddr_in, 4> addresses_of_list{};
  std::array<addrinfo, 4> list{};
  const std::array<std::uint32_t, 4> hosts = {0x0a000003, 0x0a000001, 0x0a000003, 0x0a000002};
  for (std::size_t i = 0; i < list.size(); ++i) {
    addresses_of_list[i].sin_family = AF_INET;
    addresses_of_list[i].sin_port = htons(80);
    addresses_of_list[i].sin_addr.s_addr = htonl(hosts[i]);
    list[i].ai_addr = reinterpret_cast<sockaddr*>(&addresses_of_list[i]);
    list[i].ai_addrlen = sizeof(sockaddr_in);
    list[i].ai_next = i + 1 < list.size() ? &list[i + 1] : nullptr;
  }
  const addresses wanted = {endpoint::parse("10.0.0.3:80"), endpoint::parse("10.0.0.1:80"),
                            endpoint::parse("10.0.0.2:80")};
  CHECK(weir::detail::endpoints_of(list.data()) == wanted);
  CHECK(weir::detail::endpoints_of(nullptr).empty());
}

TEST_CASE("resolve: who is stopped leaves a lookup behind that touches nothing of his") {
  struct shared {
    std::latch begun{1};
    std::latch may_end{1};
    std::latch ended{1};
    std::string seen;
  };
  const auto state = std::make_shared<shared>();
  const auto slow = [state](const std::string& host, const std::string& service) {
    state->begun.count_down();
    state->may_end.wait();
    state->seen = host + ":" + service;  // still there, although whoever asked has gone
    state->ended.count_down();
    return addresses{endpoint::loopback(1)};
  };
  auto main = [&]() -> task<> {
    const weir::detail::lookup how = slow;
    auto asking = weir::spawn(resolve_by(how, "a.name.that.is.not.in.the.small.buffer", "http"));
    while (!state->begun.try_wait()) co_await weir::yield();
    asking.request_cancellation();
    auto stopped = co_await as_result(asking.join());
    CHECK(stopped.is_cancelled());
    CHECK(!state->ended.try_wait());
  };
  run_checked(main());
  state->may_end.count_down();  // after the end of the runtime
  state->ended.wait();
  CHECK(state->seen == "a.name.that.is.not.in.the.small.buffer:http");
}

TEST_CASE("resolve: names are refused in a simulation") {
  auto main = []() -> task<> {
    auto refused = co_await as_result(resolve("localhost", 80));
    CHECK(sentence_of(refused) == "resolve localhost: Operation not supported");
  };
  test::simulate(main);
}
