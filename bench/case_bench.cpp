#include "case_bench.hpp"

#include "median.hpp"
#include "server_process.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

std::string peer_program(const case_suite& suite, column c) {
  return sibling(is_go(c) ? fmt::format("peer_{}", suite.name) : "peer_tokio");
}

case_sample sample_of(const case_kind& kind, const program_answer& given) {
  case_sample sample;
  sample.value = given.first;
  (kind.how == taken::each ? sample.stretched : sample.seconds) = given.second;
  sample.right = given.right;
  return sample;
}

case_sample run_here(const case_suite& suite, const case_row& row, column c, bool smoke) {
  const case_kind& kind = *row.kind;
  if (is_go(c) || is_tokio(c)) {
    return sample_of(kind, ask_program(fmt::format("'{}' {} {} {} {}", peer_program(suite, c), kind.key, row.operations,
                                                   with_two_threads(c) ? 2 : 1, suite.peer_arguments(smoke))));
  }
  if (kind.how == taken::alone) {
    return sample_of(kind,
                     ask_program(fmt::format("'{}' --alone {} {} {} {}", sibling(fmt::format("{}_bench", suite.name)),
                                             kind.key, key_of(c), row.operations, smoke ? "smoke" : "whole")));
  }
  return suite.run(kind, row.operations, c, smoke);
}

/// The host of a virtual machine takes back the memory that its kernel has free, and to give it again costs, at each
/// first touch, several times what a page fault does. So that this does not fall to whoever comes first, all find
/// memory that the kernel has just had: huge pages, as it hands them out, and takes them back, whole.
void have_memory_given() {
  constexpr std::size_t size = std::size_t{1} << 30;
  void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;  // then it is a small machine, and its runs are what they are
  madvise(memory, size, MADV_HUGEPAGE);
  std::memset(memory, 1, size);
  munmap(memory, size);
}

case_sample run_once(const case_report& report, const case_row& row, column c) {
  if (row.kind->fills_memory && !report.options.smoke) have_memory_given();
  case_sample sample;
  on_own_thread(c, [&] { sample = run_here(*report.suite, row, c, report.options.smoke); });
  return sample;
}

void run_round(case_report& report, case_row& row, unsigned round, unsigned rounds,
               const std::function<void(const std::string&)>& progress) {
  const case_kind& kind = *row.kind;
  for (std::size_t turn = 0; turn < report.columns.size(); ++turn) {
    // Each round begins with another column, so that none is always the first.
    const column c = report.columns[(turn + round) % report.columns.size()];
    if (!kind.columns.contains(c)) continue;
    const std::string where = fmt::format("{}, {}, round {}", kind.title, title_of(c), round + 1);
    case_sample sample;
    try {
      sample = run_once(report, row, c);
      if (!sample.right) report.failures.push_back(where + ": wrong answers");
      if (sample.allocations * static_cast<double>(row.operations) > report.suite->most_allocations(kind, c))
        report.failures.push_back(fmt::format("{}: {} allocations for an operation", where, sample.allocations));
    } catch (const std::exception& e) {
      report.failures.push_back(fmt::format("{}: {}", where, e.what()));
    }
    if (!with_two_threads(c) && kind.how == taken::each) {
      ++report.alone;
      if (sample.stretched > 1.1) ++report.disturbed;
    }
    row.rounds[index_of(c)].push_back(sample);
  }
  std::string line = fmt::format("[{}/{}] {}:", round + 1, rounds, kind.title);
  for (const column c : report.columns) {
    if (row.rounds[index_of(c)].empty()) continue;
    line += fmt::format("{} {} {:.{}f}", line.ends_with(':') ? "" : ",", title_of(c),
                        row.rounds[index_of(c)].back().value, kind.digits);
  }
  progress(line);
}

}  // namespace

double case_row::median(column c, double case_sample::* figure) const {
  std::vector<double> values;
  for (const case_sample& sample : rounds[index_of(c)]) values.push_back(sample.*figure);
  return median_of(std::move(values));
}

double case_row::allocations(column c) const {
  double most = std::numeric_limits<double>::quiet_NaN();
  for (const case_sample& sample : rounds[index_of(c)]) most = std::fmax(most, sample.allocations);
  return most;
}

double case_row::vs_raw(column c) const {
  const auto& mine = rounds[index_of(c)];
  const auto& floor = rounds[index_of(column::raw)];
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(mine.size(), floor.size()); ++i)
    ratios.push_back(mine[i].value / floor[i].value);
  return median_of(std::move(ratios));
}

const case_kind& case_suite::find(std::string_view key) const {
  std::string keys;
  for (const case_kind& kind : kinds) {
    if (kind.key == key) return kind;
    keys += fmt::format("{}{}", keys.empty() ? "" : ", ", kind.key);
  }
  throw std::invalid_argument(fmt::format("no row is called {}; there are {}", key, keys));
}

void on_own_thread(column c, const std::function<void()>& work) {
  const auto cores = choose_cores();
  std::exception_ptr failure;
  std::thread thread([&] {
    try {
      if (cores && !with_two_threads(c)) pin_this_thread(cores->server);
      work();
    } catch (...) {
      failure = std::current_exception();
    }
  });
  thread.join();
  if (failure) std::rethrow_exception(failure);
}

case_report run_cases(const case_suite& suite, const case_options& options,
                      const std::function<void(const std::string&)>& progress) {
  case_report report{&suite, options, {}, {}, options.columns, {}, {}};
  const auto add_row = [&](const case_kind& kind) {
    const std::uint64_t usual = options.smoke ? kind.smoke_operations : kind.operations;
    report.rows.push_back({&kind, suite.operations_of(kind, options.operations != 0 ? options.operations : usual)});
  };
  if (options.kinds.empty()) {
    for (const case_kind& kind : suite.kinds) add_row(kind);
  } else {
    for (const case_kind* kind : options.kinds) add_row(*kind);
  }
  if (report.columns.empty()) report.columns.assign(every_column.begin(), every_column.end());
  const auto find_peer = [&](column peer) -> std::optional<bool> {
    for (const case_row& row : report.rows) {
      if (row.kind->columns.contains(peer)) return access(peer_program(suite, peer).c_str(), X_OK) == 0;
    }
    return std::nullopt;
  };
  report.has_go = find_peer(column::go_one);
  report.has_tokio = find_peer(column::tokio_one);
  if (!report.has_go.value_or(false)) std::erase_if(report.columns, is_go);
  if (!report.has_tokio.value_or(false)) std::erase_if(report.columns, is_tokio);
  for (unsigned round = 0; round < options.repeats; ++round) {
    for (case_row& row : report.rows) {
      const unsigned rounds = std::min(row.kind->most_rounds, options.repeats);
      if (round < rounds) run_round(report, row, round, rounds, progress);
    }
  }
  return report;
}

}  // namespace bench
