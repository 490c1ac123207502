#pragma once
// The log that the demo's pipelines read: a million lines "LEVEL user message...", and what they should find in it.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace bench {

/// What is wanted of a log: of all lines but those at level DEBUG.
struct log_totals {
  std::uint64_t lines = 0;  // DEBUG included
  std::uint64_t info = 0;
  std::uint64_t warn = 0;
  std::uint64_t error = 0;
  std::uint64_t message_bytes = 0;
  std::uint64_t users = 0;        // different ones
  std::uint64_t user_digest = 0;  // for each user the hash of the name times the number of lines, summed up

  friend bool operator==(const log_totals&, const log_totals&) = default;
};

/// FNV-1a, 64 bits: Fowler, Noll and Vo. The Go program has the same.
constexpr std::uint64_t user_hash(std::string_view name) noexcept {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

/// A file in the folder for temporary files, which goes with it. The same lines each time.
class log_file {
 public:
  /// Throws std::runtime_error.
  explicit log_file(std::uint64_t lines);
  ~log_file();
  log_file(const log_file&) = delete;
  log_file& operator=(const log_file&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  /// Counted while the lines were made, by code that has nothing to do with a pipeline.
  [[nodiscard]] const log_totals& totals() const noexcept { return totals_; }

 private:
  std::string path_;
  std::uint64_t bytes_ = 0;
  log_totals totals_;
};

}  // namespace bench
