#pragma once
// `bench io`: what is not an echo over TCP: datagrams, accepting, TLS, reads and copies of files, on weir, by hand, and
// by the tools that everybody has. Contenders take turns, round after round: see echo_bench.hpp for why. Servers run on
// a core of their own beside the client; what has to do with files runs on one core, in a process of its own.

#include "known_servers.hpp"
#include "verdict.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

enum class io_operation : std::uint8_t { udp, accept, tls, read_direct, read_cached, copy };

/// What is measured.
struct io_kind {
  io_operation operation;
  std::string_view key;
  std::string_view title;
  std::vector<std::size_t> sizes;  // in bytes
  std::vector<known_server> contenders;
  std::string_view baseline;   // the contender with which the others are compared
  std::string_view baseline2;  // and another one
};

struct io_sample {
  double per_second = std::numeric_limits<double>::quiet_NaN();
  double cpu_us = std::numeric_limits<double>::quiet_NaN();  // for each operation
};
using io_figure = double io_sample::*;

struct io_entry {
  const known_server* who;
  std::vector<io_sample> rounds;

  [[nodiscard]] double median(io_figure figure) const;
};

struct io_row {
  const io_kind* kind;
  std::size_t size;
  std::vector<io_entry> entries;

  [[nodiscard]] const io_entry* find(std::string_view name) const;
  /// The median over the rounds of its figure for each unit of the other's in the same round; NaN without it.
  [[nodiscard]] double ratio(const io_entry& entry, std::string_view other, io_figure figure) const;
};

struct io_options {
  std::vector<std::string> rows;  // by their keys; empty: all
  std::string directory;          // for the files; empty: where this program is
  unsigned repeats = 5;
  bool smoke = false;
};

struct io_report {
  io_options options;
  std::vector<io_row> rows;
  std::vector<std::string> left_out;  // a sentence each
  std::vector<std::string> failures;
  bool pinned = false;
};

/// By its key. Throws std::invalid_argument.
const io_kind& find_io_kind(std::string_view key);

/// `progress` gets a line after each run.
io_report run_io(const io_options& options, const std::function<void(const std::string&)>& progress);

std::string title_of(const io_row& row);
std::string io_table(const io_row& row);
std::vector<target> check_targets(const io_report& report);
std::string to_json(const io_report& report);

}  // namespace bench
