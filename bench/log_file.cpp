#include "log_file.hpp"

#include "error_text.hpp"

#include <fmt/format.h>

#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <vector>

namespace bench {
namespace {

constexpr std::size_t user_count = 5000;

constexpr std::array<std::string_view, 8> messages{
    "logged in",           "opened the page /orders/recent with 25 entries",
    "uploaded a picture",  "was asked for the password again: the session had ended 3 minutes before",
    "changed the address", "put an article into the basket, the fourth of the same kind today",
    "paid 19.99 by card",  "could not be reached: mailbox is full",
};

/// Numbers that are the same everywhere. Xorshift: Marsaglia, "Xorshift RNGs", 2003.
class number_source {
 public:
  std::uint64_t below(std::uint64_t limit) noexcept {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return (state_ >> 33) % limit;
  }

 private:
  std::uint64_t state_ = 88172645463325252;
};

}  // namespace

log_file::log_file(std::uint64_t lines) {
  path_ = (std::filesystem::temp_directory_path() / "weir-demo-log-XXXXXX").string();
  const int number = mkstemp(path_.data());
  if (number < 0) throw std::runtime_error(fmt::format("cannot make {}: {}", path_, error_text(errno)));
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(fdopen(number, "w"), std::fclose);

  std::vector<std::uint64_t> lines_of(user_count);
  number_source numbers;
  std::string line;
  bool written = true;
  for (std::uint64_t i = 0; i < lines && written; ++i) {
    const std::uint64_t dice = numbers.below(100);
    const std::size_t user = numbers.below(user_count);
    const std::string_view message = messages[numbers.below(messages.size())];
    const std::string_view level = dice < 50 ? "INFO" : dice < 80 ? "DEBUG" : dice < 93 ? "WARN" : "ERROR";
    line.clear();
    fmt::format_to(std::back_inserter(line), "{} user{:04} {}\n", level, user, message);
    written = std::fwrite(line.data(), 1, line.size(), file.get()) == line.size();
    bytes_ += line.size();

    ++totals_.lines;
    if (level == "DEBUG") continue;
    ++(level == "INFO" ? totals_.info : level == "WARN" ? totals_.warn : totals_.error);
    totals_.message_bytes += message.size();
    ++lines_of[user];
  }
  if (!written || std::fflush(file.get()) != 0) {
    const std::string why = error_text(errno);
    unlink(path_.c_str());
    throw std::runtime_error(fmt::format("cannot write {}: {}", path_, why));
  }
  for (std::size_t user = 0; user < user_count; ++user) {
    if (lines_of[user] == 0) continue;
    ++totals_.users;
    totals_.user_digest += user_hash(fmt::format("user{:04}", user)) * lines_of[user];
  }
}

log_file::~log_file() { unlink(path_.c_str()); }

}  // namespace bench
