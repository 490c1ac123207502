#include "file_programs.hpp"

#include "command_line.hpp"
#include "listening_socket.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <liburing.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {
namespace {

constexpr std::size_t block_size = 4096;
constexpr std::size_t words_in_block = block_size / sizeof(std::uint64_t);

std::uint64_t word_of(std::uint64_t block, std::size_t index) {
  return (block * words_in_block + index) * 0x9e3779b97f4a7c15;
}

class open_file {
 public:
  open_file(const std::string& path, int flags) : number_(check(open(path.c_str(), flags | O_CLOEXEC, 0600), "open")) {}
  ~open_file() { close(number_); }
  open_file(const open_file&) = delete;
  open_file& operator=(const open_file&) = delete;
  [[nodiscard]] int number() const noexcept { return number_; }

 private:
  int number_;
};

/// Page-aligned, as direct reads need; in huge pages if it is large enough, as weir::aligned_buffer is.
class pages {
 public:
  explicit pages(std::size_t size) : data_(std::aligned_alloc(huge, (size + huge - 1) / huge * huge)) {
    if (data_ == nullptr) fail("aligned_alloc", errno);
    if (size >= huge) madvise(data_, size, MADV_HUGEPAGE);
    std::memset(data_, 0, size);
  }
  ~pages() { std::free(data_); }
  pages(const pages&) = delete;
  pages& operator=(const pages&) = delete;
  [[nodiscard]] std::byte* at(std::size_t offset) const noexcept { return static_cast<std::byte*>(data_) + offset; }

 private:
  static constexpr std::size_t huge = std::size_t{2} << 20;
  void* data_;
};

class read_ring {
 public:
  read_ring(const file_plan& plan, int file)
      : plan_(plan), file_(file), places_(plan, 1), buffers_(reads_at_once * plan.size) {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    int result = io_uring_queue_init_params(reads_at_once, &ring_, &parameters);
    if (result == -EINVAL) {
      parameters = {};
      result = io_uring_queue_init_params(reads_at_once, &ring_, &parameters);
    }
    if (result < 0) fail("io_uring_setup", -result);
    io_uring_register_ring_fd(&ring_);
  }
  ~read_ring() { io_uring_queue_exit(&ring_); }
  read_ring(const read_ring&) = delete;
  read_ring& operator=(const read_ring&) = delete;

  /// Whether all of so many reads were right.
  bool read(std::uint64_t count) {
    bool right = true;
    std::uint64_t begun = 0;
    while (begun < std::min<std::uint64_t>(count, reads_at_once)) begin(begun++);
    for (std::uint64_t done = 0; done < count;) {
      const int result = io_uring_submit_and_wait(&ring_, 1);
      if (result < 0 && result != -EINTR) fail("io_uring_enter", -result);
      io_uring_cqe* cqe = nullptr;
      unsigned head = 0;
      unsigned seen = 0;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++seen;
        const std::uint64_t slot = cqe->user_data;
        right &= cqe->res == static_cast<int>(plan_.size) &&
                 is_part(buffers_.at(slot * plan_.size), plan_.size, asked_[slot]);
        if (begun < count) {
          begin(slot);
          ++begun;
        }
      }
      io_uring_cq_advance(&ring_, seen);
      done += seen;
    }
    return right;
  }

 private:
  void begin(std::uint64_t slot) {
    asked_[slot] = places_.next();
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
    io_uring_prep_read(sqe, file_, buffers_.at(slot * plan_.size), static_cast<unsigned>(plan_.size),
                       asked_[slot] * plan_.size);
    sqe->user_data = slot;
    // So that the device does not idle until all that have completed are asked for anew.
    if (!plan_.direct || io_uring_sq_ready(&ring_) < 2) return;
    if (const int result = io_uring_submit(&ring_); result < 0) fail("io_uring_enter", -result);
  }

  const file_plan& plan_;
  int file_;
  random_places places_;
  pages buffers_;
  std::array<std::uint64_t, reads_at_once> asked_{};
  io_uring ring_{};
};

program_answer ring_reads(const file_plan& plan) {
  const open_file file(plan.file, O_RDONLY | (plan.direct ? O_DIRECT : 0));
  read_ring ring(plan, file.number());
  bool right = ring.read(plan.count / 10 + 1);
  const stopwatch watch;
  right &= ring.read(plan.count);
  const auto count = static_cast<double>(plan.count);
  return {watch.wall_ns() / 1e3 / count, watch.process_cpu_ns() / 1e3 / count, right};
}

program_answer plain_reads(const file_plan& plan) {
  const open_file file(plan.file, O_RDONLY | (plan.direct ? O_DIRECT : 0));
  const pages buffer(plan.size);
  random_places places(plan, 1);
  bool right = true;
  const auto read = [&](std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t place = places.next();
      const ssize_t n = pread(file.number(), buffer.at(0), plan.size, static_cast<off_t>(place * plan.size));
      right &= n == static_cast<ssize_t>(plan.size) && is_part(buffer.at(0), plan.size, place);
    }
  };
  read(plan.count / 10 + 1);
  const stopwatch watch;
  read(plan.count);
  const auto count = static_cast<double>(plan.count);
  return {watch.wall_ns() / 1e3 / count, watch.process_cpu_ns() / 1e3 / count, right};
}

std::uint64_t copy_by_kernel(const std::string& from, const std::string& to) {
  const open_file source(from, O_RDONLY);
  const open_file target(to, O_WRONLY | O_CREAT | O_TRUNC);
  constexpr std::size_t most = std::size_t{1} << 30;
  std::uint64_t copied = 0;
  while (const ssize_t n = copy_file_range(source.number(), nullptr, target.number(), nullptr, most, 0)) {
    if (n < 0) fail("copy_file_range", errno);
    copied += static_cast<std::uint64_t>(n);
  }
  return copied;
}

