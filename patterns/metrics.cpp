#include "metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <type_traits>

#include "../runtime/detail/prometheus_page.hpp"

namespace weir {

namespace {

bool is_name(std::string_view text) noexcept {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
  };
  return !text.empty() && !(text[0] >= '0' && text[0] <= '9') && std::all_of(text.begin(), text.end(), good);
}

std::string written(metrics::labels with) {
  for (const prometheus_label& label : with) {
    if (!is_name(label.name)) throw std::invalid_argument("weir::metrics: a label has no proper name");
  }
  return detail::prometheus_labels(with);
}

std::string braced(const std::string& labels) { return labels.empty() ? labels : "{" + labels + "}"; }

}  // namespace

metric_histogram::metric_histogram() : metric_histogram(default_buckets) {}

metric_histogram::metric_histogram(std::span<const double> buckets)
    : bounds_(buckets.begin(), buckets.end()), counts_(buckets.size() + 1) {
  const bool rising = std::adjacent_find(bounds_.begin(), bounds_.end(), std::greater_equal<>()) == bounds_.end();
  if (!rising) throw std::invalid_argument("weir::metric_histogram: the bounds of the buckets must rise");
}

void metric_histogram::observe(double value) noexcept {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::span<const double> metric_histogram::buckets() const noexcept { return bounds_; }
std::uint64_t metric_histogram::count() const noexcept { return up_to(bounds_.size()); }

std::uint64_t metric_histogram::up_to(std::size_t bucket) const noexcept {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i <= bucket && i < counts_.size(); ++i) all += counts_[i].load(std::memory_order_relaxed);
  return all;
}

double metric_histogram::mean() const noexcept {
  const std::uint64_t n = count();
  return n == 0 ? 0 : sum() / static_cast<double>(n);
}

struct metrics::sample {
  std::string labels;
  std::unique_ptr<metric_counter> counter;
  std::unique_ptr<metric_gauge> gauge;
  std::unique_ptr<metric_histogram> histogram;
  std::function<double()> asked;
};

struct metrics::family {
  std::string name;
  std::string help;
  const char* type;
  std::vector<std::unique_ptr<sample>> samples;
};

metrics::metrics() = default;
metrics::~metrics() = default;

metrics::sample& metrics::find(std::string_view name, std::string_view help, const char* type, labels with) {
  if (!is_name(name)) throw std::invalid_argument("weir::metrics: \"" + std::string(name) + "\" is no metric's name");
  std::string text = written(with);
  auto of_name = std::find_if(families_.begin(), families_.end(), [&](const auto& f) { return f->name == name; });
  if (of_name == families_.end()) {
    families_.push_back(detail::owned<family>(new family{std::string(name), std::string(help), type, {}}));
    of_name = families_.end() - 1;
  }
  family& found = **of_name;
  if (std::string_view(found.type) != type) {
    throw std::invalid_argument("weir::metrics: \"" + found.name + "\" is a " + found.type + " already");
  }
  for (const auto& one : found.samples) {
    if (one->labels == text) return *one;
  }
  found.samples.push_back(std::make_unique<sample>());
  found.samples.back()->labels = std::move(text);
  return *found.samples.back();
}

metric_counter& metrics::counter(std::string_view name, std::string_view help, labels with) {
  const std::lock_guard guard(lock_);
  sample& found = find(name, help, "counter", with);
  if (!found.counter) found.counter = std::make_unique<metric_counter>();
  return *found.counter;
}

metric_gauge& metrics::gauge(std::string_view name, std::string_view help, labels with) {
  const std::lock_guard guard(lock_);
  sample& found = find(name, help, "gauge", with);
  if (!found.gauge) found.gauge = std::make_unique<metric_gauge>();
  return *found.gauge;
}

metric_histogram& metrics::histogram(std::string_view name, std::string_view help, labels with) {
  return histogram(name, help, with, metric_histogram::default_buckets);
}

metric_histogram& metrics::histogram(std::string_view name, std::string_view help, labels with,
                                     std::span<const double> buckets) {
  const std::lock_guard guard(lock_);
  sample& found = find(name, help, "histogram", with);
  if (!found.histogram) found.histogram = std::make_unique<metric_histogram>(buckets);
  return *found.histogram;
}

void metrics::gauge(std::string_view name, std::string_view help, std::function<double()> value, labels with) {
  const std::lock_guard guard(lock_);
  find(name, help, "gauge", with).asked = std::move(value);
}

std::string metrics::text() const {
  std::string text;
  const auto out = std::back_inserter(text);
  const auto line = [&](const std::string& name, const std::string& of, auto value) {
    fmt::format_to(out, "{}{} {}\n", name, braced(of), value);
  };
  const std::lock_guard guard(lock_);
  for (const auto& f : families_) {
    fmt::format_to(out, "# HELP {} {}\n# TYPE {} {}\n", f->name, detail::prometheus_escaped(f->help, false), f->name,
                   f->type);
    for (const auto& s : f->samples) {
      if (s->counter) line(f->name, s->labels, s->counter->value());
      if (s->asked) {
        line(f->name, s->labels, s->asked());
      } else if (s->gauge) {
        line(f->name, s->labels, s->gauge->value());
      }
      if (!s->histogram) continue;
      const std::string comma = s->labels.empty() ? "" : ",";
      std::uint64_t all = 0;
      for (std::size_t i = 0; i <= s->histogram->buckets().size(); ++i) {
        const bool last = i == s->histogram->buckets().size();
        all = s->histogram->up_to(i);
        line(
            f->name + "_bucket",
            s->labels + comma + fmt::format("le=\"{}\"", last ? "+Inf" : fmt::format("{}", s->histogram->buckets()[i])),
            all);
      }
      line(f->name + "_sum", s->labels, s->histogram->sum());
      line(f->name + "_count", s->labels, all);
    }
  }
  return text;
}

}  // namespace weir
