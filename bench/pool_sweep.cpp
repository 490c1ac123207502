#include "pool_sweep.hpp"

#include "case_bench.hpp"
#include "json.hpp"
#include "pool_cases.hpp"
#include "stopwatch.hpp"
#include "table.hpp"
#include "weir_library.hpp"

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace bench {
namespace {

constexpr std::array<std::size_t, 6> worker_counts{1, 2, 4, 8, 16, 32};
constexpr std::array<std::size_t, 4> queue_sizes{0, 16, 128, 1024};
constexpr std::array job_kinds{job_kind::compute, job_kind::wait};
constexpr std::array runtimes{column::one_worker, column::two_workers};
constexpr std::size_t under_way = 2048;

constexpr std::chrono::microseconds working{1};
constexpr std::chrono::microseconds waiting{100};

double per_second(std::chrono::duration<double> each) { return 1 / each.count(); }

std::uint64_t compute(std::uint64_t number) {
  const auto end = std::chrono::steady_clock::now() + working;
  while (std::chrono::steady_clock::now() < end) continue;
  return number + 1;
}
weir::task<std::uint64_t> wait(std::uint64_t number) {
  co_await weir::sleep_for(waiting);
  co_return number + 1;
}

struct timed_answer {
  std::uint64_t sum;
  double ns;
};

template <class Pool>
weir::task<timed_answer> run_jobs(Pool& pool, std::uint64_t jobs) {
  const auto window = std::make_unique<job_window<Pool, under_way>>(pool);
  const stopwatch watch;
  const std::uint64_t sum = co_await window->run(jobs);
  const double ns = watch.wall_ns();
  co_await pool.shutdown(weir::shutdown_mode::drain, std::chrono::seconds(10));
  timed_answer found{sum, ns};
  co_return found;
}

weir::task<timed_answer> run_pool(job_kind job, weir::worker_pool_options options, std::uint64_t jobs) {
  if (job == job_kind::compute) {
    weir::worker_pool pool{&compute, options};
    co_return co_await run_jobs(pool, jobs);
  }
  weir::worker_pool pool{&wait, options};
  co_return co_await run_jobs(pool, jobs);
}

/// For some hundredths of a second.
std::uint64_t jobs_for(job_kind job, std::size_t workers, bool smoke) {
  const std::uint64_t whole = job == job_kind::compute ? 40'000 : 400 * workers;
  return smoke ? whole / 20 : whole;
}

std::string_view title_of(job_kind job) { return job == job_kind::compute ? "1 us of work" : "a wait of 100 us"; }
std::string title_of(job_kind job, column how) { return fmt::format("{}, {}", title_of(job), title_of(how)); }

/// Calls `visit(job, how)` for each kind of job and runtime.
template <class Visit>
void for_each_panel(Visit visit) {
  for (const job_kind job : job_kinds) {
    for (const column how : runtimes) visit(job, how);
  }
}

const sweep_point* find(const pool_sweep& sweep, job_kind job, column how, std::size_t queue, std::size_t workers) {
  for (const sweep_point& p : sweep.points) {
    if (p.job == job && p.how == how && p.queue == queue && p.workers == workers) return &p;
  }
  return nullptr;
}

/// What the jobs alone would take: workers wait side by side, and compute on the runtime's threads.
double ideal(job_kind job, column how, std::size_t workers) {
  if (job == job_kind::wait) return static_cast<double>(workers) * per_second(waiting);
  return per_second(working) * (with_two_threads(how) && workers > 1 ? 2 : 1);
}

}  // namespace

pool_sweep sweep_pool(bool smoke, const std::function<void(const std::string&)>& progress) {
  pool_sweep sweep;
  for_each_panel([&](job_kind job, column how) {
    for (const std::size_t queue : queue_sizes) {
      std::string line = fmt::format("{}, queue of {}, thousand jobs/s:", title_of(job, how), queue);
      for (const std::size_t workers : worker_counts) {
        const std::uint64_t jobs = jobs_for(job, workers, smoke);
        timed_answer found{};
        try {
          on_own_thread(how, [&] {
            const weir::worker_pool_options options{.workers = workers, .queue = queue};
            found = weir::run(run_pool(job, options, jobs), weir_options(how));
          });
          if (found.sum != sum_of(1, jobs)) throw std::runtime_error("wrong answers");
          sweep.points.push_back({job, how, queue, workers, 1e9 * static_cast<double>(jobs) / found.ns});
          line += fmt::format(" {:.1f}", sweep.points.back().jobs_per_second / 1000);
        } catch (const std::exception& e) {
          sweep.failures.push_back(
              fmt::format("{}, queue of {}, {} workers: {}", title_of(job, how), queue, workers, e.what()));
        }
      }
      progress(line);
    }
  });
  return sweep;
}

std::string sweep_tables(const pool_sweep& sweep) {
  std::string out;
  for_each_panel([&](job_kind job, column how) {
    std::vector<std::vector<std::string>> lines{{title_of(job, how) + ": thousand jobs/s"}};
    for (const std::size_t workers : worker_counts) lines.front().push_back(fmt::format("{} workers", workers));
    for (const std::size_t queue : queue_sizes) {
      lines.push_back({fmt::format("queue of {}", queue)});
      for (const std::size_t workers : worker_counts) {
        const sweep_point* const point = find(sweep, job, how, queue, workers);
        lines.back().push_back(point ? figure(point->jobs_per_second / 1000, 1) : "n/a");
      }
    }
    out += format_table(lines) + "\n";
  });
  return out;
}

plot sweep_plot(const pool_sweep& sweep) {
  plot drawn{.title = "Jobs per second of a worker pool",
             .x_label = "workers of the pool",
             .y_label = "jobs per second",
             .panels = {}};
  for_each_panel([&](job_kind job, column how) {
    plot_panel panel{title_of(job, how), {}};
    for (const std::size_t queue : queue_sizes) {
      plot_series series{fmt::format("queue of {}", queue), {}};
      for (const std::size_t workers : worker_counts) {
        const sweep_point* const point = find(sweep, job, how, queue, workers);
        if (point) series.points.emplace_back(workers, point->jobs_per_second);
      }
      panel.series.push_back(std::move(series));
    }
    plot_series alone{"the jobs alone", {}, true};
    for (const std::size_t workers : worker_counts) alone.points.emplace_back(workers, ideal(job, how, workers));
    panel.series.push_back(std::move(alone));
    drawn.panels.push_back(std::move(panel));
  });
  return drawn;
}

std::string to_json(const pool_sweep& sweep) {
  std::string out;
  for (const sweep_point& p : sweep.points) {
    out += fmt::format(R"({}{{"job": {}, "runtime": {}, "queue": {}, "workers": {}, "jobs_per_second": {}}})",
                       out.empty() ? "" : ",\n", json_string(title_of(p.job)), json_string(title_of(p.how)), p.queue,
                       p.workers, json_number(p.jobs_per_second));
  }
  return "[" + out + "]";
}

}  // namespace bench
