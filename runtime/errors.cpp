#include "errors.hpp"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "detail/worker.hpp"
#include "result.hpp"

namespace weir {

const char* to_string(cancellation_cause cause) noexcept {
  switch (cause) {
    case cancellation_cause::none:
      return "none";
    case cancellation_cause::requested:
      return "requested";
    case cancellation_cause::deadline:
      return "deadline";
    case cancellation_cause::shutdown:
      return "shutdown";
    case cancellation_cause::deadlock:
      return "deadlock";
  }
  return "?";
}

namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "weir"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::exception:
        return "an exception without an error code";
      case errc::end_of_stream:
        return "end of stream";
    }
    return "unknown error";
  }
};

}  // namespace

const std::error_category& weir_category() noexcept {
  static const category instance;
  return instance;
}

std::error_code make_error_code(errc value) noexcept { return {static_cast<int>(value), weir_category()}; }

cancelled::cancelled(cancellation_cause cause)
    : std::system_error(std::make_error_code(std::errc::operation_canceled), to_string(cause)), cause_(cause) {}

timed_out::timed_out() : std::system_error(std::make_error_code(std::errc::timed_out), "deadline") {}

namespace detail {

void fatal(const char* sentence) noexcept {
  std::fprintf(stderr, "%s\n", sentence);
  const worker* here = current_worker();
  if (here && here->core().simulation().enabled) {
    std::fprintf(stderr, "weir: this was in a simulation with seed %" PRIu64 "\n", here->core().simulation().seed);
  }
  std::abort();
}

// An exception is classified when it is asked for, not when it is stored: most are only rethrown.
bool failure::is_cancelled() const noexcept {
  if (kind_ == kind::cancelled) return true;
  if (kind_ != kind::exception) return false;
  try {
    std::rethrow_exception(exception_);
  } catch (const cancelled&) {
    return true;
  } catch (...) {
    return false;
  }
}

cancellation_cause failure::cause() const noexcept {
  if (kind_ != kind::exception) return cause_;
  try {
    std::rethrow_exception(exception_);
  } catch (const cancelled& e) {
    return e.cause();
  } catch (const timed_out&) {
    return cancellation_cause::deadline;
  } catch (...) {
    return cancellation_cause::none;
  }
}

std::error_code failure::code() const noexcept {
  switch (kind_) {
    case kind::none:
      return {};
    case kind::code:
      return code_;
    case kind::timed_out:
      return std::make_error_code(std::errc::timed_out);
    case kind::cancelled:
      return std::make_error_code(std::errc::operation_canceled);
    case kind::exception:
      break;
  }
  try {
    std::rethrow_exception(exception_);
  } catch (const std::system_error& e) {
    return e.code();
  } catch (...) {
    return errc::exception;
  }
}

std::exception_ptr failure::exception() const {
  switch (kind_) {
    case kind::none:
      return nullptr;
    case kind::exception:
      return exception_;
    case kind::code:
      return std::make_exception_ptr(std::system_error(code_, sentence_));
    case kind::timed_out:
      return std::make_exception_ptr(weir::timed_out());
    case kind::cancelled:
      return std::make_exception_ptr(weir::cancelled(cause_));
  }
  return nullptr;
}

void failure::rethrow() const { std::rethrow_exception(exception()); }

}  // namespace detail
}  // namespace weir
