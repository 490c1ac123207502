#include "run_process.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/task_group.hpp"
#include "../runtime/with_cleanup.hpp"
#include "process.hpp"

namespace weir {

namespace {

constexpr std::size_t least_room = 4096;
constexpr std::size_t most_room = 65536;

/// For the clean-up: the grace, and what the kernel may take to end what SIGKILL has reached.
duration limit_for(duration grace) {
  constexpr duration kernel_limit = detail::child_process::kernel_limit;
  return grace < duration::max() - kernel_limit ? grace + kernel_limit : duration::max();
}

/// What run_process() does with the streams of which nothing was said.
void connect(command& what, bool has_input) {
  if (!what.stream(0)) what.standard_input(has_input ? child_stream::pipe() : child_stream::null());
  if (!what.stream(1)) what.standard_output(child_stream::pipe());
  if (!what.stream(2)) what.standard_error(child_stream::pipe());
}

task<> feed(pipe_writer& to, std::string_view input) {
  auto written = co_await as_result(to.write_all(std::as_bytes(std::span(input))));
  to.close();
  if (!written.has_value() && written.error() != std::errc::broken_pipe) std::move(written).value();
}

/// One byte more than the limit is asked for, to see that there is one.
task<> collect(pipe_reader& from, std::string& into, std::size_t limit) {
  for (;;) {
    const std::size_t had = into.size();
    const std::size_t room = std::min(std::clamp(had, least_room, most_room), limit - had) + 1;
    into.resize(had + room);
    const std::size_t n = co_await from.read_some(std::as_writable_bytes(std::span(into).subspan(had)));
    into.resize(had + n);
    if (n == 0) co_return;
    if (into.size() > limit) {
      throw std::system_error(EMSGSIZE, std::generic_category(),
                              fmt::format("run_process: more than {} bytes of {}", limit, from.name()));
    }
  }
}

task<> serve(process& child, std::string_view input, process_output& got, std::size_t limit) {
  const auto body = [&](task_group& group) -> task<> {
    if (child.standard_input().is_open()) group.spawn(feed(child.standard_input(), input));
    if (child.standard_output().is_open()) group.spawn(collect(child.standard_output(), got.output, limit));
    if (child.standard_error().is_open()) group.spawn(collect(child.standard_error(), got.error, limit));
    got.status = co_await child.wait();
  };
  co_await with_task_group(body);
}

task<> end(process& child, duration grace) {
  child.standard_input().close();
  child.standard_output().close();
  child.standard_error().close();
  auto ended = co_await as_result(child.terminate(grace));
  static_cast<void>(ended);
}

}  // namespace

task<process_output> run_process(command what, std::string input, run_process_options options) {
  connect(what, !input.empty());
  const duration grace = what.grace();
  process child = co_await process::spawn(std::move(what));
  process_output got;
  const auto clean_up = [&](const cleanup_outcome& how) -> task<> {
    if (!how.has_value()) co_await end(child, grace);
  };
  co_await with_cleanup(serve(child, input, got, options.limit), clean_up, limit_for(grace));
  co_return got;
}

}  // namespace weir
