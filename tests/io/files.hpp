#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "guarded_buffer.hpp"
#include "sockets.hpp"

namespace test {

/// A directory of its own for a test, gone with everything in it when the test ends.
class scratch_directory {
 public:
  scratch_directory() {
    std::string pattern = "/tmp/weir-file-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;
  ~scratch_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string name(std::string_view file) const { return path_ + "/" + std::string(file); }
  [[nodiscard]] std::string containing(std::string_view file, std::string_view text) const {
    const std::string path = name(file);
    const int number = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(number >= 0);
    REQUIRE(::write(number, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    ::close(number);
    return path;
  }
  [[nodiscard]] std::string fifo(std::string_view file) const {
    const std::string path = name(file);
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    return path;
  }

 private:
  std::string path_;
};

inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline weir::task<std::string> read_text(weir::file& from, std::size_t size = 100) {
  guarded_buffer buffer(size);
  const std::size_t n = co_await from.read_some(buffer);
  co_return text_of(buffer.first(n));
}

inline weir::task<> write_text(weir::file& to, std::string_view text) {
  co_await to.write_all(std::as_bytes(std::span(text)));
}

/// What opening `path` this way says when it fails; empty when it does not.
inline weir::task<std::string> why_not(std::string path, weir::file_mode mode) {
  const auto r = co_await weir::as_result(weir::file::open(std::move(path), mode));
  co_return sentence_of(r);
}

}  // namespace test
