// A pool of workers for jobs that come from many places: each submitter gets its own answer, a job that fails or takes
// too long harms nobody else, a full queue makes submitters wait, and the end does what was begun.
// Usage: worker_pool

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

// What the workers do; an ordinary function would be right, too.
weir::task<std::size_t> resize(std::string picture) {
  if (picture == "broken.png") throw std::runtime_error("no picture: broken.png");
  if (picture == "endless.png") co_await weir::sleep_for(1h);
  co_await weir::sleep_for(2ms);  // the work
  co_return picture.size();
}

using resizers = weir::worker_pool<std::size_t(std::string)>;

// One of those who have jobs. Cancelling him, or dropping a ticket, leaves the jobs as they are.
weir::task<std::size_t> album(resizers& pool, std::string name) {
  std::vector<weir::job_ticket<std::size_t>> tickets;
  for (int n = 0; n < 20; ++n) {
    std::string picture = fmt::format("{}-{}.png", name, n);
    tickets.push_back(co_await pool.submit(std::move(picture)));  // waits while 16 jobs wait
  }
  std::size_t bytes = 0;
  for (auto& ticket : tickets) bytes += co_await std::move(ticket);
  co_return bytes;
}

weir::task<bool> async_main() {
  resizers pool{resize, {.workers = 8, .queue = 16, .job_timeout = 2s}};

  const auto [cats, dogs] = co_await weir::when_all(album(pool, "cat"), album(pool, "dog"));
  fmt::print("two albums: {} and {} bytes\n", cats, dogs);

  for (const char* picture : {"broken.png", "endless.png"}) {
    auto ticket = co_await pool.submit(picture);
    auto answer = co_await weir::as_result(std::move(ticket));
    fmt::print("{}: {}\n", picture, answer ? "done" : answer.error().message());
  }

  // What has no time to wait for room asks whether there is some. 8 run, 16 wait, the others are refused.
  int refused = 0;
  for (int n = 0; n < 40; ++n) {
    auto ticket = pool.try_submit(fmt::format("burst-{}.png", n));
    if (!ticket) ++refused;
  }

  // Does what there is; after ten seconds it would cancel the rest, and say how many.
  const std::size_t cancelled = co_await pool.shutdown(weir::shutdown_mode::drain, 10s);
  const weir::pool_stats stats = pool.stats();
  fmt::print("{} accepted: {} completed, {} failed, {} cancelled; {} refused\n", stats.accepted, stats.completed,
             stats.failed, stats.cancelled, stats.refused);
  const bool each_has_one_outcome = stats.accepted == stats.completed + stats.failed + stats.cancelled;
  const bool bounded = refused > 0 && stats.refused == static_cast<std::size_t>(refused);
  co_return each_has_one_outcome&& bounded&& stats.failed == 2 && cancelled == 0;
}

int main() { return weir::run(async_main()) ? 0 : 1; }
