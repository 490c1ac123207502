#pragma once
// All benches, one after the other, as children of this program; one JSON for all of them, and a page of the
// documentation from that.

#include <string>

namespace bench {

struct all_options {
  bool smoke = false;
  std::string json;      // where to write; empty: nowhere
  std::string revision;  // of weir
  std::string docs;      // the folder in which benchmarks.md and benchmarks/*.svg are written; empty: nowhere
};

/// Returns the exit status: 1 when one of them has failed; then the others run all the same.
int run_all(const all_options& options);

/// The same page from the JSON of an earlier run.
void render_page(const std::string& json_file, const std::string& docs);

/// Prints what has changed between two of them.
void print_comparison(const std::string& before, const std::string& after);

}  // namespace bench
