#include "columns.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <stdexcept>

namespace bench {
namespace {

struct column_names {
  std::string_view key;
  std::string_view title;
};
constexpr std::array<column_names, column_count> names{{
    {"raw", "raw"},
    {"confined", "weir confined"},
    {"one", "weir 1 worker"},
    {"two", "weir 2 workers"},
    {"go-one", "Go 1"},
    {"go-two", "Go 2"},
    {"tokio-one", "Tokio 1"},
    {"tokio-two", "Tokio 2"},
}};

}  // namespace

std::string_view title_of(column c) { return names[index_of(c)].title; }
std::string_view key_of(column c) { return names[index_of(c)].key; }

column find_column(std::string_view key) {
  std::array<std::string_view, column_count> keys;
  for (const column c : every_column) {
    if (key_of(c) == key) return c;
    keys[index_of(c)] = key_of(c);
  }
  throw std::invalid_argument(fmt::format("no column is called {}; there are {}", key, fmt::join(keys, ", ")));
}

program_answer ask_program(const std::string& command) {
  std::FILE* output = popen(fmt::format("exec {}", command).c_str(), "r");
  if (output == nullptr) throw std::runtime_error(fmt::format("cannot start {}", command));
  program_answer given{};
  char word[16] = {};
  const bool read = std::fscanf(output, "%lf %lf %15s", &given.first, &given.second, word) == 3;
  if (pclose(output) != 0 || !read) throw std::runtime_error(fmt::format("failed: {}", command));
  given.right = std::string_view(word) == "right";
  return given;
}

}  // namespace bench