std::uint64_t copy_by_hand(const std::string& from, const std::string& to) {
  constexpr std::size_t part = 65'536;  // weir::copy()'s own
  const open_file source(from, O_RDONLY);
  const open_file target(to, O_WRONLY | O_CREAT | O_TRUNC);
  const pages buffer(part);
  std::uint64_t copied = 0;
  while (const ssize_t n = read(source.number(), buffer.at(0), part)) {
    if (n < 0 || write(target.number(), buffer.at(0), static_cast<std::size_t>(n)) != n) fail("copying", errno);
    copied += static_cast<std::uint64_t>(n);
  }
  return copied;
}

std::uint64_t copy_by_program(std::string from, std::string to) {
  std::string program = "cp";
  const std::array<char*, 4> arguments{program.data(), from.data(), to.data(), nullptr};
  pid_t child = -1;
  if (const int error = posix_spawnp(&child, "cp", nullptr, nullptr, arguments.data(), environ); error != 0)
    fail("cp", error);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) throw std::runtime_error("cp failed");
  struct stat made{};
  check(stat(to.c_str(), &made), "stat");
  return static_cast<std::uint64_t>(made.st_size);
}

template <class Copy>
program_answer copies(const file_plan& plan, Copy copy) {
  copy_meter meter(plan);
  for (std::uint64_t i = 0; i < plan.count; ++i) {
    meter.begin();
    const std::uint64_t copied = copy(plan.file, meter.target());
    meter.end(copied);
  }
  return meter.answer();
}

double children_us() {
  rusage used{};
  getrusage(RUSAGE_CHILDREN, &used);
  const auto us = [](const timeval& t) { return 1e6 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec); };
  return us(used.ru_utime) + us(used.ru_stime);
}

bool are_same(const std::string& one, const std::string& other) {
  constexpr std::size_t part = 1 << 20;
  const open_file a(one, O_RDONLY);
  const open_file b(other, O_RDONLY);
  const auto here = std::make_unique<std::byte[]>(part);
  const auto there = std::make_unique<std::byte[]>(part);
  for (;;) {
    const ssize_t n = read(a.number(), here.get(), part);
    if (n < 0 || read(b.number(), there.get(), part) != n) return false;
    if (n == 0) return true;
    if (std::memcmp(here.get(), there.get(), static_cast<std::size_t>(n)) != 0) return false;
  }
}

}  // namespace

void make_file(const std::string& path, std::uint64_t bytes) {
  const open_file file(path, O_WRONLY | O_CREAT | O_TRUNC);
  std::vector<std::uint64_t> part(256 * words_in_block);
  std::uint64_t block = 0;
  for (std::uint64_t left = bytes; left > 0;) {
    for (std::size_t i = 0; i < part.size(); ++i) part[i] = word_of(block + i / words_in_block, i % words_in_block);
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left, part.size() * sizeof part[0]));
    if (write(file.number(), part.data(), n) != static_cast<ssize_t>(n)) fail("write", errno);
    block += n / block_size;
    left -= n;
  }
  // So that nothing is written while reads are measured.
  check(fsync(file.number()), "fsync");
}

bool is_part(const std::byte* bytes, std::size_t size, std::uint64_t place) {
  const std::uint64_t blocks = size / block_size;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::memcpy(&first, bytes, sizeof first);
  std::memcpy(&last, bytes + size - sizeof last, sizeof last);
  return first == word_of(place * blocks, 0) && last == word_of(place * blocks + blocks - 1, words_in_block - 1);
}

void read_whole(const std::string& path) {
  constexpr std::size_t part = 1 << 20;
  const open_file file(path, O_RDONLY);
  const auto buffer = std::make_unique<std::byte[]>(part);
  while (read(file.number(), buffer.get(), part) > 0) continue;
}

random_places::random_places(const file_plan& plan, std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15) {
  struct stat is{};
  check(stat(plan.file.c_str(), &is), "stat");
  places_ = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(is.st_size) / plan.size);
}

void copy_meter::begin() {
  unlink(target().c_str());
  children_ = children_us();
  watch_ = stopwatch();
}

void copy_meter::end(std::uint64_t copied) {
  wall_us_ += watch_.wall_ns() / 1e3;
  cpu_us_ += watch_.process_cpu_ns() / 1e3 + children_us() - children_;
  right_ &= copied == plan_.size;
}

program_answer copy_meter::answer() {
  const bool right = right_ && are_same(plan_.file, target());
  unlink(target().c_str());
  const auto count = static_cast<double>(plan_.count);
  return {wall_us_ / count, cpu_us_ / count, right};
}

int run_file_program(char** argv) {
  constexpr std::uint64_t most = 1'000'000'000;
  const std::string_view what = argv[0];
  const std::string_view who = argv[1];
  const file_plan plan{.file = argv[4],
                       .size = parse_number<std::size_t>("SIZE", argv[2], block_size, most),
                       .count = parse_number<std::uint64_t>("COUNT", argv[3], 1, most),
                       .direct = what == "read-direct",
                       .registered = who == "weir-registered"};
  program_answer found{};
  if (what == "copy") {
    found = who == "weir"              ? weir_copies(plan)
            : who == "copy_file_range" ? copies(plan, copy_by_kernel)
            : who == "cp"              ? copies(plan, copy_by_program)
                                       : copies(plan, copy_by_hand);
  } else {
    found = who.starts_with("weir") ? weir_reads(plan) : who == "uring" ? ring_reads(plan) : plain_reads(plan);
  }
  fmt::print("{:.4f} {:.4f} {}\n", found.first, found.second, found.right ? "right" : "wrong");
  return 0;
}

}  // namespace bench
