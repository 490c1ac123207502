#include "../skip.hpp"
#include "support.hpp"

using test::simulate;

namespace {

class own_error final : public std::exception {};

}  // namespace

TEST_CASE("as_result tells value, exception, timed_out and cancelled apart") {
  simulate([]() -> weir::task<> {
    auto value = co_await weir::as_result(test::after(1ms, 3));
    static_assert(std::is_same_v<decltype(value), weir::result<int>>);
    CHECK(value.has_value());
    CHECK(static_cast<bool>(value));
    CHECK(*value == 3);
    CHECK(value.value() == 3);
    CHECK(!value.error());
    CHECK(!value.is_cancelled());
    CHECK(value.cause() == weir::cancellation_cause::none);
    CHECK(value.exception() == nullptr);

    auto system = []() -> weir::task<int> {
      throw std::system_error(std::make_error_code(std::errc::connection_refused), "connect");
      co_return 0;
    };
    const auto refused = co_await weir::as_result(system());
    CHECK(refused.error() == std::errc::connection_refused);
    CHECK_THROWS_AS(refused.value(), std::system_error);

    auto other = []() -> weir::task<int> {
      throw own_error();
      co_return 0;
    };
    const auto own = co_await weir::as_result(other());
    CHECK(own.error() == weir::errc::exception);
    CHECK(!own.is_cancelled());
    CHECK(own.cause() == weir::cancellation_cause::none);
    CHECK_THROWS_AS(own.value(), own_error);
    CHECK_THROWS_AS(std::rethrow_exception(own.exception()), own_error);

    const auto late = co_await weir::as_result(weir::with_timeout(1ms, test::nap(1h)));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(!late.is_cancelled());
    CHECK(late.cause() == weir::cancellation_cause::deadline);

    weir::cancellation_source source;
    source.request_cancellation();
    const auto gone = co_await weir::as_result(weir::with_cancellation(source.token(), test::nap(1h)));
    CHECK(gone.error() == std::errc::operation_canceled);
    CHECK(gone.is_cancelled());
    CHECK(gone.cause() == weir::cancellation_cause::requested);
    CHECK_THROWS_AS(gone.value(), weir::cancelled);
  });
}

TEST_CASE("as_result: the value of a failure is told in debug builds") {
#if defined(NDEBUG)
  skip("needs assertions");
#else
  const auto* const said =
      "weir: the value of a result that is a failure: ask whether there is one, or use value(), which throws the "
      "failure\n";
  CHECK(test::last_words_of([] {
          const weir::result<std::string> failed = weir::detail::failure::timeout();
          static_cast<void>(failed->size());
        }) == said);
  CHECK(test::last_words_of([] {
          weir::result<std::string> failed = weir::detail::failure::timeout();
          static_cast<void>((*failed).size());
        }) == said);
  CHECK(test::last_words_of([] { static_cast<void>(*weir::result<int>(weir::detail::failure::timeout())); }) == said);
#endif
}

TEST_CASE("an exception that a task has let through is classified like the scope's own") {
  simulate([]() -> weir::task<> {
    auto timed_out = []() -> weir::task<> { co_await weir::with_timeout(1ms, test::nap(1h)); };
    const auto late = co_await weir::as_result(timed_out());
    CHECK(late.error() == std::errc::timed_out);
    CHECK(late.cause() == weir::cancellation_cause::deadline);
    auto joins = []() -> weir::task<> {
      auto h = weir::spawn(test::nap(1h));
      h.request_cancellation();
      co_await h.join();
    };
    const auto stopped = co_await weir::as_result(joins());
    CHECK(stopped.is_cancelled());
    CHECK(stopped.error() == std::errc::operation_canceled);
  });
}

TEST_CASE("as_result cannot swallow a cancellation from outside its operand") {
  bool survived = false;
  simulate([&]() -> weir::task<> {
    auto stubborn = [&]() -> weir::task<> {
      for (;;) {
        const auto leaf = co_await weir::as_result(weir::sleep_for(1h));
        const auto task = co_await weir::as_result(test::nap(1h));
        const auto twice = co_await weir::as_result(weir::as_result(weir::with_timeout(2h, test::nap(1h))));
        survived = leaf.has_value() || task.has_value() || twice.has_value() || true;
      }
    };
    const auto r = co_await weir::as_result(weir::with_timeout(10ms, stubborn()));
    CHECK(r.error() == std::errc::timed_out);
  });
  CHECK(!survived);
}

TEST_CASE("as_result of as_result, of references, of nothing, of what cannot be copied") {
  simulate([]() -> weir::task<> {
    auto nested = co_await weir::as_result(weir::as_result(test::fail_after(1ms, "no")));
    static_assert(std::is_same_v<decltype(nested), weir::result<weir::result<int>>>);
    REQUIRE(nested.has_value());
    CHECK(!nested->has_value());
    int x = 0;
    auto reference = [&]() -> weir::task<int&> { co_return x; };
    auto r = co_await weir::as_result(reference());
    CHECK(&*r == &x);
    CHECK(&r.value() == &x);
    auto nothing = co_await weir::as_result(weir::sleep_for(1ms));
    static_assert(std::is_same_v<decltype(nothing), weir::result<void>>);
    nothing.value();
    auto moved = co_await weir::as_result(test::after(1ms, std::make_unique<int>(4)));
    const std::unique_ptr<int> taken = std::move(moved).value();
    CHECK(*taken == 4);
    const auto pointer = co_await weir::as_result(test::after(1ms, std::string("four")));
    CHECK(pointer->size() == 4);
    CHECK((*pointer).size() == 4);
  });
}

TEST_CASE("errors of weir have a category and sentences") {
  const std::error_code code = weir::errc::exception;
  CHECK(code.category() == weir::weir_category());
  CHECK(code.category().name() == std::string("weir"));
  CHECK(code.message() == "an exception without an error code");
  CHECK(weir::timed_out().code() == std::errc::timed_out);
  CHECK(weir::cancelled().code() == std::errc::operation_canceled);
  CHECK(weir::cancelled(weir::cancellation_cause::shutdown).cause() == weir::cancellation_cause::shutdown);
  CHECK(std::string(weir::timed_out().what()).find("deadline") != std::string::npos);
}
