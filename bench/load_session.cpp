#include "load_session.hpp"

#include "error_text.hpp"
#include "loopback.hpp"

#include <fmt/format.h>

#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <ctime>
#include <stdexcept>
#include <utility>

namespace bench {
namespace {

constexpr auto drain_limit = std::chrono::seconds(3);

double thread_cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

std::uint64_t nanoseconds(load_session::clock::time_point t) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count());
}

}  // namespace

load_session::load_session(const load_options& options)
    : options_(options),
      pattern_(std::size_t{options.size} * options.depth),
      connections_(options.connections),
      times_(std::size_t{options.connections} * options.depth) {
  connect_all();
  live_ = connections_.size();
  const auto begin = clock::now();
  now_ = nanoseconds(begin);
  phase_end_ = begin + options_.warm_up;
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    connections_[i].send_position = connections_[i].receive_position = pattern_.start(i);
    ++waiting_;
    owe(i, options_.depth);
  }
  if (options_.on_phase) options_.on_phase(load_phase::warm_up);
}

load_session::connection::~connection() {
  if (descriptor >= 0) close(descriptor);
}

void load_session::connect_all() {
  const auto limit = clock::now() + std::chrono::seconds(10);
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    if (clock::now() > limit) {
      throw std::runtime_error(fmt::format("connect 127.0.0.1:{}: only {} of {} connections within 10 s", options_.port,
                                           i, connections_.size()));
    }
    connections_[i].descriptor = connect_loopback(options_.port, i);
  }
}

void load_session::owe(std::size_t index, std::size_t messages) noexcept {
  connection& c = connections_[index];
  const std::size_t due = (c.missing + c.partial) / options_.size;
  for (std::size_t m = 0; m < messages; ++m) {
    const std::size_t slot = (c.first_time + due + m) % options_.depth;
    times_[index * options_.depth + slot] = now_;
  }
  c.unsent += messages * options_.size;
  c.missing += messages * options_.size;
}

void load_session::received(std::size_t index, std::span<const std::byte> bytes) {
  connection& c = connections_[index];
  if (c.over) return;
  if (bytes.size() > c.missing) {
    return give_up(c, fmt::format("connection {}: {} bytes more than were sent", index, bytes.size() - c.missing));
  }
  if (!pattern_.matches(c.receive_position, bytes)) {
    return give_up(c, fmt::format("connection {}: answer differs from what was sent", index));
  }
  c.receive_position = pattern_.advance(c.receive_position, bytes.size());
  c.missing -= bytes.size();
  c.partial += bytes.size();
  std::size_t complete = 0;
  for (; c.partial >= options_.size; c.partial -= options_.size, ++complete) {
    if (phase_ == load_phase::measured) latencies_.record(now_ - times_[index * options_.depth + c.first_time]);
    if (++c.first_time == options_.depth) c.first_time = 0;
  }
  answered_ += complete;
  if (phase_ < load_phase::draining) {
    owe(index, complete);
  } else if (c.missing == 0) {
    --waiting_;
  }
}

void load_session::ended(std::size_t index, int error, const char* operation) {
  connection& c = connections_[index];
  if (c.over) return;
  if (error == 0 && phase_ == load_phase::closing) {
    c.over = true;
    --live_;
    return;
  }
  give_up(c, error == 0 ? fmt::format("connection {}: the server ended it early", index)
                        : fmt::format("connection {}: {}: {}", index, operation, error_text(error)));
}

void load_session::give_up(connection& c, std::string why) {
  if (c.missing > 0) --waiting_;
  c.over = true;
  c.unsent = 0;
  c.missing = 0;
  --live_;
  if (result_.errors++ == 0) result_.first_error = std::move(why);
}

void load_session::begin_turn() {
  const auto now = clock::now();
  now_ = nanoseconds(now);
  const bool due = now >= phase_end_;
  switch (phase_) {
    case load_phase::warm_up:
      if (due) enter(load_phase::measured);
      break;
    case load_phase::measured:
      if (due) enter(options_.counted.count() > 0 ? load_phase::attaching : load_phase::draining);
      break;
    case load_phase::attaching:
      if (due) enter(load_phase::counted);
      break;
    case load_phase::counted:
      if (due) enter(load_phase::draining);
      break;
    case load_phase::draining:
      if (waiting_ == 0) {
        enter(load_phase::closing);
      } else if (due) {
        for (std::size_t i = 0; i < connections_.size(); ++i) {
          connection& c = connections_[i];
          if (!c.over && c.missing > 0)
            give_up(c, fmt::format("connection {}: {} bytes never came back", i, c.missing));
        }
        enter(load_phase::closing);
      }
      break;
    case load_phase::closing:
      if (due) {
        for (std::size_t i = 0; i < connections_.size(); ++i) {
          connection& c = connections_[i];
          if (!c.over) give_up(c, fmt::format("connection {}: the server did not end it", i));
        }
      }
      break;
    case load_phase::finished:
      break;
  }
  if (live_ == 0 && phase_ != load_phase::finished) enter(load_phase::finished);
}

void load_session::enter(load_phase next) {
  if (phase_ == load_phase::measured) {
    result_.seconds = std::chrono::duration<double>(clock::now() - measured_begin_).count();
    result_.client_cpu_seconds = thread_cpu_seconds() - cpu_at_begin_;
    result_.requests = answered_;
  }
  if (phase_ == load_phase::counted) result_.counted_requests = answered_;
  result_.total_requests += answered_;
  answered_ = 0;
  phase_ = next;
  if (options_.on_phase) options_.on_phase(next);  // before the clock is read: it may take its time

  const auto begin = clock::now();
  if (next == load_phase::measured) {
    measured_begin_ = begin;
    cpu_at_begin_ = thread_cpu_seconds();
    phase_end_ = begin + options_.measured;
  } else if (next == load_phase::attaching) {
    phase_end_ = begin + options_.warm_up / 2;
  } else if (next == load_phase::counted) {
    phase_end_ = begin + options_.counted;
  } else {
    phase_end_ = begin + drain_limit;
  }
  if (next == load_phase::closing) half_close_all();
}

void load_session::half_close_all() {
  // The server answers with its own end of stream; whatever it sends before that is one byte too many.
  for (const connection& c : connections_) shutdown(c.descriptor, c.over ? SHUT_RDWR : SHUT_WR);
}

load_result load_session::result(std::string engine) const {
  load_result r = result_;
  r.engine = std::move(engine);
  r.connections = options_.connections;
  r.size = options_.size;
  r.depth = options_.depth;
  r.p50_ns = latencies_.quantile(0.50);
  r.p99_ns = latencies_.quantile(0.99);
  r.p999_ns = latencies_.quantile(0.999);
  return r;
}

}  // namespace bench
