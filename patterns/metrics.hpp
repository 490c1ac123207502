#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../runtime/clock.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/owned.hpp"
#include "../runtime/prometheus.hpp"

namespace weir {

/// A number that only grows. Any thread.
class metric_counter {
 public:
  void add(std::uint64_t n = 1) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// A number that goes up and down. Any thread.
class metric_gauge {
 public:
  void set(std::int64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  void add(std::int64_t n) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

/// How often a number was how large: counts for each bucket, and the sum. Any thread; O(buckets).
class metric_histogram {
 public:
  /// Upper bounds, rising. Those of Prometheus' own client libraries, for seconds.
  static constexpr std::array<double, 11> default_buckets = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};

  /// With the default ones.
  metric_histogram();
  /// Throws std::invalid_argument unless the bounds rise.
  explicit metric_histogram(std::span<const double> buckets);

  void observe(double value) noexcept;
  /// In seconds.
  void observe(duration length) noexcept { observe(static_cast<double>(length.count()) / 1e9); }

  [[nodiscard]] std::span<const double> buckets() const noexcept;
  /// How many were not above the bound of this bucket; of the one behind the last, all.
  [[nodiscard]] std::uint64_t up_to(std::size_t bucket) const noexcept;
  [[nodiscard]] std::uint64_t count() const noexcept;
  [[nodiscard]] double sum() const noexcept { return sum_.load(std::memory_order_relaxed); }
  [[nodiscard]] double mean() const noexcept;

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

/// A service's own numbers, for Prometheus to scrape: serve text() as "text/plain; version=0.0.4".
///
///     weir::metrics all;
///     auto& done = all.counter("worker_tasks_processed_total", "Tasks done.", {{"status", "success"}});
///     auto& took = all.histogram("worker_task_duration_seconds", "How long a task takes.");
///     all.gauge("worker_queue_depth", "Tasks that wait.", [&] { return queue.size(); });
///     ... done.add(); took.observe(weir::now() - begun);
///
/// Asking again for a name with the same labels gives the same object; they live as long as this. Names and labels are
/// what Prometheus takes. Any thread. Look objects up once, and not for each event: that takes a lock, O(objects).
class metrics {
 public:
  using labels = std::initializer_list<prometheus_label>;

  metrics();
  metrics(const metrics&) = delete;
  metrics& operator=(const metrics&) = delete;
  ~metrics();

  /// Throw std::invalid_argument for a name that is no metric's name, or stands for something else already.
  metric_counter& counter(std::string_view name, std::string_view help, labels with = {});
  metric_gauge& gauge(std::string_view name, std::string_view help, labels with = {});
  metric_histogram& histogram(std::string_view name, std::string_view help, labels with = {});
  metric_histogram& histogram(std::string_view name, std::string_view help, labels with,
                              std::span<const double> buckets);
  /// A gauge that is asked for when text() is: on that thread, under a lock; it must not use this object.
  void gauge(std::string_view name, std::string_view help, std::function<double()> value, labels with = {});

  /// Text format 0.0.4.
  [[nodiscard]] std::string text() const;

 private:
  struct sample;
  struct family;
  sample& find(std::string_view name, std::string_view help, const char* type, labels with);

  mutable std::mutex lock_;
  std::vector<detail::owned<family>> families_;
};

}  // namespace weir
