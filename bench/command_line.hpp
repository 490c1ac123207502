#pragma once
// What the programs of bench/ have in common in reading their arguments and writing their files.

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// Throws std::invalid_argument unless `text` is a number from `least` to `most`.
template <class Number>
Number parse_number(std::string_view option, std::string_view text, Number least, Number most) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  // Written so that NaN is refused too.
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= least && value <= most))
    throw std::invalid_argument(fmt::format("{} takes {} to {}, not \"{}\"", option, least, most, text));
  return value;
}

/// At commas.
inline std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// The options of a program, one after the other.
class option_reader {
 public:
  option_reader(int argc, char** argv, int first = 1) : argc_(argc), argv_(argv), at_(first - 1) {}

  /// False at the end.
  bool next() {
    if (++at_ >= argc_) return false;
    name_ = argv_[at_];
    return true;
  }
  [[nodiscard]] std::string_view name() const { return name_; }
  /// What follows the option. Throws std::invalid_argument at the end.
  std::string_view value() {
    if (at_ + 1 >= argc_) throw std::invalid_argument(fmt::format("{} needs a value", name_));
    return argv_[++at_];
  }
  [[noreturn]] void refuse() const {
    throw std::invalid_argument(fmt::format("unknown option {}; see `bench help`", name_));
  }

 private:
  int argc_;
  char** argv_;
  int at_;
  std::string_view name_;
};

/// Does nothing without a path. Throws std::runtime_error.
inline void write_file(const std::string& path, const std::string& text) {
  if (path.empty()) return;
  std::FILE* file = std::fopen(path.c_str(), "w");
  const bool written = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (file == nullptr || std::fclose(file) != 0 || !written)
    throw std::runtime_error(fmt::format("cannot write {}", path));
}

/// Runs `program()`, and says on stderr what it throws: the exit status is 2 for bad arguments, 1 for anything else.
template <class F>
int report_errors(F program) {
  try {
    return program();
  } catch (const std::invalid_argument& e) {
    fmt::print(stderr, "bench: {}\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench: {}\n", e.what());
    return 1;
  }
}

/// A line that shows that work goes on.
inline void show_progress(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

}  // namespace bench
