#include "process.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

#include "../runtime/as_result.hpp"
#include "../runtime/offload.hpp"
#include "../runtime/with_timeout.hpp"
#include "detail/launch.hpp"

namespace weir {

task<process> process::spawn(command what) {
  const auto start = [&what] { return detail::launch(what); };
  detail::launched started = co_await offload(start);
  process made;
  made.grace_ = what.grace();
  made.child_ = std::make_shared<detail::child_process>(started.pid(), started.pidfd.release(), what.program(),
                                                        what.has_own_group());
  started.take();  // it is ended with `made`, whatever fails from here on
  auto& [input, output, error] = started.ends;
  if (input) made.input_ = pipe_writer::own(input.release(), what.program() + "'s standard input");
  if (output) made.output_ = pipe_reader::own(output.release(), what.program() + "'s standard output");
  if (error) made.error_ = pipe_reader::own(error.release(), what.program() + "'s standard error");
  co_return made;
}

process& process::operator=(process&& other) noexcept {
  if (this != &other) {
    close();
    child_ = std::move(other.child_);
    grace_ = other.grace_;
    input_ = std::move(other.input_);
    output_ = std::move(other.output_);
    error_ = std::move(other.error_);
  }
  return *this;
}

void process::close() noexcept {
  input_.close();
  output_.close();
  error_.close();
  if (std::shared_ptr<detail::child_process> of = std::move(child_)) detail::child_process::end(of, grace_);
}

std::optional<exit_status> process::status() const {
  if (!child_) return std::nullopt;
  const int reaped = child_->reap();
  if (reaped == 0) return std::nullopt;
  if (reaped < 0) throw std::system_error(-reaped, std::generic_category(), fmt::format("status of {}", name()));
  return child_->status();
}

bool process::kill(int signal) const {
  const int result = child_ ? child_->send(signal) : -ESRCH;
  if (result == 0) return true;
  if (result == -ESRCH) return false;
  throw std::system_error(-result, std::generic_category(), fmt::format("kill {}", name()));
}

task<exit_status> process::terminate(std::shared_ptr<detail::child_process> of, duration grace) {
  if (of) of->send(SIGTERM);
  auto ended = co_await as_result(with_timeout(grace, detail::wait_exit_operation(of)));
  if (ended.has_value() || ended.error() != std::errc::timed_out) co_return std::move(ended).value();
  of->send(SIGKILL);
  co_return co_await detail::wait_exit_operation(of);
}

std::string process::name() const { return child_ ? child_->target()->name() : "no process"; }

}  // namespace weir
