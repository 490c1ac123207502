#include <doctest/doctest.h>

#include <weir/weir.hpp>

#include <chrono>

using namespace std::chrono_literals;

TEST_CASE("simulation: operations on real descriptors are refused, accept as well, and time goes on") {
  weir::simulation world{{.seed = 1}};
  auto program = []() -> weir::task<int> {
    int refused = 0;
    auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(0));
    auto accepted = co_await weir::as_result(listener.accept());
    refused += accepted.error() == std::errc::not_supported;
    auto connected = co_await weir::as_result(weir::tcp_stream::connect(listener.local_endpoint()));
    refused += connected.error() == std::errc::not_supported;
    auto opened = co_await weir::as_result(weir::file::open("/etc/passwd", weir::file_mode::read));
    refused += opened.error() == std::errc::not_supported;
    co_await weir::sleep_for(1h);
    co_return refused;
  };
  CHECK(world.run(program()) == 3);
}
