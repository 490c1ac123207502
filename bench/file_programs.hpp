#pragma once
// Random reads of a file, 32 at a time, and copies of a file: by weir, and by hand. Each runs in a process of its own,
// whose CPU time counts with that of all its threads and of the kernel's that serve its ring.

#include "columns.hpp"
#include "stopwatch.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace bench {

inline constexpr unsigned reads_at_once = 32;

struct file_plan {
  std::string file;
  std::size_t size;         // of a read, or of the whole file that is copied
  std::uint64_t count;      // how many reads, or copies
  bool direct = false;      // past the kernel's cache
  bool registered = false;  // memory that weir registers with its ring
};

/// Makes a file whose every 4 KiB tell where they are.
void make_file(const std::string& path, std::uint64_t bytes);
/// Whether they are what is at the `place`-th `size` bytes of such a file.
bool is_part(const std::byte* bytes, std::size_t size, std::uint64_t place);
/// So that it is in the cache.
void read_whole(const std::string& path);

/// A random sequence of places in the plan's file.
class random_places {
 public:
  random_places(const file_plan& plan, std::uint64_t seed);
  std::uint64_t next() noexcept {
    state_ ^= state_ << 13;  // Marsaglia's xorshift64
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % places_;
  }

 private:
  std::uint64_t places_;
  std::uint64_t state_;
};

/// What copies take, without what it takes to remove what they have made.
class copy_meter {
 public:
  explicit copy_meter(const file_plan& plan) : plan_(plan) {}
  [[nodiscard]] std::string target() const { return plan_.file + ".copy"; }
  [[nodiscard]] std::uint64_t count() const noexcept { return plan_.count; }
  void begin();
  void end(std::uint64_t copied);
  /// For each copy; right when the last one is the same as the file, and all as long.
  program_answer answer();

 private:
  const file_plan& plan_;
  stopwatch watch_;
  double children_ = 0;
  double wall_us_ = 0;
  double cpu_us_ = 0;
  bool right_ = true;
};

/// us that pass, and us of CPU, for each. WEIR_BACKEND chooses the reactor.
program_answer weir_reads(const file_plan& plan);
program_answer weir_copies(const file_plan& plan);

/// The program behind `io_bench --alone read-direct|read-cached|copy WHO SIZE COUNT FILE`: prints as the peers do.
int run_file_program(char** argv);

}  // namespace bench
