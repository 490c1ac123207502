#pragma once
// The columns in which programs that are written once for several libraries stand beside each other: the raw floor
// (raw_coroutines.hpp), weir, and where they are installed Go and Tokio.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace bench {

enum class column : std::uint8_t { raw, confined, one_worker, two_workers, go_one, go_two, tokio_one, tokio_two };
inline constexpr std::array every_column{column::raw,    column::confined, column::one_worker, column::two_workers,
                                         column::go_one, column::go_two,   column::tokio_one,  column::tokio_two};
inline constexpr std::size_t column_count = every_column.size();
constexpr std::size_t index_of(column c) noexcept { return static_cast<std::size_t>(c); }

std::string_view title_of(column c);
/// "raw", "confined", "one", "two", "go-one", "go-two", "tokio-one", "tokio-two".
std::string_view key_of(column c);
/// By its key. Throws std::invalid_argument.
column find_column(std::string_view key);

constexpr bool is_go(column c) noexcept { return c == column::go_one || c == column::go_two; }
constexpr bool is_tokio(column c) noexcept { return c == column::tokio_one || c == column::tokio_two; }
constexpr bool with_two_threads(column c) noexcept {
  return c == column::two_workers || c == column::go_two || c == column::tokio_two;
}

/// Some of them.
class column_set {
 public:
  constexpr column_set(std::initializer_list<column> members) noexcept {
    for (const column c : members) members_[index_of(c)] = true;
  }
  [[nodiscard]] constexpr bool contains(column c) const noexcept { return members_[index_of(c)]; }
  [[nodiscard]] constexpr column_set without(std::initializer_list<column> others) const noexcept {
    column_set rest = *this;
    for (const column c : others) rest.members_[index_of(c)] = false;
    return rest;
  }

 private:
  std::array<bool, column_count> members_{};
};
inline constexpr column_set all_columns{column::raw,    column::confined, column::one_worker, column::two_workers,
                                        column::go_one, column::go_two,   column::tokio_one,  column::tokio_two};

/// What a program says in one line: two figures and whether its answers were "right" or "wrong".
struct program_answer {
  double first;
  double second;
  bool right;
};
/// Runs a command. Throws std::runtime_error when it fails or says anything else.
program_answer ask_program(const std::string& command);

}  // namespace bench
