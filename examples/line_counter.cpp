// Counts the lines and words of files, all at once, without holding more than a block of each in memory.
// Usage: line_counter [FILE...]   without a file: /etc/passwd

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <cctype>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

struct counts {
  long lines = 0;
  long words = 0;
};

long words_in(std::string_view line) {
  long words = 0;
  bool inside = false;
  for (const char c : line) {
    const bool letter = std::isspace(static_cast<unsigned char>(c)) == 0;
    if (letter && !inside) ++words;
    inside = letter;
  }
  return words;
}

weir::task<counts> count(std::string path) {
  weir::file input = co_await weir::file::open(path);
  counts all;
  auto lines = weir::lines(input);  // reads ahead in blocks; a line that is too long would be an error, not a surprise
  while (auto line = co_await lines.next()) {
    ++all.lines;
    all.words += words_in(*line);
  }
  co_return all;
}

weir::task<int> async_main(std::vector<std::string> paths) {
  std::vector<weir::task<counts>> tasks;
  tasks.reserve(paths.size());
  for (const std::string& path : paths) tasks.push_back(count(path));
  const std::vector<counts> all = co_await weir::when_all(std::move(tasks));  // all files at once
  for (std::size_t i = 0; i < paths.size(); ++i) {
    fmt::print("{:8} lines {:8} words  {}\n", all[i].lines, all[i].words, paths[i]);
  }
  co_return 0;
}

int main(int argc, char** argv) {
  std::vector<std::string> paths(argv + 1, argv + argc);
  if (paths.empty()) paths.emplace_back("/etc/passwd");
  try {
    return weir::run(async_main(std::move(paths)));
  } catch (const std::system_error& error) {
    fmt::print(stderr, "line_counter: {}\n", error.what());  // "open missing.txt: No such file or directory"
    return 1;
  }
}
