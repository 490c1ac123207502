#include <doctest/doctest.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <set>
#include <stdexcept>
#include <string>
#include <unordered_set>

#include <weir/io/endpoint.hpp>

namespace {

std::string why_not(std::string_view text) {
  try {
    static_cast<void>(weir::endpoint::parse(text));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("endpoint: text and value agree in both directions") {
  for (const char* text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:0",
                           "[2001:db8::ff00:42:8329]:443", "[fe80::1%2]:80"}) {
    CAPTURE(text);
    const weir::endpoint e = weir::endpoint::parse(text);
    CHECK(e.to_string() == text);
    CHECK(static_cast<bool>(e));
    CHECK(e.is_v6() == (text[0] == '['));
    CHECK(e.is_v4() == (text[0] != '['));
  }
  CHECK(weir::endpoint::parse("[0:0:0:0:0:0:0:1]:7").to_string() == "[::1]:7");
  CHECK(weir::endpoint::parse("[::ffff:1.2.3.4]:7").to_string() == "[::ffff:1.2.3.4]:7");
}

TEST_CASE("endpoint: what is not an address and a port is refused, quoting it") {
  CHECK(why_not("example.org:80") ==
        "endpoint \"example.org:80\": expected an address and a port, as in 127.0.0.1:80 or [::1]:80");
  for (const char* text : {"",
                           ":",
                           ":80",
                           "127.0.0.1",
                           "127.0.0.1:",
                           "127.0.0.1:-1",
                           "127.0.0.1:65536",
                           "127.0.0.1:80x",
                           "127.0.0.1: 80",
                           "127.0.0.1:+80",
                           "127.0.0.256:80",
                           "127.1:80",
                           "::1:80",
                           "[::1]",
                           "[::1]80",
                           "[]:80",
                           "[:::1]:80",
                           "[::1%]:80",
                           "[::1%x]:80",
                           "[127.0.0.1]:80"}) {
    CAPTURE(text);
    CHECK(why_not(text).find("expected an address and a port") != std::string::npos);
  }
}

TEST_CASE("endpoint: the named ones") {
  CHECK(weir::endpoint().to_string() == "(none)");
  CHECK(!weir::endpoint());
  CHECK(weir::endpoint().port() == 0);
  CHECK(weir::endpoint::loopback(80).to_string() == "127.0.0.1:80");
  CHECK(weir::endpoint::loopback_v6(80).to_string() == "[::1]:80");
  CHECK(weir::endpoint::any(80).to_string() == "0.0.0.0:80");
  CHECK(weir::endpoint::any_v6(80).to_string() == "[::]:80");
  CHECK(weir::endpoint::any(80).port() == 80);
  CHECK(fmt::format("{} {:>14}", weir::endpoint::loopback(1), weir::endpoint::loopback(2)) ==
        "127.0.0.1:1    127.0.0.1:2");
}

TEST_CASE("endpoint: the kernel's form and back") {
  for (const char* text : {"127.0.0.1:80", "[::1]:80", "[fe80::1%2]:65535"}) {
    CAPTURE(text);
    const weir::endpoint e = weir::endpoint::parse(text);
    sockaddr_storage native{};
    const std::size_t size = e.to_native(&native);
    CHECK(size == (e.is_v6() ? sizeof(sockaddr_in6) : sizeof(sockaddr_in)));
    CHECK(native.ss_family == (e.is_v6() ? AF_INET6 : AF_INET));
    CHECK(weir::endpoint::from_native(&native, size) == e);
    // Cut short by the kernel, or of another family: no address.
    CHECK(!weir::endpoint::from_native(&native, size - 1));
    CHECK(!weir::endpoint::from_native(&native, 0));
    native.ss_family = AF_UNIX;
    CHECK(!weir::endpoint::from_native(&native, size));
  }
  sockaddr_storage native{};
  CHECK(weir::endpoint().to_native(&native) == sizeof(sockaddr_in));
  CHECK(native.ss_family == AF_UNSPEC);
}

TEST_CASE("endpoint: comparison, order and hash") {
  const weir::endpoint a = weir::endpoint::parse("10.0.0.1:80");
  CHECK(a == weir::endpoint::parse("10.0.0.1:80"));
  CHECK(a != weir::endpoint::parse("10.0.0.1:81"));
  CHECK(a != weir::endpoint::parse("10.0.0.2:80"));
  CHECK(weir::endpoint::loopback(1) != weir::endpoint::loopback_v6(1));
  CHECK(weir::endpoint::parse("[fe80::1%1]:1") != weir::endpoint::parse("[fe80::1%2]:1"));
  CHECK(weir::endpoint::parse("10.0.0.1:80") < weir::endpoint::parse("10.0.0.2:1"));

  std::set<weir::endpoint> ordered;
  std::unordered_set<weir::endpoint> hashed;
  std::unordered_set<std::size_t> hashes;
  for (std::uint16_t port = 0; port < 1000; ++port) {
    for (const weir::endpoint& e : {weir::endpoint::loopback(port), weir::endpoint::loopback_v6(port)}) {
      ordered.insert(e);
      hashed.insert(e);
      hashes.insert(std::hash<weir::endpoint>{}(e));
      CHECK(std::hash<weir::endpoint>{}(e) == std::hash<weir::endpoint>{}(weir::endpoint::parse(e.to_string())));
    }
  }
  CHECK(ordered.size() == 2000);
  CHECK(hashed.size() == 2000);
  CHECK(hashes.size() > 1990);
}
