#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "scenes.hpp"

namespace test {

/// The first columns of the tables of docs/contracts.md that tell what a cancellation does: those of the section on
/// TLS, which is a library and a test program of its own, or all others.
inline std::set<std::string> rows_of_contracts(bool of_tls) {
  // The sources, through the link that every build directory has: this program is in tests/.
  const std::filesystem::path build = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path();
  std::ifstream file(build / "include" / "weir" / "docs" / "contracts.md");
  if (!file) throw std::runtime_error("docs/contracts.md cannot be read");
  std::set<std::string> rows;
  bool in_table = false;
  bool in_section_of_tls = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) in_section_of_tls = line == "## TLS";
    if (in_section_of_tls != of_tls) continue;
    if (!line.starts_with("| ")) {
      in_table = in_table && line.starts_with("|-");
      continue;
    }
    if (std::exchange(in_table, true)) rows.insert(line.substr(2, line.find(" |", 2) - 2));
  }
  return rows;
}

/// No row without a scene, no scene without a row.
inline void expect_rows_held(const std::set<std::string>& rows, std::span<const kind_of_operation> kinds) {
  CHECK(!rows.empty());
  std::set<std::string> held;
  for (const kind_of_operation& k : kinds) {
    CHECK_MESSAGE(rows.contains(k.row), k.name << " says that it holds a row that is not there: " << k.row);
    held.insert(k.row);
  }
  for (const std::string& row : rows) CHECK_MESSAGE(held.contains(row), "nothing holds what is said of " << row);
}

}  // namespace test
